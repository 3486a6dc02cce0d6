--- The comparative study: its families, their budgets, and the recipe as a whole.

local base = require "recsys.base"
local compare = require "recsys.compare"
local families = require "recsys.compare.families"
local features = require "recsys.compare.features"
local lookup = require "recsys.lookup"
local small = require "spec.support.small_training"
local space = require "recsys.tune.space"
local train = require "recsys.train"
local tune = require "recsys.tune"

describe("the families that are compared", function()
  it("name a model, features, and values that tuning can try and begins with", function()
    local branches = { baseline = true, neighbours = true, linear = true, factorisation = true, graph = true,
      sequence = true, transformer = true, two_tower = true, hybrid = true }
    local seen = {}
    for _, family in ipairs(families.list) do
      assert.is_nil(seen[family.name], family.name .. " stands there twice")
      seen[family.name] = true
      assert.is_true(branches[family.branch], family.name)
      assert.is_truthy(lookup.model_file(family.kind), family.name)
      assert.equal("table", type(features.of(family.features, "news")), family.name)
      for _, field in ipairs { "label", "explains" } do assert.equal("string", type(family[field]), family.name) end
      for _, size in ipairs { "small", "large" } do
        local p = families.parameters(family, { size = size, source = "movielens" })
        local first = families.defaults(family, p)
        if next(family.search or {}) then
          local of = space.new(family.search)
          for _, name in ipairs(of.names) do assert.is_not_nil(first[name], family.name .. " lacks " .. name) end
        end
        assert.equal(family.kind, p.model.kind)
      end
    end
  end)

  it("are found by name, and by the nearest where there is none", function()
    assert.equal("mf", families.of("mf").name)
    local ok, problem = pcall(families.of, "light_gnc")
    assert.is_false(ok)
    assert.matches("did you mean 'light_gcn'", problem.message)
    assert.equal("usage", problem.code)
  end)

  it("are left out where they do not fit, and refused where they are asked for", function()
    table.insert(families.list, { name = "square", kind = "mf", items = 10 })
    local names, left = compare.choose({}, 11)
    assert.equal(#families.list - 1, #names)
    assert.matches("at most 10 items; there are 11", left[1].why)
    local ok, problem = pcall(compare.choose, { "mf", "square" }, 11)
    assert.is_false(ok)
    assert.matches("square cannot be trained here", problem.message)
    assert.same({ "mf", "square" }, (compare.choose({ "mf", "square" }, 10)))
    table.remove(families.list)
  end)
end)

describe("a study's budget", function()
  it("is a preset, or its numbers", function()
    local function of(budget, tuning) return compare.with_budget { budget = budget, tuning = tuning }.budget end
    assert.same({ name = "small", trials = 2, minutes = 0.25 }, of("small", {}))
    assert.same({ name = "full", trials = 3, minutes = 4.5 }, of("full", { trials = 3 }))
  end)

  it("ends a training with the step that reaches its deadline, and says so", function()
    local settings = { epochs = 3, batch = 8, patience = 3 }
    local whole = train.fit(require "models.two_tower", small.request(settings))
    assert.is_nil(whole.cut)
    local cut = train.fit(require "models.two_tower", small.request(settings, { deadline = base.clock() }))
    assert.same({ epochs = 1, of = 3 }, cut.cut)
    assert.equal(1, #cut.curves)
    assert.equal(1, cut.epoch)
  end)

  it("begins a search with the values that it is given", function()
    local study <close> = tune.study { name = "s", store = ":memory:", search = { x = tune.uniform(0, 1) },
      first = { x = 0.25 } }
    study:optimize(function(trial) return trial.params.x end, { trials = 3 })
    local trials = study:trials()
    assert.equal(0.25, trials[1].params.x)
    assert.is_true(trials[2].params.x ~= 0.25 and trials[2].params.x ~= trials[3].params.x)
  end)
end)

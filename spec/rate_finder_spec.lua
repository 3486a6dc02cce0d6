--- The learning-rate range test: where it points on a loss that is known, what people see, and that no training
--- remembers it.

local command = require "spec.support.command"
local finder = require "recsys.train.rate_finder"
local frame = require "recsys.frame"
local json = require "recsys.json"
local lfs = require "lfs"
local log = require "recsys.log"
local small = require "spec.support.small_training"
local train = require "recsys.train"

--- Gradient descent from 1 on (x - c)^2 / 2, whose c is 0.1 and -0.1 in turns: it diverges with rates beyond 2.
local function parabola()
  local x = 1
  return function(i, rate)
    local loss = x * x / 2
    x = x - rate * (x - (i % 2 * 0.2 - 0.1))
    return loss + 1
  end
end

describe("the range test", function()
  local level = log.level
  setup(function() log.level = "quiet" end)
  teardown(function() log.level = level end)

  it("points below where the loss is least, and ends where it diverges", function()
    local swept = finder.sweep(parabola(), { from = 1e-5, to = 100, steps = 150 })
    assert.is_true(swept.diverged)
    assert.is_true(swept.suggestion > 0.005 and swept.suggestion < 0.5, tostring(swept.suggestion))
    assert.is_true(swept.least > swept.suggestion)
    assert.is_true(swept.rates[#swept.rates] < 10)
    assert.equal(#swept.rates, #swept.losses)
    assert.equal(#swept.rates, #swept.smooth)
  end)

  it("takes rates that grow by the same factor", function()
    local rates = {}
    finder.sweep(function(i, rate) rates[i] = rate return 1 end, { from = 1e-4, to = 1, steps = 41 })
    assert.is_true(math.abs(rates[1] - 1e-4) < 1e-12 and math.abs(rates[41] - 1) < 1e-9)
    for i = 2, 41 do assert.is_true(math.abs(rates[i] / rates[i - 1] - 10 ^ 0.1) < 1e-9) end
  end)

  it("ends at a loss that is no number, and suggests nothing when no rate helps", function()
    local swept = finder.sweep(function(i) return i < 60 and 2 + i / 100 or 0 / 0 end)
    assert.equal(59, #swept.rates)
    assert.is_true(swept.diverged)
    assert.is_nil(swept.suggestion)
    assert.matches("does not fall at any of these rates", finder.verdict(swept))
    assert.matches("does not fall", finder.text(swept))
    local _, problem = pcall(finder.sweep, function(i) return i < 5 and 1 or nil end)
    assert.equal("numeric", problem.code)
  end)

  it("refuses a range that is none", function()
    for _, options in ipairs { { from = 0 }, { from = 1, to = 0.1 }, { steps = 5 } } do
      assert.has_error(function() finder.sweep(function() return 1 end, options) end,
        "bad argument #2 to 'sweep' (0 < from < to and at least 20 steps are needed)")
    end
  end)

  it("gives a chart with the suggestion in it, a table, CSV and a page without scripts", function()
    local swept = finder.sweep(parabola(), { from = 1e-5, to = 100, steps = 150 })
    local said = finder.text(swept)
    assert.matches("\n +|.-o", said)
    assert.matches("Suggested: train.learning_rate=0%.0?%d+$", said)
    for line in said:gmatch "[^\n]+" do assert.is_true(#line <= 140) end
    local _, lines = finder.csv(swept):gsub("\n", "")
    assert.equal(#swept.rates + 1, lines)
    local page = finder.page(swept, "model <two_tower>")
    assert.matches("<svg.*<polyline.*</svg>", page)
    assert.matches("model &lt;two_tower&gt;", page)
    assert.is_nil(page:find "<script")
  end)

  it("changes nothing of the training that follows", function()
    local definition, settings = require "models.two_tower", { epochs = 2, batch = 16 }
    local function weights()
      local found = {}
      for name, weight in pairs(train.fit(definition, small.request(settings)).weights) do
        found[name] = frame.hash(weight)
      end
      return found
    end
    local before, request = weights(), small.request(settings)
    local first = train.find_rate(definition, request)
    assert.same(first, train.find_rate(definition, request))
    assert.is_true(first.suggestion > 1e-4 and first.suggestion < 1, tostring(first.suggestion))
    assert.same(before, weights())
  end)
end)

describe("recsys-run RECIPE --find-learning-rate", function()
  it("ends where the training would begin, with result, steps and page", function()
    local folder = command.scratch(finally)
    local ran = command.run(("cd %s && %s two_tower --find-learning-rate --json --threads 1 --set data.dir=news "
      .. "--set data.scale=0.001 --set train.batch=128 --set runs=runs --set publish.dir=models")
      :format(folder, command.program))
    assert.equal(0, ran.code, ran.err)
    local result = json.decode(ran.out)
    assert.is_true(result.learning_rate.suggestion > 1e-4 and result.learning_rate.suggestion < 1)
    assert.is_truthy(lfs.attributes(folder .. "/" .. result.paths.page))
    assert.is_truthy(lfs.attributes(folder .. "/" .. result.paths.steps))
    assert.is_nil(lfs.attributes(folder .. "/models"))
    assert.is_nil(lfs.attributes(folder .. "/" .. result.paths.run .. "/unfinished"))
  end)

  it("refuses a recipe that trains nothing", function()
    local folder = command.scratch(finally)
    command.write(folder .. "/none.lua", [[return require("recsys").recipe { name = "none", about = "Nothing",
      run = function() return {} end }]])
    local ran = command.run(("cd %s && %s none.lua --find-learning-rate"):format(folder, command.program))
    assert.equal(2, ran.code)
    assert.matches("no step of the recipe 'none' trains", ran.err)
  end)
end)

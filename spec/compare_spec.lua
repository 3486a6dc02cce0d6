--- The comparative study: its families, their budgets, and the recipe as a whole, on a tiny sample of the news app.

local base = require "recsys.base"
local command = require "spec.support.command"
local compare = require "recsys.compare"
local families = require "recsys.compare.families"
local features = require "recsys.compare.features"
local files = require "recsys.files"
local json = require "recsys.json"
local core = require "recsys.core"
local lookup = require "recsys.lookup"
local report = require "recsys.compare.report"
local schedule = require "recsys.schedule"
local sections = require "recsys.compare.sections"
local small = require "spec.support.small_training"
local space = require "recsys.tune.space"
local track = require "recsys.track"
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
    assert.same({ name = "small", trials = 2, minutes = 0.15 }, of("small", {}))
    assert.same({ name = "full", trials = 3, minutes = 4 }, of("full", { trials = 3 }))
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

  it("lets the learning rate fall by the clock where it is ahead, and changes nothing where it is not", function()
    local settings, clock, at = { epochs = 40, batch = 8, patience = 40 }, base.clock, 0
    local function weights(trained)
      local all = {}
      for name, weight in pairs(trained.weights) do all[name] = weight:to_string() end
      return all
    end
    local whole = weights(train.fit(require "models.two_tower", small.request(settings)))
    local in_time = train.fit(require "models.two_tower", small.request(settings, { deadline = base.clock() + 3600 }))
    assert.same(whole, weights(in_time))
    assert.is_nil(in_time.cut)
    local rates, warmup_cosine = {}, schedule.warmup_cosine
    schedule.warmup_cosine = function(options)
      local rate = warmup_cosine(options)
      return function(step)
        rates[#rates + 1] = rate(step)
        return rates[#rates]
      end
    end
    rawset(core.base, "clock", function() -- each look a second later
      at = at + 1
      return at
    end)
    local cut = train.fit(require "models.two_tower", small.request(settings, { deadline = 200 }))
    rawset(core.base, "clock", clock)
    schedule.warmup_cosine = warmup_cosine
    assert.is_true(cut.cut.epochs < 40)
    assert.is_true(rates[#rates] < 0.02 * math.max(table.unpack(rates)))
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

describe("recipes/compare.lua", function()
  local folder, result

  --- Run the recipe; its result.
  local function run(...)
    local words = { "./recsys-run", "recipes/compare.lua", "--json", "--set", "data.dir=" .. folder .. "/news", "--set",
      "data.scale=0.002", "--set", "runs=" .. folder .. "/runs", "--set", "publish.dir=" .. folder .. "/models",
      "--set", "budget=small", "--set", "cold.users=20", "--set", "cold.items=5", "--set", "speed.requests=50",
      "--set", "eval.samples=200", ... }
    local ran = command.run(table.concat(words, " "))
    assert.equal(0, ran.code, ran.err)
    return json.decode(ran.out), ran.err
  end

  setup(function()
    folder = command.temporary()
    result = run("--set", "models=mf,two_tower,next_item")
  end)
  teardown(function() command.remove(folder) end)

  it("tells of each family what it reaches, costs, and does for whom it does not know", function()
    assert.equal(3, #result.families)
    for i, name in ipairs { "mf", "two_tower", "next_item" } do
      local one = result.families[i]
      assert.equal(name, one.name)
      local low, high = one.intervals.ndcg_10[1], one.intervals.ndcg_10[2]
      assert.is_true(low <= one.metrics.ndcg_10 and one.metrics.ndcg_10 <= high)
      assert.equal(2, #one.trials)
      for _, field in ipairs { "seconds", "memory", "bytes", "p50", "p99", "batch_seconds" } do
        assert.is_true(one[field] > 0, name .. " " .. field)
      end
      assert.is_true(one.p50 <= one.p99)
      for _, field in ipairs { "novelty", "diversity", "popularity", "tail_share", "gini", "coverage" } do
        assert.equal("number", type(one.beyond[field]), field)
      end
      assert.same({ 0, 1, 5 }, { one.cold_users[1].events, one.cold_users[2].events, one.cold_users[3].events })
      assert.equal(5, one.new_items.asked)
      assert.truthy(files.exists(one.bundle))
    end
    assert.equal("two_tower", result.best)
  end)

  it("tells of the baselines, too, and lists of random are by chance", function()
    local by = {}
    for _, one in ipairs(result.baselines) do by[one.name] = one end
    assert.is_true(by.random.metrics.ndcg_10 < by.live_popularity_window.metrics.ndcg_10)
    assert.is_true(by.random.beyond.coverage > 0.99)
    assert.is_true(by.random.beyond.gini < 0.5)
    assert.is_true(by.random.beyond.gini < by.live_popularity.beyond.gini)
  end)

  it("compares all pairs of families and the best baseline", function()
    local found = result.significance
    assert.equal(4, #found.names)
    assert.equal(6, #found.pairs)
    for _, pair in ipairs(found.pairs) do
      assert.is_true(pair.p <= pair.adjusted and pair.adjusted <= 1)
      assert.is_true(pair.interval[1] <= pair.interval[2])
    end
    local first = found.pairs[1] -- mf less two_tower
    assert.is_true(first.difference < 0 and first.adjusted < 0.05)
    local of = { result.families[1].metrics.ndcg_10, result.families[2].metrics.ndcg_10 }
    assert.is_true(math.abs(first.difference - (of[1] - of[2])) < 1e-9)
  end)

  it("knows by experiment who answers for new people and new items", function()
    local by = {}
    for _, one in ipairs(result.families) do by[one.name] = one end
    assert.equal(1, by.mf.cold_users[1].popular) -- popularity answers, and the answer says so
    assert.equal(0, by.two_tower.cold_users[1].popular)
    assert.is_true(by.two_tower.new_items.median < by.next_item.new_items.median)
  end)

  it("writes the report as a page that needs nothing else, and as Markdown", function()
    local page, markdown = command.read(result.paths.page), command.read(result.paths.markdown)
    for _, title in ipairs { "Who finds what is taken next", "Do they differ", "The trade-off", "For whom, and of what",
      "What the lists are like", "What it costs", "Whom it does not know", "What it can say why", "What was done" } do
      assert.truthy(page:find("<h2>" .. title .. "</h2>", 1, true), title)
      assert.truthy(markdown:find("## " .. title, 1, true), title)
    end
    assert.is_nil(page:find "<script")
    assert.is_nil(page:find "https?://[^\"]*%.js")
    assert.truthy(page:find 'aria%-label="radar')
    for row in markdown:gmatch "\n(|[^\n]*two_tower[^\n]*|)" do assert.is_true(select(2, row:gsub("|", "")) >= 3) end
  end)

  it("draws costs of a radar by powers of ten, other qualities by their share of the best", function()
    assert.equal(0.5, sections.reach(0.1, 0.2))
    assert.equal(1, sections.reach(3, 3, true))
    assert.is_true(math.abs(0.75 - sections.reach(30, 3, true)) < 1e-12)
    assert.equal(0, sections.reach(1e9, 3, true))
    assert.equal(0, sections.reach(0, 0))
    assert.equal(0, sections.reach(0 / 0, 0.2))
    local page = command.read(result.paths.page)
    assert.truthy(page:find "two_tower, fast to train: [%d.]+ m?s<")
  end)

  it("shows the same tables in a terminal", function()
    local shown = report.text { { title = "Costs", tables = { { rows = { { "", "p50" }, { "mf", "1 ms" } } } } } }
    assert.equal("COSTS\n     p50\nmf  1 ms\n", shown)
  end)

  it("is tracked with a run of each family below its own, and below that one of each trial", function()
    local store <close> = track.open(folder)
    local found = store:search_runs { experiment_ids = { store:experiment_by_name("compare").experiment_id } }
    local by_name, children = {}, {}
    for _, one in ipairs(found.runs) do
      local parent
      for _, tag in ipairs(one.data.tags) do parent = tag.key == "mlflow.parentRunId" and tag.value or parent end
      children[parent or "none"] = (children[parent or "none"] or 0) + 1
      by_name[one.info.run_name] = one
    end
    assert.equal(1, children.none)
    assert.equal(2, children[by_name.two_tower.info.run_id])
    local metrics = {}
    for _, metric in ipairs(by_name.two_tower.data.metrics) do metrics[metric.key] = metric.value end
    assert.is_true(math.abs(metrics["test/ndcg_10"] - result.families[2].metrics.ndcg_10) < 1e-12)
    assert.is_true(metrics["serve/p99_seconds"] > 0 and metrics["beyond/gini"] > 0)
  end)

  it("tunes nothing anew when nothing has changed", function()
    local again, err = run("--set", "models=mf,two_tower,next_item")
    assert.same(result.families[2].metrics, again.families[2].metrics)
    assert.matches("tune_mf +cached", err)
    assert.matches("test +cached", err)
  end)

  it("refuses a family that there is not, before anything is made", function()
    local ran = command.run("./recsys-run recipes/compare.lua --set models=mf,two_towers --set data.dir="
      .. folder .. "/none --set runs=" .. folder .. "/runs")
    assert.equal(2, ran.code)
    assert.matches("did you mean 'two_tower'", ran.err)
    assert.is_false(files.exists(folder .. "/none"))
  end)
end)

describe("a study of another source", function()
  local folder

  setup(function()
    folder = command.temporary()
    local files_of = { train = {}, test = {} } -- 60 users with 12 of 40 items each
    for u = 0, 59 do
      local order = base.stream(u, "user"):permutation(40):tolist()
      table.insert(files_of.train, u .. " " .. table.concat(order, " ", 1, 9))
      table.insert(files_of.test, u .. " " .. table.concat(order, " ", 10, 12))
    end
    for name, lines in pairs(files_of) do
      command.write(("%s/%s.txt"):format(folder, name), table.concat(lines, "\n") .. "\n")
    end
  end)
  teardown(function() command.remove(folder) end)

  it("has users for queries, nobody to ask of cold starts, and says why a family is left out", function()
    local ran = command.run(("./recsys-run recipes/compare.lua --json --set data.source=lightgcn --set data.dir=%s "
      .. "--set models=mf,light_gcn --set budget=small --set runs=%s/runs --set publish.dir=%s/models"):format(folder,
      folder, folder))
    assert.equal(0, ran.code, ran.err)
    local result = json.decode(ran.out)
    assert.equal("per_user", result.protocol.kind)
    assert.equal(1, #result.families)
    assert.equal(0, result.families[1].cold_users[1].asked)
    assert.equal("light_gcn", result.left[1].name) -- its graph has fewer directions than it is to begin at
    assert.matches("all 2 trials failed; the last: .*svd: 64 of the singular values", result.left[1].why)
    assert.truthy(command.read(result.paths.markdown):find("light_gcn is left out", 1, true))
  end)

  it("asks of somebody new what the real one took next, where events have no times", function()
    local lines = {}
    for u = 1, 60 do -- eight items of his group in an order of his own, but for the last, which all take last
      local items = {}
      for i = 1, 7 do items[i] = u % 6 * 8 + 1 + (i * (1 + u % 4) + u) % 7 end
      lines[u] = ("%d %s %d\n"):format(u, table.concat(items, " "), u % 6 * 8 + 8)
      if u > 54 then lines[u] = ("%d %d %s\n"):format(u, u % 6 * 8 + 8, table.concat(items, " ")) end
    end
    command.write(folder .. "/toys.txt", table.concat(lines))
    local ran = command.run(("./recsys-run recipes/compare.lua --json --set data.source=s3rec --set data.dir=%s "
      .. "--set data.file=toys.txt --set models=item_knn --set budget=small --set runs=%s/runs "
      .. "--set publish.dir=%s/models"):format(folder, folder, folder))
    assert.equal(0, ran.code, ran.err)
    local cold = json.decode(ran.out).families[1].cold_users
    assert.is_true(cold[3].asked > 0)
    assert.is_true(cold[3].hit > 0.5, cold[3].hit)
  end)

  it("refuses what it could not measure before it trains anything", function()
    for words, message in pairs { ["eval.k=20"] = "tuning.metric: 'ndcg_10' is measured at 10, which eval.k %(20%)",
      ["split.test=0"] = "the split has no test rows" } do
      local ran = command.run(("./recsys-run recipes/compare.lua --set data.source=lightgcn --set data.dir=%s "
        .. "--set models=mf --set budget=small --set runs=%s/runs --set %s"):format(folder, folder, words))
      assert.equal(2, ran.code, ran.err)
      assert.matches(message, ran.err)
      assert.is_nil(ran.err:find "tune_mf")
    end
  end)

  it("tells of a family that cannot be served all the rest", function()
    local ran = command.run(("./recsys-run recipes/compare.lua --json --set data.source=lightgcn --set data.dir=%s "
      .. "--set models=mf --set budget=small --set runs=%s/runs --set publish.dir=%s/models "
      .. "--set publish.prefix=9"):format(folder, folder, folder)) -- the name of a bundle begins with a letter
    assert.equal(0, ran.code, ran.err)
    local result = json.decode(ran.out)
    assert.is_true(result.families[1].metrics.ndcg_10 > 0)
    assert.is_nil(result.families[1].bundle)
    local said = command.read(result.paths.markdown)
    assert.truthy(said:find("mf could not be served: ", 1, true))
    assert.matches("| mf | [^|]+ | 2 | [^|]+ | [^|]+ | [^|]+ | [^|]+ | %- | %- | %- | %- |", said)
  end)
end)

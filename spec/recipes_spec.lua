--- The recipes, each run whole on a tiny sample: what they promise about their result, and that equal runs are equal.

local base = require "recsys.base"
local command = require "spec.support.command"
local json = require "recsys.json"
local lfs = require "lfs"
local log = require "recsys.log"
local recipe = require "recsys.recipe"

local folder

local function redirect(out, err)
  rawset(io, "stdout", out)
  rawset(io, "stderr", err)
end

--- Call fn with stdout and stderr going to files; gives fn's result and what was written to each.
local function captured(fn)
  local stdout, stderr = io.stdout, io.stderr
  local out, err = assert(io.open(folder .. "/out", "w")), assert(io.open(folder .. "/err", "w"))
  redirect(out, err)
  local ok, result = pcall(fn)
  redirect(stdout, stderr)
  out:close()
  err:close()
  assert(ok, result)
  return result, command.read(folder .. "/out"), command.read(folder .. "/err")
end

--- Run a recipe with --json, one epoch of the tiny news sample unless told otherwise. Gives the exit code, what was
--- printed to stdout and stderr, and the decoded result.
local function run(name, settings, options)
  local set = { "data.dir=" .. folder .. "/news", "data.scale=0.002", "train.epochs=1", "runs=" .. folder .. "/runs",
    "publish.dir=" .. folder .. "/models" }
  for _, setting in ipairs(settings or {}) do set[#set + 1] = setting end
  local call = { json = true, set = set, threads = 1, refresh = { "all" } }
  for option, value in pairs(options or {}) do call[option] = value end
  local file = name:find "/" and name or "recipes/" .. name .. ".lua"
  local code, out, err = captured(function() return recipe.main(file, call) end)
  return code, out, err, code == 0 and json.decode(out) or nil
end

--- The result of a run that must end well.
local function result_of(...)
  local code, _, err, result = run(...)
  assert.equal(0, code, err)
  return result
end

local MEANS = { "mrr", "auc", "hit_10", "recall_10", "precision_10", "ndcg_10", "map_10", "hit_50", "recall_50",
  "precision_50", "ndcg_50", "map_50" }
local METRICS = { "coverage_10", "coverage_50", table.unpack(MEANS) }

--- Each of the promised metrics is there and in [0, 1].
local function assert_metrics(names, metrics)
  for _, name in ipairs(names) do
    local value = metrics[name]
    assert.equal("number", type(value), name)
    assert.is_true(value >= 0 and value <= 1, name)
  end
end

--- The fields that every retrieval job promises; see docs/recipes.md.
local function assert_result(result, name)
  assert.equal(name, result.recipe)
  assert.equal(1, result.seed)
  assert.equal(result.run, result.paths.run:match "[^/]+$")
  assert_metrics(METRICS, result.metrics)
  assert_metrics(METRICS, result.baselines.random)
  assert_metrics(METRICS, result.baselines.popularity)
  for _, metric in ipairs(MEANS) do
    local low, high = table.unpack(result.intervals[metric])
    assert.is_true(low <= result.metrics[metric] and result.metrics[metric] <= high, metric)
  end
  assert_metrics(MEANS, result.segments.known_users.metrics)
  for _, step in ipairs { "total", "load", "features", "train", "evaluate", "recommend" } do
    assert.is_true(result.seconds[step] >= 0, step)
  end
  assert.is_true(result.memory_peak_mib > 0)
  for _, path in ipairs { "run", "bundle", "recommendations" } do
    assert.is_truthy(lfs.attributes(result.paths[path]), path)
  end
end

local function count_lines(path)
  local lines = 0
  for line in io.lines(path) do
    if line:find "%S" then lines = lines + 1 end
  end
  return lines
end

--- What must be equal to the byte in equal runs.
local function comparable(result)
  return json.encode { result.metrics, result.intervals, result.baselines, result.segments }
end

local level, threads = log.level, base.threads()

setup(function()
  folder = command.temporary()
  log.level = "quiet"
end)

teardown(function()
  log.level = level
  base.threads(threads)
  command.remove(folder)
end)

describe("recipes/two_tower.lua", function()
  local code, out, err, first

  setup(function() code, out, err, first = run "two_tower" end)

  it("hold the same memory from the second epoch on", function()
    local curves = result_of("two_tower", { "train.epochs=20", "train.patience=20" }).curves
    assert.equal(20, #curves)
    local kept = 128 -- MiB that a process may keep without giving any back
    assert.is_true(curves[20].memory_mib < math.max(curves[2].memory_mib, kept) + 4)
  end)

  it("ends with 0 and puts one line on stdout, which the run's folder keeps", function()
    assert.equal(0, code, err)
    assert.matches("^{[^\n]*}\n$", out)
    assert.same(first, json.decode(command.read(first.paths.run .. "/result.json")))
  end)


  it("gives the promised fields", function()
    assert_result(first, "two_tower")
  end)

  it("leaves a page of the run with its curves, segments and long tail", function()
    local page = command.read(first.paths.report)
    for _, part in ipairs { "NDCG@10 on validation events", "NDCG@10 by segment", "Recall at k",
      "items, recommended: rank, the busiest first 1", "<td>train.epochs</td>" } do
      assert.truthy(page:find(part, 1, true), part)
    end
    local tail = first.long_tail
    assert.is_true(tail.users.count[1] >= tail.users.count[#tail.users.count])
    assert.is_true(tail.items.rank[#tail.items.rank] > 1 and tail.recommended.count[1] > 1)
  end)

  it("measures the oracles of the sample, which no model beats", function()
    assert_metrics(METRICS, first.best_possible)
    assert_metrics(METRICS, first.best_observable)
    assert.is_true(first.best_possible.ndcg_10 > first.metrics.ndcg_10)
    assert.is_true(first.best_possible.ndcg_10 > first.best_observable.ndcg_10)
  end)

  it("recommends recommend.k items to each user", function()
    local users = {}
    for line in io.lines(first.paths.recommendations) do
      local user = line:match "^([^,]+),"
      users[user] = (users[user] or 0) + 1
    end
    assert.equal(1, users.user) -- the header
    users.user = nil
    local _, most = next(users)
    for _, rows in pairs(users) do most = math.max(most, rows) end
    assert.equal(50, most)
  end)

  it("gives the same bytes again, with one thread and with two", function()
    assert.equal(comparable(first), comparable(result_of "two_tower"))
    assert.equal(comparable(first), comparable(result_of("two_tower", {}, { threads = 2 })))
  end)

  it("gives other numbers with another seed", function()
    local other = result_of("two_tower", {}, { seed = 2 })
    assert.equal(2, other.seed)
    assert.not_equal(json.encode(first.metrics), json.encode(other.metrics))
  end)

  it("trains the engagement model by the same protocol", function()
    local result = result_of("two_tower", { "model.kind=engagement" })
    assert_result(result, "two_tower")
    assert.same(first.baselines, result.baselines)
    assert.is_true(result.constant["train/loss"] > 0 and result.constant["valid/loss"] > 0)
    assert.not_equal(json.encode(first.metrics), json.encode(result.metrics))
  end)

  it("refuses a misspelled parameter, a wrong type and a wrong choice with 2 and the nearest name", function()
    local refused = {
      ["train.epoch=1"] = "there is no parameter 'train.epoch' (--set train.epoch=1); did you mean 'train.epochs'?",
      ["train.epochs=few"] = "train.epochs must be a whole number, not 'few' (--set train.epochs=few)",
      ["model.kind=two_towers"] = "did you mean 'two_tower'?",
    }
    for setting, words in pairs(refused) do
      local refusal, printed, message = run("two_tower", { setting })
      assert.equal(2, refusal)
      assert.equal("", printed)
      assert.truthy(message:find(words, 1, true), message)
    end
  end)
end)

--- A folder in the layout of ML-100K with two groups of users who rate the movies of their own group, at random, all
--- movies equally often: what a user rates next is known to a model of users, and not to popularity.
local function two_tastes()
  local dir = folder .. "/ml"
  assert(lfs.mkdir(dir))
  local ratings, users, items = {}, {}, {}
  for user = 0, 79 do
    users[user + 1] = ("u%d|30|F|other|00000\n"):format(user)
    for place, movie in ipairs(base.stream(user, "user"):permutation(40):tolist()) do
      if place > 20 then break end
      ratings[#ratings + 1] = ("u%d\tm%d\t5\t%d\n"):format(user, 40 * (user % 2) + movie, 880000000 + place)
    end
  end
  for movie = 0, 79 do
    items[movie + 1] = ("m%d|Movie %d (1995)|01-Jan-1995||%s\n"):format(movie, movie, ("|0"):rep(19))
  end
  command.write(dir .. "/u.data", table.concat(ratings))
  command.write(dir .. "/u.user", table.concat(users))
  command.write(dir .. "/u.item", table.concat(items))
  return dir
end

describe("a warm start of recipes/two_tower.lua", function()
  it("goes on from the bundle that an earlier run published", function()
    local cold = result_of "two_tower"
    local settings = { "train.warm_start=" .. cold.paths.bundle, "train.learning_rate=0.001", "train.user_cap=20",
      "train.log_q_window=5d" }
    local warm = result_of("two_tower", settings)
    assert.is_true(warm.metrics.ndcg_10 > cold.metrics.ndcg_10 / 2)
    local said = command.read(warm.paths.run .. "/log.txt")
    assert.matches("warm start from [^\n]+: %d+ parameters taken over, 0 fresh; [%d,]+ rows of known ids, 0 of new",
      said)
    local code, _, err = run("two_tower", { "train.warm_start=" .. folder .. "/gone" })
    assert.are_not.equal(0, code)
    assert.truthy(err:find("train.warm_start: ", 1, true), err)
  end)
end)

describe("recipes/mf.lua", function()
  it("takes less than 60 lines with its model", function()
    assert.is_true(count_lines "recipes/mf.lua" + count_lines "models/mf.lua" < 60)
  end)

  it("runs on the news sample and gives the promised fields", function()
    local result = result_of "mf"
    assert_result(result, "mf")
    assert.equal("by_time", result.protocol.kind)
  end)

  it("trains all epochs where there is nothing to validate on", function()
    local result = result_of("mf", { "split.valid=0", "train.epochs=2" })
    assert.equal(2, result.epoch)
    assert.is_nil(result.curves[2]["valid/ndcg_10"])
    assert.is_nil(result.curves[2]["valid/loss"])
  end)

  it("names the splits that there are when asked for another", function()
    local code, _, err = run("mf", { "split.kind=times" })
    assert.equal(2, code)
    assert.truthy(err:find("split.kind: 'times' is not one of leave_last_out, random, time", 1, true), err)
  end)

  it("learns two tastes that popularity cannot tell apart", function()
    local result = result_of("mf", { "data.source=movielens", "data.dir=" .. two_tastes(), "train.epochs=10",
      "train.batch=64" })
    assert_result(result, "mf")
    assert.equal("leave_last_out", result.protocol.kind)
    assert.is_true(result.metrics.ndcg_10 > 1.5 * result.baselines.popularity.ndcg_10)
    local rows = count_lines(result.paths.recommendations)
    assert.equal(1 + 80 * 10, rows)
  end)
end)

describe("a window that is not that of the data", function()
  it("ends the run before training, or warns where some queries remain", function()
    local code, _, err = run("mf", { "eval.window=1s" })
    assert.equal(2, code)
    assert.match("(%d+) of %1 valid queries ask for an item that is no candidate: older than eval.window = 1s, ", err)
    assert.match("leave the window out %(%-%-set eval.window=%)", err)
    local told = command.read(result_of("mf", { "eval.window=1h" }).paths.run .. "/log.txt")
    assert.match("warning: 634 of 646 valid queries ask for an item that is no candidate", told)
    assert.match("warning: 628 of 647 test queries ask", told)
  end)
end)

describe("the manual of recipes and models", function()
  --- The ```lua blocks of a page.
  local function blocks(page)
    local list = {}
    for block in command.read(page):gmatch "```lua\n(.-)```" do list[#list + 1] = block end
    return list
  end

  --- Train the model that a text is, by a copy of recipes/mf.lua with the model beside it.
  local function result_with(name, source)
    command.run(("mkdir -p %s/mine/models && cp recipes/mf.lua %s/mine"):format(folder, folder))
    command.write(("%s/mine/models/%s.lua"):format(folder, name), source)
    return result_of(folder .. "/mine/mf.lua", { "model.kind=" .. name })
  end

  it("begins with a recipe that runs", function()
    local path = command.write(folder .. "/hello.lua", blocks("docs/recipes.md")[1])
    local code, out, err = captured(function()
      return recipe.main(path, { json = true, set = { "count.to=100", "runs=" .. folder .. "/runs" } })
    end)
    assert.equal(0, code, err)
    assert.equal(5050, json.decode(out).metrics.total)
  end)

  --- A file's code without the comment that opens it.
  local function code_of(path)
    return (command.read(path):gsub("^%-%-%-.-\n\n", ""))
  end

  it("quotes matrix factorisation as it is", function()
    assert.equal(code_of "recipes/mf.lua", blocks("docs/recipes.md")[2])
    assert.equal(code_of "models/mf.lua", blocks("docs/models.md")[1])
  end)

  it("shows models that train", function()
    local _, all_features, bpr = table.unpack(blocks "docs/models.md")
    assert_result(result_with("all_features", all_features), "mf")
    local with_bpr = all_features:gsub("\nreturn function", function(found)
      return "\nlocal autograd = require \"recsys.autograd\"\n" .. bpr .. found
    end)
    local curve = result_with("with_bpr", with_bpr).curves[1]
    assert.is_true(curve["train/loss"] > 0 and curve["train/loss"] < math.log(2) + 0.01)
  end)
end)

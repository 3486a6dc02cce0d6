--- The benchmark recipes on tiny sets in the published layouts: when the test rows are opened, which epochs the final
--- models train, what the table says.

local base = require "recsys.base"
local command = require "spec.support.command"
local files = require "recsys.files"
local json = require "recsys.json"
local log = require "recsys.log"
local recipe = require "recsys.recipe"

local folder
before_each(function()
  folder = command.temporary()
  log.level = "quiet"
end)
after_each(function() command.remove(folder) end)

local function captured(fn)
  local stdout, stderr = io.stdout, io.stderr
  local out, err = assert(io.open(folder .. "/out", "w")), assert(io.open(folder .. "/err", "w"))
  rawset(io, "stdout", out)
  rawset(io, "stderr", err)
  local ok, result = pcall(fn)
  rawset(io, "stdout", stdout)
  rawset(io, "stderr", stderr)
  out:close()
  err:close()
  assert(ok, result)
  return result, command.read(folder .. "/out"), command.read(folder .. "/err")
end

--- Run a recipe on the folder's files; its exit code, result, what it said, and its log.
local function run(name, settings, as_table)
  local set = { "data.dir=" .. folder, "runs=" .. folder .. "/runs", "seeds=2", "train.epochs=3" }
  local source = command.read(("recipes/benchmarks/%s.lua"):format(name))
  local closed = source:find('kind = "ease"', 1, true) or source:find('kind = "item_knn"', 1, true)
  for _, setting in ipairs { "train.batch=64", "model.dim=8" } do -- a closed form has neither
    if not closed then set[#set + 1] = setting end
  end
  for _, setting in ipairs(settings or {}) do set[#set + 1] = setting end
  local code, out, err = captured(function()
    return recipe.main("recipes/benchmarks/" .. name .. ".lua", { json = not as_table, set = set, threads = 1,
      refresh = { "all" } })
  end)
  local said
  for _, entry in ipairs(files.names(folder .. "/runs")) do
    said = command.read(("%s/runs/%s/log.txt"):format(folder, entry))
  end
  return code, code == 0 and not as_table and json.decode(out) or out, err, said
end

--- Which of the 12 items of its half each of 40 users likes, in an order drawn at random.
local function likes(user)
  local list = {}
  for i, item in ipairs(base.stream(4, "user", user):permutation(12):tolist()) do
    list[i] = item + (user % 2 == 0 and 12 or 0)
  end
  return list
end

local function lines(fn)
  local list = {}
  for user = 0, 39 do list[#list + 1] = fn(user, likes(user)) end
  return table.concat(list, "\n") .. "\n"
end

local function write_gowalla()
  local function part(name, from, to)
    command.write(("%s/%s.txt"):format(folder, name), lines(function(user, list)
      return user .. " " .. table.concat(list, " ", from, to)
    end))
  end
  part("train", 1, 8)
  part("test", 9, 12)
  part("tune_train", 1, 6)
  part("tune_valid", 7, 8)
end

local function epochs_of(said, task)
  local part = said:match("task " .. task .. " begins(.-)task " .. task .. " leaves")
  local last
  for epoch in part:gmatch "epoch%s+(%d+)  train/loss" do last = tonumber(epoch) end
  return last
end

describe("recipes/benchmarks/gowalla.lua", function()
  it("chooses epochs on validation rows and opens the test rows once, behind all training", function()
    write_gowalla()
    local code, result, err, said = run("gowalla", { "seed=5" })
    assert.equal(0, code, err)
    assert.same({ 2, 2, 40, 20 }, { #result.seeds, #result.epochs, result.queries, result.k })
    for i, seed in ipairs { 5, 6 } do
      assert.equal(result.epochs[i], epochs_of(said, "train_" .. seed))
    end
    local _, opened = said:gsub("the test split is opened", "")
    assert.equal(1, opened)
    local behind = said:match "the test split is opened(.*)"
    assert.is_nil(behind:find("train/loss", 1, true))
    local mean = (result.seeds[1][1] + result.seeds[2][1]) / 2
    assert.is_true(math.abs(result.metrics.recall_20 - mean) < 1e-12)
    assert.is_true(math.abs(result.spread.recall_20 - math.abs(result.seeds[1][1] - mean) * 2 ^ 0.5) < 1e-12)
    assert.is_true(result.metrics.recall_20 > 0.9, "of 16 candidates 4 are liked, and 20 are taken")
    assert.equal(2, #result.references)
    assert.is_nil(result.paper_style)
  end)

  it("gives equal runs equal bits", function()
    write_gowalla()
    local settings = { "seeds=1", "eval.references=false" }
    local _, one = run("gowalla", settings)
    local _, two = run("gowalla", settings)
    assert.same(one.seeds, two.seeds)
  end)

  it("prints own rows beside published ones, and the figure in paper style apart when it is asked for", function()
    write_gowalla()
    local code, out, err, said = run("gowalla", { "eval.paper_style=true" }, true)
    assert.equal(0, code, err)
    assert.matches("ultra_gcn, mean of 2 +%d%.%d+ ± %d%.%d+", out)
    assert.truthy(out:find("chosen on validation rows", 1, true))
    assert.matches("ultra_gcn, PAPER STYLE .-epoch %d chosen by the TEST rows", out)
    assert.matches("LightGCN +0%.1830 +0%.1554 +LightGCN paper, table 4", out)
    assert.matches("GF%-CF .-closed form", out)
    assert.is_true(said:find("the test split is opened", 1, true) < said:find("task paper_style begins", 1, true))
  end)

  it("trains once, on all training rows, where nothing is to be tuned", function()
    write_gowalla()
    local code, out, err, said = run("gowalla", { "seeds=1", "eval.references=false", "eval.tune=false" }, true)
    assert.equal(0, code, err)
    assert.matches("ultra_gcn, one seed .-this run; nothing tuned; [^\n]+ a seed", out)
    assert.matches("task train_1 begins", said)
    assert.is_nil(said:find("task tune_1 begins", 1, true))
    local last
    for epoch in said:gmatch "epoch +(%d+)  train/loss" do last = epoch end
    assert.equal("3", last)
  end)

  it("says how to get the files when the folder is not there", function()
    local code, _, err = run("gowalla", { "data.dir=" .. folder .. "/gone" })
    assert.equal(2, code)
    assert.truthy(err:find("train.txt and test.txt are expected there", 1, true), err)
    assert.truthy(err:find("github.com/gusye1234/LightGCN-PyTorch", 1, true), err)
  end)
end)

describe("recipes/benchmarks/gowalla_gf_cf.lua", function()
  local function gf_cf(settings, as_table)
    local set = { "data.dir=" .. folder, "runs=" .. folder .. "/runs" }
    local code, out, err = captured(function()
      return recipe.main("recipes/benchmarks/gowalla_gf_cf.lua", { json = not as_table,
        set = table.move(settings or {}, 1, 9, 3, set), threads = 1, refresh = { "all" } })
    end)
    assert.equal(0, code, err)
    return as_table and out or json.decode(out)
  end

  it("has one seed, as none plays a part, and the figures of the reference that it is", function()
    write_gowalla()
    local result = gf_cf()
    assert.same({ 1, 1, 0 }, { #result.seeds, #result.seconds_a_seed, #result.epochs })
    assert.same({ .1849, .1518 }, result.reach)
    assert.is_false(result.reached, "it is not that data set")
    local _, beside = run("gowalla", { "seeds=1" })
    assert.same(beside.references[2], result.seeds[1])
    assert.same(gf_cf({ "seeds=2" }).seeds, { result.seeds[1], result.seeds[1] })
  end)

  it("says what is to be reached, whether it is, and what a seed took", function()
    write_gowalla()
    local out = gf_cf({}, true)
    assert.matches("GF%-CF, one seed .-closed form; .- a seed; deterministic, the same with every seed", out)
    assert.matches("to reach, to the fourth digit +0%.1849 +0%.1518 +NOT REACHED: recall_20 by %+0%.8151", out)
    assert.matches("GF%-CF, published +0%.1849 +0%.1518 +BARS", out)
    local _, named = out:gsub("GF%-CF", "")
    assert.equal(2, named, "the published row stands there once")
  end)
end)

describe("the rows of recipes/benchmarks/gowalla_*.lua", function()
  it("train what they name, and say what is to be reached beside the published row", function()
    write_gowalla()
    local rows = 0
    for _, file in ipairs(files.names "recipes/benchmarks") do
      local name = file:match "^(gowalla_[%w_]+)%.lua$"
      local source = name and command.read("recipes/benchmarks/" .. file)
      if name and source:find("model = {", 1, true) then
        rows = rows + 1
        local code, out, err = run(name, { "seeds=1", "eval.references=false" }, true)
        assert.equal(0, code, err)
        assert.matches("one seed [^\n]- a seed", out)
        assert.matches("\nto reach, [^\n]+", out)
        assert.matches("\n[^\n]+, published ", out)
      end
    end
    assert.is_true(rows >= 2)
  end)
end)

describe("a row of a benchmark", function()
  local gowalla = require "recsys.benchmark.gowalla"

  it("is refused where it has fields that nothing reads, or no model", function()
    assert.error_matches(function() gowalla.recipe { name = "x", model = { kind = "mf" }, reached = { 1 } } end,
      "a row of the benchmark gowalla has no field 'reached'", nil, true)
    assert.error_matches(function() gowalla.recipe { name = "x" } end,
      "the row 'x' needs a model or a reference, and not both", nil, true)
    assert.error_matches(function() gowalla.recipe { name = "x", model = { kind = "mf" }, published = "MF" } end,
      "no published row of the benchmark gowalla is called 'MF'", nil, true)
    assert.error_matches(function() gowalla.recipe { name = "x", model = { kind = "mf" }, reach = 1 } end,
      "field 'reach' of a row of the benchmark gowalla must be a table", nil, true)
  end)

  it("is reached from the figure on that it says, to the fourth digit", function()
    local benchmark = require "recsys.benchmark"
    local function reached(value, row)
      local study = { k = 20, metrics = { "recall" }, published = {}, row = row }
      local result = benchmark.result({ seed = 1, seeds = 1, model = { kind = "mf" } }, study, { epochs = { 3 },
        rivals = {}, curves = { { tuned = { { seconds = 60 } }, final = { { seconds = 30 } } } },
        test = { models = { { value } }, references = {}, queries = 1 } })
      assert.same({ 90 }, result.seconds_a_seed)
      return result.reached, result.text
    end
    assert.is_true((reached(.16266, { reach = { .1627 } })))
    assert.is_true((reached(.2, { reach = { .1627 } })))
    local ok, said = reached(.1625, { reach = { .1627 } })
    assert.is_false(ok)
    assert.matches("NOT REACHED: recall_20 by %-0%.0002", said)
    assert.matches("epochs 3 chosen on validation rows; 1 min 30 s a seed", said)
    assert.is_false((reached(.2, { reach = { .1627 }, exact = true })))
    assert.is_true((reached(.16266, { reach = { .1627 }, exact = true })))
    assert.is_nil((reached(.2, {})))
  end)
end)

describe("recipes/benchmarks/ml_1m_ncf.lua", function()
  it("ranks the given negatives", function()
    local function rating(user, item, time) return ("%d\t%d\t5\t%d"):format(user, item, time) end
    command.write(folder .. "/x.train.rating", lines(function(user, list)
      local rows = {}
      for i = 1, 8 do rows[i] = rating(user, list[i], i) end
      return table.concat(rows, "\n")
    end))
    command.write(folder .. "/x.test.rating", lines(function(user, list) return rating(user, list[9], 9) end))
    command.write(folder .. "/x.test.negative", lines(function(user, list)
      local row = { ("(%d,%d)"):format(user, list[9]) }
      for item = 0, 23 do
        if (item >= 12) ~= (user % 2 == 0) then row[#row + 1] = tostring(item) end
      end
      return table.concat(row, "\t")
    end))
    local code, result, err = run("ml_1m_ncf", { "train.epochs=20", "train.patience=20", "train.learning_rate=0.05" })
    assert.equal(0, code, err)
    assert.equal(40, result.queries)
    assert.is_true(result.metrics.hit_10 > 0.9, "the negatives are all of the other half")
    assert.equal(3, #result.references)
  end)
end)

describe("recipes/benchmarks/ml_1m.lua and sequential.lua", function()
  it("test what was tuned", function()
    command.write(folder .. "/set.txt", lines(function(user, list)
      local rows = {}
      for i = 1, 6 do rows[i] = user .. " " .. list[i] end
      return table.concat(rows, "\n")
    end))
    local code, result, err, said = run("ml_1m", {})
    assert.equal(0, code, err)
    assert.equal(40, result.queries)
    assert.is_nil(said:find("task train_1 begins", 1, true))
  end)

  it("stand beside the plain mean and ids alone in one table, by one look at the test rows", function()
    command.write(folder .. "/set.txt", lines(function(user, list)
      local rows = {}
      for i = 1, 6 do rows[i] = user .. " " .. list[i] end
      return table.concat(rows, "\n")
    end))
    local code, result, err, said = run("ml_1m", { "eval.references=false" })
    assert.equal(0, code, err)
    assert.same({ "next_item, plain mean", "mf, ids alone" }, { result.rivals[1].label, result.rivals[2].label })
    local _, opened = said:gsub("the test split is opened", "")
    assert.equal(1, opened)
    for _, rival in ipairs(result.rivals) do
      assert.same({ 2, 2 }, { #rival.seeds, #rival.epochs })
      local mean = (rival.seeds[1][1] + rival.seeds[2][1]) / 2
      assert.is_true(math.abs(rival.metrics.hit_10 - mean) < 1e-12)
      assert.is_true(math.abs(rival.spread.hit_10 - math.abs(rival.seeds[1][1] - mean) * 2 ^ 0.5) < 1e-12)
    end
    local _, alone = run("ml_1m", { "eval.references=false", "model.kind=mf", "eval.rivals=false", "train.epochs=20",
      "train.learning_rate=6e-3" })
    assert.same(alone.seeds, result.rivals[2].seeds)
    assert.is_nil(alone.rivals[1])
    local _, out = run("ml_1m", { "eval.references=false" }, true)
    assert.matches("next_item, mean of 2 .-next_item, plain mean, mean of 2 .-mf, ids alone, mean of 2 .-gSASRec", out)
  end)

  it("say whether seen items are candidates", function()
    command.write(folder .. "/Beauty.txt", lines(function(user, list)
      return user .. " " .. table.concat(list, " ", 1, 6)
    end))
    local said = {}
    for _, seen in ipairs { "true", "false" } do
      local code, out, err = run("sequential", { "seeds=1", "eval.exclude_seen=" .. seen }, true)
      assert.equal(0, code, err)
      said[seen] = out
      assert.matches("TIGER +0%.0648 +0%.0384", out)
    end
    assert.truthy(said["true"]:find("seen items left out", 1, true))
    assert.truthy(said["false"]:find("seen items are candidates", 1, true))
  end)
end)

describe("recipes/benchmarks/ml_1m_hstu.lua", function()
  it("trains on the second-last movie, which tuning holds out", function()
    command.write(folder .. "/ratings.dat", lines(function(user, list)
      local rows = {}
      for i = 1, 6 do rows[i] = ("%d::%d::4::%d"):format(user + 1, list[i], i * 1000) end
      return table.concat(rows, "\n")
    end))
    command.write(folder .. "/users.dat", lines(function(user) return ("%d::F::25::3::12345"):format(user + 1) end))
    local movies = {}
    for item = 0, 23 do movies[#movies + 1] = ("%d::Film %d (1990)::Drama"):format(item, item) end
    command.write(folder .. "/movies.dat", table.concat(movies, "\n") .. "\n")
    local code, result, err, said = run("ml_1m_hstu", { "seeds=1" })
    assert.equal(0, code, err)
    assert.equal(40, result.queries)
    assert.truthy(said:find("split leave_last_out: 160 train, 40 valid, 40 test rows", 1, true))
    assert.truthy(said:find("split leave_last_out: 200 train, 0 valid, 40 test rows", 1, true))
  end)
end)

describe("recipes/benchmarks/ml_100k.lua", function()
  it("asks test rows for titles, each seed by a split of its own", function()
    command.write(folder .. "/u.data", lines(function(user, list)
      local rows = {}
      for i = 1, 10 do rows[i] = ("%d\t%d\t4\t%d"):format(user + 1, list[i] + 1, 880000000 + 7000 * i + user) end
      return table.concat(rows, "\n")
    end))
    command.write(folder .. "/u.user", lines(function(user) return ("%d|24|M|writer|85711"):format(user + 1) end))
    local movies = {}
    for item = 1, 24 do -- 23 and 24 have one title
      movies[item] = ("%d|Film %d (1990)|01-Jan-1990||http://x|%s"):format(item, math.min(item, 23),
        ("0|"):rep(18) .. "1")
    end
    command.write(folder .. "/u.item", table.concat(movies, "\n") .. "\n")
    local code, result, err, said = run("ml_100k")
    assert.equal(0, code, err)
    assert.equal(80, result.queries)
    assert.equal(1, result.metrics.hit_100, "there are 23 titles")
    local _, splits = said:gsub("split random: 320 train, 0 valid, 80 test rows", "")
    assert.equal(2, splits)
    local _, opened = said:gsub("the test split is opened, time 1", "")
    assert.equal(2, opened)
  end)
end)

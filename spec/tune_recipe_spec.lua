--- Studies of recipes: worker processes, what they leave, and that killing them at any moment costs nothing.
---
--- RECSYS_KILLS says how many random kills there are (3 without it); RECSYS_KILL_SEED repeats the moments of a run.

local command = require "spec.support.command"
local json = require "recsys.json"
local study_of = require "recsys.tune.study"
local track = require "recsys.track"
local uv = require "luv"

local RECIPE = [[
local recsys = require "recsys"
local job, tune = recsys.job, recsys.tune
return recsys.recipe {
  name = "small", about = "Only train",
  params = {
    data = { source = "news", dir = "news", scale = 0.001 },
    split = { kind = "time", valid = 0.1, test = 0.1 },
    model = { kind = "two_tower", dim = 16, dropout = 0.1, temperature = 0.2, log_q = true, bias = true },
    train = { epochs = 4, batch = 128, learning_rate = 0.01, patience = 10, checkpoint = 0.03 },
    eval = { window = "7d" },
    early = false,
  },
  search = { ["model.dim"] = tune.choice { 8, 16, 24 }, ["train.learning_rate"] = tune.log_uniform(1e-4, 1e-1) },
  run = function(flow, p)
    local data = flow:task("load", job.load, p.data)
    local split = flow:task("split", job.split, data, p.split, p.seed)
    local encoder = flow:task("features", recsys.feature.fit, data, split.train, require "recipes.features.news")
    if p.early then flow:task("early", job.evaluate, p, {}, data, split) end
    local model = flow:task("train", job.train, p, encoder, data, split)
    flow:task("evaluate", job.evaluate, p, model, data, split)
    return {}
  end,
}]]

local folder

--- Run `recsys-run tune recipe.lua WORDS` to its end, or kill it, its workers too when `all`, after so many ms.
---@return integer code, integer signal, string said
local function tune(words, after, all, recipe)
  local out = assert(uv.fs_open(folder .. "/out", "w", 420))
  local code, signal
  local handle, pid = uv.spawn(command.program, { args = { "tune", recipe or "recipe.lua", "--threads", "1",
    table.unpack(words) }, cwd = folder, detached = true, stdio = { nil, out, out } },
    function(c, s) code, signal = c, s end)
  assert(handle, pid)
  uv.fs_close(out)
  local began = uv.hrtime()
  while not code do
    if (uv.hrtime() - began) / 1e9 > 180 then uv.kill(-pid, "sigkill") end
    if after and (uv.hrtime() - began) / 1e6 >= after then
      uv.kill(all and -pid or pid, "sigkill")
      after = nil
    end
    uv.run "nowait"
    uv.sleep(2)
  end
  handle:close()
  uv.run "nowait"
  return code, signal, command.read(folder .. "/out")
end

local function trials_of(name)
  local study <close> = study_of.attach { name = name, store = folder .. "/artifacts" }
  return study:trials()
end

--- The trials of a study whose end is committed, as text by number; none before the study is there.
local function ended(name)
  local ok, trials = pcall(trials_of, name)
  local list = {}
  for _, trial in ipairs(ok and trials or {}) do
    if trial.state ~= "running" and trial.state ~= "waiting" then
      list[trial.number] = json.encode { trial.state, trial.params, json.list(trial.values), trial.ended }
    end
  end
  return list
end

--- The tracked runs below a study's, by name.
local function runs_of(name)
  local study <close> = study_of.attach { name = name, store = folder .. "/artifacts" }
  local store <close> = track.open(folder .. "/artifacts")
  local found, parent = {}, store:run(study.run_id)
  for _, row in ipairs(store.db:rows([[SELECT t.run_uuid AS id FROM tags t WHERE t.key = 'mlflow.parentRunId'
      AND t.value = ?]], { study.run_id })) do
    local run = store:run(row.id)
    found[run.info.run_name] = found[run.info.run_name] or {}
    table.insert(found[run.info.run_name], run)
  end
  return found, parent
end

local function by_key(list)
  local map = {}
  for _, pair in ipairs(list or {}) do map[pair.key] = pair.value end
  return map
end

describe("a study of a recipe", function()
  setup(function()
    folder = command.temporary()
    command.write(folder .. "/recipe.lua", RECIPE)
    local code, _, said = tune { "--study", "together", "--trials", "3", "--workers", "3", "--no-retrain" }
    assert.equal(0, code, said)
    assert.matches("3 trials, 3 complete", said) -- which have all waited for the one that made the sample
    code, _, said = tune { "--study", "first", "--trials", "1", "--no-retrain" }
    assert.equal(0, code, said)
  end)

  teardown(function() command.remove(folder) end)

  it("runs each trial as a tracked run below its own, which ends before test rows are asked", function()
    local code, _, said = tune { "--study", "s", "--trials", "4", "--workers", "2", "--no-retrain" }
    assert.equal(0, code, said)
    assert.matches("study s: 4 trials, 4 complete", said)
    local runs, parent = runs_of "s"
    local tags = by_key(parent.data.tags)
    assert.equal("objective/valid/ndcg_10", tags["recsys.study.metric"])
    assert.equal("maximize", tags["recsys.study.direction"])
    assert.equal("FINISHED", parent.info.status)
    for _, trial in ipairs(trials_of "s") do
      local run = runs[trial.name]
      assert.equal(1, #run)
      assert.equal("FINISHED", run[1].info.status)
      local params, metrics = by_key(run[1].data.params), by_key(run[1].data.metrics)
      assert.equal(tostring(trial.params["model.dim"]), params["model.dim"])
      assert.equal(trial.values[1], metrics["objective/valid/ndcg_10"])
      assert.equal("complete", by_key(run[1].data.tags)["recsys.trial.state"])
      for name in pairs(metrics) do assert.is_nil(name:find "^test/", name) end
      local best = 0
      for _, value in pairs(trial.intermediate) do best = math.max(best, value) end
      assert.equal(best, trial.values[1])
      local tasks = command.read(("%s/artifacts/runs/s/%s/tasks.json"):format(folder, trial.name))
      assert.is_nil(tasks:find '"evaluate"')
    end
  end)

  it("trains the best one again, and only then asks test rows", function()
    local code, _, said = tune { "--study", "first", "--trials", "1", "--json" }
    assert.equal(0, code, said)
    local objects = {}
    for line in said:gmatch "[^\n]+" do
      if line:find "^{" then objects[#objects + 1] = json.decode(line) end
    end
    assert.equal("trial_0", objects[1].best.trial)
    assert.equal("small", objects[2].recipe)
    local runs = runs_of "first"
    runs.trial_0 = nil
    local _, best = next(runs)
    assert.truthy(best[1].info.run_name:find "^small%-")
  end)

  it("records trials that fail, and goes on", function()
    local code, _, said = tune { "--study", "failing", "--trials", "4", "--no-retrain", "--sampler", "grid", "--search",
      "model.kind=choice { 'two_tower', 'no_model' }", "--search", "model.dim=choice { 8, 16 }" }
    assert.equal(0, code, said)
    local states = {}
    for i, trial in ipairs(trials_of "failing") do
      states[i] = trial.state
      if trial.state == "failed" then assert.matches("no_model", trial.message) end
    end
    table.sort(states)
    assert.same({ "complete", "complete", "failed", "failed" }, states)
  end)

  it("fails a trial whose workers die three times, and goes on", function()
    command.write(folder .. "/deadly.lua", (RECIPE:gsub("return {}", ""):gsub("run = function%(flow, p%)",
      "run = function(flow, p)\n    if flow.folder and p.model.dim == 8 then require('luv').kill(require('luv')"
      .. ".os_getpid(), 'sigkill') end")))
    local code, _, said = tune({ "--study", "deadly", "--trials", "2", "--no-retrain", "--sampler", "grid", "--search",
      "model.dim=choice { 8, 16 }" }, nil, nil, "deadly.lua")
    assert.equal(0, code, said)
    local trials = trials_of "deadly"
    assert.equal("failed", trials[1].state)
    assert.matches("its worker died %(signal 9%)", trials[1].message)
    assert.equal(3, trials[1].attempts)
    assert.equal("complete", trials[2].state)
  end)

  it("refuses to let a trial ask test rows before it has trained", function()
    local code, _, said = tune { "--study", "early", "--trials", "1", "--no-retrain", "--set", "early=true" }
    assert.equal(1, code, said)
    assert.matches("this recipe asks its test rows before", trials_of("early")[1].message)
  end)

  it("prunes by what is reported after each epoch", function()
    local code, _, said = tune { "--study", "pruned", "--trials", "8", "--workers", "2", "--no-retrain", "--pruner",
      "asha,eta=2" }
    assert.equal(0, code, said)
    local runs, pruned = runs_of "pruned", 0
    for _, trial in ipairs(trials_of "pruned") do
      if trial.state == "pruned" then
        pruned = pruned + 1
        assert.is_true(trial.last_step < 4)
        assert.equal("pruned", by_key(runs[trial.name][1].data.tags)["recsys.trial.state"])
        assert.equal("FINISHED", runs[trial.name][1].info.status)
      end
    end
    assert.is_true(pruned > 0, said)
  end)

  it("has a front for several metrics", function()
    local code, _, said = tune { "--study", "front", "--trials", "4", "--no-retrain", "--metric", "valid/ndcg_10",
      "--metric", "parameters" }
    assert.equal(0, code, said)
    assert.matches("the front, what no other trial beats", said)
    for _, trial in ipairs(trials_of "front") do assert.equal(2, #trial.values) end
  end)

  it("killed at random moments loses no completed trial and repeats none", function()
    local kills, seed = tonumber(os.getenv "RECSYS_KILLS" or 3), tonumber(os.getenv "RECSYS_KILL_SEED") or os.time()
    local words, killed, round, known = { "--workers", "2", "--no-retrain", "--trials", "6" }, 0, 0, {}
    math.randomseed(seed)
    while killed < kills do
      local name = "killed" .. round
      local code, signal, said = tune({ "--study", name, table.unpack(words) }, 100 + math.random() * 2500,
        math.random() < 0.7)
      assert.is_true(signal == 9 or code == 0, ("code %d, seed %d\n%s"):format(code, seed, said))
      local now = ended(name)
      for number, one in pairs(known) do assert.equal(one, now[number], ("seed %d"):format(seed)) end
      known = now
      if signal == 9 then
        killed = killed + 1
      else
        round, known = round + 1, {}
      end
    end
    for i = 0, round do
      local name = "killed" .. i
      local code, _, said = tune { "--study", name, table.unpack(words) }
      assert.equal(0, code, said)
      local now, runs = ended(name), runs_of(name)
      for number, one in pairs(i == round and known or {}) do
        assert.equal(one, now[number], ("seed %d"):format(seed))
      end
      for number = 0, 5 do
        local trial = trials_of(name)[number + 1]
        assert.equal("complete", trial.state, ("seed %d: %s"):format(seed, trial.message))
        assert.is_true(#runs["trial_" .. number] >= 1)
      end
      assert.equal(6, #trials_of(name))
    end
  end)

  it("refuses a search space that the parameters do not take", function()
    local function refused(search, ...)
      local code, _, said = tune { "--study", "refused", "--trials", "1", "--search", search, ... }
      assert.equal(2, code, said)
      return said
    end
    assert.matches("there is no parameter 'model.dimm' %(the search space: one of 8, 16%); did you mean 'model.dim'",
      refused "model.dimm=choice { 8, 16 }")
    assert.matches("model.dim must be a whole number, not", refused "model.dim=uniform(8, 16)")
    assert.matches("%-%-search model.dim: .*attempt to call a nil value", refused "model.dim=chose { 8, 16 }")
    assert.matches("there is no sampler 'tpi'", refused("model.dim=choice { 8, 16 }", "--sampler", "tpi"))
    assert.matches("the pruner asha has no option 'etta'", refused("model.dim=choice { 8, 16 }", "--pruner",
      "asha,etta=3"))
    local code, _, said = tune { "--study", "refused" }
    assert.equal(2, code)
    assert.matches("how long%? %-%-trials N", said)
  end)
end)

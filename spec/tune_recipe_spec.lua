--- Studies of recipes: worker processes, what they leave, and what becomes of the best trial.

local command = require "spec.support.command"
local files = require "recsys.files"
local json = require "recsys.json"
local lfs = require "lfs"
local sql = require "recsys.sql"
local studied = require "spec.support.studied"
local uv = require "luv"

local place, folder

local function tune(words, options) return place:tune(words, options) end
local function trials_of(name) return place:trials_of(name) end
local function runs_of(name) return place:runs_of(name) end
local by_key = studied.by_key

describe("a study of a recipe", function()
  setup(function()
    place = studied.place()
    folder = place.folder
    local code, _, said = tune { "--study", "together", "--trials", "3", "--workers", "3", "--no-retrain" }
    assert.equal(0, code, said)
    assert.matches("3 trials, 3 complete", said) -- which have all waited for the one that made the sample
    code, _, said = tune { "--study", "first", "--trials", "1", "--no-retrain" }
    assert.equal(0, code, said)
  end)

  teardown(function() place:remove() end)

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

  it("trains the best one again, once, and only then asks test rows", function()
    local function found_by(...)
      local code, _, said = tune { "--study", "first", "--json", "--trials", ... }
      assert.equal(0, code, said)
      local objects, count, runs, parent = {}, 0, runs_of "first"
      for line in said:gmatch "[^\n]+" do
        if line:find "^{" then objects[#objects + 1] = json.decode(line) end
      end
      for name in pairs(runs) do count = count + (name:find "^small%-" and 1 or 0) end
      return { best = objects[1].best.trial, result = objects[2], count = count, tags = by_key(parent.data.tags),
        runs = runs, said = said }
    end
    local first = found_by "1"
    assert.same({ "trial_0", "small", 1 }, { first.best, first.result.recipe, first.count })
    assert.equal("trial_0", first.tags["recsys.study.retrained"])
    assert.equal(first.tags["recsys.study.retrained_run"], first.runs[first.result.run][1].info.run_id)
    local same = found_by "1"
    assert.same({ "trial_0", first.result.run, 1 }, { same.best, same.result.run, same.count })
    assert.matches("trial_0 was trained again before, as artifacts/runs/" .. first.result.run, same.said, 1, true)
    local anew = found_by("1", "--retrain")
    assert.equal(2, anew.count)
    assert.not_equal(first.result.run, anew.result.run)
    local more = found_by "3"
    assert.equal(more.best == "trial_0" and 2 or 3, more.count)
    assert.equal(more.best, more.tags["recsys.study.retrained"])
  end)

  it("takes a pruned trial up again from its checkpoint, and comes to the same bits", function()
    local words = { "--trials", "9", "--no-retrain", "--sampler", "random" }
    local code, _, said = tune { "--study", "halved", "--pruner", "asha,eta=2", table.unpack(words) }
    assert.equal(0, code, said)
    code, _, said = tune { "--study", "unhalved", table.unpack(words) }
    assert.equal(0, code, said)
    local whole, runs, promoted, complete = trials_of "unhalved", runs_of "halved", 0, 0
    for i, trial in ipairs(trials_of "halved") do
      local log, epochs = command.read(("%s/artifacts/runs/halved/%s/log.txt"):format(folder, trial.name)), 0
      for _ in log:gmatch "epoch +%d+  train/loss" do epochs = epochs + 1 end
      assert.equal(trial.last_step, epochs) -- none was trained twice
      for step, value in pairs(trial.intermediate) do assert.equal(whole[i].intermediate[step], value) end
      assert.equal(1, #runs[trial.name])
      assert.equal("FINISHED", runs[trial.name][1].info.status)
      assert.equal(trial.state, by_key(runs[trial.name][1].data.tags)["recsys.trial.state"])
      if trial.state == "complete" then
        complete = complete + 1
        assert.same(whole[i].values, trial.values)
      end
      if trial.promoted then promoted = promoted + 1 end
    end
    assert.is_true(promoted > 0 and complete < 9, said)
  end)

  it("leaves no worker when kill -9 ends it", function()
    local seen = 0
    local _, signal = tune({ "--study", "orphans", "--trials", "4", "--workers", "2", "--no-retrain", "--set",
      "train.epochs=4000", "--set", "train.patience=4000" }, { after = 1500, kill = function(pid)
        seen = #place:workers "orphans"
        uv.kill(pid, "sigkill")
      end })
    assert.equal(9, signal)
    assert.equal(2, seen)
    assert.is_true(place:are_gone "orphans")
  end)

  it("sets right the run of a trial whose worker was killed between their ends", function()
    local words = { "--study", "amended", "--trials", "2", "--no-retrain" }
    local code, _, said = tune(words)
    assert.equal(0, code, said)
    local runs = runs_of "amended"
    local id, store = runs.trial_1[1].info.run_id, assert(sql.open(folder .. "/artifacts/mlflow.db"))
    store:run("UPDATE runs SET status = 'KILLED' WHERE run_uuid = ?", { id })
    store:run("DELETE FROM tags WHERE run_uuid = ? AND key LIKE 'recsys.trial%'", { id })
    store:run("DELETE FROM latest_metrics WHERE run_uuid = ? AND key LIKE 'objective%'", { id })
    store:close()
    local flows = assert(sql.open(folder .. "/artifacts/flow.db"))
    flows:run "UPDATE runs SET state = 'crashed' WHERE name = 'trial_1' AND folder LIKE '%/amended/%'"
    code, _, said = tune(words)
    assert.equal(0, code, said)
    local record = flows:row "SELECT state FROM runs WHERE name = 'trial_1' AND folder LIKE '%/amended/%'"
    assert.equal("completed", record.state)
    flows:close()
    local after = runs_of "amended"
    assert.equal(1, #after.trial_1)
    assert.equal("FINISHED", after.trial_1[1].info.status)
    local tags = by_key(after.trial_1[1].data.tags)
    assert.same({ "complete", "1" }, { tags["recsys.trial.state"], tags["recsys.trial.number"] })
    assert.equal(trials_of "amended"[2].values[1], by_key(after.trial_1[1].data.metrics)["objective/valid/ndcg_10"])
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
    command.write(folder .. "/deadly.lua", (studied.RECIPE:gsub("return {}", ""):gsub("run = function%(flow, p%)",
      "run = function(flow, p)\n    if flow.folder and p.model.dim == 8 then require('luv').kill(require('luv')"
      .. ".os_getpid(), 'sigkill') end")))
    local code, _, said = tune({ "--study", "deadly", "--trials", "2", "--no-retrain", "--sampler", "grid", "--search",
      "model.dim=choice { 8, 16 }" }, { recipe = "deadly.lua" })
    assert.equal(0, code, said)
    local trials = trials_of "deadly"
    assert.equal("failed", trials[1].state)
    assert.matches("its worker died %(signal 9%)", trials[1].message)
    assert.equal(3, trials[1].attempts)
    assert.equal("complete", trials[2].state)
    local run = runs_of "deadly".trial_0[1]
    assert.equal("FAILED", run.info.status)
    assert.matches("its worker died", by_key(run.data.tags)["recsys.failure"])
  end)

  it("records how a worker ended by itself", function()
    command.write(folder .. "/exits.lua", (studied.RECIPE:gsub("run = function%(flow, p%)",
      "run = function(flow, p)\n    if flow.folder and p.model.dim == 8 then os.exit(7) end")))
    local code, _, said = tune({ "--study", "exits", "--trials", "2", "--workers", "2", "--no-retrain", "--sampler",
      "grid", "--search", "model.dim=choice { 8, 16 }" }, { recipe = "exits.lua" })
    assert.equal(0, code, said)
    local trial = trials_of("exits")[1]
    assert.equal("failed", trial.state)
    assert.matches("its worker died %(exit code 7%); what it said is in .*/exits/trial_0.out", trial.message)
    assert.matches("\n  trial_0   failed    its worker died", said)
  end)

  it("has several objectives by several workers, and ends by time or a plateau", function()
    local code, _, said = tune { "--study", "both", "--trials", "13", "--workers", "3", "--no-retrain", "--metric",
      "valid/ndcg_10", "--metric", "parameters" }
    assert.equal(0, code, said)
    local trials = trials_of "both"
    assert.equal(13, #trials)
    for i, trial in ipairs(trials) do
      assert.same({ i - 1, "complete", 2 }, { trial.number, trial.state, #trial.values })
    end
    local function ended_by(...)
      code, _, said = tune { "--no-retrain", "--json", "--workers", "2", ... }
      assert.equal(0, code, said)
      local found = json.decode(said:match "(%b{})\n$" or said:match "\n({.*})")
      return found.ended_by, found.trials
    end
    assert.equal("seconds", (ended_by("--study", "timed", "--time", "1s")))
    local why, count = ended_by("--study", "flat", "--plateau", "2", "--sampler", "grid", "--search",
      "train.learning_rate=choice { 0.02, 0.01, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9 }")
    assert.equal("plateau", why)
    assert.is_true(count < 8)
  end)

  it("refuses to let a trial ask test rows before it has trained", function()
    local code, _, said = tune { "--study", "early", "--trials", "1", "--no-retrain", "--set", "early=true" }
    assert.equal(2, code, said)
    assert.matches("this recipe asks its test rows before", trials_of("early")[1].message)
  end)

  it("runs tasks in processes of their own as parts of the trial", function()
    local words = { "--trials", "8", "--no-retrain", "--sampler", "random", "--pruner", "asha,eta=2" }
    local boxed = studied.RECIPE:gsub('"train", ', '"train", { timeout = 600 }, '):gsub('"evaluate", ',
      '"evaluate", { process = true }, ')
    command.write(folder .. "/boxed.lua", boxed)
    local code, _, said = tune({ "--study", "boxed", table.unpack(words) }, { recipe = "boxed.lua" })
    assert.equal(0, code, said)
    code, _, said = tune { "--study", "unboxed", table.unpack(words) }
    assert.equal(0, code, said)
    local plain, runs, states = trials_of "unboxed", runs_of "boxed", {}
    for i, trial in ipairs(trials_of "boxed") do
      assert.same({ plain[i].state, plain[i].values, plain[i].intermediate },
        { trial.state, trial.values, trial.intermediate })
      states[trial.state] = true
      local run, own = runs[trial.name][1], ("%s/artifacts/runs/boxed/%s"):format(folder, trial.name)
      assert.equal("FINISHED", run.info.status)
      assert.equal(trial.state, by_key(run.data.tags)["recsys.trial.state"])
      assert.is_nil(command.read(own .. "/tasks.json"):find '"evaluate"')
      assert.matches("epoch +1 ", command.read(own .. "/logs/04-train.txt"))
    end
    assert.is_true(states.complete and states.pruned, said)
  end)

  it("gives trials back whose tasks in processes are stopped, and goes on from their checkpoints", function()
    local boxed = studied.RECIPE:gsub('"train", ', '"train", { timeout = 600 }, ')
    command.write(folder .. "/boxed.lua", boxed)
    local words = { "--study", "stopped", "--trials", "1", "--no-retrain", "--set", "train.epochs=200", "--set",
      "train.patience=200" }
    local log = folder .. "/artifacts/runs/stopped/trial_0/logs/04-train.txt"
    local code, _, said = tune(words, { recipe = "boxed.lua", after = 0, kill = function(pid)
      for _ = 1, 6000 do
        if (files.read(log) or ""):find "epoch +3 " then break end
        uv.sleep(10)
      end
      uv.kill(pid, "sigterm")
    end })
    assert.equal(143, code, said)
    assert.equal("waiting", trials_of("stopped")[1].state)
    code, _, said = tune(words, { recipe = "boxed.lua" })
    assert.equal(0, code, said)
    local trial, epochs = trials_of("stopped")[1], 0
    assert.same({ "complete", 200 }, { trial.state, trial.last_step })
    for _ in command.read(log):gmatch "epoch +%d+  train/loss" do epochs = epochs + 1 end
    assert.equal(200, epochs)
  end)

  it("is ended by whichever element of a list ends it", function()
    local mapped = studied.RECIPE:gsub("return {}\n", ""):gsub('local model = flow:task%("train".*$', [[
    return flow:map("each", { concurrency = 2, on_error = "keep" }, function(n)
      local current = require "recsys.tune.current"
      if n == 1 then os.execute "sleep 60" end
      current.report(1, { ["valid/ndcg_10"] = 0.5 }, true)
      current.finish { ["valid/ndcg_10"] = 0.5 }
    end, { 1, 2 })
  end,
}]])
    command.write(folder .. "/mapped.lua", mapped)
    local code, _, said = tune({ "--study", "mapped", "--trials", "1", "--no-retrain" }, { recipe = "mapped.lua" })
    assert.equal(0, code, said)
    local trial = trials_of("mapped")[1]
    assert.same({ "complete", { 0.5 } }, { trial.state, trial.values })
    assert.is_true(trial.ended - trial.started < 50000)
    assert.matches('"name":"each"[^}]*"state":"completed"',
      command.read(folder .. "/artifacts/runs/mapped/trial_0/tasks.json"))
  end)

  it("lets no trial publish, nor ask test rows, in whatever process and whatever an earlier run kept", function()
    local own = studied.RECIPE:gsub("return recsys", [[
local function train(p, encoder, data, split) -- of which no trial hears
  p = require("recsys.settings").with(p, "train")
  return recsys.train.fit(recsys.lookup.model(p.model.kind), { kind = p.model.kind, config = p.model, train = p.train,
    encoder = encoder, data = data, split = split:selection(), metric = p.train.metric, seed = p.seed })
end
return recsys]], 1):gsub("early = false", 'publish = { name = "mf", dir = "models" }, way = ""')
      :gsub('if p.early .-\n.*$', [[
    local model = flow:task("train", train, p, encoder, data, split)
    local boxed = { process = true }
    if p.way == "kept" then
      flow:task("early", job.evaluate, p, model, data, split)
    elseif p.way == "opened" then
      local final = flow:task("final", function(s)
        s:end_selection "settled"
        return s
      end, split)
      flow:task("early", { process = true, cache = false }, function(s) return #s:open_test() end, final)
    elseif p.way == "evaluate" then
      flow:task("early", boxed, job.evaluate, p, model, data, split)
    elseif p.way == "publish" then
      flow:task("early", boxed, job.publish, p, model, data, { metrics = {} }, flow.name)
    else
      flow:task("early", boxed, function() return recsys.registry.publish {} end)
    end
    return {}
  end,
}]])
    command.write(folder .. "/own.lua", own)
    local set = "--set train.epochs=1 --set model.dim=8 --set train.learning_rate=0.01 --threads 1"
    for _, way in ipairs { "kept", "opened" } do
      local ran = command.run(("cd %s && %s own.lua --set way=%s %s"):format(folder, command.program, way, set))
      assert.equal(0, ran.code, ran.err)
    end
    for way, said_is in pairs { kept = "asks its test rows", opened = "asks its test rows",
      evaluate = "asks its test rows", publish = "publishes a model", registry = "publishes a model" } do
      local _, _, said = tune({ "--study", "own-" .. way, "--trials", "1", "--no-retrain", "--sampler",
        "grid", "--search", "model.dim=choice { 8, 16 }", "--set", "train.epochs=1", "--set",
        "train.learning_rate=0.01", "--set", "way=" .. way }, { recipe = "own.lua" })
      local trial = trials_of("own-" .. way)[1]
      assert.equal("failed", trial.state, said)
      assert.matches("this recipe " .. said_is .. " before", trial.message)
    end
    assert.is_nil(lfs.attributes(folder .. "/models"))
  end)

  it("ends at once where no trial can tell what is asked", function()
    local code, _, said = tune { "--study", "misspelt", "--trials", "6", "--no-retrain", "--metric", "valid/ndcg_1O" }
    assert.equal(2, code, said)
    assert.equal(1, #trials_of "misspelt")
    assert.matches("the study cannot go on: .*the training measures no 'valid/ndcg_1O'.*did you mean 'valid/ndcg_10'",
      said)
    local boxed = studied.RECIPE:gsub('"train", ', '"train", { process = true, retries = 3 }, ')
    command.write(folder .. "/boxed.lua", boxed)
    code, _, said = tune({ "--study", "misspelt-too", "--trials", "6", "--no-retrain", "--metric", "valid/ndcg_1O" },
      { recipe = "boxed.lua" })
    assert.equal(2, code, said)
    assert.equal(1, #trials_of "misspelt-too")
    code, _, said = tune { "--study", "nowhere", "--trials", "9", "--no-retrain", "--set", "data.source=movielens",
      "--set", "data.dir=nowhere" }
    assert.equal(2, code, said)
    assert.equal(3, #trials_of "nowhere")
    assert.matches("the study cannot go on: data.dir: there is no folder 'nowhere'", said)
  end)

  it("goes on with the same parameters alone, wherever they come from, and tells of another recipe", function()
    local file = folder .. "/cf.json"
    local function go_on(trials)
      local code, _, said = tune({ "--study", "same", "--no-retrain", "--config", "cf.json", "--trials", trials },
        { recipe = "same.lua" })
      return code, said
    end
    command.write(folder .. "/same.lua", studied.RECIPE)
    command.write(file, '{ "train": { "epochs": 2 } }')
    local code, said = go_on "1"
    assert.equal(0, code, said)
    command.write(file, '{ "train.epochs": 2, "model.dim": 64 }') -- dim is searched
    code, said = go_on "2"
    assert.equal(0, code, said)
    assert.is_nil(said:find "has changed")
    command.write(file, '{ "train": { "epochs": 3 } }')
    code, said = go_on "3"
    assert.equal(2, code, said)
    assert.matches("the study 'same' was begun with other settings %(train.epochs was 2, is 3%)", said)
    command.write(file, '{ "train": { "epochs": 2 } }')
    uv.os_setenv("RECSYS_SET_TRAIN__BATCH", "64")
    code, said = go_on "3"
    uv.os_unsetenv "RECSYS_SET_TRAIN__BATCH"
    assert.equal(2, code, said)
    assert.matches("%(train.batch was 128, is 64%)", said)
    command.write(folder .. "/same.lua", studied.RECIPE .. "-- another line")
    code, said = go_on "3"
    assert.equal(0, code, said)
    assert.matches("same.lua has changed since the study was begun", said)
    assert.equal(3, #trials_of "same")
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

  it("refuses a search space that the parameters do not take", function()
    local function refused(search, ...)
      local code, _, said = tune { "--study", "refused", "--trials", "1", "--search", search, ... }
      assert.equal(2, code, said)
      return said
    end
    assert.matches("there is no parameter 'model.dimm' %(the search space: one of 8, 16%); did you mean 'model.dim'",
      refused "model.dimm=choice { 8, 16 }")
    assert.matches("model.dim must be a whole number, not", refused "model.dim=uniform(8, 16)")
    assert.matches("%-%-search model.dim: there is no 'chose'; there are choice, integer, uniform, log_uniform, "
      .. "quantised, when; did you mean 'choice'?", refused "model.dim=chose { 8, 16 }")
    assert.matches("there is no sampler 'tpi'", refused("model.dim=choice { 8, 16 }", "--sampler", "tpi"))
    assert.matches("the pruner asha has no option 'etta'", refused("model.dim=choice { 8, 16 }", "--pruner",
      "asha,etta=3"))
    local code, _, said = tune { "--study", "refused" }
    assert.equal(2, code)
    assert.matches("how long%? %-%-trials N", said)
  end)
end)

--- A real MLflow (the newest, 2.9, and those between that are installed) opens a folder of ours and shows what our
--- store holds: runs, parameters, curves, artifacts; and still does when it has upgraded the database and we write
--- again.

local command = require "spec.support.command"
local json = require "recsys.json"
local report = require "recsys.report"
local store = require "recsys.track.store"
local track = require "recsys.track"

--- A run of five epochs, with all that a run can log.
local function trial(place, number)
  local opened <close> = track.open(place)
  local run = track.start { experiment = "news", name = ("trial %d"):format(number), store = opened,
    tags = { stage = "try <b>" } }
  run:params { learning_rate = 0.01 * number, hidden = { 128, 64 }, data = { dir = "artifacts/data/ñ" } }
  local losses = {}
  for epoch = 1, 5 do
    losses[epoch] = 3 / (epoch + number)
    run:metrics({ ["train/loss"] = losses[epoch], ["valid/ndcg@10"] = 0.1 * epoch }, epoch)
  end
  run:metric("odd", 0 / 0, 1)
  run:note "What was **tried**"
  run:artifact(report.line { title = "Loss", y = losses }, "charts/loss")
  run:artifact({ recall_10 = 0.5 }, "metrics.json")
  run:child({ name = "fold" }):finish()
  run:finish()
end

--- What our store holds, in the form in which mlflow_ui.py tells what MLflow shows.
local function held(place)
  local opened <close> = store.open(place, { read_only = true })
  local runs, ids = {}, {}
  for _, row in ipairs(opened.db:rows "SELECT run_uuid FROM runs") do ids[#ids + 1] = row.run_uuid end
  for _, run in ipairs(opened:runs(ids)) do
    local id, one = run.info.run_id, { params = {}, metrics = {}, histories = {}, tags = {} }
    for _, kind in ipairs { "params", "metrics", "tags" } do
      for _, entry in ipairs(run.data[kind] or {}) do one[kind][entry.key] = entry.value end
    end
    for name in pairs(one.metrics) do
      one.histories[name] = {}
      for i, point in ipairs((opened:metric_history { run_id = id, metric_key = name })) do
        one.histories[name][i] = { point.step, point.value }
      end
    end
    one.name, one.status = run.info.run_name, run.info.status
    one.place = ("%s/mlartifacts/%s/%s/artifacts"):format(place, run.info.experiment_id, id)
    runs[id] = one
  end
  return runs
end

--- Files below a folder by their path, with what sha256sum says; none where there is no folder.
local function files_of(place)
  local found = {}
  local ran = command.run(("cd %s && find . -type f -exec sha256sum {} +"):format(place))
  for sum, path in ran.out:gmatch "(%x+)  %./([^\n]+)" do found[path] = sum end
  return found
end

local function is_nan(value) return value == "NaN" or value ~= value end

--- Numbers, and lists of lists of them, where one side may say "NaN" and the other be it.
local function assert_alike(ours, theirs, what)
  if type(ours) == "table" then
    for key in pairs(theirs) do assert.is_not_nil(ours[key], what .. " " .. tostring(key)) end
    for key, value in pairs(ours) do assert_alike(value, theirs[key], what .. " " .. tostring(key)) end
  else
    assert.is_true(ours == theirs or is_nan(ours) and is_nan(theirs),
      ("%s: %s, MLflow shows %s"):format(what, tostring(ours), tostring(theirs)))
  end
end

local function same_run(ours, theirs)
  assert.same({ ours.name, ours.status, "active" }, { theirs.name, theirs.status, theirs.lifecycle })
  assert.same(ours.params, theirs.params)
  assert_alike(ours.metrics, theirs.metrics, ours.name)
  assert_alike(ours.histories, theirs.histories, ours.name)
  for key, value in pairs(ours.tags) do assert.equal(value, theirs.tags[key], key) end
  local sums = {}
  for path, file in pairs(theirs.artifacts) do sums[path] = file.sha256 end
  assert.same(files_of(ours.place), sums)
end

--- Look at a place by the MLflow of a Python: it shows all runs that we hold, alike, and no others.
---@return table theirs, table ours
local function look(place, python, options)
  local ran = command.run(("%s spec/peers/mlflow_ui.py %s %s"):format(python, place, options))
  assert.equal(0, ran.code, ran.err)
  local theirs, ours = json.decode(ran.out), held(place)
  for id, run in pairs(ours) do
    assert.truthy(theirs.runs[id], "MLflow does not show the run " .. run.name)
    same_run(run, theirs.runs[id])
  end
  for id in pairs(theirs.runs) do assert.truthy(ours[id]) end
  assert.is_true(theirs.page)
  return theirs, ours
end

--- The same for runs of trial(), of which there are 'count'.
local function compare(place, python, options, count)
  local theirs, ours = look(place, python, options)
  local n = 0
  for id, run in pairs(ours) do
    if run.name:find "^trial" then
      n = n + 1
      assert.equal(5, #theirs.runs[id].histories["train/loss"])
      assert.equal(5, #theirs.runs[id].histories["valid/ndcg_10"])
      assert.truthy(theirs.runs[id].artifacts["charts/loss.svg"])
    end
  end
  assert.equal(count, n)
end

--- A trial of the recipe in a folder, small.
local function train(place, seed)
  local ran = command.run(("cd %s && %s %s/recipes/two_tower.lua --json --threads 1 --set data.scale=0.0005 "
    .. "--set train.epochs=2 --set model.dim=8 --set eval.samples=20 --seed %d"):format(place, command.program,
    command.root, seed))
  assert.equal(0, ran.code, ran.err)
end

--- Look at trials of the recipe, of which there are 'count', at what people look for in them, and at the model's
--- versions, of which the first is the champion.
local function compare_trials(place, python, options, count)
  local theirs, n = look(place .. "/artifacts", python, options), 0
  for _, run in pairs(theirs.runs) do
    n = n + 1
    assert.equal("two_tower", theirs.experiments[run.experiment])
    assert.same({ 2, 2 }, { #run.histories["train/loss"], #run.histories["valid/loss"] })
    assert.equal("2", run.params["train.epochs"])
    assert.is_number(run.metrics["test/ndcg_10"])
    assert.equal(1, #run.datasets)
    for _, file in ipairs { "report.html", "curves.csv", "params.json", "log.txt", "model/MLmodel" } do
      assert.truthy(run.artifacts[file], file)
    end
  end
  assert.equal(count, n)
  local model, versions = theirs.models.two_tower, 0
  assert.equal("1", model.aliases.champion)
  for _, version in pairs(model.versions) do
    versions = versions + 1
    assert.truthy(theirs.runs[version.run], "the version names its run")
  end
  assert.equal(count, versions)
end

describe("two runs of ours", function()
  for _, which in ipairs {
    { "the newest MLflow", "RECSYS_PEER_MLFLOW", "" },
    { "MLflow 3.18", "RECSYS_PEER_MLFLOW_318", "" },
    { "MLflow 3.12", "RECSYS_PEER_MLFLOW_312", "" },
    { "MLflow 3.1", "RECSYS_PEER_MLFLOW_31", "--uri" },
    { "MLflow 2.22", "RECSYS_PEER_MLFLOW_222", "--uri" },
    { "MLflow 2.9", "RECSYS_PEER_MLFLOW_OLD", "--uri" },
  } do
    it("are shown by " .. which[1] .. ", and a third one after it has upgraded the database", function()
      local python = os.getenv(which[2])
      if not python then return pending(which[2] .. " is not set") end
      local place = command.scratch(finally) .. "/artifacts"
      trial(place, 1)
      trial(place, 2)
      compare(place, python, which[3], 2)
      trial(place, 3)
      compare(place, python, which[3], 3)
    end)

    it("of the two-tower recipe are shown by " .. which[1] .. ", and a third one, too", function()
      local python = os.getenv(which[2])
      if not python then return pending(which[2] .. " is not set") end
      local place = command.scratch(finally)
      train(place, 1)
      train(place, 2)
      local ran = command.run(("cd %s && %s registry alias two_tower-1 champion --reason 'the first'"):format(place,
        command.program))
      assert.equal(0, ran.code, ran.err)
      compare_trials(place, python, which[3], 2)
      train(place, 3)
      compare_trials(place, python, which[3], 3)
    end)
  end
end)

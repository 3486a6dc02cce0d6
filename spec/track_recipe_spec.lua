--- Runs of recipes are tracked without asking, and are the same as without.

local command = require "spec.support.command"
local files = require "recsys.files"
local json = require "recsys.json"
local store = require "recsys.track.store"

local folder
setup(function() folder = command.temporary() end)
teardown(function() command.remove(folder) end)

local function recsys_run(words)
  return command.run(("cd '%s'\n'%s' %s"):format(folder, command.program, words))
end

local function by_key(list, field)
  local map = {}
  for _, one in ipairs(list or {}) do map[one.key] = one[field or "value"] end
  return map
end

--- The runs of an experiment, the youngest first.
local function runs_of(place, experiment)
  local s <close> = store.open(place)
  local id = s:experiment_by_name(experiment).experiment_id
  local ids = {}
  for i, row in ipairs(s.db:rows("SELECT run_uuid FROM runs WHERE experiment_id = ? ORDER BY rowid DESC",
    { math.tointeger(id) })) do
    ids[i] = row.run_uuid
  end
  return s:runs(ids)
end

local small = "two_tower --refresh all --threads 1 --set data.scale=0.001 --set train.epochs=3 "
  .. "--set train.patience=9 --set eval.samples=10 "

describe("a run of a recipe", function()
  local result, run
  setup(function()
    local done = recsys_run(small .. "--json")
    assert(done.code == 0, done.err)
    result = json.decode(done.out)
    run = runs_of(folder .. "/artifacts", "two_tower")[1]
  end)

  it("is there with its parameters, its command and its code", function()
    assert.same({ "FINISHED", result.run }, { run.info.status, run.info.run_name })
    local params = by_key(run.data.params)
    assert.same({ "3", "0.001", "[10,50]", "1", "news" }, { params["train.epochs"], params["data.scale"],
      params["eval.k"], params.seed, params["data.source"] })
    assert.is_nil(params.runs)
    local tags = by_key(run.data.tags)
    assert.equal("recsys-run " .. small .. "--json", tags["recsys.command"])
    assert.same({ "1", "1", require("recsys.core").version, "LOCAL" }, { tags["recsys.seed"], tags["recsys.threads"],
      tags["recsys.version"], tags["mlflow.source.type"] })
    assert.truthy(tags["mlflow.source.name"]:find "recipes/two_tower.lua$")
    assert.is_nil(tags["recsys.process"])
  end)

  it("has the curves of its training, epoch by epoch", function()
    local s <close> = store.open(folder .. "/artifacts")
    for _, name in ipairs { "train/loss", "valid/loss", "valid/ndcg_10", "monitor/grad_norm" } do
      local history = s:metric_history { run_id = run.info.run_id, metric_key = name }
      assert.equal(3, #history, name)
      for i, point in ipairs(history) do
        assert.equal(i, point.step)
        assert.equal(result.curves[i][name], point.value)
      end
    end
  end)

  it("has what it measured, with intervals and baselines", function()
    local metrics = by_key(run.data.metrics)
    assert.equal(result.metrics.ndcg_10, metrics["test/ndcg_10"])
    assert.same(result.intervals.ndcg_10, { metrics["test/ndcg_10_low"], metrics["test/ndcg_10_high"] })
    assert.equal(result.baselines.popularity.ndcg_10, metrics["baseline/popularity/ndcg_10"])
    assert.equal(result.seconds.train, metrics["seconds/train"])
    assert.equal(result.epoch, metrics.best_epoch)
  end)

  it("has its data set, files and bundle", function()
    local input = run.inputs.dataset_inputs[1]
    assert.equal("news", input.dataset.name)
    local profile = json.decode(input.dataset.profile)
    assert.is_true(profile.interactions > 100 and profile.users > 1)
    local home = folder .. "/artifacts/mlartifacts/" .. run.info.artifact_uri:match "^mlflow%-artifacts:/(.*)$"
    for _, name in ipairs { "result.json", "params.json", "environment.json", "log.txt", "tasks.json", "curves.csv" } do
      assert.equal(command.read(folder .. "/" .. result.paths.run .. "/" .. name), command.read(home .. "/" .. name))
    end
    assert.same({ "MLmodel", "two_tower-1.tar" }, files.names(home .. "/model"))
    assert.equal(command.read(folder .. "/" .. result.paths.bundle), command.read(home .. "/model/two_tower-1.tar"))
    local s <close> = store.open(folder .. "/artifacts")
    local version = s.db:row "SELECT name, version, run_id, source FROM model_versions"
    assert.same({ name = "two_tower", version = 1, run_id = run.info.run_id,
      source = run.info.artifact_uri .. "/model" }, version)
    local digest = s.db:row("SELECT value FROM model_version_tags WHERE key = 'recsys.digest'").value
    assert.truthy(command.read(home .. "/model/MLmodel"):find(digest, 1, true))
    local history = json.decode(by_key(run.data.tags)["mlflow.log-model.history"])
    assert.equal(digest, history[1].flavors.recsys_run.digest)
  end)

  it("gives the same results and the same bundle without, and then there is no trace of it", function()
    local done = recsys_run(small .. "--json --set track.enabled=false --set runs=other/runs --set publish.dir=other/m")
    assert.equal(0, done.code, done.err)
    local again = json.decode(done.out)
    for _, field in ipairs { "metrics", "intervals", "baselines", "segments" } do
      assert.same(result[field], again[field])
    end
    assert.is_false(files.exists(folder .. "/other/mlflow.db"))
    local with = command.run(("tar -xOf '%s/%s' weights.safetensors | sha256sum"):format(folder, result.paths.bundle))
    local without = command.run(("tar -xOf '%s/%s' weights.safetensors | sha256sum"):format(folder, again.paths.bundle))
    assert.equal(with.out, without.out)
  end)
end)

local counting = [[
  local recsys = require "recsys"
  return recsys.recipe { name = "count", about = "Count.", params = { to = 3, how = "well" },
    run = function(flow, p)
      local sum = flow:task("sum", function(n)
        local run = recsys.track.current()
        for i = 1, run and n or 0 do run:metric("so_far", i, i) end
        if p.how == "badly" then error "it went wrong" end
        if p.how == "long" then
          io.stderr:write "ready\n"
          while true do end
        end
        return { total = n }
      end, p.to)
      if p.how == "later" then
        flow:task("wait", function()
          io.stderr:write "ready\n"
          while true do end
        end)
      end
      return { metrics = { total = sum.total }, refused = p.how == "poorly" and "it is too small" or nil }
    end }]]

describe("a recipe of one's own", function()
  setup(function() command.write(folder .. "/count.lua", counting) end)
  local function latest() return runs_of(folder .. "/artifacts", "count")[1] end

  it("logs into its run, under an experiment of any name", function()
    assert.equal(0, recsys_run("count.lua --set to=5 --set track.experiment='my counts'").code)
    local run = runs_of(folder .. "/artifacts", "my counts")[1]
    assert.same({ so_far = 5.0, total = 5.0 }, { so_far = by_key(run.data.metrics).so_far,
      total = by_key(run.data.metrics).total })
  end)

  it("that fails, or is refused, says why", function()
    assert.equal(1, recsys_run("count.lua --set how=badly").code)
    local run = latest()
    assert.equal("FAILED", run.info.status)
    assert.truthy(by_key(run.data.tags)["recsys.failure"]:find "it went wrong")
    assert.equal(3.0, by_key(run.data.metrics).so_far)
    assert.equal(3, recsys_run("count.lua --set how=poorly").code)
    run = latest()
    assert.same({ "FINISHED", "it is too small" }, { run.info.status, by_key(run.data.tags)["recsys.refused"] })
  end)

  it("has the curve of the attempt that succeeded, and so have runs that take its result", function()
    command.write(folder .. "/tried.lua", [[
local recsys = require "recsys"
local function train(marker)
  local write = require("recsys.train.logged").begin()
  write { epoch = 1, ["valid/m"] = io.open(marker) and 0.9 or 0.1 }
  if not io.open(marker) then
    io.open(marker, "w"):close()
    error "no luck"
  end
  write { epoch = 2, ["valid/m"] = 0.95 }
  return 1
end
return recsys.recipe { name = "tried", about = "Train twice", params = { process = false, map = false },
  run = function(flow, p)
    local how = { retries = 1, process = p.process }
    local marker = p.map and "map" or p.process and "process" or "here"
    local n = p.map and flow:map("train", how, train, { marker }) or flow:task("train", how, train, marker)
    return { n = n }
  end }]])
    for _, how in ipairs { "", "--set process=true", "--set map=true" } do
      for points = 3, 2, -1 do -- in the first run those of the attempt that failed, too
        assert.equal(0, recsys_run("tried.lua " .. how).code)
        local run = runs_of(folder .. "/artifacts", "tried")[1]
        local metrics = by_key(run.data.metrics)
        assert.equal(0.95, metrics["valid/m"], how)
        for name in pairs(metrics) do assert.is_nil(name:find "^train.*valid", name) end
        local s <close> = store.open(folder .. "/artifacts")
        assert.equal(points, #s:metric_history { run_id = run.info.run_id, metric_key = "valid/m" })
      end
    end
  end)

  it("that is stopped or killed is KILLED", function()
    for _, signal in ipairs { "TERM", "KILL" } do
      recsys_run(("count.lua --set how=long 2>%s.err & p=$!; "
        .. "for i in $(seq 500); do grep -q ready %s.err && break; sleep 0.02; done; "
        .. "sleep 0.1; kill -%s $p; wait $p"):format(signal, signal, signal))
      local run = latest()
      assert.same({ "KILLED", "long" }, { run.info.status, by_key(run.data.params).how })
      assert.equal(signal == "TERM" and 3.0 or nil, signal == "TERM" and by_key(run.data.metrics).so_far or nil)
    end
  end)

  it("loses nothing of a task that is done, however it ends", function()
    recsys_run("count.lua --set how=later 2>later.err & p=$!; for i in $(seq 500); do grep -q ready later.err && "
      .. "break; sleep 0.02; done; kill -9 $p; wait $p")
    local run = latest()
    assert.same({ "KILLED", 3.0 }, { run.info.status, by_key(run.data.metrics).so_far })
  end)

  it("goes on where there is no store to write to, and says so", function()
    command.write(folder .. "/file", "")
    local done = recsys_run "count.lua --set track.dir=file/x --set how=poorly"
    assert.equal(3, done.code)
    assert.truthy(done.err:find("warning: the run is not tracked: cannot make the folder file", 1, true))
  end)

  it("is refused a parameter of tracking that there is not", function()
    local done = recsys_run "count.lua --set track.enable=false"
    assert.equal(2, done.code)
    assert.truthy(done.err:find("did you mean 'track.enabled'?", 1, true))
  end)
end)

describe("a task in a process of its own", function()
  it("joins the tracked run when it logs something, and not before", function()
    command.write(folder .. "/joins.lua", [[
      local recsys = require "recsys"
      local function loaded() return package.loaded["recsys.track"] ~= nil end
      return recsys.recipe { name = "joins", about = "Tasks apart", run = function(flow)
        local quiet = flow:task("quiet", { process = true }, function() return { loaded = loaded() } end)
        local logs = flow:task("logs", { process = true }, function()
          require("recsys.track").current():metric("x", 7, 1)
          require("recsys.train.logged").begin() { epoch = 1, ["train/loss"] = 3 }
          return { loaded = loaded() }
        end)
        return { quiet = quiet.loaded, logs = logs.loaded }
      end }]])
    local done = recsys_run "joins.lua --json"
    assert.equal(0, done.code, done.err)
    local result = json.decode(done.out)
    assert.same({ false, true }, { result.quiet, result.logs })
    local metrics = by_key(runs_of(folder .. "/artifacts", "joins")[1].data.metrics)
    assert.same({ 7, 3 }, { metrics.x, metrics["train/loss"] })
  end)
end)

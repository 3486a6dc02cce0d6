--- The tracking store: MLflow's schema at its frozen revision, and its operations with their refusals.

local command = require "spec.support.command"
local names = require "recsys.track.names"
local process = require "recsys.track.process"
local schema = require "recsys.track.schema"
local store = require "recsys.track.store"

local folder, s
before_each(function()
  folder = command.temporary()
  s = store.open(folder)
end)
after_each(function()
  s:close()
  command.remove(folder)
end)

--- What is raised: its code and message.
local function refused(fn, ...)
  local ok, problem = pcall(fn, ...)
  assert.is_false(ok)
  assert.equal("table", type(problem), tostring(problem))
  return problem.code, problem.message
end

local function by_key(list)
  local map = {}
  for _, pair in ipairs(list or {}) do map[pair.key] = pair.value end
  return map
end

describe("a new database", function()
  it("has MLflow's tables at the frozen revision and the default experiment", function()
    assert.same({ version_num = "acf3f17fdcc7" }, s.db:row "SELECT * FROM alembic_version")
    local count = 0
    for name, columns in pairs(schema.tables) do
      count = count + 1
      for column in pairs(schema.columns(s.db, name)) do assert.is_true(columns[column], name .. "." .. column) end
    end
    assert.equal(16, count)
    local default = s:experiment "0"
    assert.same({ "0", "Default", "mlflow-artifacts:/0", "active" },
      { default.experiment_id, default.name, default.artifact_location, default.lifecycle_stage })
    assert.equal(default.creation_time, default.last_update_time)
    assert.equal("wal", s.db:row("PRAGMA journal_mode").journal_mode)
  end)

  it("is made once, whoever comes first", function()
    local script = command.write(folder .. "/open.lua",
      [[require("recsys.track.store").open(arg[1]):ensure_experiment "shared"]])
    local line = { "fail=0" }
    for i = 1, 8 do
      line[#line + 1] = ("'%s' lua '%s' '%s/new' & p%d=$!"):format(command.program, script, folder, i)
    end
    for i = 1, 8 do line[#line + 1] = ("wait $p%d || fail=1"):format(i) end
    local result = command.run(table.concat(line, "\n") .. "\nexit $fail")
    assert.same({ 0, "" }, { result.code, result.err })
    local made <close> = store.open(folder .. "/new")
    assert.equal(2, #made:experiments())
  end)
end)

describe("an existing database", function()
  it("is written by explicit columns after an upgrade, whose version stays", function()
    s.db:execute [[
      ALTER TABLE experiments ADD COLUMN workspace VARCHAR(63) DEFAULT 'default' NOT NULL;
      ALTER TABLE inputs ADD COLUMN step BIGINT DEFAULT '0' NOT NULL;
      UPDATE alembic_version SET version_num = '7d34483879f0';]]
    local again <close> = store.open(folder)
    local id = again:create_experiment { name = "later" }
    local run = again:create_run { experiment_id = id }
    again:log_inputs { run_id = run.info.run_id, datasets = { { dataset = { name = "d", digest = "x" } } } }
    assert.equal("x", again:run(run.info.run_id).inputs.dataset_inputs[1].dataset.digest)
    assert.equal("7d34483879f0", again.db:row("SELECT version_num FROM alembic_version").version_num)
    assert.equal("default", again.db:row("SELECT workspace FROM experiments WHERE name = 'later'").workspace)
  end)

  it("that lacks a table or column, or needs one that we do not know, is refused by name", function()
    local path = folder .. "/mlflow.db"
    local function message(change)
      s.db:execute(change)
      local code, said = refused(store.open, folder)
      assert.equal("format", code)
      assert.equal(path, said:sub(1, #path))
      return said
    end
    assert.truthy(message("ALTER TABLE runs ADD COLUMN soul TEXT NOT NULL DEFAULT ''; ALTER TABLE runs RENAME COLUMN "
      .. "deleted_time TO gone"):find("the table 'runs' has no column 'deleted_time'", 1, true))
    s.db:execute "ALTER TABLE runs RENAME COLUMN gone TO deleted_time"
    assert.truthy(message("DROP TABLE params; CREATE TABLE params (key TEXT, value TEXT, run_uuid TEXT, "
      .. "colour TEXT NOT NULL)"):find("a column 'colour' that must be given", 1, true))
    assert.truthy(message("DROP TABLE latest_metrics"):find("the table 'latest_metrics' is missing", 1, true))
  end)

  it("that is no database, or cannot be read, is refused", function()
    command.write(folder .. "/bad.txt", "x")
    os.execute(("mkdir '%s/bad'"):format(folder))
    command.write(folder .. "/bad/mlflow.db", ("nothing "):rep(200))
    assert.equal("format", (refused(store.open, folder .. "/bad")))
    assert.equal("io", (refused(store.open, folder .. "/bad.txt/x")))
    assert.equal("io", (refused(store.open, folder .. "/absent", { read_only = true })))
  end)
end)

describe("an experiment", function()
  it("is made, found, renamed, tagged, deleted and restored with its runs", function()
    local id = s:create_experiment { name = "news", tags = { { key = "team", value = "a" } } }
    assert.equal("1", id)
    local one = s:experiment_by_name "news"
    assert.same({ "1", "mlflow-artifacts:/1", { { key = "team", value = "a" } } },
      { one.experiment_id, one.artifact_location, one.tags })
    local run = s:create_run { experiment_id = id }
    s:update_experiment(id, "papers")
    s:set_experiment_tag(id, "team", "b")
    s:delete_experiment(id)
    assert.same({ "deleted", "deleted" },
      { s:experiment(id).lifecycle_stage, s:run(run.info.run_id).info.lifecycle_stage })
    assert.equal(1, #s:experiments())
    assert.equal(1, #s:experiments "DELETED_ONLY")
    s:restore_experiment(id)
    assert.equal("active", s:run(run.info.run_id).info.lifecycle_stage)
    assert.same({ { key = "team", value = "b" } }, s:experiment(id).tags)
    s:delete_experiment_tag(id, "team")
    assert.is_nil(s:experiment(id).tags)
    assert.equal("1", s:ensure_experiment "papers")
    assert.equal("2", s:ensure_experiment "films")
  end)

  it("is refused in MLflow's words", function()
    s:create_experiment { name = "a" }
    assert.same({ "RESOURCE_ALREADY_EXISTS", "Experiment(name=a) already exists." },
      { refused(s.create_experiment, s, { name = "a" }) })
    assert.same({ "RESOURCE_DOES_NOT_EXIST", "Could not find experiment with name 'b'" },
      { refused(s.experiment_by_name, s, "b") })
    assert.same({ "RESOURCE_DOES_NOT_EXIST", "No Experiment with id=7 exists" }, { refused(s.experiment, s, "7") })
    assert.same({ "RESOURCE_DOES_NOT_EXIST", "No Experiment with id=x' OR 1 exists" },
      { refused(s.experiment, s, "x' OR 1") })
    assert.equal("INVALID_PARAMETER_VALUE", (refused(s.create_experiment, s, { name = ("x"):rep(501) })))
    assert.equal("INVALID_PARAMETER_VALUE", (refused(s.create_experiment, s, { name = "" })))
    assert.equal("INVALID_PARAMETER_VALUE", (refused(s.create_experiment, s, { name = "a\0b" })))
    s:delete_experiment "1"
    assert.same({ "INVALID_STATE", "Cannot rename a non-active experiment." },
      { refused(s.update_experiment, s, "1", "c") })
    assert.same({ "INVALID_PARAMETER_VALUE",
      "The experiment 1 must be in the 'active' state. Current state is deleted." },
      { refused(s.create_run, s, { experiment_id = "1" }) })
  end)
end)

describe("a run", function()
  local id
  before_each(function()
    id = s:create_run({ experiment_id = "0", run_name = "first", user_id = "me", start_time = 1700000000000,
      tags = { { key = "k", value = "v" } } }).info.run_id
  end)

  it("begins with what it was given, and an address for artifacts that can be moved", function()
    local run = s:run(id)
    assert.truthy(id:find "^%x+$")
    assert.equal(32, #id)
    assert.same({ run_id = id, run_uuid = id, run_name = "first", experiment_id = "0", user_id = "me",
      status = "RUNNING", start_time = 1700000000000, lifecycle_stage = "active",
      artifact_uri = "mlflow-artifacts:/0/" .. id .. "/artifacts" }, run.info)
    assert.same({ k = "v", ["mlflow.runName"] = "first" }, by_key(run.data.tags))
    assert.truthy(s:create_run({ experiment_id = "0" }).info.run_name:find "^%l+%-%l+%-%d+$")
  end)

  it("keeps metrics as MLflow does: not-a-numbers, infinities, repeats, and the latest of each name", function()
    s:log_batch { run_id = id, metrics = { { key = "loss", value = 3, timestamp = 10, step = 1 },
      { key = "loss", value = 1.5, timestamp = 11, step = 2 }, { key = "loss", value = 9, timestamp = 99, step = 0 },
      { key = "loss", value = 3, timestamp = 10, step = 1 }, { key = "nan", value = 0 / 0, timestamp = 1 },
      { key = "inf", value = "Infinity", timestamp = 1 }, { key = "low", value = -math.huge, timestamp = 1 } } }
    s:log_metric { run_id = id, key = "loss", value = 2.5, timestamp = "11", step = "2" }
    local latest = {}
    for _, metric in ipairs(s:run(id).data.metrics) do latest[metric.key] = metric end
    assert.same({ key = "loss", value = 2.5, timestamp = 11, step = 2 }, latest.loss)
    assert.same({ "NaN", 0x1.fffffffffffffp+1023, -0x1.fffffffffffffp+1023 },
      { latest.nan.value, latest.inf.value, latest.low.value })
    assert.same({ value = 0.0, is_nan = 1 }, s.db:row "SELECT value, is_nan FROM metrics WHERE key = 'nan'")
    local history = s:metric_history { run_id = id, metric_key = "loss" }
    assert.same({ { 3, 10, 1 }, { 1.5, 11, 2 }, { 2.5, 11, 2 }, { 9, 99, 0 } },
      (function()
        local list = {}
        for i, m in ipairs(history) do list[i] = { m.value, m.timestamp, m.step } end
        return list
      end)())
  end)

  it("shows its history in pages and thinned out", function()
    local metrics = {}
    for i = 1, 1000 do metrics[i] = { key = "m", value = i / 2, timestamp = i, step = i } end
    s:log_batch { run_id = id, metrics = metrics }
    local page, following = s:metric_history { run_id = id, metric_key = "m", max_results = 600 }
    assert.same({ 600, 600 }, { #page, following })
    page, following = s:metric_history { run_id = id, metric_key = "m", max_results = 600, offset = following }
    assert.same({ 400, 500 }, { #page, page[400].value })
    assert.is_nil(following)
    local other = s:create_run({ experiment_id = "0" }).info.run_id
    s:log_metric { run_id = other, key = "m", value = 7, timestamp = 1, step = 3 }
    local found = s:sampled_histories { run_ids = { id, other, "x" }, metric_key = "m", most = 100 }
    assert.same({ { 3, 7.0, 1 } }, found[other])
    assert.is_nil(found.x)
    local points = found[id]
    assert.is_true(#points >= 100 and #points <= 102, tostring(#points))
    assert.same({ 1, 1000 }, { points[1][1], points[#points][1] })
    for i = 2, #points do assert.is_true(points[i][1] - points[i - 1][1] <= 11) end
    found = s:sampled_histories { run_ids = { id }, metric_key = "m", most = 100, first_step = 11, last_step = 20 }
    assert.equal(10, #found[id])
  end)

  it("does not let a parameter change", function()
    s:log_param { run_id = id, key = "lr", value = "0.1" }
    s:log_param { run_id = id, key = "lr", value = "0.1" }
    assert.same({ "INVALID_PARAMETER_VALUE", ("Changing param values is not allowed. Param with key='lr' was already "
      .. "logged with value='0.1' for run ID='%s'. Attempted logging new value '0.2'."):format(id) },
      { refused(s.log_param, s, { run_id = id, key = "lr", value = "0.2" }) })
    assert.same({ "INVALID_PARAMETER_VALUE", "Changing param values is not allowed. Params were already logged='[{'key'"
      .. ": 'lr', 'old_value': '0.1', 'new_value': '0.3'}]' for run ID='" .. id .. "'." },
      { refused(s.log_batch, s, { run_id = id, params = { { key = "new", value = "1" }, { key = "lr", value = "0.3" } },
        metrics = { { key = "m", value = 1, timestamp = 1 } } }) })
    assert.same({ lr = "0.1" }, by_key(s:run(id).data.params)) -- nothing of a refused batch stays
    assert.is_nil(s:run(id).data.metrics)
  end)

  it("is tagged, renamed, ended, deleted and restored", function()
    s:set_tag { run_id = id, key = "k", value = "w" }
    s:set_tag { run_id = id, key = "mlflow.runName", value = "second" }
    assert.equal("second", s:run(id).info.run_name)
    local info = s:update_run { run_id = id, status = "FINISHED", end_time = 1700000000001, run_name = "third" }
    assert.same({ "FINISHED", 1700000000001, "third" }, { info.status, info.end_time, info.run_name })
    assert.same({ k = "w", ["mlflow.runName"] = "third" }, by_key(s:run(id).data.tags))
    s:delete_tag { run_id = id, key = "k" }
    assert.same({ "RESOURCE_DOES_NOT_EXIST", "No tag with name: k in run with id " .. id },
      { refused(s.delete_tag, s, { run_id = id, key = "k" }) })
    s:delete_run(id)
    assert.same({ "INVALID_PARAMETER_VALUE", ("The run %s must be in the 'active' state. Current state is deleted.")
      :format(id) }, { refused(s.set_tag, s, { run_id = id, key = "k", value = "v" }) })
    s:restore_run(id)
    assert.equal("active", s:run(id).info.lifecycle_stage)
  end)

  it("notes datasets once each, with what they were for", function()
    local dataset = { name = "news", digest = "abc", source_type = "local", source = "{}", schema = "s", profile = "p" }
    local request = { run_id = id, datasets = { { dataset = dataset,
      tags = { { key = "mlflow.data.context", value = "training" } } } } }
    s:log_inputs(request)
    s:log_inputs(request)
    local other = s:create_run({ experiment_id = "0" }).info.run_id
    request.run_id = other
    s:log_inputs(request)
    assert.same({ request.datasets[1] }, s:run(id).inputs.dataset_inputs)
    assert.same({ request.datasets[1] }, s:run(other).inputs.dataset_inputs)
    assert.equal(1, #s.db:rows "SELECT * FROM datasets")
    request.datasets[1].dataset = { name = "news" }
    assert.equal("INVALID_PARAMETER_VALUE", (refused(s.log_inputs, s, request)))
  end)

  it("is refused in MLflow's words", function()
    assert.same({ "RESOURCE_DOES_NOT_EXIST", "Run with id=" .. ("0"):rep(32) .. " not found" },
      { refused(s.run, s, ("0"):rep(32)) })
    assert.same({ "INVALID_PARAMETER_VALUE", "Invalid run ID: '../x'" }, { refused(s.run, s, "../x") })
    assert.equal("INVALID_PARAMETER_VALUE", (refused(s.update_run, s, { run_id = id, status = "DONE" })))
    assert.equal("INVALID_PARAMETER_VALUE", (refused(s.update_run, s, { run_id = id, end_time = -1 })))
    assert.equal("INVALID_PARAMETER_VALUE", (refused(s.create_run, s, { experiment_id = "0", run_name = "a",
      tags = { { key = "mlflow.runName", value = "b" } } })))
    assert.equal("RESOURCE_ALREADY_EXISTS", (refused(s.create_run, s, { experiment_id = "0", run_id = id })))
    for _, metric in ipairs { { key = "ndcg@10", value = 1 }, { key = "../up", value = 1 }, { key = "a//b", value = 1 },
      { key = "", value = 1 }, { value = 1 }, { key = "m", value = "much" }, { key = "m", value = true }, { key = "m" },
      { key = "m", value = 1, timestamp = -1 }, { key = "m", value = 1, step = 0.5 },
      { key = ("m"):rep(251), value = 1 }, { key = "<script>", value = 1 }, { key = "m\0", value = 1 },
      { key = "m\xff", value = 1 }, { key = {}, value = 1 } } do
      metric.run_id = id
      assert.equal("INVALID_PARAMETER_VALUE", (refused(s.log_metric, s, metric)), tostring(metric.key))
    end
    local many = {}
    for i = 1, 1001 do many[i] = { key = "m", value = 1, step = i, timestamp = 1 } end
    assert.same({ "INVALID_PARAMETER_VALUE", "A batch logging request can contain at most 1000 metrics. Got 1001 "
      .. "metrics. Please split up metrics across multiple requests and try again." },
      { refused(s.log_batch, s, { run_id = id, metrics = many }) })
    assert.equal(0, s.db:row("SELECT count(*) AS n FROM metrics").n)
  end)

  it("cuts long values, with a warning", function()
    local log = require "recsys.log"
    local level = log.level
    log.level = "quiet"
    finally(function() log.level = level end)
    s:log_param { run_id = id, key = "p", value = ("ü"):rep(6001) }
    s:set_tag { run_id = id, key = "t", value = ("x"):rep(10000000) }
    assert.equal(("ü"):rep(6000), by_key(s:run(id).data.params).p)
    assert.equal(8000, #by_key(s:run(id).data.tags).t)
    local models = "[" .. ('"x",'):rep(5000) .. '"x"]' -- of which a part would be no list
    s:set_tag { run_id = id, key = "mlflow.log-model.history", value = models }
    assert.equal(models, by_key(s:run(id).data.tags)["mlflow.log-model.history"])
  end)

  it("whose process is gone is shown as killed, once somebody looks", function()
    s:log_metric { run_id = id, key = "m", value = 1, timestamp = 1700000005000 }
    s:set_tag { run_id = id, key = process.tag, value = process.name() }
    assert.is_false(process.is_gone(process.name()))
    s.reaped = 0
    assert.equal("RUNNING", s:run(id).info.status)
    local gone = process.name():gsub("^(%S+ %S+ %d+) %S+", "%1 12345")
    s:set_tag { run_id = id, key = process.tag, value = gone }
    local other <close> = store.open(folder)
    local run = other:run(id)
    assert.same({ "KILLED", 1700000005000 }, { run.info.status, run.info.end_time })
    assert.is_nil(by_key(run.data.tags)[process.tag])
    assert.is_true(process.is_gone(process.name():gsub("^%S+", "00000000-0000")))
    assert.is_false(process.is_gone((process.name():gsub("^%S+", "00000000-0000"):gsub("%S+$", "elsewhere"))))
    assert.is_false(process.is_gone "nonsense")
  end)

  it("is not shown as killed when another process has gone on with it while somebody looked", function()
    local gone, is_gone = process.name():gsub("^(%S+ %S+ %d+) %S+", "%1 12345"), process.is_gone
    s:set_tag { run_id = id, key = process.tag, value = gone }
    finally(function() process.is_gone = is_gone end)
    process.is_gone = function(name)
      process.is_gone = is_gone
      local other <close> = store.open(folder, { read_only = false })
      other:set_tag { run_id = id, key = process.tag, value = gone } -- as it was before that one looked
      other:update_run { run_id = id, status = "RUNNING", process = process.name() }
      return is_gone(name)
    end
    s.reaped = 0
    assert.equal("RUNNING", s:run(id).info.status)
    assert.equal(process.name(), by_key(s:run(id).data.tags)[process.tag])
  end)
end)

describe("a name", function()
  it("is one of ours with @ for _, and of letters of any script", function()
    assert.equal("ndcg_10", names.mapped "ndcg@10")
    assert.equal("valid/loss: Größe.1-a_b", names.key("metric", "valid/loss: Größe.1-a_b"))
  end)

  it("that would be another file's is refused with what it stands for", function()
    assert.same({ "INVALID_PARAMETER_VALUE", "Invalid tag name: 'a/../../b'. Names may be treated as files in certain "
      .. "cases, and must not resolve to other names when treated as such. This name would resolve to '../b'" },
      { refused(names.key, "tag", "a/../../b") })
    assert.same({ "INVALID_PARAMETER_VALUE", "Invalid metric name: 'ndcg@10'. Names may only contain alphanumerics, "
      .. "underscores (_), dashes (-), periods (.), spaces ( ), colons (:) and slashes (/)." },
      { refused(names.key, "metric", "ndcg@10") })
  end)
end)

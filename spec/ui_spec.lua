--- The server behind the page: MLflow's REST API, our own, who may ask it what, and files that stay in their folder.

local base64 = require "recsys.base64"
local command = require "spec.support.command"
local files = require "recsys.files"
local guard = require "recsys.ui.guard"
local histories = require "recsys.ui.histories"
local http = require "recsys.http"
local json = require "recsys.json"
local lfs = require "lfs"
local rest = require "recsys.ui.rest"
local ui = require "recsys.ui"
local wire = require "recsys.ui.wire"

local folder, opened, client, base

local function open(options)
  options = options or {}
  options.store, options.port = folder .. "/artifacts", 0
  opened = ui.open(options)
  base = ("http://127.0.0.1:%d"):format(opened.server:port())
end

before_each(function()
  folder = command.temporary()
  client = assert(http.client { timeout_ms = 20000 })
  open()
end)
after_each(function()
  opened:close()
  client:close()
  command.remove(folder)
end)

--- A request and its answer, the server beside it in this thread.
local function ask(method, path, body, headers)
  headers = headers or {}
  if type(body) == "table" then
    headers["Content-Type"] = headers["Content-Type"] or "application/json"
    body = json.encode(body)
  end
  return assert(client:request { method = method, url = base .. path, body = body, headers = headers,
    wait = function() for _ = 1, 20 do opened:step(0) end end })
end

--- The JSON of an answer that succeeded.
local function call(method, path, body)
  local reply = ask(method, path, body)
  if reply.status ~= 200 then error(reply.status .. ": " .. reply.body, 2) end
  return json.decode(reply.body)
end

local function mlflow(method, path, body) return call(method, "/api/2.0/mlflow/" .. path, body) end

--- Status and code of an answer that is a refusal.
local function refusal(reply)
  local fields = json.decode(reply.body) or {}
  return { reply.status, fields.error_code }
end

local function new_run(experiment, name, more)
  local request = { experiment_id = experiment or "0", run_name = name, start_time = 1000, tags = json.list {} }
  for key, value in pairs(more or {}) do request[key] = value end
  return mlflow("POST", "runs/create", request).run.info.run_id
end

--- A run with a curve.
local function curve(values, name)
  local id, metrics = new_run("0", name), {}
  for i, value in ipairs(values) do metrics[i] = { key = "loss", value = value, timestamp = i, step = i } end
  mlflow("POST", "runs/log-batch", { run_id = id, metrics = metrics,
    params = { { key = "lr", value = tostring(#values) } } })
  return id
end

describe("MLflow's API", function()
  it("answers below both prefixes, with and without what is absent", function()
    local id = mlflow("POST", "experiments/create", { name = "é", tags = { { key = "a", value = "b" } } }).experiment_id
    for _, prefix in ipairs { "/api/2.0/", "/ajax-api/2.0/" } do
      local got = call("GET", prefix .. "mlflow/experiments/get-by-name?experiment_name=%C3%A9").experiment
      assert.same({ id, "é", "active", { { key = "a", value = "b" } } },
        { got.experiment_id, got.name, got.lifecycle_stage, got.tags })
    end
    assert.same({}, mlflow("POST", "experiments/set-experiment-tag", { experiment_id = id, key = "k", value = "v" }))
    mlflow("POST", "experiments/update", { experiment_id = id, new_name = "f", unknown = { 1 }, nothing = json.null })
    mlflow("POST", "experiments/delete", { experiment_id = id })
    assert.same("deleted", mlflow("GET", "experiments/get?experiment_id=" .. id).experiment.lifecycle_stage)
    mlflow("POST", "experiments/restore", { experiment_id = id })
    local list = mlflow("POST", "experiments/search", { max_results = 1 })
    assert.equal(1, #list.experiments)
    assert.equal(1, #mlflow("GET", "experiments/search?max_results=1&page_token=" .. list.next_page_token).experiments)
  end)

  it("keeps runs with what was logged", function()
    local id = new_run("0", "first", { tags = { { key = "mlflow.user", value = "ann" } } })
    mlflow("POST", "runs/log-metric", { run_id = id, key = "loss", value = 0.5, timestamp = 7, step = 1 })
    mlflow("POST", "runs/log-batch", { run_id = id, metrics = {
      { key = "loss", value = "NaN", timestamp = 8, step = 2 }, { key = "big", value = "Infinity", timestamp = 8 } } })
    mlflow("POST", "runs/log-parameter", { run_id = id, key = "lr", value = "0.1" })
    mlflow("POST", "runs/set-tag", { run_id = id, key = "k", value = "v" })
    mlflow("POST", "runs/log-inputs", { run_id = id, datasets = { { dataset = { name = "d", digest = "x",
      source_type = "local", source = "{}" }, tags = { { key = "mlflow.data.context", value = "training" } } } } })
    mlflow("POST", "runs/log-model", { run_id = id, model_json = '{"artifact_path": "model"}' })
    assert.same("FINISHED", mlflow("POST", "runs/update", { run_id = id, status = "FINISHED", end_time = 9 })
      .run_info.status)
    local run = mlflow("GET", "runs/get?run_id=" .. id).run
    assert.same({ { key = "big", step = 0, timestamp = 8, value = 0x1.fffffffffffffp+1023 },
      { key = "loss", step = 2, timestamp = 8, value = "NaN" } }, (function(list)
      table.sort(list, function(a, b) return a.key < b.key end)
      return list
    end)(run.data.metrics))
    assert.same({ { key = "lr", value = "0.1" } }, run.data.params)
    assert.equal("d", run.inputs.dataset_inputs[1].dataset.name)
    assert.same({ { key = "loss", step = 1, timestamp = 7, value = 0.5 } },
      mlflow("GET", "metrics/get-history?max_results=1&metric_key=loss&run_id=" .. id).metrics)
    assert.equal(2, #mlflow("GET", "metrics/get-history?metric_key=loss&run_id=" .. id).metrics)
    assert.same({ id }, { mlflow("POST", "runs/search", { experiment_ids = { "0" }, filter = "params.lr = '0.1'" })
      .runs[1].info.run_id })
    assert.is_nil(mlflow("POST", "runs/search", { experiment_ids = { "0" }, filter = "params.lr = '1'" }).runs)
    mlflow("POST", "runs/delete-tag", { run_id = id, key = "k" })
    mlflow("POST", "runs/delete", { run_id = id })
    mlflow("POST", "runs/restore", { run_id = id })
  end)

  it("pages histories, and tells those of many runs", function()
    local a, b = curve { 3, 2, 1 }, curve { 4, 5 }
    local first = mlflow("GET", "metrics/get-history?max_results=2&metric_key=loss&run_id=" .. a)
    local second = mlflow("GET", ("metrics/get-history?max_results=2&metric_key=loss&run_id=%s&page_token=%s")
      :format(a, first.next_page_token))
    assert.same({ 2, 1, nil }, { #first.metrics, #second.metrics, second.next_page_token })
    local both = ("metric_key=loss&run_id=%s&run_id=%s"):format(a, b)
    assert.equal(5, #call("GET", "/ajax-api/2.0/mlflow/metrics/get-history-bulk?" .. both).metrics)
    both = ("metric_key=loss&run_ids=%s&run_ids=%s&start_step=2&end_step=2"):format(a, b)
    assert.equal(2, #call("GET", "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?" .. both).metrics)
  end)

  it("has models of runs", function()
    local run = new_run()
    local info = mlflow("POST", "logged-models", { experiment_id = "0", name = "lm", source_run_id = run,
      params = { { key = "p", value = "1" } } }).model.info
    assert.equal("LOGGED_MODEL_PENDING", info.status)
    local path = "logged-models/" .. info.model_id
    mlflow("PATCH", path, { model_id = info.model_id, status = "LOGGED_MODEL_READY" })
    mlflow("PATCH", path .. "/tags", { tags = { { key = "a", value = "b" } } })
    mlflow("POST", path .. "/params", { params = { { key = "q", value = "2" } } })
    local model = mlflow("GET", path).model
    assert.same({ "LOGGED_MODEL_READY", { { key = "a", value = "b" } }, 2 },
      { model.info.status, model.info.tags, #model.data.params })
    mlflow("DELETE", path .. "/tags/a", {})
    local function search(filter)
      return #(mlflow("POST", "logged-models/search", { experiment_ids = { "0" }, filter = filter }).models or {})
    end
    assert.same({ 1, 1, 0 }, { search(), search "name = 'lm'", search "name = 'other'" })
    assert.same({}, mlflow("POST", "runs/outputs",
      { run_id = run, models = { { model_id = info.model_id, step = 5 } } }))
    mlflow("DELETE", path, {})
    assert.same({ 404, "RESOURCE_DOES_NOT_EXIST" }, refusal(ask("GET", "/api/2.0/mlflow/" .. path)))
    assert.same({ 404, "RESOURCE_DOES_NOT_EXIST" }, refusal(ask("GET", "/api/2.0/mlflow/logged-models/..%2F..")))
  end)

  it("keeps the list of a run's models whole, however many it has logged", function()
    local run = new_run()
    local function log(i)
      return ask("POST", "/api/2.0/mlflow/runs/log-model", { run_id = run,
        model_json = json.encode { artifact_path = "model-" .. i, signature = ("x"):rep(1000) } })
    end
    for i = 1, 12 do assert.equal(200, log(i).status) end
    local function history()
      for _, tag in ipairs(mlflow("GET", "runs/get?run_id=" .. run).run.data.tags) do
        if tag.key == "mlflow.log-model.history" then return tag.value end
      end
    end
    local list = json.decode(history())
    assert.equal(12, #list)
    for i, model in ipairs(list) do assert.equal("model-" .. i, model.artifact_path) end
    for _, broken in ipairs { "[{", "7", '{"a":1}' } do -- as a tag that was cut is left alone, not begun anew
      mlflow("POST", "runs/set-tag", { run_id = run, key = "mlflow.log-model.history", value = broken })
      assert.same({ 409, "RESOURCE_CONFLICT" }, refusal(log(13)))
      assert.equal(broken, history())
    end
    mlflow("POST", "runs/delete-tag", { run_id = run, key = "mlflow.log-model.history" })
    assert.equal(200, log(1).status)
  end)

  it("takes no file that somebody put there for a model, unless it is one", function()
    local run = new_run()
    local made = mlflow("POST", "logged-models", { experiment_id = "0", name = "lm", source_run_id = run,
      tags = { { key = "a", value = "b" } } }).model
    local good = json.encode(made)
    local function put(id, text)
      local path = ("/api/2.0/mlflow-artifacts/artifacts/0/models/%s/logged_model.json"):format(id)
      assert.equal(200, ask("PUT", path, text).status)
    end
    local function changed(from, to)
      local text, n = good:gsub(from, to)
      assert(n > 0, from)
      return text
    end
    for i, text in ipairs { '{"info":{}}', "[]", "x", '{"info":7}', '{"info":null}', changed('"lm"', "7"),
      changed('"lm"', "null"), changed('"creation_timestamp_ms":%d+', '"creation_timestamp_ms":"x"'),
      changed('"creation_timestamp_ms":%d+', '"creation_timestamp_ms":1.5'), changed('%[{"key":"a"', '[{"key":{}'),
      changed('%[{"key":"a","value":"b"}%]', "7"), changed("LOGGED_MODEL_PENDING", "x"),
      good .. (" "):rep(5 << 20) } do put(("m-%d"):format(i), text) end
    put("others", good)
    local function found()
      return mlflow("POST", "logged-models/search", { experiment_ids = { "0" } }).models
    end
    assert.same({ made }, found())
    assert.equal(404, ask("GET", "/api/2.0/mlflow/logged-models/m-1").status)
    put("m-1", good) -- it is what its place says, whatever it says itself
    local ids = {}
    for _, model in ipairs(found()) do ids[model.info.model_id] = model.info.artifact_uri end
    assert.equal("mlflow-artifacts:/0/models/m-1/artifacts", ids["m-1"])
    assert.equal(200, ask("DELETE", "/api/2.0/mlflow/logged-models/m-1", {}).status)
    assert.same({ made }, found())
    assert.equal(400, ask("POST", "/api/2.0/mlflow/logged-models/" .. made.info.model_id .. "/params",
      { params = (function(list)
        for i = 1, 600 do list[i] = { key = "p" .. i, value = ("x"):rep(8000) } end
        return list
      end) {} }).status)
    assert.same({ made }, found())
  end)

  it("has the registry, with its aliases and searches", function()
    local run = new_run()
    ask("PUT", ("/api/2.0/mlflow-artifacts/artifacts/0/%s/artifacts/model/a.txt"):format(run), "bytes")
    mlflow("POST", "registered-models/create", { name = "m", description = "d" })
    local version = mlflow("POST", "model-versions/create", { name = "m", source = ("runs:/%s/model"):format(run),
      run_id = run }).model_version
    assert.same({ "1", "READY" }, { version.version, version.status })
    mlflow("POST", "registered-models/alias", { name = "m", alias = "champion", version = "1" })
    assert.equal("1", mlflow("GET", "registered-models/alias?name=m&alias=champion").model_version.version)
    assert.equal("m", mlflow("GET", "registered-models/search?filter="
      .. "tag.%60mlflow.prompt.is_prompt%60+%21%3D+%27true%27").registered_models[1].name)
    assert.equal(1, #mlflow("GET", "model-versions/search?filter=name%3D%27m%27").model_versions)
    assert.equal("bytes", ask("GET", "/model-versions/get-artifact?name=m&version=1&path=a.txt").body)
    for _, path in ipairs { "..%2F..%2F..%2F..%2Fmlflow.db", "%2Fetc%2Fpasswd" } do
      assert.equal(400, ask("GET", "/model-versions/get-artifact?name=m&version=1&path=" .. path).status)
    end
    assert.same({ 400, "INVALID_PARAMETER_VALUE" }, refusal(ask("POST", "/api/2.0/mlflow/model-versions/create",
      { name = "m", source = "file:///etc" })))
    local promoted = ask("POST", "/api/recsys/promote", { name = "m", version = "1", alias = "champion", reason = "x" })
    assert.same({ 409, "RESOURCE_CONFLICT" }, refusal(promoted)) -- it is no bundle of ours
    local preview = call("GET", "/api/recsys/promote?name=m&version=1")
    assert.same({ false, true }, { preview.passed, preview.damaged })
    assert.matches("m%-1 has no bundle", preview.refusal)
    for _, wrong in ipairs { { name = "m" }, { version = 1 }, { name = "m", version = "x" },
      { name = { 1 }, version = 1 }, { name = "m", version = 1, no_gate = "yes" },
      { name = "m", version = 1, alias = "v3" } } do
      wrong.reason = "x"
      assert.equal(400, ask("POST", "/api/recsys/promote", wrong).status)
    end
    for _, reason in ipairs { "", " ", 7 } do
      assert.equal(400, ask("POST", "/api/recsys/promote", { name = "m", version = 1, reason = reason }).status)
      assert.equal(400, ask("POST", "/api/recsys/rollback", { name = "m", reason = reason }).status)
    end
    assert.equal(400, ask("GET", "/api/recsys/promote?name=m&name=n&version=1").status)
    assert.equal(404, ask("GET", "/api/recsys/rollback?name=none").status)
    assert.matches("no version of m to go back to", ask("GET", "/api/recsys/rollback?name=m").body)
    mlflow("DELETE", "registered-models/alias", { name = "m", alias = "champion" })
    mlflow("DELETE", "model-versions/delete", { name = "m", version = "1" })
    mlflow("DELETE", "registered-models/delete", { name = "m" })
    assert.same({ 404, "RESOURCE_DOES_NOT_EXIST" }, refusal(ask("GET", "/api/2.0/mlflow/registered-models/get?name=m")))
  end)

  it("puts on record who promotes and rolls back, and lets no client say by which gates", function()
    local registry = require "recsys.registry"
    for i = 1, 2 do
      assert(registry.add { name = "mf", dir = folder .. "/artifacts/models", manifest = { metrics = { ndcg_10 = i },
        test = { fingerprint = "t" } }, members = { { "note.txt", bytes = tostring(i) } } })
    end
    local function by(path, request, headers)
      headers["User-Agent"] = "page/1"
      local reply = ask("POST", "/api/recsys/" .. path, request, headers)
      assert.equal(200, reply.status, reply.body)
      return json.decode(reply.body).event.by
    end
    assert.equal("ann by page/1 at 127.0.0.1", by("promote", { name = "mf", version = 2, reason = "better" },
      { Authorization = "Basic YW5uOng=" }))
    assert.equal("page/1 at 127.0.0.1", by("rollback", { name = "mf", reason = "complaints" }, {}))
    for _, tag in ipairs { { "registered-models", "recsys.gates" }, { "registered-models", "Recsys.audit.000009" },
      { "model-versions", "recsys.digest" } } do
      local request = { name = "mf", version = "1", key = tag[2], value = "loss" }
      for verb, method in pairs { ["set-tag"] = "POST", ["delete-tag"] = "DELETE" } do
        assert.same({ 403, "PERMISSION_DENIED" },
          refusal(ask(method, ("/api/2.0/mlflow/%s/%s"):format(tag[1], verb), request)))
      end
    end
    assert.same({ 403, "PERMISSION_DENIED" },
      refusal(ask("DELETE", "/api/2.0/mlflow/registered-models/delete", { name = "mf" })))
  end)

  it("refuses with MLflow's codes", function()
    local run = new_run()
    for _, case in ipairs {
      { "GET", "experiments/get-by-name?experiment_name=nope", nil, 404, "RESOURCE_DOES_NOT_EXIST" },
      { "GET", "experiments/get", nil, 400, "INVALID_PARAMETER_VALUE" },
      { "GET", "runs/get?run_id=" .. ("0"):rep(32), nil, 404, "RESOURCE_DOES_NOT_EXIST" },
      { "POST", "experiments/create", { name = "Default" }, 400, "RESOURCE_ALREADY_EXISTS" },
      { "POST", "experiments/create", { name = { 1 } }, 400, "INVALID_PARAMETER_VALUE" },
      { "POST", "runs/log-metric", { run_id = run, key = "ndcg@10", value = 1, timestamp = 1 }, 400,
        "INVALID_PARAMETER_VALUE" },
      { "POST", "runs/log-metric", { run_id = run, key = "m", value = "many", timestamp = 1 }, 400,
        "INVALID_PARAMETER_VALUE" },
      { "POST", "runs/log-metric", { run_id = run, key = "m", value = 1, timestamp = 1.5 }, 400,
        "INVALID_PARAMETER_VALUE" },
      { "POST", "runs/log-parameter", { run_id = run, key = "p", value = 41 }, 400, "INVALID_PARAMETER_VALUE" },
      { "POST", "runs/set-tag", { run_id = 31, key = "t", value = "v" }, 400, "INVALID_PARAMETER_VALUE" },
      { "POST", "runs/log-batch", { run_id = run, metrics = { { key = "m", value = 1 } } }, 400,
        "INVALID_PARAMETER_VALUE" },
      { "POST", "experiments/search-datasets", {}, 400, "INVALID_PARAMETER_VALUE" },
      { "GET", "metrics/get-history-bulk?metric_key=m" .. ("&run_id=" .. ("0"):rep(32)):rep(1000), nil, 400,
        "INVALID_PARAMETER_VALUE" },
      { "POST", "runs/log-batch", { run_id = run, metrics = { 1 } }, 400, "INVALID_PARAMETER_VALUE" },
      { "POST", "runs/log-batch", { run_id = run, params = { { key = "p", value = "1" }, json.null,
        { key = "q", value = "2" } } }, 400, "INVALID_PARAMETER_VALUE" },
      { "POST", "runs/search", { experiment_ids = { "0", json.null } }, 400, "INVALID_PARAMETER_VALUE" },
      { "POST", "runs/create", { experiment_id = "0", source_type = "X" }, 400, "INVALID_PARAMETER_VALUE" },
      { "POST", "runs/create", { experiment_id = "0", source_type = { 1 } }, 400, "INVALID_PARAMETER_VALUE" },
      { "POST", "runs/create", { experiment_id = "0", source_name = 7 }, 400, "INVALID_PARAMETER_VALUE" },
      { "POST", "runs/create", { experiment_id = "0", source_version = ("x"):rep(51) }, 400,
        "INVALID_PARAMETER_VALUE" },
      { "POST", "runs/search", { experiment_ids = { "0" }, filter = "params.lr ~ 1" }, 400, "INVALID_PARAMETER_VALUE" },
      { "POST", "runs/search", { experiment_ids = "0" }, 400, "INVALID_PARAMETER_VALUE" },
      { "POST", "runs/search", { experiment_ids = { "0" }, page_token = "?" }, 400, "INVALID_PARAMETER_VALUE" },
      { "POST", "no/such", {}, 404, "ENDPOINT_NOT_FOUND" },
      { "DELETE", "runs/create", {}, 404, "ENDPOINT_NOT_FOUND" },
    } do
      assert.same({ case[4], case[5] }, refusal(ask(case[1], "/api/2.0/mlflow/" .. case[2], case[3])),
        case[1] .. " " .. case[2])
    end
    local nothing = ask("POST", "/api/2.0/mlflow/runs/log-batch", { run_id = run, tags = { { key = "a", value = "b" },
      json.null, { key = "c", value = "d" } } })
    assert.matches("null for parameter 'tags%[1%]'", json.decode(nothing.body).message)
    assert.is_nil(mlflow("GET", "runs/get?run_id=" .. run).run.data.params)
    local function raw(body, kind)
      return refusal(ask("POST", "/api/2.0/mlflow/runs/search", body,
        { ["Content-Type"] = kind or "application/json" }))
    end
    assert.same({ 400, "BAD_REQUEST" }, raw "{")
    assert.same({ 400, "BAD_REQUEST" }, raw "[1]")
    assert.same({ 400, "BAD_REQUEST" }, raw(("["):rep(100000)))
    assert.same({ 400, "BAD_REQUEST" }, raw "\0\255")
    assert.same({ 400, "INVALID_PARAMETER_VALUE" }, raw("{}", "text/plain"))
    assert.same({ 400, "BAD_REQUEST" }, raw(('{"filter": "%s"}'):format(("x"):rep(17 << 20))))
  end)

  it("tells the page of which metrics less is better, by the gate's list", function()
    local reply = ask("GET", "/better.js")
    assert.same({ 200, "text/javascript; charset=utf-8" }, { reply.status, reply.headers["content-type"] })
    local list = reply.body:match "^export const LESS = new Set%((%[.-%])%);\n$"
    assert.same(require("recsys.track.better").less, json.decode(list))
    assert.matches("default%-src 'none'", reply.headers["content-security-policy"])
  end)

  it("has an answer to everything that it cannot foresee", function()
    local problem = { code = "busy", message = "locked" }
    assert.equal(503, rest.refusal(problem).status)
    assert.equal(409, rest.refusal({ code = "quality", message = "no" }).status)
    local response = rest.refusal { code = "failed", message = "a mistake" }
    assert.same({ 500, "INTERNAL_ERROR" }, refusal(response))
    assert.has_error(function() rest.refusal { code = "interrupted", signal = 2 } end)
  end)
end)

describe("artifacts", function()
  local run
  before_each(function() run = new_run() end)

  local function put(path, body)
    return ask("PUT", "/api/2.0/mlflow-artifacts/artifacts/" .. path, body, { ["Content-Type"] = "text/plain" })
  end

  it("are put, listed, sent and removed", function()
    local root = ("0/%s/artifacts"):format(run)
    assert.equal(200, put(root .. "/d/a%20b.txt", "hello").status)
    assert.equal(200, put(root .. "/page.html", "<script>").status)
    assert.equal(200, put(root .. "/big.bin", ("x"):rep(17 << 20)).status)
    assert.same({ { path = "d/a b.txt", is_dir = false, file_size = 5 } },
      mlflow("GET", ("artifacts/list?run_id=%s&path=d"):format(run)).files)
    assert.same({ { path = "a b.txt", is_dir = false, file_size = 5 } },
      call("GET", ("/api/2.0/mlflow-artifacts/artifacts?path=%s/d"):format(root)).files)
    assert.equal("hello", ask("GET", ("/api/2.0/mlflow-artifacts/artifacts/%s/d/a%%20b.txt"):format(root)).body)
    assert.equal(17 << 20, #ask("GET", ("/api/2.0/mlflow-artifacts/artifacts/%s/big.bin"):format(root)).body)
    local reply = ask("GET", ("/get-artifact?run_uuid=%s&path=page.html"):format(run))
    assert.same({ "<script>", "text/html; charset=utf-8", "nosniff" },
      { reply.body, reply.headers["content-type"], reply.headers["x-content-type-options"] })
    assert.truthy(reply.headers["content-security-policy"]:find "^sandbox;")
    assert.equal(200, ask("DELETE", ("/api/2.0/mlflow-artifacts/artifacts/%s/d"):format(root)).status)
    assert.same({ 404, "RESOURCE_DOES_NOT_EXIST" },
      refusal(ask("GET", ("/api/2.0/mlflow-artifacts/artifacts/%s/d/a%%20b.txt"):format(root))))
  end)

  it("never leave their folder", function()
    local root, outside = ("0/%s/artifacts"):format(run), folder .. "/artifacts/mlflow.db"
    put(root .. "/a", "x")
    command.run(("ln -s / '%s/artifacts/mlartifacts/%s/out'"):format(folder, root))
    for _, path in ipairs { "..%2Fmlflow.db", "%2e%2e/mlflow.db", root .. "/../../../../mlflow.db", "%2Fetc%2Fpasswd",
      "/etc/passwd", root .. "/out/etc/passwd", root .. "/out/tmp", "a/./b", "a//b", "a%5C..%5Cb", "a%0Ab", "..",
      "." } do
      local whole = "/api/2.0/mlflow-artifacts/artifacts/" .. path
      for _, method in ipairs { "GET", "PUT", "DELETE" } do
        local reply = ask(method, whole, method == "PUT" and "x" or nil)
        assert.equal(400, reply.status, method .. " " .. path .. " " .. reply.body)
      end
      assert.is_true(ask("GET", ("/get-artifact?run_uuid=%s&path=%s"):format(run, path)).status >= 400, path)
      local listed = ask("GET", "/api/2.0/mlflow-artifacts/artifacts?path=" .. path:gsub("/", "%%2F"))
      local is_plain = path == "." or path == "a/./b" -- as clients of MLflow's ask for "" and "a/b"
      assert.equal(is_plain and 200 or 400, listed.status, path)
    end
    assert.equal(400, ask("DELETE", "/api/2.0/mlflow-artifacts/artifacts/").status)
    assert.equal("SQLite format 3", command.read(outside):sub(1, 15))
    assert.equal("x", ask("GET", ("/get-artifact?run_uuid=%s&path=a"):format(run)).body)
  end)

  it("are listed below '.', as clients ask for all of them", function()
    put(("0/%s/artifacts/d/a"):format(run), "x")
    local function listed(path)
      local found = mlflow("GET", ("artifacts/list?run_id=%s&path=%s"):format(run, path)).files
      return found and found[1].path
    end
    assert.same({ "d", "d", "d/a", "d/a", "d/a" },
      { listed "", listed ".", listed "./d", listed "d/.", listed "./d/./" })
    assert.same({ 400, "INVALID_PARAMETER_VALUE" },
      refusal(ask("GET", ("/api/2.0/mlflow/artifacts/list?run_id=%s&path=./../x"):format(run))))
    assert.same({ 400, "INVALID_PARAMETER_VALUE" },
      refusal(ask("GET", ("/api/2.0/mlflow/artifacts/list?run_id=%s&path=/./etc"):format(run))))
  end)

  it("are put by pages, too, but not by those of others", function()
    local path = ("/ajax-api/2.0/mlflow/upload-artifact?run_uuid=%s&path=a/b.txt"):format(run)
    assert.equal(200, ask("POST", path, "hello").status)
    assert.equal("hello", ask("GET", ("/get-artifact?run_uuid=%s&path=a/b.txt"):format(run)).body)
    assert.equal(200, ask("POST", path, ("x"):rep(17 << 20)).status)
    assert.equal(17 << 20, #ask("GET", ("/get-artifact?run_uuid=%s&path=a/b.txt"):format(run)).body)
    assert.equal(403, ask("POST", path, "hello", { Origin = "https://example.org" }).status)
    assert.equal(400, ask("POST", path, "").status)
    assert.equal(400, ask("POST", (path:gsub("a/b", "../b")), "x").status)
    assert.equal(404, ask("POST", (path:gsub(run, ("0"):rep(32))), "x").status)
  end)

  it("are on the disk when they are acknowledged", function()
    local synced, settled, sync = {}, {}, files.sync
    files.sync = function(path)
      table.insert(synced, (path:gsub("^.*/mlartifacts/", "")))
      return sync(path)
    end
    local proxy = "/api/2.0/mlflow-artifacts/artifacts/0/x/"
    local posted = ("/ajax-api/2.0/mlflow/upload-artifact?run_uuid=%s&path=posted"):format(run)
    local ok, problem = pcall(function()
      for path, size in pairs { [proxy .. "small"] = 5, [proxy .. "large"] = 17 << 20, [posted] = 5 } do
        synced = {}
        assert.equal(200, ask(path == posted and "POST" or "PUT", path, ("x"):rep(size)).status)
        settled[path] = synced
      end
      synced = {}
      files.settle() -- of which nothing is left to do: it would grow with each upload
    end)
    files.sync = sync
    assert(ok, problem)
    local there = "0/" .. run .. "/artifacts"
    assert.same({ { "0/x/small", "0/x" }, { "0/x/large", "0/x" }, { there .. "/posted", there }, {} },
      { settled[proxy .. "small"], settled[proxy .. "large"], settled[posted], synced })
  end)

  it("of runs elsewhere are not fetched for anybody", function()
    local id = mlflow("POST", "experiments/create", { name = "else", artifact_location = "file:///etc" }).experiment_id
    local other = new_run(id)
    assert.same({ 400, "INVALID_PARAMETER_VALUE" },
      refusal(ask("GET", ("/get-artifact?run_uuid=%s&path=passwd"):format(other))))
  end)
end)

describe("our own API", function()
  it("shows a page of runs with last, least and greatest values", function()
    local a, b = curve({ 3, 1, 2 }, "a"), curve({ 5, 9 }, "b")
    local child = new_run("0", "child", { tags = { { key = "mlflow.parentRunId", value = a } } })
    local page = call("GET", "/api/recsys/runs?experiment_ids=0&order_by=metrics.loss&limit=2")
    assert.same({ 3, 2, a, b }, { page.total, #page.runs, page.runs[1].info.run_id, page.runs[2].info.run_id })
    assert.same({ last = 2, min = 1, max = 3, step = 3 }, page.runs[1].metrics.loss)
    assert.same({ { lr = "3" }, 1 }, { page.runs[1].params, page.runs[1].children })
    local function order(clause)
      local names = {}
      for i, run in ipairs(call("GET", "/api/recsys/runs?order_by=" .. clause).runs) do names[i] = run.info.run_name end
      return table.concat(names, " ")
    end
    assert.equal("b a child", order "metrics.loss.max+DESC")
    assert.equal("a b child", order "metrics.loss.min")
    page = call("GET", "/api/recsys/runs?experiment_ids=0&filter=metrics.loss+%3E+4")
    assert.same({ 1, b }, { page.total, page.runs[1].info.run_id })
    assert.same({ 0, {} }, { call("GET", "/api/recsys/runs?experiment_ids=77").total,
      call("GET", "/api/recsys/runs?experiment_ids=77").runs })
    assert.equal("child", call("GET", "/api/recsys/runs?filter=run_id+%3D+'" .. child .. "'").runs[1].info.run_name)
    for _, wrong in ipairs { "limit=-1", "limit=x", "offset=1e99", "order_by=%3B", "filter=)" } do
      assert.equal(400, ask("GET", "/api/recsys/runs?" .. wrong).status, wrong)
    end
  end)

  it("shows the top level: runs under no other that is shown", function()
    local function under(parent, name, experiment)
      return new_run(experiment, name, { tags = { { key = "mlflow.parentRunId", value = parent } } })
    end
    local experiment = mlflow("POST", "experiments/create", { name = "other" }).experiment_id
    local study, deleted = new_run("0", "study"), new_run("0", "deleted")
    under(study, "trial")
    under(deleted, "left behind")
    under(under(("0"):rep(32), "of nobody"), "grandchild")
    under(study, "elsewhere", experiment)
    mlflow("POST", "runs/delete", { run_id = deleted })
    local function names(question)
      local page, list = call("GET", "/api/recsys/runs?order_by=run_name&top=1" .. question), {}
      for i, run in ipairs(page.runs) do list[i] = run.info.run_name end
      assert.equal(#list, page.total)
      return table.concat(list, ", ")
    end
    assert.equal("left behind, of nobody, study", names "&experiment_ids=0")
    assert.equal("elsewhere", names("&experiment_ids=" .. experiment))
    assert.equal("left behind, of nobody, study", names("&experiment_ids=0," .. experiment))
    assert.equal("deleted, of nobody, study", names "&experiment_ids=0&view=ALL")
    assert.equal("grandchild, left behind, trial", names "&experiment_ids=0&filter=run_name+LIKE+'%25l%25'")
    assert.equal("left behind, of nobody", names "&experiment_ids=0&filter=run_name+!=+'study'+AND+run_name+!=+'trial'")
    assert.equal(6, call("GET", "/api/recsys/runs?view=ALL&experiment_ids=0").total)
  end)

  it("tells the columns, groups and CSV", function()
    curve({ 3, 1 }, 'a "quoted", name')
    curve({ 5, 9 }, "b")
    local keys = call("GET", "/api/recsys/keys?experiment_ids=0")
    assert.same({ { "loss" }, { "lr" } }, { keys.metrics, keys.params })
    assert.same({ metrics = {}, params = {}, tags = {} }, call("GET", "/api/recsys/keys?experiment_ids=77"))
    local groups = call("GET", "/api/recsys/groups?experiment_ids=0&by=params.lr").groups
    assert.same({ { value = "2", count = 2, metrics = { loss = { mean = 5, min = 1, max = 9, count = 2 } } } }, groups)
    local reply = ask("GET", "/api/recsys/runs.csv?order_by=metrics.loss.min")
    local lines = {}
    for line in reply.body:gmatch "[^\r\n]+" do lines[#lines + 1] = line end
    assert.same({ "text/csv; charset=utf-8", 3 }, { reply.headers["content-type"], #lines })
    assert.truthy(lines[1]:find("run_id,run_name,experiment_id,status,user_id,start_time,end_time,params.lr,"
      .. "metrics.loss,metrics.loss.min,metrics.loss.max,tags.mlflow.runName", 1, true))
    assert.truthy(lines[2]:find('"a ""quoted"", name",0,RUNNING,', 1, true))
    assert.truthy(lines[2]:find(",2,1,1,3,", 1, true))
    assert.same({}, files.names(folder .. "/artifacts/cache/uploads")) -- the file it went through
  end)

  it("shows all runs as CSV, however many, each once", function()
    local store, ids = opened.store, {}
    store.db:transaction(function()
      for i = 1, 1203 do
        local id = ("%032x"):format(i)
        store:create_run { experiment_id = "0", run_id = id, run_name = "r" .. i, start_time = 1000 + i % 7 }
        store:log(id, { { "loss", i % 10 == 0 and 0 / 0 or 1 / i, i, i } }, { { key = "n", value = tostring(i) } }, {})
        ids[id] = i
      end
    end)
    local reply, seen = ask("GET", "/api/recsys/runs.csv?order_by=metrics.loss.min"), 0
    for line in reply.body:gmatch "[^\r\n]+" do
      local id, n, last, least = line:match "^(%x+),r%d+,0,RUNNING,,%d+,,(%d+),([^,]+),([^,]+),"
      if id then
        assert.equal(tonumber(n), ids[id])
        local i = ids[id]
        ids[id], seen = nil, seen + 1
        if i % 10 == 0 then assert.same({ "NaN", "NaN" }, { last, least })
        else assert.same({ 1 / i, 1 / i }, { tonumber(last), tonumber(least) }) end
      end
    end
    assert.same({ 1203, nil }, { seen, next(ids) })
  end)

  it("leaves no uploads and answers of servers that were killed", function()
    local spool = folder .. "/artifacts/cache/uploads/"
    local function left(name, age)
      files.write(spool .. name, "x")
      assert(lfs.touch(spool .. name, os.time() - age))
    end
    for _, kind in ipairs { "answer-", "upload-" } do
      left(kind .. "old", 7200)
      left(kind .. "new", 60)
    end
    left("notes", 7200)
    opened:close()
    open()
    opened:step(0)
    assert.same({ "answer-new", "notes", "upload-new" }, files.names(spool))
    left("upload-new", 7200) -- whose server is killed while this one runs
    opened:step(0)
    assert.same({ "answer-new", "notes", "upload-new" }, files.names(spool))
    opened.cleared = opened.cleared - 3700
    opened:step(0)
    assert.same({ "answer-new", "notes" }, files.names(spool))
  end)

  it("keeps an answer of curves within its bound, however many curves there are", function()
    local ids, metrics = {}, {}
    for key = 1, 4 do
      for step = 1, 60 do
        metrics[#metrics + 1] = { key = "m" .. key, value = math.sin(step * key), timestamp = step, step = step }
      end
    end
    for i = 1, 3 do
      ids[i] = new_run("0", "r" .. i)
      mlflow("POST", "runs/log-batch", { run_id = ids[i], metrics = metrics })
    end
    local function check(request, curves, least, most)
      local all, got = 0, call("POST", "/api/recsys/histories", request).series
      for _, one in ipairs(got) do all = all + #one.points end
      assert.equal(curves, #got)
      assert(least <= all and all <= most, all .. " points")
    end
    local most = histories.most
    finally(function() histories.most = most end)
    check({ run_ids = ids }, 12, 720, 720)
    histories.most = 12 * 20
    check({ run_ids = ids }, 12, 200, 240)
    check({ run_ids = ids, keys = { "m1", "absent" } }, 3, 180, 180)
    histories.most = 12 * 10 - 1
    local reply = ask("POST", "/api/recsys/histories", { run_ids = ids })
    assert.same({ 400, "INVALID_PARAMETER_VALUE" }, refusal(reply))
    assert.matches("12 curves, and an answer holds 11", reply.body)
    check({ run_ids = ids, keys = { "m1", "m2" } }, 6, 90, 119)
  end)

  it("thins curves out and keeps what stands out", function()
    local values = {}
    for i = 1, 900 do values[i] = i == 500 and 1000 or i == 700 and -1000 or math.sin(i) end
    local id = curve(values)
    local other = curve { 1, "NaN", 3 }
    local series = call("POST", "/api/recsys/histories", { run_ids = { id, other }, points = 50 }).series
    table.sort(series, function(a, b) return #a.points < #b.points end)
    assert.same({ { 1, 1, 1 }, { 2, 2, "NaN" }, { 3, 3, 3 } }, series[1].points)
    local points, seen = series[2].points, {}
    assert.is_true(#points <= 50 and #points >= 25)
    for i, point in ipairs(points) do
      seen[point[3]] = true
      assert.is_true(i == 1 or point[1] > points[i - 1][1])
    end
    assert.is_true(seen[1000] and seen[-1000]) -- the extremes
    assert.same({ 1, 900 }, { points[1][1], points[#points][1] })
    assert.same({}, call("POST", "/api/recsys/histories", { run_ids = { id }, keys = { "other" } }).series)
    assert.equal(400, ask("POST", "/api/recsys/histories", { run_ids = { 1 } }).status)
  end)

  it("follows a run's log", function()
    local run = new_run()
    local log = ("0/%s/artifacts/log.txt"):format(run)
    assert.same({ text = "", offset = 0, running = true }, call("GET", "/api/recsys/log?run_id=" .. run))
    ask("PUT", "/api/2.0/mlflow-artifacts/artifacts/" .. log, "one\ntwo\n")
    assert.same({ text = "one\ntwo\n", offset = 8, running = true }, call("GET", "/api/recsys/log?run_id=" .. run))
    ask("PUT", "/api/2.0/mlflow-artifacts/artifacts/" .. log, "one\ntwo\nthree \255\n")
    assert.same({ text = "three ?\n", offset = 16, running = true },
      call("GET", "/api/recsys/log?offset=8&run_id=" .. run))
    assert.equal(400, ask("GET", "/api/recsys/log?offset=-1&run_id=" .. run).status)
  end)
end)

describe("the guard", function()
  it("takes names of ours alone in Host headers", function()
    local function status(host) return ask("GET", "/health", nil, { Host = host }).status end
    for _, host in ipairs { "localhost", "LOCALHOST:5000", "127.0.0.1", "[::1]:5000", "localhost." } do
      assert.equal(200, status(host), host)
    end
    for _, host in ipairs { "evil.example", "evil.example:5000", "localhost.evil.example", "10.0.0.1", "localhost:x",
      "[::2]", "127.0.0.1@evil.example", "localhost, evil.example" } do
      assert.equal(403, status(host), host)
    end
    opened:close()
    open { names = { "Tracker.lan" } }
    assert.same({ 200, 403 }, { status "tracker.lan:80", status "other.lan" })
    local anywhere = guard.new { address = "0.0.0.0" }
    anywhere:check({ method = "GET", headers = { host = "10.0.0.1:5000" } }, true)
    assert.has_error(function() anywhere:check({ method = "GET", headers = { host = "evil.example" } }, true) end)
  end)

  it("lets no page of another site change anything", function()
    local function status(headers)
      return ask("POST", "/api/2.0/mlflow/experiments/search", {}, headers).status
    end
    local host = base:match "//(.*)"
    assert.same({ 200, 200, 200 }, { status {}, status { Origin = base }, status { Origin = "https://" .. host,
      ["Sec-Fetch-Site"] = "same-origin" } })
    for _, headers in ipairs { { Origin = "http://evil.example" }, { Origin = "null" }, { Origin = base .. ".evil" },
      { ["Sec-Fetch-Site"] = "cross-site" }, { ["Sec-Fetch-Site"] = "same-site", Origin = base } } do
      assert.equal(403, status(headers))
    end
    local reply = ask("PUT", "/api/2.0/mlflow-artifacts/artifacts/0/x", "x", { Origin = "http://evil.example" })
    assert.equal(403, reply.status)
    assert.is_nil(reply.headers["access-control-allow-origin"])
    reply = ask("OPTIONS", "/api/2.0/mlflow/experiments/search", nil, { Origin = "http://evil.example",
      ["Access-Control-Request-Method"] = "POST" })
    assert.same({ 404, nil }, { reply.status, reply.headers["access-control-allow-origin"] })
  end)

  it("asks for the token, where there is one", function()
    opened:close()
    open { token = "s3cret" }
    local function status(authorization)
      return ask("GET", "/api/2.0/mlflow/experiments/search", nil, { Authorization = authorization }).status
    end
    assert.same({ 200, 200, 401, 401, 401, 401, 401 }, { status "Bearer s3cret", status "Basic dTpzM2NyZXQ=",
      status "Bearer s3cre", status "Bearer s3crets", status "Bearer ", status "Basic !", status "" })
    assert.same({ 401, "UNAUTHENTICATED" }, refusal(ask("GET", "/get-artifact?run_uuid=x&path=y")))
    assert.same({ 401, "UNAUTHENTICATED" }, refusal(ask("GET", "/api/recsys/runs")))
    assert.equal(200, ask("GET", "/health").status)
  end)

  it("is asked before a large body comes, which else is kept nowhere", function()
    opened:close()
    open { token = "s3cret" }
    local spool, put = folder .. "/artifacts/cache/uploads", "/api/2.0/mlflow-artifacts/artifacts/0/x/big"
    local function sent(path, headers, size)
      local seen = {}
      local file = folder .. "/sent"
      files.write(file, ("x"):rep(size or 20 << 20))
      headers.Authorization = headers.Authorization or "Bearer s3cret"
      local reply = assert(client:request { method = "PUT", url = base .. path, file = file, headers = headers,
        wait = function()
          for _ = 1, 20 do opened:step(0) end
          for _, name in ipairs(files.names(spool)) do seen[name] = true end
        end })
      return { reply.status, next(seen) ~= nil }
    end
    assert.same({ 200, true }, sent(put, {}))
    assert.same({ 401, false }, sent(put, { Authorization = "Bearer other" }))
    assert.same({ 401, false }, sent(put, { Authorization = "Bearer other", Expect = "" }, 15 << 20))
    assert.same({ 403, false }, sent(put, { Origin = "https://example.org" }))
    assert.same({ 403, false }, sent(put, { Host = "example.org" }))
    assert.same({ 404, false }, sent("/api/2.0/mlflow/nothing", {}))
    assert.same({ 404, false }, sent("/index.html", {}))
    assert.equal(20 << 20, lfs.attributes(folder .. "/artifacts/mlartifacts/0/x/big", "size"))
    local reply = ask("POST", "/api/2.0/mlflow/runs/log-batch", ("x"):rep(17 << 20),
      { Authorization = "Bearer s3cret", ["Content-Type"] = "application/json" })
    assert.same({ 400, "BAD_REQUEST" }, refusal(reply))
  end)

  it("reads Base64 as it is written", function()
    for bytes in pairs { [""] = 1, f = 1, fo = 1, foo = 1, ["\255\239\0"] = 1, ['{"offset": 100}'] = 1 } do
      assert.equal(bytes, base64.decode(base64.encode(bytes)))
    end
    assert.equal("eyJvZmZzZXQiOiAxMDB9", base64.encode '{"offset": 100}')
    for text, bytes in pairs { [""] = "", ["Zg=="] = "f", ["Zm8="] = "fo", ["Zm9v"] = "foo", ["/+8"] = "\255\239" } do
      assert.equal(bytes, base64.decode(text))
    end
    for _, text in ipairs { "a", "a===", "a b", "-_", "Zg=x" } do assert.is_nil(base64.decode(text)) end
  end)

  it("sends what keeps answers where they belong", function()
    local reply = ask("GET", "/api/2.0/mlflow/experiments/search")
    assert.same({ "nosniff", "DENY", "same-origin", "no-store" }, { reply.headers["x-content-type-options"],
      reply.headers["x-frame-options"], reply.headers["cross-origin-resource-policy"], reply.headers["cache-control"] })
  end)
end)

describe("the writer of answers", function()
  it("writes what recsys.json does, but for the order of keys", function()
    for _, value in ipairs { 1, -0.1, 1 / 3, 1e300, math.mininteger, 0x1.fffffffffffffp+1023, "a\0\n\"\\\127é", true,
      { 1, { 2, {} } }, {}, json.list {}, { ["a\"b"] = { c = false } }, { [7] = 1 }, json.null } do
      assert.equal(json.encode(value), wire.encode(value))
    end
    assert.same({ "null", "null", "null" },
      { wire.encode(0 / 0), wire.encode(math.huge), wire.encode(-math.huge) })
    assert.same({ a = 1, b = { "x", ("y"):rep(100) } }, json.decode(wire.encode { a = 1, b = { "x", ("y"):rep(100) } }))
  end)
end)

describe("hostile words", function()
  it("come back as they went, as JSON, and harm nothing", function()
    local word = '<script>alert(1)</script>\'"; DROP TABLE runs; --'
    local run = new_run("0", word)
    mlflow("POST", "runs/set-tag", { run_id = run, key = "mlflow.note.content", value = word })
    mlflow("POST", "runs/log-parameter", { run_id = run, key = "p", value = word })
    local reply = ask("GET", "/api/2.0/mlflow/runs/get?run_id=" .. run)
    assert.equal("application/json", reply.headers["content-type"])
    assert.equal(word, json.decode(reply.body).run.data.params[1].value)
    assert.equal(word, call("GET", "/api/recsys/runs").runs[1].info.run_name)
    mlflow("POST", "runs/set-tag", { run_id = run, key = "long", value = ("é"):rep(5 << 20) })
    assert.equal(8000, utf8.len(call("GET", "/api/recsys/runs").runs[1].tags.long))
    assert.equal(404, ask("GET", "/..%2f..%2fartifacts/mlflow.db").status)
    assert.equal(404, ask("GET", "/chart.js/..%2f..%2fpasswd").status)
    assert.equal(400, ask("GET", "/%ff").status)
  end)

  it("and numbers of every kind are the same in a search, which is written in another way, as of one run", function()
    local run, store = new_run("0", 'a "name" \\ of\ttabs'), opened.store
    local words = { "", '"', "\\", "\0in\0between", "\1\8\t\n\12\r\31\127", "</script>", "é\u{2028}\u{10ffff}", "{",
      "[1]", "null", "1.50", "1e400", ("long "):rep(400) }
    for i, word in ipairs(words) do
      store.db:run("INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)", { "p" .. i .. word, word, run })
      store.db:run("INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)", { "t" .. i .. word, word, run })
    end
    store.db:run("INSERT INTO tags (key, value, run_uuid) VALUES ('nothing', NULL, ?)", { run })
    local metrics = {}
    for i, value in ipairs { 0 / 0, math.huge, -math.huge, 0, -0.0, 1, 1 / 3, 0.1, -1e-310, 2 ^ 53,
      0x1.fffffffffffffp+1023, 5e-324, 1e15, 123456789.123456789 } do
      metrics[i] = { "m" .. i .. '"', value, i, math.maxinteger - i }
    end
    store:log(run, metrics, {}, {})
    local bare = new_run "0" -- with neither
    local found = {}
    for _, one in ipairs(mlflow("POST", "runs/search", { experiment_ids = { "0" } }).runs) do
      found[one.info.run_id] = one
    end
    for _, id in ipairs { run, bare } do
      local alone = mlflow("GET", "runs/get?run_id=" .. id).run
      for _, data in ipairs { alone.data, found[id].data } do
        for _, list in pairs(data) do table.sort(list, function(x, y) return x.key < y.key end) end
      end
      assert.same(alone, found[id])
    end
    assert.same({ #words, #metrics }, { #found[run].data.params, #found[run].data.metrics })
  end)
end)

describe("recsys-run ui", function()
  it("serves until a signal, and says where", function()
    opened:close()
    local line = ("'%s' ui --port 0 --store '%s/artifacts' >'%s/out' 2>&1 & pid=$!; "):format(command.program, folder,
      folder) .. ("for i in $(seq 100); do grep -q http '%s/out' && break; sleep 0.1; done; "):format(folder)
      .. ("url=$(grep -o 'http://[^ ]*' '%s/out' | head -n 1); "):format(folder)
      .. "exec 3<>/dev/tcp/127.0.0.1/$(echo $url | grep -o '[0-9]*/$' | tr -d /); "
      .. "printf 'GET /health HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3; cat <&3; "
      .. "kill -TERM $pid; wait $pid; echo \" code $?\""
    local result = command.run("bash -c " .. "'" .. line:gsub("'", "'\\''") .. "'")
    assert.truthy(result.out:find("\r\n\r\nOK", 1, true), result.out .. result.err)
    assert.truthy(result.out:find(" code 143", 1, true), result.out)
    open()
  end)

  it("refuses a port that is taken", function()
    local result = command.run(("'%s' ui --port %d --store '%s/artifacts'"):format(command.program,
      opened.server:port(), folder))
    assert.equal(1, result.code)
    assert.truthy(result.err:find "Address already in use")
  end)
end)

--- The server behind the page: MLflow's REST API.

local json = require "recsys.json"
local rest = require "recsys.ui.rest"
local server = require "spec.support.ui_server"

local ask, call, mlflow, refusal, new_run, curve = server.ask, server.call, server.mlflow, server.refusal,
  server.new_run, server.curve

before_each(server.start)
after_each(server.stop)

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
      assert(registry.add { name = "mf", dir = server.folder .. "/artifacts/models",
        manifest = { metrics = { ndcg_10 = i },
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

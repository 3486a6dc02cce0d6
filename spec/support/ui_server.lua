--- The page's server in the spec's own thread, over a store in a new folder, and a client that asks it.

local command = require "spec.support.command"
local http = require "recsys.http"
local json = require "recsys.json"
local ui = require "recsys.ui"

local server = {}

--- Open it, or open it anew with other options.
---@param options? table  of recsys.ui.open
function server.open(options)
  options = options or {}
  options.store, options.port = server.folder .. "/artifacts", 0
  server.opened = ui.open(options)
  server.base = ("http://127.0.0.1:%d"):format(server.opened.server:port())
end

function server.start()
  server.folder = command.temporary()
  server.client = assert(http.client { timeout_ms = 20000 })
  server.open()
end

function server.stop()
  server.opened:close()
  server.client:close()
  command.remove(server.folder)
end

--- A request and its answer, the server beside it in this thread.
---@return HttpReply
function server.ask(method, path, body, headers)
  headers = headers or {}
  if type(body) == "table" then
    headers["Content-Type"] = headers["Content-Type"] or "application/json"
    body = json.encode(body)
  end
  return assert(server.client:request { method = method, url = server.base .. path, body = body, headers = headers,
    wait = function() for _ = 1, 20 do server.opened:step(0) end end })
end

--- The JSON of an answer that succeeded.
function server.call(method, path, body)
  local reply = server.ask(method, path, body)
  if reply.status ~= 200 then error(reply.status .. ": " .. reply.body, 2) end
  return json.decode(reply.body)
end

function server.mlflow(method, path, body) return server.call(method, "/api/2.0/mlflow/" .. path, body) end

--- Status and code of an answer that is a refusal.
function server.refusal(reply)
  local fields = json.decode(reply.body) or {}
  return { reply.status, fields.error_code }
end

--- A new run of an experiment, "0" by default: its id.
function server.new_run(experiment, name, more)
  local request = { experiment_id = experiment or "0", run_name = name, start_time = 1000, tags = json.list {} }
  for key, value in pairs(more or {}) do request[key] = value end
  return server.mlflow("POST", "runs/create", request).run.info.run_id
end

--- A run with a curve: its id.
function server.curve(values, name)
  local id, metrics = server.new_run("0", name), {}
  for i, value in ipairs(values) do metrics[i] = { key = "loss", value = value, timestamp = i, step = i } end
  server.mlflow("POST", "runs/log-batch", { run_id = id, metrics = metrics,
    params = { { key = "lr", value = tostring(#values) } } })
  return id
end

return server

--- A server over published tiny models, in the spec's own process, and a client that asks it and looks whether every
--- answer is one that openapi.json describes.

local command = require "spec.support.command"
local http = require "recsys.http"
local json = require "recsys.json"
local log = require "recsys.log"
local openapi = require "spec.support.openapi"
local operation = require "recsys.serve.operation"
local tiny = require "spec.support.tiny_model"

local serving = { token = nil }

--- Publish the tiny model, as version 1 and champion of a new registry.
function serving.start()
  serving.folder = command.temporary()
  serving.models = serving.folder .. "/models"
  serving.built = tiny.build()
  serving.path = tiny.publish(serving.built, serving.models)
  serving.client = assert(http.client { timeout_ms = 20000 })
  log.level = "quiet"
end

function serving.stop()
  serving.close()
  serving.client:close()
  command.remove(serving.folder)
  log.level = "info"
end

--- Open a server; options as of recsys.serve.operation.open.
function serving.open(options)
  serving.close()
  local all = { word = "registry:tiny@champion", models = serving.models, port = 0, workers = 2, poll = 0 }
  for name, value in pairs(options or {}) do all[name] = value end
  serving.opened = operation.open(all)
  serving.opened:verify()
  return serving.opened
end

function serving.close()
  if serving.opened then serving.opened:close() end
  serving.opened = nil
end

--- The database of a server that keeps what is posted.
function serving.events() return serving.folder .. "/online.db" end

--- Open a server that keeps what is posted, and has what is kept.
function serving.open_kept(options)
  local all = { events = serving.events() }
  for name, value in pairs(options or {}) do all[name] = value end
  return serving.open(all)
end

--- The same that has been posted nothing yet.
function serving.fresh(options)
  serving.close()
  for _, ending in ipairs { "", "-wal", "-shm" } do os.remove(serving.events() .. ending) end
  return serving.open_kept(options)
end

--- Ask, and check the answer.
---@return HttpReply reply
---@return any body  of JSON
function serving.ask(method, path, body, headers)
  headers = headers or {}
  if type(body) == "table" then
    headers["Content-Type"] = headers["Content-Type"] or "application/json"
    body = json.encode(body)
  end
  local reply = assert(serving.client:request { method = method, url = serving.opened:url() .. path, body = body,
    headers = headers })
  return reply, openapi.check(method, path, reply)
end

--- The JSON of an answer that succeeded.
function serving.call(method, path, body, headers)
  local reply, value = serving.ask(method, path, body, headers)
  if reply.status ~= 200 then error(reply.status .. ": " .. reply.body, 2) end
  return value
end

--- What the server says that somebody did, the newest first.
---@return string[] items
function serving.history(user)
  local ids = {}
  for i, event in ipairs(serving.call("GET", "/users/" .. user).history) do ids[i] = event.item end
  return ids
end

--- A metric's value, by the whole of what stands before it.
function serving.metric(name)
  local reply = serving.ask("GET", "/metrics")
  local value = ("\n" .. reply.body):match("\n" .. name:gsub("%p", "%%%0") .. " ([^\n]+)")
  return tonumber(value)
end

return serving

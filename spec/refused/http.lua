-- http.lua - a server and its client, in one thread, under refused memory.
local core = require "recsys.core"
local http = core.http
local scratch = ...

local server <close> = assert(http.server { port = 0, max_memory = 4, spool = scratch, announce = true })
local client <close> = assert(http.client { timeout_ms = 2000 })
local url = ("http://127.0.0.1:%d/a?b=c"):format(server:port())
local function handler(request)
  if request.announced then return request.headers["x-no"] and { status = 403 } or nil end
  local body = request.body or io.open(request.file):read "a"
  return { status = 201, headers = { ["X-Y"] = request.method .. request.path }, body = body }
end
for _, body in ipairs { "", "more than four" } do
  local reply = assert(client:request { method = "PUT", url = url, body = body, headers = { ["X-A"] = "b" },
    wait = function() server:step(0, handler) end })
  assert(reply.status == 201 and reply.body == body and reply.headers["x-y"] == "PUT/a")
end
for _, no in ipairs { false, "1" } do
  local reply = assert(client:request { method = "PUT", url = url, body = ("x"):rep(70000),
    headers = { ["X-No"] = no or nil },
    wait = function() server:step(0, handler) end })
  assert(reply.status == (no and 403 or 201))
end
local load <close> = assert(http.load { port = server:port(), rate = 10, seconds = 0.1, connections = 1,
  timeout_ms = 20, requests = { "GET / HTTP/1.1\r\nHost: x\r\n\r\n" } })
local number, status, body, latency = load:next() -- nobody drives the server
assert(number == 1 and status == 0 and body == "there was no answer in time" and latency > 0.02)
load:run()
assert(load:summary().failed == 1 and not load:percentile(1))
load:close()
client:close()
server:close()

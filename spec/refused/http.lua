-- http.lua - a server and its client, in one thread, under refused memory.
local core = require "recsys.core"
local http = core.http
local scratch = ...

local server <close> = assert(http.server { port = 0, max_memory = 4, spool = scratch })
local client <close> = assert(http.client { timeout_ms = 2000 })
local url = ("http://127.0.0.1:%d/a?b=c"):format(server:port())
local function handler(request)
  local body = request.body or io.open(request.file):read "a"
  return { status = 201, headers = { ["X-Y"] = request.method .. request.path }, body = body }
end
for _, body in ipairs { "", "more than four" } do
  local reply = assert(client:request { method = "PUT", url = url, body = body, headers = { ["X-A"] = "b" },
    wait = function() server:step(0, handler) end })
  assert(reply.status == 201 and reply.body == body and reply.headers["x-y"] == "PUT/a")
end
client:close()
server:close()

-- server.lua - a server and its versions under refused memory, asked by a client in the same thread.
local core = require "recsys.core"

local scratch = ...
local path = scratch .. "/tiny-1.tar"
local file = io.open(path)
if file then
  file:close()
else
  package.path = package.path .. ";" .. package.path:match "(.-)lua/%?%.lua" .. "?.lua"
  local tiny = require "spec.support.tiny_model"
  tiny.publish(tiny.build(), scratch)
end

local server <close> = core.server.new { workers = 1, runtime = "1", commit = "c", openapi = "{}",
  execution = "{}", accept = "text/csv", models_root = scratch, models_room = 1 << 20 }
assert(core.server.answers "text/csv" and not core.server.answers "text/html")
assert(server:counts().requests == 0 and server:asked() == 0)
assert(server:put("live", assert(core.serve.map(path)), "tiny-1"))
assert(server:put("candidate", assert(core.serve.map(path)), "tiny-2", 1000))
assert(server:verify "live" and server:state "ready" and server:clear "candidate")
assert(server:reloaded(1, "gone") and server:reloaded(1))
for _, ending in ipairs { "", "-wal", "-shm" } do os.remove(scratch .. "/online.db" .. ending) end
assert(server:keep(scratch .. "/online.db", 30) and server:page("/", "text/html", "<p>"))
assert(server:put("live", assert(core.serve.map(path)), "tiny-1"))
local recipe = assert(io.open(scratch .. "/recipe.lua", "w"))
recipe:write [[return require "recsys.serve_recipe" { handlers = { ["GET /hello"] = function() return "hello" end } }]]
recipe:close()
assert(server:recipe { path = scratch .. "/recipe.lua", workers = 1 })
assert(server:start { port = 0, workers = 1, connections = 4, token_text = "ann all 0123456789abcdef" })
assert(server:reopen_log())
assert(server:port() > 0 and tostring(server):find "port")
assert(server:trouble() == nil and server:drain(0) and server:finish(0) == 0)
server:close()

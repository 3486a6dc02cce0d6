--- The rows of `bench serve`: a server of ours as a user starts it, under load from wrk on the same machine, beside
--- servers in Python (spec/peers/serve_fastapi.py, serve_bare.py) that answer the same from the same bundle.
---
--- Bodies are drawn uniformly from a file, which all sides share, and no side keeps answers. A side's figure is the
--- seconds between two answers; wrk has one thread, which takes its share of the cores as it does on the peers' side.

local base = require("recsys.core").base
local bench = require "recsys.bench"
local files = require "recsys.files"
local host = require "recsys.host"
local http = require "recsys.http"
local json = require "recsys.json"
local served = require "recsys.bench.served"
local uv = require "luv"

local serving = {}

local SECONDS <const>, CONNECTIONS <const>, BODIES <const>, CHECKED <const> = 4, 16, 20000, 3
local PATIENCE <const> = 60 -- seconds until a server must have answered

--- Why the rows that wrk loads cannot run here; nil where they can.
---@return string?
function serving.lacks_wrk()
  if not os.execute "command -v wrk >/dev/null 2>&1" then
    return "wrk, which makes the load, is not installed (apt-get install wrk)"
  end
end

-- A server -----------------------------------------------------------------------------------------------------------

local Server = {}
Server.__index = Server

--- Start `recsys-run serve` and wait for the line that says where it answers. Events that were posted to a server of
--- the user's are not this one's.
---@param bundle string
---@param words? string[]  more of its command line
function serving.start(bundle, words)
  local out = uv.new_pipe()
  local server = setmetatable({ said = "" }, Server)
  words = words or {}
  local args = table.move(words, 1, #words, 6, { "serve", bundle, "--port", "0", "--no-events" })
  local handle, pid = uv.spawn(host.executable, { args = args, stdio = { nil, out, 2 } }, function(code)
    server.ended = code
  end)
  server.handle, server.pid, server.out = assert(handle, pid), pid, out
  out:read_start(function(_, chunk) server.said = server.said .. (chunk or "") end)
  local began = uv.hrtime()
  while not server.said:find "\n" and not server.ended and (uv.hrtime() - began) / 1e9 < PATIENCE do uv.run "once" end
  server.port = tonumber(server.said:match "answers at %S-:(%d+)")
  if not server.port then
    server:stop()
    error("recsys-run serve does not begin: " .. server.said)
  end
  return server
end

--- Send a body and decode the answer.
function Server:ask(path, body)
  self.client = self.client or assert(http.client {})
  local answer = assert(self.client:request { method = body and "POST" or "GET", body = body,
    url = ("http://127.0.0.1:%d%s"):format(self.port, path), headers = { ["Content-Type"] = "application/json" } })
  if answer.status ~= 200 then error(("%s: status %d: %s"):format(path, answer.status, answer.body:sub(1, 300))) end
  return answer.body
end

--- Wait until every byte of the bundle is verified, which would share the processors with the load.
function Server:wait()
  local url = ("http://127.0.0.1:%d/ready"):format(self.port)
  local client <close> = assert(http.client {})
  for _ = 1, PATIENCE * 20 do
    local answer = client:request { url = url }
    if answer and answer.status == 200 then return self end
    uv.sleep(50)
  end
  error "the server does not become ready"
end

--- MiB of memory: resident, and that share of it which is its own (proportional, of what processes have in common).
---@return number resident
---@return number proportional
function Server:memory()
  local text = assert(files.read(("/proc/%d/smaps_rollup"):format(self.pid)))
  return tonumber(text:match "Rss:%s*(%d+)") / 1024, tonumber(text:match "Pss:%s*(%d+)") / 1024
end

--- Ask it to stop, and wait until it has: its exit code.
function Server:stop()
  if self.handle then
    if not self.ended then self.handle:kill "sigterm" end
    while not self.ended do uv.run "once" end
    self.handle:close()
    self.out:close()
    uv.run "nowait"
    self.handle = nil
  end
  return self.ended
end
Server.__close = Server.stop

--- With the state of Lua, which is no place to wait in: its loop may be gone already.
function Server:__gc()
  if self.handle and not self.ended then uv.kill(self.pid, "sigterm") end
end

-- Load ----------------------------------------------------------------------------------------------------------------

--- A file of bodies, one a line: body(i) is the i-th.
local function write_bodies(path, n, body)
  return bench.once(path, function(part)
    local lines = {}
    for i = 1, n do lines[i] = json.encode(body(i)) end
    lines[#lines + 1] = ""
    files.write(part, table.concat(lines, "\n"))
  end)
end

--- What all sides of a row are given.
---@param name string
---@param row { body: fun(i: integer, size: table): table, path?: string, size?: table }
local function prepare(name, row)
  return function(folder, options)
    local size = row.size or served.news
    local arguments = served.make(folder, size, options.scale)
    arguments.bundle = uv.fs_realpath(arguments.bundle)
    local path = ("%s/bodies-%s-%d"):format(folder, name, arguments.users)
    arguments.bodies = uv.fs_realpath(write_bodies(path, math.min(BODIES, arguments.users), function(i)
      return row.body(i, arguments)
    end))
    arguments.path, arguments.connections, arguments.checked = row.path or "/recommend", CONNECTIONS, CHECKED
    arguments.seconds = math.max(1, SECONDS * options.scale)
    arguments.script = host.root .. "/spec/peers/wrk_post.lua"
    return arguments
  end
end

--- The first bodies of the file.
local function first_bodies(arguments)
  local list = {}
  for line in io.lines(arguments.bodies) do
    list[#list + 1] = line
    if #list == arguments.checked then break end
  end
  return list
end

--- What the first users are answered: ids, and the mean of scores, which all sides must agree on.
local function check(server, arguments)
  local found = {}
  for i, body in ipairs(first_bodies(arguments)) do
    local ids, sum = {}, 0
    for n, item in ipairs(json.decode(server:ask(arguments.path, body)).items) do
      ids[n], sum = item.id, sum + item.score
    end
    found[i] = { ids, sum / #ids }
  end
  return found
end

--- Load from wrk: { requests, seconds, bytes, p50, p99, lost, refused }. Any answer but 200 is an error.
local function load_by_wrk(server, arguments)
  local pipe = assert(io.popen(("wrk -t1 -c%d -d%gs -s '%s' http://127.0.0.1:%d%s -- '%s' 2>&1"):format(
    arguments.connections, arguments.seconds, arguments.script, server.port, arguments.path, arguments.bodies)))
  local said = pipe:read "a"
  pipe:close()
  local load = json.decode(said:match "([^\n]+)\n*$" or "")
  if type(load) ~= "table" or load.lost + load.refused > 0 or load.requests == 0 then
    error("wrk: " .. said:sub(-500))
  end
  return load
end

--- A row that wrk loads.
---@param name string
---@param row { about: string, body: fun(i: integer, size: table): table, path?: string, goal?: number, peers?: table,
---   times?: table, each?: integer, compared?: boolean }
---   goal: requests a second; each: answers in one request, default 1; compared: peers answer the same
function serving.row(name, row)
  local each = row.each or 1
  return {
    about = row.about, unit = each == 1 and "request" or "user", per = function() return each end,
    skip = serving.lacks_wrk, same = row.compared or false, turns = row.peers and true or nil,
    prepare = prepare(name, row),
    setup = function(arguments)
      local server = serving.start(arguments.bundle, { "--workers", tostring(base.threads()), "--poll", "0" }):wait()
      return { server = server, arguments = arguments, check = row.compared and check(server, arguments) or nil }
    end,
    run = function(state)
      local load = load_by_wrk(state.server, state.arguments)
      state.load = load
      return state.check, load.seconds / load.requests
    end,
    facts = function(state)
      local load = state.load
      local resident = state.server:memory()
      state.server:stop()
      return { requests_per_second = load.requests / load.seconds, p50_ms = load.p50 * 1e3, p99_ms = load.p99 * 1e3,
        bytes = load.bytes / load.requests, resident_mib = resident }
    end,
    judge = function(sides)
      local reached = 1 / sides.recsys.seconds
      return row.goal and { { what = "requests a second", reached = reached, wanted = row.goal,
        holds = reached >= row.goal } } or {}
    end,
    peers = row.peers, target = { times = row.times },
  }
end

--- Whole requests, as http.load takes them, from a file of bodies.
---@return string[]
function serving.requests(arguments)
  local list = {}
  for body in io.lines(arguments.bodies) do
    list[#list + 1] = table.concat({ "POST " .. arguments.path .. " HTTP/1.1", "Host: 127.0.0.1",
      "Content-Type: application/json", "Content-Length: " .. #body, "", body }, "\r\n")
  end
  return list
end

serving.prepare = prepare

return serving

--- A tracking store for benches, and servers over it: many runs with parameters, metrics and their histories.

local bench = require "recsys.bench"
local files = require "recsys.files"
local host = require "recsys.host"
local http = require "recsys.http"
local json = require "recsys.json"
local store = require "recsys.track.store"
local uv = require "luv"

local tracked = {}

local PATIENCE <const> = 60 -- seconds until a server must have answered

--- A value that looks like a metric that falls: of run r, metric m, at step s.
local function value(r, m, s)
  return 1 + (r * 7919 + m * 104729) % 1000 / 1000 - s / 100 * (1 + (r + m) % 7 / 7)
end

--- Write one run, at a second of its own.
local function write_run(opened, experiment, r, size)
  local began = 1700000000000 + r * 1000
  local id = opened:create_run({ experiment_id = experiment, run_name = ("run-%d"):format(r), start_time = began,
    run_id = ("%032x"):format(r) }).info.run_id
  local params, metrics = {}, {}
  for p = 1, size.params do
    local number = p == 1 and r * 7919 % 1000003 / 1e7 or (r * p) % (10 * p) -- the first differs in every run
    params[p] = { key = ("p%02d"):format(p), value = tostring(number) }
  end
  for m = 1, size.metrics do
    for s = 1, size.steps do
      metrics[#metrics + 1] = { ("m%d"):format(m), value(r, m, s), began + s * 10, s }
    end
  end
  opened:log(id, metrics, params, {})
  opened:update_run { run_id = id, status = "FINISHED", end_time = began + 900 }
end

--- Make a store of runs, once, and a copy of it beside, which MLflow may upgrade.
---@param folder string
---@param size { runs: integer, params: integer, metrics: integer, steps: integer }
---@param copied? boolean
---@return { ours: string, theirs: string?, experiment: string, runs: integer }
function tracked.make(folder, size, copied)
  local name = ("%s/runs-%d-%d-%d-%d"):format(folder, size.runs, size.params, size.metrics, size.steps)
  bench.once(name, function(part)
    os.execute(("rm -rf '%s'"):format(part))
    local opened <close> = store.open(files.make_folder(part) .. "/ours")
    local experiment = opened:ensure_experiment "bench"
    for first = 1, size.runs, 100 do
      opened.db:transaction(function()
        for r = first, math.min(first + 99, size.runs) do write_run(opened, experiment, r, size) end
      end)
    end
    opened.db:execute "PRAGMA wal_checkpoint(TRUNCATE); ANALYZE"
  end)
  name = uv.fs_realpath(name)
  if copied then
    bench.once(name .. "/theirs", function(part)
      os.execute(("rm -rf '%s'"):format(part))
      assert(os.execute(("cp -a '%s/ours' '%s'"):format(name, part)))
    end)
  end
  local opened <close> = store.open(name .. "/ours", { read_only = true })
  return { ours = name .. "/ours", theirs = copied and name .. "/theirs" or nil, runs = size.runs,
    experiment = opened:experiment_by_name("bench").experiment_id }
end

local Server = {}
Server.__index = Server

--- Start `recsys-run ui` over a store. It ends with server:stop(), or with the state of Lua.
---@param folder string
function tracked.serve(folder)
  local probe = assert(http.server { port = 0 })
  local port = probe:port()
  probe:close()
  local server = setmetatable({ url = ("http://127.0.0.1:%d"):format(port),
    client = assert(http.client { timeout_ms = 0 }) }, Server)
  local handle, pid = uv.spawn(host.executable, { args = { "ui", "--store", folder, "--port", tostring(port) },
    stdio = { nil, nil, nil } }, function() server.ended = true end)
  server.handle, server.pid = assert(handle, pid), pid
  return server
end

--- Ask until the server answers.
function Server:wait()
  local began = uv.hrtime()
  while (uv.hrtime() - began) / 1e9 < PATIENCE do
    local answer = self.client:request { method = "GET", url = self.url .. "/" }
    if answer and answer.status == 200 then return self end
    if self.ended then break end
    uv.run "nowait"
    uv.sleep(1)
  end
  self:stop()
  error "recsys-run ui does not answer"
end

--- The body of an answer that succeeded.
local function body_of(answer, ...)
  answer = assert(answer, ...)
  if answer.status ~= 200 then error(("status %d: %s"):format(answer.status, answer.body:sub(1, 300))) end
  return answer.body
end

--- The body of the answer to a POST of JSON, by MLflow's API.
---@param path string
---@param question table
function Server:post(path, question)
  return body_of(self.client:request { method = "POST", url = self.url .. "/ajax-api/2.0/mlflow/" .. path,
    headers = { ["Content-Type"] = "application/json" }, body = json.encode(question) })
end

--- The body of the answer to a GET, by our own API.
---@param path string
function Server:get(path)
  return body_of(self.client:request { method = "GET", url = self.url .. "/api/recsys/" .. path })
end

--- The body of an answer to a search of runs.
---@param question table
function Server:search(question) return self:post("runs/search", question) end

--- What a page of runs says, for comparison: how many, the first, and the sum of a metric.
---@param body string
function tracked.check(body)
  local found = json.decode(body)
  local sum = 0
  for _, run in ipairs(found.runs) do
    for _, metric in ipairs(run.data.metrics) do
      if metric.key == "m1" then sum = sum + metric.value end
    end
  end
  return { runs = #found.runs, first = found.runs[1].info.run_name, sum = sum }
end

--- MiB of its memory that are resident.
function Server:resident_mib()
  local file = assert(io.open(("/proc/%d/status"):format(self.pid)))
  local kib = file:read "a":match "VmRSS:%s*(%d+)"
  file:close()
  return tonumber(kib) / 1024
end

--- Seconds that its thread of Lua, which makes the answers, was at work on a processor.
function Server:busy_seconds()
  local file = assert(io.open(("/proc/%d/schedstat"):format(self.pid)))
  local nanoseconds = file:read "n"
  file:close()
  return nanoseconds / 1e9
end

--- End the server's process and wait for it.
function Server:stop()
  if self.stopped then return end
  self.stopped = true
  if not self.ended then self.handle:kill "sigterm" end
  while not self.ended do uv.run "once" end
  self.handle:close()
  uv.run "nowait"
end
Server.__close = Server.stop

--- With the state of Lua, which is no place to wait in: its loop may be gone already.
function Server:__gc()
  if not self.stopped and not self.ended then uv.kill(self.pid, "sigterm") end
end

--- The verdict that our server's resident memory is at most a share of a peer's, from facts `resident_mib`.
---@param sides table
---@param share number
function tracked.judge_memory(sides, share)
  local us, them = sides.recsys, sides.mlflow
  if not (us and them) then return {} end
  local reached = us.facts.resident_mib / them.facts.resident_mib
  return { { what = "of MLflow's resident memory", reached = reached, wanted = share, holds = reached <= share } }
end

-- The size that the goals are about.
local SIZE = { runs = 2000, params = 20, metrics = 10, steps = 50 }

--- prepare of the rows about that size.
function tracked.prepare(folder, options)
  return tracked.make(folder, { runs = math.max(120, math.floor(SIZE.runs * options.scale)), params = SIZE.params,
    metrics = SIZE.metrics, steps = SIZE.steps }, true)
end

--- A row that asks a running server for pages of runs: an hundred calls a run.
---@param about string
---@param words string  of the peer
---@param question fun(arguments: table): table
---@param goal number
function tracked.search_row(about, words, question, goal)
  return {
    about = about, unit = "answer", per = function(arguments) return arguments.calls end,
    prepare = function(folder, options)
      local arguments = tracked.prepare(folder, options)
      arguments.calls = 20
      arguments.question = question(arguments)
      return arguments
    end,
    setup = function(arguments)
      return { server = tracked.serve(arguments.ours):wait(), question = arguments.question, calls = arguments.calls }
    end,
    run = function(state)
      local body
      for _ = 1, state.calls do body = state.server:search(state.question) end
      return tracked.check(body)
    end,
    facts = function(state)
      local mib = state.server:resident_mib()
      state.server:stop()
      return { resident_mib = mib }
    end,
    peers = { mlflow = "mlflow mlflow_server.py " .. words },
    judge = function(sides) return tracked.judge_memory(sides, 0.1) end,
    target = { times = { mlflow = goal } },
  }
end

return tracked

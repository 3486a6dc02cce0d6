--- A tracking server for specs: `recsys-run ui` over a store of its own, or a real MLflow; it can be away for a while.

local command = require "spec.support.command"
local http = require "recsys.http"
local log = require "recsys.log"
local remote = require "recsys.track.remote"
local track = require "recsys.track"
local uv = require "luv"

local server = {}

local Server = {}
Server.__index = Server

local function answers(self)
  local client <close> = assert(http.client { timeout_ms = 1000 })
  local answer = client:request { url = self.url .. "/health" }
  return answer ~= nil and answer.status == 200
end

--- What is waited for it while it is there: a busy machine takes its time to answer. And while it is not, when nothing
--- comes of waiting. In seconds.
local PATIENCE <const>, AWAY <const> = 20, 0.2

--- Start it, on the port that it had before.
function Server:start()
  assert(not self.handle, "the server is started already")
  local program, args = command.program, { "ui", "--port", tostring(self.port), "--store", self.store }
  if self.python then
    command.run(("mkdir -p '%s'"):format(self.store))
    program, args = self.python, { "-m", "mlflow", "server", "--port", tostring(self.port), "--workers", "1",
      "--backend-store-uri", ("sqlite:///%s/mlflow.db"):format(self.store), "--artifacts-destination",
      self.store .. "/mlartifacts" }
  end
  self.ended = false
  self.handle = assert(uv.spawn(program, { args = args, detached = true, stdio = { nil, nil, nil } },
    function() self.ended = true end))
  for _ = 1, self.python and 6000 or 600 do
    if answers(self) then
      remote.patience = PATIENCE
      return
    end
    uv.sleep(50)
  end
  error "the server does not answer"
end

--- End it at once.
function Server:stop()
  if not self.handle then return end
  uv.kill(-self.handle:get_pid(), "sigkill") -- MLflow's has workers
  while not self.ended do uv.run "once" end
  self.handle:close()
  uv.run "nowait"
  self.handle, remote.patience = nil, AWAY
end

--- A free port.
local function free_port()
  local tcp = uv.new_tcp()
  assert(tcp:bind("127.0.0.1", 0))
  local port = tcp:getsockname().port
  tcp:close()
  uv.run "nowait"
  return port
end

--- A server that is not started yet.
---@param store string
---@param python? string  one with MLflow, whose server it then is
function server.new(store, python)
  local port = free_port()
  return setmetatable({ store = store, port = port, url = "http://127.0.0.1:" .. port, python = python }, Server)
end

local level

--- For before each test: a folder of its own, a server over FOLDER/there, nothing told, and not much patience.
---@return string folder, Server
function server.begin()
  level, log.level = log.level, "quiet"
  remote.patience = AWAY
  local folder = command.temporary()
  return folder, server.new(folder .. "/there")
end

--- For after each test.
function server.finish(folder, one)
  track.finish_all()
  one:stop()
  command.remove(folder)
  log.level, remote.patience, remote.attempts = level, 10, 3
end

return server

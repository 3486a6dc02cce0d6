--- A server in a tree like SageMaker's (spec/support/sagemaker_tree.lua): begun, asked, stopped. Whatever it answers is
--- held against openapi.json.

local openapi = require "spec.support.openapi"
local uv = require "luv"

local Server = {}
Server.__index = Server

--- Ask it.
---@return HttpReply reply
function Server:ask(client, method, place, body, headers)
  local reply = assert(client:request { method = method, url = self.url .. place, body = body, headers = headers })
  openapi.check(method, place, reply)
  return reply
end

--- Ask it to stop, by SIGTERM: exit code and seconds.
function Server:stop(signal)
  local began = uv.hrtime()
  if not self.code then self.handle:kill(signal or "sigterm") end
  while not self.code do uv.run "once" end
  if not self.handle:is_closing() then self.handle:close() end
  uv.run "nowait"
  return self.signal ~= 0 and 128 + self.signal or self.code, (uv.hrtime() - began) / 1e9
end

function Server:kill() return self:stop "sigkill" end

--- Begin it; raises with what it says when it does not listen.
---@param tree table
---@param words string  "serve --port 0"
---@param variables? table<string, any>
return function(tree, words, variables)
  local out, err = uv.new_pipe(), uv.new_pipe()
  local self = setmetatable({ out = "", err = "" }, Server)
  local line = tree:words(words, variables):gsub("&& env", "&& exec env")
  self.handle = assert(uv.spawn("/bin/sh", { args = { "-c", line }, stdio = { nil, out, err } },
    function(code, signal) self.code, self.signal = code, signal end))
  for name, pipe in pairs { out = out, err = err } do
    pipe:read_start(function(_, data)
      if data then self[name] = self[name] .. data else pipe:close() end
    end)
  end
  while not self.code and not self.out:find "\n" do uv.run "once" end
  self.url = self.out:match "(http://%S+)"
  if not self.url then error("it does not serve: " .. self.err, 2) end
  self.port = tonumber(self.url:match ":(%d+)$")
  return self
end

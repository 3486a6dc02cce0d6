--- A side of a bench row: a process that prints what it measured as JSON on its last line, and before that, where sides
--- take turns, a line when it is ready and one for each turn that it was told to take.

local json = require "recsys.json"
local uv = require "luv"

local side = {}

local SAMPLE_MS = 4

local Side = {}
Side.__index = Side

--- Anonymous bytes that a process has now; nil when it is gone or the system does not tell.
local function anonymous(pid)
  local file = io.open(("/proc/%d/status"):format(pid))
  if not file then return nil end
  local kib = file:read "a":match "RssAnon:%s*(%d+)"
  file:close()
  return kib and tonumber(kib) * 1024
end

local function collect(pipe, into)
  pipe:read_start(function(_, chunk) into[#into + 1] = chunk end)
end

--- Close handles, and let the loop see it: those that are still open when the program ends would crash it.
local function close(...)
  for _, handle in ipairs { ... } do handle:close() end
  uv.run "nowait"
end

--- Start a side; nil and why it cannot be.
---@param program string
---@param words string[]
---@param environment? string[]
function side.start(program, words, environment)
  local started = setmetatable({ printed = {}, complained = {}, most = 0, read = 0 }, Side)
  local input, out, err = uv.new_pipe(), uv.new_pipe(), uv.new_pipe()
  local handle, pid = uv.spawn(program, { args = words, env = environment, stdio = { input, out, err } },
    function(status, signal) started.code = signal ~= 0 and 128 + signal or status end)
  if not handle then
    close(input, out, err)
    return nil, ("cannot start %s: %s"):format(program, pid)
  end
  started.handle, started.input, started.out, started.err = handle, input, out, err
  started.deaf = uv.new_signal()
  started.deaf:start("sigpipe", function() end) -- a side that has died is told its turn
  collect(out, started.printed)
  collect(err, started.complained)
  started.timer = uv.new_timer()
  started.timer:start(0, SAMPLE_MS, function() started.most = math.max(started.most, anonymous(pid) or 0) end)
  return started
end

--- Wait for its next line; false when it ends without one.
---@return boolean
function Side:says()
  while true do
    local _, lines = table.concat(self.printed):gsub("\n", "")
    if lines > self.read then
      self.read = self.read + 1
      return true
    end
    if self.code then return false end
    uv.run "once"
  end
end

--- Have it take a turn, and wait until it has.
---@param number integer  from 1
---@return boolean  false when it has ended instead
function Side:turn(number)
  if self.code then return false end
  self.input:write(("%d\n"):format(number))
  return self:says()
end

--- Let it come to its end: what it printed last, decoded, with `anonymous_mib` added; nil and why it failed.
function Side:finish()
  self.input:close()
  while not self.code do uv.run "once" end
  close(self.timer, self.deaf, self.handle)
  close(self.out, self.err)
  local text = table.concat(self.printed)
  local result = self.code == 0 and json.decode(text:match "([^\n]+)\n*$" or "")
  if type(result) ~= "table" then
    return nil, ("exit code %d: %s"):format(self.code, (table.concat(self.complained) .. text):sub(-600))
  end
  result.anonymous_mib = self.most / 2 ^ 20
  return result
end

return side

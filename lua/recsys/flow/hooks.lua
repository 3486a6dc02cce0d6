--- Hooks: what is told when a run or a task changes its state. `on_failure`, `on_success` and `on_state` of a recipe
--- and of a task: a shell command, a webhook ("https://..."), { command = or url =, timeout = seconds }, or a list of
--- those.
---
--- A hook is a process of its own (recsys.flow.hook): it holds up no task, and whatever becomes of it fails no run; it
--- is told in the run's hooks.txt. The end of a run waits for those that are still at work, each up to its timeout.

local clock = require "recsys.clock"
local exit = require "recsys.exit"
local host = require "recsys.host"
local json = require "recsys.json"
local log = require "recsys.log"
local loop = require "recsys.loop"
local signals = require "recsys.signals"
local text = require "recsys.text"
local uv = require "luv"

local hooks = {}

local TIMEOUT <const> = 10 -- seconds
local STOPPED <const> = 10 -- seconds that hooks hold up the end of a run that a signal has stopped
local LONGEST <const> = 16384 -- bytes of a message that is told

local kinds = { "on_failure", "on_success", "on_state" }

local at_work = {} -- handles of hooks' processes -> when their time is over

local function read_one(value, where)
  if type(value) == "string" then value = value:find "^https?://" and { url = value } or { command = value } end
  if type(value) ~= "table" then exit.usage_error("%s must be a command, an address or a table of one", where) end
  for name in pairs(value) do
    if name ~= "command" and name ~= "url" and name ~= "timeout" then
      exit.usage_error("%s: '%s' is not known; there are command, url and timeout", where, tostring(name))
    end
  end
  local what = value.command or value.url
  if type(what) ~= "string" or what == "" or value.command and value.url then
    exit.usage_error("%s needs either a command or a url", where)
  end
  if value.url and not value.url:find "^https?://[^/]" then
    exit.usage_error("%s: '%s' is no address such as https://host/path", where, value.url)
  end
  local timeout = value.timeout or TIMEOUT
  if type(timeout) ~= "number" or not (timeout > 0 and timeout <= 3600) then
    exit.usage_error("%s: timeout must be a number of seconds, up to 3600", where)
  end
  return { command = value.command, url = value.url, timeout = timeout }
end

--- The hooks among a recipe's fields or a task's options; nil for none.
---@param options table
---@param where string  "task 'train'", for messages
---@return table<string, table[]>?  raises { code = "usage" } for what makes no sense
function hooks.read(options, where)
  local found
  for _, kind in ipairs(kinds) do
    local given = options[kind]
    if given ~= nil then
      local list = type(given) == "table" and given[1] ~= nil and given or { given }
      found = found or {}
      found[kind] = {}
      for i, one in ipairs(list) do found[kind][i] = read_one(one, ("%s: %s"):format(where, kind)) end
    end
  end
  return found
end

--- Names of a recipe's fields that are hooks.
hooks.kinds = kinds

local function environment(event, hook)
  local list = {}
  for name, value in pairs(uv.os_environ()) do list[#list + 1] = name .. "=" .. value end
  for _, field in ipairs { "event", "recipe", "run", "folder", "task", "state", "code", "message" } do
    if event[field] then list[#list + 1] = ("RECSYS_%s=%s"):format(field:upper(), tostring(event[field])) end
  end
  list[#list + 1] = "RECSYS_HOOK=" .. json.encode { hook = hook, event = event }
  return list
end

local function start(hook, event)
  if not host.executable then return end
  local output = uv.fs_open((event.folder or ".") .. "/hooks.txt", "a", tonumber("644", 8))
  local handle
  handle = uv.spawn(host.executable, { args = { "--hook" }, detached = true, stdio = { nil, output, output },
    env = environment(event, hook) }, function()
    at_work[handle] = nil
    handle:close()
  end)
  if output then uv.fs_close(output) end
  if not handle then
    local what = hook.command or require("recsys.flow.hook").shown(hook.url)
    return log.note("a hook could not be started: %s", what)
  end
  handle:unref()
  at_work[handle] = uv.hrtime() + (hook.timeout + 2) * 1e9
end

local ends = { completed = "on_success", done = "on_success", cached = "on_success", failed = "on_failure",
  timed_out = "on_failure", crashed = "on_failure", cancelled = "on_failure", refused = "on_failure" }

--- Tell a change of state to the hooks that are for it. Nothing is waited for, and nothing but a signal raised.
---@param declared table<string, table[]>?  what hooks.read gave
---@param event { recipe?: string, run: string, folder?: string, task?: string, state: string, code?: string,
---   message?: string, seconds?: number }
function hooks.tell(declared, event)
  if not declared then return end
  event.time = clock.now()
  if event.message then event.message = text.shortened(text.readable(event.message), LONGEST):gsub("%z", " ") end
  for _, kind in ipairs { "on_state", ends[event.state] } do
    for _, hook in ipairs(declared[kind] or {}) do
      event.event = kind
      local ok, problem = exit.try(start, hook, event)
      if not ok then log.note("a hook could not be started: %s", exit.message_of(problem)) end
    end
  end
end

local function next_end()
  local latest
  for _, over in pairs(at_work) do latest = math.max(latest or 0, over) end
  return latest
end

--- Wait for hooks that are at work, each up to its timeout; in a run that a signal has stopped for some seconds, and
--- they go on without it. A signal ends the wait.
function hooks.settle()
  if not next(at_work) then return end
  signals.hold()
  local stopped = signals.stopped()
  local over = stopped and uv.hrtime() + STOPPED * 1e9 or math.huge
  while next(at_work) and uv.hrtime() < math.min(next_end(), over) and signals.stopped() == stopped do loop.rest(20) end
  for handle in pairs(at_work) do handle:close() end
  at_work = {}
  uv.run "nowait"
  signals.release()
end

return hooks

--- Trying again: how often, after how long, and after which failures.
---
--- `retries = 3`, or `retries = { times = 3, delay = 1, backoff = 2, jitter = 0.1, when = function(failure) end, most =
--- 60 }`. What would fail again in the same way is never tried again: wrong parameters, a gate that refused, a signal.

local exit = require "recsys.exit"
local signals = require "recsys.signals"
local uv = require "luv"

local retry = {}

local final = { usage = true, config = true, objective = true, quality = true, leak = true, interrupted = true,
  cancelled = true, changed = true, ["end"] = true, plan = true }

-- field -> type and default
local fields = { times = { "integer" }, delay = { "number", 0 }, backoff = { "number", 1 }, jitter = { "number", 0 },
  most = { "number", 3600 }, when = { "function" } }

local function check_number(name, value)
  if name == "times" and (math.type(value) ~= "integer" or value < 0 or value > 1000) then
    return "must be a whole number, 0 to 1000"
  end
  if type(value) ~= "number" or value ~= value or value < 0 then return "must be a number of 0 or more" end
  if name == "backoff" and value < 1 then return "must be 1 or more: the next delay is so many times the last" end
  if name == "jitter" and value > 1 then return "must be a share of the delay, 0 to 1" end
end

local function check_delays(list)
  for _, seconds in ipairs(list) do
    local problem = check_number("delay", seconds)
    if problem then return problem end
  end
  return #list == 0 and "is an empty list" or nil
end

local function check_field(name, value)
  if not fields[name] then return "is not known; there are times, delay, backoff, jitter, most and when" end
  if name == "when" then
    local fine = type(value) == "function" or value == "busy"
    return not fine and 'must be a function or "busy"' or nil
  end
  if name == "delay" and type(value) == "table" then return check_delays(value) end
  return check_number(name, value)
end

--- A task's `retries` with all of its fields; nil for none.
---@param given integer|table|nil  a number is that of times
---@param task string              for messages
---@return table?                  raises { code = "usage" } for what makes no sense
function retry.read(given, task)
  if given == nil then return nil end
  if type(given) == "number" then given = { times = given } end
  if type(given) ~= "table" then
    exit.usage_error("task '%s': retries must be a number or a table, not a %s", task, type(given))
  end
  local policy = {}
  for name, field in pairs(fields) do policy[name] = field[2] end
  for name, value in pairs(given) do
    local problem = check_field(name, value)
    if problem then exit.usage_error("task '%s': retries.%s %s", task, tostring(name), problem) end
    policy[name] = value
  end
  if not policy.times then exit.usage_error("task '%s': retries.times must be given", task) end
  return policy
end

--- Seconds to wait before attempt n + 1. A list of delays goes on with its last one.
---@param policy table
---@param n integer     attempts so far
---@param random? number  in [0, 1)
---@return number
function retry.delay(policy, n, random)
  local delay = policy.delay
  if type(delay) == "table" then
    delay = delay[math.min(n, #delay)]
  else
    delay = delay * policy.backoff ^ (n - 1)
  end
  delay = math.min(delay, policy.most)
  return delay * (1 + policy.jitter * (2 * (random or math.random()) - 1))
end

--- Whether a failure is worth another attempt after n of them.
---@param policy table?
---@param n integer
---@param failure { code: string, message: string }
---@return boolean
function retry.again(policy, n, failure)
  if not policy or n > policy.times or final[failure.code] or failure.signal then return false end
  if policy.when == "busy" then return exit.code_of(failure) == exit.retry end
  return policy.when == nil or policy.when(failure) and true or false
end

local SLICE <const> = 50 -- ms: how long a signal may wait for the end of a pause

--- Wait. A signal ends it, by what it raises.
---@param seconds number
function retry.pause(seconds)
  local ends = uv.hrtime() + seconds * 1e9
  while true do
    local left = (ends - uv.hrtime()) / 1e6
    if left <= 0 then return end
    uv.sleep(math.ceil(math.min(left, SLICE)))
    local signal = signals.stopped()
    if signal then signals.raise(signal) end
  end
end

--- What fn() gives, at the first attempt that does not raise. What the last one raises is raised.
---@param policy table?
---@param fn fun(): any
---@param failed fun(problem: any): table   what was raised as a failure { code, message }
---@param told fun(n: integer, failure: table, delay: number)  before each pause
function retry.run(policy, fn, failed, told)
  if not policy then return fn() end
  for n = 1, math.huge do
    local ok, value = xpcall(fn, exit.traced)
    if ok then return value end
    local failure = failed(value)
    if not retry.again(policy, n, failure) then error(failure, 0) end
    local delay = retry.delay(policy, n)
    told(n, failure, delay)
    retry.pause(delay)
  end
end

return retry

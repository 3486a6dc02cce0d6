--- What lets a run go on or ends it: a condition, or a number and its bounds. flow:gate makes a task of it.

local exit = require "recsys.exit"

local gate = {}

local bounds = {
  { name = "at_least", words = "at least", holds = function(x, limit) return x >= limit end },
  { name = "at_most", words = "at most", holds = function(x, limit) return x <= limit end },
  { name = "above", words = "above", holds = function(x, limit) return x > limit end },
  { name = "below", words = "below", holds = function(x, limit) return x < limit end },
}

--- A number in so many digits, in fewer where these are all of it.
local function digits_of(x, most)
  for digits = 6, most do
    local text = ("%%.%dg"):format(digits):format(x)
    if digits == most or tonumber(text) == x then return text end
  end
end

--- Two numbers in as many digits as tell them apart, six at the least.
local function apart(x, y)
  for digits = 6, 17 do
    local a, b = digits_of(x, digits), digits_of(y, digits)
    if a ~= b or x == y then return a, b end
  end
  return tostring(x), tostring(y) -- NaN
end

local function check_bound(name, bound, limit)
  if type(limit) == "number" then return end
  exit.usage_error("gate '%s': %s must be a number, not %s", name, bound.name,
    type(limit) == "string" and ("'%s'"):format(limit) or tostring(limit))
end

--- What keeps a value from meeting a condition's bounds; nil when it meets them. NaN meets none.
local function shortcoming(name, condition)
  local metric, value = condition.metric or name, condition.value
  if type(value) ~= "number" then return ("%s is %s, no number"):format(metric, tostring(value)) end
  for _, bound in ipairs(bounds) do
    local limit = condition[bound.name]
    if limit ~= nil then check_bound(name, bound, limit) end
    if limit ~= nil and not bound.holds(value, limit) then
      local is, must = apart(value, limit)
      return ("%s is %s, which must be %s %s"):format(metric, is, bound.words, must)
    end
  end
end

--- True, or { code = "quality" } raised with what the condition lacks.
---@param name string
---@param condition any
---@param message? string
function gate.pass(name, condition, message)
  local why = not condition and ("gate '%s' refused"):format(name) or nil
  if type(condition) == "table" then why = shortcoming(name, condition) end
  if not why then return true end
  error({ code = "quality", message = message and ("%s (%s)"):format(message, why) or why }, 0)
end

--- Refuse a condition that makes no sense.
---@param name string
---@param condition any
function gate.check(name, condition)
  if type(condition) ~= "table" then return end
  local known, bounded = { metric = true, value = true }, false
  for _, bound in ipairs(bounds) do
    local limit = condition[bound.name]
    known[bound.name] = true
    bounded = bounded or limit ~= nil
    if limit ~= nil and type(limit) ~= "table" then check_bound(name, bound, limit) end -- a table: a handle
  end
  for field in pairs(condition) do
    if not known[field] then exit.usage_error("gate '%s' has no field '%s'", name, tostring(field)) end
  end
  if not bounded then exit.usage_error("gate '%s' has no bound: at_least, at_most, above or below", name) end
end

return gate

--- What lets a run go on or ends it: a condition, or a number and its bounds. flow:gate makes a task of it.

local exit = require "recsys.exit"

local gate = {}

local bounds = {
  { name = "at_least", words = "at least", holds = function(x, limit) return x >= limit end },
  { name = "at_most", words = "at most", holds = function(x, limit) return x <= limit end },
  { name = "above", words = "above", holds = function(x, limit) return x > limit end },
  { name = "below", words = "below", holds = function(x, limit) return x < limit end },
}

--- What keeps a value from meeting a condition's bounds; nil when it meets them. NaN meets none.
local function shortcoming(name, condition)
  local metric, value = condition.metric or name, condition.value
  if type(value) ~= "number" then return ("%s is %s, no number"):format(metric, tostring(value)) end
  for _, bound in ipairs(bounds) do
    local limit = condition[bound.name]
    if limit and not bound.holds(value, limit) then
      return ("%s is %.6g, which must be %s %.6g"):format(metric, value, bound.words, limit)
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
    known[bound.name] = true
    bounded = bounded or condition[bound.name] ~= nil
  end
  for field in pairs(condition) do
    if not known[field] then exit.usage_error("gate '%s' has no field '%s'", name, tostring(field)) end
  end
  if not bounded then exit.usage_error("gate '%s' has no bound: at_least, at_most, above or below", name) end
end

return gate

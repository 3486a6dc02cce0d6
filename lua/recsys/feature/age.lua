--- How old the user's account (or what else of him has a time) is at the moment of the event: never by the clock, and 0
--- where the event comes first.
local core = require("recsys.core").feature
local frame = require "recsys.frame"
local tensor = require "recsys.tensor"
local text = require "recsys.text"

local LIMIT = 10

--- A time column in ms, NaN where it is missing.
local function milliseconds(f, name)
  local column = f:column(name)
  return tensor.where(column:ne(frame.TIME_MISSING), column:to "f64", 0 / 0)
end

--- The ages at training events in units, as a frame of one column.
local function training_ages(d, source, unit)
  local moments, rows = source:rows(d)
  local made = milliseconds(source.dataset.users:filter(source.training.user.occurrences), d.column)
  local ages = milliseconds(moments:filter(rows), d.event) - made
  return frame.from { { "age", "number", tensor.where(ages:lt(0), 0, ages) / unit } }
end

return {
  column = true,
  side = "event",
  reads = "the row itself and its user, at the time of the event; training rows for the scale",
  options = { event = "text", unit = "span", transform = { "log", "standard", "none" } },
  defaults = { event = "time", unit = "1d", transform = "log" },
  settle = function(d)
    d.name = d.name or d.column .. "_age"
  end,
  columns = function(d)
    return { { "user", d.column }, { "event", d.event } }
  end,
  build = function(d, sides, source)
    local side, unit = sides.event, text.span(d.unit)
    local made, now = side:read("user." .. d.column, "number"), side:read(d.event, "number")
    local raw = side:step("clamp", side:step("difference", { now, made }), { low = 0, high = 1e300 })
    local ages = training_ages(d, source, unit)
    local value = side:step("affine", raw, { scale = 1 / unit, shift = 0 })
    local mean, deviation, missing, n = core.moments(ages, "age", nil, d.transform == "log")
    if d.transform == "log" then value = side:step("log", value) end
    if d.transform ~= "none" then
      local scale = deviation > 0 and 1 / deviation or 1
      value = side:step("affine", value, { scale = scale, shift = -mean * scale })
      value = side:step("clamp", side:step("impute", value, { value = 0 }), { low = -LIMIT, high = LIMIT })
    else
      value = side:step("impute", value, { value = mean })
    end
    local columns = missing > 0 and { value, side:step("missing", raw) } or { value }
    side:output(d.name, side:step("stack", columns), { feature = d.kind, missing = n > 0 and missing / n or 0,
      learned = { mean = mean, deviation = deviation } })
  end,
}

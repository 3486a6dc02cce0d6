--- Scales of charts: where a value lies between two ends, and round numbers to mark between them.

local words = require "recsys.describe.words"

local scale = {}

--- The least of 1, 2, 2.5, 5 and 10 times a power of ten that is at least 'step'.
local function round_up(step)
  local power = 10.0 ^ math.floor(math.log(step, 10))
  for _, factor in ipairs { 1, 2, 2.5, 5 } do
    if factor * power >= step * (1 - 1e-9) then return factor * power end
  end
  return 10 * power
end

--- Digits behind the point that a multiple of 'step' needs.
local function decimals(step)
  for digits = 0, 12 do
    local scaled = step * 10.0 ^ digits
    if math.abs(scaled - math.floor(scaled + 0.5)) < 1e-6 * scaled then return digits end
  end
  return 12
end

--- How a mark of an axis is written: alike for all marks of it.
local function label(value, step)
  local size = math.max(math.abs(value), step)
  if size >= 1e4 then return words.short(value) end
  if step < 1e-4 then return value == 0 and "0" or (("%.3g"):format(value):gsub("e%-0", "e-")) end
  return ("%." .. decimals(step) .. "f"):format(value)
end

--- Ends that differ: around a single value, or 0 to 1 for none.
local function apart(low, high)
  if low > high then return 0, 1 end
  if high - low > 1e-12 * math.max(math.abs(low), math.abs(high)) then return low, high end
  local around = math.max(math.abs(low) * 0.1, low == 0 and 1 or 0)
  return low - around, high + around
end

--- A linear scale with about 'count' marks, its ends on the outer ones; `tight` leaves the ends where they are.
---@param low number   finite; low > high: there are no values
---@param high number
---@param count? integer  default 5
---@param tight? boolean
---@param whole? boolean  marks are whole numbers
---@return { low: number, high: number, marks: { value: number, label: string }[], at: fun(value: number): number }
function scale.linear(low, high, count, tight, whole)
  low, high = apart(low, high)
  local step = round_up((high - low) / (count or 5))
  if whole then step = math.max(1, math.ceil(step)) end
  local first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
  if tight then
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
  else
    low, high = first * step, last * step
  end
  local marks = {}
  for i = first, last do marks[#marks + 1] = { value = i * step, label = label(i * step, step) } end
  return { low = low, high = high, marks = marks,
    at = function(value) return (value - low) / (high - low) end }
end

local function power_label(value)
  local exponent = math.floor(math.log(value, 10) + 0.5)
  if exponent >= 0 and exponent < 6 then return words.number(value) end
  if exponent < 0 and exponent >= -3 then return ("%.3g"):format(value) end
  return (("%.0e"):format(value):gsub("e([+-])0", "e%1"):gsub("e%+", "e"))
end

--- Powers of ten from 'low' to 'high', each 'every'-th of them; between powers 2 and 5 times them, too, where there are
--- few.
local function log_marks(low, high)
  local first, last = math.floor(math.log(low, 10) - 1e-9), math.ceil(math.log(high, 10) + 1e-9)
  local factors = last - first <= 3 and { 1, 2, 5 } or { 1 }
  local every = math.max(1, math.ceil((last - first) / 7))
  local marks = {}
  for exponent = first, last, every do
    for _, factor in ipairs(factors) do
      local value = factor * 10.0 ^ exponent
      if value >= low * (1 - 1e-9) and value <= high * (1 + 1e-9) then
        marks[#marks + 1] = { value = value, label = factor == 1 and power_label(value) or ("%.3g"):format(value) }
      end
    end
  end
  return marks
end

--- A logarithmic scale; ends as they are, or a little apart where they are alike.
---@param low number  above 0; low > high: there are no values
---@param high number
function scale.log(low, high)
  if low > high then low, high = 1, 10 end
  if high < low * 1.5 then low, high = low / 1.5, high * 1.5 end
  local from, span = math.log(low), math.log(high / low)
  return { low = low, high = high, marks = log_marks(low, high), log = true,
    at = function(value) return (math.log(value) - from) / span end }
end

return scale

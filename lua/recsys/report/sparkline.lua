--- Values over time as a few characters, for lines of a terminal: ▁▂▅▇█ from the least to the greatest.

local steps = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" }
local MISSING <const> = "·"

local function is_number(value) return type(value) == "number" and value == value and math.abs(value) < math.huge end

--- The last 'width' values; of more, each character has the mean of as many as it stands for. What is no number, or
--- is infinite, is a dot; values that are all alike lie in the middle.
---@param values (number|boolean|nil)[]  `n` values where it is set, else #values
---@param width? integer  default 16
---@return string
return function(values, width)
  local n = values.n or #values
  width = math.min(width or 16, n)
  local means, low, high = {}, math.huge, -math.huge
  for at = 1, width do
    local sum, count = 0, 0
    for i = (at - 1) * n // width + 1, at * n // width do
      if is_number(values[i]) then sum, count = sum + values[i], count + 1 end
    end
    if count > 0 then
      means[at] = sum / count
      low, high = math.min(low, means[at]), math.max(high, means[at])
    end
  end
  for at = 1, width do
    local share = high > low and means[at] and (means[at] - low) / (high - low) or 0.5
    means[at] = means[at] and steps[1 + math.floor(share * (#steps - 1) + 0.5)] or MISSING
  end
  return table.concat(means)
end

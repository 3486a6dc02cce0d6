--- What charts are given: series of values, as lists or tensors, checked and with a colour each.

local style = require "recsys.report.style"
local tensor = require "recsys.tensor"

local series = {}

--- Refuse the chart's argument: the message names the function that was called.
local function refuse(name, format, ...)
  error(("bad argument #1 to '%s' (%s)"):format(name, format:format(...)), 0)
end
series.refuse = refuse

--- Whether a value is a number that can be drawn.
function series.finite(value)
  return type(value) == "number" and value == value and value > -math.huge and value < math.huge
end

--- Values as a list, of a list or a one-dimensional tensor; false where there is none.
---@return (number|false)[]
function series.values(name, field, given)
  if tensor.is(given) then
    if given:dim() ~= 1 then refuse(name, "%s: a tensor of one dimension is expected", field) end
    return given:tolist()
  end
  if type(given) ~= "table" then refuse(name, "%s: a list of numbers or a tensor is expected", field) end
  local list = {}
  for i = 1, given.n or #given do
    local value = given[i]
    if type(value) == "number" then
      list[i] = value
    elseif not value then
      list[i] = false
    else
      refuse(name, "%s: value %d is a %s", field, i, type(value))
    end
  end
  return list
end

--- Values of a field that must be as many as those of another.
function series.alike(name, field, given, other, of)
  local list = series.values(name, field, given)
  if #list ~= #of then refuse(name, "%s has %d values, %s %d", field, #list, other, #of) end
  return list
end

--- The list of series that a chart was asked for: `asked.series`, or the request itself as one.
---@return table[] list   each with `class`, `label` for messages, and what was given
function series.of(name, asked)
  if type(asked) ~= "table" then refuse(name, "a table is expected") end
  local given, list = asked.series or { asked }, {}
  if type(given) ~= "table" or #given == 0 then refuse(name, "series: at least one is expected") end
  for i, one in ipairs(given) do
    if type(one) ~= "table" then refuse(name, "series %d: a table is expected", i) end
    list[i] = setmetatable({ name = tostring(one.name or ("series %d"):format(i)),
      class = ("c%d"):format(((one.colour or i) - 1) % style.COLOURS + 1),
      label = asked.series and ("series %d: "):format(i) or "" }, { __index = one })
  end
  return list
end

--- The legend of a list of series.
function series.legend(list)
  local legend = {}
  for i, one in ipairs(list) do legend[i] = { name = one.name, class = one.class } end
  return legend
end

--- Least and greatest of what can be drawn on a scale; `above` for scales that only have values above 0.
---@param lists (number|false)[][]
function series.ends(lists, above)
  local low, high = math.huge, -math.huge
  for _, list in ipairs(lists) do
    for _, value in ipairs(list) do
      if series.finite(value) and (not above or value > 0) then
        low, high = math.min(low, value), math.max(high, value)
      end
    end
  end
  return low, high
end

return series

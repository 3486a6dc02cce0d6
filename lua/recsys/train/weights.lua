--- How much each training row counts in the loss, by a column of the interactions: `train.weight`.
---
--- A weight multiplies its row's part of the batch's mean, so that 2 says what the row twice would say. A row of weight
--- 0 is no training row: it is in no batch, no negative, and no part of the items' shares. Other rows are met as
--- negatives once, whatever they weigh.

local text = require "recsys.text"

local weights = {}

local function refuse(format, ...)
  error({ code = "usage", message = "train.weight: " .. format:format(...) }, 0)
end

local function column_of(interactions, name)
  if not interactions:has(name) then
    local near = text.nearest(name, interactions:names())
    refuse("the interactions have no column '%s'%s; there are %s", name,
      near and (", did you mean '%s'?"):format(near) or "", table.concat(interactions:names(), ", "))
  elseif interactions:type(name) ~= "number" then
    refuse("column '%s' of the interactions is a %s; a number is expected", name, interactions:type(name))
  end
  return (interactions:column(name))
end

--- Refuse weights that are missing, negative or infinite, naming the first; all 0 too.
local function check(values, rows, name)
  local wrong = (values:ge(0) * values:lt(math.huge)):eq(0):nonzero()
  if #wrong > 0 then
    local at = wrong:get(1) + 1
    local value = values:get(at)
    refuse("row %d of the interactions has %s in column '%s'; a number of 0 or more is expected", rows:get(at) + 1,
      value ~= value and "nothing" or ("%g"):format(value), name)
  end
  if #values > 0 and values:max() == 0 then refuse("all rows have 0 in column '%s'", name) end
end

--- The rows that count, and how much.
---@param data Dataset
---@param rows Tensor   i64, 0-based interactions
---@param name? string  the column; nil: all rows count alike
---@return Tensor rows      the same tensor where none is left out
---@return Tensor? weights  f32, above 0
function weights.of(data, rows, name)
  if not name then return rows, nil end
  local values = column_of(data.interactions, name):index_select(rows)
  check(values, rows, name)
  local counting = values:gt(0):nonzero()
  if #counting < #rows then rows, values = rows:index_select(counting), values:index_select(counting) end
  return rows, values:to "f32"
end

return weights

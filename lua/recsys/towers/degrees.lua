--- How many training rows a user or an item has, by its code: what graphs and losses weigh nodes by.

local tensor = require "recsys.tensor"

local degrees = {}

--- The codes of an input for each of some rows, as i64.
---@param features Features
---@param name string   an input of codes, such as "user.id"
---@param rows Tensor   i64, 0-based
---@return Tensor i64
function degrees.codes(features, name, rows)
  local all = features:gather(tensor.arange(0, features:rows(), "i64"))[name]
  if not all then error(("the features have no '%s'; it is what the graph's nodes are"):format(name), 0) end
  return all:to "i64":index_select(rows)
end

--- How many training rows each code has; 1 for a code that has none.
---@param features Features
---@param input { name: string, rows: integer }  an input of codes, as encoder:inputs lists them
---@param rows Tensor  i64: the features' row of each training row
---@return Tensor f32 [input.rows]
function degrees.of(features, input, rows)
  return degrees.codes(features, input.name, rows):bincount(input.rows):to "f32":clamp(1, math.huge)
end

return degrees

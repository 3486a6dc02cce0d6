--- What an item is, whoever recommends it: vectors by which the diversity of a list is measured, equal for all models.

local tensor = require "recsys.tensor"

local described = {}

local DIRECTIONS <const> = 32

--- The first list column of a frame; nil without one.
local function list_column(items)
  for _, column in ipairs(items:schema()) do
    if column.type == "list" then return column.name end
  end
end

--- A list column as rows of 0 and 1, one number a distinct text.
---@param items Frame
---@param name string
---@return Tensor f32 [rows, texts]
function described.multi_hot(items, name)
  local values, starts, lengths = items:column(name)
  local rows, width = items:rows(), 1 + #items:strings(name) -- code 0 is what is missing
  local out = tensor.zeros(rows * width)
  values = values:to "i64"
  for place = 0, rows > 0 and lengths:max() - 1 or -1 do
    local has = lengths:gt(place):nonzero()
    local at = has * width + values:index_select(starts:index_select(has) + place)
    out:index_copy_(at, tensor.full(1, #at))
  end
  return out:reshape(rows, width):narrow(2, 2, width - 1):contiguous()
end

--- Singular vectors of the matrix of who met what in training, one row an item.
---@return Tensor f32 [items, d]
function described.directions(data, split)
  local users, items = data.users:rows(), data.items:rows()
  local pairs_of = (data:user_rows():index_select(split.train):to "i64" * items
    + data:item_rows():index_select(split.train)):unique()
  local of_user = pairs_of // items
  local starts = tensor.concat { tensor.zeros(1, "i64"), of_user:bincount(users):cumsum():to "i64" }
  local matrix = tensor.csr(starts, (pairs_of % items):to "i32", tensor.full(1, #pairs_of), items)
  local _, vectors = matrix:svd(math.min(DIRECTIONS, users, items), { seed = 1 })
  return vectors
end

--- Vectors of all items: their first list column (categories, genres), else who met them in training.
---@param data Dataset
---@param split Split
---@return Tensor f32 [items, d]
---@return string what  they are made of, in words
function described.items(data, split)
  local name = list_column(data.items)
  if name and #data.items:strings(name) > 1 then return described.multi_hot(data.items, name), name end
  return described.directions(data, split), "who met them in training"
end

return described

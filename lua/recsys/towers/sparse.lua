--- A sparse matrix as the parameters of a model that is not trained by gradients: similarities of items, say, which a
--- closed form has found. Saved in checkpoints, models and bundles like all others, and read by autograd.csr_bag.
---
--- Three parameters NAME.starts i64 [rows + 1], NAME.columns i32 [entries], NAME.values f32 [entries]. A parameter's
--- size is fixed before training, so `entries` is the most that there may be; those behind the last start are spare.

local autograd = require "recsys.autograd"
local tensor = require "recsys.tensor"

local sparse = {}

local Sparse = {}
Sparse.__index = Sparse

--- An empty matrix.
---@param name string
---@param rows integer
---@param width integer    columns
---@param entries integer  the most that it can hold
---@return Sparse
function sparse.new(name, rows, width, entries)
  local function parameter(of, size, dtype)
    return autograd.parameter(name .. of, tensor.zeros(size, dtype), { trainable = false })
  end
  return setmetatable({ name = name, width = width, starts = parameter(".starts", rows + 1, "i64"),
    columns = parameter(".columns", entries, "i32"), values = parameter(".values", entries, "f32") }, Sparse)
end

--- The parameters, for towers.parameters.
---@return Parameter[]
function Sparse:parameters()
  return { self.starts, self.columns, self.values }
end

--- Take over a matrix of the same size. Raises when it has more entries than there is room for.
---@param m Csr
function Sparse:set(m)
  local rows, width = m:size()
  local parts, room = m:tensors(), self.columns:size(1)
  local entries = #parts.columns
  if rows + 1 ~= self.starts:size(1) or width ~= self.width then
    error(("bad argument #1 to 'set' (%s is [%d, %d], the matrix [%d, %d])"):format(self.name, self.starts:size(1) - 1,
      self.width, rows, width), 2)
  end
  if entries > room then
    error(("bad argument #1 to 'set' (%s has room for %d entries, the matrix has %d)"):format(self.name, room, entries),
      2)
  end
  self.starts:value():copy_(parts.starts)
  self.columns:value():fill_(0)
  self.values:value():fill_(0)
  if entries == 0 then return end
  self.columns:value():narrow(1, 1, entries):copy_(parts.columns)
  self.values:value():narrow(1, 1, entries):copy_(parts.values:to "f32")
end

--- What it holds, as a matrix of its own.
---@return Csr
function Sparse:csr()
  local starts = self.starts:value():clone()
  local entries = starts:get(#starts)
  local function first(parameter)
    return entries > 0 and parameter:value():narrow(1, 1, entries):clone() or tensor.zeros(0, parameter:value():dtype())
  end
  return tensor.csr(starts, first(self.columns), first(self.values), self.width)
end

--- [n, width]: the sums of the rows that bags of codes name, each times its weight.
---@param tape Tape
---@param codes Var      i32 [total]
---@param offsets Var    i64 [n + 1]
---@param weights? Var   f32 [total]
---@return Var f32 [n, width]
function Sparse:bag(tape, codes, offsets, weights)
  return autograd.csr_bag(tape:parameter(self.starts), tape:parameter(self.columns), tape:parameter(self.values),
    self.width, codes, offsets, weights)
end

--- [n, width]: x times the matrix.
---@param tape Tape
---@param x Var       f32 [n, rows], zeros of which cost nothing
---@return Var f32 [n, width]
function Sparse:product(tape, x)
  return autograd.csr_product(x, tape:parameter(self.starts), tape:parameter(self.columns),
    tape:parameter(self.values), self.width)
end

return sparse

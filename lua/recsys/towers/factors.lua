--- All features of some sides as a factorisation machine has them. A feature i of value x_i has a factor v_i and a
--- weight w_i; the sum of all x_i v_i is what meets the other side's, and what the features say among themselves is a
--- number:
---
---     own = sum over i of w_i x_i + sum over pairs i < j of <v_i, v_j> x_i x_j
---         = sum over i of w_i x_i + (|sum of x_i v_i|^2 - sum of |x_i v_i|^2) / 2
---
--- A code is a feature of value 1; of a bag of m codes each has the value 1 / m, or its weight / m; a column of numbers
--- is a feature. Each input has factors of its own. Rendle 2010, doi:10.1109/ICDM.2010.127.

local autograd = require "recsys.autograd"
local nn = require "recsys.nn"

local factors = {}

local Factors = {}
Factors.__index = Factors

--- [n, 1] of [n, d].
local function row_sums(x) return x:sum(2):reshape(-1, 1) end

local function norms(x, width)
  local v = x:narrow(2, 1, width)
  return row_sums(v * v)
end

-- Each kind of input: what makes its layer, and what gives the sums of x_i (v_i, w_i), [n, d + 1], and of |x_i v_i|^2.
local kinds = { codes = {}, bag = {}, numbers = {} }

local function table_of(self, input)
  local layer = nn.embedding { name = input.name .. ".factors", rows = input.rows, width = self.dim + 1,
    seed = self.settings.seed, dtype = self.settings.dtype }
  layer:parameter(layer:name()):value():narrow(2, self.dim + 1, 1):fill_(0)
  return layer
end

kinds.codes.layer, kinds.bag.layer = table_of, table_of

function kinds.numbers.layer(self, input)
  return nn.linear { name = input.name, inputs = input.width, outputs = self.dim + 1, bias = false,
    seed = self.settings.seed, dtype = self.settings.dtype }
end

function kinds.codes.forward(self, input, tape, batch)
  local rows = input.layer:forward(tape:input(input.name, batch[input.name]))
  return rows, norms(rows, self.dim)
end

function kinds.bag.forward(self, input, tape, batch)
  local codes, name = tape:input(input.name, batch[input.name]), input.name .. ".offsets"
  local offsets = tape:input(name, batch[name])
  local rows = input.layer:forward(codes)
  local ones = autograd.affine(rows:narrow(2, 1, 1), 0, 1)
  local weights = input.weights and tape:input(input.weights, batch[input.weights]):reshape(-1, 1) or ones
  local count = autograd.affine(autograd.affine(ones:bag_sum(offsets, ones), 1, -1):relu(), 1, 1) -- of none: 1
  return rows:bag_sum(offsets, weights) / count,
    norms(rows, self.dim):bag_sum(offsets, weights * weights) / (count * count)
end

function kinds.numbers.forward(self, input, tape, batch)
  local x = tape:input(input.name, batch[input.name])
  local v = tape:parameter(input.layer:parameter(input.name .. ".weight")):narrow(1, 1, self.dim)
  return input.layer:forward(x), row_sums((x * x):linear(v * v))
end

--- The name of the weights beside a bag, if any.
local function weights_of(bag, inputs)
  for _, input in ipairs(inputs) do
    if input.kind == "weights" and input.of == bag.name then return input.name end
  end
end

--- The factors of all inputs of some sides but `relative_time`, which towers.freshness is for.
---@param encoder Encoder
---@param sides string[]  of "user", "event", "item"
---@param dim integer     width of a factor
---@param settings { seed: integer, dtype?: string }
function factors.new(encoder, sides, dim, settings)
  local self = setmetatable({ dim = dim, settings = settings, inputs = {} }, Factors)
  for _, side in ipairs(sides) do
    local inputs = encoder:inputs(side)
    for _, input in ipairs(inputs) do
      local kind = input.feature ~= "relative_time" and kinds[input.kind]
      if kind then
        table.insert(self.inputs, { name = input.name, kind = kind, layer = kind.layer(self, input),
          weights = weights_of(input, inputs) })
      end
    end
  end
  if #self.inputs == 0 then
    error({ code = "usage", message = ("the recipe has no features of the side %s"):format(table.concat(sides, ", ")) },
      0)
  end
  return self
end

---@return Parameter[]
function Factors:parameters()
  local list = {}
  for i, input in ipairs(self.inputs) do list[i] = input.layer:parameters()[1] end
  return list
end

--- The sum of the factors, and what the features say among themselves.
---@return Var sum [n, dim]
---@return Var own [n, 1]
function Factors:forward(tape, batch)
  local all, squares
  for _, input in ipairs(self.inputs) do
    local sum, square = input.kind.forward(self, input, tape, batch)
    all, squares = all and all + sum or sum, squares and squares + square or square
  end
  local pairs_of = autograd.affine(norms(all, self.dim) - squares, 0.5)
  return all:narrow(2, 1, self.dim), all:narrow(2, self.dim + 1, 1) + pairs_of
end

return factors

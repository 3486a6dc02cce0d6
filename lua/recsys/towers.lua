--- From an encoder's inputs to towers: one embedding a table, one tower a side, freshness as appended dimensions.
---
--- Everything here is composed from recsys.nn layers; models/*.lua use it to stay a screenful.

local autograd = require "recsys.autograd"
local nn = require "recsys.nn"
local tensor = require "recsys.tensor"

local towers = {}

local Tables = {}
Tables.__index = Tables

--- The embeddings that inputs share: one [1 + n, width] parameter a table of the encoder, made when first asked for.
---@param width integer    of every table; with `shrink` of the largest ones
---@param settings { seed: integer, dtype?: string }
---@param shrink? boolean  small tables get 6 times the fourth root of their rows, rounded up to a multiple of 8: three
---   platforms need no 64 dimensions, and the layer above costs what the sum of the widths is
function towers.tables(encoder, width, settings, shrink)
  return setmetatable({ encoder = encoder, width = width, settings = settings, shrink = shrink, made = {} }, Tables)
end

local function width_for(self, rows)
  if not self.shrink then return self.width end
  return math.min(self.width, 8 * math.ceil(6 * rows ^ 0.25 / 8))
end

local function embedding(self, input)
  local made = self.made[input.table]
  if not made then
    made = nn.embedding { name = input.table .. ".table", rows = input.rows, width = width_for(self, input.rows),
      seed = self.settings.seed, dtype = self.settings.dtype }
    self.made[input.table] = made
  end
  return made
end

--- A tower over all inputs of some sides: embeddings and pooled bags beside plain numbers -> concat -> MLP -> output.
---@param name string
---@param sides string[]
---@param shape { dim: integer, hidden: integer[], dropout: number, activation?: string, norm?: string,
---   normalize?: boolean }
function towers.tower(name, tables, sides, shape)
  local inputs = {}
  for _, side in ipairs(sides) do
    for _, input in ipairs(tables.encoder:inputs(side)) do
      if input.kind == "codes" then
        inputs[#inputs + 1] = { name = input.name, layer = embedding(tables, input) }
      elseif input.kind == "bag" then
        inputs[#inputs + 1] = { name = input.name,
          layer = nn.embedding_bag { table = embedding(tables, input), mode = "mean" } }
      elseif input.feature ~= "relative_time" then
        inputs[#inputs + 1] = { name = input.name, width = input.width }
      end
    end
  end
  return nn.tower { name = name, inputs = inputs, hidden = shape.hidden, outputs = shape.dim,
    dropout = shape.dropout, activation = shape.activation or "relu", norm = shape.norm, normalize = shape.normalize,
    seed = tables.settings.seed, dtype = tables.settings.dtype }
end

--- A column of ones as long as a var [n, d]: the partner of an additive term.
function towers.ones(var)
  return autograd.affine(var:narrow(2, 1, 1), 0, 1)
end

--- One number a code of an input: popularity, say. Starts at zero.
---@param input string  an input of kind "codes"
function towers.bias(encoder, input, settings)
  for _, known in ipairs(encoder:inputs(input:match "^[^.]+")) do
    if known.name == input and known.kind == "codes" then
      return nn.embedding { name = input .. ".bias", rows = known.rows, width = 1, scale = 0, seed = settings.seed,
        dtype = settings.dtype }
    end
  end
end

local Freshness = {}
Freshness.__index = Freshness

--- A learned function of age as a dot product of a moment's and an item's vector (docs/features.md, "Freshness as a
--- dot product"): sum over k of a_k cos(w_k age) + b_k sin(w_k age), from the relative_time inputs of both sides.
--- Starts at zero. nil when the encoder has no relative time.
function towers.freshness(encoder, settings)
  for _, input in ipairs(encoder:inputs "item") do
    if input.feature == "relative_time" then
      local k = input.width // 2
      local function coefficients(name)
        return autograd.parameter(name, tensor.zeros(k, 1, settings.dtype or "f32"))
      end
      return setmetatable({ item_input = input.name, moment_input = input.pair, k = k,
        cosine = coefficients "freshness.cosine", sine = coefficients "freshness.sine" }, Freshness)
    end
  end
end

function Freshness:parameters()
  return { self.cosine, self.sine }
end

--- [n, 2k] of moments: a cos + b sin beside a sin - b cos, in the order of the item's cos and sin.
function Freshness:moment(tape, batch)
  local pairs_of = tape:input(self.moment_input, batch[self.moment_input]):reshape(-1, self.k, 2)
  local cos, sin = pairs_of:narrow(3, 1, 1), pairs_of:narrow(3, 2, 1)
  local a, b = tape:parameter(self.cosine), tape:parameter(self.sine)
  return autograd.concat { cos * a + sin * b, sin * a - cos * b }:reshape(-1, 2 * self.k)
end

--- [n, 2k] of items: as encoded.
function Freshness:item(tape, batch)
  return tape:input(self.item_input, batch[self.item_input])
end

--- The parameters of some layers, each once, sorted by name.
---@param ... any  layers with :parameters(); nil ones are skipped
---@return Parameter[]
function towers.parameters(...)
  local list, seen = {}, {}
  for i = 1, select("#", ...) do
    local layer = select(i, ...)
    for _, parameter in ipairs(layer and layer:parameters() or {}) do
      if not seen[parameter:name()] then
        seen[parameter:name()] = true
        list[#list + 1] = parameter
      end
    end
  end
  table.sort(list, function(p, q) return p:name() < q:name() end)
  return list
end

return towers

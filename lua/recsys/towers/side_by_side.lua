--- Two ways of scoring by a dot product, side by side: a tower over all that is known of user and moment, and one
--- that reads the history by a transformer beside the user's fields; each with an item tower and embeddings of its own.
---
--- Their vectors one behind another, the users' times a share each, score by the weighed mean of both. How it is shared
--- is learned; the transformer's begins at `share`. Shares add up to 1: cosines that were free to add up to more than
--- one part's would take the temperature's place, and overfit. models/hybrid.lua says what for.

local autograd = require "recsys.autograd"
local similarity = require "recsys.towers.similarity"
local tensor = require "recsys.tensor"
local text = require "recsys.text"

local side_by_side = {}

local Parts = {}
Parts.__index = Parts

local SEQUENCE <const> = "event.sequence" -- what the transformer reads, and the tower over the moment does not

--- The histories whose names begin so.
local function histories(encoder, prefix)
  local names = {}
  for _, input in ipairs(encoder:inputs "event") do
    if input.feature == "history" and input.name:find(prefix, 1, true) == 1 then names[#names + 1] = input.name end
  end
  return names
end

--- What the transformer's tower leaves to the other: its pools of histories, and the users' ids.
local function others(encoder)
  local names = histories(encoder, "")
  for _, input in ipairs(encoder:inputs "user") do
    if input.feature == "id" then names[#names + 1] = input.name end
  end
  return names
end

--- The items' ids where no event of the sequence is told by them: it is to know items by what they are like.
local function ids(encoder, transformer)
  local names, read = {}, {}
  for _, history in ipairs(transformer.histories) do read[history.item] = true end
  for _, input in ipairs(encoder:inputs "item") do
    if input.feature == "id" and not read[input.name] then names[#names + 1] = input.name end
  end
  return names
end

--- How wide a part's vectors are.
function Parts:dim(name)
  return name == "transformer" and self.config.sequence_dim or self.config.dim
end

local makers = {}

function makers.two_tower(self, towers, encoder, settings)
  local config = self.config
  local tables = towers.tables(encoder, config.dim, settings, { shrink = true })
  local function shape(except)
    return { dim = config.dim, hidden = config.hidden, dropout = config.dropout, except = except,
      normalize = self.similarity.normalize }
  end
  return { user = towers.tower("user", tables, { "user", "event" }, shape(histories(encoder, SEQUENCE))),
    item = towers.tower("item", tables, { "item" }, shape()) }
end

function makers.transformer(self, towers, encoder, settings)
  local config, dim = self.config, self:dim "transformer"
  local tables = towers.tables(encoder, dim, settings, { prefix = "sequence." })
  self.encoder = towers.transformer("sequence.user", tables, { blocks = config.blocks, heads = config.heads,
    dropout = config.sequence_dropout, pool = config.pool, sequence = SEQUENCE:sub(7) })
  local function shape(except, beside)
    return { dim = dim, hidden = config.sequence_hidden or config.hidden, dropout = config.dropout, except = except,
      beside = beside, normalize = self.similarity.normalize }
  end
  return { user = towers.tower("sequence.tower", tables, { "user", "event" }, shape(others(encoder),
    self.encoder)), item = towers.tower("sequence.item", tables, { "item" }, shape(ids(encoder, self.encoder))),
    reads_sequence = true }
end

local orders = { both = { "two_tower", "transformer" }, two_tower = { "two_tower" }, transformer = { "transformer" } }

--- The parts.
---@param config { dim: integer, part?: "both"|"two_tower"|"transformer", hidden?: integer[], dropout?: number,
---   similarity?: string, temperature?: number, share?: number, blocks?: integer, heads?: integer, pool?: string,
---   sequence_dim?: integer, sequence_hidden?: integer[], sequence_dropout?: number }  hidden: of the towers; share: of
---   the transformer at first, in (0, 1), default 0.2; blocks, heads, pool, sequence_dropout: of the transformer
---   (towers.transformer); sequence_dim: width of the transformer, and of its part's vectors, default `dim`;
---   sequence_hidden: of its part's towers, default `hidden`
---@param encoder Encoder  with histories whose names begin with "sequence", aligned: these are the transformer's alone
---@param settings { seed: integer, dtype?: string }
function side_by_side.new(config, encoder, settings)
  local towers = require "recsys.towers"
  local order = orders[config.part or "both"]
  if not order then
    local names = { "both", "transformer", "two_tower" }
    local near = text.nearest(tostring(config.part), names)
    error({ code = "usage", message = ("model.part is '%s'; there are %s%s"):format(tostring(config.part),
      table.concat(names, ", "), near and ("; did you mean '%s'?"):format(near) or "") }, 0)
  end
  local self = setmetatable({ config = config, similarity = similarity.new(config, settings) }, Parts)
  for i, name in ipairs(order) do self[i] = makers[name](self, towers, encoder, settings) end
  self.width = 0
  for _, name in ipairs(order) do self.width = self.width + self:dim(name) end
  local share = config.share or 0.2
  local odds = tensor.new({ math.log(share / (1 - share)) }, settings.dtype or "f32")
  self.odds = #order > 1 and autograd.parameter("odds", odds) or nil
  return self
end

--- What a step is to teach (Transformer:lessons): its rows, and the transformer's vectors of them, if there is one.
---@return table step
---@return Var?
function Parts:lessons(tape, step)
  if self.encoder then return self.encoder:lessons(tape, step) end
  if step.starts then
    error({ code = "usage", message = "train.by = \"user\" is for sequences, which model.part = \"two_tower\" does not "
      .. "read: set it to \"row\"" }, 0)
  end
  return step, nil
end

--- The parts' user vectors, [n, dim] each.
---@param vectors? Var  the transformer's, where they are known already
---@return Var[]
function Parts:users(tape, batch, vectors)
  local list = {}
  for i, part in ipairs(self) do
    local given = part.reads_sequence and vectors and { [self.encoder.input.name] = vectors } or nil
    list[i] = self.similarity:scaled(tape, part.user:forward(tape, batch, given))
  end
  return list
end

--- The parts' item vectors, [n, dim] each.
---@return Var[]
function Parts:items(tape, batch)
  local list = {}
  for i, part in ipairs(self) do list[i] = part.item:forward(tape, batch) end
  return list
end

--- User vectors side by side, each times its share.
function Parts:mixed(tape, users)
  if not self.odds then return users[1] end
  local share = tape:parameter(self.odds):sigmoid()
  return autograd.concat { users[1] * autograd.affine(share, -1, 1), users[2] * share }
end

---@return Parameter[]
function Parts:parameters()
  local list = { self.odds }
  for _, layer in ipairs { self.similarity, table.unpack(self) } do
    for _, part in ipairs(layer.user and { layer.user, layer.item } or { layer }) do
      table.move(part:parameters(), 1, #part:parameters(), #list + 1, list)
    end
  end
  return list
end

return side_by_side

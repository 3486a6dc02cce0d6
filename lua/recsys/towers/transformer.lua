--- A transformer over a user's history: the vectors of its events, newest first, each with what a place adds, through
--- blocks of causal attention and a feed-forward layer. What comes out of an event knows it and those behind it: the
--- newest one's is the user's vector, and in training each event's is to predict what came next, all at once.
--- Kang & McAuley 2018 (SASRec), doi:10.1109/ICDM.2018.00035.
---
---     x = sqrt(dim) * sum of the event's embeddings + place        dropout
---     x = x + dropout(output(attention(norm(x))))                  norm "pre"; with "post" norm(x + ...) instead
---     x = x + dropout(second(dropout(activation(first(norm(x))))))
---
--- An event is what the history's table says of it: its id, or several histories side by side (id, topic, source), by
--- which an item without an id says something, too. They must be aligned: of one length, with unknown = "keep".

local autograd = require "recsys.autograd"
local nn = require "recsys.nn"
local tensor = require "recsys.tensor"

local transformer = {}

local Transformer = {}
Transformer.__index = Transformer

local function block_of(name, shape, settings)
  local function linear(part, inputs, outputs)
    return nn.linear { name = name .. "." .. part, inputs = inputs, outputs = outputs, seed = settings.seed,
      dtype = settings.dtype }
  end
  local function norm(part)
    return nn.layer_norm { name = name .. "." .. part, width = shape.dim, dtype = settings.dtype }
  end
  local dim, feed = shape.dim, shape.feed
  return { query = linear("query", dim, dim), key = linear("key", dim, dim), value = linear("value", dim, dim),
    output = linear("output", dim, dim), first = linear("first", dim, feed), second = linear("second", feed, dim),
    attention_norm = norm "attention_norm", hidden_norm = norm "hidden_norm" }
end

--- A transformer.
---@param name string    what its parameters' names begin with
---@param histories { name: string, item: string, table: Layer }[]  inputs of codes, the item side's input that each
---   is of, and the embeddings of both, `dim` wide; the first one's places count
---@param shape { dim: integer, length: integer, blocks?: integer, heads?: integer, feed?: integer, dropout?: number,
---   activation?: string, norm?: string }  length: of the histories; blocks (2) of so many heads (1); feed: width of
---   the feed-forward layer (dim); activation: "relu" (default) or "gelu"; norm: "pre" (default) or "post"
---@param settings { seed: integer, dtype?: string }
function transformer.new(name, histories, shape, settings)
  local norm = shape.norm or "pre"
  if norm ~= "pre" and norm ~= "post" then
    error(("there is no norm '%s'; there are pre and post"):format(tostring(norm)), 2)
  end
  shape = { dim = shape.dim, length = shape.length, blocks = shape.blocks or 2, heads = shape.heads or 1,
    feed = shape.feed or shape.dim, dropout = shape.dropout or 0, activation = shape.activation or "relu", norm = norm,
    pool = shape.pool }
  local self = setmetatable({ input = { name = name }, histories = histories, shape = shape, blocks = {} }, Transformer)
  self.places = nn.embedding { name = name .. ".places", rows = shape.length, width = shape.dim, scale = 0.05,
    seed = settings.seed, dtype = settings.dtype }
  for i = 1, shape.blocks do self.blocks[i] = block_of(("%s.%d"):format(name, i), shape, settings) end
  self.norm = nn.layer_norm { name = name .. ".norm", width = shape.dim, dtype = settings.dtype }
  return self
end

---@return Parameter[]
function Transformer:parameters()
  local list = {}
  local function add(layer) table.move(layer:parameters(), 1, #layer:parameters(), #list + 1, list) end
  for _, history in ipairs(self.histories) do add(history.table) end
  for _, block in ipairs(self.blocks) do for _, layer in pairs(block) do add(layer) end end
  add(self.places)
  add(self.norm)
  return list
end

---@return integer
function Transformer:width() return self.shape.dim end

--- A linear layer, its activation and dropout in one.
local function linear(tape, layer, x, activation, rate)
  local name = layer:name()
  return x:linear(tape:parameter(layer:parameter(name .. ".weight")), tape:parameter(layer:parameter(name .. ".bias")),
    activation, rate)
end

local function attend(self, tape, block, x, offsets)
  local shape = self.shape
  local q, k, v = linear(tape, block.query, x), linear(tape, block.key, x), linear(tape, block.value, x)
  return linear(tape, block.output, q:causal_attention(k, v, offsets, shape.heads, shape.dropout), "none",
    shape.dropout)
end

local function feed(self, tape, block, x)
  local shape = self.shape
  return linear(tape, block.second, linear(tape, block.first, x, shape.activation, shape.dropout), "none",
    shape.dropout)
end

--- What each event of some bags knows: [total, dim].
---@param codes table<string, Tensor>  i32 [total] by the histories' names
---@param offsets Var
function Transformer:events(tape, codes, offsets)
  local x
  for _, history in ipairs(self.histories) do
    local rows = history.table:forward(codes[history.name])
    if history.each > 1 then rows = rows:reshape(-1, history.each, self.shape.dim):sum(2) end
    x = x and x + rows or rows
  end
  local places = codes[self.histories[1].name]:bag_positions(offsets, self.shape.length)
  x = autograd.affine(x, math.sqrt(self.shape.dim)) + self.places:forward(places)
  x = autograd.dropout(x, self.shape.dropout)
  for _, block in ipairs(self.blocks) do
    if self.shape.norm == "pre" then
      x = x + attend(self, tape, block, block.attention_norm:forward(x), offsets)
      x = x + feed(self, tape, block, block.hidden_norm:forward(x))
    else
      x = block.attention_norm:forward(x + attend(self, tape, block, x, offsets))
      x = block.hidden_norm:forward(x + feed(self, tape, block, x))
    end
  end
  if self.shape.norm == "pre" then x = self.norm:forward(x) end
  if self.shape.pool ~= "mean" then return x end
  local none = autograd.affine(x, 0, 0) -- by queries that want nothing, attention is the mean
  return none:causal_attention(none, x, offsets, 1, 0)
end

--- The newest event's vector of each row of a batch, [n, dim]; zero for an empty history.
function Transformer:forward(tape, batch)
  local codes, name = {}, self.histories[1].name .. ".offsets"
  for _, history in ipairs(self.histories) do codes[history.name] = tape:input(history.name, batch[history.name]) end
  local offsets = tape:input(name, batch[name])
  return self:events(tape, codes, offsets):bag_first(offsets)
end

--- What a history holds of some items, by their inputs: of a bag the first `each` codes, 0 where there are fewer.
local function codes_of(batch, history)
  local values, offsets = batch[history.item], batch[history.item .. ".offsets"]
  if not offsets then return values end
  local n, columns, padded = #offsets - 1, {}, tensor.concat { values, tensor.zeros(1, "i32") }
  local begins, ends = offsets:narrow(1, 1, n), offsets:narrow(1, 2, n)
  for k = 1, history.each do
    local at = begins + (k - 1)
    columns[k] = padded:index_select(tensor.where(at:lt(ends), at, #values)):reshape(-1, 1)
  end
  return tensor.concat(columns, 2):reshape(-1)
end

--- What a step is to teach: with train.by = "user" the next item at every event of its users' sequences, while the tape
--- trains; else the item of each of its rows (of each user's last one) by the history in front of it.
---@param step table  what model:loss is given
---@return table step  of those rows, as with batches of rows
---@return Var         [rows, dim]
function Transformer:lessons(tape, step)
  local found = step.starts and tape:training() and step:sequences(self.shape.length)
  if not found or #found.inputs == 0 then
    if step.starts then step = step:latest() end
    return step, self:forward(tape, step.batch)
  end
  local batch, codes = step.items:gather(found.inputs), {}
  for _, history in ipairs(self.histories) do codes[history.name] = tape:input(nil, codes_of(batch, history)) end
  return found.step, self:events(tape, codes, tape:input(nil, found.offsets))
end

--- The histories of an encoder that a transformer can read: those of codes whose table an item input shares, in their
--- order, each with that table's embeddings.
---@param encoder Encoder
---@param embed fun(input): Layer
---@param prefix? string  those whose names begin with it alone, such as "event.sequence"
---@return { name: string, item: string, table: Layer }[]
---@return integer length  of the first
function transformer.histories(encoder, embed, prefix)
  local list, length = {}, nil
  for _, input in ipairs(encoder:inputs "event") do
    local asked = input.name:find(prefix or "", 1, true) == 1
    if asked and input.feature == "history" and input.kind == "bag" and not input.of then
      for _, item in ipairs(encoder:inputs "item") do
        if (item.kind == "codes" or input.each) and item.table == input.table then
          local history = { name = input.name, item = item.name, table = embed(input), each = input.each or 1 }
          local first = history.each == 1 and #list > 0 and list[1].each > 1 -- by it places are counted
          table.insert(list, first and 1 or #list + 1, history)
          length = length or input.length
          break
        end
      end
    end
  end
  return list, length
end

return transformer

--- From an encoder's inputs to towers: one embedding a table, one tower a side, freshness as appended dimensions.
---
--- Everything here is composed from recsys.nn layers; models/*.lua use it to stay a screenful. `settings` is what a
--- model's definition is given: `seed`, from which all first values are drawn, and `dtype` (default "f32").

local autograd = require "recsys.autograd"
local hard = require "recsys.towers.hard"
local ignored = require "recsys.towers.ignored"
local interests = require "recsys.towers.interests"
local knowledge = require "recsys.towers.known"
local nn = require "recsys.nn"
local pool = require "recsys.towers.pool"
local shown = require "recsys.towers.shown"
local similarity = require "recsys.towers.similarity"
local tensor = require "recsys.tensor"
local sparse = require "recsys.towers.sparse"
local text = require "recsys.text"
local transformer = require "recsys.towers.transformer"

local towers = {}

local here = debug.getinfo(1, "S").source

--- Refuse an argument of one of our functions, blaming the line of the model that called it.
local function refuse(argument, name, format, ...)
  local level = 2
  while (debug.getinfo(level, "S") or {}).source == here do level = level + 1 end
  error(("bad argument #%d to '%s' (%s)"):format(argument, name, format:format(...)), level)
end

local function check_settings(settings, argument, name)
  if type(settings) ~= "table" or not settings.seed then
    refuse(argument, name, "the settings that the model's definition is given are expected, not %s", tostring(settings))
  end
end

local sides_known = { user = true, event = true, item = true }

--- The inputs of some sides of an encoder.
local function inputs_of(encoder, sides)
  local list = {}
  for _, side in ipairs(sides) do
    for _, input in ipairs(encoder:inputs(side)) do list[#list + 1] = input end
  end
  return list
end

--- The input of that name that holds codes, or nil.
local function codes_of(encoder, name)
  for _, input in ipairs(inputs_of(encoder, { "user", "event", "item" })) do
    if input.name == name and input.kind == "codes" then return input end
  end
end

local Tables = {}
Tables.__index = Tables

local table_fields = { shrink = true, dtype = true, prefix = true, scale = true, unmet = true }

--- The embeddings that inputs share: one [1 + n, width] parameter a table of the encoder, made when first asked for.
---@param width integer    of every table; with `shrink` of the largest ones
---@param settings { seed: integer, dtype?: string }
---@param options? { shrink?: boolean, dtype?: string, prefix?: string, scale?: number, unmet?: number }
---   shrink: small tables get 6 times the fourth root of their rows, rounded up to a multiple of 8: three platforms
---   need no 64 dimensions, and the layer above costs what the sum of the widths is; dtype: "bf16" stores the tables in
---   half the memory (docs/models.md), default as settings say; prefix: what their names begin with, where a model has
---   others of the same inputs; scale: of first values, as of nn.embedding; unmet: what the row of code 0 begins with,
---   and has where no training row names it: 0 in models of ids, which would like by chance what they never met
function towers.tables(encoder, width, settings, options)
  if math.type(width) ~= "integer" or width < 1 then
    refuse(2, "tables", "a width of 1 or more is expected, not %s; does the recipe declare it in its group model?",
      tostring(width))
  end
  check_settings(settings, 3, "tables")
  options = options or {}
  if type(options) ~= "table" then refuse(4, "tables", "options such as { shrink = true } are expected") end
  for field in pairs(options) do
    if not table_fields[field] then
      refuse(4, "tables", "there is no field '%s'; there are shrink, dtype, prefix, scale and unmet", tostring(field))
    end
  end
  return setmetatable({ encoder = encoder, width = width, settings = settings, shrink = options.shrink, made = {},
    dtype = options.dtype or settings.dtype, prefix = options.prefix or "", scale = options.scale,
    unmet = options.unmet }, Tables)
end

local function width_for(self, rows)
  if not self.shrink then return self.width end
  return math.min(self.width, 8 * math.ceil(6 * rows ^ 0.25 / 8))
end

local function embedding(self, input)
  local made = self.made[input.table]
  if not made then
    made = nn.embedding { name = self.prefix .. input.table .. ".table", rows = input.rows,
      width = width_for(self, input.rows), seed = self.settings.seed, dtype = self.dtype, scale = self.scale }
    if self.unmet then made:parameter(made:name()):value():select(1, 1):fill_(self.unmet) end
    self.made[input.table] = made
  end
  return made
end

--- The name of the weights that stand beside a bag's codes, if any.
local function weights_of(bag, inputs)
  for _, input in ipairs(inputs) do
    if input.kind == "weights" and input.of == bag.name then return input.name end
  end
end

local shape_fields = { dim = true, hidden = true, dropout = true, activation = true, norm = true, normalize = true,
  history = true, except = true, beside = true }

local function check_tower(tables, sides, shape)
  if getmetatable(tables) ~= Tables then refuse(2, "tower", "what towers.tables gives is expected") end
  if type(sides) ~= "table" then refuse(3, "tower", "a list of sides is expected, as in { \"user\", \"event\" }") end
  for _, side in ipairs(sides) do
    if not sides_known[side] then
      refuse(3, "tower", "there is no side '%s'; there are user, event and item", tostring(side))
    end
  end
  for field in pairs(shape) do
    if not shape_fields[field] then
      refuse(4, "tower", "there is no field '%s'; there are dim, hidden, dropout, activation, norm, normalize, "
        .. "history, except and beside", tostring(field))
    end
  end
end

--- The inputs of some sides, without those of these names, which must be some side's.
local function inputs_without(encoder, sides, names)
  local left_out, kept = {}, {}
  for _, name in ipairs(names or {}) do left_out[name] = true end
  for _, input in ipairs(inputs_of(encoder, sides)) do
    if not left_out[input.name] then kept[#kept + 1] = input end
  end
  for _, input in ipairs(inputs_of(encoder, { "user", "event", "item" })) do left_out[input.name] = nil end
  if next(left_out) then refuse(4, "tower", "there is no input '%s' to except", next(left_out)) end
  return kept
end

--- How many vectors a row has: nil for one. What has no side event has one: its shape may be the user's.
local function interests_of(sides, shape, pools)
  local several = shape.history and shape.history.interests
  if not several or #pools.list > 0 then return several end
  for _, side in ipairs(sides) do
    if side == "event" then
      refuse(3, "tower", "interests are told apart by what a history holds; the recipe has no history on the side %s",
        table.concat(sides, ", "))
    end
  end
end

--- A tower over all inputs of some sides: embeddings and pooled bags (by the weights that are declared beside them) and
--- plain numbers -> concat -> MLP -> output.
---@param name string
---@param tables table     what towers.tables gave
---@param sides string[]   of "user", "event", "item"
---@param shape? { dim?: integer, hidden?: integer[], dropout?: number, activation?: string, norm?: string,
---   normalize?: boolean, history?: table, except?: string[], beside?: Layer }  without dim and hidden the tower is the
---   concatenation alone; history: how histories are pooled (recsys.towers.pool), { heads =, queries =, dropout =,
---   interests = }; nil: by their mean. With interests it gives so many rows for each of the batch
---   (recsys.towers.interests); except: inputs that it leaves alone, such as what is only known in training; beside:
---   what towers.transformer gave, whose vector stands beside the inputs
function towers.tower(name, tables, sides, shape)
  shape = shape or {}
  check_tower(tables, sides, shape)
  local inputs, declared = {}, inputs_without(tables.encoder, sides, shape.except)
  local pools = pool.of_histories(declared, shape.history, function(input) return embedding(tables, input) end,
    tables.settings.dtype, tables.settings.seed)
  local several = interests_of(sides, shape, pools)
  for _, input in ipairs(declared) do
    if pools.taken[input.name] then
      if several then goto continue end
      inputs[#inputs + 1] = pools[input.name] and { name = input.name, width = pools[input.name]:width() }
    elseif input.kind == "codes" then
      inputs[#inputs + 1] = { name = input.name, layer = embedding(tables, input) }
    elseif input.kind == "bag" then
      inputs[#inputs + 1] = { name = input.name, weights = weights_of(input, declared),
        layer = nn.embedding_bag { table = embedding(tables, input), mode = "mean" } }
    elseif input.kind == "numbers" and input.feature ~= "relative_time" then
      inputs[#inputs + 1] = { name = input.name, width = input.width }
    end
    ::continue::
  end
  if shape.beside then
    inputs[#inputs + 1] = { name = shape.beside.input.name, width = shape.beside:width() }
    table.insert(pools.list, shape.beside)
  end
  if #inputs == 0 and not several then
    refuse(3, "tower", "the recipe has no features of the side %s", table.concat(sides, ", "))
  end
  local options = { name = name, hidden = shape.hidden, outputs = shape.dim, dropout = shape.dropout,
    activation = shape.activation or "relu", norm = shape.norm, normalize = shape.normalize,
    seed = tables.settings.seed, dtype = tables.settings.dtype }
  if several then return interests.tower(several, pools.list, inputs, options) end
  options.inputs = inputs
  return pool.before(pools, nn.tower(options))
end

--- A transformer over the histories of an encoder (recsys.towers.transformer), its events as wide as the tables.
---@param name string
---@param tables table  what towers.tables gave, without `shrink`
---@param shape { blocks?: integer, heads?: integer, feed?: integer, dropout?: number, activation?: string,
---   norm?: string, pool?: string, sequence?: string }  pool: "mean" of what an event and those behind it give, in
---   place of the event's own: where the order says little; sequence: what the names of its histories begin with, such
---   as "sequence"; default all histories that are codes of a table of the item side, one an event
function towers.transformer(name, tables, shape)
  if getmetatable(tables) ~= Tables then refuse(2, "transformer", "what towers.tables gives is expected") end
  local list, length = transformer.histories(tables.encoder, function(input) return embedding(tables, input) end,
    shape.sequence and "event." .. shape.sequence)
  if #list == 0 then
    refuse(3, "transformer", "the recipe has no history of an item's codes on the side event%s",
      shape.sequence and (" whose name begins with '%s'"):format(shape.sequence) or "")
  end
  local options = { dim = tables.width, length = length }
  for _, field in ipairs { "blocks", "heads", "feed", "dropout", "activation", "norm", "pool" } do
    options[field] = shape[field]
  end
  return transformer.new(name, list, options, tables.settings)
end

--- The inputs of a batch with some ids replaced by the unknown one: what a new user or item has to live on is trained,
--- too. The batch itself is changed; without such an input nothing is.
---@param batch table<string, Tensor>
---@param name string  an input of codes, such as "item.id"
---@param rate number  the share that is replaced, in [0, 1]
---@param stream Stream
function towers.drop_ids(batch, name, rate, stream)
  if not batch[name] or (rate or 0) == 0 then return batch end
  local first = 0 -- each name draws its own part of the stream
  for i = 1, #name do first = (first * 31 + name:byte(i)) & 0xffff end
  batch[name] = batch[name] * stream:uniforms(#batch[name], first << 24):ge(rate):to "i32"
  return batch
end

--- Ids of both sides of a batch dropped, by the group `model` of a recipe.
---@param config { user_dropout?: number, id_dropout?: number }
function towers.drop_both(config, users, items, stream)
  towers.drop_ids(users, "user.id", config.user_dropout, stream)
  towers.drop_ids(items, "item.id", config.id_dropout, stream)
end

--- How the group `model` of a recipe pools histories, for a tower's shape: nil, by their mean, unless it has `heads` or
--- two `interests` or more.
---@param config { heads?: integer, queries?: boolean, history_dropout?: number, interests?: integer }
function towers.ways(config)
  local several = (config.interests or 0) > 1 and config.interests or nil
  if (config.heads or 0) == 0 and not several then return nil end
  return { heads = several and math.max(1, config.heads or 0) or config.heads, queries = config.queries,
    dropout = config.history_dropout, interests = several }
end

--- Several vectors of a user: see recsys.towers.interests.
towers.beside, towers.chosen = interests.beside, interests.chosen

--- Whether equal users and items of a batch may be computed once (step:sides): not where ids or hidden units are
--- dropped, which is to be drawn for each event anew, nor where each event has negatives of its own or chooses among
--- its user's interests.
---@param config { hidden?: integer[], dropout?: number, history_dropout?: number, id_dropout?: number,
---   user_dropout?: number, hard_negatives?: integer, interests?: integer, ignored?: string }
function towers.may_merge(config)
  local function none(rate) return (rate or 0) == 0 end
  return none(config.id_dropout) and none(config.user_dropout) and none(config.history_dropout)
    and none(config.hard_negatives) and (config.interests or 0) < 2 and not config.ignored
    and (none(config.dropout) or #(config.hidden or {}) == 0)
end

--- How users and items are compared: see recsys.towers.similarity.
towers.similarity = similarity.new

--- Hard negatives, searched for every few epochs: see recsys.towers.hard.
towers.hard = hard.new

--- A sparse matrix as parameters that a closed form sets: see recsys.towers.sparse.
towers.sparse = sparse.new

--- What was shown and left, as negatives of each event: see recsys.towers.ignored.
towers.ignored = ignored.new

--- What users know, as a matrix and as the bag of a batch: see recsys.towers.known.
towers.known, towers.known_bag = knowledge.new, knowledge.bag

--- A column of ones as long as a var [n, d]: the partner of an additive term.
function towers.ones(var)
  return autograd.affine(var:narrow(2, 1, 1), 0, 1)
end

--- The input of codes of that name; raises in the name of the function 'caller' when there is none.
local function known_codes(encoder, input, caller)
  local known = codes_of(encoder, input)
  if known then return known end
  local names = {}
  for _, other in ipairs(inputs_of(encoder, { "user", "event", "item" })) do
    if other.kind == "codes" then names[#names + 1] = other.name end
  end
  local near = text.nearest(tostring(input), names)
  refuse(2, caller, "there is no input of codes '%s'%s; there are: %s", tostring(input),
    near and (", did you mean '%s'?"):format(near) or "", table.concat(names, ", "))
end

--- Whether the encoder has an input of that name that holds codes: what a bias can be of.
---@param input string  such as "item.id"
---@return boolean
function towers.has_codes(encoder, input)
  return codes_of(encoder, input) ~= nil
end

--- The input of that name that holds codes: its name, table and number of rows. Raises when there is none.
---@param input string  such as "item.id"
function towers.input(encoder, input)
  return known_codes(encoder, input, "input")
end

--- One number a code of an input: popularity, say. Starts at zero.
---@param input string  an input of kind "codes", such as "item.id"; see towers.has_codes
---@param name? string  of the parameter; default the input's with ".bias" behind it
function towers.bias(encoder, input, settings, name)
  local known = known_codes(encoder, input, "bias")
  check_settings(settings, 3, "bias")
  return nn.embedding { name = name or input .. ".bias", rows = known.rows, width = 1, scale = 0, seed = settings.seed,
    dtype = settings.dtype }
end

local Freshness = {}
Freshness.__index = Freshness

--- A learned function of age as a dot product of a moment's and an item's vector (docs/features.md, "Freshness as a
--- dot product"): sum over k of a_k cos(w_k age) + b_k sin(w_k age), from the relative_time inputs of both sides.
--- Starts at zero. nil when the encoder has no relative time.
---@param name? string  of the parameters; default "freshness"
function towers.freshness(encoder, settings, name)
  check_settings(settings, 2, "freshness")
  for _, input in ipairs(encoder:inputs "item") do
    if input.feature == "relative_time" then
      local k = input.width // 2
      local function coefficients(of)
        return autograd.parameter((name or "freshness") .. of, tensor.zeros(k, 1, settings.dtype or "f32"))
      end
      return setmetatable({ item_input = input.name, moment_input = input.pair, k = k,
        cosine = coefficients ".cosine", sine = coefficients ".sine" }, Freshness)
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

--- How items came to be shown, as terms of the training scores alone (recsys.towers.shown); nil without either.
---@param config { policy?: boolean, position?: string }  policy: learn apart what the app preferred before it showed
---   items by chance, where the data tell since when; position: the event-side input that says where an item stood
function towers.shown(encoder, config, settings)
  local policy, has_id = config.policy, towers.has_codes(encoder, "item.id")
  return shown.new { name = config.position,
    freshness = policy and towers.freshness(encoder, settings, "policy.freshness") or nil,
    bias = policy and has_id and towers.bias(encoder, "item.id", settings, "policy.bias") or nil,
    position = config.position and towers.bias(encoder, config.position, settings) }
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

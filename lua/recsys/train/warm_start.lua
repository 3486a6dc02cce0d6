--- Training that goes on from an earlier model: yesterday's weights under today's vocabularies.
---
--- A parameter of the same name and shape is taken over whole; one with a row a code, by code's text: rows of known
--- texts keep their weights, rows of new ones the first values that the layer drew. Texts that are gone leave no
--- trace, unless the vocabularies were grown (feature.fit's option `grow`). The optimiser starts afresh: its moments
--- belong to a loss that is no more.

local bundle = require "recsys.bundle"
local exit = require "recsys.exit"
local feature = require "recsys.feature"
local lfs = require "lfs"
local log = require "recsys.log"
local registry = require "recsys.registry"
local store = require "recsys.store"
local tensor = require "recsys.tensor"
local text = require "recsys.text"

local warm_start = {}

local function refuse(format, ...)
  error({ code = "usage", message = "train.warm_start: " .. format:format(...) }, 0)
end

local function from_bundle(word)
  local path, problem = registry.resolve(word)
  if not path then refuse("%s", problem) end
  local opened, message = bundle.open(path)
  if not opened then refuse("%s", message) end
  local vocabularies, weights = opened:tensors "vocabularies.safetensors", opened:tensors "weights.safetensors"
  local program = opened:text "features.json"
  if not (vocabularies and weights and program) then refuse("%s is no model", path) end
  local encoder
  encoder, message = feature.load(program, vocabularies)
  if not encoder then refuse("%s: %s", path, message) end
  return { encoder = encoder, weights = weights, path = path }
end

--- The files that warm_start.open reads; none for what is no name.
---@param from any
---@return string[]
function warm_start.files(from)
  if type(from) ~= "string" then return {} end
  if lfs.attributes(from .. "/value.lua", "mode") == "file" then
    return { from .. "/value.lua", from .. "/value.safetensors" }
  end
  return { (registry.resolve(from)) }
end

--- The encoder and the weights of an earlier model.
---@param from string|Model  a bundle (its path, or NAME or NAME-VERSION as `recsys-run recommend` takes them), the
---  folder of a run's task that gave a model, or a model
---@return { encoder: Encoder, weights: table<string, Tensor>, path: string }
function warm_start.open(from)
  if type(from) == "table" then return { encoder = from.encoder, weights = from.weights, path = "a model" } end
  local ok, model = exit.try(store.load, from)
  if ok and type(model) == "table" and model.weights and model.encoder then
    return { encoder = model.encoder, weights = model.weights, path = from }
  end
  return from_bundle(from)
end

--- Parameter name -> table of codes, as recsys.towers names them: "TABLE.table" and "INPUT.bias".
local function tables_of(encoder)
  local tables = {}
  for _, side in ipairs { "user", "event", "item" } do
    for _, input in ipairs(encoder:inputs(side)) do
      if input.table and encoder:vocabulary(input.table) then
        tables[input.table .. ".table"], tables[input.name .. ".bias"] = input.table, input.table
      end
    end
  end
  return tables
end

--- For each code of 'new', from 0, its code in 'old'; -1 where it has none.
local function codes_in(old, new)
  local codes = { 0 }
  for code = 1, #new do
    local known = old:code(new:text(code))
    codes[code + 1] = known > 0 and known or -1
  end
  return tensor.new(codes, "i64")
end

local function same_sizes(a, b)
  return table.concat(a:size(), ",") == table.concat(b:size(), ",")
end

local function shape(t) return "[" .. table.concat(t:size(), ", ") .. "]" end

--- Take over the rows of known texts; how many were, and how many are new.
local function take_rows(value, earlier, codes)
  local known = codes:ge(0):nonzero()
  value:index_copy_(known, earlier:index_select(codes:index_select(known)))
  return #known - 1, #codes - #known
end

--- Whether some vocabulary that changed has as many codes as the parameter rows: its rows may then mean other things.
local function may_be_codes(value, old, new)
  for _, name in pairs(tables_of(new)) do
    local a, b = old:vocabulary(name), new:vocabulary(name)
    local rows = value:size(1)
    if a and (rows == #a + 1 or rows == #b + 1) and codes_in(a, b):ne(tensor.arange(#b + 1)):to("i64"):sum() > 0 then
      return name
    end
  end
end

local function take(name, value, from, encoder, table_name)
  local earlier = from.weights[name]
  local a, b = table_name and from.encoder:vocabulary(table_name), table_name and encoder:vocabulary(table_name)
  if a and b and value:dim() == earlier:dim() and value:size(1) == #b + 1 and earlier:size(1) == #a + 1
    and value:count() // value:size(1) == earlier:count() // earlier:size(1) then
    return take_rows(value, earlier:to(value:dtype()), codes_in(a, b))
  end
  if not same_sizes(value, earlier) then
    refuse("%s has %s %s, and the model to be trained %s: the same model settings and features are needed", from.path,
      name, shape(earlier), shape(value))
  end
  local doubtful = not table_name and may_be_codes(value, from.encoder, encoder)
  if doubtful then
    refuse("%s may hold a row a code of '%s', whose codes are others now: name it '%s.table', or grow the vocabularies",
      name, doubtful, doubtful)
  end
  value:copy_(earlier)
  return 0, 0
end

--- Set the parameters of a network to an earlier model's weights where it has them.
---@param parameters Parameter[]
---@param encoder Encoder     what the network was built for
---@param from string|Model   see warm_start.open
---@return { taken: integer, fresh: integer, known_rows: integer, new_rows: integer }
function warm_start.apply(parameters, encoder, from)
  local earlier, tables = warm_start.open(from), tables_of(encoder)
  local counts = { taken = 0, fresh = 0, known_rows = 0, new_rows = 0 }
  for _, parameter in ipairs(parameters) do
    local name = parameter:name()
    if earlier.weights[name] then
      local known, new = take(name, parameter:value(), earlier, encoder, tables[name])
      counts.taken, counts.known_rows = counts.taken + 1, counts.known_rows + known
      counts.new_rows = counts.new_rows + new
    else
      counts.fresh = counts.fresh + 1
    end
  end
  if counts.taken == 0 then refuse("%s has none of the model's parameters", earlier.path) end
  log.info("  warm start from %s: %d parameters taken over, %d fresh; %s rows of known ids, %s of new ones",
    earlier.path, counts.taken, counts.fresh, text.count(counts.known_rows), text.count(counts.new_rows))
  return counts
end

return warm_start

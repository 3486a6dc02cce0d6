--- Fitting: what declarations learn from training rows, and the program they become.
---
--- A source hands a kind the rows it may learn from and counts its values; nothing else of the data is in reach.

local core = require("recsys.core").feature
local declare = require "recsys.feature.declare"
local grow = require "recsys.feature.grow"
local program = require "recsys.feature.program"
local text = require "recsys.text"

local fit = {}

fit.kinds = {}
for _, name in ipairs { "id", "category", "categories", "hashed", "cross", "number", "buckets", "time_parts", "tokens",
  "text", "ngrams", "vectors", "age", "popularity", "history", "count", "rate", "relative_time" } do
  fit.kinds[name] = require("recsys.feature." .. name)
end

fit.sides = { "item", "user", "event" }

--- The constructors of all kinds: feature.id { ... } and so on.
function fit.constructors()
  local constructors = {}
  for name, kind in pairs(fit.kinds) do constructors[name] = declare.constructor(name, kind) end
  return constructors
end

--- The frame of a side.
local frames = { user = "users", event = "interactions", item = "items" }

--- For each interaction, or for those at 'rows', the 0-based row of its user and of its item.
---@return { users: Tensor, items: Tensor }
function fit.rows(dataset, rows)
  local users <close> = core.index(dataset.users, "user")
  local items <close> = core.index(dataset.items, "item")
  return { users = core.positions(dataset.interactions, "user", users, rows),
    items = core.positions(dataset.interactions, "item", items, rows) }
end

-- Declarations ------------------------------------------------------------------------------------------------------

--- fn(...), which is about a declaration: what it raises tells the line where that stands.
local function about(declaration, fn, ...)
  local ok, result = pcall(fn, ...)
  if ok then return result end
  local line = type(result) == "string" and type(declaration) == "table" and declaration.line
  error(line and ("%s (declared at %s)"):format(result, line) or result, 0)
end

--- A declaration with its side, name, output and table settled; the recipe's own stays as it is.
local function settle(declaration, side)
  local kind = type(declaration) == "table" and fit.kinds[declaration.kind]
  if not kind then error("a side lists something that is no declaration, as feature.id { ... } gives", 0) end
  local belongs = kind.sides or kind.side and { kind.side }
  if belongs and side ~= belongs[1] and side ~= belongs[2] then
    error(("%s belongs to the %s side, not to %s"):format(declaration.kind, table.concat(belongs, " or the "), side), 0)
  end
  local settled = { side = side }
  for key, value in pairs(declaration) do settled[key] = value end
  if kind.settle then kind.settle(settled) end
  local key_column = settled.column == side and settled.kind == "id"
  settled.name = settled.name or (key_column and "id") or settled.column
  if not settled.name:find "^[%w_]+$" then
    error(("a feature of column '%s' needs a name of letters, digits and _"):format(settled.column), 0)
  end
  settled.output = side .. "." .. settled.name
  settled.table = settled.share or settled.output
  return settled
end

local function settle_all(declarations)
  local all = { user = {}, event = {}, item = {} }
  for side, list in pairs(declarations) do
    if not all[side] then error(("there is no side '%s': user, event and item"):format(tostring(side)), 0) end
    for i, declaration in ipairs(list) do all[side][i] = about(declaration, settle, declaration, side) end
  end
  return all
end

local function check_column(dataset, side, name)
  local frame = dataset[frames[side]]
  if frame:has(name) then return end
  local nearest = text.nearest(name, frame:names())
  error(("the %s have no column '%s'; %s"):format(frames[side], name, nearest and ("did you mean '%s'?"):format(nearest)
    or "there are " .. table.concat(frame:names(), ", ")), 0)
end

local function check_columns(dataset, d)
  local kind = fit.kinds[d.kind]
  local columns = kind.columns and kind.columns(d) or { { d.side, d.column } }
  for _, place in ipairs(columns) do check_column(dataset, place[1], place[2]) end
end

-- The source --------------------------------------------------------------------------------------------------------

local Source = {}
Source.__index = Source

--- The frame a declaration reads and the rows it may learn from: the distinct users or items of training
--- interactions, or with "interactions" their users or items as often as they occur there.
function Source:rows(d)
  local kind = fit.kinds[d.kind]
  local side = self.training[d.side]
  return self.dataset[frames[d.side]], kind.counts == "interactions" and side.occurrences or side.distinct
end

local function agree(table, d, key)
  if d[key] ~= nil and table[key] ~= nil and d[key] ~= table[key] then
    error(("features that share the table '%s' disagree on %s"):format(d.table, key), 0)
  end
  table[key] = table[key] or d[key]
end

--- Count a declaration's values into its table, cut first if asked.
function Source:count(d, cut, argument)
  local frame, rows = self:rows(d)
  local table = self.tables[d.table] or { counter = core.counter() }
  self.tables[d.table] = table
  agree(table, d, "min_count")
  agree(table, d, "max_size")
  agree(table, d, "max_share")
  local rows_before, missing_before = table.counter:rows()
  table.counter:add(frame, d.column or d.list[1], rows, cut, argument)
  local rows_after, missing_after = table.counter:rows()
  local n = rows_after - rows_before
  d.missing = n > 0 and (missing_after - missing_before) / n or 0
end

--- The count from which on a value is too common to tell rows apart; nil: none is.
local function most(counted)
  local rows, missing = counted.counter:rows()
  return counted.max_share and math.floor(counted.max_share * (rows - missing))
end

--- Turn the counts into the vocabularies of the program, in order of their names.
function Source:finish_tables()
  local built = self.program
  for name in pairs(self.tables) do built.tables[#built.tables + 1] = name end
  table.sort(built.tables)
  for _, name in ipairs(built.tables) do
    local counted = self.tables[name]
    local bytes, offsets, counts = counted.counter:vocabulary(counted.min_count, counted.max_size, most(counted))
    counted.counter:close()
    if self.grown then
      bytes, offsets, counts = grow.vocabulary(self.grown:vocabulary(name), bytes, offsets, counts)
    end
    built.tensors["table." .. name .. ".bytes"] = bytes
    built.tensors["table." .. name .. ".offsets"] = offsets
    built.tensors["table." .. name .. ".counts"] = counts
  end
end

--- The rows that each side may learn from.
local function training_rows(dataset, train_rows)
  local rows = train_rows or core.range(dataset.interactions:rows())
  local at = fit.rows(dataset, rows)
  return {
    user = { occurrences = at.users, distinct = core.distinct(at.users, dataset.users:rows()) },
    item = { occurrences = at.items, distinct = core.distinct(at.items, dataset.items:rows()) },
    event = { occurrences = rows, distinct = rows },
  }
end

local function each(declarations, visit)
  for _, side in ipairs(fit.sides) do
    for _, d in ipairs(declarations[side]) do about(d, visit, d, fit.kinds[d.kind]) end
  end
end

--- Fit the declarations on the interactions at 'train_rows' (i64, 0-based; nil: all): JSON and tensors of the encoder.
--- The vocabularies of 'grown', an earlier encoder, are kept and go on.
---@return string json
---@return table<string, Tensor> tensors
function fit.program(dataset, train_rows, declarations, grown)
  local settled = settle_all(declarations)
  each(settled, function(d) if d.column or fit.kinds[d.kind].columns then check_columns(dataset, d) end end)
  local source = setmetatable({ dataset = dataset, declarations = settled, tables = {}, program = program.new(),
    grown = grown, training = training_rows(dataset, train_rows) }, Source)
  each(settled, function(d, kind) if kind.count then kind.count(d, source) end end)
  source:finish_tables()
  each(settled, function(d, kind) kind.build(d, source.program.sides, source) end)
  return program.encode(source.program), source.program.tensors
end

return fit

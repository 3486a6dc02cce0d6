--- Conditions of a filter, read by track/grammar.lua, as SQL over MLflow's tables: every name and value a parameter.

local json = require "recsys.json"
local statements = require "recsys.track.statements"

local conditions = {}

local statement, add, add_statement = statements.new, statements.add, statements.append

local longest_pattern = 10000

--- A LIKE pattern as one of GLOB, which minds the case of letters where SQLite's LIKE does not.
local function glob(pattern)
  return (pattern:gsub("[%%_%*%?%[]", { ["%"] = "*", ["_"] = "?", ["*"] = "[*]", ["?"] = "[?]", ["["] = "[[]" }))
end

--- "column op ?" with its parameter.
function conditions.comparison(column, op, value)
  if op == "LIKE" or op == "ILIKE" then
    if #value > longest_pattern then
      error({ code = "INVALID_PARAMETER_VALUE", message = ("Invalid filter: a pattern of %d bytes, more than the %d "
        .. "that are allowed"):format(#value, longest_pattern) }, 0)
    end
    if op == "LIKE" then return column .. " GLOB ?", glob(value) end
    return column .. " LIKE ?", value
  elseif op == "IN" or op == "NOT IN" then
    return ("%s %s (SELECT value FROM json_each(?))"):format(column, op), json.encode(json.list(value))
  end
  return ("%s %s ?"):format(column, op), value
end

function conditions.add_comparison(s, column, c)
  local text, value = conditions.comparison(column, c.comparator, c.value)
  add(s, "AND " .. text, value)
end

--- What a row x of the latest metrics must hold: NaN, which is kept as 0 with a mark, differs from every number.
local function metric_holds(c)
  local text, value = conditions.comparison("x.value", c.comparator, c.value)
  if c.comparator == "!=" then return statement("(x.is_nan = 1 OR " .. text .. ")", value) end
  return statement("x.is_nan = 0 AND " .. text, value)
end

local function value_holds(c)
  if c.comparator:find "^IS" then return statement "1" end
  return statement(conditions.comparison("x.value", c.comparator, c.value))
end

--- The tables of what has keys; `best` is that of recsys.ui.bests, `child` the tag by which runs stand under others.
conditions.tables = { metric = "latest_metrics", parameter = "params", tag = "tags", best = "best", child = "tags" }

--- The runs that meet a condition on a key: { from, id, where } of rows x.
local function keyed(c)
  local where = statement("x.key = ?", c.key)
  add(where, "AND")
  add_statement(where, c.kind == "metric" and metric_holds(c) or value_holds(c))
  return { from = conditions.tables[c.kind] .. " x", id = "x.run_uuid", where = where }
end

local function of_dataset(c)
  local where = statement "x.source_type = 'DATASET' AND x.destination_type = 'RUN' AND"
  if c.key == "context" then
    add(where, "g.name = 'mlflow.data.context' AND")
    add(where, conditions.comparison("g.value", c.comparator, c.value))
    local from = "inputs x JOIN input_tags g ON g.input_uuid = x.input_uuid"
    return { from = from, id = "x.destination_id", where = where }
  end
  add(where, conditions.comparison("d." .. c.key, c.comparator, c.value))
  return { from = "inputs x JOIN datasets d ON d.dataset_uuid = x.source_id", id = "x.destination_id", where = where }
end

--- The runs that stand under one of those for which c.parents holds, of a run r.
local function of_child(c)
  local where = statement("x.key = ? AND x.value <> x.run_uuid AND EXISTS (SELECT 1 FROM runs r "
    .. "WHERE r.run_uuid = x.value AND", c.key)
  add_statement(where, c.parents)
  add(where, ")")
  return { from = "tags x", id = "x.run_uuid", where = where }
end

local makers = { dataset = of_dataset, child = of_child }

--- The runs that meet a condition, as `SELECT id FROM ... WHERE ...`, or nil for one on the run itself.
function conditions.meeting(c)
  if c.kind == "attribute" then return nil end
  local from = (makers[c.kind] or keyed)(c)
  local s = statement(("SELECT %s AS id FROM %s WHERE"):format(from.id, from.from))
  add_statement(s, from.where)
  return s, from.id
end

--- Add to a statement over runs r that the condition holds. Where a key must be absent and few have it (c.few), these
--- are found once.
function conditions.add(s, c)
  if c.kind == "attribute" then
    return conditions.add_comparison(s, "r." .. c.field.column, c)
  end
  local meeting, id = conditions.meeting(c)
  if c.few then
    add(s, "AND r.run_uuid NOT IN (")
    add_statement(s, meeting)
    return add(s, ")")
  end
  add(s, c.comparator == "IS NULL" and "AND NOT EXISTS (" or "AND EXISTS (")
  add_statement(s, meeting)
  add(s, ("AND %s = r.run_uuid)"):format(id))
end

return conditions

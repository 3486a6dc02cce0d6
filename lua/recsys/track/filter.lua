--- Searches of runs, experiments, registered models and their versions: MLflow's filters and orders as SQL.
---
--- track/grammar.lua reads the language; here its conditions become statements over MLflow's tables, with every name
--- and value a parameter. What is found are keys (run ids, ...), one page at a time; the store loads what belongs to
--- them.
---
--- A table with 100,000 runs must answer at once, so the work follows the page rather than the table:
--- * runs are walked in the order that is asked for, along an index, until the page is full;
--- * an order by a metric, a parameter or a tag walks those that have it first, then NaN, then those that lack it, as
---   statements of their own, of which most pages need the first alone;
--- * an experiment of few runs is sorted as a whole, whatever else the database holds;
--- * the runs that meet a condition are looked up where few have met it, and asked one by one where many have.
--- The indexes are those called recsys_... of track/schema.lua. Without them answers are the same, and slower.

local grammar = require "recsys.track.grammar"
local json = require "recsys.json"
local page = require "recsys.track.page"

local filter = {}

-- What is searched --------------------------------------------------------------------------------------------------

local runs = {
  attributes = { run_id = { column = "run_uuid", list = true }, run_name = { column = "name" },
    user_id = { column = "user_id" }, status = { column = "status" }, artifact_uri = { column = "artifact_uri" },
    start_time = { column = "start_time", number = true }, end_time = { column = "end_time", number = true } },
  aliases = { created = "start_time", Created = "start_time", ["run name"] = "run_name", ["Run name"] = "run_name",
    ["Run Name"] = "run_name" },
  kinds = { metric = true, parameter = true, tag = true,
    dataset = { name = true, digest = true, context = true } },
  default = 1000, most = 50000,
}
runs.orders = runs.attributes

local experiments = {
  keys = "t.experiment_id", from = "experiments t", tags = "experiment_tags",
  same = "x.experiment_id = t.experiment_id",
  attributes = { name = { column = "name" }, creation_time = { column = "creation_time", number = true },
    last_update_time = { column = "last_update_time", number = true } },
  orders = { name = { column = "name" }, experiment_id = { column = "experiment_id" },
    creation_time = { column = "creation_time" }, last_update_time = { column = "last_update_time" } },
  kinds = { tag = true }, default = 1000, most = 50000,
  ends = function(seen)
    if not next(seen) then return "t.creation_time DESC", "t.experiment_id" end
    return not seen.experiment_id and "t.experiment_id DESC" or nil
  end,
}

local registered_models = {
  keys = "t.name", from = "registered_models t", tags = "registered_model_tags", same = "x.name = t.name",
  attributes = { name = { column = "name" } },
  orders = { name = { column = "name" }, timestamp = { column = "last_updated_time" },
    creation_timestamp = { column = "creation_time" }, last_updated_timestamp = { column = "last_updated_time" } },
  kinds = { tag = true }, default = 100, most = 1000, prompts = true,
  ends = function(seen) return not seen.name and "t.name" or nil end,
}

local model_versions = {
  keys = "t.name, t.version", from = "model_versions t", tags = "model_version_tags",
  same = "x.name = t.name AND x.version = t.version",
  attributes = { name = { column = "name" }, version_number = { column = "version", number = true },
    run_id = { column = "run_id", list = true }, source_path = { column = "source" } },
  orders = { name = { column = "name" }, version_number = { column = "version" },
    creation_timestamp = { column = "creation_time" }, last_updated_timestamp = { column = "last_updated_time" } },
  kinds = { tag = true }, default = 10000, most = 200000, prompts = true,
  ends = function(seen)
    local name, version = not seen.name and "t.name", not seen.version_number and "t.version DESC"
    if not next(seen) then return "t.last_updated_time DESC", name, version end
    return name or version or nil, name and version or nil
  end,
}

-- Statements in the making ------------------------------------------------------------------------------------------

--- { text = parts, parameters } whose parts and parameters stay in step.
local function statement(text, ...)
  return { parts = { text }, parameters = { ... } }
end

local function add(s, text, ...)
  s.parts[#s.parts + 1] = text
  for i = 1, select("#", ...) do s.parameters[#s.parameters + 1] = (select(i, ...)) end
end

local function add_statement(s, other)
  table.move(other.parts, 1, #other.parts, #s.parts + 1, s.parts)
  table.move(other.parameters, 1, #other.parameters, #s.parameters + 1, s.parameters)
end

local function rows_of(db, s, limit, offset)
  local parameters = table.move(s.parameters, 1, #s.parameters, 1, {})
  parameters[#parameters + 1], parameters[#parameters + 2] = limit, offset
  return db:rows(table.concat(s.parts, " ") .. " LIMIT ? OFFSET ?", parameters)
end

-- Conditions --------------------------------------------------------------------------------------------------------

local longest_pattern = 10000

--- A LIKE pattern as one of GLOB, which minds the case of letters where SQLite's LIKE does not.
local function glob(pattern)
  return (pattern:gsub("[%%_%*%?%[]", { ["%"] = "*", ["_"] = "?", ["*"] = "[*]", ["?"] = "[?]", ["["] = "[[]" }))
end

--- "column op ?" with its parameter.
local function comparison(column, op, value)
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

local function add_comparison(s, column, c)
  local text, value = comparison(column, c.comparator, c.value)
  add(s, "AND " .. text, value)
end

--- What a row x of the latest metrics must hold: NaN, which is kept as 0 with a mark, differs from every number.
local function metric_holds(c)
  local text, value = comparison("x.value", c.comparator, c.value)
  if c.comparator == "!=" then return statement("(x.is_nan = 1 OR " .. text .. ")", value) end
  return statement("x.is_nan = 0 AND " .. text, value)
end

local function value_holds(c)
  if c.comparator:find "^IS" then return statement "1" end
  return statement(comparison("x.value", c.comparator, c.value))
end

local tables = { metric = "latest_metrics", parameter = "params", tag = "tags", best = "best" }

--- The runs that meet a condition on a key: { from, id, where } of rows x.
local function keyed(c)
  local where = statement("x.key = ?", c.key)
  add(where, "AND")
  add_statement(where, c.kind == "metric" and metric_holds(c) or value_holds(c))
  return { from = tables[c.kind] .. " x", id = "x.run_uuid", where = where }
end

local function of_dataset(c)
  local where = statement "x.source_type = 'DATASET' AND x.destination_type = 'RUN' AND"
  if c.key == "context" then
    add(where, "g.name = 'mlflow.data.context' AND")
    add(where, comparison("g.value", c.comparator, c.value))
    local from = "inputs x JOIN input_tags g ON g.input_uuid = x.input_uuid"
    return { from = from, id = "x.destination_id", where = where }
  end
  add(where, comparison("d." .. c.key, c.comparator, c.value))
  return { from = "inputs x JOIN datasets d ON d.dataset_uuid = x.source_id", id = "x.destination_id", where = where }
end

--- The runs that meet a condition, as `SELECT id FROM ... WHERE ...`, or nil for one on the run itself.
local function runs_meeting(c)
  if c.kind == "attribute" then return nil end
  local from = c.kind == "dataset" and of_dataset(c) or keyed(c)
  local s = statement(("SELECT %s AS id FROM %s WHERE"):format(from.id, from.from))
  add_statement(s, from.where)
  return s, from.id
end

--- Add to a statement over runs r that the condition holds.
local function add_condition(s, c)
  if c.kind == "attribute" then
    return add_comparison(s, "r." .. c.field.column, c)
  end
  local meeting, id = runs_meeting(c)
  add(s, c.comparator == "IS NULL" and "AND NOT EXISTS (" or "AND EXISTS (")
  add_statement(s, meeting)
  add(s, ("AND %s = r.run_uuid)"):format(id))
end

-- Orders of runs ----------------------------------------------------------------------------------------------------

local function direction(term)
  return term.descending and "DESC" or "ASC"
end

--- Add the terms after ORDER BY: what is missing comes last either way, NaN just before.
local function add_terms(s, terms, first)
  local seen = {}
  for i, term in ipairs(terms) do
    if term.kind == "attribute" then seen[term.key] = true end
    if i >= first then
      local value = ("(SELECT x.%%s FROM %s x WHERE x.key = ? AND x.run_uuid = r.run_uuid)"):format(tables[term.kind])
      local column = term.column or "value"
      if term.kind == "attribute" then
        add(s, ("r.%s %s NULLS LAST,"):format(term.field.column, direction(term)))
      elseif term.kind == "metric" then
        add(s, ("coalesce(%s, 2), %s %s,"):format(value:format "is_nan", value:format "value", direction(term)),
          term.key, term.key)
      else
        add(s, ("%s %s NULLS LAST,"):format(value:format(column), direction(term)), term.key)
      end
    end
  end
  add(s, (seen.start_time and "" or "r.start_time DESC, ") .. "r.run_uuid")
end

--- One statement of a search: from, where (parts that come before the scope), the scope, conditions, order.
local function run_statement(plan, from, where, order, first)
  local s = statement("SELECT r.run_uuid AS id FROM " .. from)
  add(s, "WHERE")
  if where then
    add_statement(s, where)
    add(s, "AND")
  end
  add_statement(s, plan.scope)
  for _, c in ipairs(plan.conditions) do add_condition(s, c) end
  add(s, "ORDER BY " .. (order or ""))
  add_terms(s, plan.terms, first or 1)
  return s
end

--- The values of a key in the order of its term, when there are few; walked from one to the next along the index.
local function distinct_values(db, term)
  local text = ("SELECT %s(value) AS value FROM %s WHERE key = ?%s"):format(term.descending and "max" or "min",
    tables[term.kind], term.kind == "metric" and " AND is_nan = 0" or "")
  local next_text = text .. (term.descending and " AND value < ?" or " AND value > ?")
  local values, row = {}, db:row(text, { term.key })
  while row.value ~= nil do
    if #values == 32 then return nil end
    values[#values + 1] = row.value
    row = db:row(next_text, { term.key, row.value })
  end
  return values
end

--- The order by a key as statements one after the other: those that have it along its index, NaN, those that lack it.
local function walks(plan, term)
  local name = tables[term.kind]
  local function having(more)
    return statement("o.key = ? AND r.run_uuid = o.run_uuid" .. more, term.key)
  end
  local from, order = name .. " o CROSS JOIN runs r", ("o.%s %s,"):format(term.column or "value", direction(term))
  local list = { run_statement(plan, from, having(term.kind == "metric" and " AND o.is_nan = 0" or ""), order, 2) }
  if term.kind == "metric" then
    list[2] = run_statement(plan, from, having " AND o.is_nan = 1", "", 2)
  end
  local lacking = statement("NOT EXISTS (SELECT 1 FROM " .. name
    .. " x WHERE x.key = ? AND x.run_uuid = r.run_uuid)", term.key)
  list[#list + 1] = run_statement(plan, "runs r", lacking, "", 2)
  return list
end

-- Plans of a search of runs -----------------------------------------------------------------------------------------

--- Runs that may be sorted as a whole, which takes some milliseconds.
filter.few = 4000

local stages = { ACTIVE_ONLY = "active", DELETED_ONLY = "deleted", ALL = false }

--- The experiments and the stage of life that are asked for; nil when nothing can be found.
local function scope_of(request)
  local ids = {}
  for _, id in ipairs(request.experiment_ids or {}) do ids[#ids + 1] = math.tointeger(tonumber(id)) end
  if #ids == 0 then return nil end
  local stage = stages[request.run_view_type or request.view_type or "ACTIVE_ONLY"]
  if stage == nil then
    error({ code = "INVALID_PARAMETER_VALUE", message = ("Invalid view type '%s'. Valid values are 'ACTIVE_ONLY', "
      .. "'DELETED_ONLY' and 'ALL'"):format(tostring(request.run_view_type or request.view_type):sub(1, 40)) }, 0)
  end
  local scope
  if #ids == 1 then scope = statement("r.experiment_id = ?", ids[1])
  else scope = statement("r.experiment_id IN (SELECT value FROM json_each(?))", json.encode(json.list(ids))) end
  if stage then add(scope, "AND r.lifecycle_stage = ?", stage) end
  return scope
end

--- Whether a statement gives few rows, at the cost of few.
local function is_few(db, s)
  local counted = statement "SELECT 1 AS one FROM ("
  add_statement(counted, s)
  add(counted, ")")
  return #rows_of(db, counted, 1, filter.few) == 0
end

--- The condition, by its place, whose runs are few and can be looked up first.
local function rare_condition(db, conditions)
  for i, c in ipairs(conditions) do
    local meeting = c.comparator ~= "IS NULL" and runs_meeting(c)
    if meeting and is_few(db, meeting) then return i, meeting end
  end
end

local function names_runs(conditions)
  for _, c in ipairs(conditions) do
    local exact = c.comparator == "=" or c.comparator == "IN"
    if exact and c.kind == "attribute" and c.key == "run_id" then return true end
  end
  return false
end

--- Whether few runs of the scope meet the conditions on runs themselves.
local function is_few_by_attributes(db, scope, conditions)
  local s, any = statement "SELECT 1 FROM runs r WHERE", false
  add_statement(s, scope)
  for _, c in ipairs(conditions) do
    if c.kind == "attribute" then
      add_condition(s, c)
      any = true
    end
  end
  return any and is_few(db, s)
end

local plan_runs

--- Many runs share each of these values: one search a value, by the rest of the terms, and those without at the end.
local function plan_by_value(db, plan, values)
  local term, list = plan.terms[1], {}
  local rest = table.move(plan.terms, 2, #plan.terms, 1, {})
  for _, value in ipairs(values) do
    local conditions = table.move(plan.conditions, 1, #plan.conditions, 1, {})
    conditions[#conditions + 1] = { kind = term.kind, key = term.key, comparator = "=", value = value }
    for _, s in ipairs(plan_runs(db, plan.scope, conditions, rest)) do list[#list + 1] = s end
  end
  local others = walks(plan, term)
  table.move(others, 2, #others, #list + 1, list)
  return list
end

--- The statements whose results, one after the other, are those of the search.
function plan_runs(db, scope, conditions, terms)
  local plan = { scope = scope, conditions = conditions, terms = terms }
  local all = statement "SELECT 1 FROM runs r WHERE"
  add_statement(all, scope)
  if names_runs(conditions) or is_few(db, all) then return { run_statement(plan, "runs r") } end
  local rare, meeting = rare_condition(db, conditions)
  if rare then
    local among = statement "r.run_uuid IN ("
    add_statement(among, meeting)
    add(among, ")")
    plan.conditions = table.move(conditions, 1, #conditions, 1, {})
    table.remove(plan.conditions, rare)
    return { run_statement(plan, "runs r", among) }
  end
  if not terms[1] or terms[1].kind == "attribute" or is_few_by_attributes(db, scope, conditions) then
    return { run_statement(plan, "runs r") }
  end
  local values = #terms <= 2 and terms[1].kind ~= "best" and distinct_values(db, terms[1])
  return values and plan_by_value(db, plan, values) or walks(plan, terms[1])
end

--- How many rows a statement has, to skip it.
local function count(db, s)
  return db:row("SELECT count(*) AS n FROM (" .. table.concat(s.parts, " ") .. ")", s.parameters).n
end

--- Rows offset + 1 .. offset + limit of what the statements give one after the other.
local function take(db, list, limit, offset)
  local ids = {}
  for i, s in ipairs(list) do
    local rows = rows_of(db, s, limit - #ids, offset)
    for _, row in ipairs(rows) do ids[#ids + 1] = row.id end
    if #ids == limit or i == #list then break end
    offset = #rows > 0 and 0 or offset == 0 and 0 or math.max(0, offset - count(db, s))
  end
  return ids
end

---@class recsys.track.Search
---@field filter? string
---@field order_by? string[]
---@field max_results? integer
---@field page_token? string
---@field experiment_ids? (string|integer)[]  of runs: where to look; none gives nothing
---@field run_view_type? "ACTIVE_ONLY"|"DELETED_ONLY"|"ALL"   default ACTIVE_ONLY; view_type means the same
---@field best? { kind: "best", key: string, column: "least"|"greatest", descending: boolean }
---   of runs: what goes before order_by, the best value of a metric, of a connection with the table `best`
---   (recsys.ui.bests); what lacks it comes last

--- The runs that meet a filter, in order, one page of them. Raises { code = "INVALID_PARAMETER_VALUE", message }.
---@param db recsys.Database
---@param request recsys.track.Search
---@return string[] run_ids
---@return string? next_page_token
function filter.runs(db, request)
  local size, offset = page.size(request.max_results, runs.default, runs.most), page.offset(request.page_token)
  local conditions = grammar.conditions(request.filter, runs)
  local terms, scope = grammar.order(request.order_by, runs), scope_of(request)
  if not scope then return {} end
  if request.best then table.insert(terms, 1, request.best) end
  return page.cut(take(db, plan_runs(db, scope, conditions, terms), size + 1, offset), size, offset)
end

--- The runs that meet a filter, all of them in no order.
local function all_of(db, request)
  local conditions, scope = grammar.conditions(request.filter, runs), scope_of(request)
  return scope and plan_runs(db, scope, conditions, {})[1] or statement "SELECT NULL AS id WHERE 0"
end

--- How many runs meet a filter.
---@param db recsys.Database
---@param request recsys.track.Search
---@return integer
function filter.count(db, request) return count(db, all_of(db, request)) end

--- The runs that meet a filter, all of them in no order, as a query of the column `id` for others to build upon.
---@param db recsys.Database
---@param request recsys.track.Search
---@return string text
---@return any[] parameters
function filter.matching(db, request)
  local s = all_of(db, request)
  return table.concat(s.parts, " "), s.parameters
end

-- Experiments, registered models, versions --------------------------------------------------------------------------

local prompt = "mlflow.prompt.is_prompt"

--- MLflow keeps prompts among the models, and shows them only to who asks for tag.`mlflow.prompt.is_prompt` = 'true';
--- its clients add != 'true', which models without the tag must pass. What is left of the conditions, and whether
--- prompts are asked for.
local function without_prompts(conditions)
  local rest, wanted = {}, false
  for _, c in ipairs(conditions) do
    if c.kind ~= "tag" or c.key ~= prompt then rest[#rest + 1] = c
    elseif c.comparator == "=" and c.value == "true" or c.comparator == "!=" and c.value == "false" then
      wanted = true
    end
  end
  return rest, wanted
end

local function add_tag_condition(s, subject, c)
  local text, value = "1", nil
  if not c.comparator:find "^IS" then text, value = comparison("x.value", c.comparator, c.value) end
  add(s, ("AND %sEXISTS (SELECT 1 FROM %s x WHERE %s AND x.key = ?"):format(c.comparator == "IS NULL" and "NOT " or "",
    subject.tags, subject.same), c.key)
  add(s, "AND " .. text .. ")", value)
end

local function add_order(s, subject, order_by)
  local terms, seen, list = grammar.order(order_by, subject), {}, {}
  for _, term in ipairs(terms) do
    if term.kind ~= "attribute" then
      error({ code = "INVALID_PARAMETER_VALUE", message = "Invalid order_by entity: " .. term.kind }, 0)
    end
    seen[term.key], list[#list + 1] = true, ("t.%s %s NULLS LAST"):format(term.field.column, direction(term))
  end
  for _, last in ipairs { subject.ends(seen) } do list[#list + 1] = last end
  add(s, "ORDER BY " .. table.concat(list, ", "))
end

local function search(db, subject, request, where)
  local size, offset = page.size(request.max_results, subject.default, subject.most), page.offset(request.page_token)
  local conditions = grammar.conditions(request.filter, subject)
  local s = statement(("SELECT %s FROM %s WHERE %s"):format(subject.keys, subject.from, where))
  if subject.prompts then
    local wanted
    conditions, wanted = without_prompts(conditions)
    add(s, ("AND %sEXISTS (SELECT 1 FROM %s x WHERE %s AND x.key = '%s' AND x.value = 'true')"):format(
      wanted and "" or "NOT ", subject.tags, subject.same, prompt))
  end
  for _, c in ipairs(conditions) do
    if c.kind == "tag" then add_tag_condition(s, subject, c)
    else add_comparison(s, "t." .. c.field.column, c) end
  end
  add_order(s, subject, request.order_by)
  return page.cut(rows_of(db, s, size + 1, offset), size, offset)
end

local function only(rows, column)
  for i, row in ipairs(rows) do rows[i] = row[column] end
  return rows
end

--- The experiments that meet a filter, in order.
---@param db recsys.Database
---@param request recsys.track.Search   view_type: default ACTIVE_ONLY
---@return integer[] experiment_ids
---@return string? next_page_token
function filter.experiments(db, request)
  local stage = stages[request.view_type or "ACTIVE_ONLY"]
  if stage == nil then
    error({ code = "INVALID_PARAMETER_VALUE", message = "Invalid view type" }, 0)
  end
  local rows, token = search(db, experiments, request, stage and ("t.lifecycle_stage = '%s'"):format(stage) or "1")
  return only(rows, "experiment_id"), token
end

--- The registered models that meet a filter, in order.
---@param db recsys.Database
---@param request recsys.track.Search
---@return string[] names
---@return string? next_page_token
function filter.registered_models(db, request)
  local rows, token = search(db, registered_models, request, "1")
  return only(rows, "name"), token
end

--- The versions of registered models that meet a filter, in order.
---@param db recsys.Database
---@param request recsys.track.Search
---@return { name: string, version: integer }[]
---@return string? next_page_token
function filter.model_versions(db, request)
  return search(db, model_versions, request, "t.current_stage IS NOT 'Deleted_Internal'")
end

return filter

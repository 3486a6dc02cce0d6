--- Searches of runs, experiments, registered models and their versions: MLflow's filters and orders as SQL.
---
--- track/grammar.lua reads the language, track/conditions.lua has its conditions as SQL; here they become statements
--- over MLflow's tables. What is found are keys (run ids, ...), one page at a time; the store loads what belongs to
--- them.
---
--- A table with 100,000 runs must answer at once, so the work follows the page rather than the table:
--- * runs are walked in the order that is asked for, along an index, until the page is full;
--- * an order by a metric, a parameter or a tag walks those that have it first, then NaN, then those that lack it, as
---   statements of their own, of which most pages need the first alone;
--- * an experiment of few runs is sorted as a whole, whatever else the database holds;
--- * the runs that meet a condition are looked up where few have met it, and asked one by one where many have;
--- * what comes before a page far down is skipped in the index of the values alone, and what is left out is counted
---   rather than what is not, where that is less.
--- The indexes are those called recsys_... of track/schema.lua. Without them answers are the same, and slower.

local conditions_of = require "recsys.track.conditions"
local grammar = require "recsys.track.grammar"
local json = require "recsys.json"
local page = require "recsys.track.page"
local statements = require "recsys.track.statements"

local filter = {}

local statement, add, add_statement = statements.new, statements.add, statements.append
local rows_of, row_of, count = statements.rows, statements.row, statements.count
local comparison, add_comparison, tables = conditions_of.comparison, conditions_of.add_comparison, conditions_of.tables
local runs_meeting, add_condition = conditions_of.meeting, conditions_of.add

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
---@param from? any  the value that the first of these is to begin with
local function walks(plan, term, from)
  local name, column = tables[term.kind], "o." .. (term.column or "value")
  local function having(more)
    return statement("o.key = ? AND r.run_uuid = o.run_uuid" .. more, term.key)
  end
  local joined, order = name .. " o CROSS JOIN runs r", ("%s %s,"):format(column, direction(term))
  local first = having(term.kind == "metric" and " AND o.is_nan = 0" or "")
  if from ~= nil then add(first, ("AND %s %s ?"):format(column, term.descending and "<=" or ">="), from) end
  local list = { run_statement(plan, joined, first, order, 2) }
  if term.kind == "metric" then
    list[2] = run_statement(plan, joined, having " AND o.is_nan = 1", "", 2)
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
local function is_few(db, s, few)
  local counted = statement "SELECT 1 AS one FROM ("
  add_statement(counted, s)
  add(counted, ")")
  return #rows_of(db, counted, 1, few or filter.few) == 0
end

--- The condition, by its place, whose runs are few and can be looked up first. Beside others more of them are few: a
--- walk might have to go to its end to find runs that meet all.
local function rare_condition(db, conditions)
  for _, few in ipairs(#conditions == 1 and { 1 } or { 1, 3 }) do
    for i, c in ipairs(conditions) do
      local meeting = c.comparator ~= "IS NULL" and runs_meeting(c)
      if meeting and is_few(db, meeting, few * filter.few) then return i, meeting end
    end
  end
end

local function names_runs(conditions)
  for _, c in ipairs(conditions) do
    local exact = c.comparator == "=" or c.comparator == "IN"
    if exact and c.kind == "attribute" and c.key == "run_id" then return true end
  end
  return false
end

--- The conditions of a request, to which one of the top level alone adds that a run stands under none that is found.
local function conditions_of_request(db, request, scope)
  local list, parents, key <const> = grammar.conditions(request.filter, runs), statement "", "mlflow.parentRunId"
  if not request.top or not scope then return list end
  add_statement(parents, scope)
  for _, c in ipairs(list) do add_condition(parents, c) end
  list[#list + 1] = { kind = "child", key = key, comparator = "IS NULL", parents = parents,
    few = is_few(db, statement("SELECT 1 FROM tags x WHERE x.key = ?", key)) }
  return list
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
  local term, list = plan.terms[1], { deep = { plan = plan, values = values } }
  local rest = table.move(plan.terms, 2, #plan.terms, 1, {})
  for _, value in ipairs(values) do
    local conditions = table.move(plan.conditions, 1, #plan.conditions, 1, {})
    conditions[#conditions + 1] = { kind = term.kind, key = term.key, comparator = "=", value = value }
    for _, s in ipairs(plan_runs(db, plan.scope, conditions, rest)) do
      s.value = value
      list[#list + 1] = s
    end
  end
  local others = walks(plan, term)
  table.move(others, 2, #others, #list + 1, list)
  return list
end

--- Whether the search may as well look at all runs of its scope.
local function is_small(db, scope, conditions)
  if names_runs(conditions) then return true end
  local all = statement "SELECT 1 FROM runs r WHERE"
  add_statement(all, scope)
  return is_few(db, all)
end

--- The statements whose results, one after the other, are those of the search.
function plan_runs(db, scope, conditions, terms)
  local plan = { scope = scope, conditions = conditions, terms = terms }
  if is_small(db, scope, conditions) then return { run_statement(plan, "runs r") } end
  for _, c in ipairs(conditions) do
    if c.few == nil then c.few = c.comparator == "IS NULL" and is_few(db, (runs_meeting(c))) end
  end
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
  if values then return plan_by_value(db, plan, values) end
  local list = walks(plan, terms[1])
  list.deep = { plan = plan }
  return list
end

-- Deep pages ---------------------------------------------------------------------------------------------------------

--- Rows before a page that are walked over one by one.
filter.near = 1000

--- The runs that a search leaves out, where that can be told without a look at each: those out of its scope and those
--- that have what must be absent. nil where there are other conditions.
local function left_out(plan)
  local s = statement "SELECT r.run_uuid FROM runs r WHERE ("
  add_statement(s, plan.scope)
  add(s, ") IS NOT TRUE")
  for _, c in ipairs(plan.conditions) do
    if c.comparator ~= "IS NULL" then return nil end
    add(s, "UNION ALL")
    add_statement(s, (runs_meeting(c)))
  end
  return s
end

--- What is asked of the rows that have the key of an order, by the index of their values alone. Each belongs to a run,
--- as the schema has it; of best values alone some may be left of runs that are gone.
local function of_index(term, columns, out)
  local s = statement(("SELECT %s FROM %s o WHERE o.key = ?%s AND o.run_uuid NOT IN ("):format(columns,
    tables[term.kind], term.kind == "metric" and " AND o.is_nan = 0" or ""), term.key)
  add_statement(s, out)
  add(s, term.kind == "best" and ") AND EXISTS (SELECT 1 FROM runs r WHERE r.run_uuid = o.run_uuid)" or ")")
  return s
end

--- Go to the value that a row far down the walk along an index has: the statements from there on, and what is left of
--- the offset.
local function skip_values(db, list, offset, out)
  local plan, term = list.deep.plan, list.deep.plan.terms[1]
  local column, along = "o." .. (term.column or "value"), direction(term)
  local s = of_index(term, column .. " AS value, o.run_uuid AS id", out)
  add(s, ("ORDER BY %s %s, o.run_uuid %s"):format(column, along, along))
  local at = rows_of(db, s, 1, offset)[1]
  if not at then -- behind all that have the key
    table.remove(list, 1)
    return list, offset - row_of(db, of_index(term, "count(*) AS n", out)).n
  end
  if at.value == nil then return list, offset end
  s = of_index(term, "count(*) AS n", out)
  add(s, ("AND %s = ? AND o.run_uuid %s ?"):format(column, term.descending and ">" or "<"), at.value, at.id)
  return walks(plan, term, at.value), row_of(db, s).n
end

--- The runs of one value, sorted as a whole.
local function of_value(plan, value)
  local term = plan.terms[1]
  local among = statement(("r.run_uuid IN (SELECT o.run_uuid FROM %s o WHERE o.key = ? AND o.value = ?%s)"):format(
    tables[term.kind], term.kind == "metric" and " AND o.is_nan = 0" or ""), term.key, value)
  return run_statement(plan, "runs r", among, "", 2)
end

--- Leave out the statements of values whose runs all come before the page.
local function skip_groups(db, list, offset, out)
  local s, counts, all = of_index(list.deep.plan.terms[1], "o.value, count(*) AS n", out), {}, 0
  add(s, "GROUP BY o.value")
  for _, row in ipairs(rows_of(db, s, -1, 0)) do
    counts[row.value], all = row.n, all + row.n
  end
  local function at_hand() return list[1].value ~= nil and (counts[list[1].value] or 0) or math.huge end
  while offset >= at_hand() do
    local value = list[1].value
    offset = offset - at_hand()
    while list[1].value == value do table.remove(list, 1) end
  end
  local n, value = at_hand(), list[1].value
  if value ~= nil and list[2].value ~= value and offset * (all / n) > n then -- a walk would pass by more than these
    list[1] = of_value(list.deep.plan, value)
  end
  return list, offset
end

--- The statements that are left when rows far before the page are skipped, and the offset among what they give.
local function skip(db, list, offset)
  local out = offset > filter.near and list.deep and left_out(list.deep.plan)
  if not out then return list, offset end
  return (list.deep.values and skip_groups or skip_values)(db, list, offset, out)
end

--- Rows offset + 1 .. offset + limit of what the statements give one after the other.
local function take(db, list, limit, offset)
  local ids = {}
  list, offset = skip(db, list, offset)
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
---@field top? boolean  of runs: only those that stand under (tag mlflow.parentRunId) no other that is found
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
  local terms, scope = grammar.order(request.order_by, runs), scope_of(request)
  local conditions = conditions_of_request(db, request, scope)
  if not scope then return {} end
  if request.best then table.insert(terms, 1, request.best) end
  return page.cut(take(db, plan_runs(db, scope, conditions, terms), size + 1, offset), size, offset)
end

--- The runs that meet a filter, all of them in no order.
local function all_of(db, request)
  local scope = scope_of(request)
  local conditions = conditions_of_request(db, request, scope)
  return scope and plan_runs(db, scope, conditions, {})[1] or statement "SELECT NULL AS id WHERE 0"
end

--- The conditions that want a key absent, and those that want one present; nil where there are others.
local function of_keys(conditions)
  local absent, present = {}, {}
  for _, c in ipairs(conditions) do
    if not tables[c.kind] then return nil end
    local list = c.comparator == "IS NULL" and absent or present
    list[#list + 1] = c
  end
  return absent, present
end

--- How many runs meet conditions on keys, along the index of the first that wants one present.
local function count_present(db, scope, absent, present)
  local s = statement "SELECT count(*) AS n FROM ("
  add_statement(s, (runs_meeting(present[1])))
  add(s, ") o WHERE o.id NOT IN (")
  add_statement(s, left_out { scope = scope, conditions = absent })
  add(s, ")")
  for i = 2, #present do
    local meeting, id = runs_meeting(present[i])
    add(s, "AND EXISTS (")
    add_statement(s, meeting)
    add(s, ("AND %s = o.id)"):format(id))
  end
  return row_of(db, s).n
end

--- How many runs of the scope lack a key that few have: all, less these.
local function count_absent(db, scope, c)
  local all, among = statement "SELECT count(*) AS n FROM runs r WHERE", statement "r.run_uuid IN ("
  add_statement(all, scope)
  add_statement(among, (runs_meeting(c)))
  add(among, ")")
  return row_of(db, all).n - count(db, run_statement({ scope = scope, conditions = {}, terms = {} }, "runs r", among))
end

--- How many runs meet a filter.
---@param db recsys.Database
---@param request recsys.track.Search
---@return integer
function filter.count(db, request)
  local scope = scope_of(request)
  local conditions = conditions_of_request(db, request, scope)
  if not scope then return 0 end
  local absent, present = of_keys(conditions)
  if absent and not is_small(db, scope, conditions) then
    if #present > 0 then
      local rare = rare_condition(db, present) or 1
      present[1], present[rare] = present[rare], present[1]
      return count_present(db, scope, absent, present)
    elseif #absent == 1 and is_few(db, (runs_meeting(absent[1]))) then
      return count_absent(db, scope, absent[1])
    end
  end
  return count(db, plan_runs(db, scope, conditions, {})[1])
end

--- The runs that meet a filter, all of them in no order, as a query of the column `id` for others to build upon.
---@param db recsys.Database
---@param request recsys.track.Search
---@return string text
---@return any[] parameters
function filter.matching(db, request)
  local s = all_of(db, request)
  return table.concat(s.parts, " "), s.parameters
end

--- The condition that a column names a run that meets a filter: by those that do, or those that do not, where these
--- are told at once.
---@param db recsys.Database
---@param request recsys.track.Search
---@param column string
---@return string text
---@return any[] parameters
function filter.among(db, request, column)
  local scope = scope_of(request)
  local conditions = conditions_of_request(db, request, scope)
  local out = scope and not is_small(db, scope, conditions) and left_out { scope = scope, conditions = conditions }
  local s = out or all_of(db, request)
  return ("%s %s (%s)"):format(column, out and "NOT IN" or "IN", table.concat(s.parts, " ")), s.parameters
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

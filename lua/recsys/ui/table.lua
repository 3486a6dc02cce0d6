--- The runs' table as the page shows it: runs with the last, least and greatest value of each metric, what columns
--- there are, groups.

local csv = require "recsys.ui.csv"
local filter = require "recsys.track.filter"
local json = require "recsys.json"
local page = require "recsys.track.page"
local rest = require "recsys.ui.rest"
local rows = require "recsys.track.rows"

local runs = {}

local MOST <const> = 50000 -- runs that the filter finds at once

--- What a question asks for, as the filter takes it. Ids of experiments may stand in one text, separated by commas;
--- without any all experiments are meant.
---@param fields { experiment_ids?: string|string[], filter?: string, order_by?: string|string[], view?: string,
---  top?: string }
local function question(db, fields)
  local ids = {}
  for _, text in ipairs(fields.experiment_ids or {}) do
    for id in tostring(text):gmatch "[^,%s]+" do ids[#ids + 1] = id end
  end
  if #ids == 0 then
    for row in db:each "SELECT experiment_id FROM experiments" do ids[#ids + 1] = row.experiment_id end
  end
  return { experiment_ids = ids, filter = fields.filter, order_by = fields.order_by, run_view_type = fields.view,
    top = fields.top == "1" }
end

--- The term of an order by a best value, nil for other orders. A metric that is really called x.min comes first.
local function best_term(db, order_by)
  if not order_by or #order_by ~= 1 or type(order_by[1]) ~= "string" then return nil end
  local key, which, direction = order_by[1]:match "^%s*metrics?%.(.+)%.(m[ia][nx])([`\"]?%s*%a*)%s*$"
  if not key or (which ~= "min" and which ~= "max") then return nil end
  local quote = key:match "^([`\"])"
  if quote then
    if key:sub(-1) ~= quote then return nil end -- the whole is the name
    key = key:sub(2, -2)
  end
  direction = (direction:match "%a+" or "ASC"):upper()
  if direction ~= "ASC" and direction ~= "DESC" then return nil end
  if db:row("SELECT 1 AS one FROM latest_metrics WHERE key = ? LIMIT 1", { key .. "." .. which }) then return nil end
  return { kind = "best", key = key, column = which == "min" and "least" or "greatest",
    descending = direction == "DESC" }
end

local from_histories = [[
SELECT e.id FROM (%s) e JOIN runs r ON r.run_uuid = e.id LEFT JOIN
  (SELECT run_uuid, %s(value) AS best FROM metrics WHERE key = ? AND is_nan = 0 GROUP BY run_uuid) m
  ON m.run_uuid = e.id ORDER BY m.best %s NULLS LAST, r.start_time DESC, r.run_uuid LIMIT ? OFFSET ?]]

--- The ids of a page in the order of a best value, from histories, as long as the best values are not at hand.
local function by_histories(db, asked, term)
  local matching, parameters = filter.matching(db, asked)
  local ids, text = {}, from_histories:format(matching, term.column == "least" and "min" or "max",
    term.descending and "DESC" or "ASC")
  local values = table.move(parameters, 1, #parameters, 1, {})
  for _, value in ipairs { term.key, asked.max_results, page.offset(asked.page_token) } do
    values[#values + 1] = value
  end
  for row in db:each(text, values) do ids[#ids + 1] = row.id end
  return ids
end

--- The ids of rows offset + 1 .. offset + limit of what is asked for. 'best' is the connection with best values, nil
--- where they are not at hand.
local function ids_of(db, best, asked, offset, limit)
  if limit == 0 then return {} end
  asked.max_results, asked.page_token = limit, page.token(offset)
  local term = best_term(db, asked.order_by)
  if not term then return (filter.runs(db, asked)) end
  local without = setmetatable({ best = term }, { __index = asked })
  without.order_by = json.list {}
  return best and (filter.runs(best, without)) or by_histories(db, without, term)
end

--- The least and greatest value of each metric of runs: run -> metric -> { least, greatest }.
local function bests_of(db, best, list)
  local found, text = {}, best and "SELECT run_uuid, key, least, greatest FROM best WHERE run_uuid IN "
    .. "(SELECT value FROM json_each(?))" or "SELECT run_uuid, key, min(value) AS least, max(value) AS greatest FROM "
    .. "metrics WHERE is_nan = 0 AND run_uuid IN (SELECT value FROM json_each(?)) GROUP BY run_uuid, key"
  for row in (best or db):each(text, { list }) do
    local of = found[row.run_uuid] or {}
    found[row.run_uuid] = of
    of[row.key] = row
  end
  return found
end

--- How many runs each of these is the parent of.
local function children(db, list)
  local found = {}
  for row in db:each("SELECT value, count(*) AS n FROM tags WHERE key = 'mlflow.parentRunId' AND value IN "
    .. "(SELECT value FROM json_each(?)) GROUP BY value", { list }) do found[row.value] = row.n end
  return found
end

local function map(list)
  local named = {}
  for _, pair in ipairs(list or {}) do named[pair.key] = pair.value end
  return named
end

--- Runs by their ids as the page has them.
local function shown(store, bests, ids)
  local list = rows.list(ids)
  local best, parents, result = bests_of(store.db, bests, list), children(store.db, list), store:runs(ids)
  for i, run in ipairs(result) do
    local id, metrics = run.info.run_id, {}
    for _, metric in ipairs(run.data.metrics or {}) do
      local of = best[id] and best[id][metric.key]
      metrics[metric.key] = { last = metric.value, step = metric.step, min = of and of.least or "NaN",
        max = of and of.greatest or "NaN" }
    end
    result[i] = { info = run.info, params = map(run.data.params), tags = map(run.data.tags), metrics = metrics,
      children = parents[id] or 0 }
  end
  return result
end

local answers = setmetatable({}, { __mode = "k" }) -- store -> { stamp, question -> what was found }

--- What 'find' gives for a question, kept as long as nothing is written, by anybody: to count the runs that meet a
--- filter, or to group them, takes longer than to find a page of them.
---@param kind string
local function known(store, kind, asked, find)
  local db = store.db
  local stamp = ("%d %d"):format(db:row("PRAGMA data_version").data_version,
    db:row("SELECT total_changes() AS n").n)
  local kept = answers[store]
  if not kept or kept.stamp ~= stamp then
    kept = { stamp = stamp }
    answers[store] = kept
  end
  local key = json.encode { kind, asked.experiment_ids, asked.filter or "", asked.run_view_type or "", asked.top }
  kept[key] = kept[key] or find()
  return kept[key]
end

local function whole(fields, name, standard, most)
  local value = fields[name] == nil and standard or math.tointeger(tonumber(fields[name]))
  if not value or value < 0 or value > most then
    rest.refuse("INVALID_PARAMETER_VALUE", "Invalid value for parameter '%s' supplied: it must be an integer from 0 to "
      .. "%d.", name, most)
  end
  return value
end

--- A page of the table.
---@param fields table  experiment_ids, filter, order_by (also metrics.x.min and .max), view, top, offset, limit
---@param bests? recsys.Bests
---@return { total: integer, runs: table[] }
function runs.page(store, fields, bests)
  local db, asked = store.db, question(store.db, fields)
  local offset, limit = whole(fields, "offset", 0, 1 << 50), whole(fields, "limit", 100, 5000)
  local count = known(store, "total", asked, function() return filter.count(db, asked) end)
  local best = bests and bests:current()
  return { total = count, runs = json.list(shown(store, best, ids_of(db, best, asked, offset, limit))) }
end

-- Keys of a table of all runs, each looked up once: the table is large, the keys are few.
local keys_sql = [[
WITH RECURSIVE k(key) AS (
  SELECT min(key) FROM %s
  UNION ALL SELECT (SELECT min(key) FROM %s WHERE key > k.key) FROM k WHERE k.key IS NOT NULL)
SELECT key FROM k WHERE key IS NOT NULL AND EXISTS (SELECT 1 FROM %s t JOIN runs r USING (run_uuid)
  WHERE t.key = k.key AND r.experiment_id IN (SELECT value FROM json_each(?)))]]

--- The columns that there are.
---@return { metrics: string[], params: string[], tags: string[] }
function runs.keys(store, fields)
  local ids, found = rows.list(question(store.db, fields).experiment_ids), {}
  for name, of in pairs { metrics = "latest_metrics", params = "params", tags = "tags" } do
    local list = json.list {}
    for row in store.db:each(keys_sql:gsub("%%s", of), { ids }) do list[#list + 1] = row.key end
    found[name] = list
  end
  return found
end

local function group(db, asked, of, name)
  local among, parameters = filter.among(db, asked, "g.run_uuid")
  parameters = table.move(parameters, 1, #parameters, 2, { name })
  local groups, by_value = json.list {}, {}
  for row in db:each(("SELECT g.value AS value, count(*) AS n FROM %s g WHERE g.key = ? AND %s GROUP BY g.value "
    .. "ORDER BY n DESC, g.value"):format(of, among), parameters) do
    by_value[row.value] = { value = row.value, count = row.n, metrics = {} }
    groups[#groups + 1] = by_value[row.value]
  end
  for row in db:each(("SELECT g.value AS value, m.key, avg(m.value) AS mean, min(m.value) AS least, "
    .. "max(m.value) AS greatest, count(*) AS n FROM %s g JOIN latest_metrics m USING (run_uuid) WHERE g.key = ? AND "
    .. "m.is_nan = 0 AND %s GROUP BY g.value, m.key"):format(of, among), parameters) do
    by_value[row.value].metrics[row.key] = { mean = row.mean, min = row.least, max = row.greatest, count = row.n }
  end
  return groups
end

--- Runs grouped by a parameter or tag, with the mean, least and greatest last value of each metric.
function runs.groups(store, fields)
  local kind, name = tostring(rest.need(fields, "by")):match "^(%a+)%.(.+)$"
  local of = ({ params = "params", param = "params", tags = "tags", tag = "tags" })[kind]
  if not of then rest.refuse("INVALID_PARAMETER_VALUE", "Runs are grouped by params.NAME or tags.NAME.") end
  name = name:match "^`(.*)`$" or name
  local asked = question(store.db, fields)
  return { groups = known(store, ("groups of %s by %s"):format(of, name), asked, function()
    return group(store.db, asked, of, name)
  end) }
end

--- All runs that meet a question, in its order, as CSV (recsys.ui.csv) in a file.
---@param path string
function runs.csv(store, fields, bests, path)
  local db, asked, keys = store.db, question(store.db, fields), runs.keys(store, fields)
  local best, all = bests and bests:current(), {}
  repeat
    local ids = ids_of(db, best, asked, #all, MOST)
    table.move(ids, 1, #ids, #all + 1, all)
  until #ids < MOST
  local file = assert(io.open(path, "wb"))
  local ok, problem = pcall(csv.write, file, db, keys, all, function(list) return bests_of(db, best, list) end)
  ok, problem = file:close() and ok, problem
  if ok then return end
  os.remove(path)
  error(problem or { code = "io", message = "the table cannot be written: is the disk full?" }, 0)
end

return runs

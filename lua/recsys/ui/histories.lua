--- Curves of many metrics of many runs by one query, thinned out so that nothing that a chart would show is lost: of a
--- stretch of points the least and the greatest stay, and so do the ends.

local json = require "recsys.json"
local rest = require "recsys.ui.rest"
local rows = require "recsys.track.rows"

local histories = {}

histories.most = 500000 -- points of an answer

local LEAST <const> = 10 -- points of a curve that are worth drawing, where it has as many

-- Of each stretch b of a series one row has its min and one its max: SQLite gives the other columns of that row.
local sql = [[
WITH p AS MATERIALIZED (
  SELECT run_uuid, key, step, timestamp, value, is_nan,
    row_number() OVER (PARTITION BY run_uuid, key ORDER BY step, timestamp, value) - 1 AS i,
    count(*) OVER (PARTITION BY run_uuid, key) AS n
  FROM metrics WHERE run_uuid IN (SELECT value FROM json_each(:runs))
    AND (:all OR key IN (SELECT value FROM json_each(:keys))))
SELECT run_uuid, key, i, step, timestamp, value, is_nan FROM p WHERE n <= :points OR i = 0 OR i = n - 1
UNION
SELECT run_uuid, key, i, step, timestamp, value, is_nan FROM (
  SELECT run_uuid, key, i, step, timestamp, is_nan, min(value) AS value FROM p WHERE n > :points AND is_nan = 0
  GROUP BY run_uuid, key, i * :stretches / n)
UNION
SELECT run_uuid, key, i, step, timestamp, value, is_nan FROM (
  SELECT run_uuid, key, i, step, timestamp, is_nan, max(value) AS value FROM p WHERE n > :points AND is_nan = 0
  GROUP BY run_uuid, key, i * :stretches / n)
ORDER BY run_uuid, key, i]]

local function texts(fields, name, most)
  local list = fields[name] or {}
  if #list > most then
    rest.refuse("INVALID_PARAMETER_VALUE", "At most %d %s are taken at once, got %d.", most, name, #list)
  end
  for _, text in ipairs(list) do
    if type(text) ~= "string" then
      rest.refuse("INVALID_PARAMETER_VALUE", "Invalid value for parameter '%s' supplied: a list of texts.", name)
    end
  end
  return list
end

--- How many points each curve may have, so that all of them stay within what an answer holds.
local function room(db, ids, keys)
  local n = db:row("SELECT count(*) AS n FROM latest_metrics WHERE run_uuid IN (SELECT value FROM json_each(:runs)) "
    .. "AND (:all OR key IN (SELECT value FROM json_each(:keys)))",
    { runs = rows.list(ids), keys = rows.list(keys), all = #keys == 0 }).n
  if n * LEAST > histories.most then
    rest.refuse("INVALID_PARAMETER_VALUE", "These are %d curves, and an answer holds %d: ask for fewer runs, or name "
      .. "the keys that are needed.", n, histories.most // LEAST)
  end
  return histories.most // math.max(1, n)
end

--- Curves, in the order of runs, keys and steps. All of them have histories.most points together at the most: of very
--- many each has fewer than is asked for, of too many none is given.
---@param db Database
---@param fields { run_ids: string[], keys?: string[], points?: integer }
---   keys: default all; points: of each curve at the most, from 10 to 5000, default 500
---@return { series: { run_id: string, key: string, points: table[] }[] }  a point is { step, timestamp, value }
function histories.read(db, fields)
  local ids, keys = texts(fields, "run_ids", 1000), texts(fields, "keys", 1000)
  local points = math.tointeger(tonumber(fields.points or 500))
  if not points or points < 1 then
    rest.refuse("INVALID_PARAMETER_VALUE", "Invalid value for parameter 'points' supplied: an integer from 1.")
  end
  points = math.min(math.max(LEAST, points), 5000, room(db, ids, keys))
  local series, current = json.list {}, nil
  for row in db:each(sql, { runs = rows.list(ids), keys = rows.list(keys), all = #keys == 0, points = points,
    stretches = (points - 2) // 2 }) do
    if not current or current.run_id ~= row.run_uuid or current.key ~= row.key then
      current = { run_id = row.run_uuid, key = row.key, points = json.list {} }
      series[#series + 1] = current
    end
    current.points[#current.points + 1] = { row.step, row.timestamp, row.is_nan ~= 0 and "NaN" or row.value }
  end
  return { series = series }
end

return histories

--- The runs' table as CSV, written to a file some hundred runs at a time, so that memory follows these alone.

local rows = require "recsys.track.rows"
local wire = require "recsys.ui.wire"

local csv = {}

local CHUNK <const> = 500 -- runs

local function cell(value)
  if value == nil then return "" end
  value = math.type(value) == "float" and wire.float(value) or tostring(value)
  return value:find '[,"\r\n]' and '"' .. value:gsub('"', '""') .. '"' or value
end

local facts = { "run_id", "run_name", "experiment_id", "status", "user_id", "start_time", "end_time" }

--- The head's cells, and for each kind of column: key -> place.
local function layout(keys)
  local head, places = { table.unpack(facts) }, { params = {}, metrics = {}, tags = {} }
  local function add(kind, key, endings)
    places[kind][key] = #head + 1
    for _, ending in ipairs(endings) do head[#head + 1] = ("%s.%s%s"):format(kind, key, ending) end
  end
  for _, key in ipairs(keys.params) do add("params", key, { "" }) end
  for _, key in ipairs(keys.metrics) do add("metrics", key, { "", ".min", ".max" }) end
  for _, key in ipairs(keys.tags) do add("tags", key, { "" }) end
  return head, places
end

local IN <const> = " WHERE run_uuid IN (SELECT value FROM json_each(?))"

--- The cells of runs: run -> its line's.
local function lines_of(db, bests_of, places, list)
  local lines = {}
  for row in db:each("SELECT run_uuid, name, experiment_id, status, user_id, start_time, end_time FROM runs" .. IN,
    { list }) do
    lines[row.run_uuid] = { row.run_uuid, row.name or "", row.experiment_id or "", row.status or "", row.user_id or "",
      row.start_time or "", row.end_time or "" }
  end
  for _, kind in ipairs { "params", "tags" } do
    for row in db:each("SELECT run_uuid, key, value FROM " .. kind .. IN, { list }) do
      local place = places[kind][row.key]
      if place then lines[row.run_uuid][place] = row.value end
    end
  end
  local best = bests_of(list)
  for row in db:each("SELECT run_uuid, key, value, is_nan FROM latest_metrics" .. IN, { list }) do
    local place, line = places.metrics[row.key], lines[row.run_uuid]
    local of = best[row.run_uuid] and best[row.run_uuid][row.key]
    if place then
      line[place] = row.is_nan ~= 0 and "NaN" or row.value
      line[place + 1], line[place + 2] = of and of.least or "NaN", of and of.greatest or "NaN"
    end
  end
  return lines
end

--- Write a line for each run: what it is, a column for each parameter, each tag, and of each metric the last, least and
--- greatest value.
---@param file file*
---@param db Database
---@param keys { params: string[], metrics: string[], tags: string[] }
---@param ids string[]
---@param bests_of fun(list: string): table  of a list as JSON: run -> metric -> { least, greatest }
function csv.write(file, db, keys, ids, bests_of)
  local head, places = layout(keys)
  local width <const> = #head
  local function put(cells)
    for i = 1, width do cells[i] = cell(cells[i]) end
    assert(file:write(table.concat(cells, ",", 1, width), "\r\n"))
  end
  put(head)
  for first = 1, #ids, CHUNK do
    local some = table.move(ids, first, math.min(first + CHUNK - 1, #ids), 1, {})
    local lines = lines_of(db, bests_of, places, rows.list(some))
    for _, id in ipairs(some) do
      if lines[id] then put(lines[id]) end
    end
  end
end

return csv

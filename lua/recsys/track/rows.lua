--- Rows of a tracking store as the tables that MLflow's JSON shows: experiments, runs, metrics.
---
--- What is absent or empty is left out, as there. A metric's value is a number or "NaN". Many runs are read by one
--- query a table, whatever their number.

local json = require "recsys.json"

local rows = {}

--- Text of a list of texts or numbers, for `IN (SELECT value FROM json_each(?))`.
---@param list (string|integer)[]
---@return string
function rows.list(list)
  return json.encode(json.list { table.unpack(list) })
end

local function not_empty(list) return list and next(list) ~= nil and list or nil end

--- A metric.
---@param row { key: string, value: number, timestamp: integer, step: integer, is_nan: integer }
function rows.metric(row)
  return { key = row.key, value = row.is_nan ~= 0 and "NaN" or row.value, timestamp = row.timestamp, step = row.step }
end

--- An experiment.
---@param tags? { key: string, value: string }[]
function rows.experiment(row, tags)
  return { experiment_id = ("%d"):format(row.experiment_id), name = row.name,
    artifact_location = row.artifact_location, lifecycle_stage = row.lifecycle_stage,
    creation_time = row.creation_time, last_update_time = row.last_update_time, tags = not_empty(tags) }
end

--- What a run is by itself.
function rows.info(row)
  return { run_id = row.run_uuid, run_uuid = row.run_uuid, run_name = row.name,
    experiment_id = row.experiment_id and ("%d"):format(row.experiment_id), user_id = row.user_id,
    status = row.status, start_time = row.start_time, end_time = row.end_time, artifact_uri = row.artifact_uri,
    lifecycle_stage = row.lifecycle_stage }
end

--- Lists of what belongs to each run: run_uuid -> { made by 'shape' of its rows }.
local function by_run(db, query, list, shape)
  local found = {}
  for row in db:each(query, { list }) do
    local of = found[row.run_uuid]
    if not of then
      of = {}
      found[row.run_uuid] = of
    end
    of[#of + 1] = shape(row)
  end
  return found
end

local function pair(row) return { key = row.key, value = row.value or "" } end

local IN <const> = " IN (SELECT value FROM json_each(?))"

local function dataset_input(row)
  return { tags = {}, id = row.input_uuid, dataset = { name = row.name, digest = row.digest,
    source_type = row.dataset_source_type, source = row.dataset_source, schema = row.dataset_schema,
    profile = row.dataset_profile } }
end

--- The datasets that went into runs.
local function datasets_of(db, list)
  local found = by_run(db, "SELECT i.destination_id AS run_uuid, i.input_uuid, d.name, d.digest, "
    .. "d.dataset_source_type, d.dataset_source, d.dataset_schema, d.dataset_profile FROM inputs i JOIN datasets d "
    .. "ON d.dataset_uuid = i.source_id WHERE i.destination_type = 'RUN' AND i.source_type = 'DATASET' "
    .. "AND i.destination_id" .. IN .. " ORDER BY i.rowid", list, dataset_input)
  if not next(found) then return found end
  local tags = by_run(db, "SELECT t.input_uuid AS run_uuid, t.name AS key, t.value FROM inputs i JOIN input_tags t "
    .. "ON t.input_uuid = i.input_uuid WHERE i.destination_type = 'RUN' AND i.source_type = 'DATASET' "
    .. "AND i.destination_id" .. IN, list, pair)
  for _, inputs in pairs(found) do
    for _, input in ipairs(inputs) do input.tags, input.id = not_empty(tags[input.id]), nil end
  end
  return found
end

--- The models that came out of runs, which MLflow 3 knows.
local function models_of(db, list)
  return by_run(db, "SELECT source_id AS run_uuid, destination_id, step FROM inputs WHERE source_type = 'RUN_OUTPUT' "
    .. "AND destination_type = 'MODEL_OUTPUT' AND source_id" .. IN .. " ORDER BY rowid", list,
    function(row) return { model_id = row.destination_id, step = row.step } end)
end

--- Lists of what belongs to each run as JSON texts: run_uuid -> what 'made' makes of one.
local function texts_by_run(db, table_name, list, made)
  local found = {}
  for row in db:each(([[
SELECT run_uuid, group_concat('{"key":' || json_quote(key) || ',"value":' || json_quote(coalesce(value, '')) || '}') AS
text FROM %s WHERE run_uuid IN (SELECT value FROM json_each(?)) GROUP BY run_uuid]]):format(table_name), { list }) do
    found[row.run_uuid] = made(row.text)
  end
  return found
end

--- Runs with their latest metrics, parameters, tags and inputs, in the order of 'ids'. Ids of no run are left out.
---@param db Database
---@param ids string[]
---@param has_outputs boolean  whether the table of inputs tells a step, as since MLflow 3
---@param written? { metric: fun(row: table): string, list: fun(text: string): any }
---   for answers: metrics, parameters and tags as JSON, of which 'list' makes what stands for a list, and 'metric' a
---   row's member; default: MLflow's tables
---@return table[]
function rows.runs(db, ids, has_outputs, written)
  local list, infos = rows.list(ids), {}
  for row in db:each("SELECT run_uuid, name, experiment_id, user_id, status, start_time, end_time, artifact_uri, "
    .. "lifecycle_stage FROM runs WHERE run_uuid" .. IN, { list }) do
    infos[row.run_uuid] = rows.info(row)
  end
  local metrics = by_run(db, "SELECT run_uuid, key, value, timestamp, step, is_nan FROM latest_metrics WHERE run_uuid"
    .. IN, list, written and written.metric or rows.metric)
  local function pairs_of(of)
    if written then return texts_by_run(db, of, list, written.list) end
    return by_run(db, "SELECT run_uuid, key, value FROM " .. of .. " WHERE run_uuid" .. IN, list, pair)
  end
  local params, tags = pairs_of "params", pairs_of "tags"
  for id, members in pairs(written and metrics or {}) do metrics[id] = written.list(table.concat(members, ",")) end
  local datasets, models = datasets_of(db, list), has_outputs and models_of(db, list) or {}
  local runs = {}
  for _, id in ipairs(ids) do
    if infos[id] then
      runs[#runs + 1] = { info = infos[id], data = { metrics = metrics[id], params = params[id], tags = tags[id] },
        inputs = { dataset_inputs = datasets[id] }, outputs = { model_outputs = models[id] } }
    end
  end
  return runs
end

return rows

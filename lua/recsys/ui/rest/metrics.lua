--- MLflow's metrics/*: histories.

local page = require "recsys.track.page"
local rest = require "recsys.ui.rest"

local metrics = {}

local function number(fields, name, least, most)
  local value = fields[name]
  if value == nil then return nil end
  local whole = math.tointeger(tonumber(value))
  if not whole or whole < least or whole > most then
    rest.refuse("INVALID_PARAMETER_VALUE", "Invalid value %s for parameter '%s' supplied: it must be an integer from "
      .. "%d to %d.", tostring(value):sub(1, 100), name, least, most)
  end
  return whole
end

metrics["GET mlflow/metrics/get-history"] = rest.json(function(context, fields)
  local run_id = fields.run_id or fields.run_uuid
  rest.need({ run_id = run_id }, "run_id")
  local found, next_offset = context.store:metric_history { run_id = run_id,
    metric_key = rest.need(fields, "metric_key"),
    max_results = number(fields, "max_results", 0, 1000000),
    offset = page.offset(fields.page_token) }
  return { metrics = #found > 0 and found or nil, next_page_token = next_offset and page.token(next_offset) or nil }
end)

local function run_ids(fields)
  local ids = fields.run_id or fields.run_ids or {}
  if type(ids) ~= "table" then ids = { ids } end
  if #ids == 0 then rest.need({}, "run_ids") end
  if #ids > 100 then
    rest.refuse("INVALID_PARAMETER_VALUE", "Histories of at most 100 runs are told at once, got %d.", #ids)
  end
  return ids
end

--- Every value of one metric of several runs, of each the first 25000.
metrics["GET mlflow/metrics/get-history-bulk"] = rest.json(function(context, fields)
  local key, most = rest.need(fields, "metric_key"), number(fields, "max_results", 1, 25000) or 25000
  local all = {}
  for _, id in ipairs(run_ids(fields)) do
    for _, metric in ipairs(context.store:metric_history { run_id = id, metric_key = key, max_results = most }) do
      if #all >= most then break end
      metric.run_id = id
      all[#all + 1] = metric
    end
  end
  return { metrics = #all > 0 and all or nil }
end)

metrics["GET mlflow/metrics/get-history-bulk-interval"] = rest.json(function(context, fields)
  local key, ids, all = rest.need(fields, "metric_key"), run_ids(fields), {}
  local found = context.store:sampled_histories { run_ids = ids, metric_key = key,
    most = number(fields, "max_results", 1, 2500) or 2500, first_step = number(fields, "start_step", -1 << 62, 1 << 62),
    last_step = number(fields, "end_step", -1 << 62, 1 << 62) }
  for _, id in ipairs(ids) do
    for _, point in ipairs(found[id] or {}) do
      all[#all + 1] = { run_id = id, key = key, step = point[1], value = point[2], timestamp = point[3] }
    end
  end
  return { metrics = #all > 0 and all or nil }
end)

return metrics

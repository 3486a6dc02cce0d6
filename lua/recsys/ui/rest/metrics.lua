--- MLflow's metrics/*: histories.

local page = require "recsys.track.page"
local rest = require "recsys.ui.rest"

local metrics = {}

local mininteger <const>, maxinteger <const> = math.mininteger, math.maxinteger

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

local function invalid(message) rest.refuse("INVALID_PARAMETER_VALUE", "%s", message) end

local MOST_RUNS <const> = 100 -- of one request

local function list_of(value)
  return type(value) == "table" and value or { value }
end

--- Every value of one metric of several runs, 25000 at the most; in order of runs, which is that of their ids.
metrics["GET mlflow/metrics/get-history-bulk"] = rest.json(function(context, fields)
  local ids, key = list_of(fields.run_id or fields.run_ids), fields.metric_key
  if #ids == 0 then invalid "GetMetricHistoryBulk request must specify at least one run_id." end
  if #ids > MOST_RUNS then
    invalid(("GetMetricHistoryBulk request cannot specify more than %d run_ids. Received %d run_ids.")
      :format(MOST_RUNS, #ids))
  end
  if type(key) ~= "string" or key == "" then invalid "GetMetricHistoryBulk request must specify a metric_key." end
  local all, most = {}, number(fields, "max_results", 1, 25000) or 25000
  table.sort(ids)
  for _, id in ipairs(ids) do
    for _, metric in ipairs(context.store:metric_history { run_id = id, metric_key = key, max_results = most }) do
      if #all >= most then break end
      metric.run_id = id
      all[#all + 1] = metric
    end
  end
  return { metrics = #all > 0 and all or nil }
end)

metrics["GET mlflow/metrics/get-history-bulk-interval"] = rest.json(function(context, fields)
  local ids, all = list_of(fields.run_ids or fields.run_id), {}
  if #ids == 0 then rest.need({}, "run_ids") end
  local key, most = rest.need(fields, "metric_key"), number(fields, "max_results", mininteger, maxinteger) or 2500
  if #ids > MOST_RUNS then
    invalid(("GetMetricHistoryBulkInterval request must specify at most %d run_ids. Received %d run_ids.")
      :format(MOST_RUNS, #ids))
  end
  if most < 1 or most > 2500 then invalid "max_results must be between 1 and 2500." end
  local first, last = number(fields, "start_step", mininteger, maxinteger), number(fields, "end_step", mininteger,
    maxinteger)
  if (first == nil) ~= (last == nil) then
    invalid "If either start step or end step are specified, both must be specified."
  elseif first and first > last then
    invalid(("end_step must be greater than start_step. Found start_step=%d and end_step=%d."):format(first, last))
  end
  local found = context.store:sampled_histories { run_ids = ids, metric_key = key, most = most, first_step = first,
    last_step = last }
  for _, id in ipairs(ids) do
    for _, point in ipairs(found[id] or {}) do
      all[#all + 1] = { run_id = id, key = key, step = point[1], value = point[2], timestamp = point[3] }
    end
  end
  return { metrics = #all > 0 and all or nil }
end)

return metrics

--- MLflow's runs/*.

local json = require "recsys.json"
local names = require "recsys.track.names"
local rest = require "recsys.ui.rest"
local wire = require "recsys.ui.wire"

local runs = {}

local function route(name, fn)
  runs[name:gsub(" ", " mlflow/runs/", 1)] = rest.json(function(context, fields)
    if fields.run_id == nil then fields.run_id = fields.run_uuid end -- its name of old
    rest.texts(fields, "run_id")
    return fn(context, fields)
  end)
end

--- Lists of { key, value } that a request brings: tables of tables, or a refusal.
local function check_pairs(fields, ...)
  for _, name in ipairs { ... } do
    if fields[name] ~= nil and type(fields[name]) ~= "table" then
      rest.refuse_value(name, fields[name], "it must be a list")
    end
    for _, pair in ipairs(fields[name] or {}) do
      if type(pair) ~= "table" then rest.refuse_value(name, fields[name], "objects are expected") end
    end
  end
end

route("POST create", function(context, fields)
  check_pairs(fields, "tags")
  fields.run_id = nil -- which is ours to give
  return { run = context.store:create_run(fields) }
end)

route("GET get", function(context, fields)
  return { run = context.store:run(rest.need(fields, "run_id")) }
end)

route("POST update", function(context, fields)
  rest.need(fields, "run_id")
  return { run_info = context.store:update_run(fields) }
end)

route("POST delete", function(context, fields)
  context.store:delete_run(rest.need(fields, "run_id"))
  return {}
end)

route("POST restore", function(context, fields)
  context.store:restore_run(rest.need(fields, "run_id"))
  return {}
end)

route("POST search", function(context, fields)
  local found = context.store:search_runs(fields, wire.rows())
  return { runs = #found.runs > 0 and found.runs or nil, next_page_token = found.next_page_token }
end)

route("POST log-batch", function(context, fields)
  rest.need(fields, "run_id")
  check_pairs(fields, "metrics", "params", "tags")
  for i, metric in ipairs(fields.metrics or {}) do -- as MLflow's server, which gives no time of its own
    if metric.timestamp == nil then rest.need({}, ("metrics[%d].timestamp"):format(i - 1)) end
  end
  context.store:log_batch(fields)
  return {}
end)

route("POST log-metric", function(context, fields)
  rest.need(fields, "run_id")
  rest.need(fields, "key")
  rest.need(fields, "value")
  rest.need(fields, "timestamp")
  rest.texts(fields, "key")
  rest.integers(fields, "timestamp", "step")
  context.store:log_metric(fields)
  return {}
end)

route("POST log-parameter", function(context, fields)
  rest.need(fields, "run_id")
  rest.need(fields, "key")
  rest.texts(fields, "key", "value")
  context.store:log_param(fields)
  return {}
end)

route("POST set-tag", function(context, fields)
  rest.need(fields, "run_id")
  rest.need(fields, "key")
  rest.texts(fields, "key", "value")
  context.store:set_tag(fields)
  return {}
end)

route("POST delete-tag", function(context, fields)
  rest.need(fields, "run_id")
  rest.need(fields, "key")
  context.store:delete_tag(fields)
  return {}
end)

route("POST log-inputs", function(context, fields)
  rest.need(fields, "run_id")
  check_pairs(fields, "datasets")
  context.store:log_inputs(fields)
  return {}
end)

--- What a client that logs a model says of it, kept as MLflow keeps it: a list in a tag.
route("POST log-model", function(context, fields)
  local id, model = rest.need(fields, "run_id"), json.decode(rest.need(fields, "model_json"))
  if type(model) ~= "table" or type(model.artifact_path) ~= "string" then
    rest.refuse("INVALID_PARAMETER_VALUE", "Malformed model info: 'model_json' must be an object with artifact_path.")
  end
  local db = context.store.db
  db:transaction(function()
    local kept = db:row("SELECT value FROM tags WHERE run_uuid = ? AND key = ?", { id, names.models })
    local history = not kept and {} or json.decode(kept.value)
    if type(history) ~= "table" or next(history) ~= nil and history[1] == nil then
      rest.refuse("RESOURCE_CONFLICT", "The tag '%s' of run %s is no list of models: delete it to begin one.",
        names.models, id)
    end
    history[#history + 1] = model
    context.store:set_tag { run_id = id, key = names.models, value = json.encode(json.list(history)) }
  end)
  return {}
end)

return runs

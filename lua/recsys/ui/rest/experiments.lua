--- MLflow's experiments/*.

local rest = require "recsys.ui.rest"
local rows = require "recsys.track.rows"

local experiments = {}

local function route(name, fn)
  experiments[name:gsub(" ", " mlflow/experiments/", 1)] = rest.json(fn)
end

route("POST create", function(context, fields)
  rest.need(fields, "name")
  rest.texts(fields, "name", "artifact_location")
  if fields.tags ~= nil and type(fields.tags) ~= "table" then
    rest.refuse_value("tags", fields.tags, "it must be a list")
  end
  return { experiment_id = context.store:create_experiment(fields) }
end)

route("GET get", function(context, fields)
  return { experiment = context.store:experiment(rest.need(fields, "experiment_id")) }
end)

route("GET get-by-name", function(context, fields)
  return { experiment = context.store:experiment_by_name(rest.need(fields, "experiment_name")) }
end)

local function search(context, fields)
  local found = context.store:search_experiments(fields)
  return { experiments = #found.experiments > 0 and found.experiments or nil, next_page_token = found.next_page_token }
end
route("POST search", search)
route("GET search", search)

route("POST update", function(context, fields)
  local id = rest.need(fields, "experiment_id")
  if fields.new_name ~= nil then context.store:update_experiment(id, fields.new_name) end
  return {}
end)

route("POST delete", function(context, fields)
  context.store:delete_experiment(rest.need(fields, "experiment_id"))
  return {}
end)

route("POST restore", function(context, fields)
  context.store:restore_experiment(rest.need(fields, "experiment_id"))
  return {}
end)

route("POST set-experiment-tag", function(context, fields)
  context.store:set_experiment_tag(rest.need(fields, "experiment_id"), rest.need(fields, "key"), fields.value)
  return {}
end)

route("POST delete-experiment-tag", function(context, fields)
  context.store:delete_experiment_tag(rest.need(fields, "experiment_id"), rest.need(fields, "key"))
  return {}
end)

--- The data sets of the experiments' runs that were not deleted, each once for each context.
route("POST search-datasets", function(context, fields)
  local ids = fields.experiment_ids or {}
  if #ids == 0 then
    rest.refuse("INVALID_PARAMETER_VALUE", "SearchDatasets request must specify at least one experiment_id.")
  elseif #ids > 20 then
    rest.refuse("INVALID_PARAMETER_VALUE", "SearchDatasets request cannot specify more than 20 experiment_ids. "
      .. "Received %d experiment_ids.", #ids)
  end
  local found = context.store.db:rows([[
    SELECT DISTINCT CAST(d.experiment_id AS TEXT) AS experiment_id, d.name, d.digest, t.value AS context
    FROM datasets AS d JOIN inputs AS i ON i.source_type = 'DATASET' AND i.source_id = d.dataset_uuid
    JOIN runs AS r ON i.destination_type = 'RUN' AND i.destination_id = r.run_uuid AND r.lifecycle_stage = 'active'
    LEFT JOIN input_tags AS t ON t.input_uuid = i.input_uuid AND t.name = 'mlflow.data.context'
    WHERE d.experiment_id IN (SELECT value FROM json_each(?)) ORDER BY 1, 2, 3, 4 LIMIT 1000]], { rows.list(ids) })
  return { dataset_summaries = #found > 0 and found or nil }
end)

return experiments

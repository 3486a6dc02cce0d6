--- Searches of registered models and their versions, by MLflow's filters (recsys.track.filter).

local filter = require "recsys.track.filter"
local rows = require "recsys.registry.rows"

local search = {}

--- GET registered-models/search
---@param request { filter?: string, max_results?: integer, order_by?: string[], page_token?: string }
function search.registered_models(db, request)
  local names, token = filter.registered_models(db, request)
  local found = {}
  for i, name in ipairs(names) do found[i] = rows.registered_model(db, rows.find_model(db, name)) end
  return { registered_models = #found > 0 and found or nil, next_page_token = token }
end

--- GET model-versions/search
---@param request { filter?: string, max_results?: integer, order_by?: string[], page_token?: string }
function search.model_versions(db, request)
  local keys, token = filter.model_versions(db, request)
  local found = {}
  for i, key in ipairs(keys) do
    found[i] = rows.model_version(db, rows.find_version(db, key.name, key.version), true)
  end
  return { model_versions = #found > 0 and found or nil, next_page_token = token }
end

return search

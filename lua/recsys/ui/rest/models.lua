--- MLflow's registered-models/* and model-versions/*, over recsys.registry.

local guard = require "recsys.ui.guard"
local models = require "recsys.registry.models"
local rest = require "recsys.ui.rest"
local search = require "recsys.registry.search"
local versions = require "recsys.registry.versions"

local routes = {}

local function route(name, fn)
  routes[name:gsub(" ", " mlflow/", 1)] = rest.json(function(context, fields, request)
    return fn(context.store.db, fields, guard.client(request))
  end)
end

route("POST registered-models/create", models.create)
route("GET registered-models/get", models.get)
route("GET registered-models/search", search.registered_models)
route("PATCH registered-models/update", models.update)
route("POST registered-models/rename", models.rename)
route("DELETE registered-models/delete", models.delete)
route("POST registered-models/set-tag", models.set_tag)
route("DELETE registered-models/delete-tag", models.delete_tag)
route("POST registered-models/get-latest-versions", models.get_latest_versions)
route("GET registered-models/get-latest-versions", models.get_latest_versions)
route("POST registered-models/alias", models.set_alias)
route("GET registered-models/alias", models.get_version_by_alias)
route("DELETE registered-models/alias", models.delete_alias)
route("POST model-versions/create", versions.create)
route("GET model-versions/get", versions.get)
route("GET model-versions/search", search.model_versions)
route("GET model-versions/get-download-uri", versions.get_download_uri)
route("PATCH model-versions/update", versions.update)
route("DELETE model-versions/delete", versions.delete)
route("POST model-versions/set-tag", versions.set_tag)
route("DELETE model-versions/delete-tag", versions.delete_tag)
route("POST model-versions/transition-stage", versions.transition_stage)

return routes

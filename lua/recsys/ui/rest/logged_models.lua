--- MLflow 3's logged-models/*: models that runs made.
---
--- The tables of 2023 that we write have none for them, and one that we made would be in the way of MLflow's upgrade.
--- So each is a document beside its files, mlartifacts/EXPERIMENT/models/ID/logged_model.json.

local artifacts = require "recsys.track.artifacts"
local files = require "recsys.files"
local json = require "recsys.json"
local lfs = require "lfs"
local page = require "recsys.track.page"
local rest = require "recsys.ui.rest"
local track = require "recsys.track.store"

local models = {}

local NAME <const>, MOST <const> = "logged_model.json", 4 << 20 -- bytes of a document
local words = { LOGGED_MODEL_PENDING = true, LOGGED_MODEL_READY = true, LOGGED_MODEL_UPLOAD_FAILED = true }

local function invalid(format, ...) rest.refuse("INVALID_PARAMETER_VALUE", format, ...) end

--- A text of a request, of 'most' bytes; nil when absent.
local function text(fields, name, most)
  local value = fields[name]
  if value == nil then return nil end
  if type(value) ~= "string" or #value > most or not utf8.len(value) then
    invalid("Invalid value for parameter '%s' supplied: it must be a text of %d bytes at the most.", name, most)
  end
  return value
end

--- A list of { key, value } of a request.
local function pairs_of(fields, name)
  local list = {}
  if fields[name] ~= nil and type(fields[name]) ~= "table" then invalid("'%s' must be a list.", name) end
  for i, pair in ipairs(fields[name] or {}) do
    if type(pair) ~= "table" then invalid("'%s' must be a list of objects.", name) end
    list[i] = { key = text({ key = rest.need(pair, "key") }, "key", 250), value = text(pair, "value", 8000) or "" }
  end
  return #list > 0 and list or nil
end

local function write(context, model)
  local info = model.info
  info.last_updated_timestamp_ms = track.now()
  local bytes = json.encode(model)
  if #bytes > MOST then invalid("The parameters and tags of logged model '%s' are too large.", info.model_id) end
  artifacts.write(context.store.folder, ("%s/models/%s/%s"):format(info.experiment_id, info.model_id, NAME), bytes)
  return { model = model }
end

--- A list of { key, value } in a document: nil for none, false for what is no such list.
local function read_pairs(list)
  if list == nil then return nil end
  local read = {}
  for i, pair in ipairs(type(list) == "table" and list or { 0 }) do
    if type(pair) ~= "table" or type(pair.key) ~= "string" or type(pair.value) ~= "string" then return false end
    read[i] = { key = pair.key, value = pair.value }
  end
  return #read > 0 and read or nil
end

--- The model of a document, whose place says which it is: anybody may have put a file there. nil when it is none.
local function model_of(document, experiment, id)
  local info = type(document) == "table" and document.info
  if type(info) ~= "table" or type(info.name) ~= "string" or not words[info.status] then return nil end
  local data = type(document.data) == "table" and document.data or {}
  local tags, params = read_pairs(info.tags), read_pairs(data.params)
  local created, updated = math.tointeger(info.creation_timestamp_ms), math.tointeger(info.last_updated_timestamp_ms)
  if tags == false or params == false or not created or not updated then return nil end
  local function optional(value) return type(value) == "string" and value or nil end
  return { info = { model_id = id, experiment_id = experiment, name = info.name, status = info.status, tags = tags,
    creation_timestamp_ms = created, last_updated_timestamp_ms = updated, model_type = optional(info.model_type),
    source_run_id = optional(info.source_run_id),
    artifact_uri = ("mlflow-artifacts:/%s/models/%s/artifacts"):format(experiment, id) }, data = { params = params } }
end

local function is_id(id) return type(id) == "string" and id:find "^m%-%x+$" ~= nil end

--- The model's document in an experiment; nil when there is none.
local function read(context, experiment, id)
  if not is_id(id) then return nil end
  local path = artifacts.path(context.store.folder, ("%s/models/%s/%s"):format(experiment, id, NAME))
  local about = lfs.attributes(path)
  local bytes = about and about.mode == "file" and about.size <= MOST and files.read(path)
  return bytes and model_of(json.decode(bytes), experiment, id) or nil
end

local function find(context, id)
  if is_id(id) then
    for _, experiment in ipairs(files.names(artifacts.root(context.store.folder))) do
      local model = read(context, experiment, id)
      if model then return model end
    end
  end
  rest.refuse("RESOURCE_DOES_NOT_EXIST", "Logged model with ID '%s' not found.", tostring(id):sub(1, 100))
end

models["POST mlflow/logged-models"] = rest.json(function(context, fields)
  local experiment = context.store:experiment(rest.need(fields, "experiment_id"))
  local id, name = "m-" .. track.new_id(), text(fields, "name", 250)
  if name and name:find "[/:.%%\"']" then invalid("Invalid model name: '%s'.", name) end
  return write(context, { info = { model_id = id, experiment_id = experiment.experiment_id, name = name or id,
    creation_timestamp_ms = track.now(), status = "LOGGED_MODEL_PENDING", model_type = text(fields, "model_type", 250),
    source_run_id = text(fields, "source_run_id", 250), tags = pairs_of(fields, "tags"),
    artifact_uri = ("mlflow-artifacts:/%s/models/%s/artifacts"):format(experiment.experiment_id, id) },
    data = { params = pairs_of(fields, "params") } })
end)

--- logged-models/ID and what is done to it.
models["GET mlflow/logged-models/*"] = rest.json(function(context, fields)
  return { model = find(context, fields.path) }
end)

models["PATCH mlflow/logged-models/*"] = rest.json(function(context, fields)
  local id, what = fields.path:match "^([^/]+)/?(.*)$"
  local model = find(context, id)
  if what == "tags" then
    local tags = {}
    for _, tag in ipairs(model.info.tags or {}) do tags[#tags + 1] = tag end
    for _, tag in ipairs(pairs_of(fields, "tags") or {}) do
      for i = #tags, 1, -1 do
        if tags[i].key == tag.key then table.remove(tags, i) end
      end
      tags[#tags + 1] = tag
    end
    model.info.tags = tags
  elseif what == "" and words[fields.status] then
    model.info.status = fields.status
  else
    invalid("Invalid value for parameter 'status' supplied.")
  end
  return write(context, model)
end)

models["POST mlflow/logged-models/*"] = rest.json(function(context, fields)
  local id, what = fields.path:match "^([^/]+)/(.*)$"
  if what ~= "params" then rest.refuse("ENDPOINT_NOT_FOUND", "There is no POST logged-models/%s here.", fields.path) end
  local model = find(context, id)
  local params = model.data.params or {}
  for _, param in ipairs(pairs_of(fields, "params") or {}) do params[#params + 1] = param end
  model.data.params = #params > 0 and params or nil
  write(context, model)
  return {}
end)

models["DELETE mlflow/logged-models/*"] = rest.json(function(context, fields)
  local id, key = fields.path:match "^([^/]+)/tags/(.+)$"
  local model = find(context, id or fields.path)
  if id then
    for i = #(model.info.tags or {}), 1, -1 do
      if model.info.tags[i].key == key then table.remove(model.info.tags, i) end
    end
    write(context, model)
  else
    artifacts.remove(context.store.folder, ("%s/models/%s"):format(model.info.experiment_id, model.info.model_id))
  end
  return {}
end)

--- Those of the experiments, the youngest first. Of filters only "name = 'x'" is known, which clients ask before they
--- look at a run's artifacts.
models["POST mlflow/logged-models/search"] = rest.json(function(context, fields)
  local filter, found = text(fields, "filter", 10000) or "", {}
  local name = filter:match "^%s*name%s*=%s*'([^']*)'%s*$"
  if not name and filter:find "%S" then invalid("Invalid filter '%s': only name = '...' is known here.", filter) end
  for _, experiment in ipairs(fields.experiment_ids or {}) do
    experiment = context.store:experiment(experiment).experiment_id
    for _, id in ipairs(files.names(artifacts.path(context.store.folder, experiment .. "/models"))) do
      local model = read(context, experiment, id)
      if model and (not name or model.info.name == name) then found[#found + 1] = model end
    end
  end
  table.sort(found, function(a, b)
    local x, y = a.info, b.info
    if x.creation_timestamp_ms ~= y.creation_timestamp_ms then
      return x.creation_timestamp_ms > y.creation_timestamp_ms
    end
    return x.model_id < y.model_id
  end)
  local size, offset = page.size(fields.max_results, 100, 1000), page.offset(fields.page_token)
  local cut, token = page.cut(table.move(found, offset + 1, math.min(#found, offset + size + 1), 1, {}), size, offset)
  return { models = #cut > 0 and cut or nil, next_page_token = token }
end)

--- Which models a run made. The step is kept where the table has a column for it, as since MLflow 3.
models["POST mlflow/runs/outputs"] = rest.json(function(context, fields)
  local run, store = rest.need(fields, "run_id"), context.store
  store:run(run)
  store.db:transaction(function()
    for _, output in ipairs(type(fields.models) == "table" and fields.models or {}) do
      local id = find(context, type(output) == "table" and output.model_id).info.model_id
      store.db:run("INSERT OR IGNORE INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id"
        .. (store.has_outputs and ", step" or "") .. ") VALUES (?, 'RUN_OUTPUT', ?, 'MODEL_OUTPUT', ?"
        .. (store.has_outputs and ", ?" or "") .. ")",
        { track.new_id(), run, id, store.has_outputs and (math.tointeger(tonumber(output.step or 0)) or 0) or nil })
    end
  end)
  return {}
end)

return models

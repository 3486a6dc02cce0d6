--- Registered models in MLflow's tables: the operations of its REST API, from request to answer.
---
--- Each function takes the database and the request's fields and gives the answer's, both as MLflow's JSON has them;
--- what it refuses is raised as { code, message } with MLflow's code. What moves an alias takes who asked for it, too,
--- and leaves an event (recsys.registry.trail); what writes tags takes it, as not everybody may write all of them
--- (recsys.registry.rows). Versions are in recsys.registry.versions, searches in recsys.registry.search.

local rows = require "recsys.registry.rows"
local trail = require "recsys.registry.trail"

local models = {}

local function answer(db, name)
  return { registered_model = rows.registered_model(db, rows.find_model(db, name)) }
end

local function set_tags(db, name, tags)
  for _, tag in ipairs(tags) do
    db:run("INSERT INTO registered_model_tags (key, value, name) VALUES (?, ?, ?) "
      .. "ON CONFLICT DO UPDATE SET value = excluded.value", { tag.key, tag.value, name })
  end
end

--- POST registered-models/create. What its tags tell of aliases elsewhere is put on record as this client's words.
---@param by? string  the client of a server that asks
function models.create(db, request, by)
  local told = {}
  local name, tags = rows.name(request), rows.tags(request, by, told)
  local description, now = rows.optional(request, "description", 100000), rows.now()
  return db:transaction(function()
    if db:row("SELECT name FROM registered_models WHERE name = ?", { name }) then
      rows.refuse("RESOURCE_ALREADY_EXISTS", "Registered Model (name=%s) already exists.", name)
    end
    db:run("INSERT INTO registered_models (name, creation_time, last_updated_time, description) VALUES (?, ?, ?, ?)",
      { name, now, now, description })
    set_tags(db, name, tags)
    trail.tell(db, name, told, by)
    return answer(db, name)
  end)
end

--- GET registered-models/get
function models.get(db, request)
  return answer(db, rows.name(request))
end

--- POST registered-models/rename: the model, and all that is said of it. Foreign keys are asked at the end.
function models.rename(db, request)
  local name, new_name, now = rows.name(request), rows.name(request, "new_name"), rows.now()
  return db:transaction(function()
    rows.find_model(db, name)
    if name ~= new_name and db:row("SELECT name FROM registered_models WHERE name = ?", { new_name }) then
      rows.refuse("RESOURCE_ALREADY_EXISTS", "Registered Model (name=%s) already exists.", new_name)
    end
    db:execute "PRAGMA defer_foreign_keys = ON"
    db:run("UPDATE registered_models SET name = ?, last_updated_time = ? WHERE name = ?", { new_name, now, name })
    for _, of in ipairs { "model_versions", "registered_model_tags", "model_version_tags",
      "registered_model_aliases" } do
      db:run(("UPDATE %s SET name = ? WHERE name = ?"):format(of), { new_name, name })
    end
    db:run("UPDATE model_versions SET last_updated_time = ? WHERE name = ? AND current_stage <> ?",
      { now, new_name, rows.deleted })
    return answer(db, new_name)
  end)
end

--- PATCH registered-models/update
function models.update(db, request)
  local name, description = rows.name(request), rows.optional(request, "description", 100000)
  return db:transaction(function()
    rows.find_model(db, name)
    db:run("UPDATE registered_models SET description = ?, last_updated_time = ? WHERE name = ?",
      { description, rows.now(), name })
    return answer(db, name)
  end)
end

--- DELETE registered-models/delete: with its versions, tags and aliases. A model that recsys-run has published stays
--- for its record; its versions can be deleted.
function models.delete(db, request)
  local name = rows.name(request)
  return db:transaction(function()
    rows.find_model(db, name)
    if db:row("SELECT 1 FROM model_version_tags WHERE name = ? AND key = ?", { name, rows.digest }) then
      rows.refuse("PERMISSION_DENIED", "Registered Model (name=%s) has versions that recsys-run published: what was "
        .. "done to its aliases stays on record. Delete its versions instead, or rename it.", name)
    end
    for _, of in ipairs { "registered_model_aliases", "model_version_tags", "registered_model_tags", "model_versions",
      "registered_models" } do
      db:run(("DELETE FROM %s WHERE name = ?"):format(of), { name })
    end
    return {}
  end)
end

--- POST registered-models/set-tag
---@param by? string  the client of a server that asks
function models.set_tag(db, request, by)
  local name, key, value = rows.name(request), rows.key(request, by), rows.value(request)
  return db:transaction(function()
    rows.find_model(db, name)
    set_tags(db, name, { { key = key, value = value } })
    return {}
  end)
end

--- DELETE registered-models/delete-tag
---@param by? string  the client of a server that asks
function models.delete_tag(db, request, by)
  local name, key = rows.name(request), rows.key(request, by)
  return db:transaction(function()
    rows.find_model(db, name)
    db:run("DELETE FROM registered_model_tags WHERE name = ? AND key = ?", { name, key })
    return {}
  end)
end

--- POST registered-models/get-latest-versions: of each of the stages, all without them.
function models.get_latest_versions(db, request)
  local name, asked = rows.name(request), {}
  if request.stages ~= nil and type(request.stages) ~= "table" then
    rows.refuse("INVALID_PARAMETER_VALUE", "Invalid value for parameter 'stages' supplied: it must be a list.")
  end
  for _, word in ipairs(request.stages or {}) do asked[rows.stage(word)] = true end
  rows.find_model(db, name)
  local found = {}
  for _, version in ipairs(rows.latest(db, name)) do
    if next(asked) == nil or asked[version.current_stage] then found[#found + 1] = version end
  end
  return { model_versions = #found > 0 and found or nil }
end

--- POST registered-models/alias
---@param by? string  who asks, for the record
function models.set_alias(db, request, by)
  local name, alias, version = rows.name(request), rows.alias(request), rows.version(request)
  return db:transaction(function()
    rows.find_version(db, name, version)
    if rows.aliased(db, name, alias) ~= version then
      trail.move(db, name, alias, version, { action = "alias", by = by })
    end
    return {}
  end)
end

--- DELETE registered-models/alias
---@param by? string  who asks, for the record
function models.delete_alias(db, request, by)
  local name, alias = rows.name(request), rows.alias(request)
  return db:transaction(function()
    rows.find_model(db, name)
    if rows.aliased(db, name, alias) then trail.move(db, name, alias, nil, { action = "no alias", by = by }) end
    return {}
  end)
end

--- GET registered-models/alias
function models.get_version_by_alias(db, request)
  local name, alias = rows.name(request), rows.alias(request)
  rows.find_model(db, name)
  local version = rows.aliased(db, name, alias)
  if not version then rows.refuse("INVALID_PARAMETER_VALUE", "Registered model alias %s not found.", alias) end
  return { model_version = rows.model_version(db, rows.find_version(db, name, version), true) }
end

return models

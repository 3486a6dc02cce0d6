--- Registered models in MLflow's tables: the operations of its REST API, from request to answer.
---
--- Each function takes the database and the request's fields and gives the answer's, both as MLflow's JSON has them;
--- what it refuses is raised as { code, message } with MLflow's code. Versions are in recsys.registry.versions,
--- searches in recsys.registry.search.

local rows = require "recsys.registry.rows"

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

--- POST registered-models/create
function models.create(db, request)
  local name, tags = rows.name(request), rows.tags(request)
  local description, now = rows.optional(request, "description", 100000), rows.now()
  return db:transaction(function()
    if db:row("SELECT name FROM registered_models WHERE name = ?", { name }) then
      rows.refuse("RESOURCE_ALREADY_EXISTS", "Registered Model (name=%s) already exists.", name)
    end
    db:run("INSERT INTO registered_models (name, creation_time, last_updated_time, description) VALUES (?, ?, ?, ?)",
      { name, now, now, description })
    set_tags(db, name, tags)
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

--- DELETE registered-models/delete: with its versions, tags and aliases.
function models.delete(db, request)
  local name = rows.name(request)
  return db:transaction(function()
    rows.find_model(db, name)
    for _, of in ipairs { "registered_model_aliases", "model_version_tags", "registered_model_tags", "model_versions",
      "registered_models" } do
      db:run(("DELETE FROM %s WHERE name = ?"):format(of), { name })
    end
    return {}
  end)
end

--- POST registered-models/set-tag
function models.set_tag(db, request)
  local name, key, value = rows.name(request), rows.key(request), rows.value(request)
  return db:transaction(function()
    rows.find_model(db, name)
    set_tags(db, name, { { key = key, value = value } })
    return {}
  end)
end

--- DELETE registered-models/delete-tag
function models.delete_tag(db, request)
  local name, key = rows.name(request), rows.key(request)
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
function models.set_alias(db, request)
  local name, alias, version = rows.name(request), rows.alias(request), rows.version(request)
  return db:transaction(function()
    rows.find_version(db, name, version)
    db:run("DELETE FROM registered_model_aliases WHERE name = ? AND alias = ?", { name, alias })
    db:run("INSERT INTO registered_model_aliases (alias, version, name) VALUES (?, ?, ?)", { alias, version, name })
    return {}
  end)
end

--- DELETE registered-models/alias
function models.delete_alias(db, request)
  local name, alias = rows.name(request), rows.alias(request)
  return db:transaction(function()
    rows.find_model(db, name)
    db:run("DELETE FROM registered_model_aliases WHERE name = ? AND alias = ?", { name, alias })
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

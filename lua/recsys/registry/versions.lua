--- Versions of registered models in MLflow's tables: the operations of its REST API, from request to answer
--- (recsys.registry.models says how).

local rows = require "recsys.registry.rows"
local trail = require "recsys.registry.trail"

local versions = {}

local function answer(db, name, version)
  return { model_version = rows.model_version(db, rows.find_version(db, name, version), true) }
end

local function set_tags(db, name, version, tags)
  for _, tag in ipairs(tags) do
    db:run("INSERT INTO model_version_tags (key, value, name, version) VALUES (?, ?, ?, ?) "
      .. "ON CONFLICT DO UPDATE SET value = excluded.value", { tag.key, tag.value, name, version })
  end
end

--- The number that the next version of a model gets. Those of deleted versions are not given again.
---@return integer
function versions.next_number(db, name)
  return (db:row("SELECT MAX(version) AS last FROM model_versions WHERE name = ?", { name }).last or 0) + 1
end

local function unescaped(path)
  return (path:gsub("%%(%x%x)", function(code) return string.char(tonumber(code, 16)) end))
end

--- Where a version's files are. It must be an address that says which store they are in, not a file of this machine:
--- whoever may write here could otherwise read any file of the server's through the artifact proxy.
local function check_source(source)
  local path = unescaped(unescaped(source))
  local scheme = path:match "^(%a[%w+.%-]*):"
  local bad = not scheme or scheme:lower() == "file" or path:find "[%c\\]" or path:find "[?#]"
  for part in path:gmatch "[^/]+" do bad = bad or part == ".." end
  if bad then
    rows.refuse("INVALID_PARAMETER_VALUE", "Invalid model version source: '%s'. It must be an address such as "
      .. "runs:/RUN/PATH, models:/NAME/VERSION or mlflow-artifacts:/PATH, without '..'; files of this machine are "
      .. "published by recsys-run.", (source:gsub("%c", "?")))
  end
end

--- Where the files of a source are in the end: of models:/NAME/VERSION where that version's are.
local function storage_of(db, source)
  local name, version = source:match "^models:/+([^/@]+)/(%d+)$"
  if not name then return source end
  local row = rows.find_version(db, name, rows.version { version = version })
  return row.storage_location or row.source
end

--- Insert a version, within a transaction of the caller's, who has made sure that there is the model and that the
--- number is free.
---@param fields { name: string, version: integer, source: string, run_id?: string, run_link?: string,
---  description?: string, tags: table[], created?: integer, user?: string }
function versions.insert(db, fields)
  local now = rows.now()
  db:run("INSERT INTO model_versions (name, version, creation_time, last_updated_time, description, user_id, "
    .. "current_stage, source, run_id, status, run_link, storage_location) VALUES (?, ?, ?, ?, ?, ?, 'None', ?, ?, "
    .. "'READY', ?, ?)", { fields.name, fields.version, fields.created or now, now, fields.description, fields.user,
    fields.source, fields.run_id or "", fields.run_link or "", storage_of(db, fields.source) })
  set_tags(db, fields.name, fields.version, fields.tags)
  db:run("UPDATE registered_models SET last_updated_time = ? WHERE name = ?", { now, fields.name })
end

--- POST model-versions/create
function versions.create(db, request)
  local fields = { name = rows.name(request), source = rows.text(request, "source", 500), tags = rows.tags(request),
    run_id = rows.optional(request, "run_id", 256), run_link = rows.optional(request, "run_link", 500),
    description = rows.optional(request, "description", 100000) }
  check_source(fields.source)
  return db:transaction(function()
    rows.find_model(db, fields.name)
    fields.version = versions.next_number(db, fields.name)
    versions.insert(db, fields)
    return answer(db, fields.name, fields.version)
  end)
end

--- GET model-versions/get
function versions.get(db, request)
  return answer(db, rows.name(request), rows.version(request))
end

--- GET model-versions/get-download-uri
function versions.get_download_uri(db, request)
  local row = rows.find_version(db, rows.name(request), rows.version(request))
  return { artifact_uri = row.storage_location or row.source }
end

--- PATCH model-versions/update
function versions.update(db, request)
  local name, version = rows.name(request), rows.version(request)
  local description = rows.optional(request, "description", 100000)
  return db:transaction(function()
    rows.find_version(db, name, version)
    db:run("UPDATE model_versions SET description = ?, last_updated_time = ? WHERE name = ? AND version = ?",
      { description, rows.now(), name, version })
    return answer(db, name, version)
  end)
end

--- DELETE model-versions/delete: its row stays under a stage of its own, as MLflow has it, so that its number does.
--- Its aliases go with it, each with an event.
---@param by? string  who asks, for the record
function versions.delete(db, request, by)
  local name, version = rows.name(request), rows.version(request)
  return db:transaction(function()
    rows.find_version(db, name, version)
    local now = rows.now()
    for _, row in ipairs(db:rows("SELECT alias FROM registered_model_aliases WHERE name = ? AND version = ? "
      .. "ORDER BY alias", { name, version })) do
      trail.move(db, name, row.alias, nil, { action = "no alias", by = by,
        reason = ("version %d was deleted"):format(version) })
    end
    db:run("UPDATE model_versions SET current_stage = ?, description = NULL, user_id = NULL, status_message = NULL, "
      .. "source = 'REDACTED-SOURCE-PATH', run_id = 'REDACTED-RUN-ID', run_link = 'REDACTED-RUN-LINK', "
      .. "last_updated_time = ? WHERE name = ? AND version = ?", { rows.deleted, now, name, version })
    db:run("UPDATE registered_models SET last_updated_time = ? WHERE name = ?", { now, name })
    return {}
  end)
end

--- POST model-versions/set-tag
function versions.set_tag(db, request)
  local name, version = rows.name(request), rows.version(request)
  local tag = { key = rows.key(request), value = rows.value(request) }
  return db:transaction(function()
    rows.find_version(db, name, version)
    set_tags(db, name, version, { tag })
    return {}
  end)
end

--- DELETE model-versions/delete-tag
function versions.delete_tag(db, request)
  local name, version, key = rows.name(request), rows.version(request), rows.key(request)
  return db:transaction(function()
    rows.find_version(db, name, version)
    db:run("DELETE FROM model_version_tags WHERE name = ? AND version = ? AND key = ?", { name, version, key })
    return {}
  end)
end

--- POST model-versions/transition-stage: MLflow's way before aliases, kept for clients that go it.
function versions.transition_stage(db, request)
  local name, version, stage = rows.name(request), rows.version(request), rows.stage(request.stage)
  local archive = request.archive_existing_versions == true or request.archive_existing_versions == "true"
  if archive and stage ~= "Production" and stage ~= "Staging" then
    rows.refuse("INVALID_PARAMETER_VALUE", "Model version transition cannot archive existing model versions because "
      .. "'%s' is not an Active stage. Valid stages are Staging, Production", stage)
  end
  return db:transaction(function()
    rows.find_version(db, name, version)
    local now = rows.now()
    if archive then
      db:run("UPDATE model_versions SET current_stage = 'Archived', last_updated_time = ? "
        .. "WHERE name = ? AND current_stage = ? AND version <> ?", { now, name, stage, version })
    end
    db:run("UPDATE model_versions SET current_stage = ?, last_updated_time = ? WHERE name = ? AND version = ?",
      { stage, now, name, version })
    db:run("UPDATE registered_models SET last_updated_time = ? WHERE name = ?", { now, name })
    return answer(db, name, version)
  end)
end

return versions

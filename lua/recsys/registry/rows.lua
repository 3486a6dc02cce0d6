--- What the operations of the model registry share: refusals by MLflow's words, checks of what a request holds, and
--- rows of the database as MLflow's JSON has them.
---
--- A refusal is raised as { code, message }, the code one of MLflow's: the REST server answers by it, the command line
--- ends by it. Versions are whole numbers in the database and strings in JSON. A version that was deleted keeps its row
--- under a stage of its own, so that its number is never given again.

local names = require "recsys.track.names"

local rows = { deleted = "Deleted_Internal", stages = { "None", "Staging", "Production", "Archived" },
  audit = "recsys.audit.", digest = "recsys.digest", gates = "recsys.gates" } -- tags that decide, or are on record

rows.refuse = names.refuse

local function invalid(format, ...) names.refuse("INVALID_PARAMETER_VALUE", format, ...) end

--- Text for a message that a terminal may show.
local function shown(value)
  return (tostring(value):gsub("%c", "?"))
end

rows.now = require("recsys.clock").now

--- A text of a request, which must be there; of 'most' characters at the most.
---@return string
function rows.text(request, field, most)
  if request[field] == nil or request[field] == "" then
    invalid("Missing value for required parameter '%s'.", field)
  end
  return names.limited(field, request[field], most)
end

--- The same, which may be absent.
---@return string?
function rows.optional(request, field, most)
  if request[field] == nil or request[field] == "" then return nil end
  return names.limited(field, request[field], most)
end

--- The name of a registered model.
---@return string
function rows.name(request, field)
  local name = rows.text(request, field or "name", 256)
  if name:find "[/:%c]" then
    invalid("Invalid model name '%s': it must not hold '/', ':' or control characters.", shown(name))
  end
  return name
end

--- A version's number, from "3" or 3.
---@return integer
function rows.version(request)
  local given = request.version
  if given == nil or given == "" then invalid "Missing value for required parameter 'version'." end
  local number = names.integer(given)
  if not number or number < 1 then
    invalid("Parameter 'version' must be an integer, got '%s'.", shown(given))
  end
  return number
end

--- Whether a tag's key is of the record of what was done to aliases, in whatever case.
---@return boolean
function rows.is_record(key)
  return key:sub(1, #rows.audit):lower() == rows.audit
end

--- A tag's key that people may write and delete, in whatever case: neither the record of what was done to aliases, nor
--- the hash by which a version has its bundle, nor, through a server, the gates of promotions.
---@param by? string  the client of a server that asks
---@return string
function rows.key(request, by)
  local key = names.key("tag", request.key)
  local plain, is_record = key:lower(), rows.is_record(key)
  if is_record or plain == rows.digest or by and plain == rows.gates then
    rows.refuse("PERMISSION_DENIED", "The tag '%s' is %s", key, is_record and "on record of what was done to the "
      .. "model's aliases: it can be neither written nor deleted." or plain == rows.digest and "what a version has its "
      .. "bundle by: recsys-run writes it when it publishes, and nobody else writes or deletes it."
      or "what promotions must pass: it is written by recsys-run registry tag, on the registry's machine.")
  end
  return key
end

--- A tag's value, "" when absent.
---@return string
function rows.value(request)
  return rows.optional(request, "value", names.limits.registry_tag) or ""
end

--- An alias: of letters, digits, '_' and '-', neither "latest" nor a version such as "v3".
---@return string
function rows.alias(request)
  local alias = rows.text(request, "alias", names.limits.alias)
  if alias:find "[^%w_%-]" then
    invalid("Invalid alias name: '%s'. It must be of letters, digits, '_' and '-'.", shown(alias))
  elseif alias:lower() == "latest" then
    invalid "'latest' alias name (case insensitive) is reserved."
  elseif alias:lower():find "^v%d+$" then
    invalid("Version alias name '%s' is reserved.", alias)
  end
  return alias
end

--- A stage by its word, in any case; raises for others.
---@return string
function rows.stage(word)
  for _, stage in ipairs(rows.stages) do
    if type(word) == "string" and stage:lower() == word:lower() then return stage end
  end
  invalid("Invalid Model Version stage: %s. Value must be one of None, Staging, Production, Archived.",
    shown(word))
end

--- A key that a tag may be made with: the hash of a version's bundle comes with it.
local function new_key(tag, by)
  if tag.key ~= rows.digest then return rows.key(tag, by) end
  if type(tag.value) ~= "string" or #tag.value ~= 64 or tag.value:find "[^0-9a-f]" then
    invalid("Invalid value for tag '%s': a bundle's hash is expected.", rows.digest)
  end
  return tag.key
end

--- The tags of a request for something new, { { key, value }, ... } or nil, checked.
---@param by? string     the client of a server that asks
---@param told? table[]  gets those that tell what was done to aliases elsewhere; without it they are refused
---@return { key: string, value: string }[]
function rows.tags(request, by, told)
  local tags = {}
  if request.tags ~= nil and type(request.tags) ~= "table" then
    invalid "Invalid value for parameter 'tags' supplied: it must be a list."
  end
  for _, tag in ipairs(request.tags or {}) do
    if type(tag) ~= "table" then
      invalid "Invalid value for parameter 'tags' supplied: each must have key and value."
    end
    if told and type(tag.key) == "string" and rows.is_record(tag.key) then
      told[#told + 1] = { key = names.key("tag", tag.key), value = rows.value(tag) }
    else
      tags[#tags + 1] = { key = new_key(tag, by), value = rows.value(tag) }
    end
  end
  return tags
end

--- nil for an empty list, as MLflow leaves those out.
local function some(list) return #list > 0 and list or nil end

--- A version as JSON has it. 'aliases' is given where they belong to the answer.
function rows.model_version(db, row, aliases)
  local version = { name = row.name, version = tostring(row.version), creation_timestamp = row.creation_time,
    last_updated_timestamp = row.last_updated_time, current_stage = row.current_stage or "None",
    description = row.description, user_id = row.user_id, source = row.source, run_id = row.run_id, status = row.status,
    status_message = row.status_message, run_link = row.run_link or "" }
  version.tags = some(db:rows("SELECT key, value FROM model_version_tags WHERE name = ? AND version = ? ORDER BY key",
    { row.name, row.version }))
  if aliases then
    version.aliases = {}
    for i, found in ipairs(db:rows("SELECT alias FROM registered_model_aliases WHERE name = ? AND version = ? "
      .. "ORDER BY alias", { row.name, row.version })) do version.aliases[i] = found.alias end
    version.aliases = some(version.aliases)
  end
  return version
end

local latest_sql = [[
  SELECT name, version, creation_time, last_updated_time, description, user_id, current_stage, source, run_id, run_link,
    status, status_message
  FROM model_versions AS v
  WHERE name = ? AND current_stage <> 'Deleted_Internal' AND version =
    (SELECT MAX(version) FROM model_versions WHERE name = v.name AND current_stage = v.current_stage)
  ORDER BY version]]

--- The latest version of each stage that has one.
function rows.latest(db, name)
  local latest = {}
  for i, row in ipairs(db:rows(latest_sql, { name })) do latest[i] = rows.model_version(db, row) end
  return latest
end

--- A registered model as JSON has it.
function rows.registered_model(db, row)
  local aliases = db:rows("SELECT alias, version FROM registered_model_aliases WHERE name = ? ORDER BY alias",
    { row.name })
  for _, alias in ipairs(aliases) do alias.version = tostring(alias.version) end
  return { name = row.name, creation_timestamp = row.creation_time, last_updated_timestamp = row.last_updated_time,
    description = row.description, latest_versions = some(rows.latest(db, row.name)), aliases = some(aliases),
    tags = some(db:rows("SELECT key, value FROM registered_model_tags WHERE name = ? ORDER BY key", { row.name })) }
end

--- The row of a registered model; raises when there is none.
function rows.find_model(db, name)
  return db:row("SELECT name, creation_time, last_updated_time, description FROM registered_models WHERE name = ?",
    { name }) or rows.refuse("RESOURCE_DOES_NOT_EXIST", "Registered Model with name=%s not found", name)
end

--- The row of a version; raises when there is none or it was deleted.
function rows.find_version(db, name, version)
  local row = db:row("SELECT name, version, creation_time, last_updated_time, description, user_id, current_stage, "
    .. "source, run_id, run_link, status, status_message, storage_location FROM model_versions "
    .. "WHERE name = ? AND version = ?", { name, version })
  if not row or row.current_stage == rows.deleted then
    rows.refuse("RESOURCE_DOES_NOT_EXIST", "Model Version (name=%s, version=%d) not found", name, version)
  end
  return row
end

--- The version that an alias stands for, nil when there is none.
---@return integer?
function rows.aliased(db, name, alias)
  local row = db:row("SELECT version FROM registered_model_aliases WHERE name = ? AND alias = ?", { name, alias })
  return row and row.version
end

return rows

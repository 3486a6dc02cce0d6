--- Where a version comes from, as tags of it: what its bundle's manifest says, so that pages and searches need not open
--- the bundle. The manifest remains what counts: hashes vouch for it.

local json = require "recsys.json"

local lineage = {}

local MOST <const> = 5000 -- bytes of a tag's value that every MLflow takes

--- The recipe of a run's folder: NAME-YYYYMMDD-HHMMSS, with -2, -3, ... behind.
local function recipe_of(run)
  return type(run) == "string" and run:match "^(.-)%-%d%d%d%d%d%d%d%d%-%d%d%d%d%d%d" or nil
end

local function put(tags, key, value)
  if value == nil or value == "" then return end
  local text = type(value) == "number" and json.encode(value) or tostring(value)
  if #text <= MOST then tags[#tags + 1] = { key = key, value = text } end
end

local function sorted_keys(map)
  local keys = {}
  for key in pairs(map or {}) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

--- Tags of a version.
---@param digest string
---@param manifest table
---@return { key: string, value: string }[]
function lineage.tags(digest, manifest)
  local tags, data, test = {}, manifest.data or {}, manifest.test or {}
  put(tags, "recsys.digest", digest)
  put(tags, "recsys.kind", manifest.model and manifest.model.kind)
  put(tags, "recsys.run", manifest.run)
  put(tags, "recsys.recipe", recipe_of(manifest.run))
  put(tags, "recsys.seed", manifest.seed)
  put(tags, "recsys.commit", manifest.git_commit)
  put(tags, "recsys.runtime", manifest.runtime and manifest.runtime.version)
  put(tags, "recsys.data.name", data.name)
  put(tags, "recsys.data.fingerprint", data.fingerprint)
  put(tags, "recsys.test.fingerprint", test.fingerprint)
  put(tags, "recsys.test.queries", test.queries)
  put(tags, "recsys.parameters", next(manifest.parameters or {}) and json.encode(manifest.parameters))
  for _, name in ipairs(sorted_keys(manifest.metrics)) do
    local value = manifest.metrics[name]
    if type(value) == "number" then put(tags, "recsys.metric." .. name:gsub("@", "_"), value) end
  end
  return tags
end

--- The metrics that a version's tags tell.
---@param tags { key: string, value: string }[]?
---@return table<string, number>
function lineage.metrics(tags)
  local metrics = {}
  for _, tag in ipairs(tags or {}) do
    local name = tag.key:match "^recsys%.metric%.(.+)$"
    if name then metrics[name] = tonumber(tag.value) end
  end
  return metrics
end

--- The value of one tag, nil when there is none.
---@param tags { key: string, value: string }[]?
---@return string?
function lineage.tag(tags, key)
  for _, tag in ipairs(tags or {}) do
    if tag.key == key then return tag.value end
  end
end

return lineage

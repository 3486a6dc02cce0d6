--- The words that people say for a version: NAME-VERSION, NAME@ALIAS, NAME (its latest version), and MLflow's
--- models:/NAME/VERSION and models:/NAME@ALIAS.

local rows = require "recsys.registry.rows"

local words = {}

--- Take a word apart. NAME-VERSION may also be the name of a model, to those who allow such.
---@param word string
---@return { name: string, version?: integer, alias?: string }
function words.parse(word)
  local bare = word:match "^models:/+(.+)$" or word
  local name, alias = bare:match "^(.+)@([%w_%-]+)$"
  if name then return { name = name, alias = alias } end
  local version
  if bare ~= word then
    name, version = bare:match "^(.+)/(%d+)$"
  else
    name, version = bare:match "^(.+)%-(%d+)$"
  end
  return { name = name or bare, version = math.tointeger(tonumber(version)) }
end

--- The name and the number of a version that the database knows: of a NAME alone the latest. Raises MLflow's refusals.
---@return string name, integer version
function words.find(db, word)
  local asked = words.parse(word)
  if asked.version then return asked.name, rows.find_version(db, asked.name, asked.version).version end
  rows.find_model(db, asked.name)
  if asked.alias then
    local version = rows.aliased(db, asked.name, asked.alias)
    if version then return asked.name, rows.find_version(db, asked.name, version).version end
    rows.refuse("RESOURCE_DOES_NOT_EXIST", "%s has no version with the alias '%s'", asked.name, asked.alias)
  end
  local last = db:row("SELECT MAX(version) AS last FROM model_versions WHERE name = ? AND current_stage <> ?",
    { asked.name, rows.deleted }).last
  if last then return asked.name, last end
  rows.refuse("RESOURCE_DOES_NOT_EXIST", "%s has no version", asked.name)
end

return words

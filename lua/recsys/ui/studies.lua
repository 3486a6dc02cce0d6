--- What flow.db knows of a study beside its tracked runs: objectives, directions and the space that is searched.

local json = require "recsys.json"

local studies = {}

--- The study of a tracked run; nil when it is none's.
---@param db Database
---@param run_id string
---@return { name: string, directions: string[], metrics: string[], space: table[] }?
function studies.of(db, run_id)
  local row = db:row("SELECT name, directions, space, settings FROM studies WHERE run_id = ? ORDER BY study_id DESC",
    { run_id })
  if not row then return nil end
  local settings = json.decode(row.settings) or {}
  return { name = row.name, directions = json.list(json.decode(row.directions) or {}),
    metrics = json.list(type(settings.metrics) == "table" and settings.metrics or {}),
    space = json.list(json.decode(row.space) or {}) }
end

return studies

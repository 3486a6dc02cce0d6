--- What flow.db knows of a study beside its tracked runs: objectives, directions, the space that is searched, the
--- values of it that trials have, and what each parameter accounts for.

local importance = require "recsys.tune.importance"
local json = require "recsys.json"
local space_of = require "recsys.tune.space"

local studies = {}

local MOST <const> = 64 -- studies whose importance is remembered
local MORE <const> = 1.1 -- times the completed trials, until which a study at work is not computed anew

local known, count = {}, 0 -- what was computed before: study -> { complete, all }

--- The trials with what they have, and the values as the space reads them.
local function trials_of(db, id, space)
  local list, by_id = {}, {}
  for row in db:each("SELECT trial_id, number, state FROM trials WHERE study_id = ? ORDER BY number", { id }) do
    local trial = { name = "trial_" .. row.number, state = row.state, params = {}, shown = {}, values = {} }
    list[#list + 1], by_id[row.trial_id] = trial, trial
  end
  for row in db:each("SELECT p.trial_id, p.name, p.value FROM trial_params p JOIN trials t USING (trial_id) "
    .. "WHERE t.study_id = ?", { id }) do
    local dimension, trial = space and space.dimensions[row.name], by_id[row.trial_id]
    trial.shown[row.name] = row.value
    if dimension then trial.params[row.name] = dimension:read(row.value) end
  end
  for row in db:each("SELECT v.trial_id, v.objective, v.value FROM trial_values v JOIN trials t USING (trial_id) "
    .. "WHERE t.study_id = ?", { id }) do by_id[row.trial_id].values[row.objective] = row.value end
  return list
end

--- The shares of parameters for each metric, as `recsys-run tune` tells them. That of a thousand trials takes seconds:
--- while some run, those of a few trials ago are told.
local function shares_of(study, space, trials, metrics)
  local complete, is_running = 0, false
  for _, trial in ipairs(trials) do
    complete = complete + (trial.state == "complete" and 1 or 0)
    is_running = is_running or trial.state == "running"
  end
  local name = ("%d %d"):format(study.study_id, study.created)
  local before = known[name]
  if before and (complete == before.complete or is_running and complete < before.complete * MORE) then
    return before.all
  end
  local all = {}
  for i, metric in ipairs(metrics) do
    all[metric] = space and json.list(importance.of(space, trials, i, study.seed) or {}) or json.list {}
  end
  if count == MOST then known, count = {}, 0 end
  known[name], count = { complete = complete, all = all }, count + (before and 0 or 1)
  return all
end

--- The study of a tracked run; nil when it is none's.
---@param db Database
---@param run_id string
---@return { name: string, directions: string[], metrics: string[], space: table[],
---  trials: table<string, table<string, string>>, importance: table<string, { name: string, share: number }[]> }?
---   trials: the values of each as JSON has them, without those of parameters that it has not
function studies.of(db, run_id)
  local row = db:row("SELECT * FROM studies WHERE run_id = ? ORDER BY study_id DESC", { run_id })
  if not row then return nil end
  local settings = json.decode(row.settings) or {}
  local metrics = json.list(type(settings.metrics) == "table" and settings.metrics or {})
  local ok, space = pcall(space_of.read, row.space)
  space = ok and space or nil
  local trials, values = trials_of(db, row.study_id, space), {}
  for _, trial in ipairs(trials) do values[trial.name] = trial.shown end
  return { name = row.name, directions = json.list(json.decode(row.directions) or {}), metrics = metrics,
    space = json.list(json.decode(row.space) or {}), trials = values,
    importance = shares_of(row, space, trials, metrics) }
end

return studies

--- The runs of a study's trials, where a worker was killed between the end of its trial and that of its run.
---
--- The study knows how such a trial ended; its tracked run, the record in flow.db and its folder are made to say so,
--- too. A server that runs are tracked on is not asked: there they stay as they are.

local exit = require "recsys.exit"
local files = require "recsys.files"
local json = require "recsys.json"
local log = require "recsys.log"
local process = require "recsys.track.process"
local record = require "recsys.flow.record"
local resume = require "recsys.resume"
local run_of = require "recsys.track.run"
local uv = require "luv"

local runs = {}

local over = { complete = true, pruned = true, failed = true }

--- The id of a trial's run, as its folder has it.
local function id_of(folder)
  local known = json.decode(files.read(folder .. "/track.json") or "")
  return type(known) == "table" and known.run_id or nil
end

--- The runs below a study's that were killed: id -> true.
local function killed_below(store, parent)
  store:reap()
  local killed = {}
  for row in store.db:each([[SELECT r.run_uuid AS id FROM tags t JOIN runs r ON r.run_uuid = t.run_uuid
      WHERE t.key = 'mlflow.parentRunId' AND t.value = ? AND r.status = 'KILLED']], { parent }) do
    killed[row.id] = true
  end
  return killed
end

--- Tag a run as a trial's.
---@param run Run
---@param trial table
function runs.tag(run, trial, state)
  run:tag("recsys.trial.state", state)
  run:tag("recsys.trial.number", trial.number)
end

local function end_run(store, id, study, trial)
  local run = run_of.continue(store, id)
  runs.tag(run, trial, trial.state)
  for i, value in ipairs(trial.values) do run:metric("objective/" .. study.settings.metrics[i], value) end
  if trial.state == "failed" then run:tag("recsys.failure", trial.message or "?") end
  run:finish(trial.state == "failed" and "FAILED" or "FINISHED")
end

--- Set right what a kill has left of a trial that is over, in its folder and in flow.db.
local function mend_folder(study, folder, trial)
  if not files.exists(folder) then return end
  resume.sweep(folder)
  if not (trial.state == "pruned" and study.promoter) then resume.finish(folder) end
  record.amend(study.db, uv.fs_realpath(folder) or folder, trial.state == "failed" and "failed" or "completed",
    trial.message)
end

--- Whether the worker of a trial is gone; one that its workers' deaths have failed is this process's.
local function is_left(study, trial)
  return trial.process and (trial.process == study.process or process.is_gone(trial.process))
end

--- Set right what kills have left of trials that are over. What cannot be written is said, and waits for another time.
---@param study Study
---@param folder string   with the trials' folders
---@param store? Store    of their runs
---@param parent? string  the study's run
function runs.mend(study, folder, store, parent)
  local ok, problem = pcall(function()
    local killed = store and store.db and parent and killed_below(store, parent) or {}
    for _, trial in ipairs(study:trials()) do
      local place = ("%s/%s"):format(folder, trial.name)
      if over[trial.state] and is_left(study, trial) and not resume.is_at_work(place) then
        mend_folder(study, place, trial)
        local id = next(killed) and id_of(place)
        if id and killed[id] then end_run(store, id, study, trial) end
      end
    end
  end)
  if ok then return end
  if type(problem) == "table" and problem.signal then error(problem, 0) end
  log.warn("what kills have left of trials is not set right: %s", exit.message_of(problem))
end

return runs

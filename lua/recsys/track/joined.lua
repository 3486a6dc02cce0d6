--- A tracked run that a process logs into without being its owner: a task's in a process of its own, whose parent has
--- begun the run and ends it.

local log = require "recsys.log"
local logged = require "recsys.train.logged"
local run_of = require "recsys.track.run"
local track = require "recsys.track"

local joined = {}

local current

--- What a child needs to log into this process's run; nil where none is tracked.
---@param several? boolean  other children log beside it: its trainings go by the task's name
---@return table?
function joined.ticket(several)
  local run = track.current()
  if not run or not run.store.folder then return nil end
  return { run_id = run.id, run_name = run.name, experiment_id = run.experiment_id, artifact_uri = run.artifact_uri,
    folder = run.store.folder, trained = logged.counts(run), several = several }
end

--- Log into the run of a ticket from here on. A store that cannot be opened ends no task: it is said.
---@param ticket table
function joined.begin(ticket)
  local ok, problem = pcall(function() current = run_of.join(track.place(ticket.folder), ticket) end)
  if not ok then
    if type(problem) == "table" and problem.signal then error(problem, 0) end
    log.warn("the task is not tracked: %s", require("recsys.exit").message_of(problem))
    return
  end
  logged.counts(current, ticket.trained or ticket.several and {} or nil)
end

--- Wait until the store has what was logged, and let go of the run.
---@return table? trained  how often each task has trained
function joined.finish()
  if not current then return nil end
  local counts = logged.counts(current)
  current:finish()
  current = nil
  return counts
end

--- What joined.finish gave in a child, for the run here.
---@param trained table
function joined.took(trained)
  local run = track.current()
  if run then logged.counts(run, trained) end
end

return joined

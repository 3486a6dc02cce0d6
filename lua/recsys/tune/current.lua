--- The trial that this process was started for, if it was: what a training tells the study of itself.
---
--- A recipe that is run for a trial ends where its objective is known: `recsys.job.train` reports each epoch's row of
--- the curves and, at its end, gives the objectives; what comes behind it in the recipe is not run, so that no trial
--- ever sees test rows. A recipe that trains by other means does the same by `current.report` and `current.finish`,
--- whose task then counts as one that trains: a trial runs it, whatever an earlier run has kept of it.
--- A task in a process of its own is at work on the trial, too: its order has the trial's ticket.

local exit = require "recsys.exit"
local flow = require("recsys.lazy") "recsys.flow"
local log = require "recsys.log"
local text = require "recsys.text"

local current = {}

local trial, metrics -- the trial and the names of its objectives, as the rows call them: "valid/ndcg_10"
local ticket
local selecting = 0 -- how many functions are at work that choose a model, one within another

--- Let what follows in this process be for a trial.
---@param of { study: string, store: string, trial: integer, pruner?: string, pruner_options?: table, process?: string }
---   what recsys.tune.study.attach takes, and the trial's id; process: the worker whose trial it is; default: this one
---@return Trial
function current.begin(of)
  local study = require("recsys.tune.study").attach { name = of.study, store = of.store, pruner = of.pruner,
    pruner_options = of.pruner_options, process = of.process }
  trial, metrics = study:trial(of.trial), study.settings.metrics
  ticket = { study = of.study, store = of.store, trial = of.trial, pruner = of.pruner,
    pruner_options = of.pruner_options, process = study.process }
  return trial
end

--- What current.begin takes in another process that works for this one's trial; nil where this process is at no trial.
---@return table?
function current.ticket() return ticket end

--- Whether this process is at work on a trial.
---@return boolean
function current.is_trial() return trial ~= nil end

--- Refuse what no trial of the study will do, whatever its values: the study ends.
local function refuse(format, ...) error({ code = "objective", message = format:format(...) }, 0) end

--- Tag the trial's run of the tracking store.
local function tag(state)
  local run = require "recsys.track.current"()
  if run then require("recsys.tune.runs").tag(run, trial, state) end
end

local function pick(row, name)
  if type(row[name]) == "number" then return row[name] end
  local known = {}
  for other, value in pairs(row) do
    if type(value) == "number" then known[#known + 1] = other end
  end
  table.sort(known)
  local near = text.nearest(name, known)
  refuse("the training measures no '%s'; there are %s%s", name, table.concat(known, ", "),
    near and ("; did you mean '%s'?"):format(near) or "")
end

--- Tell the study how the training is after a step; raises to end the run when the trial is pruned. Nothing where this
--- process is at no trial.
---@param step integer                 an epoch
---@param row table<string, number>    what was measured, by name
---@param last? boolean                no step follows
function current.report(step, row, last)
  flow.trains()
  if not trial then return end
  local ok, problem = pcall(trial.report, trial, step, pick(row, metrics[1]), last)
  if ok then return end
  if trial.state == "pruned" then
    tag "pruned"
    log.info("  %s", trial.message)
  end
  error(problem, 0)
end

--- Give the study the trial's objectives, and end the run. Nothing where this process is at no trial.
---@param row table<string, number>
function current.finish(row)
  flow.trains()
  if not trial then return end
  local values, named = {}, {}
  for i, name in ipairs(metrics) do
    values[i] = pick(row, name)
    named["objective/" .. name] = values[i]
  end
  tag "complete"
  trial:complete(values)
  local said = {}
  for i, name in ipairs(metrics) do said[i] = ("%s %.6g"):format(name, values[i]) end
  error({ code = "end", result = { metrics = named, text = ("%s: %s"):format(trial.name, table.concat(said, ", ")) } },
    0)
end

--- Call a function that chooses between models, such as the objective of a study: as long as it is at work it must not
--- do what no trial may.
---@param fn fun(...): any
---@return boolean ok
---@return any result  what fn gave, or what it raised, with its place
function current.selecting(fn, ...)
  selecting = selecting + 1
  local ok, result = xpcall(fn, exit.traced, ...)
  selecting = selecting - 1
  return ok, result
end

--- Refuse what a trial must not do.
---@param what string
function current.forbid(what)
  if not trial and selecting > 0 then
    refuse("a model is being chosen, which must not depend on test rows; what chooses it %s", what)
  end
  if not trial then return end
  refuse("a trial is over when its objective is known; this recipe %s before", what)
end

return current

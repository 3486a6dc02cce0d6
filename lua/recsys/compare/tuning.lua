--- Tuning one family within its budget: so many trials, so much time, validation rows alone.
---
--- The first trial has the family's own values, the others what a sampler of recsys.tune chooses. All share the time
--- that the family has: none is begun of whose epochs, by the speed of those before, not at least half would fit, and
--- one that would not fit whole has fewer epochs, its learning rate laid out for these. A training that is at work when
--- the time is up ends with that step, its learning rate fallen by then (recsys.train), which is told. The best trial's
--- model is the family's: it is not trained again.

local base = require "recsys.base"
local current = require "recsys.tune.current"
local evaluate = require "recsys.evaluate"
local exit = require "recsys.exit"
local families = require "recsys.compare.families"
local job = require "recsys.job"
local log = require "recsys.log"
local lookup = require "recsys.lookup"
local tensor = require "recsys.tensor"
local text = require "recsys.text"
local train = require "recsys.train"
local tune = require "recsys.tune"

local tuning = {}

---@class Trial
---@field number integer
---@field params table<string, any>  the values tried
---@field state "complete"|"failed"
---@field value? number              of the metric on validation rows
---@field message? string            why it failed
---@field seconds number             all that it took
---@field epochs integer             done
---@field epoch? integer             whose weights are kept
---@field planned integer            epochs that the family's parameters ask for
---@field cut boolean                whether the budget left it fewer
---@field curves table[]             a row an epoch: epoch, loss, value

--- What all trials of a family share.
local function prepare(p, family, encoder, data, split)
  local selection = split:selection()
  if #selection.valid == 0 then
    error({ code = "usage", message = "the split has no validation rows, which tuning goes by" }, 0)
  end
  local queries = job.queries(data, selection, p.eval, "valid")
  evaluate.ranking_for(queries, p.tuning.metric)
  local own = families.parameters(family, { size = families.size(#selection.train), source = p.data.source })
  -- Training is given no validation rows: their loss, which not every model has for items that training has not met, is
  -- not asked for.
  local training = split:selection()
  training.valid = tensor.zeros(0, "i64")
  return { p = p, family = family, encoder = encoder, data = data, split = training, queries = queries,
    inputs = job.inputs(encoder, data, selection, queries), own = own, began = base.clock(), trials = {} }
end

local function left(work) return work.p.budget.minutes * 60 - (base.clock() - work.began) end

--- Train with some parameters until the deadline at the latest.
---@return Model
local function fit(work, p, epochs, deadline)
  local definition = lookup.model(p.model.kind)
  local settings = { metric = work.p.tuning.metric, checkpoint = 0, epochs = epochs }
  for name, value in pairs(p.train) do settings[name] = settings[name] or value end
  return train.fit(definition, { kind = p.model.kind, config = p.model, train = settings, encoder = work.encoder,
    data = work.data, split = work.split, window = work.p.eval.window, metric = settings.metric, seed = work.p.seed,
    deadline = deadline, validate = function(candidate)
      return evaluate.metric(work.queries, job.scorer(candidate, work.inputs), settings.metric)
    end })
end

--- How many of the family's epochs the next trial is to have; nil: it is not worth beginning.
local function epochs_for(work, planned)
  if not work.epoch_seconds then return planned end
  local fitting = math.floor((left(work) - work.overhead) / work.epoch_seconds)
  if fitting >= planned then return planned end
  return fitting >= math.max(1, planned / 2) and fitting or nil
end

--- Remember how long an epoch takes, and what comes beside the epochs: the most that was seen.
local function learn_speed(work, trained, seconds)
  local in_epochs = 0
  for _, row in ipairs(trained.curves) do
    in_epochs = in_epochs + row.seconds
    local whole = not trained.cut or row.epoch < trained.cut.epochs or #trained.curves == 1
    if whole then work.epoch_seconds = math.max(work.epoch_seconds or 0, row.seconds) end
  end
  work.overhead = math.max(work.overhead or 0, seconds - in_epochs)
end

local function keep_if_best(work, about, trained)
  if work.best and about.value <= work.best.about.value then return end
  work.best = { about = about, model = trained }
end

--- One trial: the values, as a row of the family's trials. Gives the metric.
local function attempt(work, trial)
  local p = families.with(work.own, trial.params)
  local planned = p.train.epochs
  local epochs = epochs_for(work, planned)
  local about = { number = trial.number, params = trial.params, planned = planned, state = "failed", epochs = 0 }
  table.insert(work.trials, about)
  local began = base.clock()
  local ok, result = current.selecting(fit, work, p, epochs, began + left(work))
  about.seconds = base.clock() - began
  if not ok then
    about.message = exit.message_of(result)
    error(result, 0)
  end
  learn_speed(work, result, about.seconds)
  local row = result.curves[result.epoch]
  about.state, about.epoch, about.epochs = "complete", result.epoch, #result.curves
  about.value, about.cut = row["valid/" .. work.p.tuning.metric], epochs < planned or result.cut ~= nil
  about.curves = {}
  for i, of in ipairs(result.curves) do
    about.curves[i] = { epoch = of.epoch, loss = of["train/loss"], value = of["valid/" .. work.p.tuning.metric] }
  end
  keep_if_best(work, about, result)
  base.release()
  return about.value
end

--- Go through the trials that the budget has.
local function search(work)
  local family, p = work.family, work.p
  local first = families.defaults(family, work.own)
  if not next(first) then
    local ok, problem = pcall(attempt, work, { number = 0, params = {} })
    local ends = not ok and type(problem) == "table" and (problem.signal or problem.code == "objective")
    if ends then error(problem, 0) end
    return "nothing to choose"
  end
  local study <close> = tune.study { name = family.name, store = ":memory:", search = family.search,
    directions = { "maximize" }, sampler = p.tuning.sampler, seed = p.seed, first = first }
  while #work.trials < p.budget.trials do
    if #work.trials > 0 and not epochs_for(work, work.own.train.epochs) then return "time" end
    if #study:trials() > 0 and left(work) <= 0 then return "time" end
    local why = study:optimize(function(trial) return attempt(work, trial) end, { trials = #work.trials + 1 })
    if why ~= "trials" then return why end
  end
  return "trials"
end

local function told(work)
  local best = work.best.about
  log.info("  %s: %s %.4g on validation rows, trial %d of %d, %s", work.family.name, work.p.tuning.metric, best.value,
    best.number, #work.trials, text.duration(base.clock() - work.began))
end

--- Tune a family and give its best model. Test rows are out of its reach.
---@param p { budget: { trials: integer, minutes: number }, tuning: { metric: string, sampler: string }, eval: table,
---  data: table, seed: integer }
---@param name string  of the family
---@return { family: string, model: Model, trials: Trial[], best: integer, value: number, seconds: number,
---  memory: integer, size: integer, ended: string, parameters: table }
---   best: number of the trial whose model it is; seconds: of all trials; memory: the most bytes that were resident in
---   the process, which is this family's alone when the task has one of its own; size: numbers in all weights; ended:
---   why no trial followed. Of a family all of whose trials failed only family, trials and, in words, `failed`
function tuning.run(p, name, encoder, data, split)
  local work = prepare(p, families.of(name), encoder, data, split)
  local ended = search(work)
  if not work.best then
    local why = ("all %d trials failed; the last: %s"):format(#work.trials, work.trials[#work.trials].message)
    log.warn("%s is left out: %s", name, why)
    return { family = name, failed = why, trials = work.trials }
  end
  told(work)
  return { family = name, model = work.best.model, trials = work.trials, best = work.best.about.number,
    value = work.best.about.value, seconds = base.clock() - work.began, memory = (base.memory()), ended = ended,
    size = work.best.model:size(),
    parameters = families.with(work.own, work.best.about.params) }
end

return tuning

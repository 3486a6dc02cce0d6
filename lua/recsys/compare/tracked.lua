--- A study in the tracking store: below its run one of each family, and below that one of each trial, so that the page
--- of `recsys-run ui` shows every family's tuning as a study and sets the families beside one another.

local current = require "recsys.track.current"
local families = require "recsys.compare.families"

local tracked = {}

--- A trial's run: its values, the curves, and what it was judged by.
local function log_trial(parent, trial, metric)
  local run <close> = parent:child { name = "trial_" .. trial.number, tags = { ["recsys.trial.number"] = trial.number,
    ["recsys.trial.state"] = trial.state, ["recsys.failure"] = trial.message } }
  run:params(trial.params)
  for _, row in ipairs(trial.curves or {}) do
    run:metrics({ ["train/loss"] = row.loss, ["valid/" .. metric] = row.value }, row.epoch)
  end
  run:metrics { ["objective/valid/" .. metric] = trial.value, seconds = trial.seconds, epochs = trial.epochs,
    best_epoch = trial.epoch }
end

local function log_system(run, system)
  local values = {}
  for name, value in pairs(system.metrics) do
    local of = system.intervals[name]
    values["test/" .. name] = value
    if of then values["test/" .. name .. "_low"], values["test/" .. name .. "_high"] = of[1], of[2] end
  end
  for name, value in pairs(system.beyond) do values["beyond/" .. name] = value end
  run:metrics(values)
end

local function log_served(run, served)
  if served.unserved then return run:tag("recsys.unserved", served.unserved) end
  run:metrics { ["serve/bytes"] = served.bytes, ["serve/p50_seconds"] = served.latency.p50,
    ["serve/p99_seconds"] = served.latency.p99, ["serve/batch_seconds"] = served.batch.seconds }
  for _, one in ipairs(served.cold_users) do
    run:metrics({ ["cold/ndcg"] = one.ndcg, ["cold/hit"] = one.hit }, one.events)
  end
  if not served.new_items.refused then
    run:metrics { ["new_items/among_first"] = served.new_items.among_first,
      ["new_items/among_100"] = served.new_items.among_100 }
  end
end

local function log_family(parent, metric, one, system, served)
  local run <close> = parent:child { name = one.family, tags = { ["recsys.family"] = families.of(one.family).label,
    ["recsys.study.metric"] = "objective/valid/" .. metric, ["recsys.study.direction"] = "maximize",
    ["recsys.study.best"] = "trial_" .. one.best } }
  run:params { model = one.parameters.model, train = one.parameters.train }
  run:metrics { seconds = one.seconds, memory_peak_mib = one.memory / 2^20, parameters = one.size }
  log_system(run, system)
  log_served(run, served)
  for _, trial in ipairs(one.trials) do log_trial(run, trial, metric) end
end

--- Log a study below the run that is tracked; nothing where none is.
---@param p table
---@param found table[]   what recsys.compare.tuning gave of each family
---@param test table      what recsys.compare.testing gave
---@param served table[]  what recsys.compare.serving gave of each family
function tracked.log(p, found, test, served)
  local parent = current()
  if not parent then return end
  local systems = {}
  for _, system in ipairs(test.systems) do systems[system.name] = system end
  for i, one in ipairs(found) do
    if not one.failed then log_family(parent, p.tuning.metric, one, systems[one.family], served[i]) end
  end
end

return tracked

--- Pruners: whether a trial that has reported a value after a step is worth going on with.
---
--- A pruner is a function (trial, others, sign, seed): the trial with `number`, `intermediate` (step -> value) and
--- `last_step`, which it has just reported; all trials of the study; 1 where less is better, -1 where more is. It is a
--- function of what is in the study alone, so any worker comes to the same answer.
---
--- Some can take a pruned trial up again, when others have made it one of the best: a second function, (others, sign,
--- seed), gives that one. A trial that was taken up has `promoted`, the step behind which it was.

local base = require("recsys.core").base
local exit = require "recsys.exit"
local text = require "recsys.text"

local pruners = {}

local kinds, defaults = {}, {}

local function best_of(intermediate, sign, last)
  local best = math.huge
  for step, value in pairs(intermediate) do
    if step <= last then best = math.min(best, sign * value) end
  end
  return best
end

--- Worse, at its best so far, than the median of what completed trials had after the same step.
defaults.median = { startup = 5, warmup = 0 }
function kinds.median(options)
  return function(trial, others, sign)
    local step, values = trial.last_step, {}
    if step <= options.warmup then return false end
    for _, other in ipairs(others) do
      local value = other.state == "complete" and other.number ~= trial.number and other.intermediate[step]
      if value then values[#values + 1] = sign * value end
    end
    if #values < options.startup then return false end
    table.sort(values)
    local n = #values
    local median = n % 2 == 1 and values[n // 2 + 1] or (values[n // 2] + values[n // 2 + 1]) / 2
    return best_of(trial.intermediate, sign, step) > median
  end
end

--- What a trial reported first at or behind a rung: not all report after each step. nil: it has not come there.
local function value_at(trial, rung)
  local first = math.huge
  for step in pairs(trial.intermediate) do
    if step >= rung and step < first then first = step end
  end
  return trial.intermediate[first]
end

--- Which of the trials that reached a rung are the best 1/eta of them, so many at the least: number -> true.
local function best_at(rung, trials, sign, eta, fewest)
  local list, values, best = {}, {}, {}
  for _, trial in ipairs(trials) do
    local value = value_at(trial, rung)
    if value then list[#list + 1], values[trial] = trial, sign * value end
  end
  table.sort(list, function(a, b)
    if values[a] ~= values[b] then return values[a] < values[b] end
    return a.number < b.number
  end)
  for i = 1, math.min(#list, math.max(fewest, #list // eta)) do best[list[i].number] = true end
  return best
end

--- The rung at which a trial stands: the highest one that it has come to by its last report; nil where it was there
--- before.
local function rung_of(trial, least, eta)
  local last, rung = trial.last_step, least
  if last < least then return nil end
  while rung * eta <= last do rung = rung * eta end
  for step in pairs(trial.intermediate) do
    if step >= rung and step < last then return nil end
  end
  return rung
end

--- Whether a trial that stands at a rung is to wait there.
local function waits(trial, others, sign, least, eta, fewest)
  local rung, list = rung_of(trial, least, eta), { trial }
  if not rung or trial.promoted and trial.last_step <= trial.promoted then return false end
  for _, other in ipairs(others) do
    if other.number ~= trial.number then list[#list + 1] = other end
  end
  return not best_at(rung, list, sign, eta, fewest)[trial.number]
end

--- The trial that waits at the highest rung at which it is one of the best now.
local function promotable(trials, sign, least, eta)
  local found, highest = nil, 0
  for _, trial in ipairs(trials) do
    local rung = trial.state == "pruned" and rung_of(trial, least, eta)
    if rung and rung > highest and best_at(rung, trials, sign, eta, 0)[trial.number] then
      found, highest = trial, rung
    end
  end
  return found
end

--- Asynchronous successive halving (Li et al. 2020, arXiv:1810.05934): at the steps least, least * eta, least * eta^2,
--- ..., or the first reported behind them, a trial waits, and goes on when it is among the best 1/eta of those that
--- came there, before it or after it.
--- Without `promote` it is judged when it comes, by those before it, the best of which always goes on, and has ended
--- else: who comes early is judged by few, so that the first run to their ends for nothing, and good ones are lost.
defaults.asha = { eta = 4, least = 1, promote = true }
function kinds.asha(options)
  local eta, least, fewest = options.eta, options.least, options.promote and 0 or 1
  return function(trial, others, sign) return waits(trial, others, sign, least, eta, fewest) end,
    options.promote and function(trials, sign) return promotable(trials, sign, least, eta) end or nil
end

--- Hyperband (Li et al. 2018, arXiv:1603.06560): several ASHA side by side, the first of which prunes from the first
--- rung on, the next from the second one, ...; a trial belongs to one of them by its number.
defaults.hyperband = { eta = 3, least = 1, most = false, promote = true }
function kinds.hyperband(options)
  local eta, least = options.eta, options.least
  if not options.most then exit.usage_error "the pruner hyperband needs the last step: most=STEPS" end
  if options.most < least then exit.usage_error("hyperband: most=%d is below least=%d", options.most, least) end
  local brackets, shares, sum = 1, {}, 0
  while least * eta ^ brackets <= options.most do brackets = brackets + 1 end
  for i = 1, brackets do
    local s = brackets - i
    shares[i] = math.ceil(brackets * eta ^ s / (s + 1))
    sum = sum + shares[i]
  end
  local function bracket_of(number, seed)
    local left = base.stream(seed, "user", number, 1):uniform(0) * sum
    for i, share in ipairs(shares) do
      left = left - share
      if left < 0 then return i end
    end
    return brackets
  end
  local function rivals_in(bracket, trials, seed)
    local rivals = {}
    for _, trial in ipairs(trials) do
      if bracket_of(trial.number, seed) == bracket then rivals[#rivals + 1] = trial end
    end
    return rivals
  end
  local function first_of(bracket) return least * eta ^ (bracket - 1) // 1 end
  return function(trial, others, sign, seed)
    local bracket = bracket_of(trial.number, seed)
    return waits(trial, rivals_in(bracket, others, seed), sign, first_of(bracket), eta, options.promote and 0 or 1)
  end, options.promote and function(trials, sign, seed)
    for bracket = 1, brackets do
      local found = promotable(rivals_in(bracket, trials, seed), sign, first_of(bracket), eta)
      if found then return found end
    end
  end or nil
end

--- No better for so many steps: the early stopping of a training, over what it reports to the study.
defaults.patience = { steps = 3, min_delta = 0 }
function kinds.patience(options)
  return function(trial, _, sign)
    local steps = {}
    for step in pairs(trial.intermediate) do steps[#steps + 1] = step end
    table.sort(steps)
    if #steps <= options.steps then return false end
    local before = best_of(trial.intermediate, sign, steps[#steps - options.steps])
    return best_of(trial.intermediate, sign, math.huge) > before - options.min_delta
      or options.min_delta == 0 and best_of(trial.intermediate, sign, math.huge) == before
  end
end

local function number_of(name, key, value)
  if type(value) ~= "number" or value < (key == "eta" and 2 or key == "least" and 1 or 0) then
    exit.usage_error("the pruner %s: %s = %s is too small, or no number", name, key, tostring(value))
  end
  return key == "min_delta" and value or math.tointeger(value)
    or exit.usage_error("the pruner %s: %s must be a whole number, not %s", name, key, tostring(value))
end

local function checked(name, options)
  local all = {}
  for key, value in pairs(defaults[name]) do all[key] = value end
  for key, value in pairs(options) do
    if all[key] == nil then
      local known = {}
      for one in pairs(defaults[name]) do known[#known + 1] = one end
      table.sort(known)
      exit.usage_error("the pruner %s has no option '%s'; it has %s", name, tostring(key), table.concat(known, ", "))
    end
    if key == "promote" then
      if type(value) ~= "boolean" then exit.usage_error("the pruner %s: promote is true or false", name) end
      all[key] = value
    else
      all[key] = number_of(name, key, value)
    end
  end
  return all
end

--- Names of the pruners.
pruners.names = { "none", "median", "asha", "hyperband", "patience" }

--- The pruned trial that came furthest, of several the best: what goes on when else no trial would come to its end.
---@param trials table[]
---@param sign integer
---@return table?  nil also while there are trials that are complete, or may be yet
function pruners.furthest(trials, sign)
  local found
  for _, trial in ipairs(trials) do
    if trial.state == "complete" or trial.state == "running" or trial.state == "waiting" then return nil end
    if trial.state == "pruned" then
      local step = trial.last_step
      if not found or step > found.last_step
        or step == found.last_step and sign * trial.intermediate[step] < sign * found.intermediate[step] then
        found = trial
      end
    end
  end
  return found
end

--- A pruner by its name, and what takes trials up again where it has that; nil for "none".
---@param name string
---@param options? table<string, number>
---   median: startup (completed trials, 5), warmup (steps, 0); asha: eta (4), least (1), promote (true); hyperband:
---   eta (3), least (1), promote (true), most (the last step, needed); patience: steps (3), min_delta (0)
function pruners.new(name, options)
  if name == "none" then return nil end
  if kinds[name] then return kinds[name](checked(name, options or {})) end
  local near = text.nearest(tostring(name), pruners.names)
  exit.usage_error("there is no pruner '%s'; there are %s%s", tostring(name), table.concat(pruners.names, ", "),
    near and ("; did you mean '%s'?"):format(near) or "")
end

return pruners

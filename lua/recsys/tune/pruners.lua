--- Pruners: whether a trial that has reported a value after a step is worth going on with.
---
--- A pruner is a function (trial, others, sign, seed): the trial with `number`, `intermediate` (step -> value) and
--- `last_step`, which it has just reported; all trials of the study; 1 where less is better, -1 where more is. It is a
--- function of what is in the study alone, so any worker comes to the same answer.

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

--- Whether a trial that stands at a rung is among the best 1/eta of those that reached it, itself included.
local function is_promoted(trial, others, sign, eta)
  local step, better, count = trial.last_step, 0, 1
  local own = sign * trial.intermediate[step]
  for _, other in ipairs(others) do
    local value = other.number ~= trial.number and other.intermediate[step]
    if value then
      count = count + 1
      if sign * value < own then better = better + 1 end
    end
  end
  return better < math.max(1, count // eta)
end

local function is_rung(step, least, eta)
  local rung = least
  while rung < step do rung = rung * eta end
  return rung == step
end

--- Asynchronous successive halving (Li et al. 2020, arXiv:1810.05934): at the steps least, least * eta, least * eta^2,
--- ... a trial goes on when it is among the best 1/eta of those that came there before it.
defaults.asha = { eta = 4, least = 1 }
function kinds.asha(options)
  return function(trial, others, sign)
    return is_rung(trial.last_step, options.least, options.eta) and not is_promoted(trial, others, sign, options.eta)
  end
end

--- Hyperband (Li et al. 2018, arXiv:1603.06560): several ASHA side by side, the first of which prunes from the first
--- rung on, the next from the second one, ...; a trial belongs to one of them by its number.
defaults.hyperband = { eta = 3, least = 1, most = false }
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
  return function(trial, others, sign, seed)
    local bracket, rivals = bracket_of(trial.number, seed), {}
    if not is_rung(trial.last_step, least * eta ^ (bracket - 1) // 1, eta) then return false end
    for _, other in ipairs(others) do
      if bracket_of(other.number, seed) == bracket then rivals[#rivals + 1] = other end
    end
    return not is_promoted(trial, rivals, sign, eta)
  end
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

--- Names of the pruners.
pruners.names = { "none", "median", "asha", "hyperband", "patience" }

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
    if type(value) ~= "number" or value < (key == "eta" and 2 or key == "least" and 1 or 0) then
      exit.usage_error("the pruner %s: %s = %s is too small, or no number", name, key, tostring(value))
    end
    all[key] = key == "min_delta" and value or math.tointeger(value)
      or exit.usage_error("the pruner %s: %s must be a whole number, not %s", name, key, tostring(value))
  end
  return all
end

--- A pruner by its name; nil for "none".
---@param name string
---@param options? table<string, number>
---   median: startup (completed trials, 5), warmup (steps, 0); asha: eta (4), least (1); hyperband: eta (3), least (1),
---   most (the last step, needed); patience: steps (3), min_delta (0)
function pruners.new(name, options)
  if name == "none" then return nil end
  if kinds[name] then return kinds[name](checked(name, options or {})) end
  local near = text.nearest(tostring(name), pruners.names)
  exit.usage_error("there is no pruner '%s'; there are %s%s", tostring(name), table.concat(pruners.names, ", "),
    near and ("; did you mean '%s'?"):format(near) or "")
end

return pruners

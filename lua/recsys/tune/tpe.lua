--- The tree-structured Parzen estimator: what trials were good, and what were not, as densities; the next trial is the
--- one of 24 candidates that is likeliest of the good beside the others.
---
--- Bergstra et al. 2011, https://papers.nips.cc/paper/4443; multivariate: Falkner et al. 2018, arXiv:1807.01774.
--- Trials that run count as not good, so that workers side by side try different things (a constant liar).
--- Dimensions under one condition are one estimator; one that holds for few trials learns from those alone.

local front = require "recsys.tune.front"
local parzen = require "recsys.tune.parzen"

local tpe = {}

local STARTUP <const>, CANDIDATES <const> = 10, 24

--- How many of n trials count as good.
local function good_of(n, objectives)
  local tenth = math.ceil(0.1 * n)
  return objectives > 1 and tenth or math.min(tenth, 25)
end

--- Completed trials, the best first.
local function ranked(trials, directions)
  local losses, order = {}, {}
  for i, trial in ipairs(trials) do losses[i] = front.losses(trial, directions) end
  if #directions > 1 then
    order = front.order(losses)
  else
    for i = 1, #trials do order[i] = i end
    table.sort(order, function(a, b)
      if losses[a][1] ~= losses[b][1] then return losses[a][1] < losses[b][1] end
      return trials[a].number < trials[b].number
    end)
  end
  local list = {}
  for rank, i in ipairs(order) do list[rank] = trials[i] end
  return list
end

--- Pruned trials: those that came further first, of those the better ones.
local function pruned_order(trials, directions)
  local sign = directions[1] == "maximize" and -1 or 1
  table.sort(trials, function(a, b)
    local x, y = a.last_step or -1, b.last_step or -1
    if x ~= y then return x > y end
    local v, w = sign * (a.intermediate[x] or 0), sign * (b.intermediate[y] or 0)
    if v ~= w then return v < w end
    return a.number < b.number
  end)
  return trials
end

local function by_number(a, b) return a.number < b.number end

--- The good trials and the others, each by number; nil while too few have ended.
local function split(view)
  local by_state = { complete = {}, pruned = {}, running = {} }
  for _, trial in ipairs(view.trials) do
    if by_state[trial.state] then table.insert(by_state[trial.state], trial) end
  end
  local ended = #by_state.complete + #by_state.pruned
  if ended < STARTUP then return nil end
  local order = ranked(by_state.complete, view.directions)
  table.move(pruned_order(by_state.pruned, view.directions), 1, #by_state.pruned, #order + 1, order)
  local n, good, others = good_of(ended, #view.directions), {}, by_state.running
  for rank, trial in ipairs(order) do table.insert(rank <= n and good or others, trial) end
  table.sort(good, by_number)
  table.sort(others, by_number)
  return good, others
end

--- The values that trials have for all of these names.
local function observed(trials, names)
  local list = {}
  for _, trial in ipairs(trials) do
    local values = {}
    for d, name in ipairs(names) do values[d] = trial.params[name] end
    if #values == #names then list[#list + 1] = values end
  end
  return list
end

--- A value for each name, by the ratio of the two densities.
local function best_candidate(view, names, good, others)
  local dimensions, best, most = {}, nil, -math.huge
  for d, name in ipairs(names) do dimensions[d] = view.space.dimensions[name] end
  local of_good = parzen.new(dimensions, observed(good, names))
  local of_others = parzen.new(dimensions, observed(others, names))
  for _ = 1, CANDIDATES do
    local values = of_good:sample(view.random)
    local gain = of_good:log_density(values) - of_others:log_density(values)
    if gain > most then best, most = values, gain end
  end
  return best
end

--- The names that are decided together: those under one condition, or each alone.
local function groups(space, multivariate)
  local list, known = {}, {}
  for _, name in ipairs(space.names) do
    local when = space.dimensions[name].when
    local key = not multivariate and name or when and when.name .. "\n" .. table.concat(when.accepted, "\n") or ""
    if not known[key] then
      known[key] = {}
      list[#list + 1] = known[key]
    end
    table.insert(known[key], name)
  end
  return list
end

--- A sampler. Multivariate unless there are several objectives or it is told otherwise.
---@param options? { multivariate?: boolean }
function tpe.new(options)
  local chosen = (options or {}).multivariate
  return function(view)
    local good, others = split(view)
    if not good then return view.space:fill(function(dimension) return dimension:at(view.random:uniform()) end) end
    local values, multivariate = {}, chosen
    if multivariate == nil then multivariate = #view.directions == 1 end
    for _, names in ipairs(groups(view.space, multivariate)) do
      if view.space:is_active(names[1], values) then
        for d, value in ipairs(best_candidate(view, names, good, others)) do values[names[d]] = value end
      end
    end
    return values
  end
end

return tpe

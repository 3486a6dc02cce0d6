--- Several objectives: which trials no other one beats, in ranks, and the Pareto front.

local front = {}

--- A trial's losses, of which less is better.
---@param directions string[]  "minimize" or "maximize"
---@return number[]
function front.losses(trial, directions)
  local losses = {}
  for i, direction in ipairs(directions) do
    losses[i] = direction == "maximize" and -trial.values[i] or trial.values[i]
  end
  return losses
end

--- Whether a is nowhere worse than b and somewhere better.
local function dominates(a, b)
  local better = false
  for i = 1, #a do
    if a[i] > b[i] then return false end
    better = better or a[i] < b[i]
  end
  return better
end

--- The positions of `losses` in fronts: the first that nothing beats, the second that only those of the first do, ...
---@param losses number[][]
---@return integer[][]
function front.ranks(losses)
  local left, fronts = {}, {}
  for i = 1, #losses do left[i] = i end
  while #left > 0 do
    local best, rest = {}, {}
    for _, i in ipairs(left) do
      local beaten = false
      for _, j in ipairs(left) do beaten = beaten or dominates(losses[j], losses[i]) end
      table.insert(beaten and rest or best, i)
    end
    fronts[#fronts + 1], left = best, rest
  end
  return fronts
end

--- How far each member of a front is from its neighbours, the outermost infinitely (Deb et al. 2002, crowding).
local function distances(losses, members)
  local far = {}
  for _, i in ipairs(members) do far[i] = 0 end
  for d = 1, #losses[members[1]] do
    local order = table.move(members, 1, #members, 1, {})
    table.sort(order, function(a, b)
      if losses[a][d] ~= losses[b][d] then return losses[a][d] < losses[b][d] end
      return a < b
    end)
    local range = losses[order[#order]][d] - losses[order[1]][d]
    far[order[1]], far[order[#order]] = math.huge, math.huge
    for k = 2, #order - 1 do
      local gap = losses[order[k + 1]][d] - losses[order[k - 1]][d]
      far[order[k]] = far[order[k]] + (range > 0 and gap / range or 0)
    end
  end
  return far
end

--- All positions, the best first: by front, within one the loneliest first.
---@param losses number[][]
---@return integer[]
function front.order(losses)
  local order = {}
  for _, members in ipairs(front.ranks(losses)) do
    local far = distances(losses, members)
    table.sort(members, function(a, b)
      if far[a] ~= far[b] then return far[a] > far[b] end
      return a < b
    end)
    table.move(members, 1, #members, #order + 1, order)
  end
  return order
end

--- The completed trials that no other one beats.
---@param trials table[]
---@param directions string[]
---@return table[]
function front.pareto(trials, directions)
  local complete, losses, best = {}, {}, {}
  for _, trial in ipairs(trials) do
    if trial.state == "complete" then
      complete[#complete + 1], losses[#losses + 1] = trial, front.losses(trial, directions)
    end
  end
  for i, position in ipairs(front.ranks(losses)[1] or {}) do best[i] = complete[position] end
  return best
end

return front

--- Functions with known minima that samplers are set beside each other on, and what the rows of `bench tune` share.
---
--- A function has a `search` space and a `value(params)`, of which less is better; spec/peers/tune_optuna.py has the
--- same.

local json = require "recsys.json"
local tune = require "recsys.tune"

local searched = {}

local functions = {}

--- Branin: two numbers, three equal minima of 0.397887.
functions.branin = {
  search = { x = tune.uniform(-5, 10), y = tune.uniform(0, 15) },
  value = function(p)
    local pi = math.pi
    return (p.y - 5.1 / (4 * pi ^ 2) * p.x ^ 2 + 5 / pi * p.x - 6) ^ 2 + 10 * (1 - 1 / (8 * pi)) * math.cos(p.x) + 10
  end,
}

local ALPHA = { 1.0, 1.2, 3.0, 3.2 }
local A = { { 10, 3, 17, 3.5, 1.7, 8 }, { 0.05, 10, 17, 0.1, 8, 14 }, { 3, 3.5, 1.7, 10, 17, 8 },
  { 17, 8, 0.05, 10, 0.1, 14 } }
local P = { { 1312, 1696, 5569, 124, 8283, 5886 }, { 2329, 4135, 8307, 3736, 1004, 9991 },
  { 2348, 1451, 3522, 2883, 3047, 6650 }, { 4047, 8828, 8732, 5743, 1091, 381 } }

local function names(n)
  local search = {}
  for i = 1, n do search["x" .. i] = tune.uniform(0, 1) end
  return search
end

--- Hartmann in six numbers, the least value is -3.32237.
functions.hartmann = {
  search = names(6),
  value = function(p)
    local sum = 0
    for i = 1, 4 do
      local inner = 0
      for j = 1, 6 do inner = inner + A[i][j] * (p["x" .. j] - P[i][j] * 1e-4) ^ 2 end
      sum = sum + ALPHA[i] * math.exp(-inner)
    end
    return -sum
  end,
}

--- Rastrigin in five coordinates: three numbers, one that is the logarithm of what is searched for, and one of six
--- values; the least value is 0.
functions.rastrigin = {
  search = { x1 = tune.uniform(-5.12, 5.12), x2 = tune.uniform(-5.12, 5.12), x3 = tune.uniform(-5.12, 5.12),
    x4 = tune.log_uniform(1e-5, 1e5), x5 = tune.choice { -4.5, -3.0, -1.5, 0.0, 1.0, 2.5 } },
  value = function(p)
    local sum = 50
    for _, x in ipairs { p.x1, p.x2, p.x3, math.log(p.x4, 10), p.x5 } do
      sum = sum + x ^ 2 - 10 * math.cos(2 * math.pi * x)
    end
    return sum
  end,
}

--- The best value that a sampler finds with each seed.
---@return number[]
local function bests(name, sampler, arguments)
  local list = {}
  for seed = 1, arguments.seeds do
    local study <close> = tune.study { name = name, store = ":memory:", search = functions[name].search,
      seed = seed, sampler = sampler }
    study:optimize(function(trial) return functions[name].value(trial.params) end, { trials = arguments.trials })
    list[seed] = study:best().values[1]
  end
  return list
end

--- The area of the standard normal distribution beyond +-z.
local function beyond(z)
  return math.exp(require "recsys.tune.normal".log_area(z, 40)) * 2
end

--- Wilcoxon's signed-rank test of pairs, two-sided, by the normal approximation with the correction for ties; pairs
--- without a difference are left out.
---@param a number[]
---@param b number[]
---@return number p
---@return number balance  below 0 when a is less than b by the sum of ranks
function searched.wilcoxon(a, b)
  local differences = {}
  for i = 1, #a do
    if a[i] ~= b[i] then differences[#differences + 1] = a[i] - b[i] end
  end
  table.sort(differences, function(x, y) return math.abs(x) < math.abs(y) end)
  local n, sum, ties, i = #differences, 0, 0, 1
  while i <= n do
    local j = i
    while j < n and math.abs(differences[j + 1]) == math.abs(differences[i]) do j = j + 1 end
    for k = i, j do sum = sum + (differences[k] > 0 and 1 or -1) * (i + j) / 2 end
    ties, i = ties + (j - i + 1) ^ 3 - (j - i + 1), j + 1
  end
  local variance = n * (n + 1) * (2 * n + 1) / 6 - ties / 12
  if n == 0 then return 1, 0 end
  return beyond(math.abs(sum) / math.sqrt(variance)), sum
end

local function median(values)
  local sorted = table.move(values, 1, #values, 1, {})
  table.sort(sorted)
  local n = #sorted
  return n % 2 == 1 and sorted[n // 2 + 1] or (sorted[n // 2] + sorted[n // 2 + 1]) / 2
end

--- Verdicts: "not worse" holds unless the other side is better at p < 0.05, "better" when ours is.
local function verdict(name, what, ours, others, better)
  local p, balance = searched.wilcoxon(ours, others)
  local said = ("%s: medians %.4g and %s's %.4g, p %s"):format(name, median(ours), what, median(others),
    better and "that they are one" or "of a difference")
  local holds = better and (balance < 0 and p < 0.05) or not better and (balance <= 0 or p >= 0.05)
  return { what = said, reached = p, wanted = 0.05, holds = holds }
end

--- The row of a function.
---@param name string  "branin", "hartmann" or "rastrigin"
---@return table
function searched.row(name)
  return {
    about = ("the best of 100 trials of %s with each of 50 seeds: TPE, random draws, Optuna's default"):format(name),
    once = true, quiet = true,
    prepare = function(_, options)
      return { trials = 100, seeds = math.max(2, math.floor(50 * options.scale)) }
    end,
    run = function(arguments)
      arguments.found = { tpe = bests(name, "tpe", arguments), random = bests(name, "random", arguments) }
      local middle = {}
      for parameter, dimension in pairs(functions[name].search) do middle[parameter] = dimension:at(0.7) end
      return { value = functions[name].value(middle) }
    end,
    facts = function(arguments) return arguments.found end,
    peers = { optuna = "tune_optuna.py " .. name },
    judge = function(sides)
      local ours, list = sides.recsys.facts, json.list {}
      list[1] = verdict(name, "random", ours.tpe, ours.random, true)
      if sides.optuna then
        list[2] = verdict(name, "optuna", ours.tpe, sides.optuna.facts.tpe, false)
        list[3] = verdict(name, "its random", sides.optuna.facts.tpe, sides.optuna.facts.random, true)
      end
      return list
    end,
  }
end

return searched

--- Samplers: how the next trial's values are chosen.
---
--- A sampler is a function of a view: { space, number, seed, random, directions, trials }, where `trials` are all of
--- the study with `state`, `params`, `values`, `intermediate`. It gives a table name -> value, or nil when there is
--- nothing left to try. It is asked under the study's lock, so it sees what other workers are at.

local base = require("recsys.core").base
local exit = require "recsys.exit"
local json = require "recsys.json"
local text = require "recsys.text"
local tpe = require "recsys.tune.tpe"

local samplers = {}

local kinds = {}

--- Every value drawn by itself.
function kinds.random()
  return function(view) return view.space:fill(function(dimension) return dimension:at(view.random:uniform()) end) end
end

--- The points of a grid one after another, each once; numbers without a step have so many points.
---@param options { points?: integer }  default 5
function kinds.grid(options)
  local points = options.points or 5
  local function cells(space, position, values, visit)
    local name = space.names[position]
    if not name then return visit(values) end
    if not space:is_active(name, values) then return cells(space, position + 1, values, visit) end
    for _, value in ipairs(space.dimensions[name]:grid(points)) do
      local more = {}
      for key, other in pairs(values) do more[key] = other end
      more[name] = value
      local found = cells(space, position + 1, more, visit)
      if found then return found end
    end
  end
  return function(view)
    local tried = {}
    for _, trial in ipairs(view.trials) do tried[json.encode(trial.params)] = true end
    return cells(view.space, 1, {}, function(values) return not tried[json.encode(values)] and values or nil end)
  end
end

local function primes(n)
  local list, candidate = {}, 2
  while #list < n do
    local is_prime = true
    for _, prime in ipairs(list) do is_prime = is_prime and candidate % prime ~= 0 end
    if is_prime then list[#list + 1] = candidate end
    candidate = candidate + 1
  end
  return list
end

--- The number whose digits to this base stand in turned order behind the point, each digit place permuted by the seed
--- (Halton 1964; scrambled as in Owen 2017, arXiv:1706.02808). Digits end where they say less than 2^-32.
local function radical_inverse(index, prime, seed, position)
  local value, scale, place = 0.0, 1.0, 0
  while scale > 2^-32 do
    scale, place = scale / prime, place + 1
    local permutation = base.stream(seed, "user", position, place):permutation(prime)
    value = value + permutation:get(index % prime + 1) * scale
    index = index // prime
  end
  return math.min(value, 1 - 2^-32)
end

--- Points that fill the space evenly: a scrambled Halton sequence.
function kinds.halton()
  return function(view)
    local of = primes(#view.space.names)
    return view.space:fill(function(dimension, _, i)
      return dimension:at(radical_inverse(view.number, of[i], view.seed, i))
    end)
  end
end

kinds.tpe = tpe.new

--- Names of the samplers.
samplers.names = { "tpe", "random", "halton", "grid" }

--- A sampler by its name.
---@param name string
---@param options? table  { multivariate } of tpe, { points } of grid
function samplers.new(name, options)
  if kinds[name] then return kinds[name](options or {}) end
  local near = text.nearest(tostring(name), samplers.names)
  exit.usage_error("there is no sampler '%s'; there are %s%s", tostring(name), table.concat(samplers.names, ", "),
    near and ("; did you mean '%s'?"):format(near) or "")
end

return samplers

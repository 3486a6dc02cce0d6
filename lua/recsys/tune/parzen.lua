--- Parzen estimators: a density around observed points, a kernel each and a wide one for what is not known yet.
---
--- Bergstra et al. 2011 with the choices of Watanabe 2023 (arXiv:2304.11127): a kernel is a product over dimensions. Of
--- a number it is a normal distribution, cut off at the range, as wide as the gap to its farther neighbour, within
--- limits; of a choice it is the observed value with what the prior gives to all. The last kernel is the prior.
---

local normal = require "recsys.tune.normal"

local parzen = {}

local Estimator = {}
Estimator.__index = Estimator

--- What each of n observations weighs, the oldest first: of more than 25 the older ones less.
local function weights_of(n)
  local weights, ramp = {}, n - 25
  for i = 1, n do weights[i] = i <= ramp and (ramp > 1 and 1 / n + (1 - 1 / n) * (i - 1) / (ramp - 1) or 1 / n) or 1 end
  weights[n + 1] = 1 -- the prior
  local sum = 0
  for _, weight in ipairs(weights) do sum = sum + weight end
  for i, weight in ipairs(weights) do weights[i] = weight / sum end
  return weights
end

--- How wide the kernels around these coordinates are. The outermost two look at their neighbour alone, not at the end
--- of the range.
local function widths(points, low, high)
  local n, order, widths_of = #points, {}, {}
  for i = 1, n do order[i] = i end
  table.sort(order, function(a, b)
    if points[a] ~= points[b] then return points[a] < points[b] end
    return a < b
  end)
  local least = (high - low) / math.min(100, n + 2)
  for rank, i in ipairs(order) do
    local before = rank > 1 and points[i] - points[order[rank - 1]]
    local after = rank < n and points[order[rank + 1]] - points[i]
    if n == 1 then before, after = points[i] - low, high - points[i] end
    widths_of[i] = math.max(least, math.min(high - low, math.max(before or 0, after or 0)))
  end
  return widths_of
end

--- The kernels of a number: their middles, widths, and the logarithms of what of each lies within the range.
local function numeric(dimension, points)
  local low, high = dimension:bounds()
  local sigma, mass, mu = widths(points, low, high), {}, table.move(points, 1, #points, 1, {})
  mu[#mu + 1], sigma[#sigma + 1] = (low + high) / 2, high - low
  for i = 1, #mu do mass[i] = normal.log_area((low - mu[i]) / sigma[i], (high - mu[i]) / sigma[i]) end
  return { dimension = dimension, low = low, high = high, mu = mu, sigma = sigma, mass = mass }
end

--- The kernels of a choice: the chances of its values.
local function categorical(dimension, points)
  local n, count, kernels = #points + 1, #dimension.values, {}
  local total = 1 + count / n
  for i, point in ipairs(points) do
    kernels[i] = {}
    for c = 1, count do kernels[i][c] = ((c == point and 1 or 0) + 1 / n) / total end
  end
  kernels[n] = {}
  for c = 1, count do kernels[n][c] = 1 / count end
  return { dimension = dimension, chances = kernels }
end

--- An estimator over dimensions.
---@param dimensions Dimension[]
---@param observed any[][]  a list of values for each observation, the oldest first
---@return Estimator
function parzen.new(dimensions, observed)
  local parts = {}
  for d, dimension in ipairs(dimensions) do
    local points = {}
    for i, values in ipairs(observed) do points[i] = dimension:coordinate(values[d]) end
    parts[d] = dimension.kind == "choice" and categorical(dimension, points) or numeric(dimension, points)
  end
  local weights, logs = weights_of(#observed), {}
  for i, weight in ipairs(weights) do logs[i] = math.log(weight) end
  return setmetatable({ parts = parts, weights = weights, log_weights = logs }, Estimator)
end

local function draw(part, kernel, random)
  if part.chances then return part.dimension.values[random:weighted(part.chances[kernel])] end
  local mu, sigma = part.mu[kernel], part.sigma[kernel]
  while true do -- a middle within the range and a width of at most it: every third one stays within, at the least
    local x = mu + sigma * random:normal()
    if x >= part.low and x <= part.high then return part.dimension:value(x) end
  end
end

--- A point: a value for each dimension.
---@return any[]
function Estimator:sample(random)
  local kernel, values = random:weighted(self.weights), {}
  for d, part in ipairs(self.parts) do values[d] = draw(part, kernel, random) end
  return values
end

--- The logarithms that each kernel of a dimension gives a value are added to `sums`.
local function add_logs(part, value, sums)
  local dimension = part.dimension
  local x = dimension:coordinate(value)
  if part.chances then
    for i, chances in ipairs(part.chances) do sums[i] = sums[i] + math.log(chances[x]) end
    return
  end
  local low, high = dimension:cell(value)
  local mu, sigma, mass = part.mu, part.sigma, part.mass
  for i = 1, #mu do
    local s = sigma[i]
    local of = low and normal.log_area((low - mu[i]) / s, (high - mu[i]) / s)
      or normal.log_density((x - mu[i]) / s) - math.log(s)
    sums[i] = sums[i] + of - mass[i]
  end
end

--- The logarithm of the density at a point.
---@param values any[]
---@return number
function Estimator:log_density(values)
  local sums = table.move(self.log_weights, 1, #self.log_weights, 1, {})
  for d, part in ipairs(self.parts) do add_logs(part, values[d], sums) end
  local most, sum = math.max(table.unpack(sums)), 0
  for _, value in ipairs(sums) do sum = sum + math.exp(value - most) end
  return most + math.log(sum)
end

return parzen

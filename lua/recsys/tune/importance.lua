--- How much of the objective's variance each parameter accounts for by itself.
---
--- Functional ANOVA over a small forest (Hutter, Hoos, Leyton-Brown 2014,
--- http://proceedings.mlr.press/v32/hutter14.html), its main effects: each tree cuts the unit cube of the parameters
--- into boxes with a mean each; the mean over all other parameters is taken exactly, by the boxes' volumes. Shares need
--- not add up to 1: what is left is due to parameters together. Where values have steps, cuts lie between two of them,
--- so that each has the same share of the cube; each tree takes a choice's values in the order of their means. A
--- conditional parameter that has no value counts as in the middle of its range. Only completed trials count.

local random = require "recsys.tune.random"

local importance = {}

local TREES <const>, LEAST_LEAF <const>, LEAST <const> = 64, 2, 8
local CUTS <const> = 4 -- that are tried of a dimension

local function mean_of(rows, at)
  local sum = 0
  for _, i in ipairs(at) do sum = sum + rows[i].y end
  return sum / #at
end

local function spread(rows, at)
  local mean, sum = mean_of(rows, at), 0
  for _, i in ipairs(at) do sum = sum + (rows[i].y - mean) ^ 2 end
  return sum
end

local function parted(rows, at, d, cut)
  local low, high = {}, {}
  for _, i in ipairs(at) do table.insert(rows[i][d] < cut and low or high, i) end
  return low, high
end

--- Some places for a cut between two values of a dimension: between neighbours where there are steps, else at random.
local function cuts_between(low, high, borders, draw)
  local cuts = {}
  for _, border in ipairs(borders or {}) do
    if low < border and border < high then cuts[#cuts + 1] = border end
  end
  for i = 1, borders and math.min(CUTS, #cuts) or low < high and CUTS or 0 do
    if borders then
      local j = i + draw:below(#cuts - i + 1) - 1
      cuts[i], cuts[j] = cuts[j], cuts[i]
    else
      cuts[i] = low + (high - low) * draw:uniform()
    end
  end
  return table.move(cuts, 1, CUTS, 1, {})
end

--- The cut that leaves the least variance, of some for each dimension.
local function best_cut(rows, at, borders, dimensions, draw)
  local best, least = nil, spread(rows, at) - 1e-12
  for d = 1, dimensions do
    local low, high = math.huge, -math.huge
    for _, i in ipairs(at) do low, high = math.min(low, rows[i][d]), math.max(high, rows[i][d]) end
    for _, cut in ipairs(cuts_between(low, high, borders[d], draw)) do
      local below, above = parted(rows, at, d, cut)
      if #below >= LEAST_LEAF and #above >= LEAST_LEAF then
        local left = spread(rows, below) + spread(rows, above)
        if left < least then best, least = { d = d, cut = cut, below = below, above = above }, left end
      end
    end
  end
  return best
end

--- Add the boxes that the rows `at` are cut into: { low[], high[], mean }.
local function grow(rows, at, box, borders, draw, leaves)
  local cut = #at >= 2 * LEAST_LEAF and best_cut(rows, at, borders, #box.low, draw)
  if not cut then
    box.mean = mean_of(rows, at)
    leaves[#leaves + 1] = box
    return leaves
  end
  local function part(of, low, high)
    local inner = { low = table.move(box.low, 1, #box.low, 1, {}), high = table.move(box.high, 1, #box.high, 1, {}) }
    inner.low[cut.d], inner.high[cut.d] = low or inner.low[cut.d], high or inner.high[cut.d]
    grow(rows, of, inner, borders, draw, leaves)
  end
  part(cut.below, nil, cut.cut)
  part(cut.above, cut.cut, nil)
  return leaves
end

local function volume(leaf, without)
  local product = 1
  for d = 1, #leaf.low do
    if d ~= without then product = product * (leaf.high[d] - leaf.low[d]) end
  end
  return product
end

--- The variance of a tree over the cube, and that of its mean along one dimension.
local function variances(leaves, d)
  local cuts, mean, all = { 0, 1 }, 0, 0
  for _, leaf in ipairs(leaves) do
    cuts[#cuts + 1] = leaf.low[d]
    mean = mean + volume(leaf) * leaf.mean
  end
  table.sort(cuts)
  for _, leaf in ipairs(leaves) do all = all + volume(leaf) * (leaf.mean - mean) ^ 2 end
  local own = 0
  for i = 1, #cuts - 1 do
    local width, middle, value = cuts[i + 1] - cuts[i], (cuts[i] + cuts[i + 1]) / 2, 0
    if width > 0 then
      for _, leaf in ipairs(leaves) do
        if leaf.low[d] <= middle and middle < leaf.high[d] then value = value + volume(leaf, d) * leaf.mean end
      end
      own = own + width * (value - mean) ^ 2
    end
  end
  return all, own
end

local function rows_of(space, trials, objective)
  local rows = {}
  for _, trial in ipairs(trials) do
    if trial.state == "complete" then
      local row = { y = trial.values[objective] }
      for d, name in ipairs(space.names) do
        local value = trial.params[name]
        row[d] = value == nil and 0.5 or math.max(0, math.min(1, space.dimensions[name]:share(value)))
      end
      rows[#rows + 1] = row
    end
  end
  return rows
end

--- The rows with the values of each choice in the order of their means among the rows `at`.
local function ordered(space, rows, at)
  local all = {}
  for i, row in ipairs(rows) do all[i] = table.move(row, 1, #row, 1, { y = row.y }) end
  for d, name in ipairs(space.names) do
    local dimension, sums, counts, order, place = space.dimensions[name], {}, {}, {}, {}
    local k = dimension.kind == "choice" and #dimension.values or 0
    local function cell(row) return math.min(k, math.floor(row[d] * k) + 1) end
    for _, i in ipairs(k > 0 and at or {}) do
      local c = cell(rows[i])
      sums[c], counts[c] = (sums[c] or 0) + rows[i].y, (counts[c] or 0) + 1
    end
    for c = 1, k do order[c] = c end
    local function mean(c) return counts[c] and sums[c] / counts[c] or math.huge end
    table.sort(order, function(a, b)
      if mean(a) ~= mean(b) then return mean(a) < mean(b) end
      return a < b
    end)
    for position, c in ipairs(order) do place[c] = position end
    for i, row in ipairs(k > 0 and all or {}) do row[d] = (place[cell(rows[i])] - 0.5) / k end
  end
  return all
end

--- The shares of parameters, the greatest first.
---@return { name: string, share: number }[]?  nil, message when too few trials are complete, or all are alike
function importance.of(space, trials, objective, seed)
  local rows, shares, grown = rows_of(space, trials, objective), {}, 0
  if #rows < LEAST then return nil, ("importance needs %d completed trials, there are %d"):format(LEAST, #rows) end
  local borders = {}
  for i, name in ipairs(space.names) do
    shares[i], borders[i] = { name = name, share = 0 }, space.dimensions[name]:borders() or false
  end
  for tree = 1, TREES do
    local draw, at, low, high = random.new(seed, tree), {}, {}, {}
    for i = 1, #rows do at[i] = draw:below(#rows) end
    for d = 1, #space.names do low[d], high[d] = 0, 1 end
    local leaves, counted = grow(ordered(space, rows, at), at, { low = low, high = high }, borders, draw, {}),
      false
    for d, share in ipairs(shares) do
      local all, own = variances(leaves, d)
      if all > 0 then share.share, counted = share.share + own / all, true end
    end
    grown = grown + (counted and 1 or 0)
  end
  if grown == 0 then return nil, "the objective is the same whatever the parameters" end
  for _, share in ipairs(shares) do share.share = share.share / grown end
  table.sort(shares, function(a, b) return a.share > b.share or a.share == b.share and a.name < b.name end)
  return shares
end

return importance

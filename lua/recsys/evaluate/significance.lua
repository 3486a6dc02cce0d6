--- Which of several systems differ: all pairs, paired on the same queries, with users resampled.
---
--- The difference of two systems on a metric is the mean over the queries of the differences. Users are drawn with
--- replacement (cluster bootstrap, as all intervals here: docs/evaluation.md), the same ones for all systems. The
--- two-sided p of "they do not differ" is twice the share of resamples in which the difference is not on the side of
--- the observed one, (1 + count) / (1 + samples) of each side (Davison & Hinkley 1997, sections 4.2.3 and 4.4.1), at
--- most 1. The p of all pairs are adjusted together by Holm 1979 (Scandinavian Journal of Statistics 6): the chance
--- that any pair is called different which is not is at most the level, whatever the dependence between the pairs.

local metrics = require "recsys.metrics"
local tensor = require "recsys.tensor"

local significance = {}

--- Holm's adjustment: the i-th smallest of m values times m - i + 1, never less than those before it, at most 1.
---@param p number[]
---@return number[]  in the same order
function significance.holm(p)
  local order, adjusted, most = {}, {}, 0
  for i = 1, #p do order[i] = i end
  table.sort(order, function(a, b) return p[a] < p[b] or p[a] == p[b] and a < b end)
  for rank, i in ipairs(order) do
    most = math.min(1, math.max(most, p[i] * (#p - rank + 1)))
    adjusted[i] = most
  end
  return adjusted
end

--- How many resamples it takes for the smallest p there can be to stay below 1/100 when all pairs are adjusted.
---@param systems integer
---@return integer
function significance.samples(systems) return math.max(1000, 200 * systems * (systems - 1) // 2) end

--- The two-sided p of a difference, from its resamples.
local function p_of(resamples, a, b)
  local difference <close> = resamples:select(1, a) - resamples:select(1, b)
  local n = #difference
  local below, above = difference:le(0):sum(), difference:ge(0):sum()
  return math.min(1, 2 * (1 + math.min(below, above)) / (1 + n))
end

--- All pairs of some systems on one metric.
---@param values Tensor  f64 [systems, queries], the metric of each query; NaN where it has none
---@param users Tensor   i64 [queries]
---@param options? { samples?: integer, seed?: integer }  default significance.samples, 1
---@return { a: integer, b: integer, difference: number, interval: number[], p: number, adjusted: number }[] pairs
---   a < b, positions of the systems from 1; difference: mean of a less mean of b; interval: 95 %, of this pair alone;
---   p and adjusted: see above
---@return integer samples
function significance.pairs(values, users, options)
  local n = values:size(1)
  local samples = options and options.samples or significance.samples(n)
  if n < 2 then return {}, samples end
  local resamples <close> = metrics.bootstrap(values, users,
    { samples = samples, seed = options and options.seed or 1 })
  local means, list, p = metrics.means(values), {}, {}
  for a = 1, n do
    for b = a + 1, n do
      list[#list + 1] = { a = a, b = b, difference = means[a] - means[b], p = p_of(resamples, a, b),
        interval = metrics.paired(resamples, a, b).difference }
      p[#list] = list[#list].p
    end
  end
  for i, adjusted in ipairs(significance.holm(p)) do list[i].adjusted = adjusted end
  return list, samples
end

--- Stack the same metric of several answers: f64 [systems, queries].
---@param answers { names: string[], metrics: Tensor, questions: string }[]  of recsys.evaluate.answer; of other
---  questions than the first's raises { code = "argument" }
---@param name string
---@return Tensor
function significance.stack(answers, name)
  local rows = {}
  for i, answer in ipairs(answers) do
    if answer.questions ~= answers[1].questions then
      error({ code = "argument", message = ("answer %d is to other questions than the first: systems are paired on the "
        .. "same queries, with the same candidates"):format(i) }, 0)
    end
    for at, known in ipairs(answer.names) do
      if known == name then rows[i] = answer.metrics:narrow(1, at, 1) end
    end
    if not rows[i] then error(("bad argument #2 to 'stack' (answer %d has no '%s')"):format(i, name), 2) end
  end
  return tensor.concat(rows)
end

return significance

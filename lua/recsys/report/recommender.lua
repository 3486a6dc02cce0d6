--- Charts that recommenders are judged by: calibration, recall at k, the long tail.

local draw = require "recsys.report.draw"
local line = require "recsys.report.line"
local plot = require "recsys.report.plot"
local scale = require "recsys.report.scale"
local series = require "recsys.report.series"
local tensor = require "recsys.tensor"
local words = require "recsys.describe.words"

local recommender = {}

-- Calibration -------------------------------------------------------------------------------------------------------

local Z <const> = 1.959964 -- 95 %

--- Wilson's interval of a share: Wilson 1927, doi:10.1080/01621459.1927.10502953.
local function wilson(share, n)
  local z2 = Z * Z
  local middle = (share + z2 / (2 * n)) / (1 + z2 / n)
  local half = Z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
  return math.max(0, middle - half), math.min(1, middle + half)
end

local function read(one)
  local function f64(field)
    local given = one[field]
    if not tensor.is(given) then
      local list = series.values("calibration", one.label .. field, given)
      for i = 1, #list do list[i] = list[i] or 0 / 0 end
      given = #list > 0 and tensor.new(list, "f64") or tensor.zeros(0, "f64")
    end
    return given:to "f64"
  end
  local predicted, outcome = f64 "predicted", f64 "outcome"
  if #predicted ~= #outcome then
    series.refuse("calibration", "%spredicted has %d values, outcome %d", one.label, #predicted, #outcome)
  end
  if #predicted == 0 then series.refuse("calibration", "%sthere are no values", one.label) end
  if predicted:ge(0):mul(predicted:le(1)):sum() < #predicted then
    series.refuse("calibration", "%spredicted must be probabilities, 0 to 1", one.label)
  end
  if outcome:eq(0):sum() + outcome:eq(1):sum() < #outcome then
    series.refuse("calibration", "%soutcome must be 0 or 1", one.label)
  end
  return predicted, outcome
end

--- Bins of equally many predictions, in order: { predicted, observed, low, high, n }; ties may share a bin's end.
local function bins_of(predicted, outcome, count)
  local order = predicted:argsort()
  local p, o, n, bins = predicted:index_select(order), outcome:index_select(order), #predicted, {}
  for b = 1, count do
    local first, last = (b - 1) * n // count + 1, b * n // count
    if last >= first then
      local size = last - first + 1
      local observed = o:narrow(1, first, size):mean()
      local low, high = wilson(observed, size)
      bins[#bins + 1] = { predicted = p:narrow(1, first, size):mean(), observed = observed, low = low, high = high,
        n = size }
    end
  end
  return bins
end

local function measure(one, count)
  local predicted, outcome = read(one)
  one.bins = bins_of(predicted, outcome, count)
  local error_sum = 0
  for _, bin in ipairs(one.bins) do error_sum = error_sum + bin.n * math.abs(bin.predicted - bin.observed) end
  local difference = predicted - outcome
  return { ece = error_sum / #predicted, brier = difference:mul(difference):mean(), n = #predicted, bins = one.bins }
end

local function draw_bins(out, box, one)
  local points = {}
  for i, bin in ipairs(one.bins) do
    local x, y = box.x(bin.predicted), box.y(bin.observed)
    points[i] = { x, y }
    out[#out + 1] = draw.line(x, box.y(bin.low), x, box.y(bin.high), "whisker")
    out[#out + 1] = draw.dot(x, y, 3.2, one.class, ("%s: predicted %s, observed %s [%s, %s] of %s"):format(one.name,
      words.share(bin.predicted), words.share(bin.observed), words.share(bin.low), words.share(bin.high),
      words.count(bin.n, "event")))
  end
  if #points > 1 then out[#out + 1] = draw.through("polyline", points, "curve " .. one.class) end
end

--- Calibration; see recsys.report.
function recommender.calibration(asked)
  local list, facts, most = series.of("calibration", asked), {}, 0
  local count = asked.bins or 10
  if not (math.type(count) == "integer" and count >= 1 and count <= 100) then
    series.refuse("calibration", "bins: a whole number from 1 to 100 is expected")
  end
  for i, one in ipairs(list) do
    facts[i] = measure(one, count)
    for _, bin in ipairs(one.bins) do most = math.max(most, bin.predicted, bin.high) end
  end
  local axis = scale.linear(0, most, 5)
  local said = ("ECE %.4f, Brier %.4f"):format(facts[1].ece, facts[1].brier)
  return plot.new { title = asked.title, label = "calibration", legend = series.legend(list), x = axis, y = axis,
    x_name = "predicted", y_name = "observed", height = asked.height or 320, facts = asked.series and facts or facts[1],
    note = #list == 1 and said or nil, draws = function(out, box)
      out[#out + 1] = draw.line(box.x(0), box.y(0), box.x(axis.high), box.y(axis.high), "mark")
      for _, one in ipairs(list) do draw_bins(out, box, one) end
    end }
end

-- Recall at k -------------------------------------------------------------------------------------------------------

--- A system's values at each k: { name, x, y, low, high }.
local function at_each(name, ks, metric, values, intervals)
  local one = { name = name, x = {}, y = {}, low = {}, high = {} }
  for i, k in ipairs(ks) do
    local field = ("%s_%d"):format(metric, k)
    local interval = intervals and intervals[field]
    one.x[i], one.y[i] = k, values[field] or false
    one.low[i], one.high[i] = interval and interval[1] or false, interval and interval[2] or false
  end
  return one
end

--- Recall, or another metric with cut-offs, at each k: of a report of recsys.evaluate, or of series of one's own; see
--- recsys.report.
function recommender.recall_at_k(asked)
  if type(asked) ~= "table" then series.refuse("recall_at_k", "a table is expected") end
  local metric, list = asked.metric or "recall", asked.series
  if asked.report then
    local report = asked.report
    local ks = table.move(report.k, 1, #report.k, 1, {})
    table.sort(ks)
    list = {}
    list[1] = at_each(report.main or "model", ks, metric, report.metrics, report.intervals)
    local name = report.best_baseline and report.best_baseline.name
    if name and report.baselines and report.baselines[name] then
      list[2] = at_each(name, ks, metric, report.baselines[name],
        report.baselines_intervals and report.baselines_intervals[name])
    end
  end
  if type(list) ~= "table" then series.refuse("recall_at_k", "report or series is expected") end
  local most = 0
  for _, one in ipairs(list) do most = math.max(most, select(2, series.ends { one.x or {} })) end
  return line.line { title = asked.title, series = list, x_name = "k",
    y_name = metric:gsub("_", " ") .. " at k", log_x = most >= 20, from_zero = true, height = asked.height }
end

-- The long tail -----------------------------------------------------------------------------------------------------

local A_DECADE <const> = 12 -- points

--- Counts, in any order, as those of some ranks: { rank, count }, the greatest first, about 12 a decade.
---@param counts Tensor|number[]
function recommender.by_rank(counts)
  if not tensor.is(counts) then counts = #counts > 0 and tensor.new(counts, "f64") or tensor.zeros(0, "f64") end
  local ranks, values = {}, {}
  local present = counts:index_select(counts:gt(0):nonzero()):sort(true)
  local last = 0
  for step = 0, math.huge do
    local rank = math.floor(10 ^ (step / A_DECADE) + 0.5)
    if rank > #present then break end
    if rank > last then
      ranks[#ranks + 1], values[#values + 1], last = rank, present:get(rank), rank
    end
  end
  if #present > last then ranks[#ranks + 1], values[#values + 1] = #present, present:get(#present) end
  return { rank = ranks, count = values }
end

--- The long tail; see recsys.report.
function recommender.long_tail(asked)
  local list, drawn = series.of("long_tail", asked), {}
  for i, one in ipairs(list) do
    local found = one.rank and one or recommender.by_rank(tensor.is(one.counts) and one.counts
      or series.values("long_tail", one.label .. "counts", one.counts))
    drawn[i] = { name = one.name, colour = one.colour, x = found.rank, y = found.count }
  end
  return line.line { title = asked.title, series = drawn, log_x = true, log_y = true, height = asked.height,
    x_name = asked.x_name or "rank, the busiest first", y_name = asked.y_name or "interactions" }
end

return recommender

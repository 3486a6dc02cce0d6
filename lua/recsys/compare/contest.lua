--- A contest: whether one family is better than others, or as good but for a margin, over several seeds.
---
--- Each is trained with the parameters of recsys.compare.families, its epochs chosen by validation rows; when all are
--- trained, the test rows are opened once for all of them. A query's value is its mean over the seeds, and intervals
--- are those of users resampled (recsys.evaluate.significance), of these trainings.

local check_metric = require "recsys.compare.metric"
local current = require "recsys.tune.current"
local evaluate = require "recsys.evaluate"
local families = require "recsys.compare.families"
local feature = require "recsys.feature"
local features = require "recsys.compare.features"
local job = require "recsys.job"
local metrics = require "recsys.metrics"
local model = require "recsys.model"
local settings = require "recsys.settings"
local significance = require "recsys.evaluate.significance"
local tensor = require "recsys.tensor"
local text = require "recsys.text"

local contest = {}

---@class Contestant
---@field label string
---@field family string  of recsys.compare.families
---@field model? table   parameters other than the family's
---@field train? table

--- Train one contestant, seed by seed a task.
---@param p table  the recipe's parameters: data, eval
---@param entry Contestant
---@param seed integer
---@return Model
function contest.train(p, entry, seed, encoder, data, split)
  local found = families.parameters(families.of(entry.family), { size = families.size(#split.train),
    source = p.data.source })
  return job.train({ model = model.merge({}, found.model, entry.model), train = model.merge({}, found.train,
    { metric = p.metric }, entry.train), eval = p.eval, seed = seed }, encoder, data, split)
end

--- One metric of each query, the mean of a contestant's seeds, and of each seed's.
local function asked(p, queries, data, split, trained, name)
  local answers, each = {}, {}
  for s, one in ipairs(trained) do
    answers[s] = evaluate.answer(queries, job.scorer(one, job.inputs(one.encoder, data, split, queries)), p.eval.k)
  end
  local values = significance.stack(answers, name)
  for s, mean in ipairs(metrics.means(values)) do each[s] = mean end
  return (values:sum(1) * (1 / #trained)):reshape(1, -1), each
end

local function told(found, p)
  local rows = { { "", found.metric, "the first less it", "95 % interval", "epochs", "each seed" } }
  for i, system in ipairs(found.systems) do
    local seeds, difference = {}, found.differences[i - 1]
    for s, value in ipairs(system.seeds) do seeds[s] = ("%.4f"):format(value) end
    rows[i + 1] = { system.label, ("%.4f"):format(system.value),
      difference and ("%+.4f"):format(difference.value) or "",
      difference and ("[%+.4f, %+.4f]"):format(table.unpack(difference.interval)) or "",
      table.concat(system.epochs, ", "), table.concat(seeds, " ") }
  end
  return ("%s\n\n%s queries of test rows; means of %d seeds, users resampled %s times; to reach: every interval above "
    .. "%g: %s"):format(text.columns(rows), text.count(found.queries), p.seeds,
    text.count(found.samples), p.margin, found.reached and "reached" or "NOT REACHED")
end

--- Ask the test rows, once.
---@param p { data: table, eval: table, seed: integer, seeds: integer, margin: number, metric: string }
---@param entries Contestant[]  the first is compared with all others
---@param trained Model[]       of each entry its seeds, one entry behind another
function contest.test(p, entries, trained, data, split)
  current.forbid "asks its test rows"
  p = model.merge({}, p, { eval = settings.read("eval", p.eval) })
  split:end_selection(("%d models trained, their epochs chosen on validation rows"):format(#trained))
  local queries, values, found = job.queries(data, split, p.eval, "test"), {}, { systems = {}, differences = {} }
  for i, entry in ipairs(entries) do
    local own, system = table.move(trained, (i - 1) * p.seeds + 1, i * p.seeds, 1, {}), { label = entry.label }
    values[i], system.seeds = asked(p, queries, data, split, own, p.metric)
    system.value, system.epochs = values[i]:mean(), {}
    for s, one in ipairs(own) do system.epochs[s] = one.epoch end
    found.systems[i] = system
  end
  local list, samples = significance.pairs(tensor.concat(values), queries.user_rows, { seed = p.seed })
  found.reached, found.samples, found.metric = true, samples, p.metric
  for _, pair in ipairs(list) do
    if pair.a == 1 then
      found.differences[pair.b - 1] = { name = entries[pair.b].label, value = pair.difference, interval = pair.interval,
        p = pair.adjusted }
      found.reached = found.reached and pair.interval[1] > p.margin
    end
  end
  found.queries, found.protocol = queries.n, queries.protocol:describe()
  found.metrics = { [p.metric] = found.systems[1].value }
  found.text = told(found, p)
  return found
end

--- All tasks of a contest.
---@param flow table
---@param p table        see contest.test
---@param data Dataset   a handle
---@param split Split    a handle
---@param entries Contestant[]
function contest.run(flow, p, data, split, entries)
  check_metric(p.metric, "metric", p.eval.k)
  local encoders, trained = {}, {}
  for _, entry in ipairs(entries) do
    local set = families.of(entry.family).features
    encoders[set] = encoders[set] or flow:task("features_" .. set, feature.fit, data, split.train,
      features.of(set, p.data.source))
    for s = 1, p.seeds do
      trained[#trained + 1] = flow:task(("train_%s_%d"):format(entry.label:gsub("%W", "_"), s), contest.train, p, entry,
        p.seed + s - 1, encoders[set], data, split)
    end
  end
  return flow:task("test", contest.test, p, entries, trained, data, split)
end

return contest

--- The test of a study: all models and what they have to beat asked the same questions, once.
---
--- Test rows are opened here and nowhere else, when all models are chosen. Of each system: metrics with intervals, by
--- segment, and what its lists are like (recsys.evaluate.beyond); of all pairs whether they differ
--- (recsys.evaluate.significance).

local base = require "recsys.base"
local baselines = require "recsys.evaluate.baselines"
local beyond = require "recsys.evaluate.beyond"
local check_trained = require "recsys.evaluate.trained"
local current = require "recsys.tune.current"
local described = require "recsys.compare.described"
local evaluate = require "recsys.evaluate"
local families = require "recsys.compare.families"
local job = require "recsys.job"
local lists = require "recsys.compare.lists"
local log = require "recsys.log"
local metrics = require "recsys.metrics"
local segments_of = require "recsys.evaluate.segments"
local settings = require "recsys.settings"
local significance = require "recsys.evaluate.significance"

local testing = {}

local LATEST <const> = 5 -- events that a person of the experiments on cold starts has at least

local function by_name(names, values, more)
  local map = {}
  for i, name in ipairs(names) do map[name] = values[i] end
  for name, value in pairs(more or {}) do map[name] = value end
  return map
end

--- The families that have a model.
---@param found table[]  what recsys.compare.tuning gave of each
---@return table[]
function testing.sound(found)
  local kept = {}
  for _, one in ipairs(found) do kept[#kept + 1] = not one.failed and one or nil end
  return kept
end

--- The items that can be a candidate of some query: rows, or how many where all can.
local function candidates_of(queries)
  local created = queries.item_time
  if not created then return queries.items end
  return created:ge(queries.from:min()):mul(created:lt(queries.to:max())):nonzero()
end

--- What all systems are asked.
local function question(p, data, split)
  local queries = job.queries(data, split, p.eval, "test")
  if queries.n == 0 then
    error({ code = "argument", message = "there is nothing to compare: the split holds no test queries" }, 0)
  end
  local work = { queries = queries, eval = p.eval, seed = p.seed, metric = p.tuning.metric,
    counts = data:item_rows():index_select(split.train):bincount(data.items:rows()), users = data.users:rows(),
    inputs = {}, systems = {}, data = data, split = split }
  work.k = p.eval.k[1]
  work.vectors, work.described_by = described.items(data, split)
  work.segments, work.could = segments_of.of(queries), candidates_of(queries)
  for _, segment in ipairs(segments_of.by_popularity(queries, work.counts)) do
    table.insert(work.segments, segment)
  end
  return work
end

--- Ask one system.
---@param about { name: string, label: string, family: boolean }
---@param listed? table|Tensor|function  a scorer that makes the lists in place of this one
local function ask(work, about, scorer, listed)
  local answer = evaluate.answer(work.queries, scorer, work.eval.k)
  local top = lists.top(work.queries, listed or scorer, math.min(work.k, work.queries.items))
  local could = work.queries:ranking(work.eval.k, true):candidates()
  about.coverage = answer.coverage
  about.beyond = { novelty = beyond.novelty(top, work.counts, work.users),
    diversity = beyond.diversity(top, work.vectors), popularity = beyond.popularity(top, work.counts),
    tail_share = beyond.tail_share(top, work.counts), gini = beyond.gini(top, work.could),
    coverage = beyond.coverage(top, could) }
  about.answer = answer
  table.insert(work.systems, about)
  log.info("  %-14s %s %.4f", about.name, work.metric, testing.mean(answer, work.metric))
  base.release()
end

--- The mean of one metric of an answer.
function testing.mean(answer, name)
  for i, known in ipairs(answer.names) do
    if known == name then return metrics.means(answer.metrics)[i] end
  end
end

--- Means and intervals of all systems, on all queries and on each segment. Resamples are the same for all.
local function summarise(work)
  for _, system in ipairs(work.systems) do
    local answer = system.answer
    local resamples <close> = metrics.bootstrap(answer.metrics, work.queries.user_rows,
      { samples = work.eval.samples, seed = work.seed })
    system.metrics = by_name(answer.names, metrics.means(answer.metrics))
    for k, share in pairs(answer.coverage) do system.metrics[("coverage_%d"):format(k)] = share end
    system.intervals, system.segments = by_name(answer.names, metrics.intervals(resamples)), {}
    for _, segment in ipairs(work.segments) do
      local of <close> = metrics.bootstrap(significance.stack({ answer }, work.metric), work.queries.user_rows,
        { samples = work.eval.samples, seed = work.seed, rows = segment[2] })
      system.segments[segment[1]] = { metrics = by_name(answer.names, metrics.means(answer.metrics, segment[2])),
        interval = metrics.intervals(of)[1] }
    end
  end
end

--- The families and the best baseline, all pairs.
local function compared(work)
  local answers, names, best = {}, {}, nil
  for _, system in ipairs(work.systems) do
    if system.family then
      names[#names + 1], answers[#answers + 1] = system.name, system.answer
    elseif not best or system.metrics[work.metric] > best.metrics[work.metric] then
      best = system
    end
  end
  names[#names + 1], answers[#answers + 1] = best.name, best.answer
  local values = significance.stack(answers, work.metric)
  local list, samples = significance.pairs(values, work.queries.user_rows, { seed = work.seed })
  return { names = names, pairs = list, samples = samples, metric = work.metric }
end

--- Baselines that know no user: rows of the same tables. Those that count up to each query's moment, as a shop's own
--- counter would, have names that no family has.
local function ask_baselines(work, p)
  for _, pair in ipairs(baselines.of(work.queries, { trailing = p.eval.trailing })) do
    local name = pair[1]:gsub("^popularity", "live_popularity")
    ask(work, { name = name, label = "baseline: " .. name:gsub("_", " "), family = false }, pair[2],
      name == "random" and lists.shuffled(work.queries, work.seed) or nil)
  end
end

--- The inputs of a family's encoder, made once for each set of features.
local function inputs_of(work, found)
  local set = families.of(found.family).features
  if work.set ~= set then
    work.set, work.shared = set, job.inputs(found.model.encoder, work.data, work.split, work.queries)
  end
  return work.shared
end

--- What each query's user had met by then, oldest first, a list a query: where the split goes by order rather than by
--- time, all that is known of him, whose last event may be of the same moment.
local function met_by(queries, data, ties)
  local users, items, n = data:user_rows(), data:item_rows(), data.users:rows()
  if ties ~= "order" and queries.times then
    local sequences <close> = metrics.sequences(users, items, n)
    return sequences:before(data.interactions:column "time", queries.user_rows, queries.times)
  end
  local sequences <close> = metrics.sequences(users, items, n, queries.known)
  local all = sequences:lists()
  return { starts = all.starts:index_select(queries.user_rows), lengths = all.lengths:index_select(queries.user_rows),
    values = all.values }
end

--- Some of the test's events for the experiments on cold starts, each of another user: who, what, when, and what he
--- had met by then, five events at the least.
local function cold_sample(work, most)
  local queries, data = work.queries, work.data
  if not queries.rows then return {} end
  local before = met_by(queries, data, work.split.ties)
  local chosen, values, taken = {}, before.values, {}
  local order = base.stream(work.seed, "user"):permutation(queries.n)
  for at = 1, queries.n do
    local q = order:get(at) + 1
    local n, start = before.lengths:get(q), before.starts:get(q)
    local user, item = queries.user_rows:get(q), queries.item_rows:get(q)
    if n >= LATEST and #chosen < most and not taken[user] then
      taken[user] = true
      local known = {}
      for i = 1, n do known[i] = data.items:text("item", values:get(start + i) + 1) end
      chosen[#chosen + 1] = { row = queries.rows:get(q), item = data.items:text("item", item + 1), item_row = item + 1,
        known = known, user = user + 1,
        time = queries.times and queries.times:get(q) or nil }
    end
  end
  return chosen
end

local function result_of(work, p)
  local queries, list = work.queries, {}
  for i, segment in ipairs(work.segments) do list[i] = { name = segment[1], queries = #segment[2] } end
  for _, system in ipairs(work.systems) do system.answer = nil end
  return { systems = work.systems, segments = list, metric = work.metric, k = work.eval.k,
    samples = work.eval.samples, queries = queries.n, items = queries.items, rows = { train = #work.split.train,
      valid = #work.split.valid }, users = work.users, asked_users = segments_of.distinct(queries.user_rows),
    candidates = "all", described_by = work.described_by, protocol = queries.protocol:describe(),
    fingerprint = queries:fingerprint(), causal = work.split.causal, cold = cold_sample(work, p.cold.users) }
end

--- Ask the test rows.
---@param p table  the recipe's parameters
---@param found table[]  what recsys.compare.tuning gave of each family
---@param data Dataset
---@param split Split
---@return table  plain data: systems, segments, significance and what was asked
function testing.run(p, found, data, split)
  current.forbid "asks its test rows"
  p, found = settings.with(p, "eval"), testing.sound(found)
  if #found == 0 then error({ code = "failed", message = "all families failed: there is nothing to compare" }, 0) end
  for _, one in ipairs(found) do check_trained(one.model, split, one.family) end
  split:end_selection(("%d families tuned on validation rows"):format(#found))
  local work = question(p, data, split)
  local order = {}
  for i in ipairs(found) do order[i] = i end
  table.sort(order, function(a, b) -- families of one set of features beside one another
    local x, y = families.of(found[a].family).features, families.of(found[b].family).features
    return x < y or x == y and a < b
  end)
  for _, i in ipairs(order) do
    local family = families.of(found[i].family)
    ask(work, { name = family.name, label = family.label, branch = family.branch, family = true, place = i },
      job.scorer(found[i].model, inputs_of(work, found[i])))
  end
  table.sort(work.systems, function(a, b) return a.place < b.place end)
  ask_baselines(work, p)
  summarise(work)
  local pairs_of = compared(work)
  local result = result_of(work, p)
  result.significance = pairs_of
  return result
end

return testing

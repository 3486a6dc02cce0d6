--- Evaluation by full ranking: a model, its baselines and oracles on the same queries, with intervals and segments.
---
---     local protocol = evaluate.protocol_by_time(data, split, { window = "7d" })
---     local ndcg = evaluate.metric(protocol:queries "valid", vectors, "ndcg_10")      -- after every epoch
---     local report = evaluate.ranking { queries = protocol:queries "test", scorers = { model = vectors } }
---     print(evaluate.table(report))
---
--- A scorer is one of
---   { users = Tensor f32 [queries, d], items = Tensor f32 [items, d] }   scores are dot products; of users
---                                          [queries, count, d] the best of each query's vectors
---   { users = function(first, n) -> Tensor f32 [n, width], columns = Tensor i32 [items], width = integer }
---                                          an item's score stands in its column; rows are made block by block
---   Tensor f32 [items]                                                   the same scores for every query
---   function(first, n) -> Tensor f32 [n, items]                          scores of queries first .. first + n - 1
--- Definitions of the protocols and metrics, with sources, are in docs/evaluation.md.

local baselines = require "recsys.evaluate.baselines"
local exit = require "recsys.exit"
local metrics = require "recsys.metrics"
local protocol = require "recsys.evaluate.protocol"
local segments = require "recsys.evaluate.segments"
local table_of = require "recsys.evaluate.table"
local tensor = require "recsys.tensor"

local evaluate = {
  protocol_by_time = protocol.by_time,
  protocol_leave_last_out = protocol.leave_last_out,
  protocol_per_user = protocol.per_user,
  protocol_per_event = protocol.per_event,
  table = table_of,
  beside = require "recsys.evaluate.beside",
}

--- Scores made block by block; with columns, rows of users in which these find them.
local function score_blocks(ranked, queries, scorer, columns, width)
  local size = math.max(16, math.min(1024, 4000000 // math.max(width or queries.items, 1)))
  for first = 1, queries.n, size do
    local scores <close> = scorer(first, math.min(size, queries.n - first + 1))
    ranked:rows(first, scores, columns)
  end
end

--- Ask a scorer the prepared question.
local function ask(queries, ranking, scorer)
  local ranked <close> = ranking:ranked()
  if type(scorer) == "function" then
    score_blocks(ranked, queries, scorer)
  elseif tensor.is(scorer) then
    ranked:constant(scorer)
  elseif scorer.columns then
    score_blocks(ranked, queries, scorer.users, scorer.columns, scorer.width)
  else
    ranked:factors(scorer.users, scorer.items)
  end
  return ranked:finish()
end

local function by_name(names, values)
  local map = {}
  for i, name in ipairs(names) do map[name] = values[i] end
  return map
end

local function cutoff(name)
  return tonumber(name:match "_(%d+)$")
end

--- A ranking that measures this metric. Raises {code = "usage"} with the names that there are when it is none.
---@param queries Queries
---@param name string  such as "ndcg_10", "hit_10", "mrr"
function evaluate.ranking_for(queries, name)
  local k = cutoff(name) or 10
  local ranking = k >= 1 and queries:ranking({ k }, false)
  for _, known in ipairs(ranking and ranking:names() or {}) do
    if known == name then return ranking end
  end
  exit.usage_error("there is no metric '%s'; there are mrr, auc, and hit_K, recall_K, precision_K, ndcg_K and map_K "
    .. "for each cut-off K of 1 or more, such as ndcg_10", tostring(name))
end

--- One metric of one scorer, as fast as it goes: for early stopping and tuning.
---@param queries Queries
---@param scorer table|Tensor|function
---@param name string  such as "ndcg_10", "hit_10", "mrr"
---@return number
function evaluate.metric(queries, scorer, name)
  local ranking = evaluate.ranking_for(queries, name)
  return by_name(ranking:names(), metrics.means(ask(queries, ranking, scorer).metrics))[name]
end

--- All metrics of one scorer, without intervals, as published tables have them.
---@param queries Queries
---@param scorer table|Tensor|function
---@param k integer[]
---@return table<string, number>
function evaluate.means(queries, scorer, k)
  local ranking = queries:ranking(k, false)
  return by_name(ranking:names(), metrics.means(ask(queries, ranking, scorer).metrics))
end

--- What one scorer reaches on each query.
---@param queries Queries
---@param scorer table|Tensor|function
---@param k integer[]
---@return { names: string[], metrics: Tensor, coverage: table<integer, number>, questions: string } answer  metrics:
---  f64 [names, queries], NaN where a query has none; questions: the queries' fingerprint
function evaluate.answer(queries, scorer, k)
  local ranking = queries:ranking(k, true)
  local answer = ask(queries, ranking, scorer)
  return { names = ranking:names(), metrics = answer.metrics, coverage = answer.coverage,
    questions = queries:fingerprint() }
end

--- Ask the systems one after another. The values of all stand in one tensor, f64 [systems x names, queries], of which
--- each answer's are a part: it is what the bootstrap takes.
local function answer_all(systems, queries, ranking)
  local n, values = #ranking:names(), nil
  for i, system in ipairs(systems) do
    system.answer = ask(queries, ranking, system.scorer)
    values = values or tensor.zeros(#systems * n, queries.n, "f64")
    local own <close> = system.answer.metrics
    system.answer.metrics = values:narrow(1, (i - 1) * n + 1, n)
    system.answer.metrics:copy_(own)
    system.scorer = nil
  end
  return systems, values
end

--- All systems asked, in order: { name, answer, kind }, and the values of all.
local function ask_all(request, ranking)
  local systems = {}
  local function add(kind, name, scorer)
    systems[#systems + 1] = { name = name, kind = kind, scorer = scorer }
  end
  add("model", request.main, request.scorers[request.main])
  if request.baselines ~= false then
    for _, pair in ipairs(baselines.of(request.queries, request)) do add("baseline", pair[1], pair[2]) end
  end
  local others = {}
  for name in pairs(request.scorers) do
    if name ~= request.main then others[#others + 1] = name end
  end
  table.sort(others)
  for _, name in ipairs(others) do add("other", name, request.scorers[name]) end
  return answer_all(systems, request.queries, ranking)
end

--- Means, coverage and intervals of a system whose rows of the resamples begin after 'offset'.
local function summarise(system, names, intervals, offset)
  system.metrics = by_name(names, metrics.means(system.answer.metrics))
  for k, share in pairs(system.answer.coverage) do system.metrics[("coverage_%d"):format(k)] = share end
  system.intervals = {}
  for i, name in ipairs(names) do system.intervals[name] = intervals[offset + i] end
end

local function position(names, name)
  for i, other in ipairs(names) do
    if other == name then return i end
  end
  error(("there is no metric '%s'; there are %s"):format(name, table.concat(names, ", ")), 3)
end

--- How the model compares with another system on one metric, resample by resample.
local function compare(systems, resamples, names, name, i)
  local at = position(names, name)
  local paired = metrics.paired(resamples, at, (i - 1) * #names + at)
  local mine, its = systems[1].metrics[name], systems[i].metrics[name]
  return { name = systems[i].name, metric = name, value = its, ratio = mine / its, ratio_interval = paired.ratio,
    difference = mine - its, difference_interval = paired.difference }
end

local function best_baseline(systems, name)
  local best
  for i, system in ipairs(systems) do
    if system.kind == "baseline" and (not best or system.metrics[name] > systems[best].metrics[name]) then best = i end
  end
  return best
end

--- The other systems' means on some queries, by name.
local function others_on(systems, names, rows)
  local result = {}
  for _, system in ipairs(systems) do
    if system.kind == "other" then result[system.name] = by_name(names, metrics.means(system.answer.metrics, rows)) end
  end
  return result
end

--- The model, and beside it the best baseline and the others, on the queries of each segment.
local function by_segment(request, systems, names, best)
  local result, queries = {}, request.queries
  for _, segment in ipairs(segments.of(queries)) do
    local name, rows = segment[1], segment[2]
    local values = systems[1].answer.metrics
    local resamples <close> = metrics.bootstrap(values, queries.user_rows,
      { samples = request.samples, seed = request.seed, rows = rows })
    result[name] = { queries = #rows, users = segments.distinct(queries.user_rows:index_select(rows)),
      metrics = by_name(names, metrics.means(values, rows)),
      intervals = by_name(names, metrics.intervals(resamples)),
      baseline = best and by_name(names, metrics.means(systems[best].answer.metrics, rows)),
      others = others_on(systems, names, rows) }
  end
  return result
end

local function fill_systems(report, systems, names, resamples, metric)
  local best = best_baseline(systems, metric)
  for i, system in ipairs(systems) do
    if i == 1 then
      report.metrics, report.intervals = system.metrics, system.intervals
    else
      local group = system.kind == "baseline" and "baselines" or "others"
      report[group][system.name] = system.metrics
      report[group .. "_intervals"][system.name] = system.intervals
      report.compared[system.name] = compare(systems, resamples, names, metric, i)
    end
  end
  report.best_baseline = best and report.compared[systems[best].name]
  return best
end

local function check_request(request)
  if type(request.queries) ~= "table" or not request.queries.relevant then
    error("bad argument #1 to 'ranking' ('queries' must come from a protocol)", 3)
  end
  if request.queries.n == 0 then
    error({ code = "argument", message = "there is nothing to evaluate: the split holds no queries" }, 0)
  end
  if not (request.scorers and request.scorers[request.main]) then
    error(("bad argument #1 to 'ranking' (there is no scorer '%s')"):format(request.main), 3)
  end
end

--- Rank all candidates of all queries by the model, the baselines and whoever else is given.
---
---@param request { queries: Queries, scorers: table<string, table|Tensor|function>, main?: string, k?: integer[],
---   metric?: string, samples?: integer, seed?: integer, baselines?: boolean, segments?: boolean,
---   trailing?: string|number, groups?: table }
---   main: the scorer that the report is about (default "model"); the others are oracles or rivals
---   k: cut-offs, default { 10, 50 }; metric: what baselines are compared by, default NDCG at the first of them
---   samples, seed: of the bootstrap, default 1000 and 1; trailing, groups: see recsys.evaluate.baselines
---@return table report  plain data, see docs/evaluation.md: metrics, intervals, baselines, others, compared,
---   best_baseline, segments, queries, users, items, candidates
---@return table per_query  names: string[], users: Tensor i64 [queries], and for each system its f64 [names, queries]
function evaluate.ranking(request)
  request = setmetatable({ main = request.main or "model", samples = request.samples or 1000,
    seed = request.seed or 1, k = request.k or { 10, 50 } }, { __index = request })
  check_request(request)
  local queries, metric = request.queries, request.metric or ("ndcg_%d"):format(request.k[1])
  local ranking = queries:ranking(request.k, true)
  local names = ranking:names()
  position(names, metric)
  local systems, values = ask_all(request, ranking)
  local resamples = metrics.bootstrap(values, queries.user_rows, { samples = request.samples, seed = request.seed })
  local intervals = metrics.intervals(resamples)
  for i, system in ipairs(systems) do summarise(system, names, intervals, (i - 1) * #names) end
  local answer = systems[1].answer
  local report = { protocol = queries.protocol:describe(), split = queries.name, k = request.k, metric = metric,
    main = request.main, samples = request.samples, queries = queries.n, items = queries.items,
    users = segments.distinct(queries.user_rows), candidates = answer.candidates:mean(),
    ranked = queries.candidates and "listed" or "all", fingerprint = queries:fingerprint(),
    candidate_items = ranking:candidates(), absent = answer.greater:lt(0):sum(), baselines = {},
    baselines_intervals = {}, others = {}, others_intervals = {}, compared = {}, order = {} }
  local best = fill_systems(report, systems, names, resamples, metric)
  if request.segments ~= false then report.segments = by_segment(request, systems, names, best) end
  local per_query = { names = names, users = queries.user_rows }
  for i, system in ipairs(systems) do
    report.order[i], per_query[system.name] = system.name, system.answer.metrics
  end
  return report, per_query
end

return evaluate

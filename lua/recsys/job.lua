--- The steps of a retrieval job, as recipes name them: load, split, train, evaluate, recommend, publish.
---
--- Each is a function of plain values and of what the steps before it gave, so that it can be a flow's task. They join
--- the modules that do the work; a recipe that wants something else calls those itself. Parameters that the recipe does
--- not declare have the defaults of recsys.settings.

local audit = require "recsys.data.audit"
local base = require "recsys.base"
local check_trained = require "recsys.evaluate.trained"
local current = require "recsys.tune.current"
local data_sources = require "recsys.data"
local evaluate = require "recsys.evaluate"
local exit = require "recsys.exit"
local expect = require "recsys.expect"
local files = require "recsys.files"
local feature = require "recsys.feature"
local flow = require "recsys.flow"
local host = require "recsys.host"
local importance = require "recsys.evaluate.importance"
local lfs = require "lfs"
local log = require "recsys.log"
local lookup = require "recsys.lookup"
local memory_limit = require "recsys.memory_limit"
local metrics = require "recsys.metrics"
local rate_finder = require "recsys.train.rate_finder"
local recommend = require "recsys.recommend"
local registry = require "recsys.registry"
local rival = require "recsys.registry.rival"
local settings = require "recsys.settings"
local tails = require "recsys.report.recommender"
local tensor = require "recsys.tensor"
local text = require "recsys.text"
local train = require "recsys.train"
local warm_start = require "recsys.train.warm_start"

local job = {}

--- Make the news sample in a folder that is not there yet, or that holds another one. What a training job's channel
--- holds is left alone.
local function make_sample(p)
  local news = require "recsys.sample.news"
  if require("recsys.sagemaker.variables").is_channel(p.dir) then return true end
  if not files.exists(p.dir) then
    log.info("there is no folder %s yet: the sample of an invented news app is made there", p.dir)
  elseif not files.exists(p.dir .. "/stamp.json") and not files.exists(news.lock(p.dir)) then
    return true
  end
  return news.generate { dir = p.dir, scale = p.scale, seed = p.sample_seed }
end

--- Load a dataset and clean it. For the source `news`, the sample is made first when the folder does not exist yet.
---@param p { source: string, dir: string, scale?: number, sample_seed?: integer, bad_limit?: number, clean?: table,
---  memory?: string }  memory: a limit for what follows too, see recsys.memory_limit
---@param quarantine? string  a folder for malformed rows
---@return Dataset?, string?, string?
function job.load(p, quarantine)
  p = settings.read("data", p)
  if p.memory then memory_limit(p.memory) end
  if p.source == "news" then
    local made, message, code = make_sample(p)
    if not made then return nil, message, code end
  end
  if quarantine then files.make_folder(quarantine) end
  local data, message, code = data_sources.load { source = p.source, dir = p.dir, file = p.file,
    bad_limit = p.bad_limit, quarantine = quarantine }
  if not data then return nil, message, code end
  data, message, code = data_sources.clean(data, p.clean or {})
  if not data then return nil, message, code end
  local run = require "recsys.track.current"()
  if run then run:dataset(data) end
  flow.logs_data()
  return data
end

local splits = {
  time = function(data, p) return data_sources.split_by_time(data, { valid = p.valid, test = p.test }) end,
  leave_last_out = function(data) return data_sources.split_leave_last_out(data) end,
  random = function(data, p, seed)
    return data_sources.split_random(data, { valid = p.valid, test = p.test, seed = seed })
  end,
}

--- Split a dataset.
---@param p { kind: string, valid?: number, test?: number }  kind: "time", "leave_last_out" or "random"
---@return Split
function job.split(data, p, seed)
  p = settings.read("split", p)
  local split = splits[p.kind](data, p, seed)
  log.info("  %s", tostring(split))
  return split
end

--- Prove that nothing held out, later or of today reaches a training feature (docs/data.md, "The leak audit").
---@param declarations table  what the encoder was fitted from
---@param options? table      of audit.check
---@return { label: string, checks: string[] }? report  nil, message, "leak"
function job.audit(encoder, data, split, declarations, options)
  return audit.check(data, split, encoder, declarations, options)
end

--- How held-out events are asked.
local function protocol_of(data, split, p)
  if split.protocol == "by_time" then
    return evaluate.protocol_by_time(data, split, { window = p.window })
  elseif split.protocol == "leave_last_out" then
    return evaluate.protocol_leave_last_out(data, split)
  end
  return evaluate.protocol_per_user(data, split, { graded = true })
end

--- Refuse queries none of which asks for an item that is shown at its time, and warn where most do not: the window is
--- then not that of these data, and every metric would be 0 or nearly so.
local function check_window(queries, p)
  if not queries.item_time or not queries.item_rows or queries.n == 0 then return end
  local created = queries.item_time:index_select(queries.item_rows)
  local shown = (created:ge(queries.from):to "f64" * created:lt(queries.to):to "f64"):sum()
  if shown >= queries.n / 2 then return end
  local message = ("%s of %s %s queries ask for an item that is no candidate: %snot created yet, or without a time. "
    .. "Where items do not go stale, leave the window out (--set eval.window=)"):format(text.count(queries.n - shown),
    text.count(queries.n), queries.name, p.window and ("older than eval.window = %s, "):format(p.window) or "")
  if shown == 0 then error({ code = "usage", message = message }, 0) end
  log.warn("%s", message)
end

--- The questions that held-out rows make, as the group `eval` says; "test" opens the test rows.
---@param p table  the group `eval`
---@param name "valid"|"test"
---@return Queries
function job.queries(data, split, p, name)
  local queries = protocol_of(data, split, settings.read("eval", p)):queries(name)
  check_window(queries, p)
  return queries
end

--- Just after the last event: the moment that recommendations are made for.
local function as_of(data)
  return data.interactions:column("time"):max() + 1
end

--- The encoded inputs behind a set of queries; job.scorer makes vectors of them.
---@return table
function job.inputs(encoder, data, split, queries)
  local items = encoder:encode_items(data.items)
  local events
  if queries.rows then
    events = encoder:encode_events(data, queries.rows, { ties = split.ties, log = split.history_log, items = items })
  else
    events = encoder:encode_users_at(data, queries.user_rows, nil, { log = queries.known, items = items })
  end
  local known = queries.known
  if split.causal then known = split.history_log end
  local over_time = encoder:items_over_time(data, { log = known, items = items })
  return { users = encoder:encode_users(data.users), events = events, user_rows = queries.user_rows,
    items = over_time and over_time:at(queries.times and queries.times:max() or as_of(data)) or items,
    over_time = queries.times and over_time, times = queries.times }
end

--- Scores [n, items] of users [n, d], or of [n, count, d] the best of each user's vectors.
local function products(users, items)
  local n, count, d = table.unpack(users:size())
  if not d then return tensor.matmul(users, items, false, true) end
  return tensor.matmul(users:reshape(n * count, d), items, false, true):reshape(n, count, items:size(1)):max(2)
end

--- Scores of queries whose items move with time: each query's by the item vectors of its period.
local function scorer_over_time(trained, inputs)
  local users = trained:user_vectors(inputs.users, inputs.events, inputs.user_rows)
  local starts, known = inputs.over_time:starts(inputs.times), {}
  local function items_at(start)
    if known.start ~= start then
      known.start, known.vectors = start, trained:item_vectors(inputs.over_time:at(start))
    end
    return known.vectors
  end
  return function(first, n)
    local scores = tensor.zeros(n, inputs.items:rows())
    local of = starts:narrow(1, first, n)
    local days = of:unique()
    for i = 1, #days do
      local rows = of:eq(days:get(i)):nonzero()
      local asked = users:narrow(1, first, n):index_select(rows)
      scores:index_copy_(rows, products(asked, items_at(days:get(i))))
    end
    return scores
  end
end

--- The scorer of a model over encoded inputs (recsys.evaluate).
---@param inputs table  users, events, items: Features; user_rows; where items move with time: over_time, times
function job.scorer(trained, inputs)
  if inputs.over_time and not trained.columns then return scorer_over_time(trained, inputs) end
  return trained:scorer(inputs)
end

local function write_curves(path, curves)
  local names = {}
  for name in pairs(curves[1]) do names[#names + 1] = name end
  table.sort(names)
  local lines = { table.concat(names, ",") }
  for i, row in ipairs(curves) do
    local cells = {}
    for c, name in ipairs(names) do cells[c] = row[name] and ("%.9g"):format(row[name]) or "" end
    lines[i + 1] = table.concat(cells, ",")
  end
  files.write(path, table.concat(lines, "\n") .. "\n")
end

--- Find a learning rate for the training, and end the run with it.
local function find_rate(definition, request, folder)
  local swept = train.find_rate(definition, request)
  files.write(folder .. "/learning_rate.csv", rate_finder.csv(swept))
  files.write(folder .. "/learning_rate.html", rate_finder.page(swept, ("model %s, %s"):format(request.kind,
    request.data.name)))
  error({ code = "end", result = { text = rate_finder.text(swept),
    learning_rate = { suggestion = swept.suggestion, least = swept.least, diverged = swept.diverged },
    paths = { page = folder .. "/learning_rate.html", steps = folder .. "/learning_rate.csv" } } }, 0)
end

--- What a trial may be judged by: the row of the epoch that was kept, the seconds of all, and the model's size.
local function objectives_of(trained)
  local found = { parameters = trained:size(), seconds = 0 }
  for name, value in pairs(trained.curves[trained.epoch]) do
    if name ~= "seconds" then found[name] = value end
  end
  for _, row in ipairs(trained.curves) do found.seconds = found.seconds + row.seconds end
  return found
end

--- Train the model models/<kind>.lua, choosing the epoch by a ranking metric on validation rows. It is given the split
--- without its test rows.
---@param p { model: table, train?: table, eval?: table, seed: integer }
---@param curves? string  a CSV file to write the loss and metric of each epoch to
---@return Model
function job.train(p, encoder, data, split, curves)
  p = settings.with(p, "model", "train", "eval")
  local definition, file = lookup.model(p.model.kind)
  log.info("  model %s: %s", p.model.kind, file)
  local selection = split:selection()
  local queries = #selection.valid > 0 and protocol_of(data, selection, p.eval):queries "valid" or nil
  local inputs = queries and job.inputs(encoder, data, selection, queries)
  local metric = p.train.metric
  if queries then
    check_window(queries, p.eval)
    evaluate.ranking_for(queries, metric) -- a wrong name is told before the first epoch
  end
  local request = {
    kind = p.model.kind, config = p.model, train = p.train, encoder = encoder, data = data, split = selection,
    window = p.eval.window, metric = metric, seed = p.seed, checkpoint = flow.kept(),
    valid_events = inputs and queries.rows == selection.valid and inputs.events or nil,
    validate = queries and function(candidate)
      return evaluate.metric(queries, job.scorer(candidate, inputs), metric)
    end,
  }
  local only = flow.only "learning_rate"
  if only then find_rate(definition, request, only) end
  request.report = current.report
  local trained = train.fit(definition, request)
  if curves then write_curves(curves, trained.curves) end
  current.finish(objectives_of(trained))
  return trained
end

--- The scores of the oracles that come with the news sample; none for other data.
local function add_oracles(scorers, data, split, queries)
  local dir = data.origin.source == "news" and data.origin.dir
  if not dir or not queries.rows or not files.exists(dir .. "/hidden") then return end
  local oracle = require "recsys.sample.oracle"
  local best = assert(oracle.load(dir))
  local asked, ids = oracle.queries(data, queries.rows)
  local train_end = data.interactions:column("time"):get(split.train:get(#split.train) + 1) + 1
  for _, name in ipairs { "best_possible", "best_observable" } do
    scorers[name] = assert(best:factors(name, asked, ids, train_end))
    base.release() -- what the oracle went through in Lua, hundreds of MiB at full scale
  end
end

--- How much each feature carries: on validation queries, so that features can be chosen by it; on those of 'last' where
--- there are none.
local function importance_of(p, trained, data, split, last)
  local queries = last
  if split.valid and #split.valid > 0 then queries = protocol_of(data, split, p.eval):queries "valid" end
  return importance.of { model = trained, inputs = job.inputs(trained.encoder, data, split, queries),
    queries = queries, metric = ("ndcg_%d"):format(p.eval.k[1]), repeats = p.eval.importance, seed = p.seed }
end

--- Training events by rank of who has them, for a chart.
local function tail_of(rows, split)
  return tails.by_rank(rows:index_select(split.train):bincount(rows:max() + 1))
end

--- Ask the test events, once: the model, its baselines and, where there are any, oracles.
---@param p { eval?: table, seed: integer }
---@return table report  see docs/evaluation.md; with `text`, the table for people
function job.evaluate(p, trained, data, split)
  current.forbid "asks its test rows"
  p = settings.with(p, "eval")
  check_trained(trained, split, trained.kind)
  split:end_selection(("%s trained, epoch %d kept"):format(trained.kind, trained.epoch))
  local queries = protocol_of(data, split, p.eval):queries "test"
  check_window(queries, p.eval)
  local scorers = { model = job.scorer(trained, job.inputs(trained.encoder, data, split, queries)) }
  add_oracles(scorers, data, split, queries)
  local report = evaluate.ranking { queries = queries, scorers = scorers, k = p.eval.k, samples = p.eval.samples,
    seed = p.seed, trailing = p.eval.trailing }
  report.label = split.causal and "causal" or "not causal"
  local at = feature.rows(data)
  report.long_tail = { users = tail_of(at.users, split), items = tail_of(at.items, split) }
  report.test = { fingerprint = queries:fingerprint(), split = split.protocol, queries = queries.n }
  report.text = evaluate.table(report)
  if p.eval.importance > 0 then
    local words
    report.importance, words = importance_of(p, trained, data, split, queries)
    report.text = report.text .. "\n\n" .. words
  end
  return report
end

--- The texts of a string column by row, from 1, made when they are asked for.
local function texts(frame, name)
  return setmetatable({}, { __index = function(_, row) return frame:text(name, row) end,
    __len = function() return frame:rows() end })
end

local function seen_lists(data)
  local sequences <close> = metrics.sequences(data:user_rows(), data:item_rows(), data.users:rows())
  return sequences:lists()
end

--- The K best items of every user as of the last event, as CSV and JSON Lines.
---@param p { recommend?: table, eval?: table }
---@param folder string
---@return { csv: string, jsonl: string, rows: integer, tail: table }  tail: how often items stand in the lists, by rank
function job.recommend(p, trained, data, folder)
  p = settings.with(p, "recommend", "eval")
  local encoder, now = trained.encoder, as_of(data)
  local items = encoder:encode_items_at(data, now)
  local everyone = tensor.arange(data.users:rows())
  local vectors = job.scorer(trained, { users = encoder:encode_users(data.users), items = items, user_rows = everyone,
    events = encoder:encode_users_at(data, nil, now, { items = items }) })
  local request = { users = vectors.users, items = vectors.items, columns = vectors.columns, width = vectors.width,
    user_ids = texts(data.users, "user"), item_ids = texts(data.items, "item"), k = p.recommend.k,
    dir = files.make_folder(folder),
    excluded = p.recommend.exclude_seen and seen_lists(data) or nil }
  if p.eval.window and data.items:has "created" then
    local n = data.users:rows()
    request.item_time = data.items:column "created"
    request.from = tensor.full(now - text.milliseconds(p.eval.window), n, "i64")
    request.to = tensor.full(now, n, "i64")
  end
  local written, message, code = recommend.batch(request)
  if written then written.tail, written.times = tails.by_rank(written.times), nil end
  if written then log.info("  %s rows for %s users", text.count(written.rows), text.count(data.users:rows())) end
  return written, message, code
end

--- The champion on the test rows of a report, where it was measured on others: what a promotion compares with.
local function rival_of(p, publish, data, split, report)
  if split.state ~= "final" then split:end_selection "the report was made before" end -- by a run that kept it
  local eval = settings.read("eval", p.eval)
  local queries = protocol_of(data, split, eval):queries "test"
  if queries.n == 0 or not report.test or queries:fingerprint() ~= report.test.fingerprint then return nil end
  return rival.measure { name = publish.name, dir = publish.dir, fingerprint = report.test.fingerprint,
    queries = queries, k = eval.k, samples = eval.samples, seed = p.seed,
    scorer = function(champion) return job.scorer(champion, job.inputs(champion.encoder, data, split, queries)) end }
end

--- The last event that training knew, ms; nil for data without times.
local function trained_until(data, split)
  local known = split.valid and #split.valid > 0 and tensor.concat { split.train, split.valid } or split.train
  if not data.interactions:has "time" or #known == 0 then return nil end
  return data.interactions:column("time"):index_select(known):max()
end

--- Whose event was the last; nil where a shell would not read his id as one word.
local function user_of(data)
  local events = data.interactions
  local id = events:rows() > 0 and events:text("user", events:rows()) or ""
  return id:find "^[%w_.:@][%w_.:@%-]*$" and id or nil
end

--- What to do with a bundle, for people.
local function next_steps(published)
  local called, bundle, user = host.called, published.bundle, published.user or "ID"
  return ("  %s inspect %s\n  %s recommend %s --user %s -k 10\n  %s serve %s\n    and meanwhile: "
    .. "curl -s localhost:8080/recommend -H 'Content-Type: application/json' -d '{\"user\": \"%s\"}'"):format(called,
    bundle, called, bundle, user, called, bundle, user)
end

--- Publish a trained model as the next version of its name in p.publish.dir.
---@param p table  the recipe's parameters, which go into the manifest
---@param run string  the run that it comes from
---@param split? Split  that of the report: then a champion that was measured on other test rows is asked these, so that
---  a promotion compares like with like
---@return { bundle: string, user?: string }?, string?, string?  user: somebody whom the model knows
function job.publish(p, trained, data, report, run, split)
  current.forbid "publishes a model"
  local publish, window = settings.read("publish", p.publish), settings.read("eval", p.eval).window
  local path, message, code = registry.publish {
    rival = split and rival_of(p, publish, data, split, report), trained_until = split and trained_until(data, split),
    name = publish.name, dir = publish.dir, model = trained, dataset = data,
    history = trained.encoder:sequences(data), as_of = as_of(data),
    window = window and text.milliseconds(window), parameters = p, index = publish.index,
    metrics = report.metrics, intervals = report.intervals, test = report.test, run = run, seed = p.seed,
  }
  if not path then return nil, message, code end
  return { bundle = path, user = user_of(data) }
end

--- The fields that `--json` promises, from the report.
---@param written? { csv: string }     what job.recommend gave
---@param published? { bundle: string, user?: string }  what job.publish gave
---@return table
function job.result(report, trained, written, published)
  local result = { metrics = report.metrics, intervals = report.intervals, baselines = report.baselines,
    compared = report.compared, best_baseline = report.best_baseline, segments = report.segments,
    protocol = report.protocol, queries = report.queries, candidates = report.candidates, curves = trained.curves,
    label = report.label, epoch = trained.epoch, constant = trained.constant, threads = base.threads(),
    importance = report.importance, text = report.text, long_tail = report.long_tail }
  if report.long_tail and written then
    result.long_tail = { users = report.long_tail.users, items = report.long_tail.items, recommended = written.tail }
  end
  for name, values in pairs(report.others) do result[name] = values end
  result.paths = { bundle = published and published.bundle, recommendations = written and written.csv }
  if published then result.next_steps = next_steps(published) end
  return result
end

-- What is wrong with a task's parameters is told when it is planned, before the run; what a handle stands for is not
-- known then.

local function check(group, given)
  return not flow.is_handle(given) and settings.read(group, given) or nil
end

--- A check of groups of the first argument, for flow.check.
local function checks(...)
  local groups = { ... }
  return function(p)
    if flow.is_handle(p) then return end
    settings.with(p) -- it must be a table
    for _, group in ipairs(groups) do check(group, p[group]) end
  end
end

flow.check(job.load, function(p)
  p = check("data", p)
  if p and p.source ~= "news" and not files.exists(p.dir) then
    exit.usage_error("data.dir: there is no folder '%s'%s", p.dir, data_sources.hint(p))
  end
end)

-- What the results depend on, and which files are read, so that a result that would be the same is not made again.

--- The parameters as far as a step reads them: whole groups by name, or what a function picks.
local function parts(pick)
  return function(p, ...)
    if flow.is_handle(p) or type(p) ~= "table" then return p, ... end
    return pick(p), ...
  end
end

local function without(group, name)
  local copy = {}
  for key, value in pairs(group or {}) do copy[key] = key ~= name and value or nil end
  return copy
end

flow.identity(expect.all, function(data, expectations)
  for _, e in ipairs(type(expectations) == "table" and not flow.is_handle(expectations) and expectations or {}) do
    if e.expect == "fresh" then return nil, "it asks for the time of day" end
  end
  return data, expectations
end)
flow.identity(job.load, parts(function(p) return without(p, "memory") end))
flow.identity(job.train, parts(function(p)
  return { model = p.model, train = without(p.train, "checkpoint"), window = p.eval and p.eval.window or false,
    seed = p.seed }
end))
flow.identity(job.evaluate, parts(function(p) return { eval = p.eval, seed = p.seed } end))
flow.identity(job.recommend, parts(function(p)
  return { recommend = p.recommend, window = p.eval and p.eval.window or false }
end))
flow.identity(job.publish, parts(function(p) return without(p, "runs") end))

--- The files right in a folder, and those that the oracles of the news sample read.
flow.reads(job.load, function(p)
  if flow.is_handle(p) or type(p) ~= "table" or type(p.dir) ~= "string" then return nil end
  local list = {}
  for _, name in ipairs(files.names(p.dir)) do
    local path = p.dir .. "/" .. name
    local is_read = lfs.attributes(path, "mode") == "file" and not files.is_unfinished(name) or name == "hidden"
    if is_read then list[#list + 1] = path end
  end
  return list, p.source == "news" -- the sample is made where it is not there
end)

local function model_files(p)
  if flow.is_handle(p) or type(p) ~= "table" then return nil end
  local list = warm_start.files(p.train and p.train.warm_start)
  list[#list + 1] = p.model and lookup.model_file(p.model.kind) or nil
  return list
end

flow.reads(job.train, model_files)
flow.reads(feature.fit, function(_, _, _, options)
  return warm_start.files(type(options) == "table" and not flow.is_handle(options) and options.grow or nil)
end)
--- Whether a bundle is what its name stands for: there, and of no earlier version than another one.
local function is_latest(path)
  local dir, name = path:match "^(.*)/([^/]+)%-%d+%.tar$"
  local list = name and files.exists(path) and registry.list(name, dir) or {}
  if #list == 0 then return false end
  return list[#list].path == path, "a later version was published"
end

-- A trial is given no report that another run kept, and no bundle: it is refused both.
flow.valid(job.evaluate, function() return not current.is_trial(), "it is a trial" end)
flow.valid(job.publish, function(published)
  if current.is_trial() then return false, "it is a trial" end
  return is_latest(published.bundle)
end)

flow.check(job.split, function(_, p) check("split", p) end)
flow.check(job.train, function(p)
  checks("model", "train", "eval")(p)
  if flow.is_handle(p) then return end
  settings.doubt(p)
  if not flow.is_handle(p.model) then lookup.model(p.model.kind) end
end)
flow.check(job.evaluate, checks "eval")
flow.check(job.recommend, checks("recommend", "eval"))
flow.check(job.publish, checks("publish", "eval"))

return job

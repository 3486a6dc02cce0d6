--- Published protocols, run to the letter: what recipes/benchmarks/*.lua have in common. docs/benchmarks.md.
---
---   1. for each seed: train on the tuning split; its validation rows choose the epoch,
---   2. train anew on all training rows for that many epochs, at the learning rates that the epochs had,
---   3. when that is done for all seeds, open the test rows once and measure.
--- Papers that choose the epoch by the test rows report more than that: `eval.paper_style` prints such a figure beside,
--- labelled, after everything else.

local base = require "recsys.base"
local evaluate = require "recsys.evaluate"
local feature = require "recsys.feature"
local flow_of = require "recsys.flow"
local job = require "recsys.job"
local log = require "recsys.log"
local lookup = require "recsys.lookup"
local model = require "recsys.model"
local param = require("recsys.config").param
local reference = require "recsys.evaluate.reference"
local settings = require "recsys.settings"
local text = require "recsys.text"
local train = require "recsys.train"

local benchmark = {}

---@class Study
---@field data Dataset
---@field tune Split|fun(data: Dataset, seed: integer): Split   with validation rows; a function where each seed is a
---  split of its own
---@field final? Split|fun(data: Dataset, seed: integer): Split  all training rows, for the final model; nil: the
---  protocol trains on `tune.train` and no more, and the tuned model is the final one
---@field features table    declarations of features
---@field protocol fun(data: Dataset, split: Split): Protocol
---@field k integer         the cut-off
---@field metrics string[]  the columns: "recall", "ndcg", ...
---@field published { [1]: string, [2]: number[], [3]: string }[]  name, figures in order of the metrics, source
---@field references? { [1]: string, [2]: string, [3]: table? }[]  label, function of recsys.evaluate.reference, its
---  options; measured on the first seed's test rows
---@field rivals? { label: string, model: table, train: table? }[]  rows of the same table with other parameters: what
---  differs from the recipe's
---@field note? string      what the table should say of the protocol
---@field row? { published: string?, reach: number[]?, exact: boolean?, deterministic: boolean?, reference: table? }
---  the published row that the recipe is, and what it is to reach: recsys.benchmark.recipe

--- The parameters that every benchmark has, beside its own.
---@param own { data: table, model: table?, train: table?, eval: table? }
---@param deterministic? boolean  no seed plays a part: one by default
---@return table
function benchmark.params(own, deterministic)
  own.eval = own.eval or {}
  if own.model then
    own.eval.paper_style = param(false, "also train with the epoch chosen by test rows, as papers do; printed apart")
    own.eval.rivals = param(true, "also train the models that the recipe compares its own with, where it names some")
    own.eval.tune = param(own.eval.tune ~= false, "train on the tuning split first, whose validation rows choose the "
      .. "epoch; false: all of train.epochs, where there are training rows to train anew on")
  end
  own.eval.references = param(true, "also measure recommenders in closed form, which prove the evaluation")
  own.seeds = param(deterministic and 1 or 3, "how many times all is done, with seeds from `seed` on",
    { min = 1, max = 100 })
  return own
end

local function with_train(p, changes)
  return model.merge({}, p.train, changes)
end

--- The parameters of a rival.
local function of_rival(p, rival)
  return model.merge({}, p, { model = model.merge({}, p.model, rival.model),
    train = with_train(p, rival.train or {}) })
end

local function metric_of(study, name) return ("%s_%d"):format(name, study.k) end

--- A scorer of the model for some queries.
local function scorer_of(trained, study, split, queries)
  return job.scorer(trained, job.inputs(trained.encoder, study.data, split, queries))
end

--- Train p.model on the training rows of a split; `validate` measures after each epoch, nil where nothing chooses.
local function fit(p, study, split, encoder, options)
  local definition, file = lookup.model(p.model.kind)
  log.info("  model %s: %s", p.model.kind, file)
  return train.fit(definition, { kind = p.model.kind, config = p.model, train = with_train(p, options.train),
    encoder = encoder, data = study.data, split = split:selection(), metric = p.train.metric, seed = options.seed,
    validate = options.validate, checkpoint = flow_of.kept() })
end

--- Train on the tuning split; the epoch that is best on its validation rows is kept.
---@param split Split
---@return Model
function benchmark.tune(p, study, split, encoder, seed)
  p = settings.with(p, "model", "train")
  split = split:selection()
  if #split.valid == 0 then error("the tuning split has no validation rows", 0) end
  local queries = study.protocol(study.data, split):queries "valid"
  evaluate.ranking_for(queries, p.train.metric)
  local inputs = job.inputs(encoder, study.data, split, queries)
  return fit(p, study, split, encoder, { seed = seed, train = {}, validate = function(candidate)
    return evaluate.metric(queries, job.scorer(candidate, inputs), p.train.metric)
  end })
end

--- Train on all training rows for as many epochs as tuning chose; the learning rate falls as it did there.
---@param tuned Model|false  false: nothing was tuned, and all epochs are trained
---@return Model
function benchmark.retrain(p, study, split, encoder, seed, tuned)
  p = settings.with(p, "model", "train")
  return fit(p, study, split, encoder, { seed = seed,
    train = { epochs = tuned and tuned.epoch or p.train.epochs, rate_epochs = p.train.rate_epochs or p.train.epochs } })
end

local function values_of(study, means)
  local values = {}
  for i, name in ipairs(study.metrics) do values[i] = means[metric_of(study, name)] end
  return values
end

local function measured(study, queries, scorer)
  local values = values_of(study, evaluate.means(queries, scorer, { study.k }))
  base.release()
  return values
end

--- The metrics of the recipe's own recommender in closed form, in place of a model, and what they took.
local function of_reference(study, queries)
  local row, began = study.row.reference, base.clock()
  local values = measured(study, queries, reference[row[2]](queries, row[3]))
  return values, base.clock() - began
end

local function references_of(p, study, queries)
  local found = {}
  for i, row in ipairs(p.eval.references and study.references or {}) do
    found[i] = measured(study, queries, reference[row[2]](queries, row[3]))
    log.info("  %s is measured", row[1])
  end
  return found
end

--- Ask the test rows for a recommender in closed form: it learns from all training rows, and has nothing to tune.
---@param split Split  the final one
---@return { models: number[][], references: number[][], seconds: number[], queries: integer }
function benchmark.test_reference(p, study, split)
  if split.state == "selection" then split:end_selection "a closed form: nothing is chosen" end
  local queries, found = study.protocol(study.data, split):queries "test", { models = {}, seconds = {} }
  for i = 1, p.seeds do found.models[i], found.seconds[i] = of_reference(study, queries) end
  found.references, found.queries = references_of(p, study, queries), queries.n
  return found
end

--- Ask the test rows, once all models are trained: means of the study's metrics for each model and each reference.
---@param models Model[]
---@param splits Split[]  of each model
---@return { models: number[][], references: number[][], queries: integer }
function benchmark.test(p, study, models, splits)
  local found, first = { models = {} }, nil
  for i, trained in ipairs(models) do
    if splits[i].state == "selection" then
      splits[i]:end_selection(("%d models trained, %s"):format(#models,
        p.eval.tune and "their epochs chosen on validation rows" or "nothing tuned"))
    end
    local queries = i > 1 and splits[i] == splits[1] and first
      or study.protocol(study.data, splits[i]):queries "test"
    first = first or queries
    found.models[i] = measured(study, queries, scorer_of(trained, study, splits[i], queries))
  end
  found.references, found.queries = references_of(p, study, first), first.n
  return found
end

--- As papers do: all training rows, and the best epoch by the test rows. After benchmark.test alone.
---@return { values: number[], epoch: integer }
function benchmark.paper_style(p, study, split, encoder, seed)
  p = settings.with(p, "model", "train")
  local queries = study.protocol(study.data, split):queries "test"
  local inputs, best = job.inputs(encoder, study.data, split, queries), nil
  local trained = fit(p, study, split, encoder, { seed = seed, train = {}, validate = function(candidate)
    local means = evaluate.means(queries, job.scorer(candidate, inputs), { study.k })
    if not best or means[p.train.metric] > best[p.train.metric] then best = means end
    return means[p.train.metric]
  end })
  return { values = values_of(study, best), epoch = trained.epoch }
end

--- Mean and sample deviation of column i.
local function spread(rows, i)
  local sum, squares = 0, 0
  for _, row in ipairs(rows) do sum = sum + row[i] end
  local mean = sum / #rows
  for _, row in ipairs(rows) do squares = squares + (row[i] - mean) ^ 2 end
  return mean, #rows > 1 and (squares / (#rows - 1)) ^ 0.5 or 0
end

local function figures(label, values, source)
  local row = { label }
  for i, value in ipairs(values) do row[i + 1] = value and ("%.4f"):format(value) or "-" end
  row[#values + 2] = "  " .. source
  return row
end

--- What the model's training took, in its epochs: tuning, and training anew.
local function seconds_of(curves)
  local sum = 0
  for _, part in pairs(curves) do
    for _, row in ipairs(part) do sum = sum + row.seconds end
  end
  return sum
end

--- "this run; epochs 3, 4 chosen on validation rows; 85 s a seed".
local function remark_of(study, epochs, seconds)
  local sum = 0
  for _, took in ipairs(seconds) do sum = sum + took end
  local took = ("%s a seed"):format(text.duration(sum / #seconds))
  if study.row and study.row.deterministic then took = took .. "; deterministic, the same with every seed" end
  if study.row and study.row.reference then return ("  this run; closed form; %s"):format(took) end
  if #epochs == 0 then return ("  this run; nothing tuned; %s"):format(took) end
  return ("  this run; epochs %s chosen on validation rows; %s"):format(table.concat(epochs, ", "), took)
end

--- The row of a model's seeds; its means and deviations go into 'found'.
local function mean_row(study, label, seeds, epochs, found)
  local row = { #seeds == 1 and label .. ", one seed" or ("%s, mean of %d"):format(label, #seeds) }
  found.metrics, found.spread = {}, {}
  for i, name in ipairs(study.metrics) do
    local mean, deviation = spread(seeds, i)
    row[i + 1] = #seeds == 1 and ("%.4f"):format(mean) or ("%.4f ± %.4f"):format(mean, deviation)
    found.metrics[metric_of(study, name)], found.spread[metric_of(study, name)] = mean, deviation
  end
  row[#row + 1] = remark_of(study, epochs, found.seconds)
  return row
end

--- Whether a figure meets what it is to reach, both to the fourth digit.
local function meets(value, wanted, exact)
  local rounded = tonumber(("%.4f"):format(value))
  return exact and rounded == wanted or not exact and rounded >= wanted
end

--- The row of what is to be reached, and whether it is; fills outcome.reached.
local function reach_row(study, outcome)
  local row, short = study.row, {}
  for i, name in ipairs(study.metrics) do
    local metric = metric_of(study, name)
    if not meets(outcome.metrics[metric], row.reach[i], row.exact) then
      short[#short + 1] = ("%s by %+.4f"):format(metric, outcome.metrics[metric] - row.reach[i])
    end
  end
  outcome.reached = #short == 0
  return figures(row.exact and "to reach, to the fourth digit" or "to reach, at least", row.reach,
    outcome.reached and "reached" or "NOT REACHED: " .. table.concat(short, ", "))
end

--- What the recipe's row is held against, right behind its own figures: what to reach, and the published row.
local function aims(study, outcome, rows)
  if not study.row then return end
  if study.row.reach then rows[#rows + 1] = reach_row(study, outcome) end
  for _, row in ipairs(study.published) do
    if row[1] == study.row.published then
      rows[#rows + 1] = figures(row[1] .. ", published", row[2], row[3])
    end
  end
end

local function own_rows(study, label, outcome, rows)
  rows[#rows + 1] = mean_row(study, label, outcome.test.models, outcome.epochs, outcome)
  aims(study, outcome, rows)
  for i, values in ipairs(#outcome.test.models > 1 and outcome.test.models or {}) do
    rows[#rows + 1] = figures(("  seed %d"):format(outcome.seed + i - 1), values, "")
  end
  for _, rival in ipairs(outcome.rivals) do
    rows[#rows + 1] = mean_row(study, rival.label, rival.seeds, rival.epochs, rival)
  end
end

--- The table for people, with the published rows beside; fills outcome.metrics and outcome.spread.
local function table_of(p, study, outcome)
  local heading = { "" }
  for i, name in ipairs(study.metrics) do heading[i + 1] = metric_of(study, name) end
  heading[#heading + 1] = "  source"
  local rows = { heading }
  own_rows(study, p.model and p.model.kind or study.row.reference[1], outcome, rows)
  if outcome.paper_style then
    rows[#rows + 1] = figures(p.model.kind .. ", PAPER STYLE", outcome.paper_style.values,
      ("this run; epoch %d chosen by the TEST rows, not comparable with the rows above"):format(
        outcome.paper_style.epoch))
  end
  for i, values in ipairs(outcome.test.references) do
    rows[#rows + 1] = figures(study.references[i][1], values, "this run; closed form, proves the evaluation")
  end
  for _, row in ipairs(study.published) do
    if not study.row or row[1] ~= study.row.published then rows[#rows + 1] = figures(row[1], row[2], row[3]) end
  end
  return text.columns(rows) .. (study.note and "\n\n" .. study.note or "")
end

local function rivals_of(outcome)
  local list = {}
  for i, rival in ipairs(outcome.rivals) do
    list[i] = model.merge({ seconds_a_seed = rival.seconds }, rival)
    list[i].seconds, list[i].curves = nil, nil
  end
  return list
end

--- The recipe's result: mean and spread of each metric over the seeds, and the table.
function benchmark.result(p, study, outcome)
  outcome.seed = p.seed
  for _, of in ipairs { outcome, table.unpack(outcome.rivals) } do
    of.seconds = of.curves and {} or outcome.test.seconds
    for i, curves in ipairs(of.curves or {}) do of.seconds[i] = seconds_of(curves) end
  end
  for r, rival in ipairs(outcome.rivals) do -- behind the recipe's own models
    rival.seeds = table.move(outcome.test.models, r * p.seeds + 1, (r + 1) * p.seeds, 1, {})
  end
  outcome.test.models = table.move(outcome.test.models, 1, p.seeds, 1, {})
  local said = table_of(p, study, outcome)
  local published = {}
  for i, row in ipairs(study.published) do published[i] = { name = row[1], values = row[2], source = row[3] } end
  return { metrics = outcome.metrics, spread = outcome.spread, seeds = outcome.test.models, epochs = outcome.epochs,
    seconds_a_seed = outcome.seconds, reached = outcome.reached, reach = study.row and study.row.reach,
    rivals = rivals_of(outcome), references = outcome.test.references, paper_style = outcome.paper_style,
    queries = outcome.test.queries, columns = study.metrics, k = study.k, published = published, model = p.model,
    text = said }
end

local UNSAVED <const> = { save = false }

--- The splits and encoders of a seed: { tune, final, tuning, encoder }, handles all. Those that do not depend on the
--- seed are made once.
local function parts_of(flow, study, seed, known)
  if known and type(study.tune) ~= "function" then return known end
  local mark, made = type(study.tune) == "function" and "_" .. seed or "", {}
  for _, name in ipairs { "tune", "final" } do
    made[name] = study[name]
    if type(study[name]) == "function" then
      made[name] = flow:task(name .. "_split" .. mark, study[name], study.data, seed)
    end
  end
  made.tuning = flow:task("tune_features" .. mark, feature.fit, study.data, made.tune.train, study.features)
  made.encoder = made.tuning
  if made.final then
    made.encoder = flow:task("features" .. mark, feature.fit, study.data, made.final.train, study.features)
  end
  return made
end

local function parts_of_seeds(flow, p, study)
  local parts = {}
  for i = 1, p.seeds do parts[i] = parts_of(flow, study, p.seed + i - 1, parts[i - 1]) end
  return parts
end

--- The tasks that train the model of a seed: what was tuned, false where nothing is to be chosen, and the final model.
local function train_one(flow, p, study, part, seed, mark)
  local tuned = (p.eval.tune or not part.final)
    and flow:task(("tune_%d%s"):format(seed, mark), benchmark.tune, p, study, part.tune, part.tuning, seed)
  if not part.final then return tuned, tuned end
  return tuned, flow:task(("train_%d%s"):format(seed, mark), benchmark.retrain, p, study, part.final, part.encoder,
    seed, tuned)
end

--- The tasks that train a model for each seed, added to trained.models and trained.splits; the epochs that they chose
--- and their curves.
---@param mark string  behind the tasks' names
local function train_all(flow, p, study, parts, trained, mark)
  local epochs, curves = {}, {}
  for i, part in ipairs(parts) do
    local tuned, final = train_one(flow, p, study, part, p.seed + i - 1, mark)
    if tuned then epochs[i] = tuned.epoch end
    curves[i] = { tuned = tuned and tuned.curves or nil, final = part.final and final.curves }
    table.insert(trained.models, final)
    table.insert(trained.splits, part.final or part.tune)
  end
  return { epochs = epochs, curves = curves }
end

--- The tasks of a recipe whose row is a recommender in closed form.
local function run_reference(flow, p, study)
  local outcome = { epochs = {}, rivals = {} }
  outcome.test = flow:task("test", benchmark.test_reference, p, study, study.final or study.tune)
  return flow:task("table", UNSAVED, benchmark.result, p, study, outcome)
end

--- All tasks of a study; gives the recipe's result.
---@param flow table
---@param p table        the recipe's parameters, declared by benchmark.params
---@param study Study    data and splits may be handles
function benchmark.run(flow, p, study)
  if study.row and study.row.reference then return run_reference(flow, p, study) end
  local trained, parts = { models = {}, splits = {} }, parts_of_seeds(flow, p, study)
  local outcome = train_all(flow, p, study, parts, trained, "")
  outcome.rivals = {}
  for r, rival in ipairs(p.eval.rivals and study.rivals or {}) do
    outcome.rivals[r] = train_all(flow, of_rival(p, rival), study, parts, trained, "_rival_" .. r)
    outcome.rivals[r].label = rival.label
  end
  outcome.test = flow:task("test", benchmark.test, p, study, trained.models, trained.splits)
  if p.eval.paper_style then
    outcome.paper_style = flow:task("paper_style", benchmark.paper_style, p, study, trained.splits[1],
      parts[1].encoder, p.seed)
  end
  return flow:task("table", UNSAVED, benchmark.result, p, study, outcome)
end

flow_of.check(benchmark.tune, function(p)
  settings.with(p, "model", "train")
  lookup.model(p.model.kind)
end)

-- Their rows come from files of the data's folder, which `load` answers for; the model's file is theirs to name.
for _, fn in ipairs { benchmark.tune, benchmark.retrain } do
  flow_of.reads(fn, function(p)
    return p.model and not flow_of.is_handle(p.model) and { lookup.model_file(p.model.kind) } or nil
  end)
end

return benchmark

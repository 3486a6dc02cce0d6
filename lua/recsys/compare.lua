--- The comparative study: any set of families of recommenders on the same data, protocol, budget and report.
--- docs/comparing.md is the manual, recipes/compare.lua the recipe.
---
---   1. each family is tuned within the same budget, by validation rows alone (recsys.compare.tuning),
---   2. when all are chosen the test rows are opened, once for all of them (recsys.compare.testing),
---   3. each is published, and asked as a server would (recsys.compare.serving),
---   4. all of it is told, for a terminal, as Markdown and as a page (recsys.compare.report).

local check_metric = require "recsys.compare.metric"
local exit = require "recsys.exit"
local families = require "recsys.compare.families"
local features = require "recsys.compare.features"
local feature = require "recsys.feature"
local flow_of = require "recsys.flow"
local job = require "recsys.job"
local lookup = require "recsys.lookup"
local param = require("recsys.config").param
local report = require "recsys.compare.report"
local serving = require "recsys.compare.serving"
local settings = require "recsys.settings"
local testing = require "recsys.compare.testing"
local tracked = require "recsys.compare.tracked"
local tuning = require "recsys.compare.tuning"

local compare = {}

--- What a word for a budget stands for: trials of each family, and minutes for each, tuning included.
compare.budgets = { full = { trials = 8, minutes = 4 }, small = { trials = 2, minutes = 0.15 } }

local GRACE <const> = 2 -- times the budget after which a family's task is stopped, and
local SPARE <const> = 120 -- seconds beside it: what is prepared, and a round that cannot be cut

--- The parameters that a study has beside `data`, `split` and `eval`.
---@param own { data: table, split: table, eval: table }
---@return table
function compare.params(own)
  own.models = param({}, "which families to compare (recsys.compare.families); none: all that fit the data",
    { of = "string", distinct = true })
  own.budget = param("full", "what each family may spend: full, 8 trials and 4 minutes, or small, 2 and 0.15",
    { choices = { "full", "small" } })
  own.tuning = {
    trials = param(nil, "trials of each family; those of the budget when absent", { type = "integer", optional = true,
      min = 1, max = 10000 }),
    minutes = param(nil, "minutes for each family, tuning included; those of the budget when absent",
      { type = "number", optional = true, min = 0.01, unit = "minutes" }),
    sampler = param("tpe", "how values are chosen behind the first trial, which has the family's own",
      { choices = { "tpe", "random", "halton", "grid" } }),
    metric = param("ndcg_10", "the metric that epochs, trials and families are compared by"),
  }
  own.cold = { users = param(100, "people of the test who are asked anew as users that nobody knows", { min = 1 }),
    items = param(30, "items of the test that are posted anew as items that nobody knows", { min = 1 }) }
  own.speed = { requests = param(1000, "requests whose times are taken", { min = 10 }) }
  own.publish = { prefix = param("compare_", "before a family's name in the name of its bundle"),
    dir = param("artifacts/models", "where bundles lie", { form = "folder" }) }
  return own
end

--- The parameters with the budget spelt out: p.budget is then { trials, minutes }.
function compare.with_budget(p)
  local all, preset = {}, compare.budgets[p.budget]
  for name, value in pairs(p) do all[name] = value end
  all.budget = { name = p.budget, trials = p.tuning.trials or preset.trials, minutes = p.tuning.minutes
    or preset.minutes }
  return all
end

--- The families that a study compares, and why others are left out. Those that are asked for by name must fit.
---@param asked string[]
---@param items integer  of the catalogue
---@return string[] names
---@return { name: string, why: string }[] left
function compare.choose(asked, items)
  local names, left = {}, {}
  for _, name in ipairs(asked) do names[#names + 1] = families.of(name).name end
  if #names == 0 then
    for i, family in ipairs(families.list) do names[i] = family.name end
  end
  local chosen = {}
  for _, name in ipairs(names) do
    local fits, why = families.fits(families.of(name), { items = items })
    if not fits and #asked > 0 then exit.usage_error("models: %s cannot be trained here: %s", name, why) end
    table.insert(fits and chosen or left, fits and name or { name = name, why = why })
  end
  if #chosen == 0 then exit.usage_error "models: no family fits these data" end
  return chosen, left
end

local UNSAVED <const> = { save = false }

--- An encoder for each set of features that the families read, audited.
local function encoders_of(flow, p, data, split, names)
  local made = {}
  for _, name in ipairs(names) do
    local set = families.of(name).features
    if not made[set] then
      local declared = features.of(set, p.data.source)
      made[set] = flow:task("features_" .. set, feature.fit, data, split.train, declared)
      flow:task("audit_" .. set, job.audit, made[set], data, split, declared)
    end
  end
  return made
end

--- All tasks of a study; gives the recipe's result.
---@param flow table
---@param p table     the recipe's parameters, declared by compare.params
---@param data Dataset  a handle
---@param split Split   a handle
function compare.run(flow, p, data, split)
  p = compare.with_budget(p)
  check_metric(p.tuning.metric, "tuning.metric", p.eval.k)
  for _, name in ipairs(p.models) do families.of(name) end
  local names, left = compare.choose(p.models, flow:task("catalogue", compare.catalogue, data, split):value())
  local encoders, found = encoders_of(flow, p, data, split, names), {}
  local limit = { process = true, timeout = math.ceil(p.budget.minutes * 60 * GRACE + SPARE) }
  for i, name in ipairs(names) do
    found[i] = flow:task("tune_" .. name, limit, tuning.run, p, name, encoders[families.of(name).features], data, split)
  end
  local tested, served = flow:task("test", testing.run, p, found, data, split), {}
  for i, name in ipairs(names) do
    served[i] = flow:task("serve_" .. name, { process = true }, serving.run, p, found[i], tested, data, split,
      flow.name)
  end
  flow:task("track", { save = false, cache = false }, tracked.log, p, found, tested, served)
  return flow:task("report", UNSAVED, report.result, p, { found = found, test = tested, served = served, left = left },
    flow:path "comparison.html", flow:path "comparison.md")
end

--- How many items there are, which decides what fits. Raises where there will be nothing to ask.
function compare.catalogue(data, split)
  for part, n in pairs { validation = #split.valid, test = split.n_test } do
    if n == 0 then exit.usage_error("there is nothing to compare by: the split has no %s rows", part) end
  end
  return data.items:rows()
end

flow_of.check(tuning.run, function(p, name)
  settings.with(p, "eval")
  lookup.model(families.of(name).kind)
end)

flow_of.valid(tuning.run, function(result) return not result.failed, "it failed" end)

flow_of.reads(tuning.run, function(_, name)
  return { lookup.model_file(families.of(name).kind) }
end)

--- What a family's tuning depends on.
flow_of.identity(tuning.run, function(p, ...)
  if flow_of.is_handle(p) or type(p) ~= "table" then return p, ... end
  return { budget = { p.budget.trials, p.budget.minutes }, tuning = p.tuning, window = p.eval.window or false,
    source = p.data.source, seed = p.seed }, ...
end)

flow_of.identity(testing.run, function(p, ...)
  if flow_of.is_handle(p) or type(p) ~= "table" then return p, ... end
  return { eval = p.eval, metric = p.tuning.metric, cold = p.cold, seed = p.seed }, ...
end)

flow_of.identity(serving.run, function(p, ...)
  if flow_of.is_handle(p) or type(p) ~= "table" then return p, ... end
  return { eval = p.eval, publish = p.publish, cold = p.cold, speed = p.speed, seed = p.seed }, ...
end)

compare.families = families

return compare

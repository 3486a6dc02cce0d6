--- What the steps of a retrieval job read of a recipe's parameters, group by group: types, limits and defaults.
---
--- A recipe declares what it wants to be settable. What it leaves out, down to a whole group, has the default of this
--- table; what has none must be declared. `recsys.job` asks here, before a run begins and again in each step.

local config = require "recsys.config"
local exit = require "recsys.exit"
local log = require "recsys.log"
local text = require "recsys.text"

local param = config.param

local settings = {}

local groups = {
  data = {
    source = param(nil, "where the interactions come from, \"news\" or \"movielens\"", { type = "string" }),
    dir = param(nil, "the folder with the source's files", { type = "string", form = "folder" }),
    file = param(nil, "which file of the folder, for sources of one file", { type = "string", optional = true }),
    scale = param(0.03, "size of the news sample: 1 is 3.5 million events", { min = 1e-6, max = 10 }),
    sample_seed = param(1, "start of the news sample's random numbers"),
    memory = param(nil, "memory for columns, features and tensors, such as 256M; the rest lies in files",
      { type = "string", optional = true, form = "bytes" }),
    bad_limit = param(0.01, "share of malformed rows from which on loading fails", { min = 0, max = 1 }),
  },
  split = {
    kind = param(nil, "how to hold out events", { type = "string", choices = { "leave_last_out", "random", "time" } }),
    valid = param(0.1, "share of validation events (time, random)", { min = 0, max = 0.9 }),
    test = param(0.1, "share of test events (time, random)", { min = 0, max = 0.9 }),
  },
  model = {
    kind = param(nil, "the name of a file in models/", { type = "string" }),
  },
  train = {
    epochs = param(10, "passes over the training events at the most", { min = 1 }),
    batch = param(1024, "events a step, or users with all their events (train.by)", { min = 1 }),
    by = param("row", "what a batch counts: \"row\", or \"user\" for losses over the catalogue",
      { choices = { "row", "user" } }),
    rows_per_epoch = param(nil, "events an epoch, drawn anew each time; all when absent",
      { type = "integer", optional = true, min = 1 }),
    user_cap = param(nil, "events an epoch of one user at the most, drawn anew each time; all when absent",
      { type = "integer", optional = true, min = 1 }),
    log_q_window = param(nil, "span before the last training event that items' shares are counted over; default all",
      { type = "string", optional = true, form = "span" }),
    weight = param(nil, "column of the interactions that says how much each training event counts; all 1 when absent",
      { type = "string", optional = true }),
    warm_start = param(nil, "a model to go on from: a bundle, a published name, or the folder of a run's task",
      { type = "string", optional = true }),
    rate_epochs = param(nil, "epochs that the learning rate is laid out for; those of `epochs` when absent",
      { type = "integer", optional = true, min = 1 }),
    optimizer = param("adam", "how weights move", { choices = { "adam", "adamw", "adagrad", "sgd" } }),
    learning_rate = param(2e-3, "at its peak", { min = 0 }),
    weight_decay = param(0.0, "pull towards 0, of embeddings on the rows that a step uses", { min = 0 }),
    warmup = param(0.2, "epochs until the learning rate peaks", { min = 0 }),
    clip = param(0.0, "largest norm of all gradients; 0: no limit", { min = 0 }),
    patience = param(2, "epochs without a better metric before training stops", { min = 1 }),
    min_delta = param(0.0, "by how much a metric must be better for the patience to begin anew", { min = 0 }),
    checkpoint = param(60.0, "seconds between checkpoints, beside one after each epoch; 0: none", { min = 0 }),
    metric = param("ndcg_10", "the validation metric that chooses the epoch"),
  },
  eval = {
    k = param({ 10, 50 }, "cut-offs of the metrics", { min = 1, distinct = true }),
    window = param(nil, "age at which an item stops being a candidate", { type = "string", optional = true,
      form = "span" }),
    trailing = param(nil, "window of the trailing-popularity baselines", { type = "string", optional = true,
      form = "span" }),
    samples = param(1000, "bootstrap resamples of users", { min = 10, max = 1000000 }),
    importance = param(0, "permutations of each feature, to tell how much it carries; 0: none", { min = 0, max = 100 }),
  },
  recommend = {
    k = param(50, "items a user", { min = 1 }),
    exclude_seen = param(true, "leave out what a user engaged with before"),
  },
  publish = {
    name = param(nil, "the name of the bundle", { type = "string", form = "model" }),
    dir = param("artifacts/models", "where bundles lie", { form = "folder" }),
    index = param(nil, "what serving finds items by, \"exact\" or \"hnsw\"; by their number when absent",
      { type = "string", optional = true, choices = { "exact", "hnsw" } }),
  },
}

--- One group, complete. Raises { code = "usage" } for a value of another type, outside its limits, or missing.
---@param group string   "data", "split", "model", "train", "eval", "recommend" or "publish"
---@param given? table   the recipe's p[group]; what is not in the table above stays as it is
---@return table
function settings.read(group, given)
  return config.complete(group, groups[group], given)
end

local function doubt_name(group, name, given)
  for known in pairs(groups[group][name] and {} or groups[group]) do
    if given[known] == nil and #name > 3 and text.distance(name, known) <= 2 then
      log.warn("no step reads %s.%s, which the recipe declares; is %s.%s meant?", group, name, group, known)
    end
  end
end

--- Warn of declared names that no step reads and that are two letters or fewer away from one that is not declared:
--- typing errors in the recipe itself, which would train with a default.
---@param p table  all parameters
function settings.doubt(p)
  for group in pairs(groups) do
    for name in pairs(p[group] or {}) do doubt_name(group, name, p[group]) end
  end
end

--- All parameters of a recipe, with some groups complete.
---@param p table
---@param ... string  the groups
---@return table
function settings.with(p, ...)
  if type(p) ~= "table" then exit.usage_error("the recipe's parameters, p, are expected, not %s", tostring(p)) end
  local all = {}
  for name, value in pairs(p) do all[name] = value end
  for _, group in ipairs { ... } do all[group] = settings.read(group, p[group]) end
  return all
end

return settings

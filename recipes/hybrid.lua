--- The hybrid job: a transformer over the history beside the two towers, ranked as one list, evaluated and published.
---
---     recsys-run recipes/hybrid.lua                                             a news app's sample, made on the spot
---     recsys-run recipes/hybrid.lua --set data.source=movielens --set data.dir=DIR
---     recsys-run recipes/hybrid.lua --set model.part=transformer                the transformer alone

local recsys = require "recsys"
local job    = recsys.job
local param  = recsys.config.param
local tune   = recsys.tune

return recsys.recipe {
  name   = "hybrid",
  about  = "Train, evaluate and publish a transformer beside two towers",
  params = {
    data = {
      source = param("news", "where the interactions come from", { choices = { "news", "movielens" } }),
      dir    = param("artifacts/data/news", "the source's files; the news sample is made when absent",
        { form = "folder" }),
      scale  = param(0.03, "size of the news sample: 1 is 3.5 million events", { min = 1e-6, max = 10 }),
    },
    split = {
      kind  = param("time", "how to hold out events", { choices = { "time", "leave_last_out", "random" } }),
      valid = param(0.1, "share of validation events (time, random)", { min = 0, max = 0.5 }),
      test  = param(0.1, "share of test events (time, random)", { min = 0, max = 0.5 }),
    },
    model = {
      kind        = param("hybrid", "a file in models/"),
      part        = param("both", "what ranks", { choices = { "both", "two_tower", "transformer" } }),
      dim         = param(64, "width of the two towers' embeddings and vectors", { min = 1, max = 8192 }),
      share       = param(0.3, "the transformer's share of a score when training begins", { min = 0.01, max = 0.99 }),
      apart       = param(0.0, "how much of the loss asks each part to rank by itself", { min = 0, max = 1 }),
      hidden      = param({}, "sizes of the towers' hidden layers; none: linear towers",
        { of = "integer", min = 1, max = 65536 }),
      dropout     = param(0.1, "share of hidden units dropped in training", { min = 0, max = 0.95 }),
      blocks      = param(1, "blocks of the transformer", { min = 1, max = 64 }),
      heads       = param(2, "attention heads; they divide sequence_dim", { min = 1, max = 64 }),
      sequence_dim = param(64, "width of the transformer, and of its part's vectors", { min = 1, max = 8192 }),
      sequence_hidden = param({}, "sizes of the hidden layers of its part's towers",
        { of = "integer", min = 1, max = 65536 }),
      sequence_dropout = param(0.1, "share dropped within the transformer in training", { min = 0, max = 0.95 }),
      pool        = param("mean", "what the transformer gives: the mean of its events, or the last one's",
        { choices = { "mean", "last" } }),
      similarity  = param("cosine", "how user and item meet", { choices = { "cosine", "dot" } }),
      temperature = param(0.15, "divides the similarity", { min = 1e-3 }),
      catalogue   = param(false, "softmax over all items in place of the batch's, where items do not age"),
      log_q       = param(true, "correct in-batch negatives by how often they are met"),
      policy      = param(true, "learn apart what the app preferred before it showed items by chance, if data tell"),
      mask_seen   = param(true, "leave out as negatives what the user is known to like by all of training"),
      id_dropout  = param(0.5, "share of items trained without their id, as new ones are met", { min = 0, max = 1 }),
    },
    train = {
      epochs         = param(6, "passes over the training events at the most", { min = 1 }),
      by             = param("row", "what a batch counts", { choices = { "row", "user" } }),
      batch          = param(2048, "events a step, or users", { min = 2 }),
      rows_per_epoch = param(nil, "events an epoch, drawn anew each time; all when absent",
        { type = "integer", optional = true, min = 1 }),
      learning_rate  = param(0.014, "at its peak", { min = 0 }),
      warmup         = param(0.2, "epochs until the learning rate peaks; then it falls as a cosine",
        { min = 0, unit = "epochs" }),
      patience       = param(2, "epochs without a better metric before training stops", { min = 1, unit = "epochs" }),
    },
    eval = {
      k        = param({ 10, 50 }, "cut-offs of the metrics", { min = 1, distinct = true }),
      window   = param("7d", "age at which an item stops being a candidate", { type = "string", optional = true,
        form = "span" }),
      trailing = param("1d", "window of the trailing-popularity baselines", { form = "span" }),
    },
    publish = {
      name = param("hybrid", "name of the bundle", { form = "model" }),
      dir  = param("artifacts/models", "where bundles lie", { form = "folder" }),
    },
  },
  profiles = { by = "data.source", news = { model = { sequence_dim = 16, sequence_hidden = { 64 } } }, movielens = {
    split = { kind = "leave_last_out" },
    train = { epochs = 5, rows_per_epoch = 500000, learning_rate = 0.01 },
    model = { pool = "last", temperature = 0.1, id_dropout = 0.0, policy = false, mask_seen = false },
    eval  = { window = "", trailing = "30d" },
  } },
  search = {
    ["model.share"]         = tune.quantised(0.1, 0.5, 0.1),
    ["model.temperature"]   = tune.log_uniform(0.05, 0.5),
    ["train.learning_rate"] = tune.log_uniform(2e-3, 2e-2),
  },
  run = function(flow, p)
    local declarations = require("recipes.features." .. p.data.source .. "_sequence")
    local data    = flow:task("load",     job.load, p.data, flow:path "quarantine")
    local split   = flow:task("split",    job.split, data, p.split, p.seed)
    local encoder = flow:task("features", recsys.feature.fit, data, split.train, declarations)
    flow:task("audit", job.audit, encoder, data, split, declarations)
    local model   = flow:task("train",    job.train, p, encoder, data, split, flow:path "curves.csv")
    local report  = flow:task("evaluate", job.evaluate, p, model, data, split)
    local written = flow:task("recommend", job.recommend, p, model, data, flow:path "recommendations")
    local bundle  = flow:task("publish",  job.publish, p, model, data, report, flow.name, split)
    return flow:task("report", job.result, report, model, written, bundle)
  end,
}

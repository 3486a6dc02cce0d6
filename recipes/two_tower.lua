--- The main job: data to features, two towers, evaluation, recommendations, and a bundle to serve.
---
---     recsys-run recipes/two_tower.lua                                          a news app's sample, made on the spot
---     recsys-run recipes/two_tower.lua --set data.source=movielens --set data.dir=DIR
---     recsys-run recipes/two_tower.lua --set model.kind=engagement --set train.epochs=3

local recsys = require "recsys"
local job    = recsys.job
local param  = recsys.config.param
local tune   = recsys.tune

return recsys.recipe {
  name   = "two_tower",
  about  = "Train, evaluate and publish a two-tower retriever",
  params = {
    data = {
      source    = param("news", "where the interactions come from", { choices = { "news", "movielens" } }),
      dir       = param("artifacts/data/news", "the source's files; the news sample is made when absent",
        { form = "folder" }),
      scale     = param(0.03, "size of the news sample: 1 is 3.5 million events", { min = 1e-6, max = 10 }),
      memory    = param(nil, "memory for columns, features and tensors, such as 256M; the rest lies in files",
        { type = "string", optional = true, form = "bytes" }),
      bad_limit = param(0.01, "share of malformed rows from which on loading fails", { min = 0, max = 1 }),
    },
    split = {
      kind  = param("time", "how to hold out events", { choices = { "time", "leave_last_out", "random" } }),
      valid = param(0.1, "share of validation events (time, random)", { min = 0, max = 0.5 }),
      test  = param(0.1, "share of test events (time, random)", { min = 0, max = 0.5 }),
    },
    model = {
      kind        = param("two_tower", "a file in models/: two_tower, engagement, multi_task, or your own"),
      dim         = param(64, "width of embeddings and of both towers' outputs", { min = 1, max = 8192 }),
      hidden      = param({}, "sizes of the towers' hidden layers, such as 128; none: linear towers",
        { of = "integer", min = 1, max = 65536 }),
      dropout     = param(0.1, "share of hidden units dropped in training", { min = 0, max = 0.95 }),
      similarity  = param("cosine", "how user and item meet", { choices = { "cosine", "dot" } }),
      temperature = param(0.15, "divides the similarity", { min = 1e-3 }),
      learn_temperature = param(false, "let training move the temperature"),
      heads       = param(0, "ways in which histories are pooled by learned weights; 0: by their mean", { min = 0,
        max = 64 }),
      queries     = param(false, "let the pools weigh events by what they are, too (attention pooling)"),
      history_dropout = param(0.0, "share of events left out of each pool in training", { min = 0, max = 0.95 }),
      interests   = param(0, "vectors of a user, merged by the best score; 0 or 1: one", { min = 0, max = 64 }),
      log_q       = param(true, "correct in-batch negatives by how often they are met"),
      drawn       = param(0, "negatives drawn from the catalogue for each batch, beside its own items", { min = 0 }),
      bias        = param(true, "learn a popularity term for each item"),
      policy      = param(true, "learn apart what the app preferred before it showed items by chance, if data tell"),
      position    = param(nil, "the event-side input that says where an item stood, for training alone",
        { type = "string", optional = true }),
      mask_seen   = param(true, "leave out as negatives what the user is known to like by all of training"),
      ignored     = param(nil, "list column of the interactions with the items that were shown and left: negatives too",
        { type = "string", optional = true }),
      ignored_most = param(10, "of each such list the first so many", { min = 1 }),
      ignored_weight = param(1.0, "what one of them counts beside a column of the batch", { min = 1e-6 }),
      hard_negatives = param(0, "negatives an event that the model itself ranked highest; 0: none", { min = 0 }),
      hard_every  = param(1, "epochs after which they are searched for anew", { min = 1 }),
      id_dropout  = param(0.5, "share of items trained without their id, as new ones are met", { min = 0, max = 1 }),
      user_dropout = param(0.1, "share of users trained without their id, for new ones", { min = 0, max = 1 }),
      dwell       = param("seconds", "the column with the time that a user stayed (multi_task)"),
      dwell_weight = param(0.1, "what the error of its logarithm counts beside the softmax (multi_task)", { min = 0 }),
      rank_dwell  = param(0.0, "what the predicted logarithm counts in a ranking (multi_task)", { min = 0 }),
      negatives   = param(4, "sampled negatives a row (engagement)", { min = 0 }),
    },
    train = {
      epochs         = param(6, "passes over the training events at the most", { min = 1 }),
      batch          = param(2048, "events a step", { min = 2 }),
      rows_per_epoch = param(nil, "events an epoch, drawn anew each time; all when absent",
        { type = "integer", optional = true, min = 1 }),
      user_cap       = param(nil, "events an epoch of one user at the most, drawn anew each time",
        { type = "integer", optional = true, min = 1 }),
      weight         = param(nil, "column of the interactions that says how much each event counts; all 1 when absent",
        { type = "string", optional = true }),
      log_q_window   = param(nil, "span before the last training event that items' shares are counted over",
        { type = "string", optional = true, form = "span" }),
      warm_start     = param(nil, "a model to go on from: a bundle, a published name, or a run's task folder",
        { type = "string", optional = true }),
      optimizer      = param("adam", "how weights move", { choices = { "adam", "adamw", "adagrad", "sgd" } }),
      learning_rate  = param(0.014, "at its peak", { min = 0 }),
      weight_decay   = param(0.0, "pull towards 0, of embeddings on the rows that a step uses", { min = 0 }),
      warmup         = param(0.2, "epochs until the learning rate peaks; then it falls as a cosine",
        { min = 0, unit = "epochs" }),
      clip           = param(0.0, "largest norm of all gradients; 0: no limit", { min = 0 }),
      patience       = param(2, "epochs without a better metric before training stops", { min = 1, unit = "epochs" }),
      min_delta      = param(0.0, "by how much a metric must be better for the patience to begin anew", { min = 0 }),
      checkpoint     = param(60.0, "seconds between checkpoints, beside one after each epoch; 0: none",
        { min = 0, unit = "s" }),
      metric         = param("ndcg_10", "the validation metric that chooses the epoch"),
    },
    eval = {
      k        = param({ 10, 50 }, "cut-offs of the metrics", { min = 1, distinct = true }),
      window   = param("7d", "age at which an item stops being a candidate", { type = "string", optional = true,
        form = "span" }),
      trailing = param("1d", "window of the trailing-popularity baselines", { form = "span" }),
      samples  = param(1000, "bootstrap resamples of users", { min = 10, max = 1000000 }),
      importance = param(0, "permutations of each feature, to tell how much it carries; 0: none",
        { min = 0, max = 100 }),
    },
    recommend = {
      k            = param(50, "items a user", { min = 1 }),
      exclude_seen = param(true, "leave out what a user engaged with before"),
    },
    publish = {
      name = param("two_tower", "name of the bundle", { form = "model" }),
      dir  = param("artifacts/models", "where bundles lie", { form = "folder" }),
      index = param(nil, "what serving finds items by; by their number when absent", { type = "string", optional = true,
        choices = { "exact", "hnsw" } }),
    },
  },
  profiles = { by = "data.source", movielens = {
    split = { kind = "leave_last_out" },
    train = { batch = 2048, epochs = 5, rows_per_epoch = 500000, learning_rate = 0.01 },
    model = { temperature = 0.1, id_dropout = 0.0, user_dropout = 0.0, policy = false, mask_seen = false },
    eval  = { window = "", trailing = "30d" },
  } },
  search = {
    ["model.dim"]           = tune.choice { 32, 64, 96 },
    ["model.temperature"]   = tune.log_uniform(0.05, 0.5),
    ["model.id_dropout"]    = tune.quantised(0, 0.9, 0.1),
    ["train.learning_rate"] = tune.log_uniform(1e-3, 5e-2),
    ["train.batch"]         = tune.choice { 1024, 2048 },
  },
  run = function(flow, p)
    local declarations = require("recipes.features." .. p.data.source)
    local data    = flow:task("load",     job.load, p.data, flow:path "quarantine")
    local split   = flow:task("split",    job.split, data, p.split, p.seed)
    local grow    = { grow = p.train.warm_start }
    local encoder = flow:task("features", recsys.feature.fit, data, split.train, declarations, grow)
    flow:task("audit", job.audit, encoder, data, split, declarations, grow)
    local model   = flow:task("train",    job.train, p, encoder, data, split, flow:path "curves.csv")
    local report  = flow:task("evaluate", job.evaluate, p, model, data, split)
    local written = flow:task("recommend", job.recommend, p, model, data, flow:path "recommendations")
    local bundle  = flow:task("publish",  job.publish, p, model, data, report, flow.name, split)
    return flow:task("report", job.result, report, model, written, bundle)
  end,
}

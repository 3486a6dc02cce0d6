--- MovieLens-100K as TensorFlow Recommenders' tutorials use it: 80,000 ratings train and 20,000 test, at random; an
--- item is a title, all 1,664 titles are candidates, rated ones too; top-100 accuracy, the share of test rows whose
--- title is among the first 100. TensorFlow's shuffle cannot be had outside of it: each seed is a split of its own.
---
---     recsys-run recipes/benchmarks/ml_100k.lua --set data.dir=DIR

local recsys = require "recsys"
local benchmark, data, evaluate, feature = recsys.benchmark, recsys.data, recsys.evaluate, recsys.feature
local job, param = recsys.job, recsys.config.param
local movielens = require "recsys.data.movielens"

local published = {
  { "two towers, [32]", { .27 }, "TFRS tutorial deep_recommenders, 300 epochs" },
  { "two towers, [64, 32]", { .29 }, "TFRS tutorial deep_recommenders, 300 epochs" },
}

local features = {
  user = { feature.id { "user" } },
  event = { feature.buckets { "moment", n = 1000 } },
  item = { feature.id { "item" }, feature.tokens { "title" } },
}

local function split(all, seed) return data.split_random(all, { valid = 0.08, test = 0.2, seed = seed }) end
local function final_split(all, seed) return data.split_random(all, { test = 0.2, seed = seed }) end

return recsys.recipe {
  name = "benchmark_ml_100k",
  about = "MovieLens-100K, titles at random 80/20: top-100 accuracy beside the published figures",
  params = benchmark.params {
    data = { source = param("movielens", "the layout of the files", { choices = { "movielens" } }),
      dir = param("artifacts/data/ml-100k", "u.data, u.user and u.item", { form = "folder" }) },
    model = { kind = param("two_tower", "a file in models/"), dim = param(32, "width of the towers", { min = 1 }),
      hidden = param({ 64 }, "sizes of the hidden layers", { of = "integer", min = 1 }), dropout = 0.0,
      temperature = 0.2, bias = true, log_q = param(true, "correct in-batch negatives; the tutorial does not: 0.31"),
      id_dropout = 0.0 },
    train = { epochs = 30, batch = 2048, learning_rate = 3e-3, weight_decay = 0.0, patience = 5, metric = "hit_100" },
  },
  run = function(flow, p)
    local films = flow:task("load", job.load, p.data, flow:path "quarantine")
    local all = flow:task("titles", movielens.by_title, films)
    return benchmark.run(flow, p, { data = all, tune = split, final = final_split, features = features,
      protocol = evaluate.protocol_per_event, k = 100, metrics = { "hit" }, published = published,
      references = { { "popularity", "popularity" } } })
  end,
}

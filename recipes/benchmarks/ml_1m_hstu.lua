--- MovieLens-1M as HSTU uses it: all 3,706 movies, the last one of each user held out, the second-last trained on; left
--- out of the ranking are the 200 movies before alone. Not comparable with recipes/benchmarks/ml_1m.lua.
---
---     recsys-run recipes/benchmarks/ml_1m_hstu.lua --set data.dir=DIR

local recsys = require "recsys"
local benchmark, data, evaluate, feature = recsys.benchmark, recsys.data, recsys.evaluate, recsys.feature
local job, param = recsys.job, recsys.config.param

local published = {
  { "SASRec, 128 negatives", { .2853, .1603 }, "facebookresearch/generative-recommenders" },
  { "HSTU", { .3097, .1720 }, "facebookresearch/generative-recommenders" },
  { "HSTU-large", { .3294, .1893 }, "facebookresearch/generative-recommenders" },
}

local features = {
  user = { feature.id { "user" } },
  event = { feature.history { of = "id", length = 200, name = "history_200" },
    feature.history { of = "id", length = 10, name = "history_10" },
    feature.history { of = "id", length = 3, name = "history_3" },
    feature.history { of = "id", length = 1, name = "history_1" } },
  item = { feature.id { "item" } },
}

local function final_split(all) return data.split_leave_last_out(all, { valid = false }) end
local function protocol(all, split) return evaluate.protocol_leave_last_out(all, split, { seen = 200 }) end

return recsys.recipe {
  name = "benchmark_ml_1m_hstu",
  about = "MovieLens-1M, HSTU's protocol: HR@10 and NDCG@10 beside the published figures",
  params = benchmark.params {
    data = { source = param("movielens", "the layout of the files", { choices = { "movielens" } }),
      dir = param("artifacts/data/ml-1m", "ratings.dat, users.dat and movies.dat", { form = "folder" }) },
    model = { kind = param("two_tower", "a file in models/"), dim = param(64, "width of the towers", { min = 1 }),
      hidden = param({ 128 }, "sizes of the hidden layers", { of = "integer", min = 1 }), dropout = 0.1,
      temperature = 0.07, bias = true, log_q = true, id_dropout = 0.0 },
    train = { epochs = 10, batch = 4096, learning_rate = 2e-3, weight_decay = 0.0, patience = 2, metric = "ndcg_10" },
  },
  run = function(flow, p)
    local all = flow:task("load", job.load, p.data, flow:path "quarantine")
    local tune = flow:task("tune_split", data.split_leave_last_out, all)
    local final = flow:task("final_split", final_split, all)
    return benchmark.run(flow, p, { data = all, tune = tune, final = final, protocol = protocol, features = features,
      k = 10, metrics = { "hit", "ndcg" }, published = published,
      references = { { "popularity", "popularity" } } })
  end,
}

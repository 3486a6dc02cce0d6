--- MovieLens-1M as Neural Collaborative Filtering publishes it: each user's latest movie among 99 given ones he has not
--- rated; HR@10 and NDCG@10. Tuned on a second leave-one-out within the training file, with negatives drawn alike.
---
---     recsys-run recipes/benchmarks/ml_1m_ncf.lua --set data.dir=DIR
---
--- The model's parameters were chosen on the second leave-one-out: with all positives alike and 64 dimensions it gave
--- HR@10 .7579 and NDCG@10 .4834; with 128 dimensions and positives weighed by recency NDCG@10 .5123.

local recsys = require "recsys"
local benchmark, data, evaluate, feature = recsys.benchmark, recsys.data, recsys.evaluate, recsys.feature
local job, param = recsys.job, recsys.config.param
local ncf = require "recsys.data.ncf"

local published = {
  { "Popularity", { .4535, .2543 }, "Rendle et al. 2020" },
  { "SLIM", { .7162, .4468 }, "Rendle et al. 2020" },
  { "iALS, previous", { .7111, .4383 }, "Rendle et al. 2020" },
  { "NeuMF", { .7093, .4349 }, "Rendle et al. 2020" },
  { "MF, d = 192", { .7294, .4523 }, "Rendle et al. 2020" },
  { "iALS, d = 64", { .722, .445 }, "Rendle et al. 2022" },
  { "EASE, l2 1000", { .7182, .4511 }, "measured apart on the same files" },
}

local function tune_split(all) return data.split_given(all, ncf.hold_out(all)) end
local function final_split(all) return data.split_given(all, ncf.parts(all)) end
local function protocol(all, split)
  return evaluate.protocol_per_event(all, split, { candidates = ncf.candidates(all, split, 1) })
end

return recsys.recipe {
  name = "benchmark_ml_1m_ncf",
  about = "MovieLens-1M, leave-one-out with 99 given negatives: HR@10 and NDCG@10 beside the published figures",
  params = benchmark.params {
    data = { source = param("ncf", "the layout of the files", { choices = { "ncf" } }),
      dir = param("artifacts/data/ml-1m-ncf", "NAME.train.tsv, .test.rating, .test.negative", { form = "folder" }) },
    model = { kind = param("catalogue_mf", "a file in models/"),
      dim = param(128, "width of the embeddings", { min = 1 }), similarity = "cosine", bias = true, loss = "softmax",
      temperature = 0.15, negatives = param(0, "items drawn for a batch; 0: all there are", { min = 0 }),
      recency = { span = 30.0, floor = 0.15 } },
    train = { epochs = 40, batch = 512, by = "user", learning_rate = 0.1, weight_decay = 0.0, patience = 5,
      warmup = 0.0, metric = "ndcg_10" },
  },
  profiles = { by = "model.kind",
    mf = { train = { epochs = 20, batch = 4096, by = "row", learning_rate = 5e-3, patience = 3 } } },
  run = function(flow, p)
    local all = flow:task("load", job.load, p.data, flow:path "quarantine")
    local tune, final = flow:task("tune_split", tune_split, all), flow:task("final_split", final_split, all)
    return benchmark.run(flow, p, { data = all, tune = tune, final = final, protocol = protocol,
      features = { user = { feature.id { "user" } }, item = { feature.id { "item" } } },
      k = 10, metrics = { "hit", "ndcg" }, published = published,
      references = { { "popularity", "popularity" }, { "EASE, l2 1000", "ease", { l2 = 1000 } },
        { "EASE, l2 500", "ease", { l2 = 500 } } } })
  end,
}

--- MovieLens-1M as SASRec, BERT4Rec and gSASRec use it: each user's last movie among all 3,416 that he has not met
--- before; HR@10 and NDCG@10. His second-last movie validates and trains nothing, at the test too: what was tuned is
--- what is tested.
---
---     recsys-run recipes/benchmarks/ml_1m.lua --set data.dir=DIR

local recsys = require "recsys"
local benchmark, data, evaluate, feature = recsys.benchmark, recsys.data, recsys.evaluate, recsys.feature
local job, param = recsys.job, recsys.config.param

local published = {
  { "SASRec, BCE, 1 negative", { .2500, .1341 }, "antklen/sasrec-bert4rec-recsys23" },
  { "SASRec, BCE", { .2392, .1259 }, "asash/gSASRec-pytorch" },
  { "BERT4Rec", { .2843, .1537 }, "antklen/sasrec-bert4rec-recsys23" },
  { "BERT4Rec", { .2821, .1516 }, "asash/bert4rec_repro" },
  { "gSASRec, 256 negatives", { .3003, .1726 }, "asash/gSASRec-pytorch" },
  { "SASRec+, full softmax", { .3152, .1821 }, "antklen/sasrec-bert4rec-recsys23" },
}

--- What the pools are worth: the same model with the plain mean of the history, and users and items by their ids alone.
local rivals = {
  { label = "next_item, plain mean", model = { heads = 0 } },
  { label = "mf, ids alone", model = { kind = "mf" }, train = { epochs = 20, learning_rate = 6e-3 } },
}

local features = {
  user = { feature.id { "user" } },
  event = { feature.history { of = "id", length = 50 } },
  item = { feature.id { "item" } },
}

return recsys.recipe {
  name = "benchmark_ml_1m",
  about = "MovieLens-1M, leave-one-out, all items ranked: HR@10 and NDCG@10 beside the published figures",
  params = benchmark.params {
    data = { source = param("sasrec", "the layout of the file", { choices = { "sasrec", "s3rec" } }),
      dir = param("artifacts/data/ml-1m-sasrec", "the folder with ml-1m.txt", { form = "folder" }),
      file = param(nil, "which file of the folder, where there are several", { type = "string", optional = true }) },
    model = { kind = param("next_item", "a file in models/: next_item pools the history and has no attention; mf knows "
        .. "ids alone"), dim = param(64, "width of the embeddings", { min = 1 }),
      heads = param(6, "ways in which the history is pooled by learned weights; 0: by its mean", { min = 0, max = 64 }),
      queries = param(false, "let the pools weigh movies by what they are, too"), history_dropout = 0.2,
      hidden = param({ 256 }, "sizes of the hidden layers", { of = "integer", min = 1 }), dropout = 0.2,
      temperature = 0.07, bias = true, log_q = true, id_dropout = 0.0 },
    train = { epochs = 4, batch = 1024, learning_rate = 2e-3, weight_decay = 0.0, patience = 2, metric = "ndcg_10" },
  },
  run = function(flow, p)
    local all = flow:task("load", job.load, p.data, flow:path "quarantine")
    local split = flow:task("split", data.split_leave_last_out, all)
    return benchmark.run(flow, p, { data = all, tune = split, protocol = evaluate.protocol_leave_last_out,
      features = features, k = 10, metrics = { "hit", "ndcg" }, published = published, rivals = rivals,
      references = { { "popularity", "popularity" } } })
  end,
}

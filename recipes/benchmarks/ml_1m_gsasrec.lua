--- gSASRec on MovieLens-1M: SASRec by the generalised binary cross-entropy (Petrov & Macdonald 2023,
--- doi:10.1145/3604915.3608783), 256 negatives and t = .75 as published. Theirs are drawn for each event; here all
--- items count as those drawn do on average: 256 that a user's events share leave NDCG@10 on validation rows at .049
--- after seven epochs, in place of .16. Scores are trained less a constant (centred), without which it hardly begins.
---
---     recsys-run recipes/benchmarks/ml_1m_gsasrec.lua --set data.dir=DIR

local feature = require "recsys.feature"
local ml_1m = require "recsys.benchmark.ml_1m"
local param = require("recsys.config").param

return ml_1m.recipe {
  name = "ml_1m_gsasrec",
  about = "MovieLens-1M, leave-one-out, all items ranked: gSASRec beside its published figures",
  model = { kind = "sas_rec", dim = param(128, "width of embeddings and blocks", { min = 1 }),
    blocks = param(2, "of attention and a feed-forward layer", { min = 1 }),
    heads = param(1, "of each block's attention", { min = 1 }),
    dropout = param(0.2, "of embeddings, attention and layers", { min = 0, max = 0.95 }),
    norm = param("pre", "where layers are normalised", { choices = { "pre", "post" } }), bias = false,
    loss = "gbce",
    negatives = param(256, "drawn for an event", { min = 0 }),
    sampling = param("expected", "what negatives are", { choices = { "expected", "uniform" } }),
    calibration = param(0.75, "t of gBCE", { min = 0, max = 1 }), temperature = 1.0, centred = true },
  train = { epochs = 20, batch = 64, by = "user", learning_rate = 2e-3, warmup = 1.0, patience = 5 },
  features = { user = { feature.id { "user" } }, event = { feature.history { of = "id", length = 200 } },
    item = { feature.id { "item" } } },
  reach = { .295, .168 }, published = "gSASRec, 256 negatives",
}

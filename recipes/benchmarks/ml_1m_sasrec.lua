--- SASRec on MovieLens-1M as its own file has it, trained by the softmax over all movies on sequences of 200 (Kang
--- & McAuley 2018; Klenitskiy & Vasilev 2023, doi:10.1145/3604915.3610644, whose SASRec+ it stands beside). Width,
--- blocks and dropout are theirs; longer users are cut into several sequences, where theirs keep the last 200 alone.
--- With these alone, and first values of .1 in place of .02, NDCG@10 on validation rows ends at .1816; so at .1932.
---
---     recsys-run recipes/benchmarks/ml_1m_sasrec.lua --set data.dir=DIR

local feature = require "recsys.feature"
local ml_1m = require "recsys.benchmark.ml_1m"
local param = require("recsys.config").param

return ml_1m.recipe {
  name = "ml_1m_sasrec",
  about = "MovieLens-1M, leave-one-out, all items ranked: SASRec by the full softmax beside its published figures",
  model = { kind = "sas_rec", dim = param(128, "width of embeddings and blocks", { min = 1 }),
    blocks = param(2, "of attention and a feed-forward layer", { min = 1 }),
    heads = param(1, "of each block's attention", { min = 1 }),
    dropout = param(0.2, "of embeddings, attention and layers", { min = 0, max = 0.95 }),
    norm = param("pre", "where layers are normalised", { choices = { "pre", "post" } }), bias = false,
    loss = "softmax", negatives = 0, temperature = 1.0 },
  train = { epochs = 24, batch = 64, by = "user", learning_rate = 2e-3, warmup = 1.0, patience = 5 },
  features = { user = { feature.id { "user" } }, event = { feature.history { of = "id", length = 200 } },
    item = { feature.id { "item" } } },
  reach = { .31, .18 }, published = "SASRec+, full softmax",
}

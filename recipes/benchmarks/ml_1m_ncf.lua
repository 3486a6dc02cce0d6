--- MovieLens-1M as Neural Collaborative Filtering publishes it: each user's latest movie among 99 given ones he has not
--- rated; HR@10 and NDCG@10. Tuned on a second leave-one-out within the training file, with negatives drawn alike.
---
---     recsys-run recipes/benchmarks/ml_1m_ncf.lua --set data.dir=DIR
---
--- The model's parameters were chosen on the second leave-one-out: with all positives alike and 64 dimensions it gave
--- HR@10 .7579 and NDCG@10 .4834; with 128 dimensions and positives weighed by recency NDCG@10 .5123.

local ml_1m_ncf = require "recsys.benchmark.ml_1m_ncf"
local param = require("recsys.config").param

return ml_1m_ncf.recipe {
  name = "ml_1m_ncf",
  model = { kind = param("catalogue_mf", "a file in models/"),
    dim = param(128, "width of the embeddings", { min = 1 }), similarity = "cosine", bias = true, loss = "softmax",
    temperature = 0.15, negatives = param(0, "items drawn for a batch; 0: all there are", { min = 0 }),
    recency = { span = 30.0, floor = 0.15 } },
  train = { epochs = 40, batch = 512, by = "user", learning_rate = 0.1, patience = 5 },
  profiles = { by = "model.kind",
    mf = { train = { epochs = 20, batch = 4096, by = "row", learning_rate = 5e-3, patience = 3 } } },
  published = "MF, d = 192",
}

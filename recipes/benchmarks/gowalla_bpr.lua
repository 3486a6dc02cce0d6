--- Matrix factorisation by BPR on Gowalla, in batches of 2,048 rows, each against the item that the model of the moment
--- ranks highest among 32 drawn evenly. On tune_valid.txt Recall@20 is .1478 with one item drawn (decay .02), with the
--- highest of 16 .1680 (decay .005) and .1832 (.02), of 32 .1962 (.03).
---
---     recsys-run recipes/benchmarks/gowalla_bpr.lua --set data.dir=DIR

local gowalla = require "recsys.benchmark.gowalla"

return gowalla.recipe {
  name = "gowalla_bpr",
  about = "Gowalla, LightGCN's split: matrix factorisation by BPR beside its published figures",
  model = { kind = "pairwise_mf", dim = 64, loss = "bpr", among = 32, decay = 0.03 },
  train = { epochs = 30, batch = 2048, learning_rate = 5e-3, patience = 30 },
  reach = { .1627, .1378 }, published = "MF-BPR",
}

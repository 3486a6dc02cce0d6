--- LightGCN on Gowalla with a softmax against the batch's negatives, as Wu et al. 2022 (arXiv:2201.02327) train it: one
--- layer, temperature .12, negatives as a batch meets items, the cosine in training and the product in ranking; a
--- positive counts by itself. It is recipes/benchmarks/gowalla_light_gcn_bsl.lua with an emphasis of 1. Batches have
--- 16,384 rows.
---
---     recsys-run recipes/benchmarks/gowalla_light_gcn.lua --set data.dir=DIR

local gowalla = require "recsys.benchmark.gowalla"

return gowalla.recipe {
  name = "gowalla_light_gcn",
  about = "Gowalla, LightGCN's split: LightGCN beside its published figures",
  model = { kind = "light_gcn", dim = 64, layers = 1, spectral = false, score = "dot", negatives = 2048,
    sampling = "popularity", loss = "bilateral", temperature = 0.12, positive_temperature = 12.0, emphasis = 0.01 },
  train = { epochs = 30, rate_epochs = 300, batch = 16384, learning_rate = 0.01, patience = 30 },
  reach = { .182, .154 }, published = "LightGCN",
}

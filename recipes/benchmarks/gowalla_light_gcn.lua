--- LightGCN on Gowalla with a softmax against what a batch meets, as Wu et al. 2022 (arXiv:2201.02327) train it: one
--- layer, temperature .12, the cosine in training and the product in ranking; a positive counts by itself. Theirs meets
--- the items of its batch; here all items count as often as a batch meets them on average, without the noise of a draw.
--- It is recipes/benchmarks/gowalla_light_gcn_bsl.lua with an emphasis of 1. A batch is 1,024 users, of 27,800 rows.
---
---     recsys-run recipes/benchmarks/gowalla_light_gcn.lua --set data.dir=DIR

local gowalla = require "recsys.benchmark.gowalla"

return gowalla.recipe {
  name = "gowalla_light_gcn",
  about = "Gowalla, LightGCN's split: LightGCN beside its published figures",
  model = { kind = "light_gcn", dim = 64, layers = 1, spectral = false, score = "dot", negatives = 0,
    sampling = "popularity", loss = "bilateral", temperature = 0.12, positive_temperature = 12.0, emphasis = 0.01 },
  train = { epochs = 60, rate_epochs = 300, by = "user", batch = 1024, learning_rate = 0.03, patience = 60 },
  reach = { .182, .154 }, published = "LightGCN",
}

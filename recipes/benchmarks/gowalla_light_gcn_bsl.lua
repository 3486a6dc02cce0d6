--- LightGCN with the bilateral softmax on Gowalla, against all items, in batches of 2,048 users with all their training
--- rows (about 49,000), from the singular vectors of the graph on. Temperature .08 and emphasis 1.22 are those that Wu
--- et al. publish for Gowalla; a positive counts by itself (a positive temperature of 100 times), as in their program.
--- On tune_valid.txt Recall@20 is .2098 after 12 epochs.
---
---     recsys-run recipes/benchmarks/gowalla_light_gcn_bsl.lua --set data.dir=DIR

local gowalla = require "recsys.benchmark.gowalla"

return gowalla.recipe {
  name = "gowalla_light_gcn_bsl",
  about = "Gowalla, LightGCN's split: LightGCN with the bilateral softmax beside its published figures",
  model = { kind = "light_gcn", dim = 64, layers = 2, spectral = true, negatives = 0, loss = "bilateral",
    temperature = 0.08, positive_temperature = 8.0, emphasis = 0.0122 },
  train = { epochs = 12, batch = 2048, by = "user", learning_rate = 0.05, patience = 12 },
  reach = { .187, .157 }, published = "LightGCN + BSL, 64-d",
}

--- LightGCN with the bilateral softmax on Gowalla as Wu et al. publish it: one layer, temperature .12, emphasis .84,
--- negatives as a batch meets items, the cosine in training and the product in ranking; a positive counts by itself (a
--- positive temperature of 100 times). Theirs meets the 2,048 items of its batch; here all items count as often as a
--- batch meets them on average, a user's own among them, without the noise of a draw. A batch is 640 users, of 17,400
--- rows; rates fit that, and in 90 epochs they fall by a fifth. Theirs is best after 154 epochs.
---
---     recsys-run recipes/benchmarks/gowalla_light_gcn_bsl.lua --set data.dir=DIR
---
--- Validation rows would choose otherwise: those of tune_valid.txt are drawn from train.txt evenly, and test rows are
--- of more popular items (met 91 times in train.txt on average, against 75). By the cosine against all items alike
--- (temperature .08, emphasis 1.22, two layers from the singular vectors on) Recall@20 is .2098 on the former and .1720
--- on the latter.

local gowalla = require "recsys.benchmark.gowalla"

return gowalla.recipe {
  name = "gowalla_light_gcn_bsl",
  about = "Gowalla, LightGCN's split: LightGCN with the bilateral softmax beside its published figures",
  model = { kind = "light_gcn", dim = 64, layers = 1, spectral = false, score = "dot", negatives = 0,
    sampling = "popularity", loss = "bilateral", temperature = 0.12, positive_temperature = 12.0, emphasis = 0.0084,
    rivals = "all" },
  train = { epochs = 90, rate_epochs = 300, by = "user", batch = 640, learning_rate = 0.025, patience = 90 },
  eval = { tune = false },
  reach = { .187, .157 }, published = "LightGCN + BSL, 64-d",
}

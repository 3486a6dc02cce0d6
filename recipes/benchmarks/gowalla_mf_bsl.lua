--- Matrix factorisation with the bilateral softmax on Gowalla, mostly with what Wu et al. publish for it: cosine,
--- temperature .08, emphasis 1.22, batches of 1,024 rows against 800 items drawn evenly, 390 epochs; a positive counts
--- by itself (a positive temperature of 100 times). Our negatives are the batch's, theirs each row's own: ours are
--- noisier, for which the learning rate falls to 0 where theirs stays, and a fifth of the user's numbers is left out in
--- place of their tenth.
---
---     recsys-run recipes/benchmarks/gowalla_mf_bsl.lua --set data.dir=DIR

local gowalla = require "recsys.benchmark.gowalla"

return gowalla.recipe {
  name = "gowalla_mf_bsl",
  about = "Gowalla, LightGCN's split: matrix factorisation with the bilateral softmax beside its published figures",
  model = { kind = "catalogue_mf", dim = 64, similarity = "cosine", bias = false, negatives = 800,
    sampling = "uniform", loss = "bilateral", temperature = 0.08, positive_temperature = 8.0, emphasis = 0.0122,
    dropout = 0.2 },
  train = { epochs = 390, batch = 1024, learning_rate = 2e-3, patience = 390 },
  eval = { tune = false },
  reach = { .187, .157 }, published = "MF + BSL, 64-d",
}

--- EASE on Gowalla, with the penalty that BARS publishes: one matrix of 40,981 x 40,981 numbers in f32, 6.7 GB.
---
---     recsys-run recipes/benchmarks/gowalla_ease.lua --set data.dir=DIR

local gowalla = require "recsys.benchmark.gowalla"

return gowalla.recipe {
  name = "gowalla_ease",
  about = "Gowalla, LightGCN's split: EASE in closed form beside its published figures",
  model = { kind = "ease", l2 = 80.0, precision = "f32", keep = 0 }, train = { epochs = 1 },
  eval = { tune = false }, -- nothing is to be chosen, and it takes minutes
  features = require("recsys.compare.features").of("known", "gowalla"), deterministic = true,
  reach = { .1765, .1467 }, exact = true, published = "EASE, l2 80",
  references = { { "popularity", "popularity" } },
}

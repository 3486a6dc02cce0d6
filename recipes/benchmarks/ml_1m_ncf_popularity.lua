--- Popularity on MovieLens-1M among 99 given negatives: training events counted, items of one count at the mean of all
--- orders. The published figures are of one order.
---
---     recsys-run recipes/benchmarks/ml_1m_ncf_popularity.lua --set data.dir=DIR

local ml_1m_ncf = require "recsys.benchmark.ml_1m_ncf"

return ml_1m_ncf.recipe {
  name = "ml_1m_ncf_popularity",
  about = "MovieLens-1M, 99 given negatives: popularity beside its published figures",
  model = { kind = "popularity", window = "", half_life = "", segment = "" }, train = { epochs = 1 },
  deterministic = true, reach = { .4531, .2541 }, published = "Popularity",
  references = { { "popularity", "popularity" } },
}

--- EASE on MovieLens-1M among 99 given negatives.
---
---     recsys-run recipes/benchmarks/ml_1m_ncf_ease.lua --set data.dir=DIR

local ml_1m_ncf = require "recsys.benchmark.ml_1m_ncf"

return ml_1m_ncf.recipe {
  name = "ml_1m_ncf_ease",
  about = "MovieLens-1M, 99 given negatives: EASE in closed form beside its published figures",
  model = { kind = "ease", l2 = 1000.0, precision = "f32", keep = 0 }, train = { epochs = 1 },
  features = require("recsys.compare.features").of("known", "movielens"), deterministic = true,
  reach = { .7182, .4511 }, exact = true, published = "EASE, l2 1000",
  references = { { "popularity", "popularity" } },
}

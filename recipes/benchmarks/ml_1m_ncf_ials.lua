--- iALS on MovieLens-1M's leave-one-out with 99 given negatives, 64 wide: the protocol of the published row.
---
---     recsys-run recipes/benchmarks/ml_1m_ncf_ials.lua --set data.dir=DIR
---
--- unobserved and regularization were chosen on the second leave-one-out, whose NDCG@10, of 10 rounds the best, was
--- .4972 with .3 and .004, .4965 with .2 and .006, .4959 with .3 and .006. A user is solved from all that he has in
--- training.

local feature = require "recsys.feature"
local ml_1m_ncf = require "recsys.benchmark.ml_1m_ncf"
local param = require("recsys.config").param

return ml_1m_ncf.recipe {
  name = "ml_1m_ncf_ials",
  about = "MovieLens-1M, leave-one-out with 99 given negatives: iALS, 64 wide, beside its published figures",
  features = { user = { feature.id { "user" } }, item = { feature.id { "item" } },
    event = { feature.history { of = "id", length = 2400, name = "known" } } },
  model = { kind = "ials", dim = param(64, "width of the factors", { min = 1 }), unobserved = 0.3,
    regularization = 0.004, scaling = 1.0, deviation = 0.1, steps = 0 },
  train = { epochs = 12, patience = 12 },
  published = "iALS, d = 64", reach = { .720, .443 },
}

--- GF-CF on Gowalla: a graph filter in closed form, lua/recsys/evaluate/reference.lua. 40 iterations take the singular
--- vectors to where further ones move no figure.
---
---     recsys-run recipes/benchmarks/gowalla_gf_cf.lua --set data.dir=DIR

local gowalla = require "recsys.benchmark.gowalla"

return gowalla.recipe {
  name = "gowalla_gf_cf",
  about = "Gowalla, LightGCN's split: GF-CF in closed form beside its published figures",
  reference = { "GF-CF", "gf_cf", { iterations = 40 } }, references = { { "popularity", "popularity" } },
  reach = { .1849, .1518 }, exact = true, published = "GF-CF",
}

--- Filters on attributes, a cap, diversity and freshness: a request with everything.

local served = require "recsys.bench.served"
local serving = require "recsys.bench.serving"

return serving.row("filters", {
  about = "POST /recommend with a filter of two attributes, a cap, diversity and freshness",
  body = function(i)
    return { user = served.user(i), k = 20, filter = { language = "language-" .. i % 2 + 1,
      kind = { "kind-1", "kind-" .. i % 6 + 2 } }, caps = { source = 3 }, diversity = { lambda = 0.8 },
      freshness = { boost = 0.3, half_life = "2d" } }
  end,
})

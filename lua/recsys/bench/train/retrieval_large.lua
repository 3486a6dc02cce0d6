--- Two towers over a million users and 200,000 items: tables far larger than the cache, of which a step touches little.
local interactions = require "recsys.bench.interactions"
local retrieval = require "recsys.bench.retrieval"

return retrieval.row("a step of two towers, 1,000,000 users x 200,000 items, batch 4,096, sparse updates",
  interactions.large,
  { steps = 40, small = interactions.movielens,
    peers = { torch = "retrieval.py torch sparse", torch_tuned = "tuned retrieval.py torch sparse" },
    target = { times = { torch = 3, torch_tuned = 1.5 } } })

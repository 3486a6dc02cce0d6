--- Two towers over ids and static features, at the size of MovieLens-1M: users and items of a batch repeat.
local interactions = require "recsys.bench.interactions"
local retrieval = require "recsys.bench.retrieval"

return retrieval.row("a step of two towers, ids and static features, batch 4,096, in-batch softmax",
  interactions.movielens,
  { steps = 40,
    peers = { torch = "retrieval.py torch adam", torch_tuned = "tuned retrieval.py torch adam",
      torch_1_13 = "old retrieval.py torch adam" },
    target = { times = { torch = 8, torch_tuned = 4 }, memory_times = { torch = 2 }, share_of_peak = 0.6 } })

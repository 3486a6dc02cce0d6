--- Two towers, the user's with the last 50 items before each event: only items repeat in a batch.
local interactions = require "recsys.bench.interactions"
local retrieval = require "recsys.bench.retrieval"

return retrieval.row("a step of two towers, the user's with a history of 50 items, batch 4,096, in-batch softmax",
  interactions.movielens,
  { steps = 40, history = 50,
    peers = { torch = "retrieval.py torch adam", torch_tuned = "tuned retrieval.py torch adam" },
    target = { times = { torch = 4, torch_tuned = 2 }, memory_times = { torch = 2 }, share_of_peak = 0.6 } })

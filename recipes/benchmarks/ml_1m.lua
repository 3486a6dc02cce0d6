--- MovieLens-1M as SASRec, BERT4Rec and gSASRec use it: each user's last movie among all 3,416 that he has not met
--- before; HR@10 and NDCG@10. His second-last movie validates and trains nothing, at the test too: what was tuned is
--- what is tested.
---
---     recsys-run recipes/benchmarks/ml_1m.lua --set data.dir=DIR

local ml_1m = require "recsys.benchmark.ml_1m"
local param = require("recsys.config").param

--- What the pools are worth: the same model with the plain mean of the history, and users and items by their ids alone.
local rivals = {
  { label = "next_item, plain mean", model = { heads = 0 } },
  { label = "mf, ids alone", model = { kind = "mf" }, train = { epochs = 20, learning_rate = 6e-3 } },
}

return ml_1m.recipe {
  name = "ml_1m",
  model = { kind = param("next_item", "a file in models/: next_item pools the history and has no attention; mf knows "
      .. "ids alone"), dim = param(64, "width of the embeddings", { min = 1 }),
    heads = param(6, "ways in which the history is pooled by learned weights; 0: by its mean", { min = 0, max = 64 }),
    queries = param(false, "let the pools weigh movies by what they are, too"), history_dropout = 0.2,
    hidden = param({ 256 }, "sizes of the hidden layers", { of = "integer", min = 1 }), dropout = 0.2,
    temperature = 0.07, bias = true, log_q = true, id_dropout = 0.0 },
  train = { epochs = 4, batch = 1024, learning_rate = 2e-3, patience = 2 },
  rivals = rivals,
}

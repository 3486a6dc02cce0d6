--- Exact top-K of many users: 10,400 users x 8,170 items, vectors 96 wide, the 50 best.

local catalogue = require "recsys.bench.catalogue"
local retrieval = require "recsys.retrieval"
local tensor = require "recsys.tensor"

local USERS, ITEMS, WIDTH, K = 10400, 8170, 96, 50

return {
  about = "exact top-50 of 10,400 users x 8,170 items, 96 dimensions",
  one_thread = true, unit = "user",
  per = function(arguments) return arguments.n_users end,
  prepare = function(folder, options)
    local users = math.ceil(USERS * options.scale)
    return { users = catalogue.normal(folder, "batch_users", users, WIDTH), n_users = users, k = K,
      items = catalogue.normal(folder, "batch_items", ITEMS, WIDTH) }
  end,
  setup = function(arguments)
    return { users = assert(tensor.load_npy(arguments.users)), items = assert(tensor.load_npy(arguments.items)) }
  end,
  run = function(state)
    local _, scores = retrieval.topk { users = state.users, items = state.items, k = K }
    return catalogue.check(scores)
  end,
  peers = { torch = "topk.py torch batch", faiss = "topk.py faiss batch" },
  target = { fastest = 1.4 },
}

--- The exact answer to one query at a time: 1 million items, vectors 64 wide, the 100 best of all. Ours looks at 8 bits
--- a number first; `scored`, a share, tells of how many items the product was computed.

local catalogue = require "recsys.bench.catalogue"
local retrieval = require "recsys.retrieval"
local tensor = require "recsys.tensor"

local ITEMS, WIDTH, K, QUERIES, SECONDS = 1000000, 64, 100, 50, 5e-3

return {
  about = "exact top-100 of 1,000,000 items, 64 dimensions, one query at a time",
  one_thread = true, unit = "query",
  per = function(arguments) return arguments.queries end,
  prepare = function(folder, options)
    local items = math.ceil(ITEMS * options.scale)
    return { users = catalogue.clustered(folder, "queries", QUERIES, WIDTH), queries = QUERIES, k = K,
      items = catalogue.clustered(folder, "items", items, WIDTH) }
  end,
  setup = function(arguments)
    local users = assert(tensor.load_npy(arguments.users))
    local state = { index = retrieval.exact(assert(tensor.load_npy(arguments.items))), users = {} }
    for i = 1, QUERIES do state.users[i] = users:narrow(1, i, 1) end
    return state
  end,
  run = function(state)
    local found, looked, scored = {}, 0, 0
    for i = 1, QUERIES do
      local _, scores, stats = state.index:search { users = state.users[i], k = K }
      found[i], looked, scored = scores, looked + stats.looked, scored + stats.scored
    end
    state.share = scored / looked
    return catalogue.check(tensor.concat(found, 1))
  end,
  facts = function(state) return { scored = state.share } end,
  judge = function(sides)
    local reached = sides.recsys.seconds / QUERIES
    return { { what = "seconds a query", reached = reached, wanted = SECONDS, holds = reached <= SECONDS } }
  end,
  peers = { torch = "topk.py torch single", faiss = "topk.py faiss single" },
}

--- What a worker of a server searches for a request: 9,100 items, vectors 64 wide, the 50 best without 100 that were
--- seen, on one thread. The peer is what a service in Python does in one go: a product, argpartition, a sort.

local base = require("recsys.core").base
local bench = require "recsys.bench"
local catalogue = require "recsys.bench.catalogue"
local retrieval = require "recsys.retrieval"
local tensor = require "recsys.tensor"

local ITEMS, WIDTH, K, QUERIES, SEEN = 9100, 64, 50, 2000, 100

local function lists(arguments)
  local starts, values = tensor.arange(QUERIES) * SEEN, assert(tensor.load_npy(arguments.seen))
  return { starts = starts:to "i64", lengths = tensor.full(SEEN, QUERIES, "i32"), values = values }
end

return {
  about = "exact top-50 of 9,100 items, 64 dimensions, without 100 seen ones, on one thread",
  unit = "query",
  per = function(arguments) return arguments.queries end,
  prepare = function(folder)
    return { users = catalogue.clustered(folder, "users", QUERIES, WIDTH), queries = QUERIES, k = K,
      items = catalogue.clustered(folder, "small", ITEMS, WIDTH), each = SEEN,
      seen = bench.once(folder .. "/seen.npy", function(part)
        assert(tensor.save_npy(part, base.stream(29, "user", 6, 0):integers(QUERIES * SEEN, ITEMS):to "i32"))
      end) }
  end,
  setup = function(arguments)
    base.threads(1)
    return { users = assert(tensor.load_npy(arguments.users)), excluded = lists(arguments),
      index = retrieval.exact(assert(tensor.load_npy(arguments.items))) }
  end,
  run = function(state)
    local _, scores, stats = state.index:search { users = state.users, k = K, excluded = state.excluded }
    state.share = stats.scored / stats.looked
    return catalogue.check(scores)
  end,
  facts = function(state) return { scored = state.share } end,
  peers = { numpy = "topk.py numpy request" },
}

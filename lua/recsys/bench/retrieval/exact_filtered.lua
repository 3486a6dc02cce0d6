--- One query at a time over the items that a filter lets pass, drawn at random: a half, a twentieth, a hundredth of 1
--- million; vectors 64 wide, the 100 best. The facts tell each filter's milliseconds a query.

local base = require("recsys.core").base
local bench = require "recsys.bench"
local catalogue = require "recsys.bench.catalogue"
local retrieval = require "recsys.retrieval"
local tensor = require "recsys.tensor"

local ITEMS, WIDTH, K, QUERIES = 1000000, 64, 100, 20
local FILTERS = { half = 0.5, twentieth = 0.05, hundredth = 0.01 }

return {
  about = "exact top-100 of the items that a filter lets pass, of 1,000,000, one query at a time",
  one_thread = true, unit = "query",
  per = function(arguments) return 3 * arguments.queries end,
  prepare = function(folder, options)
    local items = math.ceil(ITEMS * options.scale)
    local arguments = { users = catalogue.clustered(folder, "queries", QUERIES, WIDTH), queries = QUERIES, k = K,
      items = catalogue.clustered(folder, "items", items, WIDTH), filters = {} }
    for name, share in pairs(FILTERS) do
      arguments.filters[name] = bench.once(("%s/filter-%d-%s.npy"):format(folder, items, name), function(part)
        local draw = base.stream(29, "user", 5, #name):uniforms(items)
        assert(tensor.save_npy(part, draw:lt(share):to "u8"))
      end)
    end
    return arguments
  end,
  setup = function(arguments)
    local users = assert(tensor.load_npy(arguments.users))
    local state = { index = retrieval.exact(assert(tensor.load_npy(arguments.items))), users = {}, filters = {} }
    for i = 1, QUERIES do state.users[i] = users:narrow(1, i, 1) end
    for name, path in pairs(arguments.filters) do
      state.filters[name] = retrieval.bitmap(assert(tensor.load_npy(path)))
    end
    return state
  end,
  run = function(state)
    local check, total = {}, 0
    state.facts = {}
    for name, filter in pairs(state.filters) do
      local found, began, scored = {}, base.clock(), 0
      for i = 1, QUERIES do
        local _, scores, stats = state.index:search { users = state.users[i], k = K, allow = filter }
        found[i], scored = scores, scored + stats.scored
      end
      local seconds = base.clock() - began
      state.facts[name .. "_ms"], state.facts[name .. "_scored"] = 1e3 * seconds / QUERIES, scored // QUERIES
      total, check[name] = total + seconds, catalogue.check(tensor.concat(found, 1)).mean_score
    end
    return check, total
  end,
  facts = function(state) return state.facts end,
  peers = { torch = "topk.py torch filtered", faiss = "topk.py faiss filtered" },
}

--- Full-ranking evaluation at the size of MovieLens-1M: 6,040 users x 3,706 items, vectors 64 wide, a twenty-fifth of
--- all pairs seen and left out, 1 to 5 relevant items a user; hit, NDCG and MAP at 10. Ours gives recall, precision,
--- MRR, AUC and the ties beside them. The vectors are random, so metrics of a random order are what all sides find.

local base = require("recsys.core").base
local bench = require "recsys.bench"
local metrics = require "recsys.metrics"
local tensor = require "recsys.tensor"

local USERS, ITEMS, WIDTH, SEEN = 6040, 3706, 64, 0.04

--- A user's pairs: those seen, and 1 to 5 others that are relevant. Values are 0-based item rows, in order.
local function draw_pairs(users)
  local starts, values = { seen = { 0 }, relevant = { 0 } }, { seen = {}, relevant = {} }
  local wanted = base.stream(14, "user", 0, 1):integers(users, 5):tolist()
  for u = 1, users do
    local chance = base.stream(14, "user", u, 2):uniforms(ITEMS):tolist()
    local others = base.stream(14, "user", u, 3):permutation(ITEMS):tolist()
    for i = 1, ITEMS do
      if chance[i] < SEEN then values.seen[#values.seen + 1] = i - 1 end
    end
    local left, chosen = wanted[u] + 1, {}
    for i = 1, ITEMS do
      if left > 0 and chance[others[i] + 1] >= SEEN then chosen[#chosen + 1], left = others[i], left - 1 end
    end
    table.sort(chosen)
    table.move(chosen, 1, #chosen, #values.relevant + 1, values.relevant)
    starts.seen[u + 1], starts.relevant[u + 1] = #values.seen, #values.relevant
  end
  return starts, values
end

local function lists(arguments, name)
  local starts = assert(tensor.load_npy(arguments[name .. "_starts"]))
  local n = #starts - 1
  return { starts = starts:narrow(1, 1, n):contiguous(),
    lengths = (starts:narrow(1, 2, n) - starts:narrow(1, 1, n)):to "i32",
    values = assert(tensor.load_npy(arguments[name .. "_values"])) }
end

--- Metrics of all sides are alike but for items whose scores round alike.
local function judge(sides)
  local us, verdicts = sides.recsys.facts, {}
  for name, side in pairs(sides) do
    local apart = 0
    for metric, value in pairs(us) do apart = math.max(apart, math.abs(side.facts[metric] - value)) end
    if side ~= sides.recsys then
      verdicts[#verdicts + 1] = { what = name .. ": metrics apart", reached = apart, wanted = 1e-4,
        holds = apart <= 1e-4 }
    end
  end
  table.sort(verdicts, function(a, b) return a.what < b.what end)
  return verdicts
end

return {
  about = "hit, NDCG and MAP at 10 by full ranking, 6,040 users x 3,706 items",
  same = false, one_thread = true,
  prepare = function(folder, options)
    local users = math.ceil(USERS * options.scale)
    local arguments, starts, values = { users = users, items = ITEMS }, nil, nil
    local function once(name, make)
      arguments[name] = bench.once(("%s/evaluation-%d-%s.npy"):format(folder, users, name), function(part)
        assert(tensor.save_npy(part, make()))
      end)
    end
    once("user_vectors", function()
      return base.stream(14, "user", 0, 4):normals(users * WIDTH):to("f32"):reshape(users, WIDTH)
    end)
    once("item_vectors", function()
      return base.stream(14, "user", 0, 5):normals(ITEMS * WIDTH):to("f32"):reshape(ITEMS, WIDTH)
    end)
    for _, name in ipairs { "seen", "relevant" } do
      once(name .. "_starts", function()
        if not starts then starts, values = draw_pairs(users) end
        return tensor.new(starts[name], "i64")
      end)
      once(name .. "_values", function()
        if not starts then starts, values = draw_pairs(users) end
        return tensor.new(values[name], "i32")
      end)
    end
    return arguments
  end,
  setup = function(arguments)
    return { users = assert(tensor.load_npy(arguments.user_vectors)),
      items = assert(tensor.load_npy(arguments.item_vectors)),
      question = metrics.ranking { items = ITEMS, relevant = lists(arguments, "relevant"),
        excluded = lists(arguments, "seen"), k = { 10 }, coverage = false } }
  end,
  run = function(state)
    local ranked <close> = state.question:ranked()
    ranked:factors(state.users, state.items)
    local means, facts = metrics.means(ranked:finish().metrics), {}
    for i, name in ipairs(state.question:names()) do facts[name] = means[i] end
    state.facts = { hit_10 = facts.hit_10, ndcg_10 = facts.ndcg_10, map_10 = facts.map_10 }
  end,
  facts = function(state) return state.facts end,
  judge = judge,
  peers = { torch = "evaluation.py torch", numpy = "evaluation.py numpy" },
  target = { times = { torch = 1.5, numpy = 5 } },
}

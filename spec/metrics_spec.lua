--- Ranking metrics, bootstrap, trailing counts and sequences, on cases worked out by hand.

local metrics = require "recsys.metrics"
local tensor = require "recsys.tensor"

--- Lists of 0-based rows from nested tables.
local function lists(nested)
  local starts, lengths, values = {}, {}, {}
  for i, list in ipairs(nested) do
    starts[i], lengths[i] = #values, #list
    for _, value in ipairs(list) do values[#values + 1] = value end
  end
  local function new(t, dtype) return #t > 0 and tensor.new(t, dtype) or tensor.zeros(0, dtype) end
  return { starts = new(starts, "i64"), lengths = new(lengths, "i32"), values = new(values, "i32") }
end

--- Rank one query by its scores; gives metric name -> value, and the whole answer.
local function rank(scores, relevant, options)
  local question = { items = #scores, relevant = lists { relevant }, k = { 1, 2, 3, 10 } }
  for name, value in pairs(options or {}) do question[name] = value end
  local ranking <close> = metrics.ranking(question)
  local ranked <close> = ranking:ranked()
  ranked:rows(1, tensor.new { scores })
  local answer, values = ranked:finish(), {}
  for i, name in ipairs(ranking:names()) do values[name] = answer.metrics:get(i, 1) end
  return values, answer
end

local function near(expected, got, name)
  assert.is_true(math.abs(expected - got) < 1e-12, ("%s: %.17g is not %.17g"):format(name or "", got, expected))
end

describe("metrics.ranking", function()
  it("gives the textbook values of a ranking without ties", function()
    -- ranks: item 2 first, item 0 second, item 3 third, item 1 fourth; relevant are items 0 and 1
    local m = rank({ 3, 1, 4, 2 }, { 0, 1 })
    near(0, m.hit_1); near(1, m.hit_2)
    near(0.5, m.recall_2); near(1, m.recall_10)
    near(0.5, m.precision_2); near(1 / 3, m.precision_3); near(2 / 10, m.precision_10)
    near(1 / math.log(3, 2) / (1 + 1 / math.log(3, 2)), m.ndcg_2, "ndcg_2")
    near((1 / math.log(3, 2) + 1 / math.log(5, 2)) / (1 + 1 / math.log(3, 2)), m.ndcg_10, "ndcg_10")
    near((1 / 2) / 2, m.map_2); near((1 / 2 + 2 / 4) / 2, m.map_10)
    near(1 / 2, m.mrr)
    near(1 / 4, m.auc) -- of the four pairs only (0, 3) is in order
    near(0, m.tie_share)
  end)

  it("divides recall by all relevant items and average precision by what could be found", function()
    local m = rank({ 5, 4, 3, 2, 1 }, { 0, 1, 2 })
    near(1 / 3, m.recall_1)
    near(1, m.map_1)
    near(1, m.ndcg_2)
    near(2 / 3, m.recall_2)
  end)

  it("gives a tied item the mean over all its places", function()
    -- one item above, then three tied places 2, 3, 4, one of which is relevant
    local m, answer = rank({ 1, 9, 1, 1, 0 }, { 2 })
    near(0, m.hit_1); near(1 / 3, m.hit_2); near(2 / 3, m.hit_3); near(1, m.hit_10)
    near((1 / 2 + 1 / 3 + 1 / 4) / 3, m.mrr, "mrr")
    near((1 / math.log(3, 2) + 1 / math.log(4, 2)) / 3, m.ndcg_3, "ndcg_3")
    near((1 + 0.5 * 2) / 4, m.auc)
    near(1, m.tie_share)
    assert.equal(1, answer.greater:get(1))
    assert.equal(3, answer.equal:get(1))
  end)

  it("measures a scorer that collapsed as random, whatever the order of the items", function()
    for item = 0, 3 do
      local m = rank({ 0.5, 0.5, 0.5, 0.5 }, { item })
      near(1 / 4, m.hit_1); near(2 / 4, m.hit_2); near(0.5, m.auc)
    end
  end)

  it("takes gains as they are for graded NDCG", function()
    local m = rank({ 1, 2, 3 }, { 0, 1 }, { gains = tensor.new { 1, 0.25 } })
    local found = 0.25 / math.log(3, 2) + 1 / math.log(4, 2)
    near(found / (1 + 0.25 / math.log(3, 2)), m.graded_ndcg_10, "graded")
    near((1 / math.log(3, 2) + 1 / math.log(4, 2)) / (1 + 1 / math.log(3, 2)), m.ndcg_10, "binary")
  end)

  it("ranks among the candidates alone: the window minus what is excluded", function()
    local options = { item_time = tensor.new({ 10, 20, 30, 40, 50 }, "i64"), from = tensor.new({ 20 }, "i64"),
      to = tensor.new({ 50 }, "i64"), excluded = lists { { 2, 2, 0 } } }
    local m, answer = rank({ 9, 1, 8, 0, 7 }, { 3 }, options)
    assert.equal(2, answer.candidates:get(1)) -- items 1 and 3
    near(1 / 2, m.mrr)
    near(0.5, answer.coverage[1])
  end)

  it("counts a relevant item that is no candidate as never found", function()
    local m, answer = rank({ 1, 2, 3 }, { 2 }, { excluded = lists { { 2 } } })
    for _, name in ipairs { "hit_10", "recall_10", "ndcg_10", "map_10", "mrr", "auc" } do near(0, m[name], name) end
    assert.equal(-1, answer.greater:get(1))
    near(0.5, rank({ 1, 2, 3 }, { 1, 2 }, { excluded = lists { { 2 } } }).recall_10)
  end)

  it("gives NaN to a query without relevant items, and the means leave it out", function()
    local ranking = metrics.ranking { items = 2, relevant = lists { {}, { 0 } }, k = { 1 } }
    local ranked = ranking:ranked()
    ranked:constant(tensor.new { 2, 1 })
    local values = ranked:finish().metrics
    assert.is_true(values:get(1, 1) ~= values:get(1, 1))
    assert.equal(1, metrics.means(values)[1])
    local alone = metrics.means(values, tensor.new({ 0 }, "i64"))[1]
    assert.is_true(alone ~= alone)
  end)

  it("raises for a NaN or an infinity among the candidates and names both rows", function()
    assert.has_error(function() rank({ 1, 0 / 0, 2 }, { 0 }) end,
      "ranking: the score of item row 1 for query 0 is not a finite number")
    assert.has_error(function() rank({ 1, 2, math.huge }, { 0 }) end)
    assert.has_no_error(function() rank({ 1, 2, -math.huge }, { 0 }, { excluded = lists { { 2 } } }) end)
  end)

  it("says which field of the question is wrong", function()
    local relevant = lists { { 0 } }
    assert.has_error(function() metrics.ranking { relevant = relevant, k = { 1 } } end,
      "'items' must be the number of items")
    assert.has_error(function() metrics.ranking { items = 3, k = { 1 } } end, "'relevant' is missing")
    assert.has_error(function() metrics.ranking { items = 3, relevant = relevant, ks = { 1 } } end,
      "bad argument #1 to 'ranking' (there is no option 'ks')")
    assert.has_error(function() metrics.ranking { items = 3, relevant = relevant, k = { 0 } } end,
      "ranking: cut-off 0 is below 1")
    assert.has_error(function() metrics.ranking { items = 3, relevant = relevant, k = { 1.5 } } end,
      "'k' must hold integers, not 1.5")
    assert.has_error(function()
      metrics.ranking { items = 3, relevant = relevant, k = { 1 }, item_time = tensor.new { 1, 2, 3 } }
    end, "'item_time' must be a tensor i64 with 1 dimension, not Tensor f32 [3]")
    assert.has_error(function()
      metrics.ranking { items = 0, relevant = relevant, k = { 1 } }
    end, "relevant items: value 0 at 0 is outside 0..-1")
  end)

  it("wants scores of the right shape for queries that exist", function()
    local ranked = metrics.ranking({ items = 3, relevant = lists { { 0 } }, k = { 1 } }):ranked()
    assert.has_error(function() ranked:rows(1, tensor.zeros(1, 4)) end,
      "bad argument #2 to 'rows' (the scores must have a column an item)")
    assert.has_error(function() ranked:rows(2, tensor.zeros(1, 3)) end,
      "bad argument #1 to 'rows' (more scores than queries)")
    assert.has_error(function() ranked:factors(tensor.zeros(1, 4), tensor.zeros(3, 5)) end,
      "bad argument #2 to 'factors' (users and items have different widths)")
    assert.has_error(function() ranked:finish() end, "ranking: query 0 of 1 was not scored")
  end)

  it("refuses what was closed", function()
    local ranking = metrics.ranking { items = 3, relevant = lists { { 0 } }, k = { 1 } }
    local ranked = ranking:ranked()
    ranking:close()
    ranking:close()
    assert.has_error(function() ranking:names() end, "calling 'names' on bad self (ranking is closed)")
    assert.has_error(function() ranked:constant(tensor.zeros(3)) end)
    ranked:close()
    assert.has_error(function() ranked:finish() end, "calling 'finish' on bad self (ranked is closed)")
  end)

  it("covers what some query was shown", function()
    local ranking = metrics.ranking { items = 4, relevant = lists { { 0 }, { 1 } }, k = { 1, 2 },
      excluded = lists { { 3 }, { 3 } } }
    local ranked = ranking:ranked()
    ranked:rows(1, tensor.new { { 3, 2, 1, 9 } })
    ranked:rows(2, tensor.new { { 1, 1, 1, 9 } })
    assert.equal(3, ranking:candidates())
    local coverage = ranked:finish().coverage
    assert.is_true(math.abs(coverage[1] - (1 + 1 / 3 + 1 / 3) / 3) < 1e-9)
    assert.is_true(math.abs(coverage[2] - (1 + 1 + 2 / 3) / 3) < 1e-9)
  end)
end)

describe("metrics.bootstrap", function()
  it("resamples users with all their queries", function()
    -- user 5 has two queries at 1, user 9 one at 0: a resample's mean is 0, 2/3 or 1
    local values, seen = tensor.new({ { 1, 0, 1 } }, "f64"), {}
    local resamples = metrics.bootstrap(values, tensor.new({ 5, 9, 5 }, "i64"), { samples = 400 })
    for i = 1, 400 do
      local key = ("%.3f"):format(resamples:get(1, i))
      seen[key] = (seen[key] or 0) + 1
    end
    assert.equal(400, seen["0.000"] + seen["0.667"] + seen["1.000"])
    assert.is_true(math.abs(seen["0.667"] - 200) < 60) -- six standard deviations
  end)

  it("gives paired systems the same resamples", function()
    local values = tensor.new({ { 0.1, 0.2, 0.3, 0.4 }, { 0.2, 0.4, 0.6, 0.8 } }, "f64")
    local resamples = metrics.bootstrap(values, tensor.new({ 1, 2, 3, 4 }, "i64"), { seed = 9 })
    local paired = metrics.paired(resamples, 2, 1)
    near(2, paired.ratio[1])
    near(2, paired.ratio[2])
    local interval = metrics.intervals(resamples, 0.5)[1]
    assert.is_true(interval[1] < 0.25 and 0.25 < interval[2])
    near(interval[1], metrics.paired(resamples, 2, 1, 0.5).difference[1])
  end)

  it("refuses to resample nothing", function()
    local values, users = tensor.zeros(1, 1, "f64"), tensor.zeros(1, "i64")
    assert.has_error(function() metrics.bootstrap(values, users, { sample = 9 }) end,
      "bad argument #3 to 'bootstrap' (there is no option 'sample')")
    assert.has_error(function() metrics.bootstrap(tensor.zeros(1, 0, "f64"), tensor.zeros(0, "i64")) end,
      "bootstrap: there are no queries to resample")
  end)
end)

describe("metrics.window", function()
  local events = { time = tensor.new({ 1, 5, 5, 9 }, "i64"), item = tensor.new({ 0, 1, 1, 2 }, "i32"), items = 3,
    group = tensor.new({ 0, 0, 1, 1 }, "i32"), groups = 2, length = 5 }

  it("counts what happened before, up to its length ago", function()
    local window = metrics.window(events)
    assert.same({ { 0, 2, 0 }, { 1, 0, 0 }, { 0, 2, 1 } }, window:counts(tensor.new({ 9, 5, 10 }, "i64")):tolist())
    assert.same({ { 0, 1, 1 }, { 0, 0, 0 } },
      window:counts(tensor.new({ 10, 5 }, "i64"), tensor.new({ 1, 1 }, "i32")):tolist())
  end)

  it("refuses groups that it does not know", function()
    assert.has_error(function()
      metrics.window(events):counts(tensor.new({ 1 }, "i64"), tensor.new({ 2 }, "i32"))
    end, "window: query 0 is of group 2 of 2")
  end)
end)

describe("metrics.sequences", function()
  it("lists each user's items in order, and what came before a time", function()
    local user, item = tensor.new({ 1, 0, 1, 1 }, "i64"), tensor.new({ 7, 8, 9, 6 }, "i64")
    local sequences = metrics.sequences(user, item, 2)
    local all = sequences:lists()
    assert.same({ 8, 7, 9, 6 }, all.values:tolist())
    assert.same({ 0, 1 }, all.starts:tolist())
    local before = sequences:before(tensor.new({ 1, 2, 3, 3 }, "i64"), tensor.new({ 1, 1, 0 }, "i64"),
      tensor.new({ 3, 4, 2 }, "i64"))
    assert.same({ 1, 1, 0 }, before.starts:tolist())
    assert.same({ 1, 3, 0 }, before.lengths:tolist())
  end)
end)

--- Evaluation against a plain walk over the same queries.

local base = require "recsys.base"
local evaluate = require "recsys.evaluate"
local frame = require "recsys.frame"
local json = require "recsys.json"
local metrics = require "recsys.metrics"
local tensor = require "recsys.tensor"

local DAY <const> = 86400000

--- A made-up shop: some users, items that appear over time, each (user, item) at most once, coarse times so that
--- some are equal. Everything is drawn from one stream.
local function make_data()
  local draw, at = base.stream(7, "user"), 0
  local function below(n)
    at = at + 1
    return draw:below(at, n)
  end
  local users, languages, items, created, events, seen = {}, {}, {}, {}, {}, {}
  for u = 1, 30 do users[u], languages[u] = "u" .. u, ({ "en", "hi", false })[1 + below(3)] end
  for i = 1, 60 do items[i], created[i] = "i" .. i, (i == 60 and 100 or below(20)) * DAY end
  for n = 1, 1500 do
    local u, i, t = 1 + below(30), 1 + below(60), below(200) * DAY // 10
    if t > created[i] and not seen[u * 100 + i] and (u > 3 or t > 18 * DAY) then
      seen[u * 100 + i] = true
      events[#events + 1] = { u, i, t, n }
    end
  end
  table.sort(events, function(a, b)
    if a[3] ~= b[3] then return a[3] < b[3] end
    return a[4] < b[4]
  end)
  local columns = { {}, {}, {}, {} }
  for n, event in ipairs(events) do
    columns[1][n], columns[2][n], columns[3][n] = users[event[1]], items[event[2]], event[3]
    columns[4][n] = ({ 0.3, 0.5, 1 })[1 + below(3)]
  end
  local data = {
    interactions = frame.from { { "user", "string", columns[1] }, { "item", "string", columns[2] },
      { "time", "time", columns[3] }, { "strength", "number", columns[4] } },
    users = frame.from { { "user", "string", users }, { "language", "string", languages } },
    items = frame.from { { "item", "string", items }, { "created", "time", created } },
    columns = { user_language = "language" },
  }
  return data, { events = events, created = created, languages = languages, n_items = 60, n_users = 30 }
end

local function rows_of(list)
  return #list > 0 and tensor.new(list, "i64") or tensor.zeros(0, "i64")
end

local function new_split(train, valid, test)
  local split = { train = rows_of(train), valid = rows_of(valid), opened = 0 }
  function split:open_test()
    self.opened = self.opened + 1
    return rows_of(test)
  end
  return split
end

--- The last fifth of the events in time, half of it for validation.
local function split_by_time(truth)
  local train, valid, test, n = {}, {}, {}, #truth.events
  for i = 1, n do
    local part = i <= 0.8 * n and train or i <= 0.9 * n and valid or test
    part[#part + 1] = i - 1
  end
  return new_split(train, valid, test), train, valid, test
end

local function split_last_out(truth)
  local of, train, valid, test = {}, {}, {}, {}
  for i, event in ipairs(truth.events) do
    of[event[1]] = of[event[1]] or {}
    table.insert(of[event[1]], i - 1)
  end
  for u = 1, truth.n_users do
    local list = of[u] or {}
    for j, row in ipairs(list) do
      local part = j == #list and test or j == #list - 1 and valid or train
      part[#part + 1] = row
    end
  end
  table.sort(train)
  return new_split(train, valid, test), train, valid, test
end

--- Scores with ties: a function of query and item.
local function score(query, item) return (query * 7 + item * item) % 11 - 5 end

local function scorer(n_items)
  return function(first, n)
    local rows = {}
    for q = 1, n do
      rows[q] = {}
      for i = 1, n_items do rows[q][i] = score(first + q - 1, i) end
    end
    return tensor.new(rows)
  end
end

--- The expectation over orders of ties, for one relevant item among candidates (a set of item numbers).
local function expected(scores, candidates, relevant, k)
  if not candidates[relevant] then return 0, 0 end
  local greater, equal = 0, 0
  for i in pairs(candidates) do
    if scores(i) > scores(relevant) then greater = greater + 1 end
    if scores(i) == scores(relevant) then equal = equal + 1 end
  end
  local hit, mrr = 0, 0
  for place = greater + 1, greater + equal do
    hit = hit + (place <= k and 1 or 0)
    mrr = mrr + 1 / place
  end
  return hit / equal, mrr / equal
end

local function near(expected_value, got, name)
  assert.is_true(math.abs(expected_value - got) < 1e-9,
    ("%s: %.12g is not %.12g"):format(name or "", got, expected_value))
end

--- Mean expected hit rate and MRR over queries { scores, candidates, relevant }.
local function average(queries, k)
  local hit, mrr = 0, 0
  for _, q in ipairs(queries) do
    local h, m = expected(q[1], q[2], q[3], k)
    hit, mrr = hit + h, mrr + m
  end
  return hit / #queries, mrr / #queries
end

--- Candidates by time: created before t, at most 'window' old, not engaged with strictly before t.
local function live(truth, event, window)
  local set = {}
  for i = 1, truth.n_items do
    if truth.created[i] < event[3] and event[3] - truth.created[i] <= window then set[i] = true end
  end
  for _, other in ipairs(truth.events) do
    if other[1] == event[1] and other[3] < event[3] then set[other[2]] = nil end
  end
  return set
end

describe("evaluate.protocol_by_time", function()
  local data, truth = make_data()
  local split, _, valid, test = split_by_time(truth)
  local protocol = evaluate.protocol_by_time(data, split, { window = "7d" })

  local function by_hand(rows, scores)
    local list = {}
    for q, row in ipairs(rows) do
      local event = truth.events[row + 1]
      list[q] = { scores(q, event), live(truth, event, 7 * DAY), event[2] }
    end
    return list
  end

  it("ranks what was live and not seen before, for validation and test rows", function()
    for name, rows in pairs { valid = valid, test = test } do
      local queries = protocol:queries(name)
      local hit, mrr = average(by_hand(rows, function(q) return function(i) return score(q, i) end end), 5)
      near(hit, evaluate.metric(queries, scorer(60), "hit_5"), name)
      near(mrr, evaluate.metric(queries, scorer(60), "mrr"), name)
    end
  end)

  it("measures baselines by what was known strictly before each event", function()
    local report = evaluate.ranking { queries = protocol:queries "test", scorers = { model = scorer(60) }, k = { 5 },
      samples = 20, trailing = "2d" }
    local function counts(from, same_group)
      return by_hand(test, function(_, event)
        local n = {}
        for _, other in ipairs(truth.events) do
          local group = not same_group or truth.languages[other[1]] == truth.languages[event[1]]
          if other[3] < event[3] and other[3] >= event[3] - from and group then n[other[2]] = (n[other[2]] or 0) + 1 end
        end
        return function(i) return n[i] or 0 end
      end)
    end
    local cases = { popularity = counts(1000 * DAY), popularity_window = counts(2 * DAY),
      popularity_language = counts(2 * DAY, true),
      newest = by_hand(test, function() return function(i) return truth.created[i] end end),
      random = by_hand(test, function() return function() return 0 end end) }
    for name, list in pairs(cases) do
      local hit, mrr = average(list, 5)
      near(hit, report.baselines[name].hit_5, name)
      near(mrr, report.baselines[name].mrr, name)
      cases[name] = nil
    end
    assert.is_nil(report.baselines.popularity_place)
    assert.equal(5, #report.order - 1)
  end)

  it("opens the test split only when the test is asked for", function()
    local fresh = split_by_time(truth)
    local other = evaluate.protocol_by_time(data, fresh, { window = "7d" })
    other:queries "valid"
    assert.equal(0, fresh.opened)
    other:queries "test"
    other:queries "test"
    assert.equal(1, fresh.opened)
    assert.has_error(function() other:queries "train" end,
      "bad argument #1 to 'queries' ('valid' or 'test' expected, got train)")
  end)

  it("takes a window in words or ms, and refuses one without times of items", function()
    assert.equal(7 * DAY, protocol.window)
    assert.equal(90000, evaluate.protocol_by_time(data, split, { window = 90000 }).window)
    assert.has_error(function() evaluate.protocol_by_time(data, split, { window = "soon" }) end)
    local bare = { interactions = data.interactions, users = data.users, items = data.items:without { "created" } }
    assert.has_error(function() evaluate.protocol_by_time(bare, split, { window = "7d" }) end,
      "a window needs a column that tells when items were created: the items have none called 'created'. Where they "
      .. "do not go stale, leave the window out (in a job --set eval.window=)")
    local all = evaluate.protocol_by_time(bare, split):queries "valid"
    assert.is_nil(all.item_time)
  end)
end)

describe("evaluate.protocol_leave_last_out", function()
  local data, truth = make_data()
  local split, train, valid, test = split_last_out(truth)
  local protocol = evaluate.protocol_leave_last_out(data, split)

  local function without(known, user)
    local set = {}
    for i = 1, truth.n_items do set[i] = true end
    for _, row in ipairs(known) do
      if truth.events[row + 1][1] == user then set[truth.events[row + 1][2]] = nil end
    end
    return set
  end

  local function by_hand(rows, known, scores)
    local list = {}
    for q, row in ipairs(rows) do
      local event = truth.events[row + 1]
      list[q] = { scores(q), without(known, event[1]), event[2] }
    end
    return list
  end

  local both = {}
  for _, row in ipairs(train) do both[#both + 1] = row end
  for _, row in ipairs(valid) do both[#both + 1] = row end

  it("excludes what the user did before: training for validation, validation too for the test", function()
    local function scores(q) return function(i) return score(q, i) end end
    near(select(2, average(by_hand(valid, train, scores), 5)),
      evaluate.metric(protocol:queries "valid", scorer(60), "mrr"))
    near(select(2, average(by_hand(test, both, scores), 5)),
      evaluate.metric(protocol:queries "test", scorer(60), "mrr"))
  end)

  it("leaves out as many of the latest as are asked for, or none", function()
    local function scores(q) return function(i) return score(q, i) end end
    local latest = {}
    for i = #both, 1, -1 do -- the last 3 of each user: 'both' is in order of time but for its validation rows
      latest[i] = both[i]
    end
    table.sort(latest)
    local kept, counts = {}, {}
    for i = #latest, 1, -1 do
      local user = truth.events[latest[i] + 1][1]
      counts[user] = (counts[user] or 0) + 1
      if counts[user] <= 3 then kept[#kept + 1] = latest[i] end
    end
    near(select(2, average(by_hand(test, kept, scores), 5)), evaluate.metric(
      evaluate.protocol_leave_last_out(data, split, { seen = 3 }):queries "test", scorer(60), "mrr"))
    near(select(2, average(by_hand(test, {}, scores), 5)), evaluate.metric(
      evaluate.protocol_leave_last_out(data, split, { seen = false }):queries "test", scorer(60), "mrr"))
  end)

  it("counts popularity over what is not held out", function()
    local report = evaluate.ranking { queries = protocol:queries "test", scorers = { model = scorer(60) }, k = { 5 },
      samples = 20 }
    local n = {}
    for _, row in ipairs(both) do
      local item = truth.events[row + 1][2]
      n[item] = (n[item] or 0) + 1
    end
    local function scores() return function(i) return n[i] or 0 end end
    near(select(2, average(by_hand(test, both, scores), 5)), report.baselines.popularity.mrr)
    assert.is_nil(report.baselines.newest)
    assert.is_table(report.baselines.popularity_window)
  end)
end)

describe("evaluate.protocol_per_event", function()
  local data, truth = make_data()
  local split, _, valid, test = split_last_out(truth)

  local function by_hand(rows, candidates)
    local list = {}
    for q, row in ipairs(rows) do
      list[q] = { function(i) return score(q, i) end, candidates(row), truth.events[row + 1][2] }
    end
    return list
  end

  it("asks among all items, the user's known ones too", function()
    local function all()
      local set = {}
      for i = 1, truth.n_items do set[i] = true end
      return set
    end
    local protocol = evaluate.protocol_per_event(data, split)
    for name, rows in pairs { valid = valid, test = test } do
      near(select(2, average(by_hand(rows, all), 5)), evaluate.metric(protocol:queries(name), scorer(60), "mrr"))
    end
  end)

  it("asks among the listed items alone, one that is there twice counting once", function()
    local function listed(row) return { truth.events[row + 1][2], row % 60 + 1, (row * 7) % 60 + 1, row % 60 + 1 } end
    local function candidates(_, rows)
      local values = {}
      for _, row in ipairs(rows:tolist()) do
        for _, item in ipairs(listed(row)) do values[#values + 1] = item - 1 end
      end
      return { starts = tensor.arange(#rows) * 4, lengths = tensor.full(4, #rows, "i32"),
        values = tensor.new(values, "i32") }
    end
    local function set_of(row)
      local set = {}
      for _, item in ipairs(listed(row)) do set[item] = true end
      return set
    end
    local queries = evaluate.protocol_per_event(data, split, { candidates = candidates }):queries "test"
    local hit = average(by_hand(test, set_of), 2)
    near(hit, evaluate.metric(queries, scorer(60), "hit_2"))
    assert.is_true(hit > 0.5)
    near(hit, evaluate.means(queries, scorer(60), { 2, 10 }).hit_2)
  end)
end)

describe("data without times", function()
  it("are compared with random and all-time popularity alone", function()
    local data, truth = make_data()
    data.interactions = data.interactions:with("time", "time", tensor.zeros(data.interactions:rows(), "i64"))
    local split = split_last_out(truth)
    local queries = evaluate.protocol_leave_last_out(data, split):queries "test"
    local report = evaluate.ranking { queries = queries, scorers = { model = scorer(60) }, samples = 20 }
    assert.same({ "model", "random", "popularity" }, report.order)
  end)
end)

describe("evaluate.protocol_per_user", function()
  local data, truth = make_data()

  it("takes all held-out items of a user as relevant, with strengths where asked", function()
    local train, test = {}, {}
    for row = 0, #truth.events - 1 do
      local part = row % 4 == 0 and test or train
      part[#part + 1] = row
    end
    local protocol = evaluate.protocol_per_user(data, new_split(train, {}, test), { graded = true })
    local queries = protocol:queries "test"
    local relevant, known = {}, {}
    for row, event in ipairs(truth.events) do
      local of = (row - 1) % 4 == 0 and relevant or known
      of[event[1]] = of[event[1]] or {}
      of[event[1]][event[2]] = true
    end
    local sum, n = 0, 0
    for q, row in ipairs(queries.user_rows:tolist()) do
      local user, found, best = row + 1, 0, {}
      for i = 1, 60 do
        if not (known[user] and known[user][i]) then best[#best + 1] = i end
      end
      table.sort(best, function(a, b) return (a * 37 + q) % 61 > (b * 37 + q) % 61 end)
      for place = 1, 10 do
        if best[place] and relevant[user][best[place]] then found = found + 1 end
      end
      local all = 0
      for _ in pairs(relevant[user]) do all = all + 1 end
      sum, n = sum + found / all, n + 1
    end
    local function distinct(first, count)
      local rows = {}
      for q = 1, count do
        rows[q] = {}
        for i = 1, 60 do rows[q][i] = (i * 37 + first + q - 1) % 61 end
      end
      return tensor.new(rows)
    end
    near(sum / n, evaluate.metric(queries, distinct, "recall_10"))
    assert.is_true(evaluate.metric(queries, distinct, "graded_ndcg_10") > 0)
    local report = evaluate.ranking { queries = queries, scorers = { model = distinct }, samples = 20 }
    assert.same({ "model", "random", "popularity" }, report.order)
    assert.is_nil(report.segments.new_items)
  end)
end)

describe("evaluate.ranking", function()
  local data, truth = make_data()
  local split, train = split_by_time(truth)
  local queries = evaluate.protocol_by_time(data, split, { window = "7d" }):queries "test"
  local users, items = {}, {}
  for q = 1, queries.n do users[q] = { q % 5 - 2, q % 3 } end
  for i = 1, 60 do items[i] = { i % 7 - 3, i % 4 } end
  local vectors = { users = tensor.new(users), items = tensor.new(items) }
  local function product(first, n) return vectors.users:narrow(1, first, n):matmul(vectors.items, false, true) end

  it("gives factors and their products the same report, to the bit and with any number of threads", function()
    local before, texts = base.threads(), {}
    for _, case in ipairs { { vectors, 1 }, { vectors, 2 }, { product, 2 } } do
      base.threads(case[2])
      texts[#texts + 1] = json.encode((evaluate.ranking { queries = queries, scorers = { model = case[1] },
        samples = 50, seed = 3 }))
    end
    base.threads(before)
    assert.equal(texts[1], texts[2])
    assert.equal(texts[1], texts[3])
  end)

  it("takes the best of several vectors of a query, to the bit and with any number of threads", function()
    local two = {}
    for q = 1, queries.n do two[q] = { users[q], { 1 - q % 4, q % 2 } } end
    local several = { users = tensor.new(two), items = vectors.items }
    local function best(first, n)
      local block = several.users:narrow(1, first, n)
      return block:select(2, 1):matmul(vectors.items, false, true):maximum(
        block:select(2, 2):matmul(vectors.items, false, true))
    end
    local before, texts = base.threads(), {}
    for _, case in ipairs { { several, 1 }, { several, 2 }, { best, 2 }, { vectors, 2 } } do
      base.threads(case[2])
      texts[#texts + 1] = json.encode((evaluate.ranking { queries = queries, scorers = { model = case[1] },
        samples = 50, seed = 3 }))
    end
    base.threads(before)
    assert.equal(texts[1], texts[2])
    assert.equal(texts[1], texts[3])
    assert.are_not.equal(texts[1], texts[4])
  end)

  it("reports every metric at every cut-off, with intervals that hold it", function()
    local report = evaluate.ranking { queries = queries, scorers = { model = vectors }, k = { 3, 10 }, samples = 200 }
    for _, name in ipairs { "hit", "recall", "precision", "ndcg", "map", "coverage" } do
      for _, k in ipairs { 3, 10 } do assert.is_number(report.metrics[("%s_%d"):format(name, k)]) end
    end
    for _, name in ipairs { "mrr", "auc", "hit_3", "ndcg_10" } do
      local low, high = table.unpack(report.intervals[name])
      assert.is_true(low <= report.metrics[name] and report.metrics[name] <= high and low < high, name)
    end
    assert.equal(queries.n, report.queries)
    near(report.metrics.hit_3, report.metrics.recall_3)
    assert.is_true(report.candidates > 1 and report.candidates < 60)
  end)

  it("compares the model with the best baseline, pair by pair, and with whoever else is given", function()
    local report = evaluate.ranking { queries = queries, scorers = { model = vectors, best_possible = product },
      samples = 100 }
    local best = -1
    for _, m in pairs(report.baselines) do best = math.max(best, m.ndcg_10) end
    near(best, report.best_baseline.value)
    near(report.metrics.ndcg_10 / best, report.best_baseline.ratio)
    assert.is_true(report.best_baseline.ratio_interval[1] <= report.best_baseline.ratio)
    assert.same(report.metrics, report.others.best_possible)
    assert.same({ 1, 1 }, report.compared.best_possible.ratio_interval)
    assert.same({ 0, 0 }, report.compared.best_possible.difference_interval)
  end)

  it("divides the queries into segments", function()
    local report = evaluate.ranking { queries = queries, scorers = { model = vectors }, samples = 20 }
    local parts, trained = report.segments, {}
    for _, row in ipairs(train) do
      local event = truth.events[row + 1]
      trained[event[1]], trained["i" .. event[2]] = true, true
    end
    local new_users, new_items = 0, 0
    for q = 1, queries.n do
      if not trained[queries.user_rows:get(q) + 1] then new_users = new_users + 1 end
      if not trained["i" .. queries.item_rows:get(q) + 1] then new_items = new_items + 1 end
    end
    assert.equal(new_users, parts.new_users and parts.new_users.queries or 0)
    assert.equal(new_items, parts.new_items and parts.new_items.queries or 0)
    assert.equal(queries.n, new_users + parts.known_users.queries)
    local sum, weighted = 0, 0
    for quarter = 1, 4 do
      local part = parts["activity_q" .. quarter]
      if part then sum, weighted = sum + part.queries, weighted + part.queries * part.metrics.mrr end
    end
    assert.equal(parts.known_users.queries, sum)
    near(parts.known_users.metrics.mrr, weighted / sum)
    assert.is_number(parts.known_users.baseline.mrr)
  end)

  it("gives each query's metrics for further tests", function()
    local report, per_query = evaluate.ranking { queries = queries, scorers = { model = vectors }, samples = 20 }
    assert.same({ #per_query.names, queries.n }, per_query.model:size())
    near(report.metrics[per_query.names[1]], metrics.means(per_query.model)[1])
    assert.is_true(tensor.is(per_query.popularity))
  end)

  it("is plain data that JSON keeps", function()
    local report = evaluate.ranking { queries = queries, scorers = { model = vectors }, samples = 20 }
    assert.equal(report.metrics.ndcg_10, json.decode(json.encode(report)).metrics.ndcg_10)
  end)

  it("prints as aligned lines", function()
    local report = evaluate.ranking { queries = queries, scorers = { model = vectors, best_possible = product },
      samples = 20 }
    local lines = {}
    for line in (evaluate.table(report) .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = line end
    assert.matches("^%s+ndcg_10%s+hit_10%s+recall_50%s+mrr", lines[1])
    assert.matches("^model%s+%d%.%d%d%d%d %[%d%.%d+, %d%.%d+%]", lines[2])
    local all = table.concat(lines, "\n")
    for _, word in ipairs { "random", "popularity_window", "newest", "best_possible", "known_users",
      "model reaches 100 %% of best_possible's ndcg_10", "candidates a query on average, of 60 items" } do
      assert.matches(word, all)
    end
  end)

  it("refuses what it cannot evaluate", function()
    assert.has_error(function() evaluate.ranking { queries = queries, scorers = {} } end,
      "bad argument #1 to 'ranking' (there is no scorer 'model')")
    assert.has_error(function() evaluate.ranking { scorers = { model = vectors } } end,
      "bad argument #1 to 'ranking' ('queries' must come from a protocol)")
    assert.has_error(function() evaluate.metric(queries, vectors, "ndcg@10") end)
    local empty = evaluate.protocol_by_time(data, new_split(train, {}, {})):queries "test"
    local _, problem = pcall(evaluate.ranking, { queries = empty, scorers = { model = vectors } })
    assert.equal("there is nothing to evaluate: the split holds no queries", problem.message)
  end)
end)

describe("outside numbers", function()
  local root = os.getenv "RECSYS_TEST_DATA"

  --- Measured elsewhere on the same file: all 3,706 items, the user's earlier items excluded, one order of ties.
  it("popularity on MovieLens 1M, last event left out, is .0364 / .0179", function()
    if not root then return pending "RECSYS_TEST_DATA names no folder with ml-1m" end
    local ratings = assert(frame.read_csv(root .. "/ml-1m/ratings.dat", { separator = "::", header = false,
      names = { "user", "item", "rating", "time" }, types = { user = "string", item = "string", time = "time_s" } }))
    ratings = ratings:sort "time"
    local data = { interactions = ratings, users = ratings:select({ "user" }):distinct { "user" },
      items = ratings:select({ "item" }):distinct { "item" } }
    local n = ratings:rows()
    local from_last, groups = {}, ratings:groups "user"
    local lists = metrics.sequences(groups, tensor.zeros(n, "i64"), data.users:rows()):lists()
    local ends = lists.starts + lists.lengths:to "i64"
    for back = 1, 2 do from_last[back] = lists.rows:index_select(ends - back) end
    local held = tensor.zeros(n, "u8")
    for back = 1, 2 do held:index_copy_(from_last[back], tensor.full(1, data.users:rows(), "u8")) end
    local split = { train = held:eq(0):nonzero(), valid = from_last[2], open_test = function() return from_last[1] end }
    local queries = evaluate.protocol_leave_last_out(data, split):queries "test"
    assert.equal(6040, queries.n)
    local report = evaluate.ranking { queries = queries, scorers = { model = tensor.zeros(3706) }, samples = 10,
      segments = false }
    assert.is_true(math.abs(report.baselines.popularity.hit_10 - 0.0364) < 2e-4)
    assert.is_true(math.abs(report.baselines.popularity.ndcg_10 - 0.0179) < 2e-4)
  end)
end)

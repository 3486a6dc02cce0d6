--- Several vectors of a user: the choice in training, gradients, and one answer in retrieval, evaluation and serving.

local autograd = require "recsys.autograd"
local base = require "recsys.base"
local command = require "spec.support.command"
local data_sources = require "recsys.data"
local evaluate = require "recsys.evaluate"
local feature = require "recsys.feature"
local gradcheck = require "spec.support.gradcheck"
local interests = require "recsys.towers.interests"
local job = require "recsys.job"
local registry = require "recsys.registry"
local retrieval = require "recsys.retrieval"
local serve = require "recsys.serve"
local tensor = require "recsys.tensor"
local tiny = require "spec.support.tiny_model"
local towers = require "recsys.towers"
local train = require "recsys.train"
local two_tower = require "models.two_tower"

local function normals(seed, ...)
  local count = 1
  for _, n in ipairs { ... } do count = count * n end
  return base.stream(seed, "user", 0, 0):normals(count):reshape(...)
end

local dataset = tiny.dataset()
local encoder = feature.fit(dataset, nil, {
  user = { feature.id { "user" }, feature.category { "platform" } },
  event = { feature.history { of = "id", length = 4 }, feature.history { of = "kind", length = 3, name = "kinds" },
    feature.relative_time { item = "created", event = "time", window = "7d", harmonics = 2 } },
  item = { feature.id { "item" }, feature.category { "kind" } },
})

local function user_batch(rows)
  local at = tensor.new(rows, "i64")
  local batch = encoder:encode_users(dataset.users):gather(at)
  for name, t in pairs(encoder:encode_users_at(dataset, at):gather(tensor.arange(#rows))) do batch[name] = t end
  return batch
end

local COUNT <const> = 3

local function made_tower(dtype)
  return towers.tower("user", towers.tables(encoder, 4, { seed = 3, dtype = dtype }), { "user", "event" },
    { dim = 5, hidden = { 6 }, activation = "tanh", normalize = true,
      history = towers.ways { interests = COUNT, heads = 2 } })
end

describe("a tower of interests", function()
  it("gives a row for each, which differ by their queries alone", function()
    local tower = made_tower()
    local tape <close> = autograd.tape {}
    local rows = tower:forward(tape, user_batch { 0, 5, 1 }):value()
    assert.same({ 3 * COUNT, 5 }, rows:size())
    assert.equal(5, tower:width())
    assert.is_true((rows:select(1, 1) - rows:select(1, 2)):abs():max() > 1e-4)
    for k = 2, COUNT do -- u6, the second, has no history to tell interests apart
      assert.equal(rows:select(1, COUNT + 1):to_string(), rows:select(1, COUNT + k):to_string())
    end
    local sizes = {}
    for _, parameter in ipairs(towers.parameters(tower)) do sizes[parameter:name()] = parameter:value():size() end
    assert.same({ 4, 2 * COUNT }, sizes["event.history.places"])
    assert.same({ 2 * COUNT, 4 }, sizes["event.history.queries"])
    assert.same({ 6, 2 * 4 + 2 * 4 + 4 + 4 }, sizes["user.0.weight"], "two histories in two ways, id and platform")
  end)

  it("swaps interests with their queries and places", function()
    local one, other = made_tower(), made_tower()
    for _, parameter in ipairs(towers.parameters(other)) do
      local value = parameter:value()
      local name = parameter:name()
      if name:find "queries$" then
        value:copy_(value:index_select(tensor.new({ 4, 5, 0, 1, 2, 3 }, "i64")))
      end
    end
    local tape <close> = autograd.tape {}
    local batch = user_batch { 0, 1 }
    local a, b = one:forward(tape, batch):value(), other:forward(tape, batch):value()
    for user = 0, 1 do
      for k = 0, COUNT - 1 do
        local difference = a:select(1, user * COUNT + k + 1) - b:select(1, user * COUNT + (k + 1) % COUNT + 1)
        assert.is_true(difference:abs():max() < 1e-6)
      end
    end
  end)

  it("has the gradients of central differences in all its parameters", function()
    local tower = made_tower "f64"
    local batch = user_batch { 0, 1, 2, 5 }
    local worst, where = gradcheck(function(first) return tower:forward(first:tape(), batch) end,
      towers.parameters(tower))
    assert.is_true(worst < 1e-6, ("norm-relative error %g at operand %s"):format(worst, where))
  end)

  it("is recorded as a plan in which a row alone has the bits of the batch", function()
    local tower, weights = made_tower(), {}
    for _, parameter in ipairs(towers.parameters(tower)) do weights[parameter:name()] = parameter:value() end
    local tape <close> = autograd.tape {}
    local vectors = interests.beside({ tower:forward(tape, user_batch { 0 }) }, COUNT)
    local plan = assert(autograd.plan_from_json(tape:plan({ user = vectors }):json()))
    local all = plan:run(weights, user_batch { 0, 1, 2, 3, 4, 5 }).user
    assert.same({ 6, COUNT, 5 }, all:size())
    for u = 0, 5 do
      assert.equal(all:select(1, u + 1):to_string(), plan:run(weights, user_batch { u }).user:select(1, 1):to_string())
    end
  end)

  it("needs a history", function()
    local plain = feature.fit(dataset, nil, { user = { feature.id { "user" } }, item = { feature.id { "item" } } })
    assert.has_error(function()
      towers.tower("user", towers.tables(plain, 4, { seed = 3 }), { "user", "event" },
        { history = towers.ways { interests = 2 } })
    end, "bad argument #3 to 'tower' (interests are told apart by what a history holds; the recipe has no history on "
      .. "the side user, event)")
  end)
end)

describe("parts of vectors", function()
  it("stand beside each interest, those of a user the same for all of his", function()
    local tape <close> = autograd.tape {}
    local own, moment = tensor.new { { 1 }, { 2 }, { 3 }, { 4 } }, tensor.new { { 7, 8 }, { 9, 10 } }
    local all = interests.beside({ tape:input(nil, own), tape:input(nil, moment) }, 2):value()
    assert.same({ { { 1, 7, 8 }, { 2, 7, 8 } }, { { 3, 9, 10 }, { 4, 9, 10 } } }, all:tolist())
    local one = interests.beside({ tape:input(nil, moment), tape:input(nil, moment) }):value()
    assert.same({ { 7, 8, 7, 8 }, { 9, 10, 9, 10 } }, one:tolist())
  end)
end)

describe("the interest that learns from an event", function()
  local n, d = 7, 4
  local users, items = normals(1, n, COUNT, d), normals(2, n + 3, d)

  it("is the one that its item fits best", function()
    local tape <close> = autograd.tape {}
    local chosen = interests.chosen(tape:input("u", users), tape:input("i", items)):value()
    assert.same({ n, d }, chosen:size())
    for t = 1, n do
      local best, most
      for k = 1, COUNT do
        local score = (users:select(1, t):select(1, k) * items:select(1, t)):sum()
        if not most or score > most then best, most = k, score end
      end
      assert.equal(users:select(1, t):select(1, best):to_string(), chosen:select(1, t):to_string())
    end
    local plain = tape:input("p", users:select(2, 1))
    assert.equal(plain, interests.chosen(plain, tape:input("j", items)))
  end)

  it("is the only one that does", function()
    local worst = gradcheck(function(u, i) return interests.chosen(u, i) * i:narrow(1, 1, n) end, { users, items })
    assert.is_true(worst < 1e-6)
    local parameter = autograd.parameter("u", users:clone())
    local tape <close> = autograd.tape { train = true }
    tape:backward(interests.chosen(tape:parameter(parameter), tape:input("i", items)):sum())
    local moved = parameter:grad():abs():sum(3):gt(0):to "f64":sum(2)
    for t = 1, n do assert.equal(1, moved:get(t)) end
  end)
end)

describe("models/two_tower.lua with interests", function()
  local folder, trained
  local split = data_sources.split_by_time(dataset, { valid = 0, test = 0 })
  local config = { dim = 4, hidden = { 6 }, dropout = 0.1, temperature = 0.5, log_q = true, bias = true, heads = 1,
    interests = COUNT, id_dropout = 0.2, mask_seen = true, hard_negatives = 2 }

  local function fit()
    return train.fit(two_tower, { kind = "two_tower", config = config, encoder = encoder, data = dataset,
      split = split:selection(), metric = "ndcg_10", seed = 4,
      train = { epochs = 3, batch = 4, patience = 9, learning_rate = 0.05 } })
  end

  setup(function()
    folder = command.temporary()
    trained = fit()
  end)
  teardown(function() command.remove(folder) end)

  local function vectors()
    return job.scorer(trained, { users = encoder:encode_users(dataset.users), user_rows = tensor.arange(tiny.n_users),
      items = encoder:encode_items(dataset.items), events = encoder:encode_users_at(dataset) })
  end

  --- Scores [users][items]: the best product, in float64.
  local function brute_force(given)
    local users, items, scores = given.users:to "f64", given.items:to "f64", {}
    for u = 1, users:size(1) do
      scores[u] = {}
      for i = 1, items:size(1) do
        scores[u][i] = -math.huge
        for k = 1, COUNT do
          scores[u][i] = math.max(scores[u][i], (users:select(1, u):select(1, k) * items:select(1, i)):sum())
        end
      end
    end
    return scores
  end

  it("retrieves the merged best of all of a user's vectors", function()
    local given = vectors()
    assert.same({ tiny.n_users, COUNT, given.items:size(2) }, given.users:size())
    local scores, k = brute_force(given), 5
    local rows, best = retrieval.topk { users = given.users, items = given.items, k = k }
    for u = 1, tiny.n_users do
      local order = {}
      for i = 1, tiny.n_items do order[i] = i end
      table.sort(order, function(a, b) return scores[u][a] > scores[u][b] end)
      local merged = {} -- of lists of each vector alone
      for v = 1, COUNT do
        local own, its = retrieval.topk { users = given.users:select(2, v), items = given.items, k = k }
        for i = 1, k do
          local row = own:get(u, i)
          merged[row] = math.max(merged[row] or -math.huge, its:get(u, i))
        end
      end
      for i = 1, k do
        assert.equal(order[i] - 1, rows:get(u, i))
        assert.near(scores[u][order[i]], best:get(u, i), 1e-5)
        assert.equal(merged[rows:get(u, i)], best:get(u, i))
      end
    end
  end)

  it("is evaluated by the same scores", function()
    local seen = data_sources.split_by_time(dataset, { valid = 0.3, test = 0 }):selection()
    local queries = evaluate.protocol_by_time(dataset, seen):queries "valid"
    local given = job.scorer(trained, job.inputs(encoder, dataset, seen, queries))
    local scores = tensor.new(brute_force(given), "f32")
    for _, name in ipairs { "ndcg_10", "hit_1", "mrr" } do
      assert.near(evaluate.metric(queries, function(first, n) return scores:narrow(1, first, n) end, name),
        evaluate.metric(queries, given, name), 1e-12)
    end
  end)

  it("is evaluated likewise where items count events, by the items of each query's period", function()
    local counting = feature.fit(dataset, nil, { user = { feature.id { "user" } },
      event = { feature.history { of = "id", length = 4 } },
      item = { feature.id { "item" }, feature.count { window = "2d" } } })
    local seen = data_sources.split_by_time(dataset, { valid = 0.4, test = 0 }):selection()
    local made = train.fit(two_tower, { kind = "two_tower", config = config, encoder = counting, data = dataset,
      split = seen, metric = "ndcg_10", seed = 4, train = { epochs = 1, batch = 4 } })
    local queries = evaluate.protocol_by_time(dataset, seen):queries "valid"
    local inputs = job.inputs(counting, dataset, seen, queries)
    local scores = job.scorer(made, inputs)(1, queries.n)
    local users, starts = made:user_vectors(inputs.users, inputs.events, inputs.user_rows), inputs.over_time:starts(
      inputs.times)
    for q = 1, queries.n do
      local items = made:item_vectors(inputs.over_time:at(starts:get(q)))
      local expected = brute_force { users = users:narrow(1, q, 1), items = items }
      for i = 1, tiny.n_items do assert.near(expected[1][i], scores:get(q, i), 1e-5) end
    end
  end)

  it("serves what it recommends to all, to the bit", function()
    local path = assert(registry.publish { name = "several", dir = folder, model = trained, dataset = dataset })
    local served <close> = assert(serve.open(path))
    local given = vectors()
    local rows, scores = retrieval.topk { users = given.users, items = given.items, k = tiny.n_items }
    local served_rows, served_scores = served:recommend_users { k = tiny.n_items, exclude_seen = false }
    assert.equal(rows:to_string(), served_rows:to_string())
    assert.equal(scores:to_string(), served_scores:to_string())
    for u = 1, tiny.n_users do
      local answer = served:recommend { user = served:user(u), k = 3, exclude_seen = false }
      for i = 1, 3 do assert.equal(scores:get(u, i), answer.items[i].score) end
    end
  end)

  it("gives the same bits again", function()
    local again = fit()
    for name, weight in pairs(trained.weights) do
      assert.equal(weight:to_string(), again.weights[name]:to_string(), name)
    end
  end)
end)

--- What items are compared by: /similar, the reason "like" and diversity go by what a model says of its items, not by
--- the terms of a score that stand behind it. docs/models.md, "What likeness goes by".

local autograd = require "recsys.autograd"
local command = require "spec.support.command"
local feature = require "recsys.feature"
local job = require "recsys.job"
local json = require "recsys.json"
local log = require "recsys.log"
local network = require "recsys.network"
local registry = require "recsys.registry"
local serve = require "recsys.serve"
local tensor = require "recsys.tensor"
local tiny = require "spec.support.tiny_model"

local TERMS <const> = 40 -- against lengths of about 3

local function cosine(a, b, d)
  local dot, x, y = 0, 0, 0
  for i = 1, d do dot, x, y = dot + a[i] * b[i], x + a[i] * a[i], y + b[i] * b[i] end
  return dot / math.sqrt(x * y)
end

local function ids_of(list)
  local ids = {}
  for i, found in ipairs(list) do ids[i] = found.id or found.item end
  return ids
end

local function call(model, name, request)
  return json.decode(assert(model:answer(json.encode(request), name)))
end

--- The vectors of items by id, as the model has them.
local function vectors_of(model, ids)
  local vectors = {}
  for _, item in ipairs(call(model, "embed", { items = ids }).items) do vectors[item.id] = item.vector end
  return vectors
end

--- The others by falling cosine of the first d dimensions.
local function order(vectors, ids, of, d)
  local list = {}
  for row, id in ipairs(ids) do
    if id ~= of then list[#list + 1] = { id = id, row = row, score = cosine(vectors[of], vectors[id], d) } end
  end
  table.sort(list, function(a, b)
    if math.abs(a.score - b.score) > 1e-6 then return a.score > b.score end
    return a.row < b.row
  end)
  return list
end

describe("likeness of items", function()
  local folder, built, path, ids

  setup(function()
    folder, built, ids = command.temporary(), tiny.build(TERMS), {}
    path = tiny.publish(built, folder)
    for i = 1, tiny.n_items do ids[i] = "i" .. i end
  end)
  teardown(function() command.remove(folder) end)

  it("goes by the dimensions that the bundle names, by all where it names none", function()
    local model <close> = assert(serve.open(path))
    assert.same({ 7, 5 }, { model:facts().width, model:facts().likeness })
    built.likeness = nil
    local plain <close> = assert(serve.open(tiny.publish(built, folder .. "/plain")))
    built.likeness = tiny.width
    assert.same({ 7, 7 }, { plain:facts().width, plain:facts().likeness })
    local vectors, others = vectors_of(model, ids), 0
    for _, of in ipairs(ids) do
      for d, asked in pairs { [5] = model, [7] = plain } do
        local expected, found = order(vectors, ids, of, d), call(asked, "similar", { item = of, k = 11 }).items
        assert.same(ids_of(expected), ids_of(found))
        for i, item in ipairs(found) do assert.near(expected[i].score, item.score, 1e-5) end
      end
      local by_content, by_all = ids_of(order(vectors, ids, of, 5)), ids_of(order(vectors, ids, of, 7))
      others = others + (table.concat(by_content, " ") ~= table.concat(by_all, " ") and 1 or 0)
    end
    assert.equal(12, others) -- the terms would have had a say in each
    local scores = model:recommend { user = "u6", k = 12 }
    assert.same(ids_of(scores.items), ids_of(plain:recommend({ user = "u6", k = 12 }).items))
  end)

  it("of an item that came later, and of those that stand there, counts anew", function()
    local model <close> = assert(serve.open(path))
    local before = call(model, "similar", { item = "i1", k = 20 }).items
    assert(model:put { item = "i13", created = 13 * tiny.day, fields = '{"kind": "sport"}' })
    local all = table.move(ids, 1, #ids, 1, {})
    all[13] = "i13"
    local vectors = vectors_of(model, all)
    for _, of in ipairs { "i1", "i13" } do
      assert.same(ids_of(order(vectors, all, of, 5)), ids_of(call(model, "similar", { item = of, k = 20 }).items))
    end
    assert.same(before, call(model, "similar", { item = "i1", k = 20, exclude = { "i13" } }).items)
  end)

  it("is what the reason \"like\" tells", function()
    local model <close> = assert(serve.open(path))
    local vectors, likes, others = vectors_of(model, ids), 0, 0
    for _, found in ipairs(model:recommend({ user = "u1", k = 9 }).items) do
      for _, reason in ipairs(found.reasons) do
        if reason.kind == "like" then
          local function nearest(d) return order(vectors, { "i1", "i2", "i3", found.item }, found.item, d)[1] end
          assert.equal(nearest(5).id, reason.item)
          assert.near(nearest(5).score, reason.cosine, 1e-5)
          likes, others = likes + 1, others + (nearest(7).id ~= reason.item and 1 or 0)
        end
      end
    end
    assert.is_true(likes > 3 and others > 0)
  end)

  it("is what diversity weighs", function()
    local model <close> = assert(serve.open(path))
    local vectors, lambda = vectors_of(model, ids), 0.4
    local function chosen(d)
      local pool, taken = model:recommend({ user = "u6", k = 12 }).items, {}
      local high, low = pool[1].score, pool[12].score
      for _ = 1, 12 do
        local best, at = -math.huge, nil
        for i, found in ipairs(pool) do
          local likeness = #taken == 0 and 0 or -math.huge
          for _, id in ipairs(taken) do likeness = math.max(likeness, cosine(vectors[found.item], vectors[id], d)) end
          local value = lambda * (found.score - low) / (high - low) - (1 - lambda) * likeness
          if value > best + 1e-9 then best, at = value, i end
        end
        taken[#taken + 1] = table.remove(pool, at).item
      end
      return taken
    end
    local answer = ids_of(model:recommend({ user = "u6", k = 12, diversity = { lambda = lambda } }).items)
    assert.same(chosen(5), answer)
    assert.not_same(chosen(7), answer)
  end)

  it("is told by a bundle, and by other versions of it", function()
    assert.equal(5, registry.reopen(path).manifest.model.likeness)
    local ran = command.run(("%s index %s --engine hnsw --out %s/other.tar"):format(command.program, path, folder))
    assert.equal(0, ran.code, ran.err)
    local other <close> = assert(serve.open(folder .. "/other.tar"))
    assert.same({ "hnsw", 5 }, { other:facts().index, other:facts().likeness })
  end)
end)

describe("models/*.lua", function()
  --- What a model's file says of likeness, and the width of its item vectors, which begin with what its tower gives.
  local function told(kind, config)
    local dataset = tiny.dataset()
    local encoder = tiny.encoder(dataset)
    local rows = tensor.arange(0, 9, "i64")
    local made = network.build(require("models." .. kind), kind, config, encoder, { seed = 3, training = {
      users = encoder:encode_users(dataset.users), items = encoder:encode_items(dataset.items),
      user_rows = dataset.interactions:lookup(dataset.users, "user"),
      item_rows = dataset.interactions:lookup(dataset.items, "item") } })
    local tape <close> = autograd.tape { train = false }
    local batch = encoder:encode_items(dataset.items):gather(rows)
    local vectors, tower = made:item(tape, batch):value(), made.item_tower or made.items
    if made.likeness then
      assert.same(tower:forward(tape, batch):value():tolist(),
        vectors:narrow(2, 1, made.likeness):contiguous():tolist())
    end
    return { made.likeness, vectors:size(2) }
  end

  it("tell how many dimensions of their vectors say what an item is", function()
    local config = { dim = 4, hidden = { 8 }, dropout = 0, temperature = 0.5, bias = true, heads = 1, layers = 1,
      negatives = 2, similarity = "cosine", dwell = "seconds", loss = "softmax" }
    assert.same({ 4, 5 }, told("two_tower", config))
    assert.same({ 4, 12 }, told("multi_task", config))
    assert.same({ 8, 9 }, told("mf", config)) -- two inputs side by side
    assert.same({ 8, 9 }, told("catalogue_mf", config))
    assert.same({ 8, 9 }, told("next_item", config))
    for _, kind in ipairs { "engagement", "ultra_gcn", "light_gcn" } do assert.is_nil(told(kind, config)[1]) end
  end)
end)

describe("a two-tower model of the news sample", function()
  local folder, model, plain, topics, live
  local level = log.level

  --- The topics of the articles that have any, as sets by id.
  local function topics_of(items)
    local sets = {}
    for i = 1, items:rows() do
      local set = {}
      for _, topic in ipairs(items:value("categories", i) or {}) do set[topic] = true end
      if next(set) then sets[items:value("item", i)] = set end
    end
    return sets
  end

  local function share_a_topic(a, b)
    for topic in pairs(topics[a]) do
      if topics[b][topic] then return true end
    end
    return false
  end

  --- A bundle, and the same one without a word on likeness.
  setup(function()
    log.level, folder = "quiet", command.temporary()
    local dataset = assert(job.load { source = "news", dir = folder .. "/news", scale = 0.01 })
    local split = job.split(dataset, { kind = "time", valid = 0.1, test = 0.1 }, 1)
    local config = { kind = "two_tower", dim = 32, hidden = {}, dropout = 0, similarity = "cosine", temperature = 0.2,
      log_q = true, bias = true, policy = false, drawn = 0 }
    local trained = job.train({ model = config, eval = {}, seed = 1, train = { epochs = 4, batch = 512,
      learning_rate = 1e-2, metric = "ndcg_10" } },
      feature.fit(dataset, split.train, require "recipes.features.news"), dataset, split)
    local path = assert(registry.publish { name = "news", dir = folder .. "/models", model = trained,
      dataset = dataset, window = 7 * tiny.day })
    local request = assert(registry.reopen(path))
    request.manifest.model.likeness = nil
    assert(registry.write(folder .. "/plain.tar", request))
    model, plain = assert(serve.open(path)), assert(serve.open(folder .. "/plain.tar"))
    topics, live = topics_of(dataset.items), {}
    for _, found in ipairs(model:recommend({ k = 1000 }).items) do
      if topics[found.item] then live[#live + 1] = found.item end
    end
  end)
  teardown(function()
    for _, opened in ipairs { model, plain } do opened:close() end
    log.level = level
    command.remove(folder)
  end)

  --- How many of the five articles most like each share a topic with it.
  local function alike(asked)
    local shared, all = 0, 0
    for _, id in ipairs(live) do
      local n = 0
      for _, found in ipairs(call(asked, "similar", { item = id, k = 20 }).items) do
        if topics[found.id] and n < 5 then
          n, all, shared = n + 1, all + 1, shared + (share_a_topic(id, found.id) and 1 or 0)
        end
      end
    end
    return shared / all
  end

  it("finds articles of the same topics alike, far more than chance would", function()
    local shared, all = 0, 0
    for i, id in ipairs(live) do
      for j = i + 1, #live do all, shared = all + 1, shared + (share_a_topic(id, live[j]) and 1 or 0) end
    end
    local chance, found, by_time = shared / all, alike(model), alike(plain)
    assert.is_true(#live > 100)
    assert.is_true(found > 5 * chance, ("%g, at random %g"):format(found, chance))
    assert.is_true(found > 2 * by_time, ("%g, by all dimensions %g"):format(found, by_time))
  end)

  it("puts more topics into a list that is to be diverse", function()
    local function spread(lambda)
      local different, all = 0, 0
      for u = 1, 100 do
        local had = {}
        local answer = model:recommend { user = model:user(u), k = 10, diversity = { lambda = lambda } }
        for _, found in ipairs(answer.items) do
          for topic in pairs(topics[found.item] or {}) do
            all, different, had[topic] = all + 1, different + (had[topic] and 0 or 1), true
          end
        end
      end
      return different / all
    end
    -- by all dimensions it would be 0.93 and 1.10 times as many
    local by_score, diverse, most = spread(1), spread(0.6), spread(0.3)
    assert.is_true(diverse > 1.07 * by_score, ("%g of %g"):format(diverse, by_score))
    assert.is_true(most > 1.2 * by_score, ("%g of %g"):format(most, by_score))
  end)
end)

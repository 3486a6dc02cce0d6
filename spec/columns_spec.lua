--- Models that score by columns: a user's row holds a score for each code of the items, and items have no vectors.

local autograd = require "recsys.autograd"
local base = require "recsys.base"
local command = require "spec.support.command"
local evaluate = require "recsys.evaluate"
local feature = require "recsys.feature"
local importance = require "recsys.evaluate.importance"
local job = require "recsys.job"
local lists = require "recsys.compare.lists"
local log = require "recsys.log"
local metrics = require "recsys.metrics"
local network = require "recsys.network"
local recommend = require "recsys.recommend"
local retrieval = require "recsys.retrieval"
local small = require "spec.support.small_training"
local store = require "recsys.store"
local tensor = require "recsys.tensor"
local towers = require "recsys.towers"
local train = require "recsys.train"

local function range(n) return tensor.arange(0, n, "i64") end

local function identity(n)
  local flat = tensor.zeros(n * n)
  return flat:index_copy_(range(n) * (n + 1), tensor.full(1, n)):reshape(n, n)
end

--- A map of random numbers over what somebody knows.
local function mapping(changes)
  return function(_, encoder, settings)
    local _, known = towers.known(encoder, settings.training)
    local map = autograd.parameter("map", tensor.zeros(known.rows, known.rows), { trainable = false })
    local made = { parameters = { map }, columns = "item.id", rounds = 1 }
    function made.user(_, tape, batch)
      return autograd.embedding_bag(tape:parameter(map), towers.known_bag(tape, batch, known))
    end
    function made.round()
      map:value():copy_(base.stream(3, "user"):normals(known.rows ^ 2 // 1):to("f32"):reshape(known.rows, -1))
    end
    for field, value in pairs(changes or {}) do made[field] = value or nil end
    return made
  end
end

local function fitted(length)
  local data = small.dataset()
  local request = small.request({ epochs = 1 }, { kind = "mapping" })
  request.encoder = feature.fit(data, request.split.train, { user = { feature.id { "user" } },
    event = { feature.history { of = "id", length = length or 100, name = "known" } },
    item = { feature.id { "item" } } })
  return request
end

--- Indices of a user's rows as the formula has them: what is known times the map, by column.
local function by_formula(trained, inputs)
  local all = trained:user_vectors(inputs.users, inputs.events, inputs.user_rows)
  return all:transpose():index_select(inputs.items:gather(range(inputs.items:rows()))["item.id"]):transpose()
    :contiguous()
end

describe("a ranking of rows with columns", function()
  local question = { relevant = { { 1 }, { 2, 0 } }, items = 3, k = { 1, 2 } }
  local function ranked_by(scores, columns)
    local lengths, starts, values = {}, {}, {}
    for i, items in ipairs(question.relevant) do
      starts[i], lengths[i] = #values, #items
      for _, item in ipairs(items) do values[#values + 1] = item end
    end
    local ranking = metrics.ranking { items = 3, k = question.k, relevant = { starts = tensor.new(starts, "i64"),
      lengths = tensor.new(lengths, "i32"), values = tensor.new(values, "i32") } }
    local ranked = ranking:ranked()
    ranked:rows(1, tensor.new(scores), columns and tensor.new(columns, "i32"))
    return ranked:finish().metrics:tolist()
  end

  it("is that of the scores which the columns name", function()
    assert.same(ranked_by { { 3, 1, 2 }, { 0, 5, 5 } }, ranked_by({ { 9, 3, 2, 1 }, { 9, 0, 5, 5 } }, { 1, 3, 2 }))
    assert.same(ranked_by { { 3, 3, 2 }, { 0, 0, 5 } }, ranked_by({ { 9, 3, 2, 1 }, { 9, 0, 5, 5 } }, { 1, 1, 2 }))
  end)

  it("refuses columns that there are not", function()
    assert.has_error(function() ranked_by({ { 1, 2 }, { 1, 2 } }, { 0, 2, 1 }) end,
      "ranking: column 2 of item row 1 is outside 0..1")
    assert.has_error(function() ranked_by({ { 1, 2 }, { 1, 2 } }, { 0, 1 }) end,
      "bad argument #3 to 'rows' (a tensor i32 [3] expected, got i32 [2])")
  end)
end)

describe("a search by columns", function()
  local n, width, items = 70, 50, 301
  local users = base.stream(5, "user"):normals(n * width):to("f32"):reshape(n, width)
  local columns = base.stream(6, "user"):integers(items, width):to "i32"
  local one_hot = identity(width):index_select(columns)

  local function both(request)
    request.users, request.columns = request.users or users, columns
    local rows, scores = retrieval.topk(request)
    request.columns, request.items = nil, one_hot
    local expected_rows, expected_scores = retrieval.topk(request)
    assert.same(expected_rows:tolist(), rows:tolist())
    assert.same(expected_scores:tolist(), scores:tolist())
    request.items = nil
    local index <close> = retrieval.columns(columns, width)
    local found, found_scores = index:search(request)
    assert.same(expected_rows:tolist(), found:tolist())
    assert.same(expected_scores:tolist(), found_scores:tolist())
  end

  it("gives what products with one-hot vectors give, ties, filters, windows and all", function()
    both { k = 10 }
    both { k = 400 }
    both { k = 1 }
    local stream = base.stream(7, "user")
    local barred = stream:integers(n * 20, items):to "i32"
    both { k = 25, excluded = { starts = range(n) * 20, lengths = tensor.full(20, n, "i32"), values = barred },
      item_time = stream:integers(items, 100), from = tensor.full(20, n, "i64"), to = tensor.full(80, n, "i64") }
    both { k = 8, users = users:reshape(n // 2, 2, width) }
  end)

  it("has the same bits with one thread", function()
    local before = base.threads()
    finally(function() base.threads(before) end)
    base.threads(1)
    both { k = 10 }
  end)

  it("refuses what makes no sense", function()
    local user = tensor.zeros(1, 2)
    assert.has_error(function() retrieval.topk { users = user, columns = tensor.new({ 0, 2 }, "i32") } end,
      "column 2 of item row 1 is outside 0..1")
    assert.has_error(function() retrieval.columns(tensor.new({ -1, 1 }, "i32"), 2) end,
      "column -1 of item row 0 is outside 0..1")
    assert.has_error(function()
      retrieval.topk { users = user, columns = tensor.new({ 0 }, "i32"), items = tensor.zeros(1, 2) }
    end, "'items' and 'columns' exclude each other")
    user:set(1, 1, 0 / 0)
    for _, ask in ipairs { function() retrieval.topk { users = user, columns = tensor.new({ 1, 0 }, "i32") } end,
      function() retrieval.columns(tensor.new({ 1, 0 }, "i32"), 2):search { users = user } end } do
      assert.has_error(ask, "top-k: the score of item row 1 for query 0 is not a finite number")
    end
  end)
end)

describe("a model with columns", function()
  local level, request, trained, inputs, split = log.level, nil, nil, nil, nil

  setup(function()
    log.level = "quiet"
    request = fitted()
    trained = train.fit(mapping(), request)
    split = request.split
    local queries = evaluate.protocol_per_user(request.data, split):queries "valid"
    inputs = job.inputs(request.encoder, request.data, split, queries)
    inputs.queries = queries
  end)
  teardown(function() log.level = level end)

  it("scores by the sum of what somebody knows, items once", function()
    local matrix = towers.known(request.encoder, { users = inputs.users, items = inputs.items,
      user_rows = request.data:user_rows():index_select(inputs.queries.known),
      item_rows = request.data:item_rows():index_select(inputs.queries.known) })
    local expected = matrix:matmul(trained.weights.map):index_select(inputs.user_rows)
    local found = trained:user_vectors(inputs.users, inputs.events, inputs.user_rows)
    assert.is_true((found - expected):abs():max() < 1e-5)
    local part = trained:user_vectors(inputs.users, inputs.events, inputs.user_rows, 3, 4)
    assert.same(found:narrow(1, 3, 4):tolist(), part:tolist())
  end)

  it("is evaluated, block by block, as its scores are", function()
    local scores = by_formula(trained, inputs)
    local function rows(first, n) return scores:narrow(1, first, n):clone() end
    assert.same(evaluate.means(inputs.queries, rows, { 3 }),
      evaluate.means(inputs.queries, job.scorer(trained, inputs), { 3 }))
    assert.same(lists.top(inputs.queries, rows, 5):tolist(),
      lists.top(inputs.queries, job.scorer(trained, inputs), 5):tolist())
    local report = importance.of { model = trained, inputs = inputs, queries = inputs.queries, repeats = 1 }
    local names = {}
    for _, entry in ipairs(report.features) do names[entry.name] = entry.drop end
    assert.equal(0, names["user.id"])
    assert.is_number(names["event.known"])
    assert.has_error(function() trained:item_vectors(inputs.items) end)
  end)

  it("is saved and loaded to the same rows", function()
    local folder = command.scratch(finally) .. "/model"
    store.save(folder, trained)
    local again = store.load(folder)
    assert.equal("item.id", again.columns)
    assert.is_nil(again.plans.item)
    assert.same(trained:user_vectors(inputs.users, inputs.events, inputs.user_rows):tolist(),
      again:user_vectors(inputs.users, inputs.events, inputs.user_rows):tolist())
  end)

  it("recommends in batch what its scores say", function()
    local folder, scorer = command.scratch(finally), job.scorer(trained, inputs)
    local users, items = {}, {}
    for i = 1, inputs.queries.n do users[i] = "u" .. i end
    for i = 1, inputs.items:rows() do items[i] = "i" .. i end
    local asked = {}
    local function made(first, n)
      asked[#asked + 1] = n
      return scorer.users(first, n)
    end
    local written = assert(recommend.batch { users = made, columns = scorer.columns, width = 16000000 // 3,
      user_ids = users, item_ids = items, k = 4, dir = folder .. "/a" })
    assert.equal(3, math.max(table.unpack(asked)))
    local dense = assert(recommend.batch { users = by_formula(trained, inputs), items = identity(#items),
      user_ids = users, item_ids = items, k = 4, dir = folder .. "/b" })
    assert.equal(command.read(dense.csv), command.read(written.csv))
    assert.same(dense.times:tolist(), written.times:tolist())
    assert.has_error(function()
      recommend.batch { users = made, columns = scorer.columns, user_ids = users, item_ids = items, dir = folder }
    end, "bad argument #1 to 'batch' ('width' is missing)")
  end)

  it("is refused when its definition is wrong, in words", function()
    local function complaint(changes)
      local ok, problem = pcall(train.fit, mapping(changes), request)
      assert.is_false(ok)
      return problem.message or problem
    end
    for _, field in ipairs { "item", "likeness" } do
      assert.equal(("models/mapping.lua: the model has 'columns', which say where an item's score stands, and '%s', "
        .. "which is of vectors"):format(field), complaint { [field] = field == "item" and print or 3 })
    end
    local says = "models/mapping.lua: its 'columns' is %s; the name of an input of codes of the side item is expected, "
      .. "such as \"item.id\""
    assert.equal(says:format "'user.id'", complaint { columns = "user.id" })
    assert.equal(says:format "a number", complaint { columns = 3 })
    local rows = network.column_input(request.encoder, "item.id").rows
    assert.equal(("models/mapping.lua: user() gives rows of 1 numbers, but 'item.id' has %d codes: each code's score "
      .. "stands in its column"):format(rows), complaint { user = function(_, tape, batch)
        return autograd.embedding(tape:parameter(
          autograd.parameter("map", tensor.zeros(20, 1), { trainable = false })),
          tape:input("user.id", batch["user.id"]))
      end })
  end)
end)

describe("a bundle by columns", function()
  local bundle, registry, serve = require "recsys.bundle", require "recsys.registry", require "recsys.serve"
  local http, json, operation = require "recsys.http", require "recsys.json", require "recsys.serve.operation"
  local level, folder, path, request, trained, model = log.level, nil, nil, nil, nil, nil
  local server, client
  local day <const> = 86400000

  setup(function()
    log.level = "quiet"
    folder = command.temporary()
    request = fitted()
    trained = train.fit(mapping(), request)
    path = assert(registry.publish { name = "mapped", model = trained, dataset = request.data, dir = folder })
    model = assert(serve.open(path))
    client = assert(http.client { timeout_ms = 20000 })
    server = operation.open { word = path, port = 0, workers = 1, poll = 0 }
  end)
  teardown(function()
    server:close()
    client:close()
    log.level = level
    model:close()
    command.remove(folder)
  end)

  --- The server's answer.
  local function post(to, body, status)
    local reply = assert(client:request { method = "POST", url = server:url() .. to, body = json.encode(body),
      headers = { ["Content-Type"] = "application/json" } })
    assert.equal(status or 200, reply.status, reply.body)
    return json.decode(reply.body)
  end

  --- Scores of all items for somebody who knows some items (ids), by the map.
  local function scores_of(known)
    local vocabulary, map = request.encoder:vocabulary "item.id", trained.weights.map
    local sum, seen = tensor.zeros(map:size(1)), {}
    for _, id in ipairs(known) do
      if not seen[id] then sum:add_(map:select(1, vocabulary:code(id) + 1)) end
      seen[id] = true
    end
    local by_id = {}
    for row = 1, request.data.items:rows() do
      local id = request.data.items:text("item", row)
      by_id[id] = sum:get(vocabulary:code(id) + 1)
    end
    return by_id
  end

  local function order(scores, without)
    local list, left_out = {}, {}
    for _, id in ipairs(without or {}) do left_out[id] = true end
    for id, score in pairs(scores) do
      if not left_out[id] then list[#list + 1] = { id = id, score = score } end
    end
    table.sort(list, function(a, b) return a.score > b.score end)
    return list
  end

  local function same(expected, found)
    assert.equal(#expected, #found)
    for i, item in ipairs(expected) do
      assert.equal(item.id, found[i].item or found[i].id)
      assert.near(item.score, found[i].score, 1e-5)
    end
  end

  it("says what it is", function()
    local facts = model:facts()
    assert.equal("columns", facts.index)
    assert.equal("item.id", facts.columns)
    assert.is_nil(facts.likeness)
    assert.equal(trained.weights.map:size(1), facts.width)
    local opened <close> = assert(bundle.open(path))
    assert.is_nil(opened:text "plan.item.json")
    assert.equal("item.id", opened:manifest().model.columns)
    assert.equal("i32", opened:tensors "items.safetensors".columns:dtype())
    assert.is_nil(opened:tensors "items.safetensors".vectors)
  end)

  it("answers with the map's scores, without what was seen or excluded", function()
    local known = { "i1", "i4", "i1", "i9" }
    local answer = assert(model:recommend { history = known, k = 20 })
    same(order(scores_of(known), known), answer.items)
    same(order(scores_of(known), known), post("/recommend", { history = json.list(known), k = 20 }).items)
    answer = assert(model:recommend { history = known, k = 20, exclude = { "i0" }, exclude_seen = false })
    assert.equal(request.data.items:rows() - 1, #answer.items)
    local scored = post("/score", { history = json.list(known), items = json.list { "i9", "nothing", "i0" } })
    local expected = scores_of(known)
    assert.near(expected.i9, scored.items[1].score, 1e-5)
    assert.is_nil(scored.items[2].score)
    assert.near(expected.i0, scored.items[3].score, 1e-5)
  end)

  it("gives all users what each is given alone", function()
    local rows, scores = assert(model:recommend_users { k = 5 })
    for user = 1, model:facts().users do
      for rank, item in ipairs(model:recommend({ user = model:user(user), k = 5 }).items) do
        assert.equal(item.item, (model:item(rows:get(user, rank) + 1)))
        assert.equal(string.pack("f", item.score), string.pack("f", scores:get(user, rank)))
      end
    end
  end)

  it("says what is like an item by what somebody is given who knows it alone, and why an item is there", function()
    local similar = post("/similar", { item = "i4", k = 20 })
    same(order(scores_of { "i4" }, { "i4" }), similar.items)
    assert.equal(3, #post("/similar", { item = "i4", k = 3 }).items)
    local known, reasons = { "i1", "i4", "i9" }, 0
    for _, item in ipairs(model:recommend({ history = known, k = 20 }).items) do
      local best
      for _, id in ipairs(known) do
        local score = scores_of({ id })[item.item]
        if score > 0 and (not best or score > best.score) then best = { item = id, score = score } end
      end
      local like
      for _, reason in ipairs(item.reasons or {}) do like = reason.kind == "like" and reason or like end
      assert.equal(best and best.item, like and like.item)
      if best then
        reasons = reasons + 1
        assert.near(best.score, like.score, 1e-5)
        assert.is_nil(like.cosine)
      end
    end
    assert.is_true(reasons > 0)
  end)

  it("refuses what needs item vectors, in words", function()
    local ok, problem = pcall(model.recommend, model, { history = { "i1" }, k = 3, diversity = { lambda = 0.5 } })
    assert.is_false(ok)
    assert.matches("diversity compares the vectors of items, and this model has none", problem)
    local refused = post("/recommend", { history = json.list { "i1" }, k = 3, diversity = { lambda = 0.5 } }, 400)
    assert.matches("diversity compares the vectors", refused.error.message)
    refused = post("/embed", { items = json.list { "i1" } }, 400)
    assert.matches("items of this model have no vectors", refused.error.message)
    local user = post("/embed", { history = json.list { "i1", "i4" } })
    assert.equal(trained.weights.map:size(1), #user.vectors[1])
    assert.is_table(model:recommend { history = { "i1" }, k = 3, diversity = { lambda = 1 } })
    ok, problem = pcall(registry.publish, { name = "mapped", model = trained, dataset = request.data, dir = folder,
      index = "hnsw" })
    assert.is_false(ok)
    assert.matches("a model by columns has no item vectors: leave the index out", tostring(problem))
  end)

  it("takes events and items that are posted; a new item has the column of the unknown", function()
    local posted <close> = assert(serve.open(path))
    local items = request.data.items:rows()
    assert(posted:put { item = "new", title = "New", created = day })
    assert.equal(items + 1, posted:facts().items)
    local found = {}
    for _, item in ipairs(posted:recommend({ history = { "i1", "i4" }, k = 50 }).items) do
      found[item.item] = item.score
    end
    local unknown = trained.weights.map:select(1, request.encoder:vocabulary "item.id":code "i1" + 1):get(1)
      + trained.weights.map:select(1, request.encoder:vocabulary "item.id":code "i4" + 1):get(1)
    assert.near(unknown, found.new, 1e-5)
    assert(posted:put { item = "i3", title = "Again", created = day })
    assert.equal(items + 1, posted:facts().items)
    local user, now = posted:user(1), posted:facts().as_of
    local before = posted:recommend { user = user, k = 50, exclude_seen = false }
    assert(posted:advance { user = user, item = before.items[1].item, time = now + 1 })
    assert.is_true(#posted:recommend({ user = user, k = 50 }).items <= #before.items)
  end)

  it("is refused when its columns are not its items' codes, or there are no such", function()
    local function damaged(change)
      local again = assert(registry.reopen(path))
      for _, member in ipairs(again.members) do
        if member[1] == "items.safetensors" then change(member.tensors, again.manifest) end
      end
      assert(bundle.write(folder .. "/other.tar", { manifest = again.manifest, members = again.members }))
      return select(2, serve.open(folder .. "/other.tar"))
    end
    local function with(at, value)
      return function(t)
        local columns = t.columns:clone()
        columns:set(at, value)
        t.columns = columns
      end
    end
    local width = trained.weights.map:size(1)
    assert.matches(("member items.safetensors: column %d of item row 2 is outside 0..%d"):format(width, width - 1),
      damaged(with(3, width)), 1, true)
    assert.matches("column -1 of item row 0 is outside", damaged(with(1, -1)), 1, true)
    assert.matches("items.safetensors holds columns that are not the items' codes", damaged(function(t)
      t.columns = t.columns * 0
    end), 1, true)
    assert.matches("items.safetensors has no column for each item", damaged(function(t) t.columns = nil end), 1, true)
    assert.matches("model.columns is 'item.none', of which the items have no codes", damaged(function(_, manifest)
      manifest.model.columns = "item.none"
    end), 1, true)
    assert.matches("model.columns without model.dimensions", damaged(function(_, manifest)
      manifest.model.dimensions = nil
    end), 1, true)
    assert.matches("the plan gives user vectors", damaged(function(_, manifest)
      manifest.model.dimensions = width + 1
    end), 1, true)
  end)
end)

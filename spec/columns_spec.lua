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

--- EASE by its definition: the map, its largest weights, what it refuses, and the model that scores by it.

local base = require "recsys.base"
local ease = require "recsys.ease"
local evaluate = require "recsys.evaluate"
local feature = require "recsys.feature"
local job = require "recsys.job"
local log = require "recsys.log"
local reference = require "recsys.evaluate.reference"
local small = require "spec.support.small_training"
local tensor = require "recsys.tensor"
local train = require "recsys.train"

--- Who knows what: [users, items] of ones with a chance of 0.1, the first item known to nobody.
local function made(users, items)
  local dense = base.stream(9, "user"):uniforms(users * items):lt(0.1):to "f32":reshape(users, items)
  dense:narrow(2, 1, 1):fill_(0)
  local starts, columns = { 0 }, {}
  for u = 1, users do
    for i, value in ipairs(dense:narrow(1, u, 1):reshape(-1):tolist()) do
      if value > 0 then columns[#columns + 1] = i - 1 end
    end
    starts[u + 1] = #columns
  end
  return tensor.csr(tensor.new(starts, "i64"), tensor.new(columns, "i32"), tensor.full(1, #columns), items),
    dense:to "f64"
end

--- Each column of the map as what it is by definition: the ridge regression of its item on all others.
local function by_regression(x, l2, item)
  local items = x:size(2)
  local others = {}
  for i = 0, items - 1 do
    if i ~= item then others[#others + 1] = i end
  end
  local at = tensor.new(others, "i64")
  local rest = x:transpose():index_select(at):transpose():contiguous()
  local gram = rest:matmul(rest, true, false)
  gram:reshape(-1):index_add_(tensor.arange(#at) * (#at + 1), tensor.full(l2, #at, "f64"))
  local weights = gram:inverse_definite():matmul(rest:matmul(x:narrow(2, item + 1, 1):contiguous(), true, false))
  return tensor.zeros(items, 1, "f64"):index_copy_(at, weights)
end

describe("EASE's map", function()
  it("is in each column the ridge regression of that item on the others, in either precision", function()
    local matrix, x = made(150, 40)
    for _, case in ipairs { { "f64", 1e-6 }, { "f32", 2e-6 } } do
      local map = ease.map(matrix, { l2 = 3.5, precision = case[1] }):to "f64"
      for _, item in ipairs { 1, 17, 39 } do
        local off = (map:narrow(2, item + 1, 1) - by_regression(x, 3.5, item)):abs():max()
        assert.is_true(off < case[2], ("%s, item %d: %g"):format(case[1], item, off))
        assert.equal(0, map:get(item + 1, item + 1))
      end
      assert.equal(0, map:narrow(1, 1, 1):abs():max())
      assert.equal(0, map:narrow(2, 1, 1):abs():max())
    end
  end)

  it("is made where it is told to, over several blocks, with the same bits on any number of threads", function()
    local matrix = made(300, 1100)
    local before = base.threads()
    finally(function() base.threads(before) end)
    local into = tensor.full(7, 1100, 1100)
    ease.map(matrix, { l2 = 50 }, into)
    base.threads(1)
    local alone = ease.map(matrix, { l2 = 50 })
    assert.equal(0, (into - alone):abs():max())
    local exact = ease.map(matrix, { l2 = 50, precision = "f64" })
    assert.is_true((exact - alone):abs():max() < 1e-4 * exact:abs():max())
  end)

  it("keeps of each column the weights of largest size", function()
    local map = tensor.new { { 0, -3, 0.5 }, { 1, 0, -2 }, { -4, 2, 0 } }
    assert.same({ { 0, -3, 0 }, { 0, 0, -2 }, { -4, 0, 0 } }, ease.largest(map, 1):dense():tolist())
    assert.same(map:tolist(), ease.largest(map, 9):dense():tolist())
    local whole = ease.map((made(200, 700)), { l2 = 5 })
    local kept = ease.largest(whole, 20)
    local dense = kept:dense()
    assert.equal(20 * 700, #kept:tensors().values)
    for _, column in ipairs { 2, 513, 700 } do
      local sizes = whole:narrow(2, column, 1):contiguous():reshape(-1):abs()
      local least = sizes:index_select(sizes:argsort(true)):get(20)
      assert.is_true(dense:narrow(2, column, 1):contiguous():abs():sum() > 0)
      for row = 1, 700 do
        local expected = sizes:get(row) > least and whole:get(row, column)
        if expected then assert.equal(expected, dense:get(row, column)) end
      end
    end
  end)

  it("is refused without a penalty, and where memory does not hold it, in words", function()
    local matrix = made(20, 5)
    local function message(fn, ...)
      local ok, problem = pcall(fn, ...)
      assert.is_false(ok)
      assert.equal("usage", problem.code)
      return problem.message
    end
    for _, l2 in ipairs { 0, -1, 0 / 0, math.huge } do
      assert.matches("EASE wants an l2 above 0, not ", message(ease.map, matrix, { l2 = l2 }))
    end
    assert.equal("EASE wants an l2 above 0, not nil", message(ease.map, matrix, {}))
    assert.equal("EASE has no precision 'f16'; there are f32 and f64", message(ease.map, matrix, { l2 = 1,
      precision = "f16" }))
    assert.equal("EASE holds a matrix of items x items: 200,000 items take 161.6 GB in f32, and 20.0 GB of memory are "
      .. "free. Leave rare items out, or take a model without such a matrix, such as ials",
      message(ease.check, 200000, { free = 20e9 }))
    assert.matches("take 643.3 GB in f64, .* f32 takes a quarter%. Leave", message(ease.check, 200000,
      { precision = "f64", free = 20e9 }))
    assert.is_nil(ease.check(40982, { free = 7.1e9 })) -- Gowalla
    assert.is_true(ease.bytes(40982) < 7.1e9)
  end)
end)

describe("the model ease", function()
  local level = log.level
  setup(function() log.level = "quiet" end)
  teardown(function() log.level = level end)

  local function fitted(config)
    local data = small.dataset()
    local request = small.request({ epochs = 3 }, { kind = "ease", config = config })
    request.encoder = feature.fit(data, request.split.train, { user = { feature.id { "user" } },
      event = { feature.history { of = "id", length = 100, name = "known" } }, item = { feature.id { "item" } } })
    return request, train.fit(require "models.ease", request)
  end

  it("scores as the reference does", function()
    local request, trained = fitted { l2 = 2 }
    assert.equal(1, trained.epoch)
    local queries = evaluate.protocol_per_user(request.data, request.split):queries "valid"
    local inputs = job.inputs(request.encoder, request.data, request.split, queries)
    local found = evaluate.means(queries, job.scorer(trained, inputs), { 3 })
    assert.same(evaluate.means(queries, reference.ease(queries, { l2 = 2 }), { 3 }), found)
    local _, few = fitted { l2 = 2, keep = 100 }
    assert.same(found, evaluate.means(queries, job.scorer(few, inputs), { 3 }))
    local _, fewer = fitted { l2 = 2, keep = 1 }
    assert.is_true(fewer.weights["map.starts"]:max() <= request.data.items:rows() + 1)
  end)

  it("is refused weights of rows", function()
    local request = fitted { l2 = 2 }
    local settings = { seed = 1, training = { weights = tensor.zeros(3) } }
    local ok, problem = pcall(require "models.ease", { l2 = 2 }, request.encoder, settings)
    assert.is_false(ok)
    assert.equal("ease counts each item that a user has once: no train.weight", problem.message)
  end)
end)

describe("the model popularity", function()
  local level = log.level
  setup(function() log.level = "quiet" end)
  teardown(function() log.level = level end)

  --- Scores of its items by code, for users of a segment, as counts.
  local function counts(config, declared)
    local request = small.request({ epochs = 2 }, { kind = "popularity", config = config })
    if declared then request.encoder = feature.fit(request.data, request.split.train, declared) end
    local trained = train.fit(require "models.popularity", request)
    local all = tensor.arange(request.data.users:rows())
    local encoder = request.encoder
    local scorer = job.scorer(trained, { users = encoder:encode_users(request.data.users), user_rows = all,
      events = encoder:encode_users_at(request.data, all), items = encoder:encode_items(request.data.items) })
    return tensor.matmul(scorer.users, scorer.items, false, true):exp() - 1, request
  end

  it("counts training events, of a window and by age where it is told to", function()
    local found, request = counts {}
    local items = request.data:item_rows():index_select(request.split.train)
    local expected = items:bincount(request.data.items:rows()):to "f32"
    assert.is_true((found - expected:reshape(1, -1)):abs():max() < 1e-4)
    local times = request.data.interactions:column "time":index_select(request.split.train)
    local age = times:max() - times
    local recent = items:index_select(age:lt(20 * 60000):nonzero()):bincount(request.data.items:rows()):to "f32"
    assert.is_true((counts { window = "20m" } - recent:reshape(1, -1)):abs():max() < 1e-4)
    local weights = (age:to "f64" * (-math.log(2) / (10 * 60000))):exp()
    local faded = items:bincount(request.data.items:rows(), weights):to "f32"
    assert.is_true((counts { half_life = "10m" } - faded:reshape(1, -1)):abs():max() < 1e-4)
  end)

  it("counts by segment, shrunk to everybody's shares", function()
    local declared = { user = { feature.id { "user" } }, item = { feature.id { "item" } } }
    local found, request = counts({ segment = "user.id", smoothing = 5 }, declared)
    local items, users = request.data:item_rows(), request.data:user_rows()
    local train_rows, n = request.split.train, request.data.items:rows()
    local all = items:index_select(train_rows):bincount(n):to "f32"
    for _, user in ipairs { 0, 4 } do
      local mine = train_rows:index_select(users:index_select(train_rows):eq(user):nonzero())
      local expected = items:index_select(mine):bincount(n):to "f32" + all * (5 / all:sum())
      assert.is_true((found:narrow(1, user + 1, 1):reshape(-1) - expected):abs():max() < 1e-3)
    end
  end)
end)

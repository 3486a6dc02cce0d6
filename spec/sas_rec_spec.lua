--- Sequences of users to learn from at once, the transformer over histories, and models/sas_rec.lua.

local autograd = require "recsys.autograd"
local base = require "recsys.base"
local by_user = require "recsys.train.by_user"
local data = require "recsys.data"
local feature = require "recsys.feature"
local frame = require "recsys.frame"
local job = require "recsys.job"
local log = require "recsys.log"
local lookup = require "recsys.lookup"
local step_of = require "recsys.train.step"
local tensor = require "recsys.tensor"
local towers = require "recsys.towers"

local function i64(list) return tensor.new(list, "i64") end

local ITEMS, LENGTH = 12, 8

--- 60 users who go round the items, each in one of two directions from an item of his own: what comes next is known by
--- the last two alone.
local function rounds()
  local users, items, times = {}, {}, {}
  for k = 0, 9 do
    for u = 0, 59 do
      users[#users + 1], items[#items + 1] = "u" .. u, "i" .. (u * 5 + (u % 2 == 0 and k or -k)) % ITEMS
      times[#times + 1] = #times * 1000
    end
  end
  local kinds, ids = {}, {}
  for i = 0, ITEMS - 1 do ids[i + 1], kinds[i + 1] = "i" .. i, i % 2 == 0 and "even" or "odd" end
  return data.new { name = "rounds", fingerprint = ("0"):rep(64), origin = {},
    items = frame.from { { "item", "string", ids }, { "kind", "string", kinds } },
    interactions = frame.from { { "user", "string", users }, { "item", "string", items }, { "time", "time", times } } }
end

local ids = { user = { feature.id { "user" } }, item = { feature.id { "item" } },
  event = { feature.history { of = "id", length = LENGTH } } }
local content = { user = { feature.id { "user" } }, item = { feature.id { "item" }, feature.category { "kind" } },
  event = { feature.history { of = "id", length = LENGTH, unknown = "keep" },
    feature.history { of = "kind", length = LENGTH, unknown = "keep", name = "kinds" } } }

local function config_of(more)
  local config = { kind = "sas_rec", dim = 16, blocks = 2, heads = 2, dropout = 0.1, loss = "softmax", negatives = 0,
    temperature = 1, bias = true }
  for key, value in pairs(more or {}) do config[key] = value end
  return config
end

describe("sequences of users", function()
  it("pair each row with the one behind it, newest first, in sequences of a length at most", function()
    local offsets, targets = by_user.pairs(i64 { 0, 4, 5, 7 }, 2)
    assert.same({ 0, 2, 3, 4 }, offsets:tolist())
    assert.same({ 3, 2, 1, 6 }, targets:tolist())
    offsets, targets = by_user.pairs(i64 { 0, 1, 2 }, 5)
    assert.same({ 0 }, offsets:tolist())
    assert.equal(0, #targets)
  end)

  it("are a step's, with the weights of what is to be predicted; of batches of rows there are none", function()
    local rows = i64 { 0, 1, 0, 1, 0 } -- users
    local source = { user_rows = rows, item_rows = i64 { 7, 4, 8, 5, 9 }, times = i64 { 1, 2, 3, 4, 5 },
      log_q = tensor.zeros(10), weights = tensor.new { 1, 4, 2, 5, 3 } }
    source.groups = by_user.groups(source)
    local step = step_of.new(source, i64 { 0, 1 }, {})
    step.epoch, step.stream = 3, base.stream(1, "negatives", 3, 1)
    local found = step:sequences(10)
    assert.same({ 0, 2, 3 }, found.offsets:tolist())
    assert.same({ 8, 7, 4 }, found.inputs:tolist())
    assert.same({ 9, 8, 5 }, found.step.item_rows:tolist())
    assert.same({ 5, 3, 4 }, found.step.times:tolist())
    assert.same({ 0, 0, 1 }, found.step.user_rows:tolist())
    assert.is_true((found.step.weights * 4 - tensor.new { 3.6, 2.4, 6 }):abs():max() < 1e-6)
    assert.equal(step.stream, found.step.stream)
    assert.is_nil(found.step.starts)
    assert.same({ 9, 5 }, step:latest().item_rows:tolist())
    step.starts = nil
    local ok, problem = pcall(step.sequences, step, 10)
    assert.is_false(ok)
    assert.equal("usage", problem.code)
    assert.equal("sequences are of whole users: set train.by to \"user\"", problem.message)
  end)
end)

describe("a transformer over histories", function()
  local dataset = rounds()
  local encoder = feature.fit(dataset, data.split_leave_last_out(dataset).train, content)

  local function made(shape, tables)
    return towers.transformer("user", tables or towers.tables(encoder, 8, { seed = 3 }), shape)
  end

  it("reads all histories of codes of items, or those named", function()
    local all = made { blocks = 1 }
    assert.equal(2, #all.histories)
    assert.equal("item.kind", all.histories[2].item)
    local one = made { blocks = 1, sequence = "hist" }
    assert.equal(1, #one.histories)
    assert.has_error(function() made { sequence = "histry" } end,
      "bad argument #3 to 'transformer' (the recipe has no history of an item's codes on the side event whose name "
      .. "begins with 'histry')")
    assert.has_error(function() made { norm = "both" } end, "there is no norm 'both'; there are pre and post")
  end)

  it("has in each event of a sequence what a history that ends there has, but for the places", function()
    for _, norm in ipairs { "pre", "post" } do
      local net = made { blocks = 2, heads = 2, norm = norm }
      net.places:parameters()[1]:value():mul_(0)
      local codes, kinds = { 3, 1, 4, 1, 5, 9 }, { 1, 2, 1, 2, 1, 2 }
      local function events(from)
        local tape <close> = autograd.tape {}
        local function list(of) return tape:input(nil, tensor.new(table.move(of, from, #of, 1, {}), "i32")) end
        local offsets = tape:input(nil, i64 { 0, #codes - from + 1 })
        return net:events(tape, { ["event.history"] = list(codes), ["event.kinds"] = list(kinds) }, offsets):value()
      end
      local all = events(1)
      for from = 1, #codes do
        assert.is_true((events(from):select(1, 1) - all:select(1, from)):abs():max() < 1e-5)
      end
    end
  end)

  it("has the gradients of its parts", function()
    local settings = { seed = 3, dtype = "f64" }
    local net = made({ blocks = 1, heads = 2, activation = "gelu" }, towers.tables(encoder, 4, settings))
    local gradcheck = require "spec.support.gradcheck"
    local codes, at = tensor.new({ 3, 1, 4, 1 }, "i32"), i64 { 0, 3, 3, 4 }
    local worst = gradcheck(function(o)
      local tape = o:tape()
      local c = tape:input(nil, codes)
      return net:events(tape, { ["event.history"] = c, ["event.kinds"] = c:bag_positions(o, 2) }, o):bag_first(o)
    end, { { data = at } })
    assert.equal(0, worst) -- no operand of its own wants one; its parameters:
    for _, parameter in ipairs(net:parameters()) do
      local function run(backward)
        local tape <close> = autograd.tape { train = true }
        local o, c = tape:input(nil, at), tape:input(nil, codes)
        local y = net:events(tape, { ["event.history"] = c, ["event.kinds"] = c:bag_positions(o, 2) }, o)
        local loss = (y * y * y):sum()
        if backward then tape:backward(loss) end
        return loss:item()
      end
      for _, each in ipairs(net:parameters()) do each:zero_grad() end
      run(true)
      local value, grad = parameter:value():reshape(-1), parameter:grad():reshape(-1)
      local difference, norm = 0, 0
      for i = 1, #value, math.max(1, #value // 12) do
        local old = value:get(i)
        local function moved(to)
          value:set(i, to)
          return run()
        end
        local numeric = (moved(old + 1e-5) - moved(old - 1e-5)) / 2e-5
        value:set(i, old)
        difference, norm = difference + (numeric - grad:get(i)) ^ 2, norm + numeric ^ 2 + grad:get(i) ^ 2
      end
      assert.is_true(math.sqrt(difference) <= 1e-6 * math.sqrt(norm) + 1e-9, parameter:name())
    end
  end)
end)

describe("models/sas_rec.lua", function()
  local level, dataset, split, encoder = log.level, nil, nil, nil
  teardown(function() log.level = level end)

  setup(function()
    log.level = "quiet"
    dataset = rounds()
    split = data.split_leave_last_out(dataset)
    encoder = feature.fit(dataset, split.train, ids)
  end)

  local function train(config, more, with)
    local p = { model = config, eval = {}, seed = 3, train = { epochs = 30, batch = 16, by = "user",
      learning_rate = 0.01, warmup = 0, metric = "ndcg_10", patience = 30 } }
    for key, value in pairs(more or {}) do p.train[key] = value end
    return job.train(p, with or encoder, dataset, split)
  end

  local function best(trained)
    local value = 0
    for _, row in ipairs(trained.curves) do value = math.max(value, row["valid/ndcg_10"]) end
    return value
  end

  it("learns what comes next, by whole sequences or by rows, by either loss and norm", function()
    assert.is_true(best(train(config_of())) > 0.9) -- of the four items that are left at random it is about 0.6
    assert.is_true(best(train(config_of { norm = "post", bias = false })) > 0.9)
    assert.is_true(best(train(config_of { loss = "gbce", negatives = 4, centred = true })) > 0.9)
    assert.is_true(best(train(config_of(), { by = "row", batch = 64, epochs = 8 })) > 0.9)
  end)

  it("takes items by what is known of them, too", function()
    local with = feature.fit(dataset, split.train, content)
    assert.is_true(best(train(config_of(), nil, with)) > 0.9)
  end)

  it("trains to equal bits on one thread and on two", function()
    local had = base.threads()
    finally(function() base.threads(had) end)
    base.threads(1)
    local first = train(config_of(), { epochs = 2 })
    base.threads(2)
    local second = train(config_of(), { epochs = 2 })
    for name, weight in pairs(first.weights) do
      assert.equal(weight:to_string(), second.weights[name]:to_string())
    end
  end)

  it("knows nothing of who has no history but what all like", function()
    local trained = train(config_of(), { epochs = 1 })
    local nobody = trained.plans.user:run(trained.weights, { ["event.history"] = tensor.new({}, "i32"),
      ["event.history.offsets"] = i64 { 0, 0 } }).user
    assert.same({ 1 }, nobody:select(1, 1):narrow(1, 17, 1):tolist())
    assert.equal(0, nobody:narrow(2, 1, 16):abs():max())
  end)

  it("needs a history", function()
    local without = feature.fit(dataset, split.train, { user = ids.user, item = ids.item })
    local ok, problem = pcall(lookup.model "sas_rec", config_of(), without, { seed = 1 })
    assert.is_false(ok)
    assert.matches("the recipe has no history of an item's codes on the side event", problem)
  end)
end)

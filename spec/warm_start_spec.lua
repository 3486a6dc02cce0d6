--- What training is fed: a cap on a user's rows, shares over a window, and the daily warm start under vocabularies that
--- grow.

local command = require "spec.support.command"
local data = require "recsys.data"
local feature = require "recsys.feature"
local frame = require "recsys.frame"
local log = require "recsys.log"
local lookup = require "recsys.lookup"
local network = require "recsys.network"
local registry = require "recsys.registry"
local rows = require "recsys.train.rows"
local settings = require "recsys.settings"
local store = require "recsys.store"
local tensor = require "recsys.tensor"
local train = require "recsys.train"
local warm_start = require "recsys.train.warm_start"

log.level = "quiet"

local DAY <const> = 86400000

describe("the cap on a user's rows", function()
  local users = { 3, 3, 0, 3, 3, 1, 1, 3, 1 }
  local source = { n = 9, user_rows = tensor.new(users, "i64") }

  local function counts_of(order)
    local counts = {}
    for _, at in ipairs(order:tolist()) do counts[users[at + 1]] = (counts[users[at + 1]] or 0) + 1 end
    return counts
  end

  it("leaves each user at most so many, others drawn in each epoch", function()
    local met = {}
    for epoch = 1, 30 do
      local order = rows.order(source, { seed = 1, user_cap = 2 }, epoch)
      assert.same({ [0] = 1, [1] = 2, [3] = 2 }, counts_of(order))
      assert.equal(#order, rows.per_epoch(source, { user_cap = 2 }))
      assert.equal(#order, #order:unique())
      for _, at in ipairs(order:tolist()) do met[at] = true end
    end
    for at = 0, 8 do assert.is_true(met[at], "row " .. at) end
    assert.same(rows.order(source, { seed = 1, user_cap = 2 }, 4):tolist(),
      rows.order(source, { seed = 1, user_cap = 2 }, 4):tolist())
  end)

  it("keeps the drawn order, and changes nothing where nobody has more", function()
    local all = rows.order(source, { seed = 1 }, 2)
    assert.same(all:tolist(), rows.order(source, { seed = 1, user_cap = 5 }, 2):tolist())
    local capped, at = rows.order(source, { seed = 1, user_cap = 1 }, 2):tolist(), 1
    for _, row in ipairs(all:tolist()) do if row == capped[at] then at = at + 1 end end
    assert.equal(4, at, "a part of the order")
    assert.equal(4, rows.per_epoch(source, { user_cap = 2, rows_per_epoch = 4 }))
  end)

  it("is refused where batches count users", function()
    local ok, problem = pcall(rows.per_epoch, { n = 9, units = 3, groups = {}, user_rows = source.user_rows },
      { user_cap = 2 })
    assert.is_false(ok)
    assert.equal("usage", problem.code)
    assert.equal(3, rows.per_epoch({ n = 9, units = 3, groups = {}, user_rows = source.user_rows }, {}))
  end)

  it("weighs rows in the items' shares by their chance to be taken", function()
    local of = { item_rows = tensor.new({ 0, 0, 0, 0, 0, 0, 1, 1, 2 }, "i64"), user_rows = source.user_rows,
      times = tensor.arange(9) }
    local shares = rows.log_shares(of, 4, { user_cap = 2 }):exp():tolist()
    local of_three, of_one = 2 / 5, 2 / 3
    local counts = { 4 * of_three + 1 + of_one, of_one + of_three, of_one }
    for item = 1, 3 do assert.is_true(math.abs(shares[item] - counts[item] / 5) < 1e-6) end
    assert.is_true(shares[4] < 1e-3)
  end)
end)

describe("shares over a trailing window", function()
  it("count what is at most so old at the last event", function()
    local of = { item_rows = tensor.new({ 0, 0, 1, 2, 2, 1 }, "i64"),
      user_rows = tensor.new({ 0, 1, 0, 1, 0, 1 }, "i64"), times = tensor.new({ 0, 1, 5, 6, 7, 8 }, "i64") * DAY }
    local shares = rows.log_shares(of, 3, { log_q_window = "2d" }):exp():tolist()
    for item, share in ipairs { 0.5 / 3, 1 / 3, 2 / 3 } do assert.is_true(math.abs(shares[item] - share) < 1e-6) end
    shares = rows.log_shares(of, 3, {}):exp():tolist()
    for item = 1, 3 do assert.is_true(math.abs(shares[item] - 1 / 3) < 1e-6) end
  end)
end)

--- Users of the given names, each with three of the given items.
local function dataset(users, items)
  local columns = { {}, {}, {} }
  for u, user in ipairs(users) do
    for i = 1, 3 do
      local n = #columns[1] + 1
      columns[1][n], columns[2][n], columns[3][n] = user, items[(u + i) % #items + 1], n * 1000
    end
  end
  return data.new { name = "days", fingerprint = ("0"):rep(32), interactions = frame.from {
    { "user", "string", columns[1] }, { "item", "string", columns[2] }, { "time", "time", columns[3] } } }
end

local declarations = { user = { feature.id { "user" } }, item = { feature.id { "item" } } }

local first = dataset({ "eva", "bob", "cid" }, { "m", "k", "p", "q" })
local second = dataset({ "ann", "cid", "eva", "zoe" }, { "a", "k", "m", "q", "z" })

describe("vocabularies that grow", function()
  it("keep every code and put what is new behind", function()
    local earlier = feature.fit(first, nil, declarations)
    local grown = feature.fit(second, nil, declarations, { grow = earlier })
    local texts = {}
    for code = 1, #grown:vocabulary "user.id" do texts[code] = grown:vocabulary("user.id"):text(code) end
    assert.same({ "bob", "cid", "eva", "ann", "zoe" }, texts)
    for code = 1, #earlier:vocabulary "item.id" do
      assert.equal(earlier:vocabulary("item.id"):text(code), grown:vocabulary("item.id"):text(code))
    end
    assert.same({ 0, 0, 3, 3, 3, 3 }, grown:counts("user.id"):tolist(), "of the new rows: bob is gone")
    local again = feature.fit(second, nil, declarations, { grow = grown })
    assert.equal(5, #again:vocabulary "user.id")
  end)
end)

describe("a warm start", function()
  local folder
  before_each(function() folder = command.temporary() end)
  after_each(function() command.remove(folder) end)

  local definition = lookup.model "mf"

  local function fit(d, encoder, options, dim)
    local group = settings.read("train", { epochs = 2, batch = 4, learning_rate = 0.05 })
    for name, value in pairs(options or {}) do group[name] = value end
    return train.fit(definition, { kind = "mf", config = { dim = dim or 4 }, train = group, encoder = encoder, data = d,
      split = data.split_by_time(d, {}):selection(), metric = "ndcg_10", seed = 3 })
  end

  local function row_of(model, name, text)
    local code = model.encoder:vocabulary(name):code(text)
    return model.weights[name .. ".table"]:select(1, code + 1):tolist()
  end

  local earlier = fit(first, feature.fit(first, nil, declarations))

  --- A network's first weights, behind the warm start, as a model.
  local function started(encoder, from)
    local made = network.build(definition, "mf", { dim = 4 }, encoder, { seed = 9 })
    local fresh = network.build(definition, "mf", { dim = 4 }, encoder, { seed = 9 })
    local counts = warm_start.apply(made.parameters, encoder, from)
    local weights, drawn = {}, {}
    for i, parameter in ipairs(made.parameters) do
      weights[parameter:name()], drawn[parameter:name()] = parameter:value(), fresh.parameters[i]:value()
    end
    return { encoder = encoder, weights = weights }, { encoder = encoder, weights = drawn }, counts
  end

  local function assert_taken_over(encoder, from)
    local made, fresh, counts = started(encoder, from)
    for _, user in ipairs { "cid", "eva" } do
      assert.same(row_of(earlier, "user.id", user), row_of(made, "user.id", user))
    end
    for _, user in ipairs { "ann", "zoe" } do
      assert.same(row_of(fresh, "user.id", user), row_of(made, "user.id", user))
    end
    for _, item in ipairs { "k", "m", "q" } do
      assert.same(row_of(earlier, "item.id", item), row_of(made, "item.id", item))
      local code, old = encoder:vocabulary("item.id"):code(item), earlier.encoder:vocabulary("item.id"):code(item)
      assert.equal(earlier.weights["item.id.bias"]:get(old + 1, 1), made.weights["item.id.bias"]:get(code + 1, 1))
    end
    for _, item in ipairs { "a", "z" } do
      assert.same(row_of(fresh, "item.id", item), row_of(made, "item.id", item))
    end
    assert.same(row_of(earlier, "user.id", "nobody"), row_of(made, "user.id", "nobody"), "the unknown row")
    return counts
  end

  it("takes over rows by text, whether the vocabularies were grown or fitted anew", function()
    local counts = assert_taken_over(feature.fit(second, nil, declarations, { grow = earlier.encoder }), earlier)
    assert.same({ taken = 3, fresh = 0, known_rows = 3 + 4 + 4, new_rows = 2 + 2 + 2 }, counts)
    assert_taken_over(feature.fit(second, nil, declarations), earlier)
  end)

  it("begins from a run's stored task or from a bundle", function()
    store.save(folder .. "/task", earlier)
    local path = assert(registry.publish { name = "days", dir = folder, model = earlier, dataset = first })
    local encoder = feature.fit(second, nil, declarations, { grow = path })
    assert.equal("bob", encoder:vocabulary("user.id"):text(1))
    for _, from in ipairs { folder .. "/task", path } do assert_taken_over(encoder, from) end
  end)

  it("is where training goes on: no step, no change", function()
    local encoder = feature.fit(second, nil, declarations, { grow = earlier.encoder })
    store.save(folder .. "/task", earlier)
    local still = fit(second, encoder, { warm_start = folder .. "/task", learning_rate = 0.0, epochs = 1 })
    assert.same(row_of(earlier, "user.id", "eva"), row_of(still, "user.id", "eva"))
    local moved = fit(second, encoder, { warm_start = folder .. "/task", epochs = 1 })
    assert.are_not.same(row_of(earlier, "user.id", "eva"), row_of(moved, "user.id", "eva"))
    assert.same(row_of(earlier, "user.id", "bob"), row_of(moved, "user.id", "bob"), "nobody trains bob's row")
  end)

  it("refuses what does not fit, and says what", function()
    local encoder = feature.fit(second, nil, declarations)
    local function refused(said, from, dim)
      local made = network.build(definition, "mf", { dim = dim or 4 }, encoder, { seed = 9 })
      local ok, problem = pcall(warm_start.apply, made.parameters, encoder, from)
      assert.is_false(ok)
      assert.equal("usage", problem.code)
      assert.truthy(problem.message:find(said, 1, true), problem.message)
    end
    refused("has item.id.table [5, 4], and the model to be trained [6, 8]", earlier, 8)
    refused("train.warm_start: ", folder .. "/gone")
    refused("a model has none of the model's parameters", { encoder = earlier.encoder, weights = {} })
  end)

  it("refuses a parameter whose rows may be codes that changed", function()
    local encoder = feature.fit(dataset({ "ann", "cid", "eva" }, { "m", "k", "p", "q" }), nil, declarations)
    local autograd = require "recsys.autograd"
    local own = autograd.parameter("my.users", tensor.zeros(4, 2))
    local ok, problem = pcall(warm_start.apply, { own }, encoder,
      { encoder = earlier.encoder, weights = { ["my.users"] = tensor.full(1, 4, 2) } })
    assert.is_false(ok)
    assert.truthy(problem.message:find("my.users may hold a row a code of 'user.id'", 1, true), problem.message)
  end)
end)

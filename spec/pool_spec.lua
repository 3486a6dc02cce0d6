--- Pools of histories: the formula, gradients, what they read, and plans whose rows do not depend on the batch.

local autograd = require "recsys.autograd"
local base = require "recsys.base"
local feature = require "recsys.feature"
local gradcheck = require "spec.support.gradcheck"
local nn = require "recsys.nn"
local pool = require "recsys.towers.pool"
local tensor = require "recsys.tensor"
local tiny = require "spec.support.tiny_model"
local towers = require "recsys.towers"

local function normals(seed, ...)
  local count = 1
  for _, n in ipairs { ... } do count = count * n end
  return base.stream(seed, "user", 0, 0):normals(count):reshape(...)
end

local lengths, places, heads, width = { 3, 0, 5, 1 }, 4, 3, 2
local batch = { h = tensor.new({ 1, 2, 3, 0, 5, 5, 1, 4, 2 }, "i32"),
  ["h.offsets"] = tensor.new({ 0, 3, 3, 8, 9 }, "i64"),
  gap = tensor.new({ 2, 1, 0, 1, 1, 2, 2, 0, 0 }, "i32"),
  kind = tensor.new({ 1, 0, 1, 1, 0, 0, 1, 1, 0 }, "i32"), w = tensor.new({ 1, 2, 0.5, 1, 1, 3, 1, 0, 2 }, "f64") }

--- A pool with everything, its parameters drawn.
local function whole_pool(options)
  local embedding = nn.embedding { name = "t", rows = 6, width = width, scale = 1, dtype = "f64" }
  local made = pool.new({ name = "h", table = embedding, width = width, length = places, weights = "w",
    codes = { { name = "gap", rows = 3 }, { name = "kind", rows = 2 } } },
    { heads = heads, queries = true, dropout = options and options.dropout }, "f64")
  for i, parameter in ipairs(made:parameters()) do
    parameter:value():copy_(normals(i, table.unpack(parameter:value():size())))
  end
  return made
end

local function values_of(made)
  local value = {}
  for _, parameter in ipairs(made:parameters()) do value[parameter:name()] = parameter:value() end
  return value
end

--- The definition in plain Lua: bag i's sum by way k, column j.
local function by_hand(value, i, k, j)
  local first = batch["h.offsets"]:get(i)
  local above, below = 0, 0
  for p = 1, lengths[i] do
    local at = first + p
    local row = batch.h:get(at) + 1
    local score = value["h.places"]:get(math.min(p, places), k) + value["gap.scores"]:get(batch.gap:get(at) + 1, k)
      + value["kind.scores"]:get(batch.kind:get(at) + 1, k)
    for c = 1, width do score = score + value.t:get(row, c) * value["h.queries"]:get(k, c) end
    below = below + math.exp(score)
    above = above + math.exp(score) * batch.w:get(at) * value.t:get(row, j)
  end
  return lengths[i] == 0 and 0 or above / below
end

describe("a pool of a history", function()
  it("is its formula, in each way, and zero of nothing", function()
    local made = whole_pool()
    local value = values_of(made)
    local tape <close> = autograd.tape {}
    local y = made:forward(tape, batch):value()
    assert.same({ #lengths, heads * width }, y:size())
    for i = 1, #lengths do
      for k = 1, heads do
        for j = 1, width do
          assert.near(by_hand(value, i, k, j), y:get(i, (k - 1) * width + j), 1e-14)
        end
      end
    end
  end)

  it("has the gradients of central differences in all its parameters", function()
    for _, dropout in ipairs { 0, 0.3 } do
      local made = whole_pool { dropout = dropout }
      local worst, where = gradcheck(function(first) return made:forward(first:tape(), batch) end, made:parameters())
      assert.is_true(worst < 1e-6, ("norm-relative error %g at operand %s"):format(worst, where))
    end
  end)

  it("starts from the last event alone over longer memories to the mean", function()
    local embedding = nn.embedding { name = "t", rows = 6, width = width, scale = 1, dtype = "f64" }
    local made = pool.new({ name = "h", table = embedding, width = width, length = places }, { heads = 4 }, "f64")
    local tape <close> = autograd.tape {}
    local one = { h = tensor.new({ 1, 2, 3 }, "i32"), ["h.offsets"] = tensor.new({ 0, 3 }, "i64") }
    local y, rows = made:forward(tape, one):value():reshape(4, width), embedding:parameters()[1]:value()
    local function mean_of(list) return rows:index_select(tensor.new(list, "i64")):mean(1) end
    assert.is_true((y:select(1, 1) - mean_of { 1 }):abs():max() < 1e-3) -- a share of e^-10 is left
    assert.is_true((y:select(1, 4) - mean_of { 1, 2, 3 }):abs():max() < 1e-15)
    local recent = (1 - math.exp(-2 / 3)) / (1 - math.exp(-2)) -- the newest one's share under e^(-p / 1.5)
    local share = y:select(1, 2) - rows:select(1, 2) * recent
    local rest = (1 - recent) / (1 + math.exp(-2 / 3))
    assert.is_true((share - (rows:select(1, 3) + rows:select(1, 4) * math.exp(-2 / 3)) * rest):abs():max() < 1e-14)
  end)
end)

describe("kinds of events", function()
  it("count what is given, or what is learned, beside one another", function()
    local data = tiny.dataset()
    data.interactions = data.interactions:with("event", "string", { "clicked", "clicked", "bought", "clicked",
      "clicked", "left", "bought", "bought", "clicked" })
    local function user_of(kinds, ways, bought)
      local encoder = feature.fit(data, nil, { event = { feature.history { of = "id", length = 4, kinds = kinds } },
        item = { feature.id { "item" } } })
      local tower = towers.tower("user", towers.tables(encoder, 4, { seed = 3 }), { "event" }, { history = ways })
      for _, parameter in ipairs(towers.parameters(tower)) do
        if parameter:name() == "event.history_kind.scores" then parameter:value():set(3, 1, math.log(bought)) end
      end
      local tape <close> = autograd.tape {}
      local all = encoder:encode_users_at(data):gather(tensor.arange(tiny.n_users))
      local table_of = towers.parameters(tower)[1]
      for _, parameter in ipairs(towers.parameters(tower)) do
        if parameter:name() == "item.id.table" then table_of = parameter end
      end
      local function row(id) return table_of:value():select(1, encoder:vocabulary "item.id":code(id) + 1) end
      return tower:forward(tape, all):value():select(1, 1), row
    end
    -- u1: i1 clicked, i2 bought, i3 left.
    local learned, row = user_of({ event = { "clicked", "bought" } }, { heads = 1 }, 3)
    local expected = (row "i1" + row "i2" * 3 + row "i3") / 5
    assert.is_true((learned - expected):abs():max() < 1e-6)
    local given
    given, row = user_of({ event = { clicked = 1, bought = 3 } }, { heads = 1 })
    assert.is_true((given - (row "i1" + row "i2" * 3) / 3):abs():max() < 1e-6)
    local plain
    plain, row = user_of({ event = { clicked = 1, bought = 3 } })
    assert.is_true((plain - (row "i1" + row "i2" * 3) / 3):abs():max() < 1e-6)
  end)
end)

describe("a tower behind pools", function()
  local dataset, encoder, tower

  setup(function()
    dataset = tiny.dataset()
    local strengths = {}
    for i = 1, dataset.interactions:rows() do strengths[i] = i / 4 end
    dataset.interactions = dataset.interactions:with("strength", "number", strengths)
    encoder = feature.fit(dataset, nil, {
      user = { feature.id { "user" } },
      event = { feature.history { of = "id", length = 4, weight = "strength", gaps = { "1h", "1d" } },
        feature.history { of = "kind", length = 1, name = "last_kind" } },
      item = { feature.id { "item" }, feature.category { "kind" } },
    })
    tower = towers.tower("user", towers.tables(encoder, 8, { seed = 3 }), { "user", "event" },
      { dim = 5, hidden = { 7 }, history = { heads = 3, queries = true, dropout = 0.5 } })
  end)

  local function names_of(parameters)
    local names = {}
    for i, parameter in ipairs(parameters) do names[i] = parameter:name() end
    table.sort(names)
    return names
  end

  it("knows its parameters: shared tables once, no heads that a short history cannot fill", function()
    assert.same({ "event.history.places", "event.history.queries", "event.history_gap.scores",
      "event.last_kind.places", "event.last_kind.queries", "item.id.table", "item.kind.table", "user.0.bias",
      "user.0.weight", "user.id.table", "user.out.bias", "user.out.weight" }, names_of(towers.parameters(tower)))
    local sizes = {}
    for _, parameter in ipairs(towers.parameters(tower)) do sizes[parameter:name()] = parameter:value():size() end
    assert.same({ 4, 3 }, sizes["event.history.places"])
    assert.same({ 1, 1 }, sizes["event.last_kind.places"])
    assert.same({ 4, 3 }, sizes["event.history_gap.scores"])
    assert.same({ 7, 8 + 3 * 8 + 8 }, sizes["user.0.weight"])
    assert.equal(5, tower:width())
  end)

  local function batch_of(users)
    local rows = tensor.new(users, "i64")
    local b = encoder:encode_users(dataset.users):gather(rows)
    local events = encoder:encode_users_at(dataset, rows)
    for name, t in pairs(events:gather(tensor.arange(0, #users, "i64"))) do b[name] = t end
    return b
  end

  it("is recorded as a plan in which a row alone has the bits of the batch", function()
    for i, parameter in ipairs(towers.parameters(tower)) do
      parameter:value():copy_(normals(i, table.unpack(parameter:value():size())):to "f32")
    end
    local weights = {}
    for _, parameter in ipairs(towers.parameters(tower)) do weights[parameter:name()] = parameter:value() end
    local tape <close> = autograd.tape {}
    local recorded = tape:plan { user = tower:forward(tape, batch_of { 0 }) }
    local plan = assert(autograd.plan_from_json(recorded:json()))
    local all = plan:run(weights, batch_of { 0, 1, 2, 3, 4, 5 }).user
    for u = 0, 5 do
      assert.equal(all:select(1, u + 1):to_string(), plan:run(weights, batch_of { u }).user:select(1, 1):to_string())
    end
    local again <close> = autograd.tape {}
    assert.equal(all:to_string(), tower:forward(again, batch_of { 0, 1, 2, 3, 4, 5 }):value():to_string())
  end)

  it("leaves events out while it trains, and not in evaluation mode", function()
    local function run(train)
      local tape <close> = autograd.tape { train = train, seed = 1, epoch = 1, step = 1 }
      return tower:forward(tape, batch_of { 0, 1 }):value():to_string()
    end
    local expected = run(false)
    assert.are_not.equal(expected, run(true))
    assert.equal(tower, tower:eval())
    assert.equal(expected, run(true))
    tower:train()
    assert.are_not.equal(expected, run(true))
  end)

  it("is the plain tower where nothing is pooled", function()
    local plain = towers.tower("user", towers.tables(encoder, 8, { seed = 3 }), { "user" }, { history = { heads = 3 } })
    assert.equal("Tower user (user.id 8)", tostring(plain))
  end)

  it("refuses vars that are not its inputs", function()
    local tables = nn.embedding { name = "t", rows = 3, width = 2 }
    local made = nn.tower { name = "user", inputs = { { name = "id", layer = tables }, { name = "x", width = 2 } } }
    local tape <close> = autograd.tape {}
    local inputs = { id = tensor.new({ 1, 2 }, "i32") }
    local var = tape:input("v", tensor.zeros(2, 2))
    assert.same({ 2, 4 }, made:forward(tape, inputs, { x = var }):size())
    local function message(vars) return select(2, pcall(made.forward, made, tape, inputs, vars)) end
    assert.equal("tower user has no input 'id' without a layer", message { id = var })
    assert.equal("tower user has no input 'y' without a layer", message { x = var, y = var })
    assert.equal("tower user: the batch has no input 'x'", message {})
    assert.equal("tower user: input 'x' is [2, 1], not [n, 2]", message { x = var:narrow(2, 1, 1) })
    local other <close> = autograd.tape {}
    assert.matches("a Var is on another tape", message { x = other:input("v", tensor.zeros(2, 2)) })
    assert.matches("up to 64 Vars by name are expected", message { var })
  end)
end)

--- Layers, towers and losses: gradients, shapes, and refusals that name the option.

local autograd = require "recsys.autograd"
local base = require "recsys.base"
local nn = require "recsys.nn"
local tensor = require "recsys.tensor"
local gradcheck = require "spec.support.gradcheck"

local function normals(seed, ...)
  local count = 1
  for _, n in ipairs { ... } do count = count * n end
  return base.stream(seed, "user", 0, 0):normals(count):reshape(...)
end

local function codes(list) return tensor.new(list, "i32") end
local function offsets(list) return tensor.new(list, "i64") end

--- Checks f at these operands and the layer's own parameters.
local function assert_gradients(layer, f, operands, options)
  for _, parameter in ipairs(layer:parameters()) do
    if parameter:trainable() then operands[#operands + 1] = parameter end
  end
  local worst, where = gradcheck(f, operands, options)
  assert.is_true(worst < 1e-6, ("norm-relative error %g at operand %s"):format(worst, where))
end

local function forward(layer) return function(...) return layer:forward(...) end end

--- The first inputs of a layer, without the parameters that gradcheck adds behind them.
local function of_first(n, fn)
  return function(...) return fn(table.unpack({ ... }, 1, n)) end
end

describe("nn layers", function()
  it("have the gradients of central differences on odd shapes", function()
    for _, n in ipairs { 1, 3, 17 } do
      local linear = nn.linear { name = "l", inputs = 3, outputs = 5, activation = "tanh", dtype = "f64" }
      assert_gradients(linear, of_first(1, forward(linear)), { normals(1, n, 3) })
      local norm = nn.layer_norm { name = "n", width = 5, dtype = "f64" }
      assert_gradients(norm, of_first(1, forward(norm)), { normals(2, n, 5) })
      local dropout = nn.dropout { name = "d", rate = 0.3 }
      assert_gradients(dropout, of_first(1, forward(dropout)), { normals(3, n, 4) })
    end
    local batch = nn.batch_norm { name = "b", width = 3, dtype = "f64" }
    assert_gradients(batch, of_first(1, forward(batch)), { normals(4, 17, 3) })
    assert_gradients(batch, of_first(1, forward(batch)), { normals(4, 17, 3) }, { train = false })
  end)

  it("sum the gradients of codes that repeat", function()
    local table_of = nn.embedding { name = "t", rows = 4, width = 3, dtype = "f64" }
    assert_gradients(table_of, of_first(1, forward(table_of)), { { data = codes { 1, 3, 1, 1, 0 } } })
    for _, mode in ipairs { "sum", "mean" } do
      local bag = nn.embedding_bag { table = table_of, mode = mode }
      assert_gradients(bag, of_first(2, forward(bag)),
        { { data = codes { 1, 3, 1, 2 } }, { data = offsets { 0, 2, 2, 4 } } })
    end
  end)

  it("start from the seed and the parameter's name alone", function()
    local function start(name, seed)
      return nn.linear { name = name, inputs = 4, outputs = 4, seed = seed }:parameters()[1]:value():tolist()
    end
    assert.same(start("a", 1), start("a", 1))
    assert.is_not.same(start("a", 1), start("a", 2))
    assert.is_not.same(start("a", 1), start("b", 1))
  end)

  it("start within Glorot's bounds, and embeddings with their scale", function()
    local weight = nn.linear { name = "w", inputs = 100, outputs = 50 }:parameters()[1]:value()
    local bound = math.sqrt(6 / 150)
    assert.is_true(weight:abs():max() <= bound and weight:abs():max() > 0.95 * bound)
    local rows = nn.embedding { name = "e", rows = 200, width = 50, scale = 0.5 }:parameters()[1]:value()
    local deviation = math.sqrt((rows * rows):mean())
    assert.is_true(math.abs(deviation - 0.5) < 4 * 0.5 / math.sqrt(2 * 10000))
  end)

  it("name and describe themselves", function()
    local linear = nn.linear { name = "user.0", inputs = 64, outputs = 128, activation = "relu" }
    assert.equal("Linear user.0 (64 -> 128, relu)", tostring(linear))
    assert.equal("user.0", linear:name())
    assert.same({ "user.0.weight", "user.0.bias" },
      { linear:parameters()[1]:name(), linear:parameters()[2]:name() })
  end)

  it("give a parameter by its name", function()
    local linear = nn.linear { name = "user.0", inputs = 2, outputs = 3 }
    assert.same({ 3, 2 }, { linear:parameter("user.0.weight"):value():size(1),
      linear:parameter("user.0.weight"):value():size(2) })
    assert.has_error(function() linear:parameter "weight" end,
      "bad argument #1 to 'parameter' (layer 'user.0' has no parameter 'weight')")
    local table = nn.embedding { name = "ids", rows = 5, width = 4 }
    local tower = nn.tower { name = "user", outputs = 2, inputs = { { name = "id", layer = table } } }
    assert.equal("ids", tower:parameter("ids"):name())
    assert.equal("user.out.bias", tower:parameter("user.out.bias"):name())
    assert.has_error(function() tower:parameter "user.0.weight" end,
      "bad argument #1 to 'parameter' (the tower has no parameter 'user.0.weight')")
  end)

  it("stay as they are in evaluation mode, also on a training tape", function()
    local norm = nn.batch_norm { name = "b", width = 3, dtype = "f64" }
    norm:parameter("b.mean"):value():copy_(tensor.new({ 1, -2, 0.5 }, "f64"))
    norm:parameter("b.variance"):value():copy_(tensor.new({ 4, 0.25, 1 }, "f64"))
    local dropout = nn.dropout { name = "d", rate = 0.9 }
    local x = normals(12, 17, 3)
    local function run(train)
      local tape <close> = autograd.tape { train = train }
      return dropout:forward(norm:forward(tape:input("x", x))):value():clone()
    end
    local expected = run(false)
    norm:eval()
    dropout:eval()
    assert.is_true((run(true) - expected):abs():max() < 1e-12)
    assert.same({ 1, -2, 0.5 }, norm:parameter("b.mean"):value():tolist())
    assert_gradients(norm, of_first(1, forward(norm)), { x })
    norm:train()
    dropout:train(true)
    assert.is_true((run(true) - expected):abs():max() > 0.1)
    assert.is_not.same({ 1, -2, 0.5 }, norm:parameter("b.mean"):value():tolist())
  end)

  it("refuse options that are unknown, missing or of another type", function()
    assert.has_error(function() nn.linear { name = "l", inputs = 3, output = 5 } end,
      "bad argument #1 to 'linear' (there is no option 'output')")
    assert.has_error(function() nn.linear() end, "bad argument #1 to 'linear' (table expected, got no value)")
    assert.has_error(function() nn.linear { name = "l", inputs = 3 } end,
      "bad argument #1 to 'linear' (option 'outputs' must be an integer of 1 or more)")
    assert.has_error(function() nn.linear { name = "l", inputs = 3, outputs = 2, activation = "swish" } end,
      "bad argument #1 to 'linear' (option 'activation' must be one of 'none', 'relu', 'gelu', 'tanh', 'sigmoid')")
    assert.has_error(function() nn.dropout { name = "d", rate = 1 } end, "dropout: the rate 1 is not in [0, 1)")
  end)

  it("refuse a code outside the table, naming code and table", function()
    local rows = nn.embedding { name = "item.id.table", rows = 4, width = 2 }
    local tape <close> = autograd.tape {}
    local ok, message = pcall(rows.forward, rows, tape:input("item.id", codes { 1, 4 }))
    assert.is_false(ok)
    assert.matches("item.id.table", message, 1, true)
    assert.matches("4", message, 1, true)
  end)
end)

describe("a tower", function()
  local function new_tower(options)
    local ids = nn.embedding { name = "ids", rows = 5, width = 4, dtype = "f64" }
    local spec = { name = "user", dtype = "f64", inputs = {
      { name = "user.id", layer = ids }, { name = "user.history", layer = nn.embedding_bag { table = ids } },
      { name = "user.age", width = 2 } } }
    for key, value in pairs(options) do spec[key] = value end
    return nn.tower(spec)
  end

  local batch = { ["user.id"] = codes { 1, 4, 0 }, ["user.history"] = codes { 2, 2, 3 },
    ["user.history.offsets"] = offsets { 0, 2, 2, 3 }, ["user.age"] = normals(5, 3, 2), ["item.id"] = codes { 1 } }

  it("has the gradients of central differences through every stage", function()
    for _, options in ipairs {
      { hidden = { 7, 3 }, outputs = 5, activation = "tanh", normalize = true },
      { hidden = { 6 }, outputs = 2, activation = "gelu", norm = "layer" },
      { hidden = { 6 }, outputs = 2, activation = "sigmoid", norm = "batch", dropout = 0.2 }, {},
    } do
      local tower = new_tower(options)
      assert_gradients(tower, function(first) return tower:forward(first:tape(), batch) end, {})
    end
  end)

  it("is its parts put together", function()
    local tower = new_tower { hidden = { 7 }, outputs = 5 }
    local value = {}
    for _, p in ipairs(tower:parameters()) do value[p:name()] = p:value() end
    local tape <close> = autograd.tape {}
    local rows = tensor.concat({ value.ids:index_select(batch["user.id"]:to "i64"),
      tensor.new({ value.ids:select(1, 3):tolist(), { 0, 0, 0, 0 }, value.ids:select(1, 4):tolist() }, "f64"),
      batch["user.age"] }, 2)
    local hidden = (rows:matmul(value["user.0.weight"], false, true) + value["user.0.bias"]):clamp(0, math.huge)
    local expected = hidden:matmul(value["user.out.weight"], false, true) + value["user.out.bias"]
    local difference = (tower:forward(tape, batch):value() - expected):abs():max()
    assert.is_true(difference < 1e-14)
  end)

  it("gives rows of length 1 when it normalises, and knows its width", function()
    local tower = new_tower { hidden = { 7 }, outputs = 5, normalize = true }
    local tape <close> = autograd.tape {}
    local y = tower:forward(tape, batch):value()
    assert.same({ 3, 5 }, y:size())
    assert.equal(5, tower:width())
    for i = 1, 3 do assert.is_true(math.abs((y:select(1, i) * y:select(1, i)):sum() - 1) < 1e-12) end
    assert.equal(10, new_tower({}):width())
  end)

  it("names an input that the batch lacks or that does not fit", function()
    local tower = new_tower {}
    local tape <close> = autograd.tape {}
    assert.has_error(function() tower:forward(tape, {}) end, "tower user: the batch has no input 'user.id'")
    local wrong = {}
    for name, t in pairs(batch) do wrong[name] = t end
    wrong["user.age"] = normals(5, 3, 3)
    assert.has_error(function() tower:forward(tape, wrong) end,
      "tower user: input 'user.age' is [3, 3], not [n, 2]")
  end)

  it("says what it is made of", function()
    assert.equal("Tower user (user.id 4 + user.history 4 + user.age 2 -> 7 -> 5, relu, normalised)",
      tostring(new_tower { hidden = { 7 }, outputs = 5, normalize = true }))
  end)
end)

describe("in-batch softmax", function()
  local n, m, d = 3, 5, 4
  local log_q = tensor.new({ -1, -2, -0.5, -3, -1 }, "f64")
  local item = tensor.new({ 7, 8, 7, 9, 8 }, "i64") -- columns 1 and 3, 2 and 5 hold the same item
  local now, from = tensor.new({ 10, 20, 30 }, "i64"), tensor.new({ 0, 0, 0, 15, 25 }, "i64")
  local to = tensor.new({ 100, 100, 25, 100, 29 }, "i64")

  --- The definition, in plain Lua.
  local function reference(users, items, o)
    local total = 0
    for i = 1, #users do
      local sum, positive = 0, nil
      for j = 1, #items do
        local s = (users:select(1, i) * items:select(1, j)):sum() / (o.temperature or 1)
        if o.log_q then s = s - o.log_q:get(j) end
        local hit = o.codes and o.codes:get(j) == o.codes:get(i)
        local there = not o.now or o.from:get(j) <= o.now:get(i) and o.now:get(i) < o.to:get(j)
        if i == j or not hit and there then sum = sum + math.exp(s) end
        if i == j then positive = s end
      end
      total = total + math.log(sum) - positive
    end
    return total / #users
  end

  local cases = {
    {}, { temperature = 0.3 }, { log_q = log_q }, { codes = item }, { now = now, from = from, to = to },
    { temperature = 0.5, log_q = log_q, codes = item, now = now, from = from, to = to },
  }

  local function loss(users, items, options)
    local given = { users = users, items = items }
    for key, value in pairs(options) do given[key] = value end
    return nn.in_batch_softmax(given)
  end

  it("is its definition, with every correction and mask", function()
    local users, items = normals(6, n, d), normals(7, m, d)
    for _, options in ipairs(cases) do
      local tape <close> = autograd.tape {}
      local value = loss(tape:input("u", users), tape:input("v", items), options):item()
      assert.is_true(math.abs(value - reference(users, items, options)) < 1e-12)
    end
  end)

  it("has the gradients of central differences", function()
    for _, options in ipairs(cases) do
      local worst = gradcheck(function(users, items) return loss(users, items, options) end,
        { normals(6, n, d), normals(7, m, d) })
      assert.is_true(worst < 1e-6)
    end
    assert.is_true(gradcheck(function(u, v) return loss(u, v, {}) end, { normals(8, 1, 1), normals(9, 1, 1) }) < 1e-6)
    assert.is_true(gradcheck(function(u, v) return loss(u, v, {}) end, { normals(8, 66, 1), normals(9, 67, 1) })
      < 1e-6)
  end)

  it("gives the same bits with one thread and with two, and float32 is near float64", function()
    local users, items = normals(10, 1000, 16), normals(11, 1000, 16)
    local function run(threads, dtype)
      local before = base.threads()
      base.threads(threads)
      local tape <close> = autograd.tape { train = true }
      local u, v = tape:input("u", users:to(dtype), true), tape:input("v", items:to(dtype), true)
      local value = loss(u, v, { temperature = 0.5 })
      tape:backward(value)
      base.threads(before)
      return value:item(), u:grad():to_string(), v:grad():to_string(), v:grad():to "f64"
    end
    local value, user_grad, item_grad, rounded = run(1, "f32")
    local again, user_again, item_again = run(2, "f32")
    assert.equal(value, again)
    assert.equal(user_grad, user_again)
    assert.equal(item_grad, item_again)
    local exact, _, _, gradient = run(2, "f64")
    assert.is_true(math.abs(value - exact) < 4 * 2^-23 * math.sqrt(1000) * exact)
    local difference = (rounded - gradient):abs():max()
    assert.is_true(difference < 1e-6 * gradient:abs():max() * math.sqrt(1000))
  end)

  it("refuses shapes and options that do not fit", function()
    local tape <close> = autograd.tape {}
    local users, items = tape:input("u", normals(6, n, d)), tape:input("v", normals(7, m, d))
    assert.has_error(function() loss(items, users, {}) end)
    assert.has_error(function() loss(users, items, { log_q = tensor.zeros(3, "f64") }) end,
      "in_batch_softmax: log_q is [3], not [5]")
    assert.has_error(function() loss(users, items, { codes = log_q }) end, "in_batch_softmax: codes is f64, not i64")
    assert.has_error(function() loss(users, items, { now = now }) end,
      "in_batch_softmax: now, from and to go together")
    assert.has_error(function() loss(users, items, { temperature = 0 }) end)
  end)
end)

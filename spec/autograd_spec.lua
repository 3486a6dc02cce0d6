--- Gradients of every operation against central differences in float64.

local autograd = require "recsys.autograd"
local base = require "recsys.base"
local gradcheck = require "spec.support.gradcheck"
local tensor = require "recsys.tensor"

local TOLERANCE = 1e-6

--- Standard normal numbers, f64.
local function normal(seed, ...)
  local count = 1
  for _, size in ipairs { ... } do count = count * size end
  return base.stream(seed, "user", 9, 9):normals(count):reshape(...)
end

--- The elements of t through fn, in place.
local function map(t, fn)
  local flat = t:reshape(-1)
  for i = 1, #flat do flat:set(i, fn(flat:get(i))) end
  return t
end

--- Normal numbers pushed away from 0 by 0.1: no kink of relu is within a step.
local function off_zero(seed, ...)
  return map(normal(seed, ...), function(x) return x + (x < 0 and -0.1 or 0.1) end)
end

local function positive(seed, ...)
  return map(normal(seed, ...), function(x) return math.abs(x) + 0.5 end)
end

local function parameter(seed, ...)
  return autograd.parameter("p" .. seed, normal(seed, ...))
end

--- A view that is not contiguous: the transpose of a normal matrix, [n, d].
local function view(seed, n, d)
  return normal(seed, d, n):transpose()
end

local function codes(list)
  return { data = tensor.new(list, "i32") }
end

local function offsets(list)
  return { data = tensor.new(list, "i64") }
end

local function assert_gradients(f, operands, options)
  local worst, where = gradcheck(f, operands, options)
  assert(worst < TOLERANCE, ("operand %s: relative error %g"):format(where, worst))
end

local function csr(starts, columns, width)
  return tensor.csr(tensor.new(starts, "i64"), tensor.new(columns, "i32"), normal(#columns, #columns), width)
end

local shapes = { { 1, 1, 1 }, { 3, 17, 1 }, { 17, 3, 5 }, { 1, 17, 3 }, { 300, 2, 3 } }

describe("gradients equal central differences:", function()
  it("sparse matrix times x", function()
    local m = csr({ 0, 2, 2, 5 }, { 1, 3, 0, 0, 2 }, 4)
    for _, d in ipairs { 1, 3, 17 } do
      assert_gradients(function(x) return x:csr_matmul(m, m:transpose()) end, { normal(1, 4, d) })
    end
    local symmetric = tensor.csr(tensor.new({ 0, 1, 3 }, "i64"), tensor.new({ 1, 0, 1 }, "i32"),
      tensor.new({ 2, 2, -1 }, "f64"), 2)
    assert_gradients(function(x) return x:csr_matmul(symmetric) end, { normal(1, 2, 3) })
  end)

  it("refuses a sparse matrix that does not fit", function()
    local m = csr({ 0, 2, 2, 5 }, { 1, 3, 0, 0, 2 }, 4)
    local tape <close> = autograd.tape {}
    local x = tape:input("x", normal(1, 3, 2))
    assert.has_error(function() x:csr_matmul(m, m:transpose()) end, "csr_matmul: [3, 4] times [3, 2]")
    assert.has_error(function() x:csr_matmul(m) end,
      "csr_matmul: [3, 4] with 5 entries is not the transpose of [3, 4] with 5")
  end)

  for _, activation in ipairs { "none", "relu", "gelu", "tanh", "sigmoid" } do
    it("linear with activation " .. activation, function()
      for i, shape in ipairs(shapes) do
        local n, k, m = table.unpack(shape)
        if n > 100 and activation ~= "none" then n = 20 end
        -- small inputs and a bias of at least 0.5 keep sums away from the kink
        local x = map(normal(i, n, k), function(v) return v / (20 * k) end)
        local b = autograd.parameter("b", map(normal(i + 20, m), function(v) return v < 0 and -0.5 or 0.5 end))
        assert_gradients(function(input, w, bias) return input:linear(w, bias, activation) end,
          { x, parameter(i + 10, m, k), b })
      end
    end)
  end

  it("linear without bias, and of a view", function()
    assert_gradients(function(x, w) return x:linear(w) end, { view(1, 3, 4), view(2, 5, 4) })
    assert_gradients(function(x, w) return x:linear(w, nil, "gelu") end, { normal(1, 3, 4), normal(2, 5, 4) })
  end)

  it("linear used twice with one weight", function()
    assert_gradients(function(x, w, b) return x:linear(w, b, "tanh"):linear(w, b, "tanh") end,
      { normal(1, 3, 4), parameter(2, 4, 4), parameter(3, 4) })
  end)

  it("matmul in its four forms", function()
    for _, ta in ipairs { false, true } do
      for _, tb in ipairs { false, true } do
        local a = ta and parameter(1, 17, 3) or parameter(1, 3, 17)
        local b = tb and parameter(2, 5, 17) or parameter(2, 17, 5)
        assert_gradients(function(x, y) return x:matmul(y, ta, tb) end, { a, b })
      end
    end
    assert_gradients(function(x) return x:matmul(x, false, true) end, { view(3, 3, 4) })
  end)

  it("add, sub, mul and div with every broadcast", function()
    local pairs_of_shapes = {
      { { 3, 17 }, { 3, 17 } }, { { 3, 17 }, { 17 } }, { { 17 }, { 3, 17 } }, { { 3, 1 }, { 1, 17 } },
      { { 3, 17 }, { 3, 1 } }, { { 3, 17 }, { 1 } }, { {}, { 3, 2 } }, { { 2, 3, 1, 5 }, { 3, 4, 1 } },
      { { 1, 1 }, { 1 } }, { { 300, 3 }, { 3 } },
    }
    for i, pair in ipairs(pairs_of_shapes) do
      local a, b = normal(i, table.unpack(pair[1])), positive(i + 30, table.unpack(pair[2]))
      for _, op in ipairs { "add", "sub", "mul", "div" } do
        assert_gradients(function(x, y) return autograd[op](x, y) end, { a, b })
      end
    end
  end)

  it("operators with numbers, and one Var on both sides", function()
    assert_gradients(function(x) return (2 - x) * 3 + x / 4 - (-x) - 1 + (1 + x) end, { normal(1, 3, 2) })
    assert_gradients(function(x) return x * x - x / x + x end, { positive(2, 3, 2) })
    assert_gradients(function(x) return autograd.affine(x, -0.5, 2) end, { view(3, 3, 2) })
  end)

  for _, name in ipairs { "relu", "gelu", "tanh", "sigmoid", "exp" } do
    it(name, function()
      for i, shape in ipairs { { 1 }, { 3, 17 }, { 2, 3, 1 }, {} } do
        assert_gradients(autograd[name], { off_zero(i, table.unpack(shape)) })
      end
      assert_gradients(autograd[name], { view(7, 3, 5):contiguous() })
    end)
  end

  it("log", function() assert_gradients(autograd.log, { positive(1, 3, 17) }) end)

  it("softmax and log_softmax", function()
    for _, name in ipairs { "softmax", "log_softmax" } do
      for i, shape in ipairs { { 1 }, { 1, 1 }, { 3, 17 }, { 2, 3, 5 } } do
        assert_gradients(autograd[name], { normal(i, table.unpack(shape)) })
      end
    end
  end)

  it("dropout, with the same draw at each evaluation", function()
    assert_gradients(function(x) return x:dropout(0.4) end, { normal(1, 17, 3) })
    assert_gradients(function(x) return x:dropout(0.4) end, { normal(1, 3, 17) }, { train = false })
    assert_gradients(function(x) return x:dropout(0) end, { normal(1, 3, 17) })
  end)

  it("layer_norm", function()
    for i, shape in ipairs { { 3, 17 }, { 1, 3 }, { 17 }, { 2, 3, 5 }, { 300, 3 } } do
      local d = shape[#shape]
      assert_gradients(function(x, gain, bias) return x:layer_norm(gain, bias) end,
        { normal(i, table.unpack(shape)), parameter(i + 20, d), parameter(i + 40, d) })
    end
    assert_gradients(function(x, g) return x:layer_norm(g, g, 0.1) end, { view(1, 3, 4), parameter(2, 4) })
  end)

  it("batch_norm in training and in evaluation", function()
    for _, train in ipairs { true, false } do
      for i, shape in ipairs { { 3, 17 }, { 17, 1 }, { 300, 2 } } do
        local d = shape[2]
        local mean = autograd.parameter("mean", normal(i + 60, d), { trainable = false })
        local variance = autograd.parameter("variance", positive(i + 80, d), { trainable = false })
        assert_gradients(function(x, gain, bias)
          local tape = x:tape()
          return x:batch_norm(gain, bias, tape:parameter(mean), tape:parameter(variance))
        end, { normal(i, table.unpack(shape)), parameter(i + 20, d), parameter(i + 40, d) }, { train = train })
      end
    end
  end)

  it("linear with dropout, for every activation", function()
    for i, shape in ipairs { { 3, 17, 1 }, { 17, 3, 5 }, { 300, 2, 3 } } do
      for _, activation in ipairs { "none", "relu", "gelu", "tanh", "sigmoid" } do
        local n, k, m = table.unpack(shape)
        local x = map(normal(i, n, k), function(v) return v / (20 * k) end) -- as above: away from the kink
        local b = autograd.parameter("b", map(normal(i + 20, m), function(v) return v < 0 and -0.5 or 0.5 end))
        assert_gradients(function(input, w, bias) return input:linear(w, bias, activation, 0.4) end,
          { x, parameter(i + 10, m, k), b })
      end
    end
    assert_gradients(function(x, w) return x:linear(w, nil, "gelu", 0.4) end, { view(1, 3, 4), view(2, 5, 4) })
  end)

  it("linear_batch_norm with activation and dropout, in training and in evaluation", function()
    for _, train in ipairs { true, false } do
      for i, shape in ipairs { { 3, 17, 2 }, { 17, 3, 5 }, { 300, 2, 3 } } do
        for _, activation in ipairs { "none", "relu", "gelu", "tanh" } do
          local n, k, m = table.unpack(shape)
          local mean = autograd.parameter("mean", normal(i + 60, m), { trainable = false })
          local variance = autograd.parameter("variance", positive(i + 80, m), { trainable = false })
          assert_gradients(function(x, w, gain, bias)
            local tape = x:tape()
            return x:linear_batch_norm(w, gain, bias, tape:parameter(mean), tape:parameter(variance),
              { activation = activation, rate = train and 0.3 or 0 })
          end, { normal(i, n, k), parameter(i + 20, m, k), parameter(i + 40, m), parameter(i + 50, m) },
            { train = train })
        end
      end
    end
  end)

  it("l2_normalize, below epsilon too", function()
    assert_gradients(autograd.l2_normalize, { normal(1, 3, 17) })
    assert_gradients(autograd.l2_normalize, { off_zero(2, 17, 1) })
    assert_gradients(function(x) return x:l2_normalize(100) end, { normal(3, 3, 4) })
  end)

  it("concat of different widths, of one Var twice and of parts without gradient", function()
    assert_gradients(function(a, b, c) return autograd.concat { a, b, c } end,
      { normal(1, 3, 1), view(2, 3, 17), parameter(3, 3, 2) })
    assert_gradients(function(a, c) return autograd.concat { a, c, a } end,
      { normal(1, 3, 2), { data = normal(2, 3, 5) } })
    assert_gradients(function(a, b) return autograd.concat { a, b } end, { normal(1, 3), normal(2, 1) })
  end)

  it("narrow of each dimension, overlapping", function()
    assert_gradients(function(x) return x:narrow(1, 2, 2):narrow(2, 5, 3) end, { normal(1, 3, 17) })
    assert_gradients(function(x) return x:narrow(2, 1, 2) + x:narrow(2, 2, 2) end, { normal(1, 3, 3, 2) })
    assert_gradients(function(x) return x:narrow(-1, 1, 1) end, { view(1, 3, 4) })
  end)

  it("reshape", function()
    assert_gradients(function(x) return x:reshape(-1):reshape(17, 3) * x:reshape(17, 3) end, { normal(1, 3, 17) })
    assert_gradients(function(x) return x:reshape(1, -1, 2) end, { view(1, 4, 3) })
  end)

  it("sum and mean of all and of each dimension", function()
    for _, name in ipairs { "sum", "mean" } do
      for i, shape in ipairs { { 3, 17 }, { 2, 3, 5 }, { 1 }, { 300, 2 } } do
        assert_gradients(autograd[name], { normal(i, table.unpack(shape)) })
        for dim = 1, #shape do
          assert_gradients(function(x) return autograd[name](x, dim) end, { normal(i, table.unpack(shape)) })
        end
      end
      assert_gradients(autograd[name], { normal(9) })
    end
  end)

  it("dot", function()
    assert_gradients(autograd.dot, { normal(1, 3, 17), view(2, 3, 17) })
    assert_gradients(function(x) return x:dot(x) end, { parameter(3, 17, 1) })
  end)

  for _, sparse in ipairs { false, true } do
    local kind = sparse and " into a sparse table" or " into a dense table"
    local function table_of(seed) return autograd.parameter("table", normal(seed, 5, 3), { sparse = sparse }) end

    it("embedding with repeated codes" .. kind, function()
      assert_gradients(autograd.embedding, { table_of(1), codes { 4, 0, 4, 4, 2 } })
      assert_gradients(autograd.embedding, { table_of(1), codes { { 1, 1 }, { 0, 4 } } })
      assert_gradients(function(t, a, b) return t:embedding(a):dot(t:embedding(b):tanh()) end,
        { table_of(2), codes { 1, 1, 3 }, codes { 3, 1, 1 } })
    end)

    it("embedding_bag in both modes, with and without weights" .. kind, function()
      for _, mode in ipairs { "sum", "mean" } do
        local list, at = codes { 4, 0, 4, 4, 2, 0 }, offsets { 0, 3, 3, 5, 6 }
        assert_gradients(function(t, c, o) return t:embedding_bag(c, o, nil, mode) end, { table_of(1), list, at })
        assert_gradients(function(t, c, o, w) return t:embedding_bag(c, o, w, mode) end,
          { table_of(2), list, at, normal(3, 6) })
        assert_gradients(function(t, c, o, w) return t:embedding_bag(c, o, w, mode) end,
          { table_of(2), list, at, { data = normal(3, 6) } })
      end
    end)

    it("a table used by lookups, bags and as a matrix at once" .. kind, function()
      assert_gradients(function(t, c, o)
        return autograd.concat { t:embedding(c):narrow(1, 1, 2), t:embedding_bag(c, o), (t * t):narrow(1, 1, 2) }
      end, { table_of(4), codes { 3, 3, 1 }, offsets { 0, 1, 3 } })
    end)
  end

  it("bag_softmax and bag_sum, of bags that may be empty", function()
    for _, columns in ipairs { 1, 3, 17 } do
      local at = offsets { 0, 3, 3, 4, 6 }
      assert_gradients(autograd.bag_softmax, { normal(1, 6, columns), at })
      assert_gradients(autograd.bag_sum, { view(2, 6, 3), at, normal(3, 6, columns) })
      assert_gradients(autograd.bag_sum, { { data = normal(2, 6, 17) }, at, normal(3, 6, columns) })
      assert_gradients(function(x, o, w) return x:bag_sum(o, (x:linear(w) * 3):bag_softmax(o)) end,
        { normal(4, 6, 5), at, parameter(5, columns, 5) })
    end
    assert_gradients(function(x, o) return x:bag_sum(o, x:bag_softmax(o)) end, { normal(1, 0, 2), offsets { 0, 0 } })
  end)

  it("pools by learned numbers a place", function()
    assert_gradients(function(t, places, c, o)
      local weights = places:embedding(c:bag_positions(o, 3)):bag_softmax(o)
      return t:embedding(c):bag_sum(o, weights)
    end, { parameter(1, 5, 4), parameter(2, 3, 2), codes { 4, 0, 4, 4, 2, 0, 1 }, offsets { 0, 5, 5, 6, 7 } })
  end)

  it("embedding in a table that was computed", function()
    assert_gradients(function(t, c, o) return (t * t):embedding(c):sum() + t:tanh():embedding_bag(c, o):sum() end,
      { normal(1, 4, 2), codes { 3, 3, 0 }, offsets { 0, 3 } })
  end)

  it("mse and bce, weighted or not", function()
    for i, shape in ipairs { { 1 }, { 3, 17 }, {} } do
      local x, target = normal(i, table.unpack(shape)), normal(i + 20, table.unpack(shape))
      local weights = { data = positive(i + 40, table.unpack(shape)) }
      local share = { data = map(normal(i + 60, table.unpack(shape)), function(v) return 1 / (1 + v * v) end) }
      assert_gradients(autograd.mse, { x, { data = target } })
      assert_gradients(autograd.mse, { x, { data = target }, weights })
      assert_gradients(autograd.bce, { x, share })
      assert_gradients(autograd.bce, { x, share, weights })
    end
    assert_gradients(autograd.mse, { view(1, 3, 4), { data = view(2, 3, 4) } })
  end)

  it("bpr, in both its scores", function()
    assert_gradients(autograd.bpr, { normal(1, 17), normal(2, 17) })
    assert_gradients(function(x, y) return x:bpr(x * y) end, { normal(1, 3, 2), normal(2, 3, 2) })
  end)

  it("a tower: bag and lookup, concat, linear, norm, dropout, normalised, scored", function()
    local table_ = autograd.parameter("table", normal(1, 6, 3), { sparse = true })
    local mean = autograd.parameter("mean", tensor.zeros(5, "f64"), { trainable = false })
    local variance = autograd.parameter("variance", positive(2, 5), { trainable = false })
    assert_gradients(function(t, c, o, item, w, gain, bias)
      local tape = t:tape()
      local x = autograd.concat { t:embedding_bag(c, o, nil, "mean"), t:embedding(item) }
      x = x:linear(w):batch_norm(gain, bias, tape:parameter(mean), tape:parameter(variance)):gelu():dropout(0.3)
      local user, scores = x:l2_normalize(), t:embedding(item):linear(w:narrow(2, 1, 3)):l2_normalize()
      return (user:matmul(scores, false, true) / 0.2):log_softmax():narrow(1, 1, 1)
    end, { table_, codes { 1, 2, 2, 5 }, offsets { 0, 2, 2, 4 }, codes { 0, 3, 3 }, parameter(4, 5, 6),
      parameter(5, 5), parameter(6, 5) })
  end)
end)

describe("the gradient check", function()
  it("sees a gradient that is wrong by a thousandth", function()
    -- the term 0.001 x goes through a parameter of its own, so x's gradient lacks it
    local worst = gradcheck(function(x)
      local hidden = autograd.parameter("hidden", x:value():clone())
      return x + 0.001 * x:tape():parameter(hidden)
    end, { parameter(1, 3) })
    assert.is_true(worst > 1e-4 and worst < 1e-2)
  end)
end)

describe("forward values", function()
  local function on_tape(fn, options)
    local tape <close> = autograd.tape(options)
    return fn(tape):value():tolist()
  end

  --- The largest difference of nested lists, relative to the largest entry of the second.
  local function difference(a, b)
    local worst, scale = 0, 0
    local function walk(p, q)
      if type(p) == "table" then
        for i = 1, #q do walk(p[i], q[i]) end
      else
        worst, scale = math.max(worst, math.abs(p - q)), math.max(scale, math.abs(q))
      end
    end
    walk(a, b)
    return worst / scale
  end

  it("in f32 are near those in f64", function()
    -- A sum of k terms loses at most about eps sqrt(k) of its largest term; 8 is for the few operations around it.
    local eps, k = 2 ^ -23, 17
    local x, w, v = normal(1, 9, k), normal(2, k, k), normal(3, k)
    local at, bags = tensor.new({ 1, 8, 1, 0 }, "i32"), tensor.new({ 0, 3, 3, 4 }, "i64")
    local operations = {
      linear = function(a, b, c) return a:linear(b, c, "gelu") end,
      tanh = function(a, b, c) return a:linear(b, c, "tanh") end,
      sigmoid = function(a, b, c) return a:linear(b, c):sigmoid() end,
      matmul = function(a, b) return a:matmul(b, false, true) end,
      softmax = function(a) return a:softmax() end,
      log_softmax = function(a) return a:log_softmax() end,
      layer_norm = function(a, _, c) return a:layer_norm(c, c) end,
      batch_norm = function(a, _, c) return a:batch_norm(c, c, c, c * c) end,
      l2_normalize = function(a) return a:l2_normalize() end,
      arithmetic = function(a, _, c) return (a + c) * a / (c * c + 1) - a end,
      sum = function(a) return a:sum(1) end,
      mean = function(a) return a:mean(2) end,
      dot = function(a) return a:dot(a) end,
      bag = function(a) return a:embedding_bag(a:tape():input("at", at), a:tape():input("bags", bags), nil, "mean") end,
      bags = function(a)
        local o = a:tape():input("ninths", tensor.new({ 0, 4, 4, 9 }, "i64"))
        return a:bag_sum(o, a:narrow(2, 1, 3):bag_softmax(o))
      end,
      bpr = function(a) return a:bpr(a * a) end,
      bce = function(a) return a:bce(a:sigmoid()) end,
      mse = function(a, b) return a:mse(a:matmul(b)) end,
    }
    for name, f in pairs(operations) do
      local function run(dtype)
        return on_tape(function(tape)
          local function put(t) return tape:input(nil, tensor.new(t:tolist(), dtype)) end
          return f(put(x), put(w), put(v))
        end)
      end
      local error = difference(run "f32", run "f64")
      assert(error < 8 * eps * math.sqrt(k), ("%s: %g"):format(name, error))
    end
  end)

  it("of bags: places, shares that sum to 1, and sums side by side", function()
    local tape <close> = autograd.tape()
    local o = tape:input("o", tensor.new({ 0, 3, 3, 5 }, "i64"))
    local places = tape:input("c", tensor.new({ 7, 7, 9, 1, 1 }, "i32")):bag_positions(o, 2)
    assert.same({ 0, 1, 1, 0, 1 }, places:value():tolist())
    assert.equal("i32", places:dtype())
    local x = tape:input("x", tensor.new({ { 1, 0 }, { 1, 1000 }, { 1, 0 }, { 0, -3 }, { math.log(3), -3 } }, "f64"))
    local shares = x:bag_softmax(o)
    local expected = { 1 / 3, 0, 1 / 3, 1, 1 / 3, 0, 1 / 4, 1 / 2, 3 / 4, 1 / 2 }
    for i, value in ipairs(shares:value():reshape(10):tolist()) do assert.near(expected[i], value, 1e-15) end
    local sums = x:bag_sum(o, tape:input("w", tensor.new({ { 1, 2 }, { 0, 1 }, { 1, 0 }, { 5, 0 }, { 1, 1 } }, "f64")))
    local log3 = math.log(3)
    assert.same({ { 2, 0, 3, 1000 }, { 0, 0, 0, 0 }, { log3, -18, log3, -3 } }, sums:value():tolist())
  end)

  it("of bags count each code once, in bags of any size", function()
    local function weights(list, starts)
      local tape <close> = autograd.tape()
      local o = tape:input("o", tensor.new(starts, "i64"))
      local var = tape:input("c", #list > 0 and tensor.new(list, "i32") or tensor.zeros(0, "i32")):bag_distinct(o)
      assert.equal("f32", var:dtype())
      return var:value():tolist()
    end
    assert.same({ 1, 0, 1, 1, 0, 1 }, weights({ 7, 7, 9, 7, 7, 1 }, { 0, 3, 3, 6 }))
    assert.same({}, weights({}, { 0, 0 }))
    local list, starts, expected = {}, { 0 }, {}
    for _, size in ipairs { 1, 47, 48, 49, 50, 300, 2000 } do
      local seen = {}
      for i = 1, size do
        local code = i * i * 2654435761 % (size // 2 + 1) -- about half of them come again
        list[#list + 1], expected[#expected + 1], seen[code] = code, seen[code] and 0 or 1, true
      end
      starts[#starts + 1] = #list
    end
    assert.same(expected, weights(list, starts))
    list = {}
    for i = 1, 100 do list[i] = 100 - i % 50 end -- falling, each twice
    local found = weights(list, { 0, 100 })
    for i = 1, 100 do assert.equal(i <= 50 and 1 or 0, found[i]) end
  end)

  it("of gelu and the losses are those of their formulas", function()
    local values = on_tape(function(tape) return tape:input(nil, tensor.new({ 1, -2 }, "f64")):gelu() end)
    assert.near(0.8413447460685429, values[1], 1e-15) -- Phi(1)
    assert.near(-2 * 0.02275013194817921, values[2], 1e-15) -- Phi(-2)
    local function loss(name, ...)
      local lists = { ... }
      return on_tape(function(tape)
        local vars = {}
        for i, list in ipairs(lists) do vars[i] = tape:input(nil, tensor.new(list, "f64")) end
        return autograd[name](table.unpack(vars))
      end)
    end
    assert.near((1 + 4) / 2, loss("mse", { 1, 2 }, { 0, 4 }), 1e-15)
    assert.near((3 * 1 + 0.5 * 4) / 2, loss("mse", { 1, 2 }, { 0, 4 }, { 3, 0.5 }), 1e-15)
    assert.near((math.log(1 + math.exp(-2)) + math.log(2)) / 2, loss("bce", { 2, 0 }, { 1, 0 }), 1e-15)
    assert.near(math.log(1 + math.exp(-1)), loss("bpr", { 3 }, { 2 }), 1e-15)
  end)

  it("stay finite for large logits", function()
    local values = on_tape(function(tape)
      local x = tape:input(nil, tensor.new({ 1e4, -1e4 }, "f32"))
      local y = tape:input(nil, tensor.new({ 0, 1 }, "f32"))
      return autograd.concat { x:softmax(), x:log_softmax(), x:sigmoid(), x:bce(y):reshape(1), x:bpr(-x):reshape(1) }
    end)
    assert.same({ 1, 0, 0, -2e4, 1, 0, 1e4, 1e4 }, values)
  end)

  it("let NaN through relu and linear", function()
    local nan = on_tape(function(tape)
      local x = tape:input(nil, tensor.new({ { 0 / 0 } }, "f32"))
      return autograd.concat { x:relu(), x:linear(x, x:reshape(1), "relu"), x:linear(x, nil, "relu") }
    end)
    for i = 1, 3 do assert.is_true(nan[1][i] ~= nan[1][i]) end
  end)

  it("are empty for no rows", function()
    local tape <close> = autograd.tape { train = true }
    local w = tape:parameter(parameter(1, 3, 2))
    local x = tape:input(nil, tensor.zeros(0, 2, "f64"), true)
    local y = autograd.concat { x:linear(w, nil, "relu"), x:linear(w, nil, "none", 0.5), x:l2_normalize() }
    assert.same({ 0, 8 }, y:size())
    tape:backward(y:sum())
    assert.same({ { 0, 0 }, { 0, 0 }, { 0, 0 } }, w:grad():tolist())
  end)

  it("of an empty bag are zero", function()
    local tape <close> = autograd.tape()
    local t = tape:input("t", tensor.new { { 1, 2 } })
    local codes_, offsets_ = tape:input("c", tensor.zeros(0, "i32")), tape:input("o", tensor.zeros(3, "i64"))
    local y = t:embedding_bag(codes_, offsets_, nil, "mean")
    assert.same({ { 0, 0 }, { 0, 0 } }, y:value():tolist())
  end)
end)

describe("a fused layer", function()
  local N, K, M = 700, 33, 17 -- blocks and tiles of rows, and rests of both

  --- Value and gradients of what f(tape, x, w, b, mean, variance) gives, beside the running statistics; its dropout
  --- draws at place 12 of the tape.
  local function step(dtype, f)
    local tape <close> = autograd.tape { train = true, seed = 3, epoch = 1, step = 4 }
    local function leaf(name, seed, ...) return tape:input(name, normal(seed, ...):to(dtype), true) end
    local function buffer(name)
      return autograd.parameter(name, tensor.zeros(M, dtype), { trainable = false })
    end
    local x, w, g, b = leaf("x", 1, N, K), leaf("w", 2, M, K), leaf("g", 3, M), leaf("b", 4, M)
    local mean, variance = buffer "mean", buffer "variance"
    local y = f(tape, { x = x, w = w, g = g, b = b, mean = tape:parameter(mean), variance = tape:parameter(variance) })
    tape:backward((y * tape:input(nil, normal(5, N, M):to(dtype))):sum())
    local all = { y = y:value(), mean = mean:value(), variance = variance:value() }
    for name, var in pairs { x = x, w = w, g = g, b = b } do all[name] = var:grad() end
    return all
  end

  --- Add leaves until the next node has this place on the tape.
  local function pad(tape, place)
    while tonumber(tostring(tape):match "(%d+) nodes") < place do tape:input(nil, tensor.zeros(1)) end
  end

  local function assert_near(fused, plain, tolerance)
    for name, expected in pairs(plain) do
      local scale = math.max(1, expected:abs():max())
      local off = (fused[name] - expected):abs():max() / scale
      assert.is_true(off <= tolerance, ("%s is off by %g"):format(name, off))
    end
  end

  for dtype, tolerance in pairs { f64 = 1e-12, f32 = 2e-5 } do
    for _, activation in ipairs { "relu", "gelu", "sigmoid" } do
      it(("equals its plain composition: %s, %s"):format(activation, dtype), function()
        local plain = step(dtype, function(tape, v)
          local y = v.x:linear(v.w, v.b, activation)
          pad(tape, 12)
          return y:dropout(0.3) + v.g
        end)
        assert_near(step(dtype, function(tape, v)
          pad(tape, 12)
          return v.x:linear(v.w, v.b, activation, 0.3) + v.g
        end), plain, tolerance)
        local normed = step(dtype, function(tape, v)
          local y = v.x:linear(v.w):batch_norm(v.g, v.b, v.mean, v.variance, 0.2, 1e-3)
          y = y[activation](y)
          pad(tape, 12)
          return y:dropout(0.3)
        end)
        assert_near(step(dtype, function(tape, v)
          pad(tape, 12)
          return v.x:linear_batch_norm(v.w, v.g, v.b, v.mean, v.variance,
            { momentum = 0.2, epsilon = 1e-3, activation = activation, rate = 0.3 })
        end), normed, tolerance)
      end)
    end
  end

  it("gives the same bits with one thread and with three", function()
    local function run(threads)
      local had = base.threads()
      base.threads(threads)
      local all = step("f32", function(_, v)
        local y = v.x:linear_batch_norm(v.w, v.g, v.b, v.mean, v.variance, { activation = "relu", rate = 0.2 })
        return y:linear(v.w:narrow(2, 1, M), v.b, "gelu", 0.2)
      end)
      base.threads(had)
      local parts = {}
      for name, t in pairs(all) do parts[name] = t:tolist() end
      return parts
    end
    assert.same(run(1), run(3))
  end)

  it("gives large means their variance", function()
    local tape <close> = autograd.tape { train = true }
    local x = tape:input(nil, (normal(1, 300, 1) + 1e4):to "f32")
    local one, zero = tape:input(nil, tensor.full(1, 1)), tape:input(nil, tensor.zeros(1))
    local mean, variance = autograd.parameter("m", tensor.zeros(1), { trainable = false }),
      autograd.parameter("v", tensor.zeros(1), { trainable = false })
    x:linear_batch_norm(one:reshape(1, 1), one, zero, tape:parameter(mean), tape:parameter(variance), { momentum = 1 })
    local values = x:value():to "f64"
    local centre = values:sum() / 300
    local expected = ((values - centre) * (values - centre)):sum() / 299
    assert.is_true(math.abs(variance:value():item() / expected - 1) < 1e-4)
  end)

  it("refuses what does not fit", function()
    local tape <close> = autograd.tape { train = true }
    local x, w = tape:input("x", tensor.zeros(3, 2)), tape:input("w", tensor.zeros(4, 3))
    local v = tape:input("v", tensor.zeros(4))
    assert.has_error(function() x:linear(w, nil, "relu", 1) end,
      "bad argument #4 to 'linear' (rate must be in [0, 1))")
    assert.error_matches(function() x:linear_batch_norm(w, v, v, v, v) end,
      "linear_batch_norm: x is %[3, 2%] and input 'w' is %[4, 3%], they must be %[n, k%] and %[m, k%]")
    local fits = tape:input("fits", tensor.zeros(4, 2))
    assert.error_matches(function() x:linear_batch_norm(fits, v, v, v, v) end,
      "batch_norm: input 'v' must be a parameter that is not trainable and can be written to")
    assert.error_matches(function() x:linear_batch_norm(fits, v, v, v, v, { rat = 1 }) end, "rat")
  end)
end)

--- Parameters, tapes and Vars: what they share, keep and refuse.

local autograd = require "recsys.autograd"
local base = require "recsys.base"
local tensor = require "recsys.tensor"

local function normal(seed, ...)
  local count = 1
  for _, size in ipairs { ... } do count = count * size end
  return base.stream(seed, "user", 9, 9):normals(count):reshape(...)
end

describe("a parameter", function()
  it("shares memory with its tensor", function()
    local t = tensor.new { 1, 2 }
    local p = autograd.parameter("p", t)
    p:value():set(1, 5)
    assert.equal(5, t:get(1))
    assert.equal("Parameter p f32 [2]", tostring(p))
    assert.equal("p", p:name())
    assert.same({ 2 }, p:size())
    assert.equal(2, p:size(-1))
    assert.is_true(p:trainable())
    assert.is_false(p:sparse())
  end)

  it("collects gradients over tapes until they are zeroed", function()
    local p = autograd.parameter("p", tensor.new({ 3 }, "f64"))
    assert.same({ 0 }, p:grad():tolist())
    for _ = 1, 2 do
      local tape <close> = autograd.tape { train = true }
      local x = tape:parameter(p)
      tape:backward((x * x):sum())
    end
    assert.same({ 12 }, p:grad():tolist())
    assert.same({ 0 }, p:zero_grad():grad():tolist())
  end)

  it("gives its sparse gradient as distinct ascending codes and summed rows", function()
    local p = autograd.parameter("table", tensor.zeros(5, 2, "f64"), { sparse = true })
    assert.equal("Parameter table f64 [5, 2], sparse", tostring(p))
    local tape <close> = autograd.tape { train = true }
    local y = tape:parameter(p):embedding(tape:input("codes", tensor.new({ 4, 1, 4 }, "i32")))
    tape:backward((y * tape:input(nil, tensor.new({ { 1, 2 }, { 3, 4 }, { 10, 20 } }, "f64"))):sum())
    local codes, rows = p:rows()
    assert.same({ 1, 4 }, codes:tolist())
    assert.same({ { 3, 4 }, { 11, 22 } }, rows:tolist())
    assert.same({ 0, 2 }, p:zero_grad():rows():reshape(-1, 2):size())
  end)

  it("has no gradient when it is a buffer", function()
    local p = autograd.parameter("p", tensor.new { 3 }, { trainable = false })
    assert.equal("Parameter p f32 [1], buffer", tostring(p))
    local tape <close> = autograd.tape { train = true }
    local x = tape:parameter(p)
    tape:backward((x * tape:input(nil, tensor.new { 2 }, true)):sum())
    assert.same({ 0 }, p:grad():tolist())
  end)

  it("refuses dtypes, shapes and options that it cannot serve", function()
    assert.has_error(function() autograd.parameter("p", tensor.zeros(2, "i32")) end,
      "parameter 'p' is i32, not f32 or f64; integers are for what is not trainable")
    assert.has_error(function() autograd.parameter("p", tensor.zeros(2), { sparse = true }) end,
      "parameter 'p' is [2]: only a matrix has sparse gradients")
    assert.has_error(function() autograd.parameter("p", tensor.zeros(2), { spare = true }) end,
      "bad argument #3 to 'parameter' (there is no option 'spare')")
    assert.has_error(function() autograd.parameter("p", tensor.zeros(2), { sparse = 1 }) end,
      "bad argument #3 to 'parameter' (sparse must be true or false)")
    assert.has_error(function() autograd.parameter("p", tensor.zeros(2)):rows() end,
      "parameter 'p' has a dense gradient")
  end)
end)

describe("a tape", function()
  it("cannot be used once closed, nor can its Vars", function()
    local tape = autograd.tape()
    local x = tape:input("x", tensor.new { 1, 2 })
    local y = x:relu()
    local value = y:value()
    tape:close()
    tape:close()
    assert.equal("Tape (closed)", tostring(tape))
    assert.equal("Var (closed)", tostring(y))
    assert.same({ 1, 2 }, value:tolist())
    assert.has_error(function() tape:input("x", value) end, "calling 'input' on bad self (tape is closed)")
    assert.has_error(function() x:relu() end, "calling 'relu' on bad self (the tape of this Var is closed)")
    assert.has_error(function() y:value() end, "calling 'value' on bad self (the tape of this Var is closed)")
    assert.has_error(function() autograd.concat { x, y } end,
      "bad argument #1 to 'concat' (a list of Vars of an open tape expected)")
  end)

  it("lives as long as one of its Vars", function()
    local function make() return autograd.tape():input("x", tensor.new { 1, 2 }):relu() end
    local y = make()
    collectgarbage()
    collectgarbage()
    assert.same({ 1, 2 }, y:value():tolist())
    assert.equal("Tape (evaluation, 2 nodes)", tostring(y:tape()))
  end)

  it("gives one Var for a parameter, and one for a named tensor", function()
    local tape <close> = autograd.tape()
    local t = tensor.new { 1 }
    local p = autograd.parameter("p", t)
    for _ = 1, 3 do
      tape:parameter(p)
      tape:input("x", t)
    end
    assert.equal("Tape (evaluation, 2 nodes)", tostring(tape))
  end)

  it("walks back once, and only with gradients kept, from one real number", function()
    local p = autograd.parameter("p", tensor.new { 1, 2 })
    local tape <close> = autograd.tape { train = true }
    local loss = tape:parameter(p):sum()
    assert.has_error(function() tape:backward(tape:parameter(p)) end,
      "backward: the loss is f32 [2], it must be one real number")
    tape:backward(loss)
    assert.has_error(function() tape:backward(loss) end, "backward: has run on this tape before")
    assert.has_error(function() loss:relu() end, "relu: backward has run on this tape, begin another")
    local other <close> = autograd.tape()
    assert.has_error(function() other:backward(other:parameter(p):sum()) end,
      "backward: the tape was made without gradients")
    assert.has_error(function() other:backward(loss) end, "bad argument #1 to 'backward' (Var of another tape)")
    assert.has_error(function() return other:parameter(p) + loss end, "add: sum belongs to another tape")
  end)

  it("gives inputs gradients only on request", function()
    local tape <close> = autograd.tape { train = true }
    local x, y = tape:input("x", tensor.new { 1, 2 }, true), tape:input("y", tensor.new { 3, 4 })
    assert.is_nil(x:grad())
    tape:backward((x * y):sum())
    assert.same({ 3, 4 }, x:grad():tolist())
    assert.is_nil(y:grad())
    assert.has_error(function() tape:input("codes", tensor.zeros(2, "i32"), true) end,
      "input 'codes' is i32: only reals have a gradient")
  end)

  it("refuses a target that wants a gradient", function()
    local tape <close> = autograd.tape { train = true }
    local x = tape:input("x", tensor.new { 1, 2 }, true)
    assert.has_error(function() x:mse(x) end, "mse: input 'x' is data here and cannot have a gradient")
  end)

  it("checks its options", function()
    assert.has_error(function() autograd.tape { training = true } end,
      "bad argument #1 to 'tape' (there is no option 'training')")
    assert.has_error(function() autograd.tape { step = -1 } end,
      "bad argument #1 to 'tape' (step must be an integer from 0 to 4294967295)")
  end)

  it("takes no more memory from step to step", function()
    local w = autograd.parameter("w", normal(1, 64, 64))
    local table_ = autograd.parameter("table", normal(2, 100, 64), { sparse = true })
    local codes = tensor.new({ 1, 2, 1, 99 }, "i32")
    local function step(i)
      local tape <close> = autograd.tape { train = true, step = i }
      local x = tape:parameter(table_):embedding(tape:input("codes", codes))
      tape:backward(x:linear(tape:parameter(w), nil, "relu"):dropout(0.5):mean())
      table_:rows()
      w:zero_grad()
      table_:zero_grad()
    end
    step(0)
    collectgarbage()
    local blocks = base.alloc_counts()
    for i = 1, 20 do step(i) end
    collectgarbage()
    assert.equal(blocks, (base.alloc_counts()))
  end)
end)

describe("an operation names what does not fit:", function()
  local function raises(message, f)
    local tape <close> = autograd.tape()
    local function put(name, ...) return tape:input(name, tensor.zeros(...)) end
    assert.has_error(function() f(put, tape) end, message)
  end

  it("shapes", function()
    raises("linear: x is [2, 3] and input 'w' is [4, 5], they must be [n, k] and [m, k]",
      function(put) put("x", 2, 3):linear(put("w", 4, 5)) end)
    raises("linear: x is [2, 3] and input 'b' is [5], it must be [4]",
      function(put) put("x", 2, 3):linear(put("w", 4, 3), put("b", 5)) end)
    raises("matmul: a is [2, 3] transposed and b is [4, 3] transposed, their inner sizes must agree",
      function(put) put("a", 2, 3):matmul(put("b", 4, 3), true, true) end)
    raises("add: [2, 3] and [2] do not broadcast", function(put) return put("a", 2, 3) + put("b", 2) end)
    raises("concat: [2, 3] and [3, 3] may differ in the last dimension alone",
      function(put) autograd.concat { put("a", 2, 3), put("b", 3, 3) } end)
    raises("dot: input 'a' is [2, 3] and input 'b' is [2, 4], they must be the same",
      function(put) put("a", 2, 3):dot(put("b", 2, 4)) end)
    raises("mse: input 'a' is [2] and input 'b' is [2, 1], they must be the same",
      function(put) put("a", 2):mse(put("b", 2, 1)) end)
    raises("layer_norm: x is [2, 3] and input 'g' is [2], it must be [3]",
      function(put) put("x", 2, 3):layer_norm(put("g", 2), put("b", 3)) end)
    raises("mean: x is [0], there is no mean of nothing", function(put) put("x", 0):mean() end)
  end)

  it("dtypes", function()
    raises("add: wants reals of one dtype, input 'a' is f32 and input 'b' is f64",
      function(put) return put("a", 2) + put("b", 2, "f64") end)
    raises("relu: wants reals of one dtype, input 'a' is i32 and input 'a' is i32",
      function(put) put("a", 2, "i32"):relu() end)
    raises("embedding: wants a table of reals and i32 codes, not f32 and i64",
      function(put) put("t", 2, 2):embedding(put("c", 1, "i64")) end)
  end)

  it("codes outside their table", function()
    local p = autograd.parameter("item.table", tensor.zeros(7, 2), { sparse = true })
    for _, code in ipairs { 7, -1, 2147483647 } do
      local tape <close> = autograd.tape { train = true }
      local codes = tape:input("codes", tensor.new({ 0, code, 6 }, "i32"))
      local where = " code %d is outside the table parameter 'item.table', which has 7 rows (codes 0 to 6)"
      where = where:format(code)
      assert.has_error(function() tape:parameter(p):embedding(codes) end, "embedding:" .. where)
      assert.has_error(function()
        tape:parameter(p):embedding_bag(codes, tape:input("o", tensor.new({ 0, 3 }, "i64")))
      end, "embedding_bag:" .. where)
    end
  end)

  it("offsets that do not ascend from 0 to the number of codes", function()
    for _, list in ipairs { { 0, 2 }, { 1, 3 }, { 0, 3, 2, 3 }, { 0, 4 }, { 0, -1, 3 } } do
      raises("embedding_bag: input 'o' must ascend from 0 to the number of codes, 3", function(put, tape)
        put("t", 4, 2):embedding_bag(put("c", 3, "i32"), tape:input("o", tensor.new(list, "i64")))
      end)
    end
  end)

  it("bags that do not fit", function()
    local function bags(tape, list) return tape:input("o", tensor.new(list, "i64")) end
    raises("bag_sum: input 'o' must ascend from 0 to the number of rows, 3",
      function(put, tape) put("x", 3, 2):bag_sum(bags(tape, { 0, 2 }), put("w", 3, 1)) end)
    raises("bag_softmax: input 'o' must ascend from 0 to the number of rows, 3",
      function(put, tape) put("x", 3, 2):bag_softmax(bags(tape, { 0, 3, 2, 3 })) end)
    raises("bag_positions: input 'o' must ascend from 0 to the number of codes, 3",
      function(put, tape) put("c", 3, "i32"):bag_positions(bags(tape, { 1, 3 }), 5) end)
    raises("bag_sum: x is [3, 2] and the weights are [2, 1], not [total, d] and [total, h]",
      function(put, tape) put("x", 3, 2):bag_sum(bags(tape, { 0, 3 }), put("w", 2, 1)) end)
    raises("bag_sum: wants reals of one dtype, not f32 and weights f64",
      function(put, tape) put("x", 3, 2):bag_sum(bags(tape, { 0, 3 }), put("w", 3, 1, "f64")) end)
    raises("bag_softmax: x is [3, 65], not [total, h] with h up to 64",
      function(put, tape) put("x", 3, 65):bag_softmax(bags(tape, { 0, 3 })) end)
    raises("bag_positions: codes are i64, not i32",
      function(put, tape) put("c", 3, "i64"):bag_positions(bags(tape, { 0, 3 }), 5) end)
    raises("bag_distinct: codes are i64, not i32",
      function(put, tape) put("c", 3, "i64"):bag_distinct(bags(tape, { 0, 3 })) end)
    raises("bag_distinct: input 'o' must ascend from 0 to the number of codes, 3",
      function(put, tape) put("c", 3, "i32"):bag_distinct(bags(tape, { 0, 2 })) end)
    raises("fold_in: code 3 is outside the table input 'x', which has 3 rows (codes 0 to 2)", function(put, tape)
      put("x", 3, 2):fold_in(put("s", 2), tape:input("c", tensor.new({ 3 }, "i32")), bags(tape, { 0, 1 }), nil, {})
    end)
    raises("fold_in: input 'x' is f64, not f32", function(put, tape)
      put("x", 3, 2, "f64"):fold_in(put("s", 2), put("c", 1, "i32"), bags(tape, { 0, 1 }), nil, {})
    end)
    raises("fold_in: regularization is 0, outside 1e-30 to 1e+30", function(put, tape)
      put("x", 3, 2):fold_in(put("s", 2), put("c", 1, "i32"), bags(tape, { 0, 1 }), nil, { regularization = 0 })
    end)
    raises("bag_positions: offsets are i32, not i64",
      function(put) put("c", 3, "i32"):bag_positions(put("o", 2, "i32"), 5) end)
    raises("bad argument #2 to 'bag_positions' (a limit from 1 to 1048576 is expected)",
      function(put, tape) put("c", 3, "i32"):bag_positions(bags(tape, { 0, 3 }), 0) end)
  end)

  it("attributes", function()
    raises("bad argument #2 to 'dropout' (rate must be in [0, 1))",
      function(put) autograd.dropout(put("x", 2), 1) end)
    raises("bad argument #2 to 'narrow' (index 3 out of range 1..2)",
      function(put) autograd.narrow(put("x", 2, 2), 3, 1, 1) end)
    raises("layer_norm: epsilon is -1, outside 0 to 1.79769e+308",
      function(put) put("x", 2):layer_norm(put("g", 2), put("b", 2), -1) end)
    raises("batch_norm: input 'm' must be a parameter that is not trainable and can be written to", function()
      local tape <close> = autograd.tape { train = true }
      local function put(name, ...) return tape:input(name, tensor.zeros(...)) end
      put("x", 3, 2):batch_norm(put("g", 2), put("b", 2), put("m", 2), put("v", 2))
    end)
  end)
end)

describe("dropout", function()
  local x = tensor.zeros(200, 50)
  for i = 1, 200 do for j = 1, 50 do x:set(i, j, 1) end end

  local function drop(options, rows, rate)
    options.train = options.train ~= false
    local tape <close> = autograd.tape(options)
    return tape:input("x", rows or x):dropout(rate or 0.25):value()
  end

  it("drops about its rate and scales the rest", function()
    local dropped = 0
    for _, row in ipairs(drop({ seed = 1 }):tolist()) do
      for _, value in ipairs(row) do
        if value == 0 then dropped = dropped + 1 else assert.near(1 / 0.75, value, 1e-6) end
      end
    end
    -- 10,000 draws: standard deviation 43
    assert.near(2500, dropped, 4 * 43)
  end)

  it("is a function of seed, epoch, step and global row alone", function()
    local whole = drop { seed = 1, epoch = 2, step = 3 }
    assert.equal(whole:to_string(), drop({ seed = 1, epoch = 2, step = 3 }):to_string())
    assert.equal(whole:narrow(1, 101, 100):to_string(),
      drop({ seed = 1, epoch = 2, step = 3, rows_before = 100 }, x:narrow(1, 101, 100)):to_string())
    for _, name in ipairs { "seed", "epoch", "step" } do
      local other = { seed = 1, epoch = 2, step = 3 }
      other[name] = other[name] + 1
      assert.not_equal(whole:to_string(), drop(other):to_string())
    end
  end)

  it("draws anew at each node of a tape", function()
    local tape <close> = autograd.tape { train = true, seed = 1 }
    local v = tape:input("x", x)
    assert.not_equal(v:dropout(0.5):value():to_string(), v:dropout(0.5):value():to_string())
  end)

  it("draws the words of the Philox stream", function()
    local tape <close> = autograd.tape { train = true, seed = 42, epoch = 7, step = 9 }
    local ones = tensor.new { { 1, 1, 1, 1, 1, 1 } }
    local y = tape:input("x", ones):dropout(0.5):value():tolist()[1]
    local place = 1 -- on the tape: after the input
    local stream = base.stream(42, "dropout", 7, 9)
    -- position p of node n is 32-bit word p of the stream from block n 2^40 on: pair p // 2 of the 64-bit words
    for p = 0, 5 do
      local word = stream:uniform((place << 40) * 2 + p // 2) * 2 ^ 53 -- the upper 53 of 64 bits
      local high = math.floor(word / 2 ^ 21)
      if p % 2 == 1 then assert.equal(high < 2 ^ 31 and 0 or 2, y[p + 1]) end
    end
  end)

  it("passes in evaluation", function()
    assert.equal(x:to_string(), drop({ train = false }):to_string())
  end)
end)

describe("batch_norm", function()
  it("moves its buffers towards the batch's moments in training alone", function()
    local mean = autograd.parameter("mean", tensor.new({ 10, 0 }, "f64"), { trainable = false })
    local variance = autograd.parameter("variance", tensor.new({ 1, 4 }, "f64"), { trainable = false })
    local x = tensor.new({ { 1, 2 }, { 3, 2 }, { 5, 8 } }, "f64")
    local function run(train)
      local tape <close> = autograd.tape { train = train }
      local one = tape:input(nil, tensor.new({ 1, 1 }, "f64"))
      local zero = tape:input(nil, tensor.new({ 0, 0 }, "f64"))
      return tape:input("x", x):batch_norm(one, zero, tape:parameter(mean), tape:parameter(variance), 0.1, 0)
        :value():tolist()
    end
    assert.same({ { -9, 1 }, { -7, 1 }, { -5, 4 } }, run(false))
    assert.same({ 10, 0 }, mean:value():tolist())
    local y = run(true)
    for j = 1, 2 do
      assert.near(0, y[1][j] + y[2][j] + y[3][j], 1e-14)
      assert.near(3, y[1][j] ^ 2 + y[2][j] ^ 2 + y[3][j] ^ 2, 1e-14)
    end
    -- batch means 3 and 4; variances divided by n - 1: 4 and 12
    assert.near(9.3, mean:value():get(1), 1e-14)
    assert.near(0.4, mean:value():get(2), 1e-14)
    assert.near(1.3, variance:value():get(1), 1e-14)
    assert.near(4.8, variance:value():get(2), 1e-14)
  end)

  it("refuses to train on one row", function()
    local p = autograd.parameter("p", tensor.zeros(2), { trainable = false })
    local tape <close> = autograd.tape { train = true }
    local v = tape:parameter(p)
    assert.has_error(function() tape:input("x", tensor.zeros(1, 2)):batch_norm(v, v, v, v) end,
      "batch_norm: x is [1, 2], training wants two rows or more")
  end)
end)

describe("a training step", function()
  --- Loss and gradients of a small net, as bytes.
  local function step(threads)
    local before = base.threads()
    base.threads(threads)
    local parameters = {
      autograd.parameter("table", normal(1, 300, 16), { sparse = true }),
      autograd.parameter("w", normal(2, 24, 32)),
      autograd.parameter("b", normal(3, 24)),
      autograd.parameter("gain", normal(4, 24)),
      autograd.parameter("mean", tensor.zeros(24, "f64"), { trainable = false }),
    }
    local tape <close> = autograd.tape { train = true, seed = 3 }
    local v = {}
    for i, p in ipairs(parameters) do v[i] = tape:parameter(p) end
    local n = 2000
    local codes = base.stream(4, "user", 0, 0):integers(n, 300)
    local i32, at = tensor.zeros(n, "i32"), tensor.zeros(n + 1, "i64")
    for i = 1, n do i32:set(i, codes:get(i)) at:set(i + 1, i) end
    local c, o = tape:input("c", i32), tape:input("o", at)
    local x = autograd.concat { v[1]:embedding(c), v[1]:embedding_bag(c, o, nil, "mean") }
    x = x:linear(v[2], v[3], "gelu"):batch_norm(v[4], v[3], v[5], v[5]):layer_norm(v[4], v[3]):dropout(0.2)
    local loss = x:l2_normalize():dot(x:softmax()):bce(tape:input(nil, tensor.zeros(n, "f64")))
    tape:backward(loss)
    base.threads(before)
    local bytes = { loss:value():to_string() }
    for i, p in ipairs(parameters) do bytes[i + 1] = p:grad():to_string() end
    return table.concat(bytes)
  end

  it("has the same bits on any number of threads", function()
    local one = step(1)
    assert.is_true(one == step(2))
    assert.is_true(one == step(3))
  end)
end)

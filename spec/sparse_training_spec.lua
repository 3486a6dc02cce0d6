--- Row-sparse gradients: what tables get through lookups, equal to what the same arithmetic gives on whole matrices.

local autograd = require "recsys.autograd"
local base = require "recsys.base"
local bundle = require "recsys.bundle"
local nn = require "recsys.nn"
local optim = require "recsys.optim"
local tensor = require "recsys.tensor"

local ROWS, WIDTH = 7, 5

local function normal(seed, ...)
  local count = 1
  for _, size in ipairs { ... } do count = count * size end
  return base.stream(seed, "user", 3, 1):normals(count):reshape(...)
end

local function codes(...) return tensor.new({ ... }, "i32") end

--- Loss and gradient of two tables, sparse or dense, by 'loss(tape, users, items)'.
local function gradients(sparse, loss, users, items)
  local a = autograd.parameter("users", (users or normal(1, ROWS, WIDTH)):clone(), { sparse = sparse })
  local b = autograd.parameter("items", (items or normal(2, ROWS, WIDTH)):clone(), { sparse = sparse })
  local tape <close> = autograd.tape { train = true }
  local value = loss(tape, tape:parameter(a), tape:parameter(b))
  tape:backward(value)
  return a:grad(), b:grad(), value:item()
end

local function assert_near(expected, actual, tolerance)
  assert.is_true((expected - actual):abs():max() <= tolerance)
end

--- The norm-relative distance of a table's gradient from central differences.
local function distance(loss, which)
  local tables = { normal(1, ROWS, WIDTH), normal(2, ROWS, WIDTH) }
  local grad = select(which, gradients(true, loss, tables[1], tables[2]))
  local numeric, step = tensor.zeros(ROWS, WIDTH, "f64"), 1e-5
  for i = 1, ROWS do
    for j = 1, WIDTH do
      local value, at = tables[which]:get(i, j), {}
      for k, x in ipairs { value + step, value - step } do
        tables[which]:set(i, j, x)
        at[k] = select(3, gradients(true, loss, tables[1], tables[2]))
      end
      tables[which]:set(i, j, value)
      numeric:set(i, j, (at[1] - at[2]) / (2 * step))
    end
  end
  local off = grad - numeric
  return math.sqrt((off * off):sum() / (numeric * numeric):sum())
end

describe("the gradient of a lookup's dot product", function()
  -- Repeated users, an item that is positive and negative, an item against itself.
  local function scores(tape, users, items)
    local x = users:embedding(tape:input("u", codes(1, 3, 1, 6)))
    local y = items:embedding(tape:input("i", codes(2, 2, 5, 0)))
    local z = items:embedding(tape:input("j", codes(5, 2, 6, 4)))
    return x, y, z
  end

  local function by_dot(tape, users, items)
    local x, y, z = scores(tape, users, items)
    return autograd.bpr(autograd.dot(x, y), autograd.dot(x, z))
  end

  it("is that of the products written out", function()
    local function plainly(tape, users, items)
      local x, y, z = scores(tape, users, items)
      return autograd.bpr(autograd.sum(x * y, 2), autograd.sum(x * z, 2))
    end
    for _, sparse in ipairs { true, false } do
      local a, b, loss = gradients(sparse, by_dot)
      local expected_a, expected_b, expected = gradients(false, plainly)
      assert_near(expected_a, a, 1e-15)
      assert_near(expected_b, b, 1e-15)
      assert.is_true(math.abs(loss - expected) < 1e-15)
    end
  end)

  it("is that of central differences", function()
    assert.is_true(distance(by_dot, 1) < 1e-6)
    assert.is_true(distance(by_dot, 2) < 1e-6)
  end)

  it("is right when the rows are used elsewhere too, and a table meets itself", function()
    local function mixed(tape, users)
      local x, y = users:embedding(tape:input("u", codes(1, 3, 1))), users:embedding(tape:input("v", codes(1, 2, 3)))
      return autograd.dot(x, y):tanh():sum() + (x * x):sum() + autograd.dot(x, x):sum()
    end
    assert.is_true(distance(mixed, 1) < 1e-6)
  end)

  it("reaches only the rows that were looked up, and not the user whose two items are one", function()
    local a, b = gradients(true, by_dot)
    assert.same({ 0, 1, 0, 0, 0, 0, 1 }, a:abs():sum(2):gt(0):to "i32":tolist())
    assert.same({ 1, 0, 1, 0, 1, 1, 1 }, b:abs():sum(2):gt(0):to "i32":tolist())
  end)
end)

describe("nn.bpr", function()
  local user, positive, negative = codes(1, 3, 1, 6), codes(2, 2, 5, 0), codes(5, 2, 6, 4)

  local function fused(decay, factor)
    return function(_, users, items)
      local loss = nn.bpr { users = users, items = items, user_codes = user, positives = positive,
        negatives = negative, decay = decay }
      return factor and autograd.affine(loss, factor, 0) or loss
    end
  end

  local function composed(decay, factor)
    return function(tape, users, items)
      local x, y = users:embedding(tape:input("u", user)), items:embedding(tape:input("i", positive))
      local z = items:embedding(tape:input("j", negative))
      local loss = autograd.bpr(autograd.dot(x, y), autograd.dot(x, z))
      local norms = (x * x):sum() + (y * y):sum() + (z * z):sum()
      return autograd.affine(loss + autograd.affine(norms, decay / 2 / #user), factor or 1, 0)
    end
  end

  it("is its composition of lookups and dot products", function()
    for _, case in ipairs { { 0 }, { 0.3 }, { 0.3, 2.5 } } do
      for _, sparse in ipairs { true, false } do
        local a, b, loss = gradients(sparse, fused(case[1], case[2]))
        local expected_a, expected_b, expected = gradients(true, composed(case[1], case[2]))
        assert_near(expected_a, a, 1e-15)
        assert_near(expected_b, b, 1e-15)
        assert.is_true(math.abs(loss - expected) < 1e-14)
      end
    end
  end)

  it("has the gradient of central differences", function()
    assert.is_true(distance(fused(0.3), 1) < 1e-6)
    assert.is_true(distance(fused(0.3), 2) < 1e-6)
  end)

  it("is within float32 rounding of float64, with the same bits on one thread and on three", function()
    local n, width, threads, results = 1000, 64, base.threads(), {}
    local stream = base.stream(9, "user")
    local function table_of(first) return stream:normals(300 * width, first):reshape(300, width) end
    local values = { table_of(0), table_of(1 << 20) }
    local rows = { stream:integers(n, 300):to "i32", stream:integers(n, 300, n):to "i32",
      stream:integers(n, 300, 2 * n):to "i32" }
    local function run(dtype)
      return gradients(true, function(_, users, items)
        return nn.bpr { users = users, items = items, user_codes = rows[1], positives = rows[2], negatives = rows[3] }
      end, values[1]:to(dtype), values[2]:to(dtype))
    end
    for _, t in ipairs { 1, 3 } do
      base.threads(t)
      results[t] = { run "f32" }
    end
    base.threads(threads)
    assert.equal(results[1][1]:to_string(), results[3][1]:to_string())
    assert.equal(results[1][2]:to_string(), results[3][2]:to_string())
    assert.equal(results[1][3], results[3][3])
    local a, b, loss = run "f64"
    -- A score sums 64 products of about 1: its error of some 1e-6 moves a sigmoid's slope of at most 1/4 that much.
    assert_near(a:to "f32", results[1][1], 2e-6 * a:abs():max())
    assert_near(b:to "f32", results[1][2], 2e-6 * b:abs():max())
    assert.is_true(math.abs(loss - results[1][3]) < 1e-6 * loss)
  end)

  it("refuses what does not fit", function()
    local function refuses(message, options)
      local tape <close> = autograd.tape { train = true }
      local all = { users = tape:input("a", normal(1, 7, 5)), items = tape:input("b", normal(1, 7, 5)),
        user_codes = user, positives = positive, negatives = negative }
      for name, value in pairs(options) do all[name] = type(value) == "function" and value(tape) or value end
      assert.has_error(function() nn.bpr(all) end, message)
    end
    refuses("bpr_of_tables: code 7 is outside the table input 'b', which has 7 rows (codes 0 to 6)",
      { negatives = codes(1, 2, 7, 1) })
    refuses("bpr_of_tables: codes are i32, not f32", { positives = tensor.zeros(4) })
    refuses("bpr_of_tables: users are [7, 5] and items [7, 4], rows must be as wide",
      { items = function(tape) return tape:input("b", normal(1, 7, 4)) end })
    refuses("bad argument #1 to 'bpr' (option 'negatives' must be a Tensor)", { negatives = 1 })
    assert.has_error(function() nn.bpr { users = 1, items = 1, user_codes = user, positives = user } end,
      "bad argument #1 to 'bpr' (option 'negatives' must be a Tensor of codes)")
  end)
end)

describe("nn.warp", function()
  local user, positive = codes(1, 3, 1, 6), codes(2, 0, 5, 0)
  local pool = codes(0, 1, 2, 3, 4, 5, 6)

  --- Rows of chosen scores: users are unit vectors, so that the score of item i for user u is items[i][u].
  local function tables_of(scores)
    local users, items = tensor.zeros(ROWS, ROWS, "f64"), tensor.zeros(ROWS, ROWS, "f64")
    for u = 0, ROWS - 1 do
      users:set(u + 1, u + 1, 1)
      for i = 0, ROWS - 1 do items:set(i + 1, u + 1, scores(u, i)) end
    end
    return users, items
  end

  local function run(options, users, items, seed)
    local a = autograd.parameter("users", users:clone(), { sparse = true })
    local b = autograd.parameter("items", items:clone(), { sparse = true })
    local tape <close> = autograd.tape { train = true, seed = seed or 1 }
    local all = { users = tape:parameter(a), items = tape:parameter(b), user_codes = user, positives = positive,
      pool = pool }
    for name, value in pairs(options) do all[name] = value end
    local loss = nn.warp(all)
    tape:backward(loss)
    return loss:item(), a, b
  end

  it("weighs the first violation by the rank that its draw suggests", function()
    -- Every item but the positive violates: the first that is drawn counts, the rank is 6, L(6) = 2.45.
    local users, items = tables_of(function() return 0.5 end)
    local loss, _, b = run({}, users, items)
    assert.is_true(math.abs(loss - 2.45) < 1e-12)
    local by_item = b:grad():sum(2)
    assert.is_true(math.abs(by_item:sum()) < 1e-12) -- what positives gain, negatives lose
    assert.is_true(math.abs(by_item:abs():sum() - 2 * 2.45) < 1e-12 or by_item:abs():sum() < 2 * 2.45)
  end)

  it("estimates ranks that fall with the number of draws", function()
    -- One violator, item 4, among six candidates: found at draw t the loss is L(floor(6 / t)): margin 1, equal scores.
    local users, items = tables_of(function(_, i) return i == 4 and 0 or i == 2 and 0 or -100 end)
    local harmonic = { [6] = 2.45, [3] = 1 + 1 / 2 + 1 / 3, [2] = 1.5, [1] = 1, [0] = 0 }
    local met, possible = {}, {}
    for t = 1, 64 do possible[("%.9f"):format(harmonic[6 // t])] = true end
    for seed = 1, 60 do
      local loss = run({ user_codes = codes(1), positives = codes(2), tries = 64 }, users, items, seed)
      local word = ("%.9f"):format(loss)
      assert.is_true(possible[word], word)
      met[word] = true
    end
    for _, rank in ipairs { 6, 3, 2, 1 } do assert.is_true(met[("%.9f"):format(harmonic[rank])]) end
  end)

  it("has no loss and touches no row where nothing violates the margin", function()
    local users, items = tables_of(function(_, i) return (i == 2 or i == 0 or i == 5) and 3 or 0 end)
    local loss, a, b = run({ pool = codes(1, 3, 4, 6) }, users, items)
    assert.equal(0, loss)
    assert.equal(0, #a:rows())
    assert.equal(0, #b:rows())
  end)

  it("never draws the positive, nor what the user has seen", function()
    local users, items = tables_of(function() return 0 end)
    local starts = tensor.new({ 0, 0, 3, 3, 7, 7, 7, 7 }, "i64") -- users 1 and 3
    local columns = codes(0, 2, 3, 0, 1, 4, 6)
    local seen = tensor.csr(starts, columns, tensor.full(1, 7), ROWS)
    local allowed = { [1] = { [1] = true, [4] = true, [5] = true, [6] = true },
      [3] = { [2] = true, [3] = true, [5] = true } }
    for seed = 1, 40 do
      for u, item in pairs { [1] = 2, [3] = 0 } do
        local _, _, b = run({ user_codes = codes(u), positives = codes(item), seen = seen, tries = 4096 }, users, items,
          seed)
        for _, row in ipairs(b:rows():tolist()) do assert.is_true(row == item or allowed[u][row], row) end
        assert.equal(2, #b:rows())
      end
    end
  end)

  it("has the gradient of central differences, given its draws", function()
    local function loss(_, users, items)
      return autograd.affine(nn.warp { users = users, items = items, user_codes = user, positives = positive,
        pool = pool, margin = 20, decay = 0.3 }, 1.5, 0)
    end
    assert.is_true(distance(loss, 1) < 1e-6)
    assert.is_true(distance(loss, 2) < 1e-6)
  end)

  it("draws the same on one thread and on three, and otherwise in another step", function()
    local threads, stream = base.threads(), base.stream(9, "user")
    local users, items = stream:normals(900 * 16):reshape(900, 16), stream:normals(900 * 16, 1 << 20):reshape(900, 16)
    local many = stream:integers(900, 900):to "i32"
    local function bits(step)
      local a = autograd.parameter("users", users, { sparse = true })
      local tape <close> = autograd.tape { train = true, seed = 5, step = step }
      tape:backward(nn.warp { users = tape:parameter(a), items = tape:input("b", items), user_codes = many,
        positives = many, pool = many })
      return select(2, a:rows()):to_string()
    end
    base.threads(1)
    local one = bits(1)
    base.threads(3)
    local three, later = bits(1), bits(2)
    base.threads(threads)
    assert.equal(one, three)
    assert.are_not.equal(one, later)
  end)

  it("refuses what does not fit", function()
    local users, items = normal(1, 7, 5), normal(2, 7, 5)
    assert.has_error(function() run({ pool = codes(1) }, users, items) end, "warp: a pool of 1 items has no rank")
    assert.has_error(function() run({ seen = tensor.csr(tensor.zeros(3, "i64"), codes(), tensor.zeros(0), 7) }, users,
      items) end, "warp: seen has 2 rows, users 7")
    assert.has_error(function() run({ seen = 1 }, users, items) end,
      "bad argument #1 to 'warp' (option 'seen' must be a Csr)")
    assert.has_error(function() run({ tries = 0 }, users, items) end,
      "bad argument #1 to 'warp' (option 'tries' must be an integer of 1 or more)")
  end)
end)

describe("a bf16 table", function()
  local function trained(dtype, seed, threads)
    base.threads(threads or 1)
    local ids = nn.embedding { name = "ids", rows = 200, width = 16, dtype = dtype, seed = 3 }
    local tables = { ids:parameter "ids" }
    local opt = optim.adam(tables, { learning_rate = 0.02, seed = seed or 1 })
    local losses = {}
    for step = 1, 200 do
      local draw = base.stream(4, "user", 0, step)
      local u, v = draw:integers(256, 200):to "i32", draw:integers(256, 200, 1000):to "i32"
      local same = (u % 5):eq(v % 5):to "f32" -- five groups that like each other
      local tape <close> = autograd.tape { train = true, seed = 1, step = step }
      local x, y = ids:forward(tape:input("u", u)), ids:forward(tape:input("v", v))
      local loss = autograd.bce(autograd.dot(x, y), tape:input(nil, same))
      tape:backward(loss)
      opt:step():zero_grad()
      losses[step] = loss:item()
    end
    return losses, tables[1]:value(), opt
  end

  it("takes half the memory, its state and gradients are f32", function()
    local before = select(2, base.memory())
    local p = autograd.parameter("t", tensor.zeros(100, 8, "bf16"), { sparse = true })
    assert.equal("Parameter t bf16 [100, 8], sparse", tostring(p))
    assert.equal(2 * 800, #p:value():to_string())
    assert.equal("f32", p:grad():dtype())
    assert.equal("f32", optim.adam({ p }):state()["t.mean"]:dtype())
    assert.is_truthy(before)
  end)

  it("is looked up, alone and in bags, as the f32 that it stands for", function()
    local value = normal(3, 9, 5):to "bf16"
    local function run(t)
      local p = autograd.parameter("t", t, { sparse = true })
      local tape <close> = autograd.tape { train = true }
      local w = tape:input("w", tensor.new { 1, 2, 3, 4 }, true)
      local c, offsets = tape:input("c", codes(1, 8, 1, 3)), tape:input("o", tensor.new({ 0, 3, 4 }, "i64"))
      local rows, bags = tape:parameter(p):embedding(c), tape:parameter(p):embedding_bag(c, offsets, w)
      tape:backward((rows * rows):sum() + (bags * bags):sum())
      return rows:value():tolist(), bags:value():tolist(), p:grad():tolist(), w:grad():tolist()
    end
    local narrow, wide = { run(value) }, { run(value:to "f32") }
    assert.same(wide, narrow)
  end)

  it("learns as f32 does", function()
    local threads = base.threads()
    local wide, narrow = trained "f32", trained "bf16"
    base.threads(threads)
    local function last(losses) return tensor.new(losses, "f64"):narrow(1, 151, 50):mean() end
    assert.is_true(last(wide) < 0.35 * wide[1])
    assert.is_true(math.abs(last(narrow) / last(wide) - 1) < 0.1, ("%g %g"):format(last(narrow), last(wide)))
  end)

  it("comes to the same bits on any number of threads, and to others with another seed", function()
    local threads = base.threads()
    local one, three, other = select(2, trained("bf16", 1, 1)), select(2, trained("bf16", 1, 3)),
      select(2, trained("bf16", 2, 1))
    base.threads(threads)
    assert.equal(one:to_string(), three:to_string())
    assert.are_not.equal(one:to_string(), other:to_string())
  end)

  it("moves by steps too small for rounding to the nearest", function()
    local p = autograd.parameter("t", tensor.full(1, 64, 64, "bf16"), { sparse = true })
    local opt, all = optim.sgd({ p }, { learning_rate = 1e-4 }), tensor.arange(64):to "i32"
    for _ = 1, 100 do -- each a 78th of the distance to the next bf16 below 1
      local tape <close> = autograd.tape { train = true }
      tape:backward(tape:parameter(p):embedding(tape:input("c", all)):sum())
      opt:step():zero_grad()
    end
    -- 4,096 values, each off by chance: 4 standard deviations of their mean are 4 sqrt(0.01 * 2^-8 / 4096) = 4e-4.
    assert.is_true(math.abs(p:value():mean() - 0.99) < 4e-4)
  end)

  it("is saved in a plan's weights and served from them", function()
    local ids = nn.embedding { name = "ids", rows = 5, width = 3, dtype = "bf16" }
    local tape <close> = autograd.tape()
    local plan = autograd.plan_from_json(tape:plan { user = ids:forward(tape:input("id", codes(1, 2))) }:json())
    local path = os.tmpname()
    assert(bundle.write_safetensors(path, { ids = ids:parameter("ids"):value() }))
    local weights = assert(bundle.read_safetensors(path))
    os.remove(path)
    assert.equal("bf16", weights.ids:dtype())
    local out = plan:run(weights, { id = codes(4, 0) }).user
    assert.same(ids:parameter("ids"):value():to("f32"):index_select(tensor.new({ 4, 0 }, "i64")):tolist(), out:tolist())
  end)

  it("is refused where it cannot be served, with what to do", function()
    assert.has_error(function() autograd.parameter("t", tensor.zeros(3, 2, "bf16")) end,
      "parameter 't' is bf16, not f32 or f64; bf16 is for sparse tables")
    assert.has_error(function() autograd.parameter("t", tensor.zeros(1, 4097, "bf16"), { sparse = true }) end,
      "parameter 't' is bf16 [1, 4097]: rows of 4096 at the most")
    assert.has_error(function() tensor.zeros(3, "bf16"):add_(tensor.zeros(3, "bf16")) end,
      "add: bf16 is for storing, not computed with; cast it to f32")
    assert.has_error(function() tensor.zeros(3, "bf16"):argsort() end, "argsort: bf16 is for storing; cast it to f32")
  end)
end)

describe("an optimiser of rows", function()
  -- What optim.h says, written out on a dense table: touched rows alone, once a step, with the sum of their gradients.
  local rules = {
    sgd = { options = { learning_rate = 0.1, momentum = 0.9, weight_decay = 0.01 },
      step = function(w, g, s) s.v = 0.9 * (s.v or 0) + g + 0.01 * w return w - 0.1 * s.v end },
    adagrad = { options = { learning_rate = 0.1, epsilon = 1e-10 },
      step = function(w, g, s) s.v = (s.v or 0) + g * g return w - 0.1 * g / (math.sqrt(s.v) + 1e-10) end },
    adam = { options = { learning_rate = 0.1 },
      step = function(w, g, s, t)
        s.m, s.v = 0.9 * (s.m or 0) + 0.1 * g, 0.999 * (s.v or 0) + 0.001 * g * g
        return w - 0.1 * (s.m / (1 - 0.9 ^ t)) / (math.sqrt(s.v / (1 - 0.999 ^ t)) + 1e-8)
      end },
  }

  it("equals its definition on repeated and missing rows, t counting all steps", function()
    local steps = { { 1, 3, 1, 1 }, { 2 }, { 1, 6, 6 }, { 3, 3, 2, 1 } }
    for kind, rule in pairs(rules) do
      local p = autograd.parameter("t", normal(5, ROWS, 2), { sparse = true })
      local opt, plain, states = optim[kind]({ p }, rule.options), p:value():tolist(), {}
      for t, list in ipairs(steps) do
        local weights = normal(10 + t, #list, 2)
        local tape <close> = autograd.tape { train = true }
        local rows = tape:parameter(p):embedding(tape:input("c", codes(table.unpack(list))))
        tape:backward((rows * tape:input(nil, weights)):sum())
        opt:step():zero_grad()
        local sums = {}
        for at, code in ipairs(list) do
          sums[code + 1] = sums[code + 1] or { 0, 0 }
          for k = 1, 2 do sums[code + 1][k] = sums[code + 1][k] + weights:get(at, k) end
        end
        for row, g in pairs(sums) do
          for k = 1, 2 do
            local key = row * 2 + k
            states[key] = states[key] or {}
            plain[row][k] = rule.step(plain[row][k], g[k], states[key], t)
          end
        end
        assert_near(tensor.new(plain, "f64"), p:value(), 1e-13)
      end
    end
  end)
end)

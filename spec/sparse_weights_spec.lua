--- Sparse matrices as weights: parameters of integers, autograd.csr_bag on tapes and in plans, recsys.towers.sparse.

local autograd = require "recsys.autograd"
local base = require "recsys.base"
local tensor = require "recsys.tensor"
local towers = require "recsys.towers"

--- A random matrix with about a third of its elements, some rows empty; and the same as a dense tensor.
local function matrix(rows, width, dtype, seed)
  local stream, starts, columns = base.stream(seed, "user", 1, 1), { 0 }, {}
  local chance = stream:uniforms(rows * width):tolist()
  for row = 1, rows do
    for column = 1, width do
      if row % 5 ~= 0 and chance[(row - 1) * width + column] < 1 / 3 then columns[#columns + 1] = column - 1 end
    end
    starts[row + 1] = #columns
  end
  local values = tensor.new(stream:normals(#columns, rows * width):tolist(), dtype)
  local m = tensor.csr(tensor.new(starts, "i64"), tensor.new(columns, "i32"), values, width)
  return m, m:dense()
end

--- Bags of 0 to 6 codes with weights.
local function bags(n, rows, dtype, seed)
  local stream, offsets, total = base.stream(seed, "user", 2, 2), { 0 }, 0
  local sizes = stream:integers(n, 7):tolist()
  for i = 1, n do
    total = total + sizes[i]
    offsets[i + 1] = total
  end
  return tensor.new(stream:integers(total, rows, 100):tolist(), "i32"), tensor.new(offsets, "i64"),
    tensor.new(stream:normals(total, 5000):tolist(), dtype)
end

local function parts_of(tape, m)
  local parts = m:tensors()
  return tape:input("starts", parts.starts), tape:input("columns", parts.columns), tape:input("values", parts.values)
end

describe("a bag over a sparse matrix", function()
  for _, dtype in ipairs { "f32", "f64" } do
    it("equals the same bag over the dense one, " .. dtype, function()
      for _, shape in ipairs { { 1, 1, 1 }, { 17, 3, 5 }, { 40, 130, 70 }, { 11, 70000, 3 } } do
        local rows, width, n = table.unpack(shape)
        local m, dense = matrix(rows, math.min(width, 400), dtype, width)
        local codes, offsets, weights = bags(n, rows, dtype, n)
        local tape <close> = autograd.tape()
        local s, c, v = parts_of(tape, m)
        local members, at = tape:input("codes", codes), tape:input("offsets", offsets)
        local each = tape:input("weights", weights)
        local full = tape:input("dense", dense)
        for _, weighted in ipairs { false, true } do
          local wanted = full:embedding_bag(members, at, weighted and each or nil, "sum"):value()
          local got = s:csr_bag(c, v, math.min(width, 400), members, at, weighted and each or nil):value()
          assert.same(wanted:size(), got:size())
          local worst = n > 0 and (wanted:to "f64" - got:to "f64"):abs():max() or 0
          assert.is_true(worst <= (dtype == "f32" and 2e-6 or 1e-14), ("off by %g"):format(worst))
        end
      end
    end)
  end

  it("gives a row the same bits alone, in a batch, in a plan and on any number of threads", function()
    local m = matrix(60, 300, "f32", 4)
    local codes, offsets = bags(90, 60, "f32", 8)
    local parts = m:tensors()
    local p = {}
    for name, value in pairs(parts) do p[name] = autograd.parameter(name, value, { trainable = false }) end
    local tape <close> = autograd.tape()
    local y = autograd.csr_bag(tape:parameter(p.starts), tape:parameter(p.columns), tape:parameter(p.values), 300,
      tape:input("codes", codes), tape:input("offsets", offsets))
    local plan = assert(autograd.plan_from_json(tape:plan({ y = y }):json()))
    local before = base.threads()
    for threads = 1, 3 do
      base.threads(threads)
      local whole = plan:run(parts, { codes = codes, offsets = offsets }).y
      assert.is_true(whole:to_string() == y:value():to_string())
      local from, to = offsets:get(8), offsets:get(9)
      assert(from < to)
      local alone = plan:run(parts, { codes = codes:narrow(1, from + 1, to - from),
        offsets = tensor.new({ 0, to - from }, "i64") }).y
      assert.is_true(alone:to_string() == whole:narrow(1, 8, 1):to_string())
    end
    base.threads(before)
  end)

  it("leaves spare entries alone", function()
    local tape <close> = autograd.tape()
    local s = tape:input("s", tensor.new({ 0, 1, 2 }, "i64"))
    local c, v = tape:input("c", tensor.new({ 1, 0, 99 }, "i32")), tape:input("v", tensor.new { 2, 3, 1e30 })
    local y = s:csr_bag(c, v, 2, tape:input("codes", tensor.new({ 0, 1 }, "i32")),
      tape:input("offsets", tensor.new({ 0, 2 }, "i64")))
    assert.same({ { 3, 2 } }, y:value():tolist())
  end)

  it("refuses what does not fit, on a tape and in a plan", function()
    local good = { starts = tensor.new({ 0, 1, 3 }, "i64"), columns = tensor.new({ 1, 0, 1 }, "i32"),
      values = tensor.new { 2, 3, 4 }, codes = tensor.new({ 1 }, "i32"), offsets = tensor.new({ 0, 1 }, "i64") }
    local function run(t)
      local tape <close> = autograd.tape()
      local function input(name) return tape:input(name, t[name]) end
      return input "starts":csr_bag(input "columns", input "values", 2, input "codes", input "offsets",
        t.weights and input "weights")
    end
    local recorded
    do
      local tape <close> = autograd.tape()
      local function input(name) return tape:input(name, good[name]) end
      recorded = tape:plan { y = input "starts":csr_bag(input "columns", input "values", 2, input "codes",
        input "offsets") }
    end
    local function refused(message, change)
      local t = setmetatable(change, { __index = good })
      assert.has_error(function() run(t) end, message)
      if t.weights or t.values:dtype() ~= "f32" or t.columns:dtype() ~= "i32" then return end
      local inputs = {}
      for name, value in pairs(good) do inputs[name] = t[name] or value end
      assert.has_error(function() recorded:run({}, inputs) end, message)
    end
    assert.has_no.errors(function() run(good) end)
    refused("csr_bag: row 1 runs from 3 to 1 of 3 entries", { starts = tensor.new({ 0, 3, 1 }, "i64") })
    refused("csr_bag: row 1 runs from 1 to 4 of 3 entries", { starts = tensor.new({ 0, 1, 4 }, "i64") })
    refused("csr_bag: row 1 runs from -1 to 3 of 3 entries", { starts = tensor.new({ 0, -1, 3 }, "i64") })
    refused("csr_bag: row 1 has column 2 of a matrix of 2", { columns = tensor.new({ 1, 0, 2 }, "i32") })
    refused("csr_bag: row 1 has column -1 of a matrix of 2", { columns = tensor.new({ 1, 0, -1 }, "i32") })
    refused("csr_bag: code 2 is outside the matrix input 'starts', which has 2 rows",
      { codes = tensor.new({ 2 }, "i32") })
    refused("csr_bag: input 'offsets' must ascend from 0 to the number of codes, 1",
      { offsets = tensor.new({ 0, 2 }, "i64") })
    refused("csr_bag: starts are [3], columns [3], values [2]; not [rows + 1], [entries], [entries]",
      { values = tensor.new { 2, 3 } })
    refused("csr_bag: starts are i64, columns i64, values f32; not i64, i32 and f32 or f64",
      { columns = tensor.new({ 1, 0, 1 }, "i64") })
    refused("csr_bag: the values are f32 and the weights f64", { weights = tensor.new({ 1 }, "f64") })
  end)

  it("refuses to be trained", function()
    local tape <close> = autograd.tape { train = true }
    local values = tape:parameter(autograd.parameter("m.values", tensor.new { 1 }))
    local s, c = tape:input("s", tensor.new({ 0, 1 }, "i64")), tape:input("c", tensor.new({ 0 }, "i32"))
    local codes, offsets = tape:input("codes", tensor.new({ 0 }, "i32")), tape:input("o", tensor.new({ 0, 1 }, "i64"))
    assert.has_error(function() s:csr_bag(c, values, 1, codes, offsets) end, "csr_bag: parameter 'm.values' wants a "
      .. "gradient, and there is none of a sparse matrix: make it a parameter that is not trainable")
  end)
end)

describe("a product with a sparse matrix", function()
  it("equals that with the dense one", function()
    for _, dtype in ipairs { "f32", "f64" } do
      local m, dense = matrix(40, 70, dtype, 2)
      local x = tensor.new(base.stream(5, "user", 1, 1):normals(33 * 40):tolist(), dtype):reshape(33, 40)
      for i = 1, 33 * 40, 3 do x:set((i - 1) // 40 + 1, (i - 1) % 40 + 1, 0) end
      local tape <close> = autograd.tape()
      local s, c, v = parts_of(tape, m)
      local y = tape:input("x", x):csr_product(s, c, v, 70):value()
      assert.is_true((y:to "f64" - x:to "f64":matmul(dense:to "f64")):abs():max() < (dtype == "f32" and 1e-5 or 1e-13))
    end
  end)

  it("is refused where they do not fit", function()
    local tape <close> = autograd.tape()
    local s = tape:input("s", tensor.new({ 0, 1, 2 }, "i64"))
    local c, v = tape:input("c", tensor.new({ 1, 5 }, "i32")), tape:input("v", tensor.new { 2, 3 })
    assert.has_error(function() tape:input("x", tensor.zeros(2, 3)):csr_product(s, c, v, 2) end,
      "csr_product: x is [2, 3] and the matrix input 's' has 2 rows")
    assert.has_error(function() tape:input("x", tensor.new { { 0, 1 } }):csr_product(s, c, v, 2) end,
      "csr_product: row 1 has column 5 of a matrix of 2")
    assert.same({ { 0, 2 } }, tape:input("y", tensor.new { { 1, 0 } }):csr_product(s, c, v, 2):value():tolist())
  end)
end)

describe("the largest of each row", function()
  it("stay, the first of equal ones, and only what is above 0", function()
    local tape <close> = autograd.tape()
    local x = tape:input("x", tensor.new { { 3, 1, 3, 2, 3 }, { -1, 0, 5, -2, 0 }, { 1, 1, 1, 1, 1 } })
    assert.same({ { 3, 0, 3, 0, 0 }, { 0, 0, 5, 0, 0 }, { 1, 1, 0, 0, 0 } }, x:keep_largest(2):value():tolist())
    assert.same({ { 3, 1, 3, 2, 3 }, { 0, 0, 5, 0, 0 }, { 1, 1, 1, 1, 1 } }, x:keep_largest(7):value():tolist())
  end)

  it("are those that sorting finds, on any number of threads", function()
    local n, d, k = 40, 3000, 37
    local x = tensor.new(base.stream(6, "user", 1, 1):normals(n * d):tolist(), "f32"):reshape(n, d)
    local before = base.threads()
    for threads = 1, 2 do
      base.threads(threads)
      local tape <close> = autograd.tape()
      local kept = tape:input("x", x):keep_largest(k):value()
      for row = 1, n do
        local sorted = x:select(1, row):sort(true)
        local wanted = x:select(1, row):ge(sorted:get(k)):to "f32" * x:select(1, row)
        assert.equal(0, (wanted - kept:select(1, row)):abs():max())
      end
    end
    base.threads(before)
  end)

  it("are refused of what is not a number, or wants a gradient", function()
    local tape <close> = autograd.tape { train = true }
    assert.has_error(function() tape:input("x", tensor.new { { 0 / 0 } }):keep_largest(1) end,
      "keep_largest: x holds a NaN")
    assert.has_error(function() tape:input("x", tensor.new { { 1 } }, true):keep_largest(1) end,
      "keep_largest: input 'x' wants a gradient, and there is none")
  end)
end)

describe("a sparse matrix of parameters", function()
  it("keeps what it is given, with room behind it", function()
    local m, dense = matrix(12, 9, "f32", 3)
    local kept = towers.sparse("m", 12, 9, 12 * 9)
    assert.same({ "m.columns", "m.starts", "m.values" }, (function()
      local names = {}
      for i, parameter in ipairs(towers.parameters(kept)) do names[i] = parameter:name() end
      return names
    end)())
    kept:set(m)
    assert.same(dense:tolist(), kept:csr():dense():tolist())
    kept:set(matrix(12, 9, "f64", 5))
    local _, other = matrix(12, 9, "f64", 5)
    assert.is_true((kept:csr():dense():to "f64" - other):abs():max() < 1e-6)
    local tape <close> = autograd.tape()
    local y = kept:bag(tape, tape:input("c", tensor.new({ 1, 3 }, "i32")), tape:input("o", tensor.new({ 0, 2 }, "i64")))
    assert.is_true((y:value():to "f64" - other:index_select(tensor.new({ 1, 3 }, "i64")):sum(1)):abs():max() < 1e-6)
  end)

  it("refuses a matrix of another size, or with too much in it", function()
    local kept = towers.sparse("m", 12, 9, 3)
    assert.has_error(function() kept:set((matrix(11, 9, "f32", 1))) end,
      "bad argument #1 to 'set' (m is [12, 9], the matrix [11, 9])")
    local m = matrix(12, 9, "f32", 1)
    assert.has_error(function() kept:set(m) end,
      ("bad argument #1 to 'set' (m has room for 3 entries, the matrix has %d)"):format(#m:tensors().columns))
    assert.equal(0, #kept:csr():tensors().columns)
  end)
end)

--- Row-sparse gradients: what tables get through lookups, equal to what the same arithmetic gives on whole matrices.

local autograd = require "recsys.autograd"
local base = require "recsys.base"
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

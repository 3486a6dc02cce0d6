--- Sparse matrices and their singular values from Lua; bits and threads are in runtime/tensor/csr_test.c and
--- svd_test.c.

local tensor = require "recsys.tensor"

local function example()
  return tensor.csr(tensor.new({ 0, 2, 2, 3 }, "i64"), tensor.new({ 0, 2, 1 }, "i32"), tensor.new { 3, 4, 2 }, 3)
end

describe("tensor.csr", function()
  it("is the dense matrix that its entries make", function()
    local m = example()
    assert.same({ { 3, 0, 4 }, { 0, 0, 0 }, { 0, 2, 0 } }, m:dense():tolist())
    assert.same({ { 3, 0, 0 }, { 0, 0, 2 }, { 4, 0, 0 } }, m:transpose():dense():tolist())
    assert.equal("Csr f64 [3, 3], 3 entries", tostring(m:to "f64"))
    assert.same({ 3, 3 }, { m:size() })
    assert.equal("Csr f32 [3, 3], 3 entries", tostring(m))
  end)

  it("multiplies dense matrices, from the transposed side too", function()
    local b = tensor.new { { 1, 1 }, { 2, 0 }, { 3, -1 } }
    assert.same({ { 15, -1 }, { 0, 0 }, { 4, 0 } }, example():matmul(b):tolist())
    assert.same({ { 3, 3 }, { 6, -2 }, { 4, 4 } }, example():matmul_transposed(b):tolist())
  end)

  it("refuses what makes no matrix, and products that do not fit", function()
    local starts, values = tensor.new({ 0, 1 }, "i64"), tensor.new { 1 }
    assert.has_error(function() tensor.csr(starts, tensor.new({ 3 }, "i32"), values, 3) end,
      "csr: column 3 of a matrix of 3")
    assert.has_error(function() tensor.csr(starts, tensor.new({ 0 }, "i64"), values, 3) end,
      "csr: starts are i64, columns i64, values f32; not i64, i32 and f32 or f64")
    assert.has_error(function() example():matmul(tensor.zeros(2, 2)) end, "csr: [3, 3] times [2, 2]")
    local closed = example()
    closed:close()
    assert.has_error(function() closed:dense() end, "calling 'dense' on bad self (matrix is closed)")
  end)
end)

describe("Csr:svd", function()
  it("gives the largest singular values, and vectors whose extreme entry is positive", function()
    local values, vectors = example():svd(2)
    assert.near(5, values:get(1), 1e-6)
    assert.near(2, values:get(2), 1e-6)
    local expected = { { 0.6, 0 }, { 0, 1 }, { 0.8, 0 } }
    for i = 1, 3 do
      for j = 1, 2 do assert.near(expected[i][j], vectors:get(i, j), 1e-6) end
    end
  end)

  it("says what is wrong with a request", function()
    assert.has_error(function() example():svd(4) end,
      "svd: 4 of the singular values of a [3, 3] matrix; at most 4096 directions")
    assert.has_error(function() example():svd(1, { power = 2 }) end,
      "bad argument #2 to 'svd' (there is no option 'power')")
    assert.has_error(function() example():svd(1, { iterations = -2 }) end,
      "bad argument #2 to 'svd' (option 'iterations' must be an integer of 0 or more)")
  end)
end)

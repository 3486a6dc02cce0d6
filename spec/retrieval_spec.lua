--- Exact top-K from Lua; its bits and threads are in runtime/retrieval/topk_test.c.

local retrieval = require "recsys.retrieval"
local tensor = require "recsys.tensor"

local items = tensor.new { { 1, 3 }, { 2, 2 }, { 3, 1 }, { 2, 2 } }

describe("retrieval.topk", function()
  it("gives the best rows, equal scores in order of rows", function()
    local rows, scores = retrieval.topk { users = tensor.new { { 1, 0 }, { 0, 1 }, { 0, 0 } }, items = items, k = 3 }
    assert.same({ { 2, 1, 3 }, { 0, 1, 3 }, { 0, 1, 2 } }, rows:tolist())
    assert.same({ { 3, 2, 2 }, { 3, 2, 2 }, { 0, 0, 0 } }, scores:tolist())
  end)

  it("leaves excluded items and those outside the window out, and fills up with -1", function()
    local rows, scores = retrieval.topk { users = tensor.new { { 1, 0 }, { 1, 0 } }, items = items, k = 3,
      excluded = { starts = tensor.new({ 0, 2 }, "i64"), lengths = tensor.new({ 2, 0 }, "i32"),
        values = tensor.new({ 2, 0 }, "i32") },
      item_time = tensor.new({ 10, 20, 30, 40 }, "i64"), from = tensor.new({ 0, 20 }, "i64"),
      to = tensor.new({ 99, 40 }, "i64") }
    assert.same({ { 1, 3, -1 }, { 2, 1, -1 } }, rows:tolist())
    assert.equal(-math.huge, scores:get(1, 3))
  end)

  it("gives at most as many items as there are", function()
    local rows = retrieval.topk { users = tensor.new { { 1, 0 } }, items = items }
    assert.same({ { 2, 1, 3, 0, -1, -1, -1, -1, -1, -1 } }, rows:tolist())
  end)

  it("says what is wrong with a request", function()
    local users = tensor.new { { 1, 0 } }
    assert.has_error(function() retrieval.topk { users = users } end, "'items' is missing")
    assert.has_error(function() retrieval.topk { users = users, items = items, exclude = {} } end,
      "bad argument #1 to 'topk' (there is no option 'exclude')")
    assert.has_error(function() retrieval.topk { users = users, items = items, k = 0 } end,
      "top-k: k is 0; 1 or more items can be asked for")
    assert.has_error(function() retrieval.topk { users = tensor.zeros(1, 3), items = items } end,
      "'users' has 3 dimensions and 'items' 2")
    assert.has_error(function() retrieval.topk { users = users, items = items, k = "ten" } end,
      "'k' must be an integer, not ten")
    assert.has_error(function() retrieval.topk { users = tensor.new { { 0 / 0, 1 } }, items = items } end,
      "top-k: the score of item row 0 for query 0 is not a finite number")
  end)
end)

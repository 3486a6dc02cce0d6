--- Exact top-K from Lua; its bits and threads are in runtime/retrieval/topk_test.c.

local base = require "recsys.base"
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

describe("an exact index", function()
  local function catalogue(n, width)
    return base.stream(8, "user", 0, n):normals(n * width):to("f32"):reshape(n, width)
  end

  it("answers as topk does, to the bit, with filters, exclusions and windows", function()
    local n, k = 2000, 25
    local vectors, users = catalogue(n, 24), catalogue(30, 24)
    local allowed, barred = tensor.zeros(n, "u8"), { starts = {}, lengths = {}, values = {} }
    for i = 1, n do allowed:set(i, i % 3 == 0 and 1 or 0) end
    local seen = { starts = {}, lengths = {}, values = {} }
    for u = 1, 30 do
      barred.starts[u], seen.starts[u] = #barred.values, #seen.values
      for i = 1, n do
        local is_seen = (i * 7 + u) % 50 == 0
        if is_seen then seen.values[#seen.values + 1] = i - 1 end
        if is_seen or i % 3 ~= 0 then barred.values[#barred.values + 1] = i - 1 end
      end
      barred.lengths[u] = #barred.values - barred.starts[u]
      seen.lengths[u] = #seen.values - seen.starts[u]
    end
    local function lists(of)
      return { starts = tensor.new(of.starts, "i64"), lengths = tensor.new(of.lengths, "i32"),
        values = tensor.new(of.values, "i32") }
    end
    local times = base.stream(8, "user", 1, 0):integers(n, 100)
    local from, to = tensor.zeros(30, "i64"), tensor.full(60, 30, "i64")
    local rows, scores = retrieval.topk { users = users, items = vectors, k = k, excluded = lists(barred),
      item_time = times, from = from, to = to }
    local index = retrieval.exact(vectors)
    local found, found_scores, stats = index:search { users = users, k = k, allow = allowed, excluded = lists(seen),
      item_time = times, from = from, to = to }
    assert.same(rows:tolist(), found:tolist())
    assert.same(scores:tolist(), found_scores:tolist())
    assert.is_true(stats.scored < stats.looked)
    found = index:search { users = users, k = k, allow = retrieval.bitmap(allowed), excluded = lists(seen),
      item_time = times, from = from, to = to }
    assert.same(rows:tolist(), found:tolist())
  end)

  it("can be made again from its codes, and tells which do not fit", function()
    local vectors, users = catalogue(700, 8), catalogue(3, 8)
    local codes = retrieval.exact(vectors):codes()
    local again = retrieval.exact(vectors, codes)
    local rows = again:search { users = users, k = 5 }
    assert.same(retrieval.exact(vectors, false):search({ users = users, k = 5 }):tolist(), rows:tolist())
    assert.is_nil(retrieval.exact(vectors, false):codes())
    assert.has_error(function() retrieval.exact(catalogue(700, 9), codes) end,
      "codes are u8 [11, 2, 64, 4], [11, 64] and [11, 2, 64], which do not fit 700 items of 9 dimensions")
  end)

  it("says what is wrong with a search", function()
    local index = retrieval.exact(items)
    local users = tensor.new { { 1, 0 } }
    assert.has_error(function() index:search { users = tensor.zeros(1, 3) } end,
      "'users' has 3 dimensions and the index 2")
    assert.has_error(function() index:search { users = users, k = 0 } end,
      "top-k: k is 0; 1 or more items can be asked for")
    assert.has_error(function() index:search { users = users, allow = tensor.zeros(3, "u8") } end,
      "'allow' has 3 elements, not 4")
    assert.has_error(function() index:search { users = users, item_time = tensor.zeros(4, "i64") } end,
      "'item_time', 'from' and 'to' go together")
    index:close()
    assert.has_error(function() index:items() end, "calling 'items' on bad self (index is closed)")
  end)
end)

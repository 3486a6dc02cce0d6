--- Windows over groups, and sessions: against worked examples and against plain loops on many rows.

local base = require "recsys.base"
local column = require "spec.support.column"
local frame = require "recsys.frame"
local tensor = require "recsys.tensor"

local function sample()
  return frame.from {
    { "k", "string", { "a", "b", "a", "a", false, "a" } },
    { "t", "time", { 30, 10, 10, 20, 5, 20 } },
    { "x", "number", { 1, 2, 4, false, 3, 3 } },
    { "l", "list", { { "p" }, {}, { "q" }, { "r", "p" }, {}, {} } },
  }
end

describe("a window", function()
  it("ranks within groups, rows in the order given", function()
    local f = sample():window("k", "t", { { "n", "row_number" }, { "rank", "rank" }, { "dense", "dense_rank" },
      { "all", "count" } })
    assert.same(column(sample(), "t"), column(f, "t"), "rows stay where they are")
    assert.same({ 4, 1, 1, 2, 1, 3 }, column(f, "n"))
    assert.same({ 4, 1, 1, 2, 1, 2 }, column(f, "rank"))
    assert.same({ 3, 1, 1, 2, 1, 2 }, column(f, "dense"))
    assert.same({ 4, 1, 4, 4, 1, 4 }, column(f, "all"))
    assert.same({ 1, 1, 2, 3, 1, 4 }, column(sample():window("k", nil, { { "n", "row_number" } }), "n"), "row order")
    -- x: 1, 2, 4, missing, 3, 3; missing comes last in either direction
    assert.same({ 1, 2, 5, 6, 3, 4 }, column(sample():window(nil, "x", { { "n", "row_number" } }), "n"))
    assert.same({ 5, 4, 1, 6, 2, 3 }, column(sample():window({}, { "-x", "t" }, { { "n", "row_number" } }), "n"))
  end)

  it("adds up, counts and compares so far", function()
    local f = sample():window("k", "t", { { "sum", "cum_sum", "x" }, { "n", "cum_count" },
      { "present", "cum_count", "x" },
      { "low", "cum_min", "x" }, { "high", "cum_max", "x" }, { "share", "share", "x" } })
    assert.same({ 8, 2, 4, false, 3, 7 }, column(f, "sum"))
    assert.same({ 4, 1, 1, 2, 1, 3 }, column(f, "n"))
    assert.same({ 3, 1, 1, 1, 1, 2 }, column(f, "present"))
    assert.same({ 1, 2, 4, false, 3, 3 }, column(f, "low"))
    assert.same({ 4, 2, 4, false, 3, 4 }, column(f, "high"))
    assert.same({ 0.125, 1, 0.5, false, 1, 0.375 }, column(f, "share"))
  end)

  it("looks back and ahead, at any type", function()
    local f = sample():window("k", "t", { { "before", "lag", "x" }, { "next", "lead", "t" }, { "two", "lag", "l", 2 },
      { "self", "lag", "k", 0 } })
    assert.same({ 3, false, false, 4, false, false }, column(f, "before"))
    assert.same({ false, false, 20, 20, false, 30 }, column(f, "next"))
    assert.same({ { "r", "p" }, {}, {}, {}, {}, { "q" } }, column(f, "two"))
    assert.same(column(sample(), "k"), column(f, "self"))
  end)

  it("splits sessions by gaps", function()
    local f = frame.from { { "u", "string", { "a", "b", "a", "a", "a", "b", "a" } },
      { "t", "time", { 100, 0, 5, 161, 65, 61, false } } }
    assert.same({ 1, 1, 1, 2, 1, 2, false }, column(f:sessions("u", "t", 60), "session"))
    assert.same({ 1, 1, 1, 1, 1, 1, false }, column(f:sessions("u", "t", "0.061s", "s"), "s"), "not more than the gap")
    assert.has_error(function() f:sessions("u", "t", "soon") end)
    assert.has_error(function() f:sessions("u", "u", "30m") end)
  end)

  it("says what it cannot do", function()
    local function refuses(windows, message, order)
      local ok, problem = pcall(function() return sample():window("k", order, windows) end)
      assert.is_false(ok)
      assert.truthy(problem:find(message, 1, true), problem)
    end
    refuses({ { "r", "rank" } }, "window 'r' needs columns to order by")
    refuses({ { "s", "cum_sum" } }, "window 's' needs a column")
    refuses({ { "s", "cum_sum", "k" } }, "window 's' is not for the string column 'k'")
    refuses({ { "s", "share", "t" } }, "window 's' is not for the time column 't'")
    refuses({ { "n", "row_number", "x" } }, "window 'n' takes no column")
    refuses({ { "n", "percent" } }, "'percent' is no window: row_number")
    refuses({ { "n", "lag", "x", -1 } }, "looks back or ahead by 0 or more")
    refuses({ { "n", "lag", "nope" } }, "no column 'nope'")
    refuses({ { "x", "count" } }, "already a column 'x'")
    refuses({ { "n", "row_number" } }, "no column 'nope'", "nope")
  end)

  it("gives on many rows what plain loops give", function()
    local n = 70000
    local keys, times = base.stream(1, "user", 0, 1):integers(n, 5000), base.stream(1, "user", 0, 2):integers(n, 1000)
    local f = frame.from { { "k", "number", keys }, { "t", "time", times }, { "row", "number", tensor.arange(n) } }
      :window("k", "t", { { "n", "row_number" }, { "rank", "rank" }, { "before", "lag", "row" }, { "s", "session", "t",
        50 } })
    for k = 0, 4999, 97 do
      local list = f:where("k", "==", k):tolist()
      for place, row in ipairs(list) do list[place] = row + 1 end
      table.sort(list, function(a, b)
        if times:get(a) ~= times:get(b) then return times:get(a) < times:get(b) end
        return a < b
      end)
      local rank, session = 1, 1
      for place, i in ipairs(list) do
        local gap = place > 1 and times:get(i) - times:get(list[place - 1]) or 0
        if gap > 0 then rank = place end
        if gap > 50 then session = session + 1 end
        assert.same({ place, rank, place > 1 and list[place - 1] - 1 or nil, session },
          { f:value("n", i), f:value("rank", i), f:value("before", i), f:value("s", i) })
      end
    end
  end)

  it("takes frames without rows", function()
    local f = sample():filter(tensor.zeros(0, "i64")):window(nil, "t", { { "n", "row_number" }, { "b", "lag", "x" } })
    assert.same({ 0, { "k", "t", "x", "l", "n", "b" } }, { f:rows(), f:names() })
  end)
end)

describe("shaping", function()
  it("gives the same on any number of threads", function()
    local n = 140000 -- more than two chunks
    local function draw(step, below) return base.stream(2, "user", 0, step):integers(n, below) end
    local f = frame.from { { "u", "number", draw(1, 9000) }, { "i", "number", draw(2, 70000) },
      { "t", "time", draw(3, 1 << 40) }, { "x", "number", base.stream(2, "user", 0, 4):normals(n) } }
    local other = f:select({ "u", "t", "x" }):rename({ x = "y" }):filter(draw(5, n):narrow(1, 1, 5000))
    local function shaped()
      local list = {}
      local function note(made)
        for _, name in ipairs(made:names()) do list[#list + 1] = made:column(name) end
      end
      note(f:group_by({ "u", "i" }, { { "sum", "sum", "x" }, { "std", "std", "x" }, { "q", "quantile", "x", 0.3 },
        { "best", "arg_max", "t", "x" } }))
      note((f:sort("x", "-t")))
      note(f:distinct("u", { best = "-x" }))
      note(f:join(other:rename { t = "at" }, "u"))
      note(f:asof(other, { on = "t", by = "u", strict = true }))
      note(f:window("u", "t", { { "c", "cum_sum", "x" }, { "l", "lag", "i" } }))
      note(f:filter((frame.col "x" * 2):gt(0.5)))
      note(frame.k_core(f, "u", "i", 2))
      return list
    end
    local threads = base.threads()
    base.threads(1)
    local one = shaped()
    base.threads(3)
    local three = shaped()
    base.threads(threads)
    assert.equal(#one, #three)
    for k = 1, #one do
      local a = frame.from { { "a", one[k]:dtype() == "i64" and "time" or "number", one[k] } }
      local b = frame.from { { "b", three[k]:dtype() == "i64" and "time" or "number", three[k] } }
      assert.equal(a:rows(), b:rows())
      local both = a:with("b", b, "b")
      local equal = both:where(frame.col "a":eq(frame.col "b")
        | frame.col "a":is_missing() & frame.col "b":is_missing())
      assert.equal(a:rows(), #equal)
    end
  end)
end)

--- Expressions over frames: values, missing values, types, texts, times, refusals.

local column = require "spec.support.column"
local frame = require "recsys.frame"
local tensor = require "recsys.tensor"

local col, lit = frame.col, frame.lit
local inf = math.huge

local function sample()
  return frame.from {
    { "a", "number", { 4, -2.5, false, 0 } },
    { "b", "number", { 2, 4, 1, false } },
    { "s", "string", { "Ab", "straße", false, "" } },
    { "u", "string", { "Ab", "x", "y", "" } },
    { "t", "time", { 0, frame.parse_time "2024-02-29T23:59:58.750Z", false, frame.parse_time "1969-12-31T22:00:00Z" } },
    { "l", "list", { { "x", "y" }, {}, false, { "y" } } },
  }
end

--- The values of an expression over the sample.
local function values(e) return column(sample():derive { made = e }, "made") end

local function refuses(e, message)
  local ok, problem = pcall(values, e)
  assert.is_false(ok)
  assert.truthy(problem:find(message, 1, true), problem)
end

describe("an expression", function()
  it("calculates, missing in and missing out", function()
    local a, b = col "a", col "b"
    assert.same({ 6, 1.5, false, false }, values(a + b))
    assert.same({ 2, -6.5, false, false }, values(a - b))
    assert.same({ 9, -4, false, 1 }, values(a * 2 + 1))
    assert.same({ 2, -0.625, false, false }, values(a / b))
    assert.same({ 1, -1, false, 0 }, values(a // 3))
    assert.same({ 1, 0.5, false, 0 }, values(a % 3))
    assert.same({ 16, 6.25, false, 0 }, values(a ^ 2))
    assert.same({ 1, 1, false, 1 }, values(a ^ 0))
    assert.same({ -4, 2.5, false, 0 }, values(-a))
    assert.same({ 0.25, -0.4, false, inf }, values(1 / a))
    assert.same({ 4, 2.5, false, 0 }, values(a:abs()))
    assert.same({ math.log(4), false, false, -inf }, values(a:log()))
    assert.same({ 2, false, false, 0 }, values(a:sqrt()))
    assert.same({ 4, -3, false, 0 }, values(a:floor()))
    assert.same({ 4, -2, false, 0 }, values(a:ceil()))
    assert.same({ 1, -1, false, 0 }, values(a:sign()))
    assert.same({ 3, -1, false, 0 }, values(a:clip(-1, 3)))
    assert.same({ 3, -2.5, false, 0 }, values(a:clip(nil, 3)))
    assert.same({ 2, -2.5, false, false }, values(frame.least(a, b)))
    assert.same({ 4, 4, false, false }, values(frame.greatest(a, b)))
    assert.same({ 7, 7, 7, 7 }, values(lit(3) + 4))
    assert.same({ math.exp(4), math.exp(-2.5), false, 1 }, values(a:exp()))
    assert.same({ 2, 2, 2, 2 }, values(2))
  end)

  it("compares and combines with three truths", function()
    local a, b = col "a", col "b"
    assert.same({ 0, 1, false, false }, values(a:lt(b)))
    assert.same({ 1, 0, false, 1 }, values(a:ge(0)))
    assert.same({ 1, 0, false, 0 }, values(a:eq(4)))
    assert.same({ 0, 1, false, 1 }, values(a:ne(4)))
    assert.same({ 1, 0, false, 0 }, values(a:gt(0) & b:gt(0)))
    assert.same({ 1, 0, false, 0 }, values((a + 1) & lit(0) | a:eq(4) & b:present()))
    assert.same({ 0, 0, 0, 0 }, values(a & 0), "0 and missing is 0")
    assert.same({ 1, 1, 1, 1 }, values(a | 1), "1 or missing is 1")
    assert.same({ 0, 1, false, 1 }, values(~a:gt(0)))
    assert.same({ 1, 0, false, 1 }, values(a:is_in { 0, 4 }))
    assert.same({ 0, 0, 1, 0 }, values(a:is_missing()))
    assert.same({ 1, 1, 0, 1 }, values(col("s"):present()))
    assert.same({ 0, 1, 1, 0 }, values(col("l"):is_missing()))
    assert.same({ 4, -2.5, -1, 0 }, values(a:fill_missing(-1)))
    assert.same({ 4, -2.5, 1, 0 }, values(a:fill_missing(b)))
    assert.same({ 2, -2.5, false, 0 }, values(frame.if_else(a:gt(0), b, a)))
    assert.same({ 1, false, false, false }, values(frame.if_else(a:gt(0), 1, frame.missing "number")))
  end)

  it("works on texts through their dictionary", function()
    local s, u = col "s", col "u"
    assert.same({ 1, 0, false, 1 }, values(s:eq(u)))
    assert.same({ 0, 1, false, 0 }, values(s:ne(u)))
    assert.same({ 1, 0, false, 0 }, values(s:eq "Ab"))
    assert.same({ 1, 0, false, 0 }, values(s:is_in { "Ab", "zz" }))
    assert.same({ "ab", "straße", false, "" }, values(s:lower()))
    assert.same({ "AB", "STRAẞE", false, "" }, values(s:upper()))
    assert.same({ 2, 6, false, 0 }, values(s:length()))
    assert.same({ 0, 1, false, 0 }, values(s:contains "aß"))
    assert.same({ 1, 1, false, 1 }, values(s:contains ""))
    assert.same({ 0, 1, false, 0 }, values(s:starts_with "str"))
    assert.same({ 1, 0, false, 0 }, values(s:ends_with "b"))
    assert.same({ "Ab-Ab", "straße-x", false, "-" }, values(s .. "-" .. u))
    assert.same({ "Ab", "straße", "y", "" }, values(s:fill_missing(u)))
    assert.same({ "Ab", "straße", "none", "" }, values(s:fill_missing "none"))
    assert.same({ "Ab", "low", false, "low" }, values(frame.if_else(col("a"):gt(0), s, "low")))
    assert.same({ "A", "s", false, false },
      values(s:map_texts(function(text) return text ~= "" and text:sub(1, 1) or nil end)))
    assert.same({ 2, 7, false, 0 }, values(s:map_texts(function(text) return #text end, "number")))
    assert.same({ 2, 0, 0, 1 }, values(col("l"):length()))
    assert.same({ 1, 0, 0, 1 }, values(col("l"):contains "y"))
    assert.same({ 0, 0, 0, 0 }, values(col("l"):contains "q"))
  end)

  it("runs a function of texts once for each distinct one", function()
    local calls, many = 0, {}
    for i = 1, 1000 do many[i] = "t" .. i % 7 end
    local f = frame.from({ { "s", "string", many } }):derive { n = col("s"):map_texts(function(text)
      calls = calls + 1
      return tonumber(text:sub(2))
    end, "number") }
    assert.equal(7, calls)
    for i = 1, 1000 do assert.equal(i % 7, f:value("n", i)) end
  end)

  it("works on times in UTC", function()
    local t = col "t"
    assert.same({ 1970, 2024, false, 1969 }, values(t:year()))
    assert.same({ 1, 2, false, 12 }, values(t:month()))
    assert.same({ 1, 29, false, 31 }, values(t:day()))
    assert.same({ 1, 60, false, 365 }, values(t:day_of_year()))
    assert.same({ 4, 4, false, 3 }, values(t:weekday())) -- Thursday, Thursday, Wednesday
    assert.same({ 0, 23, false, 22 }, values(t:hour()))
    assert.same({ 0, 59, false, 0 }, values(t:minute()))
    assert.same({ 0, 58, false, 0 }, values(t:second()))
    assert.same({ 0, 750, false, 0 }, values(t:millisecond()))
  end)

  it("moves, cuts and compares times", function()
    local t = col "t"
    local function texts(e) return values(e:as_string()) end
    assert.same({ 0, false, -2 }, (function(v) return { v[1], v[3], v[4] } end)(values(t:since("1970-01-01", "h"))))
    assert.same({ "1970-01-01T01:00:00.000Z", "2024-03-01T00:59:58.750Z", false, "1969-12-31T23:00:00.000Z" },
      texts(t + 3600000))
    assert.same({ 0, 0, false, 0 }, values((t + 5) - (5 + t)))
    assert.same({ "1970-01-01T00:00:00.000Z", "2024-02-29T00:00:00.000Z", false, "1969-12-31T00:00:00.000Z" },
      texts(t:truncate "1d"))
    assert.same({ "1969-12-29T00:00:00.000Z", "2024-02-26T00:00:00.000Z", false, "1969-12-29T00:00:00.000Z" },
      texts(t:truncate "week"))
    assert.same({ "1970-01-01T00:00:00.000Z", "2024-02-01T00:00:00.000Z", false, "1969-12-01T00:00:00.000Z" },
      texts(t:truncate "month"))
    assert.same({ "1970-01-01T00:00:00.000Z", "2024-01-01T00:00:00.000Z", false, "1969-01-01T00:00:00.000Z" },
      texts(t:truncate "year"))
    assert.same({ 0, 1, false, 0 }, values(t:gt "2000-01-01"))
    assert.same({ 1, 0, false, 0 }, values(t:eq(frame.time(0))))
    assert.same({ "1970-01-01T00:00:00.000Z", "2024-02-29T23:59:58.750Z", "2001-01-01T00:00:00.000Z",
      "1969-12-31T22:00:00.000Z" }, texts(t:fill_missing "2001-01-01"))
    assert.same({ "2000-01-01T00:00:00.000Z", false, false, false },
      texts(frame.if_else(col("a"):gt(0), frame.time "2000-01-01", frame.missing "time")))
  end)

  it("agrees with the calendar day by day", function()
    local times, days = {}, 0
    for day = -800000, 800000, 9770 do
      days = days + 1
      times[days] = day * 86400000 + 1
    end
    local t = col "t"
    local f = frame.from({ { "t", "time", times } }):derive { y = t:year(), m = t:month(), d = t:day(),
      n = t:day_of_year(), first = t:truncate "year" }
    for i = 1, days do
      local y, m, d = frame.format_time(times[i]):match "^([-+]?%d+)-(%d%d)-(%d%d)T"
      assert.same({ tonumber(y), tonumber(m), tonumber(d) }, { f:value("y", i), f:value("m", i), f:value("d", i) })
      assert.equal(f:value("n", i), (times[i] - f:value("first", i)) // 86400000 + 1)
    end
  end)

  it("casts between types", function()
    local f = frame.from { { "s", "string", { "1.5", "x", false, "2024-01-31" } }, { "n", "number", { 1.5, -0.1, false,
      86400000 } } }
    local made = f:derive { number = col("s"):as_number(), time = col("s"):as_time(), text = col("n"):as_string(),
      moment = col("n"):as_time(), back = col("n"):as_time():as_number() }
    assert.same({ 1.5, false, false, false }, column(made, "number"))
    assert.same({ false, false, false, frame.parse_time "2024-01-31" }, column(made, "time"))
    assert.same({ "1.5", "-0.1", false, "86400000" }, column(made, "text"))
    assert.same({ 1, -1, false, 86400000 }, column(made, "moment"))
    assert.same({ 1, -1, false, 86400000 }, column(made, "back"))
  end)

  it("filters and finds rows", function()
    local f = sample()
    assert.same({ 0, 3 }, f:where(col("a"):ge(0)):tolist())
    assert.same({ 4 }, column(f:filter(col("a"):gt(0) & col("s"):present()), "a"))
    assert.same({}, f:where(col("a"):gt(frame.missing "number")):tolist())
    assert.has_error(function() f:where(col "s") end)
    assert.has_error(function() f:filter(col "nope") end)
  end)

  it("derives several columns that all see the frame as it was", function()
    local f = sample():derive { a = col "b", b = col "a", c = "k" }
    assert.same({ { 2, 4, 1, false }, { 4, -2.5, false, 0 }, { "k", "k", "k", "k" } },
      { column(f, "a"), column(f, "b"), column(f, "c") })
    assert.same({ "a", "b", "s", "u", "t", "l", "c" }, f:names())
  end)

  it("maps rows in Lua for the odd case", function()
    local f = sample():map_rows("r", "string", function(row, i) return row.a and i .. ":" .. row.s or nil end)
    assert.same({ "1:Ab", "2:straße", false, "4:" }, column(f, "r"))
  end)

  it("says what is wrong, with the expression and its columns", function()
    refuses(col "a" + col "s", "in the expression (a + s): 'add' is not for a number and a string; it takes a number "
      .. "and a number; or a time and a number; or a number and a time")
    refuses((col "s" * 2):log(), "in the expression (s * 2)")
    refuses(col "s":lt "x", "'lt' is not for a string and a string")
    refuses(col("nope") + 1, "there is no column 'nope'")
    refuses(col("t"):gt "soon", "'soon' is no ISO 8601 time")
    refuses(col("l") .. "x", "is not for a list and a string")
    refuses(frame.if_else(col "a", 1, "x"), "'if_else' is not for")
    refuses(col("s"):contains(col "u"), "a constant as its second operand")
    refuses(col("a"):map_texts(function() end), "'map_texts' is not for a number")
    refuses(col("a"):is_in { "x" }, "'is_in' is not for")
    assert.has_error(function() return col "a" + {} end)
    assert.has_error(function() return col("t"):truncate "fortnight" end)
    assert.has_error(function() return col("t"):since("1970-01-01", "x") end)
    assert.has_error(function() frame.time "soon" end)
    assert.has_error(function() frame.apply("nothing", 1, {}) end)
    assert.has_error(function() frame.apply("abs", 2, { sample() }) end)
  end)

  it("says how conditions are written where Lua's comparisons stand in for them", function()
    local f, hint = sample(), 'conditions are written col "x":eq(1)'
    local function hints(fn, ...)
      local ok, problem = pcall(fn, ...)
      assert.is_false(ok)
      assert.truthy(problem:find(hint, 1, true), problem)
    end
    hints(f.filter, f, col "a" == 4)
    hints(f.derive, f, { x = col "a" == 4 })
    hints(frame.if_else, col "a" == 4, 1, 0)
    hints(function() return col("b"):gt(1) & (col "a" == 4) end)
    hints(function() return (col "a" == 4) | col("b"):gt(1) end)
    hints(function() return col "a" < 4 end)
    hints(function() return col "a" >= col "b" end)
    hints(function() return col "a" == col "b" end)
    assert.same({ 0, 0, 0, 0 }, values(lit(false)))
    assert.has_error(function() return col("s"):is_in "Ab" end,
      "bad argument #1 to 'is_in' (a table of constants expected)")
    assert.has_error(function() return col("s"):map_texts "upper" end,
      "bad argument #1 to 'map_texts' (a function expected)")
    assert.has_error(function() f:map_rows("x", "number") end, "bad argument #3 to 'map_rows' (a function expected)")
    assert.has_error(function() f:derive(5) end, "bad argument #1 to 'derive' (a table name -> expression expected)")
  end)

  it("is shown in a text that does not double with each use of a part", function()
    local doubled = col "a"
    for _ = 1, 60 do doubled = doubled + doubled end
    assert.same({ 4 * 2 ^ 60, -2.5 * 2 ^ 60, false, 0 }, values(doubled))
    assert.is_true(#tostring(doubled) < 4000)
    refuses(doubled:upper(), "'upper' is not for a number")
  end)

  it("gives the same on many rows, in chunks, as on one", function()
    local base = require "recsys.base"
    local n = 150000
    local x = base.stream(3, "user", 0, 1):normals(n)
    local f = frame.from { { "x", "number", x } }
    local e = frame.if_else(col("x"):gt(0), col("x") * 2, -col("x")):sqrt()
    local made = f:derive { y = e, s = frame.if_else(col("x"):gt(0), "up", "down") }
    for i = 1, n, 2977 do
      local v = x:get(i)
      assert.equal(math.sqrt(v > 0 and v * 2 or -v), made:value("y", i))
      assert.equal(v > 0 and "up" or "down", made:value("s", i))
    end
    assert.equal(#f:where(col("x"):le(0)), #made:where("s", "==", "down"))
    assert.equal(0, frame.from({ { "x", "number", tensor.zeros(0, "f64") } }):derive({ y = e }):rows())
  end)
end)

--- Frames from Lua: columns, rows, joins, groups, storing.

local column = require "spec.support.column"
local command = require "spec.support.command"
local frame = require "recsys.frame"
local store = require "recsys.store"
local tensor = require "recsys.tensor"

--- All columns as tables, for comparisons.
local function contents(f)
  local all = {}
  for _, name in ipairs(f:names()) do all[name] = column(f, name) end
  return all
end

local function sample()
  return frame.from {
    { "user", "string", { "b", "a", "b", false, "a", "b" } },
    { "n", "number", { 3, 1, false, 2, 1, -0.5 } },
    { "t", "time", { 30, 10, 20, false, 10, 20 } },
    { "tags", "list", { { "x", "y" }, {}, false, { "y" }, { "x" }, { "z" } } },
  }
end

describe("frame.from", function()
  it("makes columns of each type, with missing values", function()
    local f = sample()
    assert.same({ 6, { "user", "n", "t", "tags" } }, { f:rows(), f:names() })
    assert.same({ "b", "a", "b", false, "a", "b" }, column(f, "user"))
    assert.same({ 3, 1, false, 2, 1, -0.5 }, column(f, "n"))
    assert.same({ 30, 10, 20, false, 10, 20 }, column(f, "t"))
    assert.same({ { "x", "y" }, {}, {}, { "y" }, { "x" }, { "z" } }, column(f, "tags"))
    assert.same({ { "b", "a" }, { "x", "y", "z" } }, { f:strings "user", f:strings "tags" })
    assert.equal(6, #f)
  end)

  it("takes tensors of any dtype as numbers, and codes with their strings", function()
    for _, dtype in ipairs { "f32", "f64", "i32", "i64", "u8" } do
      local f = frame.from { { "x", "number", tensor.new({ 1, 2, 3 }, dtype) } }
      assert.same({ 1, 2, 3 }, column(f, "x"))
    end
    local f = frame.from { { "s", "string", { codes = tensor.new({ 2, 0, 1 }, "i32"), strings = { "a", "b" } } } }
    assert.same({ "b", false, "a" }, column(f, "s"))
    local every_second = tensor.new({ { 1, 2 }, { 3, 4 } }, "f64"):select(2, 2)
    assert.same({ 2, 4 }, column(frame.from { { "x", "number", every_second } }, "x"))
  end)

  it("names the column that is wrong", function()
    local function refuses(columns, message)
      local ok, problem = pcall(frame.from, columns)
      assert.is_false(ok)
      assert.truthy(problem:find(message, 1, true), problem)
    end
    refuses({ { "a", "date", {} } }, "no column type is called 'date'")
    refuses({ { "a", "number", { "x" } } }, "column 'a': numbers are expected")
    refuses({ { "a", "string", { 1 } } }, "column 'a': strings are expected")
    refuses({ { "a", "time", { 1.5 } } }, "column 'a': integers")
    refuses({ { "a", "number", { 1 } }, { "b", "number", { 1, 2 } } }, "column 'b' has 2 rows, the others have 1")
    refuses({ { "a", "number", { 1 } }, { "a", "number", { 1 } } }, "already a column 'a'")
    refuses({ { "s", "string", { codes = tensor.new({ 3 }, "i32"), strings = { "a" } } } }, "a code has no string")
    refuses({ { "s", "string", { codes = tensor.new({ 1 }, "i32"), strings = { "a", "a" } } } }, "not distinct")
    refuses({}, "at least one column")
  end)
end)

describe("a frame", function()
  it("gives its columns as tensors", function()
    local f = sample()
    assert.equal("f64", f:column("n"):dtype())
    assert.same({ 30, 10, 20, frame.TIME_MISSING, 10, 20 }, f:column("t"):tolist())
    assert.same({ 1, 2, 1, 0, 2, 1 }, f:column("user"):tolist())
    local values, starts, lengths = f:column "tags"
    assert.same({ { 1, 2, 2, 1, 3 }, { 0, 2, 2, 2, 3, 4 }, { 2, 0, 0, 1, 1, 1 } },
      { values:tolist(), starts:tolist(), lengths:tolist() })
    assert.same({ 2, 0 }, { f:code("user", "a"), f:code("user", "zz") })
  end)

  it("names a column that is not there, and what there is", function()
    assert.has_error(function() sample():column "users" end,
      "bad argument #1 to 'column' (frame: there is no column 'users'; there are: user, n, t, tags)")
  end)

  it("selects, drops, renames, adds and replaces columns", function()
    local f = sample()
    assert.same({ "t", "user" }, f:select({ "t", "user" }):names())
    assert.same({ "user", "t" }, f:without({ "n", "tags" }):names())
    local renamed = f:rename { user = "n", n = "user" }
    assert.same({ "n", "user", "t", "tags" }, renamed:names())
    assert.same({ column(f, "user"), column(f, "n") }, { column(renamed, "n"), column(renamed, "user") })
    assert.has_error(function() f:rename { user = "n" } end)
    assert.same({ 1, 2, 3, 4, 5, 6 }, column(f:with("n", "number", { 1, 2, 3, 4, 5, 6 }), "n"))
    assert.same(column(f, "user"), column(f:with("copy", f, "user"), "copy"))
    assert.same({ 3, 1, false, 2, 1, -0.5 }, column(f, "n"), "the old frame is as it was")
    assert.has_error(function() f:with("m", "number", { 1 }) end)
  end)

  it("filters by mask and by rows, in their order", function()
    local f = sample()
    assert.same({ "b", "a" }, column(f:filter(tensor.new({ 1, 0, 0, 0, 1, 0 }, "u8")), "user"))
    assert.same({ "a", "b", "a" }, column(f:filter(tensor.new({ 4, 0, 1 }, "i64")), "user"))
    assert.same({ { "x" }, {} }, column(f:filter(tensor.new({ 4, -1 }, "i64")), "tags"))
    assert.equal(0, f:filter(tensor.zeros(0, "i64")):rows())
    assert.has_error(function() f:filter(tensor.new({ 6 }, "i64")) end)
    assert.has_error(function() f:filter(tensor.new({ 1 }, "u8")) end)
  end)

  it("finds the rows where a comparison holds", function()
    local f = sample()
    local function where(...) return f:where(...):tolist() end
    assert.same({ 1, 4 }, where("user", "==", "a"))
    assert.same({ 0, 2, 5 }, where("user", "~=", "a"))
    assert.same({ 0, 1, 2, 4, 5 }, where("user", "in", { "a", "b", "c" }))
    assert.same({ 0, 2, 5 }, where("user", "not in", { "a" }))
    assert.same({}, where("user", "in", {}))
    assert.same({ 3 }, where("user", "missing"))
    assert.same({ 0, 1, 3, 4, 5 }, where("n", "present"))
    assert.same({ 1, 4, 5 }, where("n", "<=", 1))
    assert.same({ 0, 3 }, where("n", ">", 1))
    assert.same({ 0 }, where("t", ">=", "1970-01-01T00:00:00.030Z"))
    assert.same({ 1, 4 }, where("t", "<", 20))
    assert.same({ 1, 2 }, where("tags", "missing"))
    assert.has_error(function() where("user", "<", "b") end)
    assert.has_error(function() where("n", "in", { "x" }) end)
  end)

  it("sorts stably by several columns, missing values last", function()
    local f = sample()
    local sorted, rows = f:sort("user", "-n")
    assert.same({ 1, 4, 0, 5, 2, 3 }, rows:tolist())
    assert.same({ "a", "a", "b", "b", "b", false }, column(sorted, "user"))
    assert.same({ 1, 4, 2, 5, 0, 3 }, select(2, f:sort "t"):tolist())
    assert.same({ 0, 2, 5, 1, 4, 3 }, select(2, f:sort "-t"):tolist())
    assert.same({ 5, 1, 4, 3, 0, 2 }, select(2, f:sort "n"):tolist())
    assert.has_error(function() f:sort "tags" end)
  end)

  it("sorts like table.sort on many numbers", function()
    local base = require "recsys.base"
    local numbers, expected = base.stream(3, "user"):normals(600), {}
    for i = 1, 600 do expected[i] = { numbers:get(i) > 0.5 and 1 or 0, numbers:get(i), i } end
    table.sort(expected, function(a, b)
      if a[1] ~= b[1] then return a[1] > b[1] end
      return a[2] < b[2]
    end)
    local flags = {}
    for i = 1, 600 do flags[i] = numbers:get(i) > 0.5 and 1 or 0 end
    local _, rows = frame.from({ { "flag", "number", flags }, { "x", "number", numbers } }):sort("-flag", "x")
    for i = 1, 600 do assert.equal(expected[i][3] - 1, rows:get(i)) end
  end)

  it("joins by text across dictionaries, in the left frame's order", function()
    local left = frame.from { { "user", "string", { "a", "b", "c", false, "b" } },
      { "i", "number", { 1, 2, 3, 4, 5 } } }
    local right = frame.from { { "id", "string", { "z", "b", "a", "b", false } }, { "v", "number", { 0, 1, 2, 3, 4 } } }
    local keys = { user = "id" }
    assert.same({ user = { "a", "b", "b", "b", "b" }, i = { 1, 2, 2, 5, 5 }, v = { 2, 1, 3, 1, 3 } },
      contents(left:join(right, keys)))
    assert.same({ 2, 1, 3, false, false, 1, 3 }, column(left:join(right, keys, "left"), "v"))
    assert.same({ 1, 2, 5 }, column(left:join(right, keys, "semi"), "i"))
    assert.same({ 3, 4 }, column(left:join(right, keys, "anti"), "i"))
    assert.same({ 2, 1, -1, -1, 1 }, left:lookup(right, keys):tolist())
    assert.has_error(function() left:join(right:with("i", "number", { 1, 2, 3, 4, 5 }), keys) end)
    assert.has_error(function() left:join(right, { user = "v" }) end)
  end)

  it("joins on several keys of all types as nested loops do", function()
    local base = require "recsys.base"
    local function make(seed, n)
      local s, k, t = {}, {}, {}
      for i = 1, n do
        s[i] = "s" .. base.stream(seed, "user"):below(3 * i, 4)
        k[i] = base.stream(seed, "user"):below(3 * i + 1, 3) - 1.0
        t[i] = base.stream(seed, "user"):below(3 * i + 2, 3)
      end
      return frame.from { { "s", "string", s }, { "k", "number", k }, { "t", "time", t },
        { "row" .. seed, "number", tensor.arange(n) } }
    end
    local left, right, expected = make(1, 24), make(2, 20), {}
    for i = 1, 24 do
      for j = 1, 20 do
        local equal = true
        for _, key in ipairs { "s", "k", "t" } do equal = equal and left:value(key, i) == right:value(key, j) end
        if equal then expected[#expected + 1] = { i - 1, j - 1 } end
      end
    end
    local joined = left:join(right, { "s", "k", "t" })
    assert.equal(#expected, joined:rows())
    for i, pair in ipairs(expected) do
      assert.same(pair, { joined:value("row1", i), joined:value("row2", i) })
    end
  end)

  it("joins as of a time, backward, forward and nearest", function()
    local left = frame.from { { "k", "string", { "a", "a", "b", "c", false, "a" } },
      { "t", "time", { 10, 20, 10, 10, 10, false } } }
    local right = frame.from { { "id", "string", { "a", "a", "b", "a", "a", "b", false } },
      { "at", "time", { 20, 10, 11, 10, 5, false, 10 } }, { "v", "number", { 1, 2, 3, 4, 5, 6, 7 } } }
    local function asof(options)
      options.on, options.by = { t = "at" }, { k = "id" }
      return column(left:asof(right, options), "v")
    end
    assert.same({ 4, 1, false, false, false, false }, asof {})
    assert.same({ 5, 4, false, false, false, false }, asof { strict = true })
    assert.same({ 2, 1, 3, false, false, false }, asof { direction = "forward" })
    assert.same({ 1, false, 3, false, false, false }, asof { direction = "forward", strict = true })
    assert.same({ 4, 1, 3, false, false, false }, asof { direction = "nearest" })
    assert.same({ 5, 4, 3, false, false, false }, asof { direction = "nearest", strict = true, tolerance = 10 })
    assert.same({ 5, false, false, false, false, false }, asof { strict = true, tolerance = "0.005s" })
    local all = left:asof(right:rename { at = "t" }, { on = "t" })
    assert.same({ "k", "t", "id", "v" }, all:names())
    assert.same({ 7, 1, 7, 7, 7, false }, column(all, "v"))
    assert.same({ "k", "t", "at", "v" }, left:asof(right, { on = { t = "at" }, by = { k = "id" } }):names())
    assert.has_error(function() left:asof(right, { on = { t = "v" } }) end)
    assert.has_error(function() left:asof(right, { on = { k = "id" } }) end)
    assert.has_error(function() left:asof(right, { on = { t = "at" }, tolerance = "soon" }) end)
    assert.has_error(function() left:asof(right, { on = { t = "at" }, by = { k = "v" } }) end)
    assert.has_error(function() left:asof(right, { by = { k = "id" } }) end)
  end)

  it("joins as of as a search of all rows does", function()
    local base = require "recsys.base"
    local function make(seed, n)
      local k, t = {}, {}
      for i = 1, n do
        k[i] = "k" .. base.stream(seed, "user"):below(2 * i, 5)
        t[i] = base.stream(seed, "user"):below(2 * i + 1, 60)
        if t[i] == 7 then t[i] = false end
      end
      return frame.from { { "k", "string", k }, { "t", "time", t }, { "x", "number", t }, { "row" .. seed, "number",
        tensor.arange(n) } }
    end
    local left, right = make(1, 50), make(2, 60)
    local left_k, right_k = column(left, "k"), column(right, "k")
    local left_t, right_t = column(left, "t"), column(right, "t")
    local function oracle(i, o)
      local best, least, was_before
      for j = 1, 60 do
        local a, b = left_t[i], right_t[j] -- x is the same in numbers
        local d = a and b and left_k[i] == right_k[j] and a - b
        local allowed = d and (d ~= 0 or not o.strict) and math.abs(d) <= (o.tolerance or math.huge)
          and (d <= 0 or o.direction ~= "forward") and (d >= 0 or o.direction ~= "backward")
        if allowed then
          local before, size = d > 0 or (d == 0 and o.direction ~= "forward"), math.abs(d)
          -- the nearest; at equal distance the one before; of equal ones before the last, of equal ones after the first
          if not best or size < least or (size == least and before and (not was_before or j > best)) then
            best, least, was_before = j, size, before
          end
        end
      end
      return best and best - 1 or false
    end
    for _, direction in ipairs { "backward", "forward", "nearest" } do
      for _, strict in ipairs { false, true } do
        for _, tolerance in ipairs { math.huge, 3 } do
          for _, on in ipairs { "t", "x" } do
            local o = { on = on, by = "k", direction = direction, strict = strict, tolerance = tolerance }
            local got, expected = column(left:asof(right:select { "k", on, "row2" }, o), "row2"), {}
            for i = 1, 50 do expected[i] = oracle(i, o) end
            assert.same(expected, got)
          end
        end
      end
    end
  end)

  it("joins as of as polars does", function()
    local python = os.getenv "RECSYS_PEER_PYTHON"
    if not python then
      pending "set RECSYS_PEER_PYTHON to a Python that has polars"
      return
    end
    local base = require "recsys.base"
    local folder = command.scratch(finally)
    local function make(step, n, times)
      local function draw(what, below) return base.stream(9, "user", step, what):integers(n, below) end
      return frame.from { { "k", "number", draw(1, 8) }, { "t", "number", times or draw(2, 500) },
        { "v", "number", tensor.arange(n) } }
    end
    -- polars does not say which of equal times it takes: every time of the right frame is another
    local left, right = make(1, 500), make(2, 400, base.stream(9, "user", 2, 3):permutation(400))
    frame.write_csv(folder .. "/left.csv", left:select { "k", "t" })
    frame.write_csv(folder .. "/right.csv", right)
    local ended = command.run(("'%s' spec/peers/asof.py '%s'"):format(python, folder))
    assert.equal(0, ended.code, ended.err)
    for _, direction in ipairs { "backward", "forward" } do
      for _, strict in ipairs { false, true } do
        for _, tolerance in ipairs { "any", 40 } do
          local theirs = assert(frame.read_csv(("%s/%s-%s-%s.csv"):format(folder, direction, strict, tolerance),
            { nulls = { "-" }, types = { v = "number" } }))
          local ours = left:select({ "k", "t" }):asof(right, { on = "t", by = "k", direction = direction,
            strict = strict, tolerance = tonumber(tolerance) })
          assert.equal(500, theirs:rows())
          assert.same(column(theirs, "v"), column(ours, "v"))
        end
      end
    end
  end)

  it("groups with every aggregation", function()
    local grouped = sample():group_by("user", {
      { "rows", "count" }, { "present", "count", "n" }, { "sum", "sum", "n" }, { "mean", "mean", "n" },
      { "low", "min", "n" }, { "late", "max", "t" }, { "one", "first", "n" }, { "tags", "last", "tags" },
      { "times", "n_distinct", "t" },
    })
    assert.same({ user = { "b", "a", false }, rows = { 3, 2, 1 }, present = { 2, 2, 1 }, sum = { 2.5, 2, 2 },
      mean = { 1.25, 1, 2 }, low = { -0.5, 1, 2 }, late = { 30, 10, false }, one = { 3, 1, 2 },
      tags = { { "z" }, { "x" }, { "y" } }, times = { 2, 1, 0 } }, contents(grouped))
    assert.has_error(function() sample():group_by("user", { { "x", "sum", "t" } }) end)
    assert.has_error(function() sample():group_by("user", { { "x", "average", "n" } }) end)
    assert.has_error(function() sample():group_by("tags", {}) end)
  end)

  it("spreads, ranks, judges, chooses and collects in groups", function()
    local f = frame.from {
      { "g", "string", { "a", "b", "a", "a", "b", "a", "c" } },
      { "x", "number", { 4, 1, false, 2, 0, 9, false } },
      { "w", "number", { 1, 2, 5, 3, false, 0, 1 } },
      { "s", "string", { "p", "q", "q", false, "q", "q", false } },
      { "t", "time", { 5, 1, false, 7, 1, 7, false } },
      { "l", "list", { { "m", "n" }, {}, { "m" }, {}, { "o" }, {}, {} } },
    }
    local grouped = f:group_by("g", {
      { "std", "std", "x" }, { "var", "var", "x" }, { "median", "median", "x" }, { "q", "quantile", "x", 0.25 },
      { "mode", "mode", "s" }, { "any", "any", "x" }, { "all", "all", "x" }, { "low", "arg_min", "s", "x" },
      { "high", "arg_max", "x", "t" }, { "newest", "last", "x", "t" }, { "oldest", "first", "s", "t" },
      { "all_s", "list", "s" }, { "all_l", "list", "l" }, { "ws", "weighted_sum", "x", "w" },
      { "wm", "weighted_mean", "x", "w" },
    })
    local got = contents(grouped)
    assert.is_true(math.abs(got.std[1] - math.sqrt(13)) < 1e-15) -- 4 2 9: mean 5, squares 26, by 2
    got.std = nil
    assert.same({ g = { "a", "b", "c" }, var = { 13, 0.5, false }, median = { 4, 0.5, false }, q = { 3, 0.25, false },
      mode = { "q", "q", false }, any = { 1, 1, false }, all = { 1, 0, false }, low = { false, "q", false },
      high = { 2, 1, false }, newest = { 9, 0, false }, oldest = { "p", "q", false },
      all_s = { { "p", "q", "q" }, { "q", "q" }, {} }, all_l = { { "m", "n", "m" }, { "o" }, {} },
      ws = { 10, 2, 0 }, wm = { 2.5, 1, false } }, got)
    local function refuses(aggregation, message)
      local ok, problem = pcall(f.group_by, f, "g", { aggregation })
      assert.is_false(ok)
      assert.truthy(problem:find(message, 1, true), problem)
    end
    refuses({ "m", "median", "s" }, "aggregation 'm' is not for the string column 's'")
    refuses({ "m", "median", "x", "w" }, "aggregation 'm' takes one column, not 'w' as well")
    refuses({ "m", "weighted_sum", "x" }, "aggregation 'm' needs a second column")
    refuses({ "m", "weighted_sum", "x", "t" }, "aggregation 'm' is not by the time column 't'")
    refuses({ "m", "arg_max", "x", "s" }, "aggregation 'm' is not by the string column 's'")
    refuses({ "m", "quantile", "x" }, "aggregation 'm' needs a share from 0 to 1")
    refuses({ "m", "arg_max", "x", "nope" }, "there is no column 'nope'")
    refuses({ "m", "list", "x" }, "aggregation 'm' is not for the number column 'x'")
    refuses({ "m", "mean", 3 }, "each aggregation is a table")
  end)

  it("groups many rows with every aggregation as plain loops do", function()
    local base = require "recsys.base"
    local n = 70000 -- more than one chunk
    local ids, x = base.stream(1, "user", 0, 1):integers(n, 9000), base.stream(1, "user", 0, 2):integers(n, 50)
    local f = frame.from { { "id", "number", ids }, { "x", "number", x }, { "t", "time", x } }
    local grouped = f:group_by("id", { { "n", "count" }, { "sum", "sum", "x" }, { "max", "max", "x" },
      { "first", "min", "t" }, { "median", "median", "x" }, { "kinds", "n_distinct", "x" } })
    assert.equal(ids:get(1), grouped:value("id", 1), "in order of first appearance")
    local total = 0
    for row = 1, grouped:rows(), 97 do
      local id, list, sum, kinds, seen = grouped:value("id", row), {}, 0, 0, {}
      for i, at in ipairs(f:where("id", "==", id):tolist()) do
        list[i] = x:get(at + 1)
        sum = sum + list[i]
        if not seen[list[i]] then seen[list[i]], kinds = true, kinds + 1 end
      end
      local first = math.min(table.unpack(list))
      table.sort(list)
      local middle = (list[(#list + 1) // 2] + list[#list // 2 + 1]) / 2
      local got = {}
      for i, name in ipairs(grouped:names()) do got[i] = grouped:value(name, row) end
      assert.same({ id, #list, sum, list[#list], first, middle, kinds }, got)
      total = total + #list
    end
    assert.is_true(total > n / 200)
    assert.equal(n, grouped:column("n"):sum())
  end)

  it("keeps the best row of each combination, of equally good ones the first", function()
    local f = frame.from {
      { "k", "string", { "a", "b", "a", "b", "a", false } },
      { "s", "number", { 1, 3, 2, 3, 2, false } },
      { "row", "number", { 1, 2, 3, 4, 5, 6 } },
    }
    assert.same({ 2, 3, 6 }, column(f:distinct("k", { best = "-s" }), "row"))
    assert.same({ 1, 2, 6 }, column(f:distinct("k", { best = "s" }), "row"))
    assert.same({ 4, 5, 6 }, column(f:distinct("k", { best = { "-s", "-row" } }), "row"))
    assert.has_error(function() f:distinct("k", { worst = "s" }) end)
    assert.has_error(function() f:distinct("k", { best = "nope" }) end)
    assert.has_error(function() f:distinct("k", { best = {} }) end)
  end)

  it("numbers groups by first appearance and keeps distinct rows", function()
    local f = sample()
    local groups, n = f:groups { "user", "t" }
    assert.same({ { 0, 1, 2, 3, 1, 2 }, 4 }, { groups:tolist(), n })
    assert.same({ 3, 1, 2 }, column(f:distinct "user", "n"))
    assert.same({ 2, 1, -0.5 }, column(f:distinct("user", "last"), "n"))
    local zero = frame.from { { "x", "number", { 0.0, -0.0, 0 / 0, false } } }
    assert.same({ 0, 0, 1, 1 }, zero:groups("x"):tolist())
  end)

  it("puts frames one after another", function()
    local f = sample()
    local other = frame.from { { "tags", "list", { { "q", "x" } } }, { "user", "string", { "c" } },
      { "n", "number", { 9 } }, { "t", "time", { 9 } } }
    local both = frame.concat { f, other, f }
    assert.equal(13, both:rows())
    assert.same({ "c", { "q", "x" }, 9 }, { both:value("user", 7), both:value("tags", 7), both:value("t", 7) })
    assert.same({ "b", { "x", "y" } }, { both:value("user", 8), both:value("tags", 8) })
    assert.same({ "b", "a", "c" }, both:strings "user")
    assert.has_error(function() frame.concat { f, f:without { "n" } } end)
  end)

  it("finds k-cores as repeated peeling does", function()
    local base = require "recsys.base"
    local users, items = {}, {}
    for i = 1, 120 do
      local x = base.stream(5, "user"):uniform(i)
      users[i] = "u" .. math.floor(20 * x * x)
      items[i] = "i" .. base.stream(6, "user"):below(i, 16)
    end
    local f = frame.from { { "user", "string", users }, { "item", "string", items } }
    for k = 1, 6 do
      local alive, changed = {}, true
      for i = 1, 120 do alive[i] = true end
      while changed do
        local degree = {}
        changed = false
        for i = 1, 120 do
          for _, node in ipairs(alive[i] and { users[i], items[i] } or {}) do degree[node] = (degree[node] or 0) + 1 end
        end
        for i = 1, 120 do
          if alive[i] and (degree[users[i]] < k or degree[items[i]] < k) then alive[i], changed = false, true end
        end
      end
      local expected = {}
      for i = 1, 120 do
        if alive[i] then expected[#expected + 1] = users[i] .. items[i] end
      end
      local core, got = frame.k_core(f, "user", "item", k), {}
      for row = 1, core:rows() do got[row] = core:text("user", row) .. core:text("item", row) end
      assert.same(expected, got)
    end
  end)

  it("prints a head", function()
    local text = tostring(sample())
    assert.truthy(text:find("Frame of 6 rows, 4 columns", 1, true))
    assert.truthy(text:find("user  n     t                         tags", 1, true), text)
    assert.truthy(text:find("b     3     1970-01-01T00:00:00.030Z  x|y", 1, true), text)
    assert.equal(3, select(2, sample():head(2):gsub("\n", "\n")) + 1)
  end)

  it("is stored and loaded as tensors and a schema", function()
    local f = sample()
    local again = assert(frame.from_tensors(f:tensors(), f:schema()))
    assert.same(contents(f), contents(again))
    assert.equal(2, again:code("user", "a"))
    local folder = command.scratch(finally) .. "/stored"
    store.save(folder, { part = f:filter(tensor.new({ 5, 0 }, "i64")) })
    assert.same({ "b", "b" }, column(store.load(folder).part, "user"))
  end)

  it("refuses tensors that make no columns", function()
    local f = sample()
    local function refuses(name, value, message)
      local tensors = f:tensors()
      tensors[name] = value
      local made, problem, code = frame.from_tensors(tensors, f:schema())
      assert.same({ nil, "format" }, { made, code })
      assert.truthy(problem:find(message, 1, true), problem)
    end
    refuses("n.values", nil, "needs a tensor 'n.values'")
    refuses("n.values", tensor.zeros(5, "f64"), "differs in length")
    refuses("n.values", tensor.zeros(6, "f32"), "needs a tensor 'n.values', f64")
    refuses("user.values", tensor.new({ 1, 2, 3, 0, 0, 0 }, "i32"), "code 3 of 'user' is outside 0 .. 2")
    refuses("user.offsets", tensor.new({ 0, 2, 1 }, "i64"), "offsets")
    refuses("user.offsets", tensor.new({ 0, -1, 2 }, "i64"), "offsets")
    refuses("user.bytes", tensor.new({ 98, 98 }, "u8"), "holds a text twice")
    refuses("tags.lengths", tensor.new({ 9, 0, 0, 0, 0, 0 }, "i32"), "leaves its values")
    refuses("tags.starts", tensor.new({ -1, 0, 0, 0, 0, 0 }, "i64"), "leaves its values")
    refuses("tags.values", tensor.new({ 0, 1, 1, 1, 1 }, "i32"), "outside 1 .. 3")
  end)

  it("refuses to be used once closed", function()
    local f = sample()
    local values = f:column "n"
    f:close()
    f:close()
    assert.equal(3, values:get(1))
    assert.equal("Frame (closed)", tostring(f))
    assert.has_error(function() f:rows() end, "calling 'rows' on bad self (frame is closed)")
  end)
end)

describe("times and hashes", function()
  it("go between text and milliseconds", function()
    assert.equal(1700000000000, frame.parse_time "2023-11-14T22:13:20Z")
    assert.is_nil(frame.parse_time "yesterday")
    assert.equal("2023-11-14T22:13:20.000Z", frame.format_time(1700000000000))
  end)

  it("hash texts and files alike", function()
    local path = command.write(command.scratch(finally) .. "/abc", "abc")
    assert.equal("06b05ab6733a618578af5f94892f3950", frame.hash "abc") -- xxhsum -H128
    assert.equal(frame.hash "abc", frame.hash_file(path))
    os.remove(path)
    assert.same({ nil, "io" }, { frame.hash_file(path), select(3, frame.hash_file(path)) })
  end)
end)

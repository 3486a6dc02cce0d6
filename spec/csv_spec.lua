--- Reading and writing CSV from Lua. What the parser makes of hostile bytes is in runtime/frame/csv_test.c.

local column = require "spec.support.column"
local command = require "spec.support.command"
local frame = require "recsys.frame"

local folder, path

local function in_a_folder()
  before_each(function()
    folder = command.temporary()
    path = folder .. "/data.csv"
  end)
  after_each(function() command.remove(folder) end)
end

local function read(text, options)
  command.write(path, text)
  return frame.read_csv(path, options)
end

describe("frame.read_csv", function()
  in_a_folder()

  it("infers numbers, times and strings, and reports what it found", function()
    local f, report = assert(read "id,n,t,zip\na,1.5,2024-01-31T12:00:00+05:30,01234\nb,,,\n")
    assert.same({ "id", "n", "t", "zip" }, f:names())
    assert.same({ 1.5, false }, column(f, "n"))
    assert.same({ frame.parse_time "2024-01-31T06:30:00Z", false }, column(f, "t"))
    assert.same({ "01234", false }, column(f, "zip"))
    assert.same({ id = "string", n = "number", t = "time", zip = "string" }, report.types)
    assert.same({ 2, 0, ",", "doubled", "utf-8" },
      { report.rows, report.quarantined, report.separator, report.escape, report.encoding })
  end)

  it("takes declared types, epoch times, lists and null words", function()
    local f = assert(read("a,s,ms,l\n7,1700000000.5,1700000000123,x;y\nNULL,,,\n",
      { types = { a = "string", s = "time_s", ms = "time_ms", l = { "list", ";" } }, nulls = { "NULL" } }))
    assert.same({ "7", false }, column(f, "a"))
    assert.same({ 1700000000500, false }, column(f, "s"))
    assert.same({ 1700000000123, false }, column(f, "ms"))
    assert.same({ { "x", "y" }, {} }, column(f, "l"))
  end)

  it("keeps the columns that are asked for, in their order", function()
    assert.same({ "c", "a" }, assert(read("a,b,c\n1,2,3\n", { columns = { "c", "a" } })):names())
  end)

  it("reads files without a header under given names", function()
    local f = assert(read("1::F::x\n2::M::y\n", { separator = "::", names = { "user", "gender", "z" } }))
    assert.same({ 2, "M" }, { f:rows(), f:text("gender", 2) })
    f = assert(read("a,b\n1,2\n", { header = true, names = { "x", "y" } }))
    assert.same({ 1, 2 }, { f:value("x", 1), f:value("y", 1) })
  end)

  it("tells Spark's and MySQL's backslashes from doubled quotes", function()
    for escape, text in pairs { doubled = 'a,b\n"x ""y"", z",1\n', backslash = 'a,b\n"x \\"y\\", z",1\n',
      mysql = 'a\tb\nx "y"\\\t z\t\\N\n' } do
      local f, report = assert(read(text))
      assert.equal(escape, report.escape)
      assert.equal(escape == "mysql" and 'x "y"\t z' or 'x "y", z', f:text("a", 1))
    end
  end)

  it("reads quotes as ordinary characters when told to", function()
    assert.equal('"x', assert(read('a|b\n"x|1\n', { quote = "", separator = "|" })):text("a", 1))
  end)

  it("turns Latin-1 into UTF-8", function()
    local f, report = assert(read "caf\xE9,b\nna\xEFve,1\n")
    assert.same({ "latin-1", "naïve" }, { report.encoding, f:text("café", 1) })
  end)

  it("sets malformed rows aside with file, line and reason", function()
    local aside = path .. ".bad"
    local f, report = assert(read("a,b\n1,2\n3\nx,4\n5,6\n",
      { types = { a = "number" }, bad_limit = 0.5, quarantine = aside }))
    assert.same({ 1, 5 }, column(f, "a"))
    assert.same({ 2, { line = 3, reason = "1 field instead of 2" } }, { report.quarantined, report.first_bad })
    local bad = assert(frame.read_csv(aside))
    assert.same({ "file", "line", "reason", "text" }, bad:names())
    assert.same({ { 3, 4 }, { "3", "x,4" } }, { column(bad, "line"), column(bad, "text") })
    assert.same("column 'a': 'x' is no number", bad:text("reason", 2))
    assert.equal(path, bad:text("file", 1))
    os.remove(aside)
  end)

  it("says where a torn quote was, and whether the file was cut off", function()
    local _, report = assert(read('a,b\n1,2\n3,"torn\n5,6\n7,"x"y\n8,9', { bad_limit = 1 }))
    assert.same({ 3, 2, 2, 3, true }, { report.rows, report.quarantined, report.torn, report.torn_line,
      report.unterminated })
    _, report = assert(read("a,b\n1,2\n3\n", { bad_limit = 1 }))
    assert.same({ 1, nil, false, true, '"' },
      { report.quarantined, report.torn, report.unterminated, report.header, report.quote })
  end)

  it("quarantines a last row that is cut short, and keeps one that is whole", function()
    local f, report = assert(read("a,b,c\n1,2,3\n4,5", { bad_limit = 1 }))
    assert.same({ 1, 1, true, 3 }, { f:rows(), report.quarantined, report.unterminated, report.first_bad.line })
    f, report = assert(read("a,b,c\n1,2,3\n4,5,6", { bad_limit = 0 }))
    assert.same({ 2, 0, true }, { f:rows(), report.quarantined, report.unterminated })
  end)

  it("reads the same whatever the size of its blocks", function()
    local rows = { "id,text,n\n" }
    for i = 1, 300 do
      rows[#rows + 1] = i % 50 == 7 and '3,"torn,1\n' or i % 41 == 0 and "short,1\n"
        or ('%d,"a ""b"", c\nline %d, of 2",%d.5\r\n'):format(i % 17, i, i)
    end
    local text = table.concat(rows)
    local whole, report = assert(read(text, { bad_limit = 1, block = 1 << 20 }))
    for _, block in ipairs { 1, 13, 200, 4096 } do
      local f, again = assert(read(text, { bad_limit = 1, block = block }))
      assert.same(report, again)
      for _, name in ipairs(whole:names()) do assert.same(column(whole, name), column(f, name)) end
    end
  end)

  it("refuses a file with too many malformed rows and says what to do", function()
    local f, message, code = read "a,b\n1,2\n3\n"
    assert.same({ nil, "format" }, { f, code })
    assert.truthy(message:find(path, 1, true))
    assert.truthy(message:find("1 of 2 rows are malformed (50 %, the limit is 1 %); the first is line 3", 1, true))
    assert.truthy(message:find("bad_limit", 1, true))
  end)

  it("refuses what is not there with a code", function()
    local f, message, code = frame.read_csv "/nonexistent/file.csv"
    assert.same({ nil, "io" }, { f, code })
    assert.truthy(message:find "/nonexistent/file.csv")
    f, message, code = read("a,b\n1,2\n", { columns = { "aa" } })
    assert.same({ nil, "format" }, { f, code })
    assert.truthy(message:find("has no column 'aa'; it has: a, b", 1, true))
    assert.same({ nil, "format" }, { read "", select(3, read "") })
  end)

  it("names the option that is wrong", function()
    command.write(path, "a\n1\n")
    local function refuses(options, message)
      local ok, problem = pcall(frame.read_csv, path, options)
      assert.is_false(ok)
      assert.truthy(problem:find(message, 1, true), problem)
    end
    refuses({ seperator = "," }, "(there is no option 'seperator')")
    refuses({ separator = 1 }, "'separator' must be a string, it is a number")
    refuses({ escape = "c" }, "'escape' cannot be 'c'")
    refuses({ types = { a = "float" } }, "'a' has an unknown type")
    refuses({ header = false }, "needs 'names'")
    refuses({ quarantine = path }, "must not be the file itself")
    refuses({ bad_limit = 2 }, "'bad_limit' must be a share from 0 to 1")
    refuses({ separator = "\n" }, "cannot be one")
    refuses({ block = 0 }, "'block' must be a number of bytes")
  end)

  it("loses the torn row at most, wherever a file is cut", function()
    local rows = { "id,text,n\n" }
    for i = 1, 40 do rows[#rows + 1] = ('%d,"a ""b"", c\nsecond %d",%d.5\n'):format(i, i, i) end
    local text, ends, at = table.concat(rows), {}, 0
    for i, row in ipairs(rows) do
      at = at + #row
      ends[i] = at
    end
    for cut = ends[1], #text, 23 do
      local whole = 0
      while ends[whole + 2] and ends[whole + 2] <= cut do whole = whole + 1 end
      local f = assert(read(text:sub(1, cut), { bad_limit = 1, types = { id = "string", text = "string" } }))
      assert.is_true(f:rows() >= whole and f:rows() <= whole + 1)
      if whole > 0 then assert.equal(("a \"b\", c\nsecond %d"):format(whole), f:text("text", whole)) end
    end
  end)
end)

describe("an events file cut at any byte", function()
  in_a_folder()

  it("loses no more than the torn row", function()
    local news = require "recsys.sample.news"
    local text = command.read(assert(news.generate { dir = folder .. "/news", scale = 0.001, seed = 3 }).dir
      .. "/events.csv")
    local options = { bad_limit = 1, separator = ",", escape = "doubled", types = { eventTimestamp = "time_ms" } }
    local whole, all = assert(read(text, options))
    local ends = {} -- where each record ends: all lines of this file are records
    for at in text:gmatch "()\n" do ends[#ends + 1] = at end
    assert.equal(#ends - 1, all.rows + all.quarantined)
    math.randomseed(11)
    for _ = 1, 200 do
      local cut = math.random(ends[1], #text)
      local f, report = assert(read(text:sub(1, cut), options))
      local lines = 0
      while ends[lines + 2] and ends[lines + 2] <= cut do lines = lines + 1 end
      local found = report.rows + report.quarantined
      assert.is_true(found >= lines and found <= lines + 1)
      assert.equal(text:sub(cut, cut) ~= "\n", report.unterminated)
      local sound = f:rows() - (found - lines)
      for _, row in ipairs { 1, sound // 2, sound } do
        if row >= 1 and row <= sound then
          assert.equal(whole:text("deviceId", row), f:text("deviceId", row))
          assert.equal(whole:value("eventTimestamp", row), f:value("eventTimestamp", row))
        end
      end
    end
  end)
end)

describe("several files", function()
  in_a_folder()

  it("are one table, by list or by pattern, compressed or not", function()
    command.write(folder .. "/events-1.csv", "user,n\na,1\nb,2\n")
    command.write(folder .. "/events-2.csv", "n;user\n3x;c\n4;a\n5\n")
    assert(os.execute(("gzip '%s/events-2.csv'"):format(folder)))
    for _, paths in ipairs { folder .. "/events-*", { folder .. "/events-1.csv", folder .. "/events-2.csv.gz" } } do
      local f, report = assert(frame.read_csv(paths, { bad_limit = 0.4 }))
      assert.same({ "a", "b", "c", "a" }, column(f, "user"))
      assert.same({ "1", "2", "3x", "4" }, column(f, "n"))
      assert.same({ 4, 1, "string" }, { report.rows, report.quarantined, report.types.n })
      assert.same({ "none", "gzip" }, { report.files[1].compression, report.files[2].compression })
      assert.same({ line = 4, reason = "1 field instead of 2" }, report.files[2].first_bad)
      assert.same(folder .. "/events-2.csv.gz", report.files[2].path)
    end
  end)

  it("are refused when none is there, or where one cannot be", function()
    local f, message, code = frame.read_csv(folder .. "/none-*.csv")
    assert.same({ nil, "io" }, { f, code })
    assert.truthy(message:find("no file is like", 1, true))
    command.write(path, "a\n1\n")
    f, message, code = frame.read_csv { path, folder .. "/absent.csv" }
    assert.same({ nil, "io" }, { f, code })
    assert.truthy(message:find("absent.csv", 1, true))
    assert.has_error(function() frame.read_csv({ path, path }, { cache = folder }) end,
      "bad argument #2 to 'read_csv' ('cache' is for a single file)")
  end)

  it("read names with brackets as they stand when there is such a file", function()
    command.write(folder .. "/a[1].csv", "a\n1\n")
    assert.equal(1, assert(frame.read_csv(folder .. "/a[1].csv")):rows())
    assert.same({ folder .. "/a[1].csv" }, frame.glob(folder .. "/a*"))
  end)

  it("are refused as damaged when a stream is cut off", function()
    command.write(path, ("a,b\n" .. ("1,2\n"):rep(1000)))
    assert(os.execute(("gzip '%s'"):format(path)))
    local bytes = command.read(path .. ".gz")
    command.write(path, bytes:sub(1, #bytes // 2))
    local f, message, code = frame.read_csv(path)
    assert.same({ nil, "format" }, { f, code })
    assert.truthy(message:find(path, 1, true))
    assert.truthy(message:find("ends within its gzip stream", 1, true))
  end)

  it("tells empty files, lines of old Macs and pipes from a torn header", function()
    local function refuses(text, why, wanted)
      local f, message, code = read(text)
      assert.same({ nil, wanted }, { f, code })
      assert.truthy(message:find(why, 1, true), message)
    end
    refuses(("\n"):rep(100000), "is empty: not even a header", "format")
    refuses("\r\r\r", "is empty: not even a header", "format")
    refuses("user,item\ru,i\rv,j\r", "its lines end with a carriage return alone", "format")
    refuses('a,"b\n', "a quote in it is not closed", "format")
    assert.same({ "a", "b" }, assert(read "a,b\r"):names())
    os.remove(path)
    assert(os.execute(("mkfifo '%s'"):format(path)))
    local f, message, code = frame.read_csv(path)
    assert.same({ nil, "io" }, { f, code })
    assert.truthy(message:find("it is not a regular file", 1, true), message)
  end)

  it("names the argument and the option that is wrong", function()
    command.write(path, "a\n1\n")
    local function refuses(path_given, options, why)
      local ok, message = pcall(frame.read_csv, path_given, options)
      assert.is_false(ok)
      assert.truthy(message:find(why, 1, true), message)
    end
    refuses(nil, nil, "bad argument #1 to 'read_csv' (the path of a file, or a table of them, expected)")
    refuses({ path, 5 }, nil, "bad argument #1 to 'read_csv' (paths must be strings)")
    refuses(path, 5, "bad argument #2 to 'read_csv' (table expected, got number)")
    refuses(path, { nulls = { "x", 1 } },
      "bad argument #2 to 'read_csv' ('nulls' must hold strings, number 2 is a number)")
  end)
end)

describe("frame.write_csv", function()
  in_a_folder()

  local function sample()
    return frame.from {
      { "s", "string", { 'a "b", c', "line\nbreak", false, "back\\slash", "कखग" } },
      { "n", "number", { 0.1, -1e300, false, 3, 2 ^ 53 } },
      { "t", "time", { 0, 1700000000123, false, -1, 5 } },
      { "l", "list", { { "x", "y" }, {}, false, { "z" }, { "x" } } },
    }
  end

  it("reads back as it was, in both dialects and all ways to write times", function()
    for _, escape in ipairs { "doubled", "backslash" } do
      for times, kind in pairs { iso = "time", ms = "time_ms", s = "time_s" } do
        local f = sample()
        assert(frame.write_csv(path, f, { escape = escape, times = times }))
        local again, report = assert(frame.read_csv(path, { types = { l = "list", t = kind, n = "number" } }))
        assert.equal(escape, report.escape)
        for _, name in ipairs(f:names()) do assert.same(column(f, name), column(again, name)) end
      end
    end
  end)

  it("writes RFC 4180 or what it is asked for", function()
    local f = frame.from { { "a", "string", { 'x"', false } }, { "t", "time", { 0, false } } }
    assert(frame.write_csv(path, f))
    assert.equal('a,t\n"x""",1970-01-01T00:00:00.000Z\n,\n', command.read(path))
    assert(frame.write_csv(path, f, { escape = "backslash", separator = "\t", header = false, null = "NULL",
      times = "ms" }))
    assert.equal('"x\\""\t0\nNULL\tNULL\n', command.read(path))
  end)

  it("keeps the rows of a single column with missing values", function()
    assert(frame.write_csv(path, frame.from { { "a", "string", { "x", false, "y" } } }))
    assert.same({ "x", false, "y" }, column(assert(frame.read_csv(path)), "a"))
  end)

  it("refuses to write what would not read back", function()
    local f = frame.from { { "a", "list", { { "x|y", "z" }, {} } } }
    local done, message, code = frame.write_csv(path, f)
    assert.same({ nil, "format" }, { done, code })
    assert.truthy(message:find("'x|y' in list column 'a' holds the separator of lists, '|'", 1, true), message)
    assert.is_nil(io.open(path))
    assert(frame.write_csv(path, f, { list = ";" }))
    local again = assert(frame.read_csv(path, { types = { a = { "list", ";" } } }))
    assert.same(column(f, "a"), column(again, "a"))
    for _, separator in ipairs { "\n", "\r", '"', "\\", "12345678", "" } do
      assert.has_error(function() frame.write_csv(path, f, { separator = separator }) end)
    end
    assert.has_error(function() frame.write_csv(path, f, { list = "" }) end)
  end)

  it("returns the system's refusal", function()
    local done, message, code = frame.write_csv("/nonexistent/x.csv", sample())
    assert.same({ nil, "io" }, { done, code })
    assert.truthy(message:find("/nonexistent/x.csv", 1, true))
  end)
end)

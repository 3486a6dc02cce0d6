--- Reading JSON Lines from Lua. Hostile bytes are runtime/frame/jsonl_fuzz.c's.

local column = require "spec.support.column"
local command = require "spec.support.command"
local frame = require "recsys.frame"
local json = require "recsys.json"

describe("frame.read_jsonl", function()
  local folder, path
  before_each(function()
    folder = command.temporary()
    path = folder .. "/data.jsonl"
  end)
  after_each(function() command.remove(folder) end)

  local function read(text, options)
    command.write(path, text)
    return frame.read_jsonl(path, options)
  end

  it("makes columns of fields, with the types of their values", function()
    local f, report = assert(read('{"id":"a","n":1.5,"t":"2024-01-31T12:00:00+05:30","on":true,"tags":["x","y"]}\n\n'
      .. '{"n":-2e3,"id":"b\\u00e9 \\ud83d\\ude00\\n","tags":[],"on":false,"in":{"deep":{"er":"z"}}}\r\n'
      .. '{"id":null,"tags":["y",null,7]}\n'))
    assert.same({ "id", "n", "t", "on", "tags", "in.deep.er" }, f:names())
    assert.same({ "a", "bé 😀\n", false }, column(f, "id"))
    assert.same({ 1.5, -2000, false }, column(f, "n"))
    assert.same({ frame.parse_time "2024-01-31T06:30:00Z", false, false }, column(f, "t"))
    assert.same({ 1, 0, false }, column(f, "on"))
    assert.same({ { "x", "y" }, {}, { "y", "7" } }, column(f, "tags"))
    assert.same({ false, "z", false }, column(f, "in.deep.er"))
    assert.same({ 3, 0, "none", "utf-8", false, "list" }, { report.rows, report.quarantined, report.compression,
      report.encoding, report.unterminated, report.types.tags })
  end)

  it("makes strings of fields of several kinds and of integers that a double would change", function()
    local f = assert(read('{"a":1,"b":9007199254740992,"c":9007199254740992,"d":["x"],"e":true}\n'
      .. '{"a":"one","b":9007199254740993,"c":12,"d":"y","e":"yes"}\n'))
    assert.same({ "1", "one" }, column(f, "a"))
    assert.same({ "9007199254740992", "9007199254740993" }, column(f, "b"))
    assert.same({ 2 ^ 53, 12 }, column(f, "c"))
    assert.same({ '["x"]', "y" }, column(f, "d"))
    assert.same({ "true", "yes" }, column(f, "e"))
  end)

  it("takes declared types and chosen fields", function()
    local f = assert(read('{"ms":1700000000123,"s":"1700000000","n":"2.5","o":{"p":[1, {}]},"l":"x;y","other":1}\n',
      { types = { ms = "time_ms", s = "time_s", n = "number", o = "string", l = { "list", ";" } },
        columns = { "o", "ms", "s", "n", "l" } }))
    assert.same({ "o", "ms", "s", "n", "l" }, f:names())
    assert.same({ '{"p":[1, {}]}', 1700000000123, 1700000000000, 2.5 },
      { f:text("o", 1), f:value("ms", 1), f:value("s", 1), f:value("n", 1) })
    assert.same({ "x", "y" }, f:text("l", 1))
  end)

  it("quarantines malformed lines with line and reason", function()
    local aside = path .. ".bad"
    local bad = { '{"a":1,"a":2}', '{"a":01}', '{"a":"\\x"}', '{"a":1} x', "[1]", '{"a":"\\ud800"}', '{"a":1',
      '{"a":tru}', '{"a":"b\xFF"}', '{"x":1,"y":{"z":1,"z":2}}', '{"":1}', '{"a":"' .. "\1" .. '"}',
      '{"a":' .. ("["):rep(99) }
    local f, report = assert(read('{"a":1}\n' .. table.concat(bad, "\n") .. '\n{"a":2}',
      { bad_limit = 1, quarantine = aside }))
    assert.same({ 1, 2 }, column(f, "a"))
    assert.same({ #bad, true, { line = 2, reason = "a key comes twice, at byte 12" } },
      { report.quarantined, report.unterminated, report.first_bad })
    local rows = assert(frame.read_csv(aside))
    for i, line in ipairs(bad) do
      assert.equal(i + 1, rows:value("line", i))
      if not line:find "\xFF" then assert.equal(line, rows:text("text", i)) end
    end
    local none, message, code = read('{"a":1}\n{"a":\n', { types = { a = "number" } })
    assert.same({ nil, "format" }, { none, code })
    assert.truthy(message:find("1 of 2 rows are malformed", 1, true))
  end)

  it("finds fields and kinds that come late, the same in blocks of any size", function()
    local lines = {}
    for i = 1, 3000 do
      local line = { id = "u" .. i % 37, n = i > 2500 and "word" or i, at = { k = i % 9 } }
      if i > 1500 then line.late = { "t" .. i % 11 } end
      if i > 2900 then line.later = i end
      lines[i] = i % 100 == 99 and "{torn" or json.encode(line)
    end
    local text = table.concat(lines, "\n")
    local whole, report = assert(read(text, { bad_limit = 1, block = 1 << 20 }))
    assert.same({ "string", "list", "number" }, { whole:type "n", whole:type "late", whole:type "later" })
    assert.equal(2970, whole:rows())
    for _, block in ipairs { 1, 300, 5000 } do
      local f, again = assert(read(text, { bad_limit = 1, block = block }))
      assert.same(report, again)
      assert.same(whole:names(), f:names())
      for _, name in ipairs(whole:names()) do
        assert.same(whole:type(name) ~= "number" and whole:strings(name), f:type(name) ~= "number" and f:strings(name))
        assert.same(column(whole, name), column(f, name))
      end
    end
  end)

  it("reads several files, compressed or not, as one table", function()
    command.write(folder .. "/a.jsonl", '{"u":"x","n":1}\n')
    command.write(folder .. "/b.jsonl", '{"n":2,"v":"y"}\n')
    assert(os.execute(("gzip '%s/b.jsonl'"):format(folder)))
    local f, report = assert(frame.read_jsonl(folder .. "/*.jsonl*"))
    assert.same({ "u", "n", "v" }, f:names())
    assert.same({ { "x", false }, { 1, 2 }, { false, "y" } }, { column(f, "u"), column(f, "n"), column(f, "v") })
    assert.same({ 2, "gzip" }, { report.rows, report.files[2].compression })
  end)

  it("takes the fields of the first file that has some", function()
    command.write(folder .. "/0.jsonl", "")
    command.write(folder .. "/1.jsonl", '{"u":"x"}\n')
    local f, report = assert(frame.read_jsonl(folder .. "/*.jsonl"))
    assert.same({ "x" }, column(f, "u"))
    assert.same({ 0, 1 }, { report.files[1].rows, report.files[2].rows })
  end)

  it("refuses what is not there or no JSON Lines", function()
    local function refuses(text, options, why)
      local f, message, code = read(text, options)
      assert.same({ nil, "format" }, { f, code })
      assert.truthy(message:find(why, 1, true), message)
    end
    refuses("", nil, "holds no object")
    refuses("a,b\n1,2\n", nil, "holds no object")
    refuses('\n{\n  "a": 1\n}\n', nil, "one object a line is expected, and line 2 is malformed: a key is missing")
    refuses('[{"a":1}]\n', nil, "line 1 is malformed: no object begins here")
    refuses('{"a":1}\n', { columns = { "b" } }, "no line has a field 'b'")
    refuses('{"a":1}\n', { types = { b = "number" } }, "no line has a field 'b'")
    assert.has_error(function() frame.read_jsonl(path, { separator = "," }) end,
      "bad argument #2 to 'read_jsonl' (there is no option 'separator')")
  end)
end)

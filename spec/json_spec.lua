--- JSON whose bytes depend on the value alone.

local json = require "recsys.json"

describe("json", function()
  it("writes keys in sorted order whatever order they were set in", function()
    assert.equal('{"a":1,"b":{"c":[1,2.5,"x"]},"z":null}',
      json.encode { z = json.null, b = { c = { 1, 2.5, "x" } }, a = 1 })
  end)

  it("writes floats so that they read back to the bit", function()
    for _, x in ipairs { 0.1, 1 / 3, 1e300, 5e-324, 123456789.123456789, -2.0 } do
      assert.equal(x, json.decode("[" .. json.encode(x) .. "]")[1])
    end
    assert.equal("0.1", json.encode(0.1))
  end)

  it("has no NaN, so writes null", function()
    assert.equal("[null,null]", json.encode { 0 / 0, math.huge })
  end)

  it("escapes control characters, quotes and backslashes", function()
    local s = 'a"b\\c\n\t\1\127é'
    assert.equal(s, json.decode("[" .. json.encode(s) .. "]")[1])
  end)

  it("tells an empty array from an empty object", function()
    assert.equal('{"list":[],"object":{}}', json.encode { list = json.list {}, object = {} })
  end)

  it("refuses what JSON cannot hold", function()
    assert.has_error(function() json.encode { f = print } end, "a function cannot be written as JSON")
  end)

  it("reads exactly: whole numbers to the last digit, floats to the bit, arrays as such", function()
    local text = '{"a": [9007199254740993, -9223372036854775808, 0.1, 1e3, -0, 2.5E-3], "b": [], "c": {}, "d": null,'
      .. ' "e": [true,false], "f": "\\u00e9\\ud83d\\ude00\\/\\n\127é"}'
    local value = assert(json.exact(text))
    assert.same({ 9007199254740993, math.mininteger, 0.1, 1000.0, 0, 0.0025 }, { table.unpack(value.a) })
    assert.equal("integer", math.type(value.a[1]))
    assert.equal("float", math.type(value.a[4]))
    assert.is_true(json.is_list(value.b) and not json.is_list(value.c))
    assert.equal(json.null, value.d)
    assert.equal("é😀/\n\127é", value.f)
    assert.same(value, json.exact(json.encode(value)))
    assert.equal(json.null, json.exact " null ")
  end)

  it("refuses what it would have to guess, and says where", function()
    for text, message in pairs {
      ['{"a": 1,\n "b": 2, "a": 3}'] = "line 2, column 10: 'a' stands there twice",
      ['[9223372036854775808]'] = "line 1, column 2: a whole number that 64 bits do not hold",
      ['[1e999]'] = "a number beyond all that there are",
      ['[01]'] = "no value stands here", ['[1.]'] = "a number that is none", ['[+1]'] = "no value stands here",
      ['[0x10]'] = "a number that is none", ['[NaN]'] = "no value stands here", ['[1,]'] = "no value stands here",
      ['{"a" 1}'] = "':' is expected", ['{a: 1}'] = 'a text in "..." is expected',
      ['[1 2]'] = "',' or ']' is expected",
      ['"open-sesame'] = "line 1, column 13: a text has no end", ['"a\nb"'] = "a control character",
      ['"\\x"'] = "before what needs none", ['"\\ud83d"'] = "half of a character",
      ['"\\u12"'] = "four hexadecimal digits",
      ['"\\ude00"'] = "half of a character", ['{} {}'] = "more behind the value", [''] = "no value stands here",
      ['"\255"'] = "not in UTF-8", [("["):rep(300)] = "more than 200 levels",
    } do
      local value, said = json.exact(text)
      assert.is_nil(value)
      assert.matches(message, said, 1, true)
      assert.is_nil(said:find("sesame", 1, true))
    end
  end)

  it("reads exactly what others read, of any bytes", function()
    local random = 7
    local pieces = { "{", "}", "[", "]", '"a"', ":", ",", "1", "-2.5e3", "true", "null", " ", '"', "\\n", "x" }
    local function draw(n)
      random = random * 1103515245 + 12345 & 0x7fffffff
      return (random >> 8) % n + 1
    end
    local agreed = 0
    for _ = 1, 20000 do
      local parts = {}
      for i = 1, draw(7) do parts[i] = pieces[draw(#pieces)] end
      local text = table.concat(parts)
      local value, said = json.exact(text)
      assert.is_true(value ~= nil or type(said) == "string")
      if value ~= nil then
        agreed = agreed + 1
        local function told(it) return (json.encode(it):gsub("%[%]", "{}")) end -- cjson has no empty arrays
        assert.equal(told(json.decode("[" .. text .. "]")[1]), told(value), text)
      end
    end
    assert.is_true(agreed > 500, agreed)
  end)
end)

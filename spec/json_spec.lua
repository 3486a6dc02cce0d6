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
end)

--- What people read: nearest names, durations, spans, counts, columns.

local text = require "recsys.text"

describe("text", function()
  it("counts insertions, deletions, replacements and swaps as one edit", function()
    assert.equal(0, text.distance("same", "same"))
    assert.equal(1, text.distance("epoch", "epochs"))
    assert.equal(1, text.distance("epcoh", "epoch"))
    assert.equal(3, text.distance("kitten", "sitting"))
    assert.equal(4, text.distance("", "four"))
  end)

  it("finds the nearest name and admits when none is near", function()
    assert.equal("train.epochs", text.nearest("train.epoch", { "data.dir", "train.epochs" }))
    assert.is_nil(text.nearest("quagmire", { "data.dir", "train.epochs" }))
    assert.is_nil(text.nearest("x", {}))
    assert.is_nil(text.nearest("train.patience", { "train.batch", "train.epochs" })) -- alike in their group alone
    assert.equal("train.patience", text.nearest("train.patients", { "train.batch", "train.patience" }))
  end)

  it("writes durations and counts for people", function()
    assert.equal("0.8 s", text.duration(0.82))
    assert.equal("12 s", text.duration(12.3))
    assert.equal("3 min 20 s", text.duration(200))
    assert.equal("2 h 05 min", text.duration(7500))
    assert.equal("1,234,567", text.count(1234567))
    assert.equal("123", text.count(123))
    assert.equal("-1,000", text.count(-1000))
  end)

  it("reads spans of time, and names what is none", function()
    assert.same({ 604800000, 43200000, 1800000, 90500, 1209600000, 250, 7 }, { text.milliseconds "7d",
      text.milliseconds "12h", text.milliseconds " 30 m ", text.milliseconds "90.5s", text.milliseconds "2w",
      text.milliseconds "250ms", text.milliseconds(7.9) })
    for _, wrong in ipairs { "soon", "7", "7 days", "1.2.3d", "" } do
      assert.is_nil((text.span(wrong)))
      local ok, refused = pcall(text.milliseconds, wrong)
      assert.is_false(ok)
      assert.equal("usage", refused.code)
      assert.equal(("'%s' is no span of time such as 7d, 12h or 30m"):format(wrong), refused.message)
    end
  end)

  it("makes bytes that are no UTF-8 readable, and cuts between characters", function()
    assert.equal("", text.readable "")
    assert.equal("fine ä€", text.readable "fine ä€")
    assert.equal("\u{FFFD}a\u{FFFD}\u{FFFD}ä\u{FFFD}", text.readable "\xffa\xe2\x82ä\xc3")
    assert.equal("\u{FFFD}\u{FFFD}\u{FFFD}", text.readable "\xed\xa0\x80") -- half a pair of UTF-16
    assert.same({ "", "", "ä", "ä", "äa", "äa€" }, { text.shortened("äa€", 0), text.shortened("äa€", 1),
      text.shortened("äa€", 2), text.shortened("ä€", 4), text.shortened("äa€", 5), text.shortened("äa€", 6) })
  end)

  it("aligns columns by characters, not bytes", function()
    assert.equal("é    1\nab  22", text.columns { { "é", "1" }, { "ab", "22" } })
  end)
end)

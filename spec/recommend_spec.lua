--- Recommendations as files.

local command = require "spec.support.command"
local files = require "recsys.files"
local json = require "recsys.json"
local recommend = require "recsys.recommend"
local tensor = require "recsys.tensor"

local function request(more)
  local r = { users = tensor.new { { 1, 0 }, { 0, 1 } }, items = tensor.new { { 1, 3 }, { 2, 2 }, { 3, 1.5 } },
    user_ids = { "ann", 'b"o,b' }, item_ids = { "i1", "i 2", "i,3" }, k = 2, dir = command.scratch(finally) }
  for name, value in pairs(more or {}) do r[name] = value end
  return r
end

describe("recommend.batch", function()
  it("writes user, rank, item and score as CSV and JSON Lines", function()
    local written = assert(recommend.batch(request()))
    assert.equal("user,rank,item,score\nann,1,\"i,3\",3\nann,2,i 2,2\n\"b\"\"o,b\",1,i1,3\n\"b\"\"o,b\",2,i 2,2\n",
      files.read(written.csv))
    local lines = {}
    for line in files.read(written.jsonl):gmatch "[^\n]+" do lines[#lines + 1] = json.decode(line) end
    assert.same({ { user = "ann", rank = 1, item = "i,3", score = 3 },
      { user = "ann", rank = 2, item = "i 2", score = 2 }, { user = 'b"o,b', rank = 1, item = "i1", score = 3 },
      { user = 'b"o,b', rank = 2, item = "i 2", score = 2 } }, lines)
    assert.equal(4, written.rows)
    assert.equal(2, written.users)
  end)

  it("leaves excluded items out and writes fewer lines where there are fewer candidates", function()
    local written = assert(recommend.batch(request { excluded = { starts = tensor.new({ 0, 0 }, "i64"),
      lengths = tensor.new({ 2, 0 }, "i32"), values = tensor.new({ 2, 1 }, "i32") } }))
    assert.equal('user,rank,item,score\nann,1,i1,1\n"b""o,b",1,i1,3\n"b""o,b",2,i 2,2\n', files.read(written.csv))
    assert.equal(3, written.rows)
  end)

  it("gives all candidates when more are asked for than there are items, without room for the rest", function()
    local written = assert(recommend.batch(request { k = 1000000000000000 }))
    assert.equal(6, written.rows)
  end)

  it("adds titles where there are any", function()
    local written = assert(recommend.batch(request { titles = { "One", "Two,\nlines", 'The "third"' }, k = 1 }))
    assert.equal('user,rank,item,score,title\nann,1,"i,3",3,"The ""third"""\n"b""o,b",1,i1,3,One\n',
      files.read(written.csv))
    assert.equal('The "third"', json.decode(files.read(written.jsonl):match "^[^\n]+").title)
  end)

  it("writes many users in blocks, each as if alone", function()
    local rows, ids = {}, {}
    for i = 1, 3000 do rows[i], ids[i] = { i % 7, -(i % 5) }, "u" .. i end
    local written = assert(recommend.batch(request { users = tensor.new(rows), user_ids = ids, k = 1 }))
    local lines, n = {}, 0
    for line in files.read(written.csv):gmatch "[^\n]+" do lines[n], n = line, n + 1 end
    assert.equal(3001, n)
    for i = 1, 3000 do
      local best, at = -math.huge, nil
      for j, item in ipairs { { 1, 3 }, { 2, 2 }, { 3, 1.5 } } do
        local score = (i % 7) * item[1] - (i % 5) * item[2]
        if score > best then best, at = score, j end
      end
      assert.equal(("u%d,1,%s,%.9g"):format(i, ({ "i1", "i 2", '"i,3"' })[at], best), lines[i])
    end
  end)

  it("leaves nothing behind when a score is NaN, and says what the disk refuses", function()
    local broken = request { users = tensor.new { { 0 / 0, 0 }, { 0, 1 } } }
    assert.has_error(function() recommend.batch(broken) end)
    assert.is_nil(files.read(broken.dir .. "/recommendations.csv"))
    assert.equal("", assert(io.popen("ls " .. broken.dir)):read "a")
    local refused = request { name = "no/such/folder" }
    local written, message, code = recommend.batch(refused)
    assert.is_nil(written)
    assert.matches("cannot write", message)
    assert.equal("io", code)
  end)

  it("names what is missing", function()
    assert.has_error(function() recommend.batch { users = tensor.zeros(1, 2) } end,
      "bad argument #1 to 'batch' ('items' is missing)")
    assert.has_error(function() recommend.batch(request { user_ids = { "ann" } }) end,
      "bad argument #1 to 'batch' (2 users have 1 ids, 3 items 3)")
  end)
end)

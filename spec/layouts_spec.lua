--- Sources for the file layouts of published data sets: small files of every layout, damaged ones, and where
--- RECSYS_TEST_DATA is given, the sizes of the real sets.

local column = require "spec.support.column"
local command = require "spec.support.command"
local data = require "recsys.data"
local lfs = require "lfs"
local log = require "recsys.log"
local ncf = require "recsys.data.ncf"

log.level = "quiet"

local folder
before_each(function() folder = command.temporary() end)
after_each(function() command.remove(folder) end)

local function spew(name, text) command.write(folder .. "/" .. name, text) end

local function load(source, options)
  local p = { source = source, dir = folder }
  for key, value in pairs(options or {}) do p[key] = value end
  return data.load(p)
end

local function refused(source, code, said, options)
  local d, message, got = load(source, options)
  assert.same({ nil, code }, { d, got })
  assert.truthy(message:find(said, 1, true), message)
end

local function real(name)
  local root = os.getenv "RECSYS_TEST_DATA"
  local path = root and root .. "/" .. name
  if path and lfs.attributes(path) then return path end
  pending(("needs %s in the folder RECSYS_TEST_DATA"):format(name))
end

local function pairs_of(d, rows)
  local f, list = d.interactions:filter(rows), {}
  for row = 1, f:rows() do list[row] = f:text("user", row) .. " " .. f:text("item", row) end
  return list
end

local function test_rows(split)
  split:end_selection "a spec"
  return split:open_test "a spec"
end

describe("the source lightgcn", function()
  it("reads a line a user, some without items, and gives the parts of splits", function()
    spew("train.txt", "0 10 11 12\n1 11\n\n3 7 10 \n")
    spew("test.txt", "0 7\n1\n3 12 11\n")
    spew("tune_train.txt", "0 10 12\n1 11\n3 7\n")
    spew("tune_valid.txt", "0 11\n3 10\n")
    local d = assert(load "lightgcn")
    assert.same({ "0", "0", "0", "1", "3", "3", "0", "3", "3" }, column(d.interactions, "user"))
    assert.same({ "10", "11", "12", "11", "7", "10", "7", "12", "11" }, column(d.interactions, "item"))
    assert.same({ 3, 4 }, { d.users:rows(), d.items:rows() })
    local split = data.split_given(d, { train = "train.txt", test = "test.txt" })
    assert.same({ 0, 1, 2, 3, 4, 5 }, split.train:tolist())
    assert.same({ "0 7", "3 12", "3 11" }, pairs_of(d, test_rows(split)))
    split = data.split_given(d, { train = "tune_train.txt", valid = "tune_valid.txt", test = "test.txt" })
    assert.same({ "0 11", "3 10" }, pairs_of(d, split.valid))
    assert.same({ 0, 2, 3, 4 }, split.train:tolist())
  end)

  it("counts an item once that stands twice in its line", function()
    spew("train.txt", "0 10 11 10\n")
    spew("test.txt", "0 12\n")
    local d = assert(load "lightgcn")
    assert.same({ "10", "11", "12" }, column(d.interactions, "item"))
    assert.equal(1, d.report.repeated)
  end)

  it("names the line of what it cannot read", function()
    spew("test.txt", "0 7\n")
    refused("lightgcn", "io", "train.txt and test.txt are expected there")
    spew("train.txt", "0 10 11\n\n1 11 x2\n")
    refused("lightgcn", "format", folder .. "/train.txt, line 3: 'x2' is no whole number")
    spew("train.txt", "0 10 11\n1 -4\n")
    refused("lightgcn", "format", "line 2: '-4' is no whole number")
    spew("train.txt", "0 10 11\n \n4 3\n0 12\n")
    refused("lightgcn", "format", folder .. "/train.txt, line 4: the user of line 1 again")
    spew("train.txt", "0 10 11\n4\t3\n")
    refused("lightgcn", "format", "the first is line 2")
    spew("train.txt", "")
    refused("lightgcn", "format", "train.txt")
    spew("train.txt", "0 10\n4 7 3\n")
    spew("test.txt", "0 7\n4 5 3\n")
    refused("lightgcn", "format", "1 of its pairs are in train.txt as well, the first is user 4 with item 3")
  end)

  it("reads Gowalla", function()
    local dir = real "gowalla"
    if not dir then return end
    local d = assert(data.load { source = "lightgcn", dir = dir })
    local split = data.split_given(d, { train = "tune_train.txt", valid = "tune_valid.txt", test = "test.txt" })
    assert.same({ 29858, 40981, 719081, 91047, 217242 },
      { d.users:rows(), d.items:rows(), #split.train, #split.valid, split.n_test })
  end)
end)

describe("the source ncf", function()
  local function write()
    spew("x.train.rating", "0\ta\t5\t30\n0\tb\t4\t30\n0\tc\t4\t10\n1\td\t3\t20\n1\ta\t3\t15\n")
    spew("x.test.rating", "0\td\t5\t40\n1\tb\t1\t50\n")
    spew("x.test.negative", "(0,d)\te\tf\td\n(1,b)\tc\te\n")
  end

  it("reads ratings, and the items of the negatives too", function()
    write()
    local d = assert(load "ncf")
    assert.equal("x", d.name)
    assert.same({ "a", "b", "c", "d", "e", "f" }, column(d.items, "item"))
    assert.same({ "c", "a", "d", "a", "b", "d", "b" }, column(d.interactions, "item"), "in order of time")
    local split = data.split_given(d, ncf.parts(d))
    assert.same({ "0 d", "1 b" }, pairs_of(d, test_rows(split)))
  end)

  it("holds out each user's latest training row, of equal times the last in the file", function()
    write()
    local d = assert(load "ncf")
    local split = data.split_given(d, ncf.hold_out(d))
    assert.same({ "1 d", "0 b" }, pairs_of(d, split.valid))
    assert.same({ "0 c", "1 a", "0 a" }, pairs_of(d, split.train))
  end)

  it("lists test rows as published, behind their own item", function()
    write()
    local d = assert(load "ncf")
    local split = data.split_given(d, ncf.parts(d))
    local lists = ncf.candidates(d, split, 1)("test", test_rows(split))
    assert.same({ { 0, 4 }, { 4, 3 }, { 3, 4, 5, 3, 1, 2, 4 } },
      { lists.starts:tolist(), lists.lengths:tolist(), lists.values:tolist() })
  end)

  it("draws distinct items without a training row, as many as there are", function()
    write()
    local d = assert(load "ncf")
    local split = data.split_given(d, ncf.hold_out(d))
    local lists = ncf.candidates(d, split, 7)("valid", split.valid)
    assert.same({ 5, 4 }, lists.lengths:tolist(), "of user 1 all but a, of user 0 all but a and c")
    local first, second = lists.values:tolist(), {}
    second = table.move(first, 6, 9, 1, second)
    assert.same({ 3, 1 }, { first[1], second[1] }, "the own item leads")
    table.sort(second)
    assert.same({ 1, 3, 4, 5 }, second)
    assert.same(first, ncf.drawn(d, split, split.valid, 7).values:tolist())
  end)

  it("says what is missing or does not fit", function()
    refused("ncf", "io", "NAME.train.rating (or NAME.train.tsv)")
    write()
    spew("x.train.tsv", "")
    refused("ncf", "io", "one set a folder is expected")
    os.remove(folder .. "/x.train.tsv")
    spew("x.test.negative", "(0,d)\te\tf\td\n1,b\tc\te\n")
    refused("ncf", "format", "x.test.negative, line 2: begins with '1,b', not with \"(user,item)\"")
    spew("x.test.negative", "(0,d)\te\tf\td\n(1,a)\tc\te\n")
    refused("ncf", "format", "has a list of item a for user 1, whose test item is b")
    spew("x.test.negative", "(0,d)\te\tf\td\n")
    refused("ncf", "format", "has no list for user 1")
  end)

  it("reads ML-1M, with the 156 lists that name their own test item", function()
    local dir = real "ml-1m-ncf"
    if not dir then return end
    local d = assert(data.load { source = "ncf", dir = dir })
    local split = data.split_given(d, ncf.parts(d))
    assert.same({ 6040, 3706, 994169, 6040 }, { d.users:rows(), d.items:rows(), #split.train, split.n_test })
    local lists, own = ncf.published(d, test_rows(split)), 0
    assert.equal(6040 * 100, #lists.values)
    local values = lists.values:reshape(6040, 100)
    for column_at = 2, 100 do
      own = own + values:select(2, column_at):contiguous():eq(values:select(2, 1):contiguous()):to("i64"):sum()
    end
    assert.equal(156, own)
  end)
end)

describe("the sources sasrec and s3rec", function()
  it("read pairs in the order of the file", function()
    spew("set.txt", "1 5\n1 3\n2 5\n1 9\n2 7\n2 1\n")
    local d = assert(load "sasrec")
    assert.equal("set", d.name)
    local split = data.split_leave_last_out(d)
    assert.same({ { "1 3", "2 7" }, { "1 5", "2 5" } }, { pairs_of(d, split.valid), pairs_of(d, split.train) })
    assert.same({ "1 9", "2 1" }, pairs_of(d, test_rows(split)))
  end)

  it("read lists, repetitions kept", function()
    spew("set.txt", "1 5 3 5 9\n2 5 7\n")
    spew("other.txt", "1 1\n")
    refused("s3rec", "io", "holds other.txt, set.txt: say which one by data.file")
    local d = assert(load("s3rec", { file = "set.txt" }))
    assert.same({ "5", "3", "5", "9", "5", "7" }, column(d.interactions, "item"))
    assert.same({ "1 9", "2 7" }, pairs_of(d, test_rows(data.split_leave_last_out(d))))
  end)

  it("say what is missing or damaged", function()
    refused("sasrec", "io", "there is no NAME.txt")
    refused("s3rec", "io", "there is no gone.txt", { file = "gone.txt" })
    spew("set.txt", "1 5\n1\n")
    refused("sasrec", "format", "set.txt")
    spew("set.txt", "1 5\n1 \n")
    refused("sasrec", "format", "set.txt: row 2 has no item")
    spew("set.txt", "1 5\n2 a 4\n")
    refused("s3rec", "format", "line 2: 'a' is no whole number")
  end)

  it("read ML-1M", function()
    local dir = real "ml-1m-sasrec"
    if not dir then return end
    local d = assert(data.load { source = "sasrec", dir = dir })
    local split = data.split_leave_last_out(d)
    assert.same({ 6040, 3416, 987531, 6040, 6040 },
      { d.users:rows(), d.items:rows(), #split.train, #split.valid, split.n_test })
  end)
end)

--- Splits: what they hold out, and who may look at it when.

local command = require "spec.support.command"
local data = require "recsys.data"
local feature = require "recsys.feature"
local frame = require "recsys.frame"
local lfs = require "lfs"
local log = require "recsys.log"
local store = require "recsys.store"
local tensor = require "recsys.tensor"

log.level = "quiet"

local function dataset(users, times)
  local items = {}
  for i = 1, #users do items[i] = "i" .. i end
  return data.new { interactions = frame.from { { "user", "string", users }, { "item", "string", items },
    { "time", "time", times } } }
end

local function test_rows(split)
  split:end_selection "a spec"
  return split:open_test "a spec":tolist()
end

local function count_up(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end

local function same_user(n)
  local list = {}
  for i = 1, n do list[i] = "u" end
  return list
end

describe("split.by_time", function()
  it("gives the last shares to validation and test", function()
    local s = data.split_by_time(dataset(same_user(10), count_up(10)), { valid = 0.2, test = 0.1 })
    assert.same({ 0, 1, 2, 3, 4, 5, 6 }, s.train:tolist())
    assert.same({ 7, 8 }, s.valid:tolist())
    assert.same({ 9 }, test_rows(s))
    assert.same({ "by_time", "by_time", true, "strict" }, { s.name, s.protocol, s.causal, s.ties })
  end)

  it("does not divide a moment", function()
    local s = data.split_by_time(dataset(same_user(8), { 1, 2, 3, 3, 3, 4, 4, 4 }), { valid = 0.5, test = 0.125 })
    assert.same({ 0, 1 }, s.train:tolist())
    assert.same({ 2, 3, 4 }, s.valid:tolist())
    assert.same({ 5, 6, 7 }, test_rows(s))
  end)

  it("refuses shares that leave nothing to train on, and unknown options", function()
    local d = dataset(same_user(3), count_up(3))
    assert.has_error(function() data.split_by_time(d, { valid = 0.5, test = 0.5 }) end,
      "bad argument #2 to 'by_time' (valid + test leave nothing to train on)")
    assert.has_error(function() data.split_by_time(d, { test = -1 }) end)
    assert.has_error(function() data.split_by_time(d, { tset = 0.1 }) end,
      "bad argument #2 to 'by_time' (there is no option 'tset')")
  end)
end)

describe("split.leave_last_out", function()
  local users = { "a", "b", "a", "c", "a", "b", "a", "d", "d", "d" }
  local times = { 1, 1, 2, 2, 3, 3, 3, 5, 5, 5 }

  it("tests each user's last, validates on the second-last, and trains on the rest", function()
    local s = data.split_leave_last_out(dataset(users, times))
    assert.same({ 0, 1, 2, 3, 7 }, s.train:tolist())
    assert.same({ 4, 8 }, s.valid:tolist())
    assert.same({ 5, 6, 9 }, test_rows(s))
    assert.same({ "leave_last_out", false, "order" }, { s.protocol, s.causal, s.ties })
  end)

  it("can do without validation", function()
    local s = data.split_leave_last_out(dataset(users, times), { valid = false })
    assert.same({ 0, 1, 2, 3, 4, 7, 8 }, s.train:tolist())
    assert.same({}, s.valid:tolist())
    assert.equal(3, s.n_test)
  end)
end)

describe("split.random", function()
  it("puts each row in one part, by the seed", function()
    local d = dataset(same_user(100), count_up(100))
    local function make(seed) return data.split_random(d, { valid = 0.2, test = 0.1, seed = seed }) end
    local s, seen = make(1), {}
    for _, part in ipairs { s.train:tolist(), s.valid:tolist(), test_rows(s) } do
      for i, row in ipairs(part) do
        assert.is_nil(seen[row])
        assert.is_true(i == 1 or part[i - 1] < row)
        seen[row] = true
      end
    end
    assert.same({ 70, 20, 10 }, { #s.train, #s.valid, s.n_test })
    assert.equal(99, #seen) -- and row 0
    assert.same(s.train:tolist(), make(1).train:tolist())
    assert.not_same(s.train:tolist(), make(2).train:tolist())
    assert.same(s.train:tolist(), s.history_log:tolist())
  end)
end)

describe("split.given", function()
  local function part(users, items)
    return frame.from { { "user", "string", users }, { "item", "string", items } }
  end

  it("finds the rows of ready parts", function()
    local d = dataset({ "a", "b", "a", "b" }, { 4, 3, 2, 1 })
    local s = data.split_given(d, { train = part({ "a", "b" }, { "i1", "i4" }), test = part({ "a" }, { "i3" }) })
    assert.same({ 0, 3 }, s.train:tolist())
    assert.same({ 1 }, test_rows(s))
    assert.equal("per_user", s.protocol)
  end)

  it("has histories know their own moment when it is told to", function()
    local d = dataset({ "a", "a" }, { 1, 1 })
    local parts = { train = part({ "a" }, { "i1" }), test = part({ "a" }, { "i2" }) }
    assert.equal("strict", data.split_given(d, parts).ties)
    parts.ties = "order"
    local s = data.split_given(d, parts)
    assert.equal("order", s.ties)
    local encoder = feature.fit(d, s.train, { user = {}, event = { feature.history { of = "id", length = 3 } },
      item = { feature.id { "item" } } })
    local rows = tensor.new({ 1 }, "i64")
    local function known(ties)
      local events = encoder:encode_events(d, rows, { ties = ties, log = s.history_log })
      return events:gather(tensor.new({ 0 }, "i64"))["event.history"]:tolist()
    end
    assert.same({ 1 }, known(s.ties))
    assert.same({}, known "strict")
    parts.ties = "both"
    assert.has_error(function() data.split_given(d, parts) end,
      "bad argument #2 to 'given' (ties must be strict or order, not 'both')")
  end)

  it("refuses rows that are not there and rows that are twice there", function()
    local d = dataset({ "a", "b" }, { 1, 2 })
    local ok, problem = pcall(data.split_given, d, { train = part({ "a", "a" }, { "i1", "i2" }), test = part({ "b" },
      { "i2" }) })
    assert.same({ false, "format" }, { ok, problem.code })
    assert.truthy(problem.message:find("the training part has 1 rows that are not among", 1, true))
    ok, problem = pcall(data.split_given, d, { train = part({ "a" }, { "i1" }), test = part({ "a" }, { "i1" }) })
    assert.same({ false, "an interaction is in two parts of the given split" }, { ok, problem.message })
  end)

  it("reads ML-100K's own parts", function()
    local root = os.getenv "RECSYS_TEST_DATA"
    if not root or not lfs.attributes(root .. "/ml-100k") then
      pending "needs ml-100k in the folder RECSYS_TEST_DATA"
      return
    end
    local d = assert(data.load { source = "movielens", dir = root .. "/ml-100k" })
    local s = data.split_given(d, { train = "u1.base", test = "u1.test" })
    assert.same({ 80000, 20000 }, { #s.train, #test_rows(s) })
    assert.same({ 90570, 9430 }, { #data.split_given(d, { train = "ua.base", test = "ua.test" }).train,
      data.split_given(d, { train = "ua.base", test = "ua.test" }).n_test })
  end)
end)

describe("the test rows of a split", function()
  local function make() return data.split_by_time(dataset(same_user(10), count_up(10)), { valid = 0.2, test = 0.1 }) end

  it("stay sealed while selection goes on", function()
    local s = make()
    assert.has_error(function() s:open_test "peeking" end, "Selection code cannot open the test split before the final "
      .. "evaluation (split:end_selection(reason) ends the selection): enforced and logged")
    assert.has_error(function() return s.test end)
    s:end_selection "trained"
    assert.same({ 9 }, s:open_test("final"):tolist())
    assert.same({ "final" }, s.openings)
  end)

  it("are not in what selection code is given", function()
    local s = make()
    local given = s:selection()
    assert.same({ s.train:tolist(), s.valid:tolist(), 1 }, { given.train:tolist(), given.valid:tolist(),
      given.n_test })
    assert.has_error(function() given:end_selection "I say so" end)
    given.state = "final"
    assert.has_error(function() given:open_test() end)
  end)

  it("are logged with the reason, and so is a refusal", function()
    local path = command.scratch(finally) .. "/log"
    log.to(path)
    local s = make()
    pcall(s.open_test, s, "early peek")
    s:end_selection "two_tower trained"
    s:open_test "the final evaluation"
    log.to(nil)
    local text = command.read(path)
    for _, line in ipairs { "refused to open the test split: early peek", "selection is over: two_tower trained",
      "the test split is opened, time 1: the final evaluation" } do
      assert.truthy(text:find(line, 1, true), text)
    end
  end)

  it("and the state survive being stored", function()
    local folder = command.scratch(finally) .. "/stored"
    local s = make()
    store.save(folder, s)
    local again = store.load(folder)
    assert.same({ s.train:tolist(), s.name, 1, "selection" }, { again.train:tolist(), again.name, again.n_test,
      again.state })
    assert.has_error(function() again:open_test() end)
    assert.same({ 9 }, test_rows(again))
  end)

  it("refuses to be made with nothing to train on, or from what is no split", function()
    local d = dataset({ "a", "b", "c" }, { 5, 5, 5 })
    local function refuses(why, make_split, ...)
      local ok, problem = pcall(make_split, d, ...)
      assert.is_false(ok)
      problem = type(problem) == "table" and problem.message or problem
      assert.truthy(problem:find(why, 1, true), problem)
    end
    refuses("split by_time leaves nothing to train on: all 3 rows are held out; events of one moment stay together",
      data.split_by_time, { test = 0.1 })
    refuses("split random leaves nothing to train on: all 3 rows are held out", data.split_random, { test = 0.9 })
    refuses("(test must be a share from 0 to below 1, not", data.split_by_time, { test = 0 / 0 })
    refuses("a table of options expected, not a nil", data.split_by_time)
    refuses("a table of options expected, not a string", data.split_random, "test")
    refuses("there is no part 'train'", data.split_given, {})
    refuses("a part is a frame or the name of a file, not a number", data.split_given, { train = 5 })
  end)
end)

--- Expectations: each passing and failing, as a frame's check and as a declaration, and in a recipe.

local command = require "spec.support.command"
local expect = require "recsys.expect"
local frame = require "recsys.frame"
local json = require "recsys.json"
local log = require "recsys.log"

local function people()
  return frame.from {
    { "user", "string", { "ann", "bob", "ann", false } },
    { "rating", "number", { 1, 7, 3, 0 } },
    { "time", "time", { 1000, 2000, 86400000, false } },
    { "tags", "list", { { "x" }, { "y", "z" }, {}, { "x", "w" } } },
  }
end

--- What a failing check said.
local function said(ok, message, code)
  assert.is_nil(ok)
  assert.equal("quality", code)
  return message
end

describe("expect", function()
  setup(function() log.level = "quiet" end)
  teardown(function() log.level = "info" end)

  it("unique: no two rows are alike in their keys, those that miss one aside", function()
    local f = people()
    assert.same({ expectation = "unique rating", severity = "fail", passed = true, rows = 4, offending = 0 },
      expect.unique(f, "rating"))
    assert.is_true(expect.unique(f, { "user", "rating" }).passed)
    assert.is_true(expect.unique(f:filter(f:where("user", "missing")), "user").passed)
    assert.equal("expectation failed: unique user: 1 of 4 rows has a value of an earlier row\n"
      .. "    row 3 (as row 1): user ann, rating 3, time 1970-01-02, tags none", said(expect.unique(f, "user")))
  end)

  it("range: numbers and times between two bounds, both included", function()
    local f = people()
    assert.is_true(expect.range(f, "rating", { min = 0, max = 7 }).passed)
    assert.is_true(expect.range(f, "rating", { min = 0 }).passed)
    assert.is_true(expect.range(f, "time", { min = "1970-01-01T00:00:01Z", max = 86400000 }).passed)
    assert.equal("expectation failed: range rating: 2 of 4 rows lie outside: 1 below 1, 1 above 5\n"
      .. "    row 2: rating 7, user bob, time 1970-01-01 00:00:02, tags y|z\n"
      .. "    row 4: rating 0, user missing, time missing, tags x|w",
      said(expect.range(f, "rating", { min = 1, max = 5 })))
    assert.matches("1 of 4 rows lies outside: 1 above 1970%-01%-01T12:00:00Z",
      said(expect.range(f, "time", { max = "1970-01-01T12:00:00Z" })))
  end)

  it("missing_below: less than a share is missing", function()
    local f = people()
    assert.is_true(expect.missing_below(f, "user", 0.26).passed)
    assert.is_true(expect.missing_below(f, "rating", 0).passed)
    assert.matches("missing_below user: 1 of 4 rows %(25%.0 %%%) lacks a value\n    row 4: user missing",
      said(expect.missing_below(f, "user", 0.25)))
    assert.matches("tags: 1 of 4 rows", said(expect.missing_below(f, "tags", 0.1)))
  end)

  it("fresh: the newest time is not too old", function()
    local f = people()
    assert.is_true(expect.fresh(f, "time", { within = "1d", of = "1970-01-03" }).passed)
    assert.is_true(expect.fresh(f, "time", { within = 0, of = 86400000 }).passed)
    assert.equal("expectation failed: fresh time: the newest of 3 times is of 1970-01-02, 1 h 00 min older than is "
      .. "allowed at 1970-01-03 01:00:00\n    row 3: time 1970-01-02, user ann, rating 3, tags none",
      said(expect.fresh(f, "time", { within = "1d", of = "1970-01-03T01:00:00Z" })))
    assert.matches("older than is allowed now", said(expect.fresh(f, "time", { within = "2w" })))
    local now = frame.from { { "t", "time", { os.time() * 1000 - 5000 } } }
    assert.is_true(expect.fresh(now, "t", { within = "1m" }).passed)
    assert.matches("there is no time at all", said(expect.fresh(f:filter(f:where("time", "missing")), "time",
      { within = "1d" })))
  end)

  it("values_in: strings, numbers and members of lists are of a set", function()
    local f = people()
    assert.is_true(expect.values_in(f, "user", { "ann", "bob", "eve" }).passed)
    assert.is_true(expect.values_in(f, "rating", { 0, 1, 3, 7 }).passed)
    assert.is_true(expect.values_in(f, "tags", { "x", "y", "z", "w" }).passed)
    assert.matches("values_in user: 1 of 4 rows has another value: 'bob'\n    row 2: user bob",
      said(expect.values_in(f, "user", { "ann" })))
    assert.matches("2 of 4 rows have another value: '7', '0'\n    row 2: rating 7.*\n    row 4: rating 0",
      said(expect.values_in(f, "rating", { 1, 3 })))
    assert.matches("2 of 4 rows have another value: 'z', 'w'\n    row 2: tags y|z.*\n    row 4: tags x|w",
      said(expect.values_in(f, "tags", { "x", "y" })))
  end)

  it("joins: a share of the rows finds a partner", function()
    local f, g = people(), frame.from { { "id", "string", { "ann", "eve" } } }
    assert.is_true(expect.joins(f, g, { user = "id" }, { least = 0.5 }).passed)
    assert.is_true(expect.joins(g:filter(g:where("id", "==", "ann")), f, { id = "user" }).passed)
    assert.equal("expectation failed: joins user: 2 of 4 rows find no partner in the other frame: 50.0 % join, at "
      .. "least 51.0 % must\n    row 2: user bob, rating 7, time 1970-01-01 00:00:02, tags y|z\n"
      .. "    row 4: user missing, rating 0, time missing, tags x|w",
      said(expect.joins(f, g, { user = "id" }, { least = 0.51 })))
  end)

  it("warns only where it is told to", function()
    local outcome = expect.range(people(), "rating", { max = 5, severity = "warn" })
    assert.same({ false, 1, "warn" }, { outcome.passed, outcome.offending, outcome.severity })
    assert.matches("1 of 4 rows lies outside: 1 above 5", outcome.message)
    assert.same({ { row = 2, values = { { "rating", "7" }, { "user", "bob" }, { "time", "1970-01-01 00:00:02" },
      { "tags", "y|z" } } } }, outcome.examples)
  end)

  it("shows five rows and says how many there are", function()
    local values = {}
    for i = 1, 5000 do values[i] = i end
    local message = said(expect.range(frame.from { { "x", "number", values } }, "x", { min = 4001 }))
    assert.matches("4,000 of 5,000 rows lie outside", message)
    assert.equal(5, select(2, message:gsub("\n    row ", "")))
  end)

  it("checks all declarations, whatever fails, and names the tables", function()
    local tables = { people = people(), names = frame.from { { "user", "string", { "ann" } } } }
    local declared = { expect.unique("people", "user"), expect.range("people", "rating", { min = 0 }),
      expect.joins("people", "names", "user", { severity = "warn" }), expect.missing_below("names", "user", 0.5),
      expect.range("people", "rating", { max = 5 }) }
    assert.same({ expect = "range", table = "people", column = "rating", min = 0, severity = "fail" }, declared[2])
    local found, message, code = expect.all(tables, declared)
    assert.same({ nil, "quality" }, { found, code })
    assert.matches("^2 of 5 expectations failed:\n  unique people%.user: 1 of 4 .*\n  range people%.rating: 1 of 4 ro",
      message)
    found = expect.all(tables, { declared[2], declared[3], declared[4] })
    assert.same({ 3, 1, 3 }, { found.checked, found.warned, #found.outcomes })
    assert.equal("3 expectations checked, 1 warned", tostring(found))
    assert.matches("joins people.user: 2 of 4 rows find no partner in names", found.outcomes[2].message)
  end)

  it("names the argument that makes no sense, and the column that is not there", function()
    local f = people()
    assert.has_error(function() return (expect.range(f, "rating", { mn = 1 })) end,
      "bad argument #3 to 'range' (there is no option 'mn')")
    assert.has_error(function() return (expect.range(f, "rating", {})) end,
      "bad argument #3 to 'range' (min or max is expected)")
    assert.has_error(function() return (expect.range(f, "user", { min = 1 })) end,
      "expectation range user: the column is a string, which has no range")
    assert.has_error(function() return (expect.unique(f, "usr")) end,
      "expectation unique usr: there is no column 'usr'; there are: user, rating, time, tags")
    assert.has_error(function() return (expect.missing_below(f, "user", 2)) end,
      "bad argument #3 to 'missing_below' (a share from 0 to 1 is expected)")
    assert.has_error(function() return (expect.fresh(f, "time", { within = "soon" })) end,
      "bad argument #3 to 'fresh' (within must be a span of time such as '2d')")
    assert.has_error(function() return (expect.unique(f, "user", { severity = "panic" })) end,
      "bad argument #3 to 'unique' (severity must be 'fail' or 'warn', not 'panic')")
    assert.has_error(function() return (expect.unique(3, "user")) end,
      "bad argument #1 to 'unique' (a frame, or the name of a table, is expected)")
    assert.has_error(function() expect.all({ people = f }, { expect.unique("persons", "user") }) end,
      "bad argument #2 to 'all' (unique: there is no table 'persons'; there are: people)")
  end)
end)

describe("expectations in a recipe", function()
  local folder

  local function run(words)
    return command.run(("cd %s && OMP_NUM_THREADS=1 %s %s"):format(folder, command.program, words))
  end

  local source = [[
    local recsys = require "recsys"
    local expect = recsys.expect
    return recsys.recipe { name = "gate", about = "x", params = { most = 5.0 }, run = function(flow, p)
      local tables = flow:task("load", function()
        return { log = recsys.frame.from { { "rating", "number", { 1, 7 } }, { "user", "string", { "a", "a" } } } }
      end)
      local checked = flow:task("check", expect.all, tables, { expect.range("log", "rating", { max = p.most }),
        expect.unique("log", "user", { severity = "warn" }) })
      return { warned = checked.warned }
    end }
  ]]

  setup(function()
    folder = command.temporary()
    command.write(folder .. "/gate.lua", source)
  end)
  teardown(function() command.remove(folder) end)

  it("end it with code 3 when one fails, and show the rows", function()
    local ran = run "gate.lua"
    assert.equal(3, ran.code, ran.err)
    assert.matches("recsys%-run: task 'check': 1 of 2 expectations failed:\n  range log%.rating: 1 of 2 rows lies "
      .. "outside: 1 above 5%.0\n    row 2: rating 7, user a\n", ran.err)
    assert.is_nil(ran.err:find "traceback")
  end)

  it("put warnings into the log and the run's result", function()
    local ran = run "gate.lua --set most=10 --json"
    assert.equal(0, ran.code, ran.err)
    local result = json.decode(ran.out)
    assert.equal(1, result.warned)
    assert.same({ "range log.rating", true }, { result.expectations[1].expectation, result.expectations[1].passed })
    assert.same({ "unique log.user", false, "warn", 1 }, { result.expectations[2].expectation,
      result.expectations[2].passed, result.expectations[2].severity, result.expectations[2].offending })
    assert.matches("warning: unique log%.user: 1 of 2 rows has a value of an earlier row", ran.err)
    assert.matches("warning: unique log%.user", command.read(folder .. "/" .. result.paths.run .. "/log.txt"))
  end)

  it("hold the news sample to what training relies on: recipes/check.lua", function()
    local ran = run "check --set data.scale=0.001 --json"
    assert.equal(0, ran.code, ran.err)
    local result = json.decode(ran.out)
    assert.same({ 10, 10 }, { result.checked, #result.expectations })
    ran = run "check --set data.scale=0.001 --set data.fresh=2d"
    assert.equal(3, ran.code)
    assert.matches("fresh interactions%.time: the newest of .* older than is allowed now", ran.err)
  end)
end)

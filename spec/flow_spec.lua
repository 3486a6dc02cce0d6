--- Tasks, their saved results, and what becomes of errors.

local command = require "spec.support.command"
local files = require "recsys.files"
local flow = require "recsys.flow"
local json = require "recsys.json"
local log = require "recsys.log"
local uv = require "luv"

local function add(a, b) return { sum = a + b } end

describe("flow", function()
  local level = log.level
  setup(function() log.level = "quiet" end)
  teardown(function() log.level = level end)

  it("hands results from task to task through handles and their fields", function()
    local steps = flow.new {}
    local first = steps:task("first", add, 1, 2)
    local second = steps:task("second", add, first.sum, 10)
    local third = steps:task("third", function(t) return t.inside.deep end, { inside = { deep = second.sum } })
    assert.equal(13, second:value().sum)
    assert.equal(13, third:value())
  end)

  it("keeps what a task tells in a log of its own, too, and makes none for who tells nothing", function()
    local folder = command.scratch(finally)
    local steps = flow.new { folder = folder }
    steps:task("silent", add, 1, 2)
    steps:task("tells", function()
      log.info("so far %d", 1)
      log.warn "odd"
      log.note "aside"
      return 1
    end)
    local ok = pcall(steps.task, steps, "fails", function() error("no luck", 0) end)
    assert.is_false(ok)
    log.info "after all"
    assert.same({ "02-tells.txt", "03-fails.txt" }, files.names(folder .. "/logs"))
    local stamp = "%d+%-%d%d%-%d%dT%d%d:%d%d:%d%dZ "
    assert.matches(("^%sso far 1\n%swarning: odd\n%saside\n$"):format(stamp, stamp, stamp),
      command.read(folder .. "/logs/02-tells.txt"))
    assert.matches("^" .. stamp .. "task fails failed after [^\n]*: no luck\n$",
      command.read(folder .. "/logs/03-fails.txt"))
  end)

  it("runs tasks whose log cannot be written", function()
    local folder = command.scratch(finally)
    command.write(folder .. "/logs", "no folder")
    local steps = flow.new { folder = folder }
    local value = steps:task("tells", function()
      log.info "one"
      log.info "two"
      return 1
    end):value()
    assert.equal(1, value)
    assert.equal("no folder", command.read(folder .. "/logs"))
  end)

  it("notes the time of each task", function()
    local steps = flow.new {}
    steps:task("one", add, 1, 2)
    assert.is_true(steps:seconds().one >= 0)
  end)

  it("fails with the task's name when the function raises", function()
    local steps = flow.new {}
    local ok, problem = pcall(steps.task, steps, "broken", function() error "no luck" end)
    assert.is_false(ok)
    assert.equal("broken", problem.task)
    assert.matches("no luck", problem.message)
  end)

  it("fails with message and code when the function gives nil, message, code", function()
    local steps = flow.new {}
    local _, problem = pcall(steps.task, steps, "refused", function() return nil, "disk full", "io" end)
    assert.same({ code = "io", message = "disk full", task = "refused" }, problem)
  end)

  it("refuses a name that is taken or not a name", function()
    local steps = flow.new {}
    steps:task("one", add, 1, 2)
    local _, problem = pcall(function() steps:task("one", add, 1, 2) end)
    assert.equal("usage", problem.code)
    assert.matches("flow_spec.lua:%d+: there is a task 'one' already$", problem.message)
    _, problem = pcall(function() steps:task("a b", add, 1, 2) end)
    assert.equal("usage", problem.code)
    assert.matches("flow_spec.lua:%d+: task 'a b': a name of letters, digits, _ and %- is expected$", problem.message)
  end)

  it("refuses what needs a value of a handle, when it is planned and when it runs", function()
    for _, steps in ipairs { flow.new {}, flow.new { plan = true } } do
      local one = steps:task("one", add, 1, 2)
      for word, misuse in pairs {
        ["calculated with"] = function() return 1 + one.sum end, ["joined to a text"] = function() return one .. "" end,
        compared = function() return one.sum <= 3 end, counted = function() return #one end,
        ["gone through"] = function()
          if steps.plan_only then return pairs(one) end
          for _, of in ipairs(one.list) do assert(of) end
        end, called = function() return one(1) end,
      } do
        local _, problem = pcall(misuse)
        assert.equal("usage", problem.code)
        assert.matches(("flow_spec.lua:%%d+: the handle on task 'one' is no value, and cannot be %s: do that in a "
          .. "task, or take the value by handle:value%%(%%)$"):format(word), problem.message)
      end
    end
  end)

  it("makes the folder in which a part has its paths, which a plan does not", function()
    local folder = command.scratch(finally)
    local function write(path)
      files.write(path, "x", true)
      return path
    end
    local function outer(part)
      return part:sub("inner", function(inner) return inner:task("write", write, inner:path "x.txt") end)
    end
    flow.new { plan = true }:sub("outer", outer)
    assert.is_false(files.exists "RUN")
    assert.equal(folder .. "/outer/inner/x.txt", flow.new { folder = folder }:sub("outer", outer):value())
    assert.equal("x", command.read(folder .. "/outer/inner/x.txt"))
  end)

  it("refuses mistakes of a recipe that are sure before the first task runs", function()
    local folder = command.scratch(finally)
    for words, message in pairs {
      ["flow:task('a', function() end)"] = "mistaken.lua:%d+: there is a task 'a' already\n",
      ["local b = a + 1"] = "mistaken.lua:%d+: the handle on task 'a' is no value, and cannot be calculated with: ",
      ["for _ = 1, #a.list do end"] = "the handle on task 'a' is no value, and cannot be counted: ",
      ["local b = math.floor(a)"] = "number expected, got recsys.Handle%): a handle is no value; do that in a task",
      ["flow:task('a b', function() end)"] = "mistaken.lua:%d+: task 'a b': a name of letters, digits",
      ["flow:sub('p', print); flow:sub('p', print)"] = "mistaken.lua:%d+: there is a part 'p' already",
    } do
      command.write(folder .. "/mistaken.lua", ([[
        return require("recsys").recipe { name = "mistaken", about = "Wrong", run = function(flow)
          local a = flow:task("a", function() assert(io.open("ran", "w")):close() end)
          %s
        end } ]]):format(words))
      local ran = command.run(("cd '%s' && '%s' mistaken.lua"):format(folder, command.program))
      assert.equal(2, ran.code, ran.err)
      assert.matches(message, ran.err)
      assert.is_false(files.exists(folder .. "/ran"))
      assert.is_false(files.exists(folder .. "/artifacts/runs"))
    end
    command.write(folder .. "/mistaken.lua", 'return require("recsys").recipe { name = "mistaken", on_fail = 1 }')
    local ran = command.run(("cd '%s' && '%s' mistaken.lua"):format(folder, command.program))
    assert.equal(2, ran.code, ran.err)
  end)

  it("refuses a task without a function, with the recipe's line, also when it is planned", function()
    for _, steps in ipairs { flow.new {}, flow.new { plan = true } } do
      for _, words in ipairs { { nil, 1 }, { { save = false } }, { "x", add } } do
        local _, problem = pcall(function() steps:task("train", table.unpack(words, 1, 2)) end)
        assert.equal("usage", problem.code)
        assert.matches("flow_spec.lua:%d+: task 'train' is given no function to call; is its name right%?$",
          problem.message)
      end
    end
  end)

  it("plans without running, and ends the plan where a value is asked for", function()
    local ran = false
    local steps = flow.new { plan = true }
    local first = steps:task("first", function() ran = true end)
    steps:task("second", add, first.sum, { first })
    assert.is_false(ran)
    assert.equal("  1  first        \n  2  second       after first", steps:plan())
    local _, problem = pcall(function() return first:value() end)
    assert.equal("plan", problem.code)
  end)

  it("shows a planned task's arguments to the check of its function", function()
    local function work() return true end
    flow.check(work, function(n) if n == 2 then error({ code = "usage", message = "2 will not do" }, 0) end end)
    local steps = flow.new { plan = true }
    steps:task("fine", work, 1)
    assert.has_error(function() steps:task("wrong", work, 2) end, { code = "usage", message = "2 will not do" })
    assert.is_true(flow.new {}:task("run", work, 2):value())
  end)

  it("blames the recipe's line where the function blames its caller", function()
    local function blaming() error("no such column", 2) end
    local _, problem = pcall(function() flow.new {}:task("features", blaming) end)
    assert.equal("no such column", problem.message)
    assert.matches("flow_spec.lua:%d+$", problem.where)
  end)

  it("does not let a result be changed through its handle", function()
    local first = flow.new {}:task("first", add, 1, 2)
    assert.has_error(function() first.sum = 4 end)
  end)

  it("tells in tasks.json when each task began, what fed it and how it ends, as it goes", function()
    local folder, seen = command.temporary(), {}
    finally(function() command.remove(folder) end)
    local function read() return json.decode(command.read(folder .. "/tasks.json")) end
    local steps = flow.new { folder = folder, told = function() seen[#seen + 1] = read() end }
    local first = steps:task("first", add, 1, 2)
    uv.sleep(5)
    steps:task("second", add, first.sum, 4)
    pcall(steps.task, steps, "third", function() error("no luck", 0) end)
    local states = {}
    for i, list in ipairs(seen) do states[i] = list[#list].state end
    assert.same({ "running", "completed", "running", "completed", "running", "failed" }, states)
    local list = read()
    assert.same({}, list[1].after)
    assert.same({ "first" }, list[2].after)
    assert.is_true(list[2].started >= list[1].started + 5)
    assert.is_true(math.abs(os.time() * 1000 - list[1].started) < 60000)
    assert.is_true(list[3].seconds >= 0 and list[3].seconds < 1)
  end)
end)

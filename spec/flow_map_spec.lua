--- flow:map, its order and failures; limits between flows; parts of flows. With real processes.

local command = require "spec.support.command"
local files = require "recsys.files"
local limit = require "recsys.flow.limit"
local recipe_run = require "spec.support.recipe_run"
local record = require "recsys.flow.record"
local state = require "recsys.flow.state"
local uv = require "luv"

local RECIPE = [[
local recsys = require "recsys"
local uv = require "luv"

local notes = require "notes"
local note, pid = notes.add, notes.pid

--- Later elements are ready first.
local function slow_square(i, more)
  note("began.txt", i)
  uv.sleep(300 // i)
  return { square = i * i + more, pid = pid() }
end

local function odd(i)
  if i % 2 == 0 then return nil, i .. " is even", "busy" end
  return i
end

local steps = {}

function steps.order(flow, p)
  local more = flow:task("more", function() return { by = 100 } end)
  local squares = flow:map("squares", { concurrency = 3, process = p.process }, slow_square, { 1, 2, 3, 4, 5 }, more.by)
  local sum = flow:task("sum", function(list)
    local all = {}
    for i, one in ipairs(list) do all[i] = one.square end
    return all
  end, squares)
  return { squares = sum, pids = { squares[1].pid, squares[2].pid } }
end

function steps.stops(flow, p)
  return { list = flow:map("odd", { concurrency = 1, process = p.process }, odd, { 1, 3, 4, 5, 6 }) }
end

function steps.keeps(flow, p)
  return { list = flow:map("odd", { on_error = "keep", process = p.process }, odd, { 1, 2, 3 }) }
end

function steps.all_fail(flow, p)
  flow:map("odd", { on_error = "keep", process = p.process }, odd, { 2, 4 })
end

function steps.others(flow)
  flow:map("mixed", { concurrency = 3 }, function(i)
    note("pids.txt", pid())
    if i == 2 then
      uv.sleep(400)
      error "no luck"
    end
    for _ = 1, 300 do uv.sleep(100) end
  end, { 1, 2, 3, 4 })
end

function steps.resumes(flow)
  return { list = flow:map("counted", { concurrency = 1 }, function(i)
    note("runs.txt", i)
    if i == 3 and not io.open "go" then
      note("waits.txt", pid())
      for _ = 1, 300 do uv.sleep(100) end
    end
    return i * 10
  end, { 1, 2, 3, 4 }) }
end

function steps.limited(flow, p)
  flow:map("work", { concurrency = 2, limits = { one = 1 }, process = p.process }, function()
    note("spans.txt", "in")
    uv.sleep(60)
    note("spans.txt", "out")
  end, { 1, 2, 3 })
end

--- Notes which elements are called; an odd one fails the first time.
function steps.cached(flow, p)
  local by = flow:task("by", function() return { n = 10 } end)
  return { list = flow:map("counted", { process = p.process, concurrency = 1, retries = 1 }, function(i, n, folder)
    if i % 2 == 1 and notes.first(i) then error "no luck yet" end
    note("runs.txt", i)
    local path = ("%s/of-%d.txt"):format(folder, i)
    require "recsys.files".make_folder(folder)
    require "recsys.files".write(path, tostring(i), true)
    return { i = i * n, t = recsys.tensor.new { i }, path = path }
  end, p.list, by.n, flow:path "left"):value() and 1 }
end

function steps.crowd(flow, p)
  local list = {}
  for i = 1, 12 do list[i] = i end
  flow:map("crowd", { concurrency = 3, limits = { one = 1 }, process = p.process }, function() uv.sleep(5) end, list)
end

function steps.twice(flow, p)
  flow:map("twice", { concurrency = 2, limits = { one = 1 }, process = p.process }, function(i)
    note("twice.txt", i)
    uv.sleep(100)
    return i
  end, { 1, 2, 3, 4, 5 })
end

function steps.empty(flow)
  return { list = recsys.json.list {}, n = flow:map("none", odd, {}) }
end

local other = recsys.recipe {
  name = "other", about = "A part", params = { by = recsys.config.param(2, "factor", { min = 1 }), deep = { add = 0 } },
  run = function(flow, p)
    local product = flow:task("product", { process = true }, function(by, add) return { n = by * 10 + add } end, p.by,
      p.deep.add)
    return { product = product.n, seed = p.seed, path = flow:path "x" }
  end,
}

function steps.parts(flow, p)
  local first = flow:sub("first", other, { by = 3, deep = { add = 1 } })
  local second = flow:sub("second", other)
  local both = flow:sub("both", function(part, of)
    return part:task("sum", function(a, b) return a + b end, of.a, of.b)
  end, { a = first.product, b = second.product })
  return { both = both, paths = { first.path, second.path } }
end

local shop = recsys.recipe {
  name = "shop", about = "A part with a secret", params = { api = { token = recsys.config.secret "of the shop" } },
  run = function(flow, p)
    local asked = flow:task("asked", { process = true }, function(token)
      require "recsys.log".warn("%s was taken", token:reveal())
      return { length = #token:reveal(), token = token }
    end, p.api.token)
    local again = flow:task("again", function(of) return #of.token:reveal() end, asked)
    return { asked.length, again }
  end,
}

function steps.secrets(flow, p)
  local from_file = flow:sub("from_file", shop, { api = { token = "@token.txt" } })
  local ours = flow:sub("ours", shop, { api = { token = p.token } })
  return { lengths = { from_file, ours, flow:sub("the-shop", shop) } }
end

local seeded = recsys.recipe {
  name = "seeded", about = "A part of a part", params = {},
  run = function(flow, p) return { seed = p.seed, all = flow:sub("inner", other).seed } end,
}

function steps.seeds(flow)
  local given, taken = flow:sub("given", seeded, { seed = 3 }), flow:sub("taken", seeded)
  local child = flow:task("child", { process = true }, function(n) return { n = n } end, taken.seed)
  return { seeds = { given.seed, given.all, taken.seed, taken.all, child.n } }
end

function steps.looks(flow)
  if flow:task("first", odd, 1):value() then flow:task("second", odd, 3) end
end

function steps.no_list(flow) flow:map("odd", odd, { a = 1 }) end

function steps.wrong_part(flow) flow:sub("first", other, { bye = 3 }) end

return recsys.recipe {
  name = "map", about = "Maps", params = { what = "", process = true, list = { 1, 2, 3, 4 },
    token = recsys.config.secret("ours", { optional = true }) },
  run = function(flow, p) return steps[p.what](flow, p) or {} end,
}]]

local runs

describe("a map", function()
  before_each(function() runs = recipe_run(RECIPE) end)
  after_each(function() runs:remove() end)

  it("gives results in the order of its elements, several at once, each by a process of its own", function()
    local code, err, result = runs:run "order"
    assert.equal(0, code, err)
    assert.same({ 101, 104, 109, 116, 125 }, result.squares)
    assert.not_equal(result.pids[1], result.pids[2])
    assert.is_nil(uv.fs_stat(runs:run_folder() .. "/unfinished"))
  end)

  it("runs one after another in the flow's process when it is told to", function()
    local code, err, result = runs:run("order", { "--set", "process=false" })
    assert.equal(0, code, err)
    assert.same({ 101, 104, 109, 116, 125 }, result.squares)
    assert.equal(result.pids[1], result.pids[2])
    assert.equal("1\n2\n3\n4\n5\n", runs:read "began.txt")
  end)

  it("ends at the first failure, told with the element's index, with the exit code of its refusal", function()
    for _, process in ipairs { "true", "false" } do
      local code, err = runs:run("stops", { "--set", "process=" .. process })
      assert.equal(75, code)
      assert.matches("task 'odd': element 3: 4 is even", err)
    end
  end)

  it("keeps what succeeds when it is told to, and fails when nothing does", function()
    for _, process in ipairs { "true", "false" } do
      local code, err, result = runs:run("keeps", { "--set", "process=" .. process })
      assert.equal(0, code, err)
      assert.same({ 1, { failed = { index = 2, message = "element 2: 2 is even", code = "busy" } }, 3 }, result.list)
      assert.matches("warning: task odd: element 2: 2 is even", err)
      code, err = runs:run("all_fail", { "--set", "process=" .. process })
      assert.equal(75, code)
      assert.matches("task 'odd': element 1: 2 is even", err)
    end
  end)

  it("stops the others when one fails, and begins no more", function()
    local code, err = runs:run "others"
    assert.equal(1, code)
    assert.matches("element 2: recipe.lua:%d+: no luck", err)
    assert.equal(3, runs:lines "pids.txt")
    assert.same({}, runs:alive "pids.txt")
  end)

  it("that was killed goes on with the elements that were not ready", function()
    local going = runs:begin "resumes"
    runs:wait(function() return runs:lines "waits.txt" == 1 end, "third element")
    going.handle:kill "sigkill"
    runs:finish(going)
    runs:wait(function() return #runs:alive "waits.txt" == 0 end, "end of the third element")
    command.write(runs:path "go", "")
    local code, err, result = runs:run("resumes", { "--resume" })
    assert.equal(0, code, err)
    assert.same({ 10, 20, 30, 40 }, result.list)
    assert.equal("1\n2\n3\n3\n4\n", runs:read "runs.txt")
  end)

  for what, change in pairs {
    ["its function"] = { "i %* 10", "i * 100" },
    ["an object that it is given"] = { "tensor.new { 1 }", "tensor.new { 2 }" },
    ["a function that it calls"] = { "return 1000", "return 2000" },
  } do
    it("that was cut short begins anew when it goes on after a change of " .. what, function()
      local recipe = [[
        local recsys = require "recsys"
        local tensor = recsys.tensor
        local function add() return 1000 end
        return recsys.recipe { name = "map", about = "One map", params = { what = "" }, run = function(flow)
          local more = flow:task("more", function() return tensor.new { 1 } end)
          return { list = flow:map("each", { concurrency = 1 }, function(i, more)
            if i == 3 and not io.open "go" then error "no luck" end
            return i * 10 + more:sum() + add()
          end, { 1, 2, 3 }, more):value() }
        end }]]
      runs:remove()
      runs = recipe_run(recipe)
      assert.equal(1, (runs:run ""))
      files.write(runs:path "go", "")
      local changed, n = recipe:gsub(change[1], change[2])
      assert.equal(1, n)
      files.write(runs:path "recipe.lua", changed)
      local code, err, result = runs:run("", { "--resume" })
      assert.equal(0, code, err)
      assert.is_nil(runs:run_folder(2))
      local _, _, anew = runs:run("", { "--no-cache" })
      assert.same(anew.list, result.list)
    end)
  end

  for how, process in pairs { ["of their own"] = "true", ["of the flow"] = "false" } do
    it("runs the elements that have changed alone, and tells of each, in processes " .. how, function()
      local words = { "--set", "process=" .. process, "--set" }
      local function elements(n)
        local db <close> = state.open(runs:path "artifacts")
        local run, list = record.run(db, runs:run_folder(n)), {}
        for i, one in ipairs(run.tasks[2].elements) do list[i] = ("%s %d"):format(one.state, one.attempts or 0) end
        return list, run
      end
      local code, err = runs:run("cached", { "--set", "process=" .. process })
      assert.equal(0, code, err)
      assert.equal("1\n2\n3\n4\n", runs:read "runs.txt")
      local list, run = elements(1)
      assert.same({ "completed 2", "completed 1", "completed 2", "completed 1" }, list)
      local of_first = {}
      for _, change in ipairs(run.transitions) do
        if change.element == 1 then of_first[#of_first + 1] = change.state .. " " .. (change.reason or "") end
      end
      assert.matches("^pending ,running ,retrying .*no luck yet,running ,completed $", table.concat(of_first, ","))
      code, err = runs:run("cached", { "--set", "process=" .. process, "--set", "list=[2, 5, 4, 1]" })
      assert.equal(0, code, err)
      assert.equal("1\n2\n3\n4\n5\n", runs:read "runs.txt")
      assert.same({ "cached 0", "completed 2", "cached 0", "cached 0" }, (elements(2)))
      for _, i in ipairs { 1, 2, 4, 5 } do
        assert.equal(tostring(i), files.read(("%s/left/of-%d.txt"):format(runs:run_folder(2), i)))
      end
      table.insert(words, "list=[2, 5, 4, 1]")
      code, err = runs:run("cached", words) -- the whole list is kept, too
      assert.equal(0, code, err)
      assert.equal("cached", runs:tasks(3).counted.state)
      table.move({ "list=[3, 2]", "--refresh", "counted" }, 1, 3, #words, words)
      assert.equal(0, (runs:run("cached", words)))
      assert.equal("1\n2\n3\n4\n5\n3\n2\n", runs:read "runs.txt")
    end)
  end

  it("of nothing gives an empty list, and of what is no list nothing", function()
    for number = 1, 2 do -- made, and kept
      local code, err = runs:run "empty"
      assert.equal(0, code, err)
      assert.matches('"n":%[%]', command.read(runs:path("out" .. number)))
    end
    local code, err = runs:run "no_list"
    assert.equal(2, code)
    assert.matches("map needs a list, not a table whose first key is 'a'", err)
  end)
end)

describe("--refresh", function()
  it("of a task that the run did not have is told, where the plan ends too early to refuse it", function()
    runs = recipe_run(RECIPE)
    finally(function() runs:remove() end)
    local code, err = runs:run("looks", { "--refresh", "second", "--refresh", "secnd" })
    assert.equal(0, code, err)
    assert.matches("%-%-refresh secnd: the run had no task of that name", err)
    assert.is_nil(err:find("--refresh second", 1, true))
  end)
end)

describe("a limit", function()
  before_each(function()
    runs = recipe_run(RECIPE)
    uv.os_setenv("RECSYS_LIMITS", runs:path "limits")
  end)

  after_each(function()
    uv.os_unsetenv "RECSYS_LIMITS"
    runs:remove()
  end)

  it("holds for all tasks of all flows at once", function()
    local first, second = runs:begin("limited", { "--refresh", "all" }),
      runs:begin("limited", { "--refresh", "all", "--set", "process=false" })
    assert.equal(0, (runs:finish(first)))
    assert.equal(0, (runs:finish(second)))
    assert.equal(("in\nout\n"):rep(6), runs:read "spans.txt")
  end)

  it("is told once of a list whose elements wait for a place, and a place that is free is taken at once", function()
    local began = uv.hrtime()
    local code, err = runs:run "crowd"
    assert.equal(0, code, err)
    local waits = {}
    for line in err:gmatch "[^\n]* waits [^\n]*" do waits[#waits + 1] = line end
    assert.equal(1, #waits, err)
    assert.matches("task crowd waits for a place of 'one', held by run .*, task crowd, element 1, process", waits[1])
    assert.is_true(uv.hrtime() - began < 30e9)
  end)

  it("lets two runs that are at work at once make each element once", function()
    local first, second = runs:begin "twice", runs:begin "twice"
    for _, going in ipairs { first, second } do
      local code, err = runs:finish(going)
      assert.equal(0, code, err)
    end
    assert.equal(5, runs:lines "twice.txt")
  end)

  it("that others hold is told once of a list that goes on in the flow's process", function()
    local place = limit.try({ one = 1 }, "the spec")
    local going = runs:begin("crowd", { "--set", "process=false" })
    runs:wait(function() return runs:read("err" .. runs.count):find "waits for a place" end, "wait")
    place()
    local code, err = runs:finish(going)
    assert.equal(0, code, err)
    assert.equal(1, select(2, err:gsub(" waits for a place of 'one', held by the spec", "")), err)
  end)
end)

describe("a part of a flow", function()
  before_each(function() runs = recipe_run(RECIPE) end)
  after_each(function() runs:remove() end)

  it("has tasks of its own name, with the recipe's parameters", function()
    local code, err, result = runs:run "parts"
    assert.equal(0, code, err)
    assert.equal(31 + 20, result.both)
    assert.matches("/first/x$", result.paths[1])
    local tasks = runs:tasks()
    assert.same({ "first.product", "second.product" }, tasks["both.sum"].after)
  end)

  describe("with secrets", function()
    local names = { "RECSYS_SET_THE_SHOP__API__TOKEN", "RECSYS_SET_TOKEN", "RECSYS_SET_THE_SHOP__API__TOKE" }
    local words = { "--set", "process=true" }
    after_each(function()
      for _, name in ipairs(names) do uv.os_unsetenv(name) end
    end)

    it("takes them from the environment by the part's name, from files and from the recipe, and keeps none", function()
      command.write(runs:path "token.txt", "from-the-file\n")
      uv.os_setenv(names[1], "from-the-environment")
      uv.os_setenv(names[2], "from-the-recipe-itself")
      local code, err, result = runs:run("secrets", words)
      assert.equal(0, code, err)
      assert.same({ { 13, 13 }, { 22, 22 }, { 20, 20 } }, result.lengths)
      local log = files.read(runs:run_folder() .. "/logs/01-from_file.asked.txt")
      assert.matches("warning: %(secret%) was taken", log)
      os.remove(runs:path "token.txt")
      local found = command.run(("grep -rlE 'from-the-(file|env|rec)' %s/artifacts %s/err1"):format(
        runs.folder, runs.folder))
      assert.equal("", found.out)
    end)

    it("says which variable a missing one is given by, and refuses others that name nothing", function()
      command.write(runs:path "token.txt", "from-the-file\n")
      uv.os_setenv(names[2], "from-the-recipe-itself")
      local code, err = runs:run("secrets", words)
      assert.equal(2, code)
      assert.matches("the-shop.api.token must be given (of the shop): by the variable RECSYS_SET_THE_SHOP__API__TOKEN, "
        .. "by RECSYS_SET_THE_SHOP__API__TOKEN_FILE, which names a file with it, or by the recipe that it is a part of",
        err, 1, true)
      uv.os_setenv(names[1], "from-the-environment")
      uv.os_setenv(names[3], "misspelt")
      code, err = runs:run("secrets", words)
      assert.equal(2, code)
      assert.matches("the variable RECSYS_SET_THE_SHOP__API__TOKE names no parameter", err, 1, true)
      assert.is_nil(runs:run_folder())
    end)
  end)

  it("has the seed of the whole, unless it is given one", function()
    local code, err, result = runs:run("seeds", { "--seed", "7" })
    assert.equal(0, code, err)
    assert.same({ 3, 3, 7, 7, 7 }, result.seeds)
  end)

  it("refuses parameters that the recipe does not have", function()
    local code, err = runs:run "wrong_part"
    assert.equal(2, code)
    assert.matches("there is no parameter 'bye' %(given by the recipe%); did you mean 'by'%?", err)
  end)
end)

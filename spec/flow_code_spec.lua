--- The code that a task's result depends on: as it was loaded, whoever edits it meanwhile; and what modules and globals
--- hold that functions use.

local command = require "spec.support.command"
local files = require "recsys.files"
local recipe_run = require "spec.support.recipe_run"

describe("a result that is kept depends on code", function()
  local runs
  after_each(function() runs:remove() end)

  local function run(words)
    local code, err, result = runs:run("", words)
    assert.equal(0, code, err)
    return result.n
  end

  --- Run; when the first task is at work, edit a file; let it go on. What it gives, and what it says.
  local function run_and_edit(name, bytes, expected)
    os.remove(runs:path "go")
    os.remove(runs:path "at-work")
    local going = runs:begin("", {})
    runs:wait(function() return files.exists(runs:path "at-work") end, "first task")
    files.write(runs:path(name), bytes)
    files.write(runs:path "go", "")
    local code, err, result = runs:finish(going)
    assert.equal(expected or 0, code, err)
    return result and result.n, err
  end

  local WAITS <const> = [[
    local recsys = require "recsys"
    package.path = "./?.lua;" .. package.path
    local own = require "own"
    local uv = require "luv"
    return recsys.recipe { name = "edited", about = "Waits, then works", params = { what = "" }, run = function(flow)
      local waited = flow:task("waits", function()
        if not io.open "go" then io.open("at-work", "w"):close() end
        while not io.open "go" do uv.sleep(5) end
        return own.value() + 100
      end)
      local second = flow:task("second", { process = OPTION }, function(n) return { n = n + own.value() } end, waited)
      return { n = second.n }
    end }]]

  it("as it was loaded: a module that was edited while its first task ran is another", function()
    runs = recipe_run((WAITS:gsub("OPTION", "false")))
    files.write(runs:path "own.lua", "return { value = function() return 1 end }")
    assert.equal(102, run_and_edit("own.lua", "return { value = function() return 2 end }"))
    assert.equal(104, run())
    assert.equal(104, run())
    assert.equal("cached", runs:tasks(3).second.state)
    files.write(runs:path "own.lua", "return { value = function() return 1 end }")
    assert.equal(102, run())
  end)

  it("as it was loaded: a recipe that was edited while its first task ran is another", function()
    local recipe = WAITS:gsub("OPTION", "false")
    runs = recipe_run(recipe)
    files.write(runs:path "own.lua", "return { value = function() return 1 end }")
    assert.equal(102, run_and_edit("recipe.lua", (recipe:gsub("%+ 100", "+ 200"))))
    assert.equal(202, run())
    files.write(runs:path "recipe.lua", recipe)
    assert.equal(102, run())
  end)

  it("as a process of its own has loaded it, which makes nothing of edited code in a run of the old", function()
    runs = recipe_run((WAITS:gsub("OPTION", "true")))
    files.write(runs:path "own.lua", "return { value = function() return 1 end }")
    local _, err = run_and_edit("own.lua", "return { value = function() return 2 end }", 1)
    assert.matches("own.lua has changed since the run began", err)
    files.write(runs:path "own.lua", "return { value = function() return 1 end }")
    assert.equal(102, run())
  end)

  it("that a module's fields, captured values and tables hold", function()
    runs = recipe_run [[
      local recsys = require "recsys"
      package.path = "./?.lua;" .. package.path
      local own = require "own"
      return recsys.recipe { name = "set", about = "Sets a module",
        params = { what = "", field = 1, hidden = 1, deep = 1 },
        run = function(flow, p)
          own.field, own.table.deep = p.field, p.deep
          own.set(p.hidden)
          return { n = flow:task("sum", function() return own.field + own.get() + own.table.deep end):value() }
        end }]]
    files.write(runs:path "own.lua", [[
      local hidden = 0
      local log = io.stderr -- has no content to go by, and is no reason not to keep what is made with the rest
      local m = { table = {}, log = log, [print] = 1 }
      function m.set(n) hidden = n end
      function m.get() return log and hidden end
      m.own = m
      return m]])
    assert.equal(3, run())
    assert.equal(3, run())
    assert.equal("cached", runs:tasks(2).sum.state)
    assert.equal(7, run { "--set", "field=5" })
    assert.equal(7, run { "--set", "hidden=5" })
    assert.equal(7, run { "--set", "deep=5" })
    for n = 3, 5 do assert.equal("completed", runs:tasks(n).sum.state) end
    assert.equal(3, run())
    assert.equal("cached", runs:tasks(6).sum.state)
  end)

  it("that is global, by what it holds, also where a function within has its name", function()
    runs = recipe_run [[
      local recsys = require "recsys"
      function add_global(n) return n + (FACTOR or 0) end
      return recsys.recipe { name = "global", about = "Sets a global", params = { what = "", k = 1, file = false },
        run = function(flow, p)
          FACTOR = p.k
          if p.file then FACTOR = io.stdout end
          flow:task("other", function() return 1 end)
          return { n = flow:task("sum", function()
            local function inner() return _G.add_global(10) end
            return p.file and 0 or inner()
          end):value() }
        end }]]
    assert.equal(11, run())
    assert.equal(11, run())
    assert.equal("cached", runs:tasks(2).sum.state)
    assert.equal(15, run { "--set", "k=5" })
    assert.equal("cached", runs:tasks(3).other.state)
    assert.equal(0, run { "--set", "file=true" })
    assert.equal(0, run { "--set", "file=true" })
    assert.equal("completed", runs:tasks(5).sum.state)
    local log = command.read(runs:run_folder(5) .. "/log.txt")
    assert.matches("task sum begins: it is given a FILE%*, the global FACTOR", log)
  end)
end)

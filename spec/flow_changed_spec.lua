--- Files of Lua that are changed while a run is at work: no task does its work with other code than the run began with.

local command = require "spec.support.command"
local recipe_run = require "spec.support.recipe_run"
local uv = require "luv"

local RECIPE = [[
local recsys = require "recsys"
package.path = "?.lua;" .. package.path
local part = require "part"
local function wait(name)
  io.open(name .. ".txt", "w"):close()
  while not io.open("go") do require("luv").sleep(10) end
end
return recsys.recipe { name = "changed", about = "Is changed", params = { what = "" }, run = function(flow, p)
  if p.what == "working" then
    local own = flow:task("own", { process = true }, function() wait "own" return { "OLD " .. part.version } end)
    return { said = own }
  end
  flow:task("first", { cache = false }, function() wait "first" return 1 end)
  if p.what == "map" then
    local options = { concurrency = 1, on_error = "keep", retries = 3 }
    return { said = flow:map("own", options, function(i) return "OLD " .. part.version .. i end, { 1, 2 }) }
  end
  local own = flow:task("own", { process = true, retries = 3 }, function() return { "OLD " .. part.version } end)
  return { said = own }
end }]]

local runs

local function give(version) command.write(runs:path "part.lua", ("return { version = %q }"):format(version)) end

--- Begin a run, and change something when it is at work.
local function changed(what, change)
  local going = runs:begin(what)
  runs:wait(function() return uv.fs_stat(runs:path((what == "working" and "own" or "first") .. ".txt")) end, "task")
  change()
  command.write(runs:path "go", "")
  return runs:finish(going)
end

local function change_recipe() command.write(runs:path "recipe.lua", (RECIPE:gsub("OLD", "NEW"))) end

describe("files of Lua that are changed while a run is at work", function()
  before_each(function()
    runs = recipe_run(RECIPE)
    give "1"
  end)
  after_each(function() runs:remove() end)

  it("are refused by processes of tasks; the run goes on with them when it is retried", function()
    local code, err = changed("", change_recipe)
    assert.equal(1, code)
    assert.matches("task 'own'.*: recipe.lua has changed since the run began; recsys%-run flows retry goes on with it",
      err)
    assert.is_nil(err:find("attempt 2", 1, true))
    local name = runs:run_folder():match "[^/]+$"
    local ran = command.run(("cd '%s' && '%s' flows retry %s --json"):format(runs.folder, command.program, name))
    assert.equal(0, ran.code, ran.err)
    assert.matches('"said":%["NEW 1"%]', ran.out)
    command.write(runs:path "recipe.lua", RECIPE)
    local result
    code, err, result = runs:run ""
    assert.equal(0, code, err)
    assert.same({ "OLD 1" }, result.said)
  end)

  it("are refused when they are modules, whenever those were loaded", function()
    local code, err = changed("", function() give "2" end)
    assert.equal(1, code)
    assert.matches("task 'own'.*: part.lua has changed since the run began", err)
  end)

  it("are refused by elements of a list, all of which end", function()
    local code, err = changed("map", change_recipe)
    assert.equal(1, code)
    assert.matches("task 'own'.*: element 1: recipe.lua has changed since the run began", err)
    os.remove(runs:path "go")
    os.remove(runs:path "first.txt")
    command.write(runs:path "recipe.lua", RECIPE)
    local result
    code, err, result = changed("map", function() end)
    assert.equal(0, code, err)
    assert.same({ "OLD 11", "OLD 12" }, result.said)
  end)

  it("are refused when they are the program's", function()
    local tree = command.scratch(finally)
    assert(os.execute(("cp '%s' '%s/recsys-run' && mkdir '%s/recsys-run.tree' && cp -r lua '%s/recsys-run.tree'")
      :format(command.program, tree, tree, tree)))
    local program = command.program
    finally(function() command.program = program end)
    command.program = tree .. "/recsys-run"
    local function touch() os.execute(("touch '%s/recsys-run.tree/lua/recsys/store.lua'"):format(tree)) end
    local code, err, result = changed("working", touch) -- which has loaded it
    assert.equal(0, code, err)
    assert.same({ "OLD 1" }, result.said)
    os.remove(runs:path "go")
    code, err = changed("", touch)
    assert.equal(1, code)
    assert.matches("task 'own'.*: %S*/recsys/store.lua has changed since the run began", err)
  end)

  it("do not matter to a process that has loaded them and is at work", function()
    local code, err, result = changed("working", function()
      change_recipe()
      give "2"
    end)
    assert.equal(0, code, err)
    assert.same({ "OLD 1" }, result.said)
    code, err, result = runs:run "working"
    assert.equal(0, code, err)
    assert.same({ "NEW 2" }, result.said)
  end)
end)

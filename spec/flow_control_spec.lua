--- `recsys-run flows cancel` and `retry`, on runs that are really at work.

local command = require "spec.support.command"
local recipe_run = require "spec.support.recipe_run"
local sql = require "recsys.sql"
local uv = require "luv"

local RECIPE = [[
local recsys = require "recsys"
local uv = require "luv"
local function note(name, text)
  local file = assert(io.open(name, "a"))
  file:write(text, "\n")
  file:close()
end
return recsys.recipe { name = "steered", about = "To be steered", params = { what = "", n = 1 },
  run = function(flow, p)
    flow:task("first", function() note("ran.txt", "first") return 1 end)
    local slow = flow:task("slow", { process = p.what == "process", grace = p.what == "deaf" and 2 or 20 }, function()
      note("ran.txt", "slow")
      if io.open "go" then return { n = p.n } end
      if p.what == "fails" then error "no luck" end
      note("waits.txt", math.tointeger(uv.os_getpid()))
      if p.what == "deaf" then string.find(("a"):rep(34), ("a?"):rep(34) .. ("a"):rep(34)) end
      for _ = 1, 600 do uv.sleep(50) end
    end)
    return { n = slow.n }
  end,
}]]

local runs

local function flows(words)
  return command.run(("cd '%s' && '%s' flows %s"):format(runs.folder, command.program, words))
end

local function state_of(table_name)
  local db <close> = assert(sql.open(runs:path "artifacts/flow.db", { read_only = true }))
  return db:row("SELECT state FROM " .. table_name).state
end

--- A run that waits in its second task, and its name.
local function waiting(what)
  local going = runs:begin(what)
  runs:wait(function() return runs:lines "waits.txt" == 1 end, "second task")
  return going, runs:run_folder():match "[^/]+$"
end

describe("recsys-run flows", function()
  before_each(function() runs = recipe_run(RECIPE) end)
  after_each(function() runs:remove() end)

  it("cancels a run at work, in its own process and in a child, and goes on with it where it was", function()
    for _, what in ipairs { "here", "process" } do
      local going, name = waiting(what)
      local said = flows("cancel " .. name)
      assert.equal(0, said.code, said.err)
      assert.matches("has ended; recsys%-run flows retry " .. name:gsub("%-", "%%-"), said.err)
      assert.equal(143, (runs:finish(going)))
      assert.same({}, runs:alive "waits.txt")
      assert.equal("cancelled", state_of "runs")
      assert.equal("cancelled", state_of "tasks WHERE name = 'slow'")
      command.write(runs:path "go", "")
      said = flows("retry " .. name .. " --json")
      assert.equal(0, said.code, said.err)
      assert.matches('"n":1', said.out)
      assert.equal("first\nslow\nslow\n", runs:read "ran.txt")
      assert.equal("completed", state_of "runs")
      runs:remove()
      runs = recipe_run(RECIPE)
    end
  end)

  it("does not wait for ever for one that does not hear, which ends after its grace time", function()
    local going, name = waiting "deaf"
    local began = uv.hrtime()
    local said = flows("cancel --wait 0.2 " .. name)
    assert.equal(75, said.code)
    assert.matches("has not ended after 0.2 s; it goes on to end, or %-%-kill ends it", said.err)
    assert.equal(143, (runs:finish(going)))
    assert.is_true(uv.hrtime() - began < 10e9)
  end)

  it("kills when it is told to", function()
    local going, name = waiting "process"
    local said = flows("cancel --kill " .. name)
    assert.equal(0, said.code, said.err)
    assert.equal(137, (runs:finish(going)))
    assert.equal(0, flows("list").code) -- sees that its process is gone
    assert.equal("crashed", state_of "runs")
    runs:wait(function() return #runs:alive "waits.txt" == 0 end, "end of the child")
  end)

  it("goes on with a run from another folder in the one that it was begun in", function()
    assert.equal(1, (runs:run "fails"))
    local name, folder = runs:run_folder():match "[^/]+$", runs.folder
    command.write(runs:path "go", "")
    local elsewhere = command.scratch(finally)
    local function retry()
      return command.run(("cd '%s' && '%s' flows retry %s --place '%s/artifacts'"):format(elsewhere, command.program,
        name, folder))
    end
    os.rename(runs:path "recipe.lua", runs:path "moved.lua")
    local said = retry()
    assert.equal(2, said.code)
    assert.truthy(said.err:find("is not there any more: recipe.lua, looked for from " .. folder, 1, true), said.err)
    os.rename(runs:path "moved.lua", runs:path "recipe.lua")
    said = retry()
    assert.equal(0, said.code, said.err)
    assert.truthy(said.err:find(name .. " goes on in " .. folder, 1, true), said.err)
    assert.equal("first\nslow\nslow\n", runs:read "ran.txt")
  end)

  it("goes on with a run that failed, and tells what cannot be gone on with or cancelled", function()
    assert.equal(1, (runs:run "fails"))
    local name = runs:run_folder():match "[^/]+$"
    local said = flows("cancel " .. name)
    assert.equal(2, said.code)
    assert.matches("nobody is at work on .*: it is failed; recsys%-run flows retry goes on with it", said.err)
    assert.equal(1, flows("retry " .. name).code)
    command.write(runs:path "go", "")
    said = flows("retry " .. name)
    assert.equal(0, said.code)
    assert.matches("\nrun +artifacts/runs/" .. name:gsub("%-", "%%-") .. "\n", said.out) -- as it was called before
    assert.equal("first\nslow\nslow\nslow\n", runs:read "ran.txt")
    said = flows("retry " .. name)
    assert.equal(2, said.code)
    assert.matches("is completed, there is nothing to go on with", said.err)
    os.rename(runs:path("artifacts/runs/" .. name), runs:path "artifacts/runs/forgotten")
    command.run(("mkdir -p %s"):format(runs:path "artifacts/runs/forgotten/unfinished/run"))
    said = flows "retry forgotten"
    assert.equal(2, said.code)
    assert.matches("does not know the run in artifacts/runs/forgotten, or not any more; recsys%-run RECIPE %-%-resume "
      .. "artifacts/runs/forgotten goes on with it", said.err)
    said = flows("retry " .. name:gsub("steered", "stered"))
    assert.equal(2, said.code)
    assert.matches("there is no run '.*'; did you mean '" .. name:gsub("%-", "%%-"), said.err)
    os.rename(runs:path "artifacts/flow.db", runs:path "elsewhere.db")
    said = flows("retry " .. name)
    assert.equal(2, said.code)
    assert.matches("there is no artifacts/flow.db: no recipe has run here", said.err)
  end)
end)

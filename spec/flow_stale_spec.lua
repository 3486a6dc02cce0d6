--- Ways to a result that would not be what the task gives now: each changes something that a task depends on, and asks
--- whether it runs again.

local files = require "recsys.files"
local recipe_run = require "spec.support.recipe_run"

describe("a task runs again", function()
  local runs
  after_each(function() runs:remove() end)

  --- Run: what n is in the result, and the state of each task.
  local function run(words)
    local code, err, result = runs:run("", words)
    assert.equal(0, code, err)
    local states = {}
    for name, task in pairs(runs:tasks(runs.count)) do states[name] = task.state end
    return result.n, states
  end

  local function recipe(params, body)
    return recipe_run(([[
      local recsys = require "recsys"
      package.path = "./?.lua;" .. package.path
      return recsys.recipe { name = "stale", about = "Is changed", params = { what = "", %s },
        run = function(flow, p) %s end }]]):format(params, body))
  end

  it("when a function that the library has made for it was made with something else", function()
    runs = recipe("peak = 1.0, warmup = 1", [[
      local schedule = require "recsys.schedule"
      local rate = schedule.constant(p.peak)
      local cosine = schedule.warmup_cosine { peak = 8, warmup = p.warmup, total = 10 }
      local given = flow:task("given", function(f) return f(1) end, rate)
      local held = flow:task("held", function() return rate(1) end)
      local itself = flow:task("itself", rate)
      local rising = flow:task("rising", function() return cosine(1) end)
      return { n = { given:value(), held:value(), itself:value(), rising:value() } }]])
    assert.same({ 1, 1, 1, 8 }, (run()))
    local n, states = run()
    assert.same({ 1, 1, 1, 8 }, n)
    assert.same({ given = "cached", held = "cached", itself = "cached", rising = "cached" }, states)
    n, states = run { "--set", "peak=5" }
    assert.same({ 5, 5, 5, 8 }, n)
    assert.same({ given = "completed", held = "completed", itself = "completed", rising = "cached" }, states)
    n, states = run { "--set", "warmup=4" }
    assert.same({ 1, 1, 1, 2 }, n)
    assert.same({ given = "cached", held = "cached", itself = "cached", rising = "completed" }, states)
  end)

  it("when the model that its function looks up is another, whether or not a task before has looked it up", function()
    runs = recipe("k = 0", [[
      local lookup = require "recsys.lookup"
      local first = flow:task("first", function(k) return k + lookup.model("fac")() end, p.k)
      local second = flow:task("second", function() return lookup.model("fac")() end)
      local third = flow:task("third", function() return require("models.fac")() end)
      local own = flow:task("own", { process = true }, function() return lookup.model("fac")() end)
      return { n = { first:value(), second:value(), third:value(), own:value() } }]])
    files.make_folder(runs:path "models")
    local function model(n) files.write(runs:path "models/fac.lua", ("return function() return %d end"):format(n)) end
    model(1)
    assert.same({ 1, 1, 1, 1 }, (run()))
    local _, states = run()
    assert.same({ first = "cached", second = "cached", third = "cached", own = "cached" }, states)
    model(2)
    assert.same({ 2, 2, 2, 2 }, (run()))
    assert.same({ 3, 2, 2, 2 }, (run { "--set", "k=1" }))
  end)
end)

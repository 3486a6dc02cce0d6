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

  it("when it, or one before it, has changed what functions share", function()
    runs = recipe("k = 1, reset = 0", [[
      local rows, memo = {}, {}
      local function add(n) rows[#rows + 1] = n return n end
      flow:task("adds", add, 10)
      flow:task("sets", function() SHARED = 5 end)
      local last = flow:task("last", function() return #rows + SHARED + p.k end)
      local pure = flow:task("pure", function() return #memo end)
      SHARED = nil
      return { n = last:value() + pure:value() }]])
    assert.equal(7, (run()))
    local n, states = run()
    assert.equal(7, n)
    assert.same({ adds = "completed", sets = "completed", last = "cached", pure = "cached" }, states)
    assert.equal(8, (run { "--set", "k=2" }))
    assert.matches("result of task adds is not kept for later runs: what its function has captured",
      files.read(runs:run_folder(1) .. "/log.txt"))
  end)

  it("when its globals are those of a table that holds something else", function()
    runs = recipe("x = 1", [[
      local outside = setmetatable({ x = p.x }, { __index = _G })
      local chunk = load("return tonumber(x)", "=chunk", "t", outside)
      local _ENV = { x = p.x, flow = flow }
      local function inner() return x end
      local a = flow:task("loaded", chunk)
      local b = flow:task("held", function() return chunk() end)
      local c = flow:task("own", inner)
      return { n = { a:value(), b:value(), c:value() } }]])
    assert.same({ 1, 1, 1 }, (run()))
    local _, states = run()
    assert.same({ loaded = "cached", held = "cached", own = "cached" }, states)
    assert.same({ 2, 2, 2 }, (run { "--set", "x=2" }))
  end)

  it("when a number is another to the last bit, a key of another type, or a table one and not two", function()
    runs = recipe("v = 1", [[
      local one = p.v == 1
      local zero, big, nan = one and 0.0 or -0.0, one and 2.0 ^ 53 or 2.0 ^ 53 + 2, one and 0 / 0 or 1 / 0
      local keyed, shared = one and { [1] = true } or { ["1"] = true }, { 1 }
      local pair = one and { shared, shared } or { shared, { 1 } }
      local a = flow:task("zero", function() return 1 / zero > 0 end)
      local b = flow:task("big", function(n) return n == 2.0 ^ 53 end, big)
      local c = flow:task("nan", function() return nan ~= nan end)
      local d = flow:task("keyed", function() return keyed[1] or false end)
      local e = flow:task("pair", function() return rawequal(pair[1], pair[2]) end)
      return { n = { a:value(), b:value(), c:value(), d:value(), e:value() } }]])
    local yes, no = { true, true, true, true, true }, { false, false, false, false, false }
    assert.same(yes, (run()))
    assert.same(no, (run { "--set", "v=2" }))
    assert.same(yes, (run()))
  end)

  it("when what its object's class does depends on something else", function()
    runs = recipe("v = 1", [[
      local v = p.v
      local object = setmetatable({}, { __index = function() return v end, __len = function() return v end })
      local chain = setmetatable({}, { __index = setmetatable({}, { __index = { x = v } }) })
      local wrapped = coroutine.wrap(function() for i = 1, 9 do coroutine.yield(i * v) end end)
      local a = flow:task("called", function() return object.x + #object end)
      local b = flow:task("chained", function(of) return of.x end, chain)
      local c = flow:task("wrapped", function() return wrapped() end)
      return { n = { a:value(), b:value(), c:value() } }]])
    assert.same({ 2, 1, 1 }, (run()))
    local n, states = run()
    assert.same({ 2, 1, 1 }, n)
    assert.same({ called = "cached", chained = "cached", wrapped = "completed" }, states)
    assert.same({ 4, 2, 2 }, (run { "--set", "v=2" }))
  end)
end)

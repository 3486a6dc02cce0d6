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

  --- Run all, then again, then with a task refreshed: what n is must be the same, and which task is not cached.
  local function same_whatever_runs(expected, refreshed, made)
    assert.same(expected, (run()))
    for _, words in ipairs { {}, { "--refresh", refreshed }, { "--refresh", made }, { "--no-cache" } } do
      local n, states = run(words)
      assert.same(expected, n, table.concat(words, " "))
      if words[2] == refreshed then assert.same({ "cached", "completed" }, { states[made], states[refreshed] }) end
    end
  end

  it("and sees what another gave as that gave it, whatever a task between has made of its tables", function()
    runs = recipe("k = 1", [[
      local kept = { { id = 7 } }
      local function given() return { rows = { 3, 1, 2 }, deep = kept, name = "x" } end
      local function change(x) table.sort(x.rows) x.deep[1].id = 8 x.name = nil return #x.rows end
      local function first(x) return { x.rows[1], x.deep[1].id, x.name or "gone" } end
      local a = flow:task("a", given)
      local b = flow:task("b", change, a)
      flow:task("rows", function(rows) table.sort(rows) end, a.rows)
      flow:task("inner", function(all) all.of[1].id = 9 end, { of = a.deep })
      local c = flow:task("c", first, a)
      a:value().rows[1] = 99
      kept[1].id = 5
      local skipped = flow:task("skipped", { when = false }, given)
      local none = skipped:value()
      local d = flow:task("d", function(x, y, rows) return y == none and rows == none and first(x) end, a, skipped,
        skipped.rows)
      return { n = { b:value(), c:value(), d:value() } }]])
    same_whatever_runs({ 3, { 3, 7, "x" }, { 3, 7, "x" } }, "c", "b")
    assert.same({ 3, { 3, 7, "x" }, { 3, 7, "x" } }, (run { "--refresh", "d" }))
  end)

  it("and sees tensors and frames as they were given: to write one fails, and says what to do", function()
    runs = recipe("n = 1", [[
      local tensor, frame = require "recsys.tensor", require "recsys.frame"
      local function given() return { t = tensor.new { 1, 2, 3 }, rows = { 3, 1 },
        f = frame.from { { "id", "number", { 4, 5 } } } } end
      local function change(x)
        table.sort(x.rows)
        local ids = x.f:column "id"
        return { (pcall(x.t.set, x.t, 1, 9)), (pcall(ids.set, ids, 1, 9)) }
      end
      local a = flow:task("a", given)
      local b = flow:task("b", change, a)
      local c = flow:task("c", function(x) return { x.t:get(1), x.rows[1], x.f:column "id":get(1) } end, a)
      if p.what == "write" then flow:task("w", function(t) t:set(1, 9) end, a.t) end
      return { n = { b:value(), c:value() } }]])
    same_whatever_runs({ { false, false }, { 1, 3, 4 } }, "c", "b")
    for _, words in ipairs { {}, { "--refresh", "all" } } do
      local code, err = runs:run("write", words)
      assert.equal(1, code)
      assert.matches("task 'w' .*recipe%.lua:.*tensor is a read%-only mapping%); .* change its clone%(%)", err)
    end
  end)

  it("where what is stored nowhere was changed, and what is made of it is not kept", function()
    runs = recipe("n = 1", [[
      local tensor = require "recsys.tensor"
      local own = tensor.new { 5 }
      local a = flow:task("a", { save = false }, function() return { t = tensor.new { 1 }, rows = { 3, 1 } } end)
      local before = flow:task("before", function(x) return x.t:get(1) end, a)
      local b = flow:task("b", function(x) x.t:set(1, 9) table.sort(x.rows) end, a)
      local c = flow:task("c", function(x) return { x.t:get(1), x.rows[1] } end, a)
      local d = flow:task("d", function(t) t:set(1, 6) end, own)
      local e = flow:task("e", function(t) return t:get(1) end, own)
      return { n = { before:value(), c:value(), e:value() } }]])
    local expected = { 1, { 9, 3 }, 6 }
    assert.same(expected, (run()))
    local n, states = run()
    assert.same(expected, n)
    assert.same({ a = "completed", before = "cached", b = "completed", c = "completed", d = "completed", e = "cached" },
      states)
    assert.same(expected, (run { "--refresh", "c" }))
    local text = files.read(runs:run_folder(1) .. "/log.txt")
    assert.matches("result of task b is not kept for later runs: it has changed argument #1, which task 'a' gave, in",
      text)
    assert.matches("result of task d is not kept for later runs: it has changed argument #1 in place", text)
  end)

  it("and each element of a map, and each attempt, has what it is given for itself", function()
    runs = recipe("n = 1", [[
      local function given() return { list = { { 2, 1 }, { 4, 3 } }, rest = { 0 } } end
      local tries = require "notes"
      local a = flow:task("a", given)
      local function change(one, rest)
        table.sort(one)
        rest[1] = rest[1] + 1
        return { one[1], rest[1] }
      end
      local here = flow:map("here", { process = false }, change, a.list, a.rest)
      local there = flow:map("there", { concurrency = 1 }, change, a.list, a.rest)
      local plain = flow:map("plain", { process = false }, change, { { 2, 1 }, { 4, 3 } }, { 0 })
      local function twice(x)
        x.rest[1] = x.rest[1] + 1
        if tries.first("twice" .. p.what) then error "once more" end
        return x.rest[1]
      end
      local again = flow:task("again", { retries = 1 }, twice, a)
      local each = flow:map("each", { process = false, retries = 1 }, function(one, rest)
        one[1], rest[1] = one[1] + 1, rest[1] + 1
        if tries.first("each" .. p.what .. one[2]) then error "once more" end
        return { one[1], rest[1] }
      end, a.list, a.rest)
      local c = flow:task("c", function(x) return { x.list[1][1], x.rest[1] } end, a)
      return { n = { here:value(), there:value(), plain:value(), again:value(), each:value(), c:value() } }]])
    local changed = { { 1, 1 }, { 3, 1 } }
    same_whatever_runs({ changed, changed, changed, 1, { { 3, 1 }, { 5, 1 } }, { 2, 0 } }, "c", "here")
  end)

  it("and what a process of its own changes stays there", function()
    runs = recipe("n = 1", [[
      local a = flow:task("a", function() return { 3, 1, 2 } end)
      local b = flow:task("b", { process = true }, function(x) table.sort(x) return x[1] end, a)
      local c = flow:task("c", function(x) return x[1] end, a)
      return { n = { b:value(), c:value() } }]])
    same_whatever_runs({ 1, 3 }, "c", "b")
  end)
end)

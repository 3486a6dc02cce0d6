--- What flow.db says of runs and tasks, and that a run which is killed at any moment goes on at its first unfinished
--- task. RECSYS_KILLS says how many random kills there are (6 without it).

local command = require "spec.support.command"
local files = require "recsys.files"
local json = require "recsys.json"
local record = require "recsys.flow.record"
local sql = require "recsys.sql"
local state = require "recsys.flow.state"
local uv = require "luv"

local RECIPE <const> = [[
local recsys = require "recsys"
local tensor, param = recsys.tensor, recsys.config.param

--- Tell that a task's function was called, in a file that outlives a kill.
local function called(name)
  local file <close> = assert(io.open("called.txt", "a"))
  file:write(name, "\n")
  require "luv".sleep(25)
end

local function first(n)
  called "first"
  return { t = tensor.arange(0, n, "f64"), n = n }
end

local function next_of(name, given, path)
  called(name)
  if path then require("recsys.files").write(path, name) end
  return { t = given.t * 3 + 1, n = given.n + 1 }
end

return recsys.recipe {
  name = "steps", about = "Some steps", params = { n = 1000, least = 0.0, fails = false, bad = false, pause = 0 },
  run = function(flow, p)
    local at = flow:task("first", first, p.n)
    for i = 2, 6 do
      local name = "step" .. i
      at = flow:task(name, next_of, name, at, flow:path(name .. ".txt"))
    end
    if p.pause > 0 then flow:task("pause", function() require "luv".sleep(p.pause) end) end
    if p.fails then flow:task("fails", function() error "no luck" end) end
    local sum = flow:task("sum", { cache = false }, function(t) called "sum" return t:sum() end, at.t)
    flow:gate("large", { metric = "sum", value = sum, at_least = p.least }, "too small to go on")
    if p.bad then flow:gate("odd", { value = sum, atleast = 3 }) end
    local last = flow:task("last", function(s) called "last" return { sum = s } end, sum)
    return { metrics = { sum = last.sum, n = at.n } }
  end,
}]]

local folder
setup(function()
  folder = command.temporary()
  command.write(folder .. "/steps.lua", RECIPE)
end)
teardown(function() command.remove(folder) end)

local function recsys_run(words)
  return command.run(("cd '%s' && '%s' steps.lua --json --set runs=art/runs --set track.enabled=false %s"):format(
    folder, command.program, words or ""))
end

--- Go on with a run, with its own parameters.
local function resume(name)
  return command.run(("cd '%s' && '%s' steps.lua --json --no-cache --resume art/runs/%s"):format(folder,
    command.program, name))
end

--- The run that flow.db has last.
local function last_run()
  local db <close> = state.open(folder .. "/art")
  record.sweep(db)
  local latest = record.runs(db, { most = 1 })[1]
  return latest and record.run(db, latest.name)
end

local function states(run)
  local list = {}
  for i, task in ipairs(run.tasks) do list[i] = task.name .. " " .. task.state end
  return table.concat(list, ", ")
end

describe("flow.db", function()
  it("has each task's states with their times, in order", function()
    local ran = recsys_run()
    assert.equal(0, ran.code, ran.err)
    local run = last_run()
    assert.equal("completed", run.state)
    assert.equal(json.decode(ran.out).run, run.name)
    assert.equal("first completed, step2 completed, step3 completed, step4 completed, step5 completed, "
      .. "step6 completed, sum completed, large completed, last completed", states(run))
    for i, task in ipairs(json.decode(files.read(run.folder .. "/tasks.json"))) do
      assert.is_nil(task.reason)
      assert.is_nil(run.tasks[i].reason)
    end
    local of_second, at = {}, 0
    for _, change in ipairs(run.transitions) do
      assert.is_true(change.at >= at)
      at = change.at
      if change.number == 2 then of_second[#of_second + 1] = change.state end
    end
    assert.same({ "pending", "running", "completed" }, of_second)
    assert.same({ "running", "completed" }, { run.transitions[1].state, run.transitions[#run.transitions].state })
    assert.is_true(run.tasks[2].ended - run.tasks[2].started >= 25)
    ran = recsys_run()
    assert.equal(0, ran.code, ran.err)
    run = last_run()
    assert.equal("first cached, step2 cached, step3 cached, step4 cached, step5 cached, step6 cached, sum completed, "
      .. "large completed, last cached", states(run))
  end)

  it("is read though the process that was making it was killed at that", function()
    local half = command.scratch(finally)
    local writer <close> = assert(sql.open(half .. "/whole.db", { wal = false }))
    writer:execute "CREATE TABLE other (a); PRAGMA cache_size = 1; BEGIN"
    for i = 1, 200 do writer:run("INSERT INTO other VALUES (?)", { ("x"):rep(1000) .. i }) end
    for _, ending in ipairs { "", "-journal" } do
      command.write(half .. "/flow.db" .. ending, command.read(half .. "/whole.db" .. ending))
    end
    writer:execute "ROLLBACK"
    assert.is_nil((sql.open(half .. "/flow.db", { read_only = true, wal = false })))
    local db <close> = state.read(half)
    assert.same({ 0, 0 }, { db:row("SELECT count(*) AS n FROM other").n, db:row("SELECT count(*) AS n FROM runs").n })
  end)

  it("says why a task has failed, and what was still to come", function()
    local ran = recsys_run "--set fails=true"
    assert.equal(1, ran.code)
    local run = last_run()
    assert.equal("failed", run.state)
    assert.matches("task 'fails'.*no luck", run.reason)
    assert.equal("first cached, step2 cached, step3 cached, step4 cached, step5 cached, step6 cached, fails failed, "
      .. "sum pending, large pending, last pending", states(run))
    assert.matches("no luck", run.tasks[7].reason)
  end)

  it("says of a run whose process is gone that it crashed, with what was at work", function()
    local handle
    handle = uv.spawn(command.program, { cwd = folder, args = { "steps.lua", "--no-cache", "--set", "runs=art/runs",
      "--set", "track.enabled=false", "--set", "n=77", "--set", "pause=5000" } }, function() handle:close() end)
    local at_work
    repeat
      uv.sleep(5)
      at_work = last_run()
    until #at_work.tasks > 6 and at_work.tasks[7].state == "running" or not handle:is_active()
    handle:kill "sigkill"
    uv.run()
    assert.equal("running", at_work.state)
    local run = last_run()
    assert.same({ at_work.name, "crashed" }, { run.name, run.state })
    assert.equal(("its process %d is gone"):format(run.pid), run.reason)
    assert.equal("first completed, step2 completed, step3 completed, step4 completed, step5 completed, "
      .. "step6 completed, pause crashed, sum pending, large pending, last pending", states(run))
    assert.equal("the process that ran it is gone", run.tasks[7].reason)
    local changes = run.transitions
    assert.same({ 7, "crashed" }, { changes[#changes - 1].number, changes[#changes - 1].state })
    local ran = resume(run.name) -- which says it once
    assert.equal(0, ran.code, ran.err)
    local of_pause = {}
    for _, change in ipairs(last_run().transitions) do
      if change.number == 7 then of_pause[#of_pause + 1] = change.state end
    end
    assert.same({ "pending", "running", "crashed", "running", "completed" }, of_pause)
  end)

  it("says of elements that they have crashed with their run", function()
    local place = command.scratch(finally)
    local here = record.begin { folder = files.make_folder(place .. "/art/runs/one"), runs = place .. "/art/runs",
      recipe = "one", path = "one.lua" }
    local task = { number = 1, name = "all", state = "running" }
    here:expect { task }
    here:expect_elements(task, 3)
    here:move(task)
    here:move { number = 1, name = "all", element = 1, state = "completed" }
    here:move({ number = 1, name = "all", element = 2, state = "retrying" }, "no luck")
    local db <close> = state.open(place .. "/art")
    record.sweep(db)
    assert.equal("running", record.run(db, "one").tasks[1].state) -- we are at work on it
    db:run("UPDATE runs SET pid = ?, holder = NULL", { 1 << 30 })
    record.sweep(db)
    local run, list = record.run(db, "one"), {}
    assert.equal("crashed", run.tasks[1].state)
    for i, element in ipairs(run.tasks[1].elements) do list[i] = element.state end
    assert.same({ "completed", "crashed", "pending" }, list)
  end)
end)

describe("a gate", function()
  it("ends the run with 3 and names metric, value and threshold", function()
    local ran = recsys_run "--set n=10 --set least=1e9"
    assert.equal(3, ran.code, ran.err)
    assert.matches("task 'large': too small to go on %(sum is 12145, which must be at least 1e%+09%)", ran.err)
    local run = last_run()
    assert.same({ "refused", "failed" }, { run.state, run.tasks[8].state })
    assert.matches("sum is 12145, which must be at least 1e%+09", run.reason)
    assert.equal("pending", run.tasks[9].state)
  end)

  it("lets a run pass whose value is on the bound, and no NaN", function()
    assert.equal(0, recsys_run("--set n=10 --set least=12145").code)
    local flow = require "recsys.flow"
    local steps, level = flow.new {}, require("recsys.log").level
    finally(function() require("recsys.log").level = level end)
    require("recsys.log").level = "quiet"
    local function refused(...)
      local ok, problem = pcall(steps.gate, steps, "g" .. #steps.tasks, ...)
      return not ok and problem.message or nil
    end
    assert.is_nil(refused(true))
    assert.is_nil(refused { value = 1, below = 2, above = 0, at_most = 1 })
    assert.equal("gate 'g2' refused", refused(false))
    assert.equal("bad luck (gate 'g3' refused)", refused(false, "bad luck"))
    assert.matches("x is %-?nan, which must be at least 0", refused { metric = "x", value = 0 / 0, at_least = 0 })
    assert.equal("g5 is nil, no number", refused { at_most = 0 })
    assert.equal("g6 is 2, which must be below 2", refused { value = 2, below = 2 })
    assert.equal("g7 is 0.04999999999, which must be at least 0.05", refused { value = 0.04999999999, at_least = 0.05 })
    assert.equal("g8 is 0.3, which must be above 0.3", refused { value = 0.3, above = 0.3 })
    local nearly = 0.1 + 0.2
    assert.equal("g9 is 0.3, which must be above 0.30000000000000004", refused { value = 0.3, above = nearly })
    assert.equal("gate 'g10': at_least must be a number, not '0.05'", refused { value = 0.5, at_least = "0.05" })
    assert.equal("gate 'g11': below must be a number, not false", refused { value = 0.5, below = false })
    local handle = steps:task("bound", function() return { low = 1, none = "1" } end)
    assert.is_nil(refused { value = 1, at_least = handle.low })
    assert.equal("gate 'g14': at_least must be a number, not '1'", refused { value = 1, at_least = handle.none })
  end)

  it("with a bound that is none is a mistake, told before anything runs", function()
    local ran = recsys_run "--set bad=true"
    assert.equal(2, ran.code)
    assert.matches("gate 'odd' has no field 'atleast'", ran.err)
  end)
end)

describe("--resume", function()
  local function call(words)
    return uv.spawn(command.program, { cwd = folder, args = { "steps.lua", table.unpack(words) } }, function() end)
  end

  local function completed()
    local done = {}
    for _, task in ipairs(last_run() and last_run().tasks or {}) do
      if task.state == "completed" or task.state == "cached" then done[task.name] = true end
    end
    return done
  end

  --- How often each task's function was called.
  local function calls()
    local counts = {}
    for name in (files.read(folder .. "/called.txt") or ""):gmatch "[^\n]+" do
      counts[name] = (counts[name] or 0) + 1
    end
    return counts
  end

  for how, cache in pairs { ["from its own results"] = "--no-cache", ["also from kept ones"] = "--json" } do
    it("goes on at the first unfinished task, after a kill at any moment, " .. how, function()
      local began = uv.hrtime()
      local whole = json.decode(recsys_run("--set n=500 --no-cache").out).metrics
      local span = (uv.hrtime() - began) / 1e6 -- ms: how long a run takes that nobody kills
      local kills, ended = tonumber(os.getenv "RECSYS_KILLS" or 6), 0
      for kill = 1, kills do
        os.execute(("rm -rf '%s'/art '%s'/artifacts '%s'/called.txt"):format(folder, folder, folder))
        local words = { cache, "--set", "runs=art/runs", "--set", "track.enabled=false", "--set", "n=500" }
        local handle = assert(call(words))
        uv.sleep(math.floor(span * (0.1 + 0.8 * (kill * 0.618 % 1))))
        handle:kill "sigkill"
        uv.run()
        handle:close()
        uv.run "nowait"
        local cut = files.exists(folder .. "/art/flow.db") and last_run()
        if cut and files.exists(cut.folder .. "/unfinished") then
          local before, done = calls(), completed()
          local ran = recsys_run("--resume --set n=500 " .. cache)
          assert.equal(0, ran.code, ran.err)
          local result = json.decode(ran.out)
          assert.same(whole, result.metrics)
          local after = calls()
          for name in pairs(done) do assert.equal(before[name], after[name], name .. " ran again") end
          assert.equal("completed", last_run().state)
          for i = 2, 6 do
            assert.equal("step" .. i, files.read(("%s/%s/step%d.txt"):format(folder, result.paths.run, i)))
          end
          local left = command.run(("find '%s' -name '*.tmp' -o -name '*.part' -path '*runs*'"):format(folder)).out
          assert.equal("", left)
          ended = ended + 1
        end
      end
      assert.is_true(ended > kills / 3)
    end)
  end

  it("runs a completed task again when what it depends on has changed", function()
    os.execute(("rm -rf '%s'/art '%s'/artifacts '%s'/called.txt"):format(folder, folder, folder))
    assert.equal(1, recsys_run("--set n=20 --set fails=true").code)
    local name, first = last_run().name, last_run().tasks[1]
    assert.same({ first = 1, step2 = 1, step3 = 1, step4 = 1, step5 = 1, step6 = 1 }, calls())
    assert.equal(1, resume(name).code)
    assert.same({ first = 1, step2 = 1, step3 = 1, step4 = 1, step5 = 1, step6 = 1 }, calls())
    local again = last_run().tasks[1]
    assert.equal("before the run was resumed", again.reason)
    assert.same({ first.started, first.ended }, { again.started, again.ended }) -- and not when it was taken up
    command.write(folder .. "/steps.lua", (RECIPE:gsub("no luck", "no luck either")))
    local ran = resume(name)
    assert.matches("no luck either", ran.err)
    command.write(folder .. "/steps.lua", (RECIPE:gsub('if p.fails then', 'if false then')))
    ran = resume(name)
    assert.equal(0, ran.code, ran.err)
    assert.equal("completed", last_run().state)
    command.write(folder .. "/steps.lua", RECIPE)
  end)

  it("takes no result that is not whole", function()
    os.execute(("rm -rf '%s'/art '%s'/artifacts '%s'/called.txt"):format(folder, folder, folder))
    assert.equal(1, recsys_run("--set n=20 --set fails=true --no-cache").code)
    local run = last_run()
    command.write(run.folder .. "/tasks/03-step3/value.lua", "")
    assert.equal(1, resume(run.name).code)
    assert.same({ first = 1, step2 = 1, step3 = 2, step4 = 1, step5 = 1, step6 = 1 }, calls())
  end)
end)

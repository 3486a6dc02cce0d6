--- Tasks in processes of their own, with real ones: what they are given and give, how they fail, are stopped, and leave
--- nothing behind.

local command = require "spec.support.command"
local files = require "recsys.files"
local recipe_run = require "spec.support.recipe_run"
local record = require "recsys.flow.record"
local state = require "recsys.flow.state"
local uv = require "luv"

local RECIPE = [[
local recsys = require "recsys"
local tensor = recsys.tensor

-- C that no signal's hook interrupts: minutes of backtracking
local function hang() return string.find(("a"):rep(34), ("a?"):rep(34) .. ("a"):rep(34)) end

local notes = require "notes"
local note, pid = notes.add, notes.pid

local steps = {}

function steps.values(flow, p)
  local plain = flow:task("plain", { save = false }, function() return { x = { 1, 2.5, "three" } } end)
  local big = flow:task("big", function() return { t = tensor.new { 1, 2, 3 }, pid = pid() } end)
  local own = flow:task("own", { process = true }, function(x, t, n)
    io.stdout:write "printed\n"
    io.stderr:write "complained\n"
    recsys.log.info("told")
    return { sum = x[1] + x[2] + t:sum() + n, pid = pid(), t = t }
  end, plain.x, big.t, p.n)
  local later = flow:task("later", function(one) return { sum = one.sum, t = one.t:sum() } end, own)
  return { metrics = { sum = later.sum, t = later.t }, pids = { big.pid, own.pid } }
end

function steps.raises(flow)
  flow:task("own", { process = true }, function() error "no luck" end)
end

function steps.refuses(flow)
  flow:task("own", { process = true }, function() return nil, "somebody has it", "busy" end)
end

function steps.dies(flow)
  flow:task("own", { process = true }, function() require("luv").kill(pid(), "sigkill") require("luv").sleep(5000) end)
end

function steps.hangs(flow, p)
  flow:task("own", { timeout = p.timeout, grace = 0.2 }, hang)
end

function steps.late(flow, p)
  local retries = { times = 1, when = function(failure) return failure.code == "timed_out" end }
  flow:task("own", { timeout = p.timeout, retries = retries }, function()
    pcall(function() while true do end end)
    return 7
  end)
end

function steps.catches(flow, p)
  flow:task("own", { timeout = p.timeout }, function()
    pcall(function() while true do end end)
    error "cleaned up"
  end)
end

--- The second one catches that it is stopped.
function steps.stopped(flow)
  flow:map("own", { concurrency = 2 }, function(i)
    note("pids.txt", pid())
    if i == 1 then
      while select(2, io.open("pids.txt"):read("a"):gsub("\n", "")) < 2 do require("luv").sleep(20) end
      error "no luck"
    end
    pcall(function() while true do end end)
    error "cleaned up"
  end, { 1, 2 })
end

function steps.eats(flow)
  flow:task("own", { memory = "600M" }, function() return { t = tensor.zeros(1 << 30) } end)
end

function steps.fits(flow)
  flow:task("own", { memory = "100M" }, function()
    local t = tensor.zeros(12 << 20)
    return { sum = t:sum() }
  end)
end

function steps.eats_lua(flow)
  flow:task("own", { memory = "300M" }, function()
    local all = {}
    for i = 1, 1e9 do all[i] = ("x"):rep(1 << 20) .. i end
  end)
end

function steps.retries(flow)
  local own = flow:task("own", { process = true, retries = { times = 3, delay = 0.05 } }, function()
    note("tries.txt", pid())
    local n = select(2, assert(io.open("tries.txt")):read("a"):gsub("\n", ""))
    if n < 3 then error(("attempt %d"):format(n)) end
    return { n = n }
  end)
  return { metrics = { n = own.n } }
end

function steps.brood(flow)
  flow:map("own", { concurrency = 2 }, function(i)
    note("pids.txt", pid())
    os.execute "echo $$ >> pids.txt; sleep 300 & echo $! >> pids.txt; wait"
    return i
  end, { 1, 2 })
end

function steps.patient(flow)
  flow:task("own", { process = true, grace = 20 }, function()
    note("pids.txt", pid())
    local ok, problem = pcall(function() for _ = 1, 600 do require("luv").sleep(100) end end)
    note("asked.txt", ok and "no" or problem.code)
    error(problem, 0)
  end)
end

function steps.deaf(flow)
  flow:task("own", { process = true, grace = 0.3 }, function() note("pids.txt", pid()) hang() end)
end

function steps.here(flow)
  flow:task("own", { grace = 1 }, function() note("pids.txt", pid()) hang() end)
end

function steps.stray(flow, p)
  local own = flow:task("own", { process = true, retries = p.n }, function()
    note("tries.txt", pid())
    local n = select(2, assert(io.open("tries.txt")):read("a"):gsub("\n", ""))
    if n == 1 then
      require("luv").kill(pid(), "sigterm")
      for _ = 1, 100 do require("luv").sleep(50) end
    end
    return { n = n }
  end)
  return { metrics = { n = own.n } }
end

function steps.waits_for_a_program(flow)
  flow:task("own", { grace = 1 }, function()
    note("pids.txt", pid())
    os.execute "echo $$ >> pids.txt; sleep 300 & echo $! >> pids.txt; wait"
  end)
end

function steps.skips(flow)
  local no = flow:task("no", function() return { fine = false } end)
  local skipped = flow:task("skipped", { when = no.fine }, function() return { deep = 1 } end)
  local own = flow:task("own", { process = true }, function(deep) return { nothing = deep == nil } end, skipped.deep)
  local run = flow:task("run", { when = own.nothing }, function() return 1 end)
  local also = flow:task("also", { when = skipped }, function() return 1 end)
  return { seen = { skipped = skipped, own = own.nothing, run = run, also = also } }
end

function steps.wanders(flow)
  flow:task(arg[1] == "--task" and "other" or "own", { process = true }, function() return 1 end)
end

return recsys.recipe {
  name = "child", about = "Tasks in processes", params = { what = "values", n = 4, timeout = 0.3 },
  run = function(flow, p) return steps[p.what](flow, p) or {} end,
}]]

local TRAINING = [[
local recsys = require "recsys"
local job = recsys.job
return recsys.recipe {
  name = "trains", about = "Train in a process",
  params = { what = "",
    data = { source = "news", dir = "news", scale = 0.001 },
    split = { kind = "time", valid = 0.1, test = 0.1 },
    model = { kind = "two_tower", dim = 48, hidden = { 24 }, dropout = 0.3, temperature = 0.2, log_q = true,
      bias = true, id_dropout = 0.5 },
    train = { epochs = 12, batch = 64, learning_rate = 0.01, patience = 12, checkpoint = 0.03, optimizer = "adam" },
    eval = { window = "7d" },
  },
  run = function(flow, p)
    local data = flow:task("load", job.load, p.data)
    local split = flow:task("split", job.split, data, p.split, p.seed)
    local encoder = flow:task("features", recsys.feature.fit, data, split.train, require "recipes.features.news")
    local trained = flow:task("train", { process = true, grace = 20 }, job.train, p, encoder, data, split)
    return { metrics = { loss = trained.curves[12]["train/loss"], epoch = trained.epoch } }
  end,
}]]

local runs

describe("a task in a process of its own", function()
  it("that somebody else asks to end has failed, and is tried again; the run goes on", function()
    local code, err = runs:run("stray", { "--set", "n=0" })
    assert.equal(1, code, err)
    assert.matches("its process was asked to end by signal 15, which the run has not sent; see .*/01%-own.txt", err)
    assert.equal("crashed", runs:tasks().own.state)
    os.remove(runs:path "tries.txt")
    local result
    code, err, result = runs:run("stray", { "--set", "n=1" })
    assert.equal(0, code, err)
    assert.equal(2, result.metrics.n)
    assert.matches("attempt 2 follows", err)
  end)

  before_each(function() runs = recipe_run(RECIPE) end)

  after_each(function() runs:remove() end)

  it("takes results of finished tasks, tensors and unsaved ones too, and gives its own", function()
    local code, err, result = runs:run "values"
    assert.equal(0, code, err)
    assert.equal(1 + 2.5 + 6 + 4, result.metrics.sum)
    assert.equal(6, result.metrics.t)
    assert.not_equal(result.pids[1], result.pids[2])
    assert.is_nil(files.names(runs:run_folder() .. "/unfinished")[1])
    assert.same({ "03-own.txt" }, files.names(runs:run_folder() .. "/logs"))
    local log = command.read(runs:run_folder() .. "/logs/03-own.txt")
    for _, word in ipairs { "printed", "complained", "told" } do assert.is_truthy(log:find(word, 1, true), log) end
    assert.equal(0, (runs:run "values")) -- and what it gave is kept for later runs
    local tasks = runs:tasks(2)
    assert.same({ "cached", "cached" }, { tasks.own.state, tasks.later.state })
  end)

  it("fails with its message, its line and the exit code of what it refused", function()
    local code, err = runs:run "raises"
    assert.equal(1, code)
    assert.matches("task 'own' %(recipe.lua:%d+%): recipe.lua:%d+: no luck", err)
    os.execute(("rm -rf '%s'"):format(runs:path "artifacts"))
    code, err = runs:run "refuses"
    assert.equal(75, code)
    assert.matches("task 'own': somebody has it", err)
  end)

  it("that dies by a signal is told as such", function()
    local code, err = runs:run "dies"
    assert.equal(1, code)
    assert.matches("task 'own': its process was ended by signal 9; see .*/logs/01%-own.txt", err)
  end)

  it("is stopped by its timeout also in the middle of C", function()
    local began = uv.hrtime()
    local code, err = runs:run "hangs"
    assert.equal(1, code)
    assert.matches("task 'own': it was stopped after 0.3 s, its timeout", err)
    assert.is_true(uv.hrtime() - began < 10e9)
  end)

  it("has timed out whatever it gives or raises when it is stopped, which is told behind", function()
    local code, err = runs:run "late"
    assert.equal(1, code)
    assert.matches("task 'own': it was stopped after 0.3 s, its timeout\n", err)
    assert.matches("attempt 2 follows", err)
    assert.equal("timed_out", runs:tasks().own.state)
    os.execute(("rm -rf '%s'"):format(runs:path "artifacts"))
    local soon = command.sanitized and 8 or 2 -- when its function has begun, however much else the machine has to do
    code, err = runs:run("catches", { "--set", "timeout=" .. soon })
    assert.equal(1, code)
    assert.matches(("task 'own': it was stopped after %.1f s, its timeout; it said: recipe.lua:%%d+: cleaned up\n")
      :format(soon), err)
    assert.equal("timed_out", runs:tasks().own.state)
  end)

  it("is cancelled when it is stopped for another one, whatever it raises then", function()
    local code, err = runs:run "stopped"
    assert.equal(1, code)
    assert.matches("element 1: recipe.lua:%d+: no luck", err)
    local db <close> = state.open(runs:path "artifacts")
    local second = record.run(db, runs:run_folder()).tasks[1].elements[2]
    assert.equal("cancelled", second.state)
    assert.matches("^it was stopped, as another one has failed; it said: recipe.lua:%d+: cleaned up$", second.reason)
  end)

  it("fails alone when it needs more memory than its limit", function()
    if command.sanitized then return pending "a sanitized program's memory is not what a limit can count" end
    assert.equal(0, (runs:run "fits"))
    for _, what in ipairs { "eats", "eats_lua" } do
      local code, err = runs:run(what)
      assert.equal(1, code)
      assert.matches("task 'own'.*: it needs more memory than its limit of %d00 MiB", err)
      os.execute(("rm -rf '%s'"):format(runs:path "artifacts"))
    end
  end)

  it("is tried again, each time by a new process", function()
    local code, err, result = runs:run "retries"
    assert.equal(0, code, err)
    assert.equal(3, result.metrics.n)
    local seen = {}
    for pid in runs:read("tries.txt"):gmatch "%d+" do seen[pid] = true end
    local distinct = 0
    for _ in pairs(seen) do distinct = distinct + 1 end
    assert.equal(3, distinct)
    assert.matches("task own failed %(recipe.lua:%d+: attempt 1%); attempt 2 follows after 0.1 s", err)
  end)

  it("leaves nothing behind when its parent is killed, nor do the programs that it has started", function()
    local going = runs:begin "brood"
    runs:wait(function() return runs:lines "pids.txt" == 6 end, "children")
    assert.equal(6, #runs:alive "pids.txt")
    going.handle:kill "sigkill"
    runs:finish(going)
    runs:wait(function() return #runs:alive "pids.txt" == 0 end, "end of the children")
  end)

  it("ends first when the flow is asked to, in its own way within its grace time", function()
    local going = runs:begin "patient"
    runs:wait(function() return runs:lines "pids.txt" == 1 end, "child")
    going.handle:kill "sigterm"
    assert.equal(143, (runs:finish(going)))
    assert.equal("interrupted\n", runs:read "asked.txt")
    assert.same({}, runs:alive "pids.txt")
  end)

  it("is killed after its grace time when it does not hear", function()
    local going = runs:begin "deaf"
    runs:wait(function() return runs:lines "pids.txt" == 1 end, "child")
    local began = uv.hrtime()
    going.handle:kill "sigterm"
    assert.equal(143, (runs:finish(going)))
    assert.is_true(uv.hrtime() - began < 10e9)
    assert.same({}, runs:alive "pids.txt")
  end)

  it("is not needed for a grace time: a task in C ends with the flow's", function()
    local going = runs:begin "here"
    runs:wait(function() return runs:lines "pids.txt" == 1 end, "task")
    local began = uv.hrtime()
    going.handle:kill "sigterm"
    assert.equal(143, (runs:finish(going)))
    assert.is_true(uv.hrtime() - began < 10e9)
  end)

  it("is not needed for that either: programs that a task waits for end with the flow", function()
    local going = runs:begin "waits_for_a_program"
    runs:wait(function() return runs:lines "pids.txt" == 3 end, "program")
    assert.equal(3, #runs:alive "pids.txt")
    going.handle:kill "sigterm"
    assert.equal(143, (runs:finish(going)))
    runs:wait(function() return #runs:alive "pids.txt" == 0 end, "end of the programs")
  end)

  it("that trains ends with a checkpoint within its grace time, and goes on from there", function()
    command.write(runs:path "recipe.lua", TRAINING)
    local code, err, whole = runs:run ""
    assert.equal(0, code, err)
    os.execute(("rm -rf '%s'"):format(runs:path "artifacts/runs"))
    local going = runs:begin("", { "--no-cache" })
    local place
    runs:wait(function()
      place = runs:run_folder() and runs:run_folder() .. "/unfinished/04-train"
      return place and files.exists(place .. "/current.lua")
    end, "checkpoint")
    local began = uv.hrtime()
    going.handle:kill "sigterm"
    code, err = runs:finish(going)
    assert.equal(143, code, err)
    assert.is_true(uv.hrtime() - began < 15e9)
    local result
    code, err, result = runs:run("", { "--resume", "--no-cache" })
    assert.equal(0, code, err)
    assert.same(whole.metrics, result.metrics)
    assert.matches("resumed behind step", command.read(runs:run_folder() .. "/logs/04-train.txt"))
  end)

  it("and others are skipped where `when` says so, and stand for nil", function()
    local code, err, result = runs:run "skips"
    assert.equal(0, code, err)
    assert.same({ own = true, run = 1 }, result.seen)
    local tasks = runs:tasks()
    assert.equal("skipped", tasks.skipped.state)
    assert.equal("skipped", tasks.also.state)
    assert.equal("its condition 'no.fine' is false", tasks.skipped.reason)
    assert.equal("its condition 'skipped' is nil", tasks.also.reason)
    assert.not_equal("skipped", tasks.run.state)
  end)

  it("says so when the recipe declares other steps than before", function()
    local code, err = runs:run "wanders"
    assert.equal(1, code)
    assert.matches("task 'own': the recipe, read again, has task 'other' where 'own' was: its steps", err)
  end)

  it("refuses options that make no sense, with the task's name, before the run", function()
    for option, message in pairs { ["timeout = 0"] = "timeout must be a number of seconds above 0, not '0'",
      ["memory = 'much'"] = "memory must be a size such as \"512M\" or \"2G\", not 'much'",
      ["threads = 0"] = "threads must be a whole number", ["process = false, timeout = 3"] =
      "timeout needs a process of its own; leave out process = false" } do
      command.write(runs:path "recipe.lua", ([[return require("recsys").recipe { name = "x", about = "x",
        params = { what = "" }, run = function(flow) flow:task("own", { %s }, function() end) end }]]):format(option))
      local code, err = runs:run ""
      assert.equal(2, code)
      assert.is_truthy(err:find("task 'own': " .. message, 1, true), err)
      assert.is_nil(runs:run_folder())
    end
  end)
end)

--- One process at a time is at work on a run's folder: the lock of recsys.resume.

local command = require "spec.support.command"
local exit = require "recsys.exit"
local files = require "recsys.files"
local resume = require "recsys.resume"
local store = require "recsys.store"
local uv = require "luv"

-- Lock a run's folder, say so, and hold it until the end of stdin.
local HOLDER = [[
local resume = require "recsys.resume"
resume.begin(arg[1], "held", { x = 1 })
io.stdout:write "held\n"
io.stdout:flush()
io.stdin:read "a"
]]

--- Let another process be at work on a run: a function that ends it.
local function held(folder)
  local script = command.write(folder .. "/holder.lua", HOLDER)
  local input, output = uv.new_pipe(false), uv.new_pipe(false)
  local said, code = "", nil
  local handle = assert(uv.spawn(command.program, { args = { "lua", script, folder },
    stdio = { input, output, 2 } }, function(c) code = c end))
  output:read_start(function(_, more) said = said .. (more or "") end)
  while not said:find "held" and not code do uv.run "once" end
  assert.is_nil(code)
  return function()
    input:close()
    while not code do uv.run "once" end
    handle:close()
    output:close()
    uv.run "nowait"
  end
end

describe("the lock of a run", function()
  it("is there before the run can be seen to be one", function()
    local folder, save, locked = command.scratch(finally), store.save, nil
    finally(function() store.save = save end)
    store.save = function(...)
      locked = resume.is_at_work(folder)
      return save(...)
    end
    resume.begin(folder, "one", { x = 1 })
    assert.is_true(locked)
    resume.finish(folder)
  end)

  it("that another process has keeps a run from beginning, and from being gone on with", function()
    local folder = command.scratch(finally)
    local let_go = held(folder)
    local ok, problem = pcall(resume.begin, folder, "held", { x = 2 })
    assert.is_false(ok)
    assert.equal("busy", problem.code)
    assert.matches("process %d+ on .*, is at work on", problem.message)
    assert.same({ x = 1 }, store.load(folder .. "/unfinished/run").params)
    assert.is_true(resume.is_at_work(folder))
    ok, problem = pcall(resume.named, folder, "runs", "held")
    assert.same({ false, "busy" }, { ok, problem.code })
    let_go()
    assert.is_false(resume.is_at_work(folder))
    assert.equal(folder, (resume.named(folder, "runs", "held")))
    assert.is_true(resume.is_at_work(folder .. "/../" .. folder:match "[^/]+$"))
    resume.finish(folder)
  end)

  it("that another process has is no reason to begin anew where --resume names no run", function()
    local runs = command.scratch(finally)
    local let_go = held(files.make_folder(runs .. "/held-2"))
    local ok, problem = pcall(resume.latest, runs, "held", { x = 1 })
    assert.same({ false, "busy" }, { ok, problem.code })
    assert.matches("process %d+ on .*, is at work on .*/held%-2$", problem.message)
    assert.is_nil((resume.latest(runs, "held", { x = 2 }))) -- other parameters are another run
    local free = files.make_folder(runs .. "/held-1")
    files.make_folder(free .. "/unfinished")
    store.save(free .. "/unfinished/run", { recipe = "held", params = { x = 1 }, commit = "c" })
    assert.equal(free, (resume.latest(runs, "held", { x = 1 }))) -- one that was cut short may be gone on with
    resume.finish(free)
    let_go()
    assert.equal(runs .. "/held-2", (resume.latest(runs, "held", { x = 1 })))
    resume.finish(runs .. "/held-2")
  end)

  it("of a run that is finished while somebody looks at it leads to no run", function()
    local runs, load = command.scratch(finally), store.load
    finally(function() store.load = load end)
    local folder = files.make_folder(runs .. "/one-1")
    resume.begin(folder, "one", { x = 1 })
    resume.finish(folder)
    files.make_folder(folder .. "/unfinished")
    store.save(folder .. "/unfinished/run", { recipe = "one", params = { x = 1 } })
    command.write(folder .. "/unfinished/lock", "")
    local function finished_after_reading()
      store.load = function(...)
        local value = load(...)
        os.rename(folder .. "/unfinished", folder .. "/finished")
        command.write(folder .. "/result.json", "{}")
        return value
      end
    end
    finished_after_reading()
    assert.is_nil((resume.latest(runs, "one", { x = 1 })))
    os.rename(folder .. "/finished", folder .. "/unfinished")
    finished_after_reading()
    local ok, problem = pcall(resume.named, folder, runs, "one")
    assert.same({ false, "usage" }, { ok, problem.code })
    assert.matches("is done, there is nothing to resume", problem.message)
    assert.is_false(resume.is_at_work(folder))
  end)

  it("is no signal's to be lost in", function()
    assert.same({ true, 1, 2 }, { exit.try(function() return 1, 2 end) })
    assert.same({ false, "no" }, { exit.try(error, "no", 0) })
    local ok, problem = pcall(exit.try, error, { signal = 15 })
    assert.same({ false, 15 }, { ok, problem.signal })
  end)
end)

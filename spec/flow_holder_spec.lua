--- Who is at work on a run, as flow.db tells it: also when somebody else looks, from another container, or later.

local command = require "spec.support.command"
local files = require "recsys.files"
local process = require "recsys.track.process"
local record = require "recsys.flow.record"
local resume = require "recsys.resume"
local scheduled = require "recsys.flow.scheduled"
local state = require "recsys.flow.state"
local uv = require "luv"

local BOOT <const>, SPACE <const> = "^%S+", "^(%S+) %S+"

describe("the process at work on a run", function()
  local place, db, me

  before_each(function()
    place, me = command.temporary(), process.name()
    local folder = files.make_folder(place .. "/runs/one-1")
    resume.begin(folder, "one", {})
    local run = record.begin { folder = folder, runs = place .. "/runs", recipe = "one", path = "one.lua" }
    run:move { number = 1, name = "slow", state = "running", started = 1 }
    run.db:close()
    db = state.open(place)
  end)

  after_each(function()
    db:close()
    resume.finish(place .. "/runs/one-1")
    command.remove(place)
  end)

  --- The run's state once somebody has looked, with this holder.
  local function seen(holder)
    db:run("UPDATE runs SET state = 'running', holder = ?", { holder })
    record.sweep(db)
    return record.run(db, "one-1").state
  end

  it("is known by more than its number", function()
    assert.equal(me, record.run(db, "one-1").holder)
    assert.equal("running", seen(me))
    assert.equal("crashed", seen((me:gsub("^(%S+ %S+ %d+) %S+", "%1 12345")))) -- its number was given away
    assert.equal("crashed", seen((me:gsub(BOOT, "00000000-0000"))))
    assert.equal("running", seen((me:gsub(BOOT, "00000000-0000"):gsub("%S+$", "elsewhere"))))
    assert.equal("running", seen(me:gsub("^(%S+ %S+) %d+ %S+", "%1 1 " .. process.started(1)))) -- another user's
  end)

  it("is there where users do not see each other's processes, too", function()
    local started, kill = process.started, uv.kill
    finally(function() process.started, uv.kill = started, kill end)
    process.started = function() end
    uv.kill = function() return nil, "EPERM: operation not permitted", "EPERM" end
    assert.equal("running", seen(me))
    uv.kill = function() return nil, "ESRCH: no such process", "ESRCH" end
    assert.equal("crashed", seen(me))
  end)

  it("shows in another container by the lock", function()
    local contained = me:gsub(SPACE, "%1 42")
    assert.equal("container", process.where(contained))
    assert.equal("running", seen(contained))
    resume.finish(place .. "/runs/one-1")
    assert.equal("crashed", seen(contained))
  end)

  it("ended when it was last heard of, not when somebody looked", function()
    db:run "UPDATE transitions SET at = 1000 + id"
    assert.equal("crashed", seen((me:gsub("^(%S+ %S+ %d+) %S+", "%1 12345"))))
    local run = record.run(db, "one-1")
    assert.same({ 1002, 1002 }, { run.ended, run.tasks[1].ended })
    assert.is_true(run.transitions[#run.transitions].at > 1002)
  end)

  it("is not to be asked to end by its number from elsewhere", function()
    db:run("UPDATE runs SET holder = ?", { (me:gsub(SPACE, "%1 42")) })
    local ok, problem = pcall(require("recsys.flow.control").cancel, place, "one-1", {})
    assert.same({ false, "usage" }, { ok, problem.code })
    assert.matches("is at work in another container", problem.message)
  end)

  it("of a schedule is known in the same way", function()
    assert.is_true(scheduled.is_at_work(me))
    assert.is_true(scheduled.is_at_work(process.name(uv.os_getppid())))
    assert.is_false(scheduled.is_at_work((me:gsub("^(%S+ %S+ %d+) %S+", "%1 12345"))))
    assert.is_false(scheduled.is_at_work(4711)) -- of before
    assert.is_false(scheduled.is_at_work "12345")
    assert.is_false(scheduled.is_at_work(nil))
  end)
end)

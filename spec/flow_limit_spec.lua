--- Limits by name: within a process, between processes, and after a holder's death.

local command = require "spec.support.command"
local files = require "recsys.files"
local flow = require "recsys.flow"
local limit = require "recsys.flow.limit"
local record = require "recsys.flow.record"
local state = require "recsys.flow.state"
local uv = require "luv"

local HOLD = [[
local limit = require "recsys.flow.limit"
local release = assert(limit.try({ %s = %d }, "holder"))
io.stdout:write "held\n"
io.stdout:flush()
io.stdin:read "a"
]]

local folder

--- A process that holds a place as long as it lives.
local function holder(name, most)
  local out, input = uv.new_pipe(false), uv.new_pipe(false)
  command.write(folder .. "/hold.lua", HOLD:format(name, most))
  local said, ended = "", false
  local handle, pid = uv.spawn(command.program, { args = { "lua", folder .. "/hold.lua" },
    stdio = { input, out, 2 } }, function() ended = true end)
  out:read_start(function(_, bytes) said = said .. (bytes or "") end)
  while not said:find "held" and not ended do uv.run "once" end
  assert.is_true(said:find "held" ~= nil)
  return pid, function()
    handle:kill "sigkill"
    while not ended do uv.run "once" end
    for _, one in ipairs { out, input, handle } do one:close() end
    uv.run "nowait"
  end
end

describe("limit", function()
  setup(function()
    folder = command.temporary()
    uv.os_setenv("RECSYS_LIMITS", folder .. "/limits")
  end)

  teardown(function()
    uv.os_unsetenv "RECSYS_LIMITS"
    command.remove(folder)
  end)

  it("has so many places, and one again when one is given back", function()
    local first = assert(limit.try({ two = 2 }, "run a, task x"))
    local second = assert(limit.try({ two = 2 }, "run b, task y"))
    local none, name, by = limit.try({ two = 2 }, "run c")
    assert.is_nil(none)
    assert.equal("two", name)
    assert.equal(("run a, task x, process %d"):format(uv.os_getpid()), by)
    first()
    first() -- twice is fine
    local third = assert(limit.try({ two = 2 }, "run c"))
    assert.is_nil(limit.try({ two = 2 }, "run d"))
    second()
    third()
  end)

  it("takes all places that a task needs, or none", function()
    local other = assert(limit.try({ b = 1 }, "other"))
    assert.is_nil(limit.try({ a = 1, b = 1 }, "both"))
    local alone = assert(limit.try({ a = 1 }, "alone"))
    alone()
    other()
  end)

  it("counts with the number that each task says", function()
    local first = assert(limit.try({ own = 1 }, "first"))
    local second = assert(limit.try({ own = 2 }, "second"))
    assert.is_nil(limit.try({ own = 1 }, "third"))
    assert.is_nil(limit.try({ own = 2 }, "third"))
    first()
    second()
  end)

  it("holds between processes, names the holder, and frees the place of one that was killed", function()
    local pid, kill = holder("gpu", 1)
    local none, _, by = limit.try({ gpu = 1 }, "me")
    assert.is_nil(none)
    assert.equal(("holder, process %d"):format(pid), by)
    local waited
    local began = uv.hrtime()
    kill()
    local release = limit.take({ gpu = 1 }, "me", function(name) waited = name end)
    assert.is_nil(waited)
    assert.is_true(uv.hrtime() - began < 5e9)
    release()
  end)

  it("waits for a place, and says once for whom", function()
    local held, said = assert(limit.try({ slow = 1 }, "the first")), {}
    local began = uv.hrtime()
    local release = limit.take({ slow = 1 }, "the second", function(_, by)
      said[#said + 1] = by
      held()
    end)
    assert.is_true(uv.hrtime() - began >= 0.09e9)
    assert.same({ ("the first, process %d"):format(uv.os_getpid()) }, said)
    release()
  end)

  it("is said of a task that waits, and for whom, in the database", function()
    local place = command.scratch(finally)
    local at = files.make_folder(place .. "/runs/one")
    local written = record.begin { folder = at, runs = place .. "/runs", recipe = "one", path = "one.lua" }
    local held, move = assert(limit.try({ slow = 1 }, "the first")), written.move
    function written:move(task, reason)
      move(self, task, reason)
      if reason then held() end
    end
    flow.new({ folder = at, record = written }):task("slow", { limits = { slow = 1 } }, function() return 1 end)
    local db <close> = state.open(place)
    local changes = {}
    for i, change in ipairs(record.run(db, "one").transitions) do
      changes[i] = change.state .. (change.reason and ": " .. change.reason or "")
    end
    assert.same({ "running", "running", ("running: waits for a place of 'slow', held by the first, process %d"):format(
      uv.os_getpid()), "running", "completed" }, changes) -- the first is the run's
    assert.is_nil(record.run(db, "one").tasks[1].reason)
  end)

  it("refuses what makes no sense, by its name", function()
    local cases = { { "gpu", "limits must be a table such as { gpu = 1 }, not a string" },
      { { gpu = 0 }, "limits.gpu must be a whole number" }, { { gpu = 1.5 }, "limits.gpu must be a whole number" },
      { { ["a/b"] = 1 }, "'a/b' is no name" }, { { "gpu" }, "'1' is no name" } }
    for _, case in ipairs(cases) do
      local ok, problem = pcall(limit.read, case[1], "train")
      assert.is_false(ok)
      assert.equal("usage", problem.code)
      assert.is_truthy(problem.message:find(case[2], 1, true), problem.message)
    end
    assert.is_nil(limit.read({}, "train"))
  end)
end)

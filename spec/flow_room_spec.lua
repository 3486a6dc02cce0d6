--- The room that kept results take is known without a look at each, after kills, too.

local command = require "spec.support.command"
local files = require "recsys.files"
local kept = require "recsys.flow.cache"
local kept_flow = require "spec.support.kept_flow"
local process = require "recsys.track.process"
local room = require "recsys.flow.room"
local uv = require "luv"

describe("the room of kept results", function()
  local folder, list, looks
  setup(function()
    list = kept.list
    kept.list = function(...)
      looks = looks + 1
      return list(...)
    end
  end)
  teardown(function() kept.list = list end)
  before_each(function() folder, looks = kept_flow.begin(), 0 end)
  after_each(function()
    uv.os_unsetenv "RECSYS_CACHE_LIMIT"
    kept_flow.finish()
  end)

  local salt = 0
  --- A run that keeps the results of tasks; each is a text of so many bytes.
  local function run(tasks, bytes)
    salt = salt + 1000
    local steps = kept_flow.new()
    for i = 1, tasks do steps:task("t" .. i, function(n) return ("x"):rep(bytes) .. n end, salt + i) end
    return steps
  end

  local function bytes_kept()
    local sum = 0
    for _, entry in ipairs(list()) do sum = sum + entry.bytes end
    return sum
  end

  it("is counted: after the first run none looks at the entries", function()
    run(3, 100):settle()
    assert.equal(1, looks)
    for _ = 1, 3 do run(3, 20000):settle() end
    assert.equal(1, looks)
    local counted = room.settle(kept.folder())
    assert.equal(12, #list())
    assert.is_true(counted >= bytes_kept() and counted < bytes_kept() + 12 * 2048)
  end)

  it("is looked at when a day is over, and when clocks were ahead", function()
    run(1, 10):settle()
    for i, at in ipairs { os.time() - 86400, os.time() + 1000 } do
      files.write(kept.folder() .. ".room", ("5 looked %d\n"):format(at))
      run(1, 10):settle()
      assert.equal(1 + i, looks)
    end
    run(1, 10):settle()
    assert.equal(3, looks)
  end)

  it("stays within its limit, and a tenth of it is free then", function()
    uv.os_setenv("RECSYS_CACHE_LIMIT", "200K")
    run(1, 10):settle()
    for _ = 1, 3 do run(2, 25000):settle() end
    assert.equal(1, looks)
    run(2, 25000):settle()
    assert.equal(2, looks)
    assert.is_true(bytes_kept() <= 0.9 * 200 * 1024)
    assert.is_true(bytes_kept() > 0.6 * 200 * 1024)
    assert.equal(bytes_kept(), (room.settle(kept.folder())))
  end)

  it("counts too much rather than too little after a kill, whose remains go", function()
    run(1, 10):settle()
    local script = folder .. "/killed.lua"
    command.write(script, ([[
      local uv = require "luv"
      uv.os_setenv("RECSYS_CACHE", %q)
      local files, flow = require "recsys.files", require "recsys.flow"
      local steps = flow.new { folder = files.make_folder(%q), caches = true }
      for i = 1, 4 do steps:task("t" .. i, function(n) return ("x"):rep(30000) .. n end, i) end
      files.make_folder(("%%s/cache/tasks/abc.%%d.part"):format(%q, uv.os_getpid()))
      uv.kill(uv.os_getpid(), "sigkill")
    ]]):format(folder .. "/cache", folder .. "/runs/killed", folder))
    command.run(("'%s' lua %s"):format(command.program, script))
    assert.equal(6, #files.names(kept.folder()))
    local counted, is_torn = room.settle(kept.folder())
    assert.is_true(is_torn and counted >= bytes_kept())
    command.write(kept.folder() .. ".room", ("%s1 claims %s\n"):format(files.read(kept.folder() .. ".room"),
      process.name():gsub("^(%S+ %S+ %d+) %S+", "%1 1")))
    run(0, 0):settle()
    assert.equal(5, #files.names(kept.folder()))
    assert.is_false(select(2, room.settle(kept.folder())))
  end)

  it("is told in few lines again when there are many, and claims stay", function()
    run(1, 10):settle()
    local claim = ("0 claims %s\n"):format((process.name():gsub("^(%S+ %S+ %d+) %S+", "%1 1")))
    command.write(kept.folder() .. ".room", claim .. ("1 ends somebody\n"):rep(20000))
    kept.prune {}
    local told = files.read(kept.folder() .. ".room")
    assert.matches("^%d+ looked %d+\n", told)
    assert.equal(claim, told:match "\n(.*)")
    assert.equal(bytes_kept(), (room.settle(kept.folder())))
  end)

  it("is no reason to fail for a run on a disk that refuses", function()
    run(1, 10):settle()
    os.remove(kept.folder() .. ".room")
    files.make_folder(kept.folder() .. ".room")
    local steps = run(1, 10)
    steps:settle()
    assert.equal("completed", steps.tasks[1].state)
  end)
end)

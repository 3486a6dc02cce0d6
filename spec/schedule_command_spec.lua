--- Runs at certain times: `recsys-run schedule`. Times themselves are in cron_spec.lua, learning rates in
--- schedule_spec.lua.

local command = require "spec.support.command"
local sql = require "recsys.sql"
local uv = require "luv"

describe("recsys-run schedule", function()
  local folder
  before_each(function()
    folder = command.temporary()
    command.write(folder .. "/job.lua", [[
      local recsys = require "recsys"
      return recsys.recipe { name = "job", about = "Waits", params = { wait = 0.0, word = "" }, run = function(flow, p)
        flow:task("wait", function()
          local file = io.open("ran", "a")
          file:write("began ", p.word, "\n")
          file:flush()
          io.stderr:write "at work\n"
          local last = os.time() + p.wait
          while os.time() < last do end
          file:write("ended\n")
          file:close()
          return true
        end)
        return {}
      end } ]])
  end)
  after_each(function() command.remove(folder) end)

  local function run(words, prefix)
    return command.run(("cd %s && %s %s schedule %s"):format(folder, prefix or "", command.program, words))
  end

  --- Run a schedule until it has told this, then stop it: its exit code, and all that it told.
  local function until_told(words, told, signal)
    local ran = command.run(([[cd %s; %s schedule %s 2>told & one=$!
      for i in $(seq 600); do grep -q "%s" told && break; sleep 0.05; done
      kill -%s $one; wait $one; echo "code $?"; cat told]]):format(folder, command.program, words, told,
      signal or "TERM"))
    return tonumber(ran.out:match "code (%d+)"), ran.out
  end

  --- Pretend that the schedule dealt with its times up to so many seconds ago.
  local function pretend(ago)
    local db = require("recsys.flow.state").open(folder .. "/artifacts")
    db:run([[INSERT OR REPLACE INTO schedules (name, recipe, cron, missed, last)
      VALUES ('job', 'job.lua', '', 'run', ?)]], { os.time() - ago })
    db:close()
  end

  local function row()
    local db = assert(sql.open(folder .. "/artifacts/flow.db"))
    local found = db:row "SELECT * FROM schedules WHERE name = 'job'"
    db:close()
    return found
  end

  it("shows the next times in its zone, and begins nothing", function()
    local shown = run "job.lua --cron '30 2 * * *' --timezone Europe/Berlin --plan"
    assert.equal(0, shown.code, shown.err)
    local _, lines = shown.out:gsub("%d%d%d%d%-%d%d%-%d%d %d%d:%d%d CE%a?T +%d%d%d%d%-%d%d%-%d%dT0[01]:[03]0Z\n", "")
    assert.equal(5, lines, shown.out)
    assert.is_nil(io.open(folder .. "/artifacts/flow.db"))
  end)

  it("makes up by one run for what was missed, with the options behind --, and ends at SIGTERM with 143", function()
    pretend(3600)
    local code, told = until_told("job.lua --cron '*/10 * * * *' --missed run -- --set word=hello", "next at")
    assert.equal(143, code, told)
    assert.matches("schedule job: [67] times passed, the latest [%d-]+ [%d:]+ %S+; made up for by one run", told)
    assert.matches("ended with exit code 0 after", told)
    assert.matches("stopped by signal 15", told)
    assert.equal("began hello\nended\n", command.read(folder .. "/ran"))
    assert.equal(0, row().code)
  end)

  it("skips what was missed when it is told to, and ends at SIGINT with 130", function()
    pretend(3600)
    local code, told = until_told("job.lua --cron '*/10 * * * *' --missed skip", "next at", "INT")
    assert.equal(130, code, told)
    assert.matches("[67] times passed, .*; skipped", told)
    assert.is_nil(io.open(folder .. "/ran"))
  end)

  it("lets a run end when it is stopped, whose exit code is told", function()
    pretend(3600)
    local code, told = until_told("job.lua --cron '*/10 * * * *' --missed run -- --set wait=60", "at work")
    assert.equal(143, code, told)
    assert.matches("ended with exit code 143", told)
    assert.is_nil(row().pid)
    assert.is_nil(command.read(folder .. "/ran"):find "ended")
  end)

  it("kills a run that does not end within its grace time", function()
    pretend(3600)
    command.write(folder .. "/stubborn.lua", [[
      return require("recsys").recipe { name = "stubborn", about = "Holds on", run = function(flow)
        flow:task("hold", function()
          require("recsys.signals").hold()
          io.stderr:write "at work\n"
          while true do end
        end)
      end } ]])
    local db = require("recsys.flow.state").open(folder .. "/artifacts")
    db:run "UPDATE schedules SET name = 'stubborn'"
    db:close()
    local code, told = until_told("stubborn.lua --cron '*/10 * * * *' --missed run --grace 1",
      "at work")
    assert.equal(143, code, told)
    assert.matches("ended with exit code 137", told)
  end)

  it("lets no second schedule of its name in, and waits for a run that outlived a killed one", function()
    pretend(3600)
    local ran = command.run(([[cd %s
      PROGRAM schedule job.lua --cron '*/10 * * * *' --missed run -- --set wait=3 >one 2>&1 & one=$!
      while [ ! -e ran ]; do sleep 0.05; done
      PROGRAM schedule job.lua --cron '*/10 * * * *' >two 2>&1; echo "two: $?"
      kill -9 $one
      PROGRAM schedule job.lua --cron '0 0 1 1 *' >three 2>&1 & three=$!
      for i in $(seq 600); do grep -q "next at" three && break; sleep 0.05; done
      kill $three; wait $three; echo "three: $?"; cat two three ran]]):gsub("PROGRAM", command.program):format(folder))
    assert.matches("two: 75\n.*three: 143\n", ran.out)
    assert.matches("the schedule 'job' runs already, as process %d+", ran.out)
    assert.matches("a run of before is still at work, as process %d+; it is waited for\n.*next at", ran.out)
    assert.is_true(row().due <= os.time())
    assert.same({}, { row().pid, row().born, row().code }) -- how it ended nobody knows
    assert.matches("began \nended\n$", ran.out)
  end)

  --- Begin a run by a schedule that is killed, and wait for it by another one that is stopped: what that one told.
  local function stop_orphan(words, last)
    return command.run(([[cd %s
      PROGRAM schedule job.lua --cron '*/10 * * * *' --missed run WORDS >one 2>&1 & one=$!
      for i in $(seq 600); do grep -q "at work" one && break; sleep 0.05; done
      kill -9 $one
      PROGRAM schedule job.lua --cron '0 0 1 1 *' LAST >two 2>&1 & two=$!
      for i in $(seq 600); do grep -q "waited for" two && break; sleep 0.05; done
      kill $two; wait $two; echo "two: $?"; cat two one; pid=$(sed -n 's/.*as process \([0-9]*\);.*/\1/p' two)
      grep -s State /proc/$pid/status | grep -v zombie; echo gone]]):gsub("%u+", { PROGRAM = command.program,
      WORDS = words, LAST = last }):format(folder)).out
  end

  it("stops a run that outlived a killed one when it is stopped itself", function()
    pretend(3600)
    local said = stop_orphan("-- --set wait=60", "")
    assert.matches("two: 143\n.*a run of before is still at work.*stopped by signal 15", said)
    assert.matches("\ngone\n$", said)
    assert.is_nil(said:find "State")
    assert.is_nil(command.read(folder .. "/ran"):find "ended")
  end)

  it("has a run written down before it begins, which begins not where that cannot be", function()
    pretend(3600)
    local db = require("recsys.flow.state").open(folder .. "/artifacts")
    db:run [[CREATE TRIGGER full BEFORE INSERT ON schedules WHEN NEW.pid IS NOT NULL
      BEGIN SELECT RAISE(ABORT, 'no room'); END]]
    db:close()
    local ran = run "job.lua --cron '*/10 * * * *' --missed run"
    assert.equal(1, ran.code, ran.err)
    assert.matches("no room", ran.err)
    uv.sleep(300)
    assert.is_nil(io.open(folder .. "/ran"))
  end)

  it("goes on from now where the clock was ahead", function()
    pretend(-400 * 86400)
    local code, told = until_told("job.lua --cron '*/10 * * * *'", "next at")
    assert.equal(143, code, told)
    assert.matches("the clock was ahead, %S+ %S+ %S+ was dealt with already; it goes on from now", told)
    assert.matches(os.date("next at %Y", os.time() + 600), told)
    assert.is_true(row().last <= os.time())
  end)

  it("leaves the time zone of its runs as it is", function()
    command.write(folder .. "/job.lua", [[
      return require("recsys").recipe { name = "job", about = "Tells", run = function(flow)
        flow:task("tell", { cache = false }, function()
          io.open("ran", "w"):write(tostring(os.getenv "TZ")):close()
          return true
        end)
        return {}
      end } ]])
    for _, own in ipairs { "", "America/Lima" } do
      pretend(3600)
      local before = os.getenv "TZ"
      if own == "" then uv.os_unsetenv "TZ" else uv.os_setenv("TZ", own) end
      local _, told = until_told("job.lua --cron '*/10 * * * *' --missed run --timezone Asia/Tokyo", "next at")
      if before then uv.os_setenv("TZ", before) else uv.os_unsetenv "TZ" end
      assert.matches("ended with exit code 0", told)
      assert.equal(own == "" and "nil" or own, command.read(folder .. "/ran"))
      assert.matches("JST", told)
      command.run(("rm -rf %s/artifacts/cache"):format(folder))
    end
  end)

  it("lists the schedules that there are", function()
    assert.matches("^schedule +state", run("--list").out)
    pretend(3600)
    command.run(([[cd %s; %s schedule job.lua --cron '*/10 * * * *' --missed run --timezone UTC 2>told & one=$!
      for i in $(seq 600); do grep -q "next at" told && break; sleep 0.05; done
      %s schedule --list >list; %s schedule --list --json >list.json; kill $one; wait $one]]):format(folder,
      command.program, command.program, command.program))
    local moment = " +%d%d%d%d%-%d%d%-%d%dT%d%d:%d0Z"
    assert.matches("job +waits +%*/10 %* %* %* %* UTC" .. moment .. moment .. " +0 +job.lua\n",
      command.read(folder .. "/list"))
    local listed = require("recsys.json").decode(command.read(folder .. "/list.json"))
    assert.equal("waits", listed.schedules[1].state)
    assert.matches("job +stopped", run("--list").out)
  end)

  it("goes on after a run that failed", function()
    pretend(3600)
    command.write(folder .. "/job.lua", [[
      return require("recsys").recipe { name = "job", about = "Fails", run = function(flow)
        flow:task("fails", function() error "no luck" end)
      end } ]])
    local _, told = until_told("job.lua --cron '*/10 * * * *' --missed run", "next at")
    assert.matches("ended with exit code 1", told)
    local before = row()
    assert.equal(1, before.code)
    until_told("job.lua --cron '0 0 1 1 *'", "next at") -- it begins no run, and knows how the last one ended
    assert.same({ before.due, 1, before.seconds }, { row().due, row().code, row().seconds })
  end)

  it("is not begun with what the recipe refuses, and not planned", function()
    for _, option in ipairs { "", " --plan" } do
      local ran = run("job.lua --cron @daily" .. option .. " -- --set wiat=1")
      assert.equal(2, ran.code)
      assert.matches("there is no parameter 'wiat'", ran.err, 1, true)
      assert.matches("the recipe cannot be run so: recsys-run job.lua --set wiat=1\n", ran.err, 1, true)
      assert.equal("", ran.out)
    end
  end)

  it("refuses what makes no sense", function()
    for words, message in pairs { [""] = "which recipe%?", ["job.lua"] = "%-%-cron '0 2 %* %* %*' is each night",
      ["job.lua --cron x"] = "%-%-cron: 'x' has 1 fields",
      ["job.lua --cron '0 0 30 2 *'"] = "never comes", ["nojob.lua --cron @daily"] = "there is no recipe file",
      ["job.lua --cron @daily --timezone Mars/Base"] = "there is no time zone 'Mars/Base'",
      ["job.lua --cron @daily --missed later"] = "must be one of",
      ["job.lua --cron @daily --name ../x"] = "%-%-name:" } do
      local ran = run(words)
      assert.equal(2, ran.code, words .. ran.err)
      assert.matches(message, ran.err)
    end
  end)
end)

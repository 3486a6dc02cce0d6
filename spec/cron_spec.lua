--- Times as cron writes them, and when they come next, also when clocks change.

local cron = require "recsys.cron"
local uv = require "luv"

--- Next times after a moment, as local times of a zone.
local function nexts(zone, words, after, count)
  assert(cron.zone(zone))
  local spec, list = assert(cron.parse(words)), {}
  local moment = os.time(after)
  for i = 1, count do
    moment = cron.next(spec, moment)
    list[i] = os.date("%m-%d %H:%M %Z", moment)
  end
  return list
end

local function day(year, month, date, hour, min)
  return { year = year, month = month, day = date, hour = hour or 0, min = min or 0 }
end

describe("cron", function()
  local before = os.getenv "TZ"
  after_each(function()
    if before then uv.os_setenv("TZ", before) else uv.os_unsetenv "TZ" end
    os.time(day(2000, 1, 1))
  end)

  it("reads numbers, names, ranges, steps, lists and aliases", function()
    local function meant(words, field)
      local list = {}
      for value in pairs(assert(cron.parse(words))[field]) do list[#list + 1] = value end
      table.sort(list)
      return list
    end
    assert.same({ 0, 15, 30, 45 }, meant("*/15 * * * *", 1))
    assert.same({ 8, 10, 12 }, meant("0 8-12/2 * * *", 2))
    assert.same({ 1, 15 }, meant("0 0 1,15 * *", 3))
    assert.same({ 1, 6, 12 }, meant("0 0 1 jan,Jun,12 *", 4))
    assert.same({ 0, 1, 5 }, meant("0 0 * * mon,5,7", 5))
    assert.same({ 0 }, meant("@daily", 2))
    assert.same({ 0 }, meant("@weekly", 5))
  end)

  it("refuses what is none, and says which field", function()
    for words, message in pairs { [""] = "has 0 fields, not 5", ["0 2 * *"] = "has 4 fields", ["0 2 * * * *"] = "has 6",
      ["60 2 * * *"] = "'60' is no minute, 0-59", ["0 24 * * *"] = "'24' is no hour", ["0 0 0 * *"] =
      "'0' is no day of the month, 1-31", ["0 0 * 13 *"] = "'13' is no month",
      ["0 0 * * 8"] = "'8' is no day of the week",
      ["5-1 * * * *"] = "'5-1' is no minute", ["*/0 * * * *"] = "'*/0' is no minute", ["5/10 * * * *"] = "'5/10' is no",
      ["1,,2 * * * *"] = "'' is no minute", ["-1 * * * *"] = "'-1' is no minute", ["0 0 * * mond"] = "'mond' is no day",
      ["@nightly"] = "'@nightly' is no alias", ["H 2 * * *"] = "'H' is no minute" } do
      local spec, said = cron.parse(words)
      assert.is_nil(spec, words)
      assert.truthy(said:find(message, 1, true), said)
    end
    assert.truthy(cron.parse("H(0-29)/10 H(1-4) * * *", { hash = true }))
    assert.is_nil(cron.parse("H(0-99) * * * *", { hash = true }))
  end)

  it("finds the next times, over ends of months and years", function()
    assert.same({ "12-31 23:30 UTC", "01-01 23:30 UTC" }, nexts("UTC", "30 23 * * *", day(2026, 12, 31, 23, 29), 2))
    assert.same({ "01-01 23:30 UTC" }, nexts("UTC", "30 23 * * *", day(2026, 12, 31, 23, 30), 1))
    assert.same({ "02-29 04:00 UTC" }, nexts("UTC", "0 4 29 2 *", day(2026, 3, 1), 1))
    assert.same({ "01-31 00:00 UTC", "03-31 00:00 UTC" }, nexts("UTC", "0 0 31 * *", day(2026, 1, 1), 2))
    assert.same({ "03-02 06:00 UTC", "03-03 06:00 UTC" }, nexts("UTC", "0 6 * * 1-5", day(2026, 2, 27, 7), 2))
    assert.same({ "05-13 00:00 UTC", "05-15 00:00 UTC", "05-22 00:00 UTC" },
      nexts("UTC", "0 0 13 * fri", day(2026, 5, 9), 3)) -- either day will do
    assert.is_nil(cron.next(cron.parse "0 0 30 2 *", os.time(day(2026, 1, 1))))
    assert.is_nil(cron.next(cron.parse "* * 30 2 *", os.time(day(2026, 1, 1))))
  end)

  it("agrees with every minute of three months asked one by one", function()
    assert(cron.zone "UTC")
    for _, words in ipairs { "17 3 * * *", "0 0 1 * *", "*/20 4-6 * * sun", "5 * 13 * 5", "0 12 29 2 *" } do
      local spec, moment = cron.parse(words), os.time(day(2024, 1, 1))
      local due = cron.next(spec, moment)
      for minute = moment + 60, moment + 91 * 86400, 60 do
        local meant = cron.matches(spec, os.date("*t", minute))
        if (minute == due) ~= meant then error(words .. os.date(" is wrong at %c", minute)) end
        if meant then due = cron.next(spec, minute) end
      end
    end
  end)

  it("runs after the gap what the clocks leave out in spring, and once what comes twice in autumn", function()
    -- Berlin: 2026-03-29 02:00 CET becomes 03:00 CEST, 2026-10-25 03:00 CEST becomes 02:00 CET
    assert.same({ "03-28 02:30 CET", "03-29 03:00 CEST", "03-30 02:30 CEST" },
      nexts("Europe/Berlin", "30 2 * * *", day(2026, 3, 27, 12), 3))
    assert.same({ "10-24 02:30 CEST", "10-25 02:30 CEST", "10-26 02:30 CET" },
      nexts("Europe/Berlin", "30 2 * * *", day(2026, 10, 23, 12), 3))
    assert.same({ "03-08 03:00 EDT", "03-09 02:15 EDT" },
      nexts("America/New_York", "15 2 * * *", day(2026, 3, 7, 12), 2))
    assert.same({ "10-03 02:10 +1030", "10-04 02:30 +11" }, nexts("Australia/Lord_Howe", "10 2 * * *",
      day(2026, 10, 2, 12), 2)) -- half an hour
  end)

  it("counts real hours where every hour is meant", function()
    assert.same({ "03-29 01:00 CET", "03-29 03:00 CEST", "03-29 04:00 CEST" },
      nexts("Europe/Berlin", "0 * * * *", day(2026, 3, 29, 0, 30), 3))
    assert.same({ "10-25 02:00 CEST", "10-25 02:30 CEST", "10-25 02:00 CET", "10-25 02:30 CET", "10-25 03:00 CET" },
      nexts("Europe/Berlin", "*/30 * * * *", day(2026, 10, 25, 1, 45), 5))
    assert.same({ "01-04 00:00 +0545", "01-04 00:01 +0545" },
      nexts("Asia/Kathmandu", "* * * * sun", day(2026, 1, 1, 12, 7), 2))
  end)

  it("refuses a time zone that is none", function()
    for _, zone in ipairs { "Europe/Berlim", "", "../etc/passwd", "/etc/passwd", "Europe" } do
      local ok, message = cron.zone(zone)
      assert.is_nil(ok, zone)
      assert.matches("there is no time zone", message)
    end
  end)
end)

describe("recsys-run schedule", function()
  local command = require "spec.support.command"
  local sql = require "recsys.sql"

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
        flow:task("tell", function()
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
    local _, told = until_told("job.lua --cron '*/10 * * * *' --missed run -- --set wait=x", "next at")
    assert.matches("ended with exit code 2", told)
    assert.equal(2, row().code)
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

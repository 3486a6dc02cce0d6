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

--- Times of day as cron writes them: minute, hour, day of the month, month, day of the week.
---
--- A field is `*`, a number, a range `1-5`, either with a step (`*/15`, `8-18/2`), or a list of these; days of the week
--- are 0-7 (0 and 7: Sunday) or names (mon), months 1-12 or names (jan). Where both days are said, either will do, as
--- in Vixie's cron. `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly` and `@yearly` are short for the usual five.
--- Jenkins' `H` ("some minute of my own") is understood where `hash` is allowed, as the first value of its range.

local lfs = require "lfs"
local uv = require "luv"

local cron = {}

local days = { sun = 0, mon = 1, tue = 2, wed = 3, thu = 4, fri = 5, sat = 6 }
local months = { jan = 1, feb = 2, mar = 3, apr = 4, may = 5, jun = 6, jul = 7, aug = 8, sep = 9, oct = 10, nov = 11,
  dec = 12 }

local fields = {
  { name = "minute", least = 0, most = 59 },
  { name = "hour", least = 0, most = 23 },
  { name = "day of the month", least = 1, most = 31 },
  { name = "month", least = 1, most = 12, names = months },
  { name = "day of the week", least = 0, most = 7, names = days },
}

local aliases = { ["@hourly"] = "0 * * * *", ["@daily"] = "0 0 * * *", ["@midnight"] = "0 0 * * *",
  ["@weekly"] = "0 0 * * 0", ["@monthly"] = "0 0 1 * *", ["@yearly"] = "0 0 1 1 *", ["@annually"] = "0 0 1 1 *" }

local function number_of(field, word)
  local number = field.names and field.names[word:lower()] or math.tointeger(tonumber(word:match "^%d+$" or ""))
  return number and field.least <= number and number <= field.most and number or nil
end

--- The first and last value, and whether the word was a single one; nil for none.
local function range_of(field, word, hash)
  if word == "*" then return field.least, field.most end
  local low, high = word:match "^(%w+)%-(%w+)$"
  if hash and word:find "^H" then
    if word == "H" then return field.least, field.most, true end
    low, high = word:match "^H%((%d+)%-(%d+)%)$"
    if not low then return nil end
  end
  if low then
    low, high = number_of(field, low), number_of(field, high)
    if low and high and low <= high then return low, high, word:find "^H" ~= nil end
    return nil
  end
  low = number_of(field, word)
  return low, low, true
end

--- Note the values of one element of a field; false for what is none.
local function add_element(field, element, hash, values)
  local word, step = element:match "^([^/]+)/(%d+)$"
  step = math.tointeger(tonumber(step or 1))
  local low, high, single = range_of(field, word or element, hash)
  if not low or step < 1 or step > field.most - field.least + 1 then return false end
  if single and word then
    if not element:find "^H" then return false end -- 5/10: cron's dialects differ over what it means
  elseif single then
    high = low
  end
  for value = low, high, step do values[field.most == 7 and value % 7 or value] = true end
  return true
end

local function read_field(field, word, hash)
  local values = {}
  for element in (word .. ","):gmatch "([^,]*)," do
    if not add_element(field, element, hash, values) then
      return nil, ("'%s' is no %s, %d-%d"):format(element, field.name, field.least, field.most)
    end
  end
  return values
end

--- Read five fields or an alias; nil, message for what is neither.
---@param source string
---@param options? { hash?: boolean }  hash: Jenkins' H is allowed
---@return { [1]: table, [2]: table, [3]: table, [4]: table, [5]: table, either: boolean, text: string }?
---   sets of minutes, hours, days, months and weekdays; either: one of the two days is enough
---@return string? message
function cron.parse(source, options)
  local spec, words = { text = source }, {}
  for word in (aliases[source] or source):gmatch "%S+" do words[#words + 1] = word end
  if #words == 1 and words[1]:find "^@" then
    return nil, ("'%s' is no alias such as @daily or @hourly"):format(source)
  end
  if #words ~= 5 then
    return nil, ("'%s' has %d fields, not 5: minute, hour, day of the month, month, day of the week"):format(source,
      #words)
  end
  for i, field in ipairs(fields) do
    local values, message = read_field(field, words[i], options and options.hash)
    if not values then return nil, ("'%s': %s"):format(source, message) end
    spec[i] = values
  end
  spec.either = not words[3]:find "^[*H]" and not words[5]:find "^[*H]"
  return spec
end

local DAY <const>, YEARS <const> = 86400, 8 -- 29 February comes within eight years

local function is_full(values, field)
  for value = field.least, field.most do
    if not values[value] then return false end
  end
  return true
end

local function day_matches(spec, time)
  if not spec[4][time.month] then return false end
  local day, weekday = spec[3][time.day] or false, spec[5][time.wday - 1] or false
  if spec.either then return day or weekday end
  return day and weekday
end

--- Whether a local time is meant.
---@param spec table   of cron.parse
---@param time table   as os.date "*t" gives it
---@return boolean
function cron.matches(spec, time)
  return (spec[1][time.min] and spec[2][time.hour] and day_matches(spec, time)) or false
end

--- The moment of a local time: the first of two where clocks were put back, the first after the gap where they were put
--- forward over it.
local function moment_of(time, hour, minute)
  local first
  for _, summer in ipairs { true, false } do
    local moment = os.time { year = time.year, month = time.month, day = time.day, hour = hour, min = minute, sec = 0,
      isdst = summer }
    local is = os.date("*t", moment)
    if is.hour == hour and is.min == minute and is.day == time.day then first = math.min(first or moment, moment) end
  end
  if first then return first end
  local after = os.time { year = time.year, month = time.month, day = time.day, hour = hour, min = minute, sec = 0,
    isdst = false }
  while true do
    local is = os.date("*t", after - 60)
    if is.day ~= time.day or is.hour * 60 + is.min < hour * 60 + minute then return after end
    after = after - 60
  end
end

--- Every hour counts: real minutes are gone through, so that none is left out or doubled when clocks change.
local function next_of_hours(spec, after)
  local moment, last = after - after % 60 + 60, after + YEARS * 366 * DAY
  while moment < last do
    local time = os.date("*t", moment)
    if not day_matches(spec, time) then
      moment = moment + (time.min > 0 and 60 - time.min or 60) * 60 -- to the next full hour
    elseif spec[1][time.min] then
      return moment
    else
      moment = moment + 60
    end
  end
end

--- Certain hours of certain days, by the wall's clock.
local function next_of_days(spec, after)
  local start = os.date("*t", after)
  for day = 0, YEARS * 366 do
    local noon = os.time { year = start.year, month = start.month, day = start.day + day, hour = 12 }
    local time = os.date("*t", noon)
    for hour = 0, day_matches(spec, time) and 23 or -1 do
      for minute = 0, spec[2][hour] and 59 or -1 do
        local moment = spec[1][minute] and moment_of(time, hour, minute)
        if moment and moment > after then return moment end
      end
    end
  end
end

--- The first moment after 'after' that is meant, in the time zone of the process. A time that a day leaves out, as
--- clocks are put forward, is the first moment after the gap; one that comes twice counts once. Where every hour is
--- meant, real time counts.
---@param spec table      of cron.parse
---@param after integer   seconds since 1970
---@return integer? moment  nil: never, as of 30 February
function cron.next(spec, after)
  if is_full(spec[2], fields[2]) then return next_of_hours(spec, after) end
  return next_of_days(spec, after)
end

--- The time zone of this process, for os.date and cron.next.
---@param zone string  such as "Europe/Berlin"
---@return boolean? done
---@return string? message  there is no such zone
function cron.zone(zone)
  local known = zone == "UTC" or zone:find "^[%a][%w_+%-/]*$" and not zone:find("..", 1, true)
    and lfs.attributes("/usr/share/zoneinfo/" .. zone, "mode") == "file"
  if not known then
    return nil, ("there is no time zone '%s'; they are named as in Europe/Berlin or UTC%s"):format(zone,
      lfs.attributes "/usr/share/zoneinfo" and "" or " (none is installed: the Debian package tzdata has them)")
  end
  uv.os_setenv("TZ", zone)
  os.time { year = 2000, month = 1, day = 1 } -- makes the C library read TZ
  return true
end

return cron

--- Times of day as cron writes them: minute, hour, day of the month, month, day of the week.
---
--- A field is `*`, a number, a range `1-5`, either with a step (`*/15`, `8-18/2`), or a list of these; days of the week
--- are 0-7 (0 and 7: Sunday) or names (mon), months 1-12 or names (jan). Where both days are said, either will do, as
--- in Vixie's cron. `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly` and `@yearly` are short for the usual five.
--- Jenkins' `H` ("some minute of my own") is understood where `hash` is allowed, as the first value of its range.

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

--- Whether a local time is meant.
---@param spec table   of cron.parse
---@param time table   as os.date "*t" gives it
---@return boolean
function cron.matches(spec, time)
  if not (spec[1][time.min] and spec[2][time.hour] and spec[4][time.month]) then return false end
  local day, weekday = spec[3][time.day] or false, spec[5][time.wday - 1] or false
  if spec.either then return day or weekday end
  return day and weekday
end

return cron

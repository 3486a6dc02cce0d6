--- Declarations: plain tables that say what a feature is, checked when they are written.
--- A kind of feature lists its options as name -> type, and with them this file makes its constructor.

local json = require "recsys.json"
local text = require "recsys.text"

local declare = {}

--- A value of a filter as the text that it is compared with: numbers in their shortest decimal form.
local function filter_text(value)
  if type(value) == "string" then return value ~= "" and value or nil end
  if math.type(value) == "integer" then return tostring(value) end
  if math.type(value) ~= "float" or value ~= value or math.abs(value) == math.huge then return nil end
  return value == math.floor(value) and ("%.0f"):format(value) or json.encode(value)
end

--- A filter as conditions in order of their columns, { column, values }; nil when it is none.
local function conditions_of(x)
  if type(x) ~= "table" then return nil end
  local list = {}
  for column, values in pairs(x) do
    local condition = { column = column, values = {} }
    for i, value in ipairs(type(values) == "table" and values or { values }) do
      condition.values[i] = filter_text(value)
    end
    local n = type(values) == "table" and #values or 1
    if type(column) ~= "string" or n == 0 or #condition.values ~= n then return nil end
    table.sort(condition.values)
    list[#list + 1] = condition
  end
  table.sort(list, function(a, b) return a.column < b.column end)
  return #list > 0 and list or nil
end

--- The values of a column that tell kinds of events apart, { column, values, weights }, in order; `weights` where the
--- values are given with numbers. nil when it is none.
local function kinds_of(x)
  local column, given = next(type(x) == "table" and x or {})
  if type(column) ~= "string" or next(x, column) ~= nil or type(given) ~= "table" or next(given) == nil then
    return nil
  end
  local kinds = { column = column, values = {}, weights = #given == 0 and {} or nil }
  if kinds.weights then
    for value, weight in pairs(given) do
      if type(weight) ~= "number" or not (weight >= 0 and weight < math.huge) then return nil end
      if not filter_text(value) then return nil end
      table.insert(kinds.values, value)
    end
    table.sort(kinds.values, function(a, b) return filter_text(a) < filter_text(b) end)
    for i, value in ipairs(kinds.values) do kinds.weights[i] = given[value] end
  end
  for i, value in ipairs(kinds.weights and kinds.values or given) do
    kinds.values[i] = filter_text(value)
    if not kinds.values[i] then return nil end
  end
  return kinds
end

local function is_names(x, least)
  if type(x) ~= "table" or #x < least then return false end
  for _, value in ipairs(x) do
    if type(value) ~= "string" or value == "" then return false end
  end
  return true
end

local function is_spans(x)
  if type(x) ~= "table" or #x == 0 then return false end
  local last = 0
  for _, span in ipairs(x) do
    local ms = text.span(span)
    if not ms or ms <= last then return false end
    last = ms
  end
  return true
end

--- What a type of option accepts, how it is called when something else comes, and what becomes of it.
local types = {
  positive = { "a positive integer", function(x) return math.type(x) == "integer" and x >= 1 end },
  name = { "a name of letters, digits and _", function(x) return type(x) == "string" and x:find "^[%w_]+$" ~= nil end },
  text = { "a string that is not empty", function(x) return type(x) == "string" and x ~= "" end },
  table = { "a table", function(x) return type(x) == "table" end },
  boolean = { "true or false", function(x) return type(x) == "boolean" end },
  count_or_share = { "a number of rows, or a share of them from 0.0 to 1.0", function(x)
    return type(x) == "number" and x >= 0 and (math.type(x) == "integer" or x <= 1)
  end },
  list = { "a list of strings", function(x)
    if type(x) ~= "table" or #x == 0 then return false end
    for _, value in ipairs(x) do if type(value) ~= "string" then return false end end
    return true
  end },
  span = { "a number and s, m, h, d or w, like 7d", function(x) return (text.span(x) or 0) > 0 end },
  spans = { "a list of rising spans of time, like { \"1h\", \"1d\" }", is_spans },
  above = { "a number above 0", function(x) return type(x) == "number" and x > 0 and x < math.huge end },
  fraction = { "a number above 0 and up to 1", function(x) return type(x) == "number" and x > 0 and x <= 1 end },
  where = { "columns with the value or the list of values that they may have, like { event = \"shared\" }",
    function(x) return conditions_of(x) ~= nil end, conditions_of },
  kinds = { "a column with a list of its values, like { event = { \"clicked\", \"bought\" } }, or with a number of "
    .. "0 or more for each", function(x) return kinds_of(x) ~= nil end, kinds_of },
  subject = { "\"user\", \"item\" or { \"user\", the name of an item feature }", function(x)
    return x == "user" or x == "item" or is_names(x, 2) and #x == 2 and x[1] == "user"
  end },
  filling = { "mean, median or a number", function(x)
    return x == "mean" or x == "median" or type(x) == "number" and math.abs(x) < math.huge
  end },
}

local function one_of(words)
  return { "one of " .. table.concat(words, ", "), function(x)
    for _, word in ipairs(words) do if x == word then return true end end
    return false
  end }
end

local function option_names(kind)
  local names = { "name" }
  for name in pairs(kind.options) do names[#names + 1] = name end
  table.sort(names)
  return names
end

--- The words of a wrong option: the nearest valid one, or all.
local function unknown_option(word, kind)
  local names = option_names(kind)
  local nearest = text.nearest(word, names)
  return ("unknown option '%s'; %s"):format(word,
    nearest and ("did you mean '%s'?"):format(nearest) or "there are " .. table.concat(names, ", "))
end

local function check_option(kind, key, value)
  local expected = key == "name" and "name" or kind.options[key]
  if not expected then return unknown_option(key, kind) end
  local rule = type(expected) == "table" and one_of(expected) or types[expected]
  if not rule[2](value) then return ("option '%s' must be %s"):format(key, rule[1]) end
end

--- What is wrong with the given options of a kind, or nil.
local function complaint(kind, given)
  if type(given) ~= "table" then return "a table is expected" end
  local named = given[1] ~= nil or kind.column == true
  if kind.column and named and not types.text[2](given[1]) then
    return "the first field must be the name of a column"
  end
  if kind.column_list and not is_names(given[1], 2) then
    return "the first field must be a list of two columns or more"
  end
  for key, value in pairs(given) do
    if not (key == 1 and (kind.column or kind.column_list)) then
      local message = check_option(kind, tostring(key), value)
      if message then return message end
    end
  end
  for _, key in ipairs(kind.required or {}) do
    if given[key] == nil then return ("option '%s' is required"):format(key) end
  end
  return kind.check and kind.check(given)
end

--- The constructor of a kind: `feature.category { "platform", min_count = 2 }` -> declaration, which keeps the line
--- that it stands in, for messages.
function declare.constructor(name, kind)
  return function(given)
    local message = complaint(kind, given)
    if message then error(("bad argument #1 to '%s' (%s)"):format(name, message), 2) end
    local declaration = { kind = name, column = kind.column and given[1] or nil,
      list = kind.column_list and given[1] or nil }
    for key, value in pairs(kind.defaults or {}) do declaration[key] = value end
    for key, value in pairs(given) do
      local become = types[kind.options[key]] and types[kind.options[key]][3]
      if type(key) == "string" then declaration[key] = become and become(value) or value end
    end
    if kind.stamp then declaration.stamp = kind.stamp(declaration) end
    local caller = debug.getinfo(2, "Sl") or { currentline = -1 }
    if caller.currentline > 0 then declaration.line = ("%s:%d"):format(caller.short_src, caller.currentline) end
    return declaration
  end
end

return declare

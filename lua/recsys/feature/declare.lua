--- Declarations: plain tables that say what a feature is, checked when they are written.
--- A kind of feature lists its options as name -> type, and with them this file makes its constructor.

local text = require "recsys.text"

local declare = {}

--- What a type of option accepts, and how it is called when something else comes.
local types = {
  positive = { "a positive integer", function(x) return math.type(x) == "integer" and x >= 1 end },
  name = { "a name of letters, digits and _", function(x) return type(x) == "string" and x:find "^[%w_]+$" ~= nil end },
  text = { "a string that is not empty", function(x) return type(x) == "string" and x ~= "" end },
  list = { "a list of strings", function(x)
    if type(x) ~= "table" or #x == 0 then return false end
    for _, value in ipairs(x) do if type(value) ~= "string" then return false end end
    return true
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
  if kind.column and not types.text[2](given[1]) then return "the first field must be the name of a column" end
  for key, value in pairs(given) do
    if not (key == 1 and kind.column) then
      local message = check_option(kind, tostring(key), value)
      if message then return message end
    end
  end
  for _, key in ipairs(kind.required or {}) do
    if given[key] == nil then return ("option '%s' is required"):format(key) end
  end
  return kind.check and kind.check(given)
end

--- The constructor of a kind: `feature.category { "platform", min_count = 2 }` -> declaration.
function declare.constructor(name, kind)
  return function(given)
    local message = complaint(kind, given)
    if message then error(("bad argument #1 to '%s' (%s)"):format(name, message), 2) end
    local declaration = { kind = name, column = kind.column and given[1] or nil }
    for key, value in pairs(kind.defaults or {}) do declaration[key] = value end
    for key, value in pairs(given) do
      if type(key) == "string" then declaration[key] = value end
    end
    return declaration
  end
end

return declare

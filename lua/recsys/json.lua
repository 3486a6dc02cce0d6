--- JSON whose bytes depend on the value alone: keys sorted, floats in the shortest form that reads back the same.
---
--- lua-cjson reads; it does not write here because it prints 14 digits and orders keys by the hash seed, so that two
--- equal runs would differ. A table with a first element, or one marked by json.list, is an array; an object whose
--- class has __tojson is what that gives.

local cjson = require "cjson.safe"

local json = { null = cjson.null }

local List = {}

--- Mark a table as an array, so that an empty one is written as [].
function json.list(values)
  return setmetatable(values, List)
end

local escapes = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\b"] = "\\b",
  ["\f"] = "\\f" }

local function quoted(s)
  return '"' .. s:gsub('[%c"\\\127]', function(c) return escapes[c] or ("\\u%04x"):format(c:byte()) end) .. '"'
end

local precise <const> = { "%.15g", "%.16g", "%.17g" }

--- The shortest of these that reads back as 'x'; null for NaN and infinities, which JSON cannot say.
local function number(x)
  if math.type(x) == "integer" then return ("%d"):format(x) end
  if x ~= x or x == math.huge or x == -math.huge then return "null" end
  for _, format in ipairs(precise) do
    local s = format:format(x)
    if tonumber(s) == x then return s end
  end
end

local put

local function put_array(out, list, pad, indent)
  if #list == 0 then out[#out + 1] = "[]" return end
  out[#out + 1] = "["
  for i = 1, #list do
    if i > 1 then out[#out + 1] = indent and ", " or "," end
    put(out, list[i], pad, indent)
  end
  out[#out + 1] = "]"
end

local function put_object(out, object, pad, indent)
  local keys = {}
  for key in pairs(object) do keys[#keys + 1] = tostring(key) end
  table.sort(keys)
  if #keys == 0 then out[#out + 1] = "{}" return end
  local deeper = indent and pad .. "  "
  out[#out + 1] = "{"
  for i, key in ipairs(keys) do
    if i > 1 then out[#out + 1] = "," end
    if indent then out[#out + 1] = "\n" .. deeper end
    out[#out + 1] = quoted(key) .. (indent and ": " or ":")
    local value = object[key]
    if value == nil then value = object[tonumber(key)] end
    put(out, value, deeper, indent)
  end
  out[#out + 1] = (indent and "\n" .. pad or "") .. "}"
end

function put(out, value, pad, indent)
  local kind = type(value)
  if kind == "string" then
    out[#out + 1] = quoted(value)
  elseif kind == "number" then
    out[#out + 1] = number(value)
  elseif kind == "boolean" then
    out[#out + 1] = tostring(value)
  elseif value == nil or value == cjson.null then
    out[#out + 1] = "null"
  elseif kind == "table" then
    local class = getmetatable(value)
    if class and class.__tojson then
      put(out, class.__tojson(value), pad, indent)
    elseif class == List or value[1] ~= nil then
      put_array(out, value, pad, indent)
    else
      put_object(out, value, pad, indent)
    end
  else
    error("a " .. kind .. " cannot be written as JSON", 0)
  end
end

--- A value as JSON text on one line.
---@return string
function json.encode(value)
  local out = {}
  put(out, value, "", false)
  return table.concat(out)
end

--- A value as JSON text for people: a line a key, arrays on one line.
---@return string
function json.pretty(value)
  local out = {}
  put(out, value, "", true)
  return table.concat(out) .. "\n"
end

--- Whether a table is marked as an array.
function json.is_list(value) return getmetatable(value) == List end

--- The value of JSON text, or nil, message. Numbers are those that a double holds; of keys that an object has twice the
--- last one counts. Where that is not good enough: json.exact.
function json.decode(text)
  return cjson.decode(text)
end

--- The value of JSON text to the last digit, nothing twice; or nil, message (recsys.json.exact).
---@param text string
---@return any value
---@return string? message
function json.exact(text) return require("recsys.json.exact").read(text) end

return json

--- JSON read to the last digit, for what people have written and what is compared: a whole number is an integer, or
--- refused when 64 bits do not hold it; a key that an object has twice is refused; arrays are those of json.list.
---
--- Messages name line and column, and keys, but quote no value: it may be a secret.

local exact = {}

local DEEPEST <const> = 200 -- arrays and objects inside of each other

local Reader = {}
Reader.__index = Reader

local function refuse(self, format, ...)
  local before = self.text:sub(1, self.at - 1)
  local _, lines = before:gsub("\n", "")
  error({ code = "json", message = ("line %d, column %d: %s"):format(lines + 1, #before:match "[^\n]*$" + 1,
    format:format(...)) }, 0)
end

--- The byte that comes next, behind spaces.
local function next_byte(self)
  self.at = self.text:find("[^ \t\r\n]", self.at) or #self.text + 1
  return self.text:sub(self.at, self.at)
end

--- Go behind a byte that must come next, or is one of several.
local function step(self, set, what)
  local byte = next_byte(self)
  if byte == "" or not set:find(byte, 1, true) then refuse(self, "%s is expected", what) end
  self.at = self.at + 1
  return byte
end

local escapes = { ['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

--- The character of \uXXXX, of which two may stand for one.
local function unicode(self)
  local code = tonumber(self.text:match("^u(%x%x%x%x)", self.at) or refuse(self, "\\u needs four hexadecimal digits"),
    16)
  self.at = self.at + 5
  if code < 0xD800 or code > 0xDFFF then return utf8.char(code) end
  local low = tonumber(self.text:match("^\\u(%x%x%x%x)", self.at) or "0", 16)
  if code > 0xDBFF or low < 0xDC00 or low > 0xDFFF then refuse(self, "half of a character by \\u") end
  self.at = self.at + 6
  return utf8.char(0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00))
end

local function string(self)
  step(self, '"', 'a text in "..."')
  local parts = {}
  while true do
    local plain, stop = self.text:match('^([^"\\%c]*)()', self.at)
    parts[#parts + 1], self.at = plain, stop
    local byte = self.text:sub(stop, stop)
    if byte == "\127" then
      parts[#parts + 1], self.at = byte, stop + 1
    elseif byte == '"' then
      self.at = stop + 1
      return table.concat(parts)
    elseif byte == "\\" then
      self.at = stop + 1
      local letter = self.text:sub(self.at, self.at)
      if letter == "u" then
        parts[#parts + 1] = unicode(self)
      else
        parts[#parts + 1] = escapes[letter] or refuse(self, "\\ before what needs none")
        self.at = self.at + 1
      end
    else
      refuse(self, byte == "" and "a text has no end" or "a text has a control character, which is written \\u00XX")
    end
  end
end

local function number(self)
  local whole, stop = self.text:match("^(%-?%d+)()", self.at)
  if not whole or whole:find "^%-?0%d" then refuse(self, "no value stands here") end
  local rest, last = self.text:match("^(%.%d+)()", stop)
  last = last or stop
  local power, behind = self.text:match("^([eE][+-]?%d+)()", last)
  last = behind or last
  if self.text:find("^[%w.+-]", last) then refuse(self, "a number that is none") end
  local value = tonumber(self.text:sub(self.at, last - 1))
  if not rest and not power and math.type(value) ~= "integer" then
    refuse(self, "a whole number that 64 bits do not hold")
  end
  if value == math.huge or value == -math.huge then refuse(self, "a number beyond all that there are") end
  self.at = last
  return value
end

local value_of

--- What stands between the begin and the end of an array or object, by commas.
local function members(self, last, member)
  self.depth, self.at = self.depth + 1, self.at + 1
  if self.depth > DEEPEST then refuse(self, "more than %d levels", DEEPEST) end
  if next_byte(self) == last then
    self.at = self.at + 1
  else
    repeat member() until step(self, "," .. last, ("',' or '%s'"):format(last)) == last
  end
  self.depth = self.depth - 1
end

local function array(self)
  local list = require("recsys.json").list {}
  members(self, "]", function() list[#list + 1] = value_of(self) end)
  return list
end

local function object(self)
  local made = {}
  members(self, "}", function()
    next_byte(self)
    local at, key = self.at, string(self)
    if made[key] ~= nil then
      self.at = at
      refuse(self, "'%s' stands there twice", (key:gsub("%c", "?")))
    end
    step(self, ":", "':'")
    made[key] = value_of(self)
  end)
  return made
end

local words = { ["true"] = true, ["false"] = false, null = require("cjson.safe").null }

function value_of(self)
  local byte = next_byte(self)
  if byte == "{" then return object(self) end
  if byte == "[" then return array(self) end
  if byte == '"' then return string(self) end
  local word = self.text:match("^%a+", self.at)
  if words[word] == nil then return number(self) end
  self.at = self.at + #word
  return words[word]
end

--- The value of JSON text.
---@param text string
---@return any value       nil, message when it is none
---@return string? message
function exact.read(text)
  if not utf8.len(text) then return nil, "it is not in UTF-8" end
  local self = setmetatable({ text = text, at = 1, depth = 0 }, Reader)
  local ok, value = pcall(function()
    local value = value_of(self)
    if next_byte(self) ~= "" then refuse(self, "more behind the value") end
    return value
  end)
  if ok then return value end
  if type(value) ~= "table" or value.code ~= "json" then error(value, 0) end
  return nil, value.message
end

return exact

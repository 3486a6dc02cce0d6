--- How facts are said: numbers, shares, times and texts of strangers, for the terminal and for the page.

local frame = require "recsys.frame"
local text = require "recsys.text"

local words = {}

--- "12.3 %"; what is not nothing does not read as nothing, nor what is not all as all.
---@param share number  0 .. 1
---@return string
function words.share(share)
  if share ~= share then return "-" end
  if share > 0 and share < 0.0005 then return "<0.1 %" end
  if share < 1 and share > 0.9995 then return ">99.9 %" end
  return ("%.1f %%"):format(100 * share)
end

--- part of whole as a share; 0 of nothing.
function words.part(part, whole)
  return words.share(whole > 0 and part / whole or 0)
end

--- A number in at most about 7 digits: 1,234,567 12.35 0.001234 1.2e+15.
---@param x number
---@return string
function words.number(x)
  if x ~= x or x == math.huge or x == -math.huge then return tostring(x) end
  if x == math.floor(x) and math.abs(x) < 1e15 then return text.count(math.tointeger(x)) end
  if math.abs(x) >= 100 and math.abs(x) < 1e15 then return text.count(math.floor(x + 0.5)) end
  return ("%.4g"):format(x)
end

--- A number for the mark of an axis: 1,500 25k 1.5M.
---@param x number
---@return string
function words.short(x)
  for _, unit in ipairs { { 1e9, "G" }, { 1e6, "M" }, { 1e4, "k" } } do
    if math.abs(x) >= unit[1] then return ("%.3g%s"):format(x / (unit[1] == 1e4 and 1e3 or unit[1]), unit[2]) end
  end
  return words.number(x)
end

--- "2024-01-31 12:30:15", without what is zero behind it.
---@param ms number
---@return string
function words.time(ms)
  local iso = frame.format_time(math.floor(ms)):gsub("T", " "):gsub("%.%d+Z$", "")
  return (iso:gsub(" 00:00:00$", ""))
end

--- "1 byte", "2.5 MiB".
function words.bytes(n)
  if n < 1024 then return ("%d B"):format(n) end
  if n < 2^20 then return ("%.1f KiB"):format(n / 1024) end
  if n < 2^30 then return ("%.1f MiB"):format(n / 2^20) end
  return ("%.2f GiB"):format(n / 2^30)
end

--- "1 row", "2 rows".
function words.count(n, one, many)
  return ("%s %s"):format(text.count(n), n == 1 and one or many or one .. "s")
end

--- Characters that reorder what stands beside them: they make a terminal, or a page, lie.
local reordering = { [0x061C] = true, [0x200E] = true, [0x200F] = true }
for code = 0x202A, 0x202E do reordering[code] = true end
for code = 0x2066, 0x2069 do reordering[code] = true end

--- A text of strangers as one harmless line: control characters become blanks, what is no UTF-8 "?".
---@param s any
---@return string
function words.plain(s)
  s = tostring(s)
  if not utf8.len(s) then s = s:gsub("[\128-\255]", "?") end
  s = s:gsub("%c", " ")
  if not s:find "[\128-\255]" then return s end
  return (s:gsub(utf8.charpattern, function(c)
    local code = utf8.codepoint(c)
    if reordering[code] or (code >= 0x80 and code < 0xA0) or code == 0x2028 or code == 0x2029 then return " " end
  end))
end

--- Columns of a terminal that a character takes: two for East Asian wide ones and pictures, else one.
local function cells_of(code)
  local wide = code >= 0x1100 and (code <= 0x115F or (code >= 0x2E80 and code <= 0xA4CF)
    or (code >= 0xAC00 and code <= 0xD7A3) or (code >= 0xF900 and code <= 0xFAFF)
    or (code >= 0xFE30 and code <= 0xFE6F) or (code >= 0xFF00 and code <= 0xFF60)
    or (code >= 0x1F300 and code <= 0x1FAFF) or (code >= 0x20000 and code <= 0x3FFFD))
  return wide and 2 or 1
end

--- How many columns of a terminal plain UTF-8 text takes.
---@param s string
---@return integer
function words.cells(s)
  local n = 0
  for _, code in utf8.codes(s) do n = n + cells_of(code) end
  return n
end

--- The text in at most 'most' columns, with an ellipsis where it is cut.
---@param s string   plain
---@param most integer
---@return string
function words.cut(s, most)
  if #s <= most or words.cells(s) <= most then return s end
  local n = 0
  for at, code in utf8.codes(s) do
    n = n + cells_of(code)
    if n > most - 1 then return s:sub(1, at - 1) .. "…" end
  end
  return s
end

--- 's' with blanks to 'width' columns, before it when 'right' is set.
function words.pad(s, width, right)
  local blanks = (" "):rep(math.max(0, width - words.cells(s)))
  return right and blanks .. s or s .. blanks
end

local steps = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" }

--- A histogram as 'width' characters: heights by the square root of the counts, so that small ones show; a blank is 0.
---@param counts number[]
---@param width integer
---@return string
function words.bars(counts, width)
  local sums, most = {}, 0
  width = math.min(width, #counts)
  for i, count in ipairs(counts) do
    local at = math.floor((i - 1) * width / #counts) + 1
    sums[at] = (sums[at] or 0) + count
    most = math.max(most, sums[at])
  end
  for at = 1, width do
    local height = most > 0 and math.sqrt(sums[at] / most) or 0
    sums[at] = sums[at] == 0 and " " or steps[math.max(1, math.ceil(height * #steps))]
  end
  return table.concat(sums)
end

--- "events.csv": the words for a value of a column, by its type.
---@param column table  facts of it
---@param value any
function words.value(column, value)
  if column.type == "time" then return words.time(value) end
  if type(value) == "number" then return words.number(value) end
  return words.plain(value)
end

--- The dialect in words: `separator ",", quotes doubled, header, UTF-8`.
---@param dialect table
---@return string
function words.dialect(dialect)
  if dialect.format then return words.plain(dialect.format) end
  local parts = {}
  local said = { separator = true, quote = true, escape = true, header = true, encoding = true, nulls = true,
    names = true, names_made = true }
  local names = { ["\t"] = "tab", [" "] = "blank" }
  if dialect.separator then
    parts[1] = ("separator %s"):format(names[dialect.separator] or '"' .. words.plain(dialect.separator) .. '"')
  end
  if dialect.quote == "" or dialect.quote == false then
    parts[#parts + 1] = "quotes are ordinary characters"
  elseif dialect.escape then
    local how = { doubled = "a quote in quotes doubled", backslash = "a backslash before a quote in quotes",
      mysql = "backslashes escape everywhere" }
    parts[#parts + 1] = how[dialect.escape] or "escape " .. words.plain(dialect.escape)
  end
  local without = dialect.names_made and "no header: columns are called column1, column2, ... unless --names says how"
    or "no header"
  parts[#parts + 1] = dialect.header and "header" or without
  if dialect.encoding then parts[#parts + 1] = words.plain(dialect.encoding):upper() end
  local more = {}
  for key, value in pairs(dialect) do
    if not said[key] and value ~= false and value ~= "" and value ~= "none" then
      local label = key:gsub("_", " ")
      more[#more + 1] = value == true and label or ("%s %s"):format(label, words.plain(value))
    end
  end
  table.sort(more)
  return table.concat(table.move(more, 1, #more, #parts + 1, parts), ", ")
end

return words

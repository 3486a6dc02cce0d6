--- Small helpers for what people read: nearest names, durations, counts, aligned columns.

local text = {}

--- Edits (insert, delete, replace, swap neighbours) between two words: Damerau 1964, optimal string alignment.
---@return integer
function text.distance(a, b)
  local rows = { [0] = {} }
  for j = 0, #b do rows[0][j] = j end
  for i = 1, #a do
    rows[i] = { [0] = i }
    for j = 1, #b do
      local same = a:byte(i) == b:byte(j) and 0 or 1
      local best = math.min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + same)
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        best = math.min(best, rows[i - 2][j - 2] + 1)
      end
      rows[i][j] = best
    end
  end
  return rows[#a][#b]
end

--- The name most like 'word', or nil when none is close (more than half of it, or all, would have to change).
---@param word string
---@param names any[]
---@return string?
function text.nearest(word, names)
  local best, least
  local group = word:match "^(.*%.)[^.]*$"
  for _, name in ipairs(names) do
    name = tostring(name)
    local edits, long = text.distance(word, name), #word
    local tail = name:match "([^.]+)$"
    if tail ~= name then edits = math.min(edits, text.distance(word, tail) + 1) end
    if group and name:sub(1, #group) == group then long = #word - #group end -- what both are in tells nothing
    local is_near = edits <= math.max(2, long // 2) and edits < long
    if is_near and (not least or edits < least) then best, least = name, edits end
  end
  return best
end

--- "0.8 s", "12 s", "3 min 20 s", "2 h 05 min".
---@param seconds number
---@return string
function text.duration(seconds)
  if seconds < 10 then return ("%.1f s"):format(seconds) end
  local whole = math.floor(seconds + 0.5)
  if whole < 60 then return ("%d s"):format(whole) end
  if whole < 3600 then return ("%d min %02d s"):format(whole // 60, whole % 60) end
  return ("%d h %02d min"):format(whole // 3600, whole % 3600 // 60)
end

local units = { ms = 1, s = 1000, m = 60000, h = 3600000, d = 86400000, w = 604800000 }

--- A span of time, "7d", "12h", "30m", "90s", "2w", or a number of ms, in ms; nil when it is none.
---@param span any
---@return integer?
function text.span(span)
  if type(span) == "number" then return math.floor(span) end
  local number, unit = tostring(span):match "^%s*([%d.]+)%s*(%a+)%s*$"
  return tonumber(number) and units[unit] and math.floor(tonumber(number) * units[unit])
end

--- The same; raises for what is no span.
---@param span string|number
---@return integer
function text.milliseconds(span)
  local ms = text.span(span)
  if ms then return ms end
  error({ code = "usage", message = ("'%s' is no span of time such as 7d, 12h or 30m"):format(tostring(span)) }, 0)
end

local sizes = { [""] = 1, K = 1 << 10, M = 1 << 20, G = 1 << 30, T = 1 << 40 }

--- A size, "256M", "1.5G", "64K" (binary; "MiB" and "MB" mean the same) or a number of bytes, in bytes; nil when it is
--- none.
---@param size any
---@return integer?
function text.bytes(size)
  local number, unit = tostring(size):upper():match "^%s*([%d.]+)%s*([KMGT]?)I?B?%s*$"
  number = tonumber(number)
  local bytes = number and number * 1.0 * sizes[unit]
  return bytes and bytes < 2^62 and math.floor(bytes) or nil
end

--- 1234567 -> "1,234,567".
---@param n integer
---@return string
function text.count(n)
  local digits = ("%d"):format(n)
  local grouped = digits:reverse():gsub("(%d%d%d)", "%1,"):reverse()
  return (grouped:gsub("^(-?),", "%1"))
end

--- Characters a terminal shows for UTF-8 text: one a code point, bytes where it is not UTF-8.
---@return integer
function text.width(s)
  return utf8.len(s) or #s
end

--- 's' as UTF-8: each byte that is none becomes U+FFFD, the sign for what cannot be read.
---@return string
function text.readable(s)
  local parts, from = {}, 1
  while true do
    local length, bad = utf8.len(s, from)
    if length then break end
    parts[#parts + 1] = s:sub(from, bad - 1)
    from = bad + 1
  end
  parts[#parts + 1] = s:sub(from)
  return table.concat(parts, "\u{FFFD}")
end

--- The beginning of a UTF-8 text, at most so many bytes of it, that ends with a whole character.
---@return string
function text.shortened(s, most)
  if #s <= most then return s end
  return s:sub(1, utf8.offset(s, 0, most + 1) - 1)
end

--- 's' padded with blanks to 'width' characters, on the left when 'right' is set.
---@return string
function text.pad(s, width, right)
  local blanks = (" "):rep(math.max(0, width - text.width(s)))
  return right and blanks .. s or s .. blanks
end

--- Rows of cells as aligned lines, the first column to the left, the others to the right.
---@param rows string[][]
---@return string
function text.columns(rows)
  local widths = {}
  for _, row in ipairs(rows) do
    for c, cell in ipairs(row) do widths[c] = math.max(widths[c] or 0, text.width(cell)) end
  end
  local lines = {}
  for i, row in ipairs(rows) do
    local cells = {}
    for c, cell in ipairs(row) do cells[c] = text.pad(cell, widths[c], c > 1) end
    lines[i] = (table.concat(cells, "  "):gsub("%s+$", ""))
  end
  return table.concat(lines, "\n")
end

return text

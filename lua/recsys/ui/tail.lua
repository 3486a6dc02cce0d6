--- What a log has told since an offset, as the page asks for it again and again.

local rest = require "recsys.ui.rest"

local tail = {}

local MOST <const> = 1 << 18 -- bytes of one answer

--- The offset that a request names, from 0.
---@param fields table
---@return integer
function tail.offset(fields)
  local offset = math.tointeger(tonumber(fields.offset or 0))
  if not offset or offset < 0 then
    rest.refuse("INVALID_PARAMETER_VALUE", "Invalid value for parameter 'offset' supplied: an integer from 0.")
  end
  return offset
end

--- Bytes as text: what is no UTF-8 is shown by question marks.
local function readable(bytes)
  return (bytes:gsub("[\128-\255]+", function(part) return utf8.len(part) and part or ("?"):rep(#part) end))
end

--- What a file holds from an offset on, 256 KiB at the most; whole lines, unless one is longer.
---@param path string?
---@param offset integer
---@return string text, integer offset  where to read on; "", 0 where there is no file
function tail.read(path, offset)
  local file = path and io.open(path, "rb")
  if not file then return "", 0 end
  if offset > file:seek "end" then offset = 0 end -- it was written anew
  file:seek("set", offset)
  local text = file:read(MOST) or ""
  file:close()
  local whole = #text == MOST and text:match "^.*\n" or text
  return readable(whole), offset + #whole
end

return tail

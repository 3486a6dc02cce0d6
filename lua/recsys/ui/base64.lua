--- Base64, as Basic authorization has it.

local base64 = {}

local letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local values = {}
for i = 1, #letters do values[letters:byte(i)] = i - 1 end

--- The bytes that a text stands for; nil when it stands for none.
---@param text string
---@return string?
function base64.decode(text)
  local digits, padding = text:match "^([%w+/]*)(=*)$"
  if not digits or #padding > 2 or #digits % 4 == 1 then return nil end
  local bytes, held, bits = {}, 0, 0
  for i = 1, #digits do
    held, bits = (held << 6 | values[digits:byte(i)]) & 0xffff, bits + 6
    if bits >= 8 then
      bits = bits - 8
      bytes[#bytes + 1] = string.char(held >> bits & 0xff)
    end
  end
  return table.concat(bytes)
end

return base64

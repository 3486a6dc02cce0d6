--- Base64 (RFC 4648), as Basic authorization and MLflow's page tokens have it.

local base64 = {}

local letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local values = {}
for i = 1, #letters do values[letters:byte(i)] = i - 1 end

--- The text that stands for bytes.
---@param bytes string
---@return string
function base64.encode(bytes)
  local out = {}
  for i = 1, #bytes, 3 do
    local a, b, c = bytes:byte(i, i + 2)
    local bits = a << 16 | (b or 0) << 8 | (c or 0)
    for k = 1, 4 do
      local d = bits >> (24 - 6 * k) & 63
      out[#out + 1] = (k == 3 and not b or k == 4 and not c) and "=" or letters:sub(d + 1, d + 1)
    end
  end
  return table.concat(out)
end

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

--- Pages of a search as MLflow cuts them: a token is {"offset": 100} in Base64, opaque to clients.

local page = {}

local digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function encode(bytes)
  local out = {}
  for i = 1, #bytes, 3 do
    local a, b, c = bytes:byte(i, i + 2)
    local bits = a << 16 | (b or 0) << 8 | (c or 0)
    for k = 1, 4 do
      local d = bits >> (24 - 6 * k) & 63
      out[#out + 1] = (k == 3 and not b or k == 4 and not c) and "=" or digits:sub(d + 1, d + 1)
    end
  end
  return table.concat(out)
end

local function decode(text)
  local body = text:match "^([%w%+/]+)=?=?$"
  if not body or #text % 4 ~= 0 or #text > 64 then return nil end
  local out, bits, have = {}, 0, 0
  for c in body:gmatch "." do
    bits, have = bits << 6 | digits:find(c, 1, true) - 1, have + 6
    if have >= 8 then
      have = have - 8
      out[#out + 1] = string.char(bits >> have & 255)
    end
  end
  return table.concat(out)
end

local function refuse(format, ...)
  error({ code = "INVALID_PARAMETER_VALUE", message = format:format(...) }, 0)
end

--- The token of the page that begins after 'offset' results.
---@param offset integer
---@return string
function page.token(offset)
  return encode(('{"offset": %d}'):format(offset))
end

--- How many results come before the page of a token; 0 without a token.
---@param token? string
---@return integer
function page.offset(token)
  if token == nil or token == "" then return 0 end
  local decoded = type(token) == "string" and decode(token)
  if not decoded then refuse "Invalid page token, could not base64-decode" end
  local offset = math.tointeger(tonumber(decoded:match '^%s*{%s*"offset"%s*:%s*"?(%d+)"?%s*}%s*$'))
  if not offset then refuse("Invalid page token, decoded value=%q", decoded) end
  return offset
end

--- A wish for at most so many results, checked.
---@param wish any       nil: the default
---@param default integer
---@param most integer
---@return integer
function page.size(wish, default, most)
  if wish == nil then return default end
  local size = math.tointeger(tonumber(wish))
  if not size or size < 1 then
    refuse("Invalid value %s for parameter 'max_results' supplied: it must be a positive integer.",
      tostring(wish):sub(1, 40))
  end
  if size > most then
    refuse("Invalid value %d for parameter 'max_results' supplied: it must be at most %d.", size, most)
  end
  return size
end

--- The results of one page and the token of the next, from results that were asked for with one to spare.
---@param results any[]   at most size + 1
---@param size integer
---@param offset integer
---@return any[] results
---@return string? token   nil: this page is the last
function page.cut(results, size, offset)
  if #results <= size then return results end
  results[#results] = nil
  return results, page.token(offset + size)
end

return page

--- Pages of a search as MLflow cuts them: a token is {"offset": 100} in Base64, opaque to clients.

local base64 = require "recsys.base64"

local page = {}

local MOST <const> = 64 -- bytes of a token

local function refuse(format, ...)
  error({ code = "INVALID_PARAMETER_VALUE", message = format:format(...) }, 0)
end

--- The token of the page that begins after 'offset' results.
---@param offset integer
---@return string
function page.token(offset)
  return base64.encode(('{"offset": %d}'):format(offset))
end

--- How many results come before the page of a token; 0 without a token.
---@param token? string
---@return integer
function page.offset(token)
  if token == nil or token == "" then return 0 end
  local decoded = type(token) == "string" and #token % 4 == 0 and #token <= MOST and base64.decode(token)
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

--- Words of the command line as values: what argparse converts arguments with.

local argument = {}

--- Whole numbers from 'least' to 'most'.
---@param least integer
---@param most? integer  default: no limit
---@return fun(word: string): integer?, string?
function argument.whole_number(least, most)
  return function(word)
    local number = tonumber(word)
    if math.type(number) == "float" and math.abs(number) >= 2 ^ 53 then number = nil end -- not to its last digit
    number = math.tointeger(number)
    if number and number >= least and number <= (most or number) then return number end
    return nil, ("'%s' is not a whole number of %d %s"):format(word, least, most and "to " .. most or "or more")
  end
end

--- An address to listen on. As part of a URL IPv6 has brackets, which are taken off.
---@param word string
---@return string
function argument.address(word)
  return word:match "^%[([%x:.]+)%]$" or word
end

--- A name that a Host header may have; its port is passed over.
---@param word string
---@return string?
---@return string? message
function argument.host_name(word)
  local name = require("recsys.ui.guard").host_name(word)
  if name then return name end
  return nil, ("'%s' is not the name of a host, as in shop.lan"):format(word)
end

return argument

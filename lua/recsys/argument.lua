--- Words of the command line as values: what argparse converts arguments with.

local argument = {}

--- Whole numbers of 'least' or more.
---@param least integer
---@return fun(word: string): integer?, string?
function argument.whole_number(least)
  return function(word)
    local number = math.tointeger(tonumber(word))
    if number and number >= least then return number end
    return nil, ("'%s' is not a whole number of %d or more"):format(word, least)
  end
end

return argument

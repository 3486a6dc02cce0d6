--- A column of a frame as a table of values, false where one is missing: for comparisons.
---@param f Frame
---@param name string
---@return any[]
return function(f, name)
  local values = {}
  for row = 1, f:rows() do
    local value = f:value(name, row)
    if value == nil then value = false end
    values[row] = value
  end
  return values
end

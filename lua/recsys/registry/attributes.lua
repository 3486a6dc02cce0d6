--- The columns of a catalogue that filters and caps of a request may name: the member items.attributes.safetensors.

local attributes = {}

-- What a filter is good for has few values, or is a number or a time; a text that is another for each item is neither.
local MOST_VALUES <const>, MOST_SHARE <const> = 1000, 0.25
local MOST_BYTES <const>, MOST_COLUMNS <const> = 64 * 2 ^ 20, 64

--- Bytes of a column as it is stored, and how many different values its rows hold.
local function measure(items, name)
  local values, starts = items:column(name)
  local kind = items:type(name)
  local bytes = #values * (kind == "number" and 8 or kind == "time" and 8 or 4) + (starts and #starts * 12 or 0)
  if kind == "number" or kind == "time" then return bytes, 0 end
  return bytes, #(values:unique())
end

local function is_modest(items, name)
  local bytes, values = measure(items, name)
  return bytes <= MOST_BYTES and values <= math.max(MOST_VALUES, MOST_SHARE * items:rows())
end

--- The columns that are stored: those asked for, or else all of modest size, and those that are not.
---@param items Frame
---@param wanted? string[]
---@return string[] names
---@return string[] others
function attributes.choose(items, wanted)
  local names, others = {}, {}
  for _, name in ipairs(wanted or items:names()) do
    if not items:has(name) then
      error(("attributes: items have no column '%s'; there are %s"):format(name, table.concat(items:names(), ", ")), 0)
    end
    local fits = wanted or name ~= "title" and #names < MOST_COLUMNS and is_modest(items, name)
    if name ~= "item" then
      local list = fits and names or others
      list[#list + 1] = name
    end
  end
  return names, others
end

--- The member's tensors: docs/bundle.md.
---@return table<string, Tensor>
function attributes.tensors(items, names)
  return #names > 0 and items:select(names):tensors() or {}
end

return attributes

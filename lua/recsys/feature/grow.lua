--- Vocabularies that grow: those of an earlier encoder first, in their order, so that a code goes on to mean what it
--- meant; what is new comes behind. The daily warm start (docs/models.md, "Warm start").

local tensor = require "recsys.tensor"

local grow = {}

--- The strings of a vocabulary's tensors, in order of their codes.
local function strings_of(bytes, offsets)
  local all, at, list = bytes:to_string(), offsets:tolist(), {}
  for i = 1, #at - 1 do list[i] = all:sub(at[i] + 1, at[i + 1]) end
  return list
end

local function to_tensors(list)
  local offsets, total = { 0 }, 0
  for i, text in ipairs(list) do
    total = total + #text
    offsets[i + 1] = total
  end
  return tensor.from_string(table.concat(list), "u8"), tensor.new(offsets, "i64")
end

--- A newly counted vocabulary behind an earlier one.
---@param earlier Vocabulary?  nil: the table is new
---@param bytes Tensor     what counter:vocabulary gave
---@param offsets Tensor
---@param counts Tensor    by code, at 0 what was left out
---@return Tensor bytes
---@return Tensor offsets
---@return Tensor counts   of the new training rows: 0 for what they do not hold
function grow.vocabulary(earlier, bytes, offsets, counts)
  if not earlier then return bytes, offsets, counts end
  local old = earlier:tensors()
  local list, numbers, at = strings_of(old.bytes, old.offsets), counts:tolist(), {}
  for code, text in ipairs(list) do at[text] = code end
  local grown = { numbers[1] }
  for code = 1, #list do grown[code + 1] = 0 end
  for i, text in ipairs(strings_of(bytes, offsets)) do
    if not at[text] then
      list[#list + 1] = text
      at[text] = #list
    end
    grown[at[text] + 1] = numbers[i + 1]
  end
  bytes, offsets = to_tensors(list)
  return bytes, offsets, tensor.new(grown, "i64")
end

return grow

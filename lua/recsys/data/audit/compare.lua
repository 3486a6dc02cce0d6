--- What the audit compares: fitted outputs by all that they are made of.

local frame = require "recsys.frame"
local json = require "recsys.json"

local compare = {}

--- Hashes of the tensors that a step's parameter names: itself, its parts, or a table of that name.
local function tensors_of(name, tensors, into)
  for key, value in pairs(tensors) do
    if key == name or key:sub(1, #name + 1) == name .. "." or key:sub(1, #name + 7) == "table." .. name .. "." then
      into[key] = frame.hash(value:contiguous():to_string())
    end
  end
end

--- A step with all that it stands on, as plain data.
local function grown(steps, number, tensors)
  local step, copy = steps[number + 1], { tensors = {} }
  for key, value in pairs(step) do
    if key ~= "input" then copy[key] = value end
    if type(value) == "string" then tensors_of(value, tensors, copy.tensors) end
  end
  local inputs = step.input
  if type(inputs) == "number" then inputs = { inputs } end
  copy.input = {}
  for i, input in ipairs(inputs or {}) do copy.input[i] = grown(steps, input, tensors) end
  return copy
end

--- Every output of an encoder -> a text that tells apart any two that differ in steps or fitted state.
---@param encoder Encoder
---@return table<string, string>
function compare.outputs(encoder)
  local saved = encoder:save()
  local texts = {}
  for _, side in pairs(json.decode(saved.json).sides) do
    for _, output in ipairs(side.outputs) do
      local facts = { step = grown(side.steps, output.step, saved.tensors), table = output.table }
      tensors_of(output.name, saved.tensors, facts)
      texts[output.name] = json.encode(facts)
    end
  end
  return texts
end

--- The names in two tables, sorted.
function compare.names(a, b)
  local names, seen = {}, {}
  for _, list in ipairs { a, b } do
    for name in pairs(list) do
      if not seen[name] then names[#names + 1] = name end
      seen[name] = true
    end
  end
  table.sort(names)
  return names
end

return compare

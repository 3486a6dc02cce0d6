--- What the audit compares: fitted outputs by what they are made of, and features bit by bit.

local frame = require "recsys.frame"
local json = require "recsys.json"
local tensor = require "recsys.tensor"

local compare = {}

local CHUNK = 65536

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

local function same(a, b)
  return (a == nil) == (b == nil) and (a == nil or a:to_string() == b:to_string())
end

--- Whether a batch's table is the same in both, its lists' offsets included.
local function same_input(a, b, name)
  return same(a[name], b[name]) and same(a[name .. ".offsets"], b[name .. ".offsets"])
end

--- The first row, 0-based, that differs in features of n rows, and the name of the output; nil when none does.
---@param a Features
---@param b Features
---@param n integer
---@return integer? row
---@return string? name
function compare.features(a, b, n)
  for first = 0, n - 1, CHUNK do
    local rows = tensor.arange(first, math.min(n, first + CHUNK), "i64")
    local left, right = a:gather(rows), b:gather(rows)
    for _, name in ipairs(a:names()) do
      if not same_input(left, right, name) then
        for i = 1, #rows do
          local row = rows:narrow(1, i, 1)
          if not same_input(a:gather(row), b:gather(row), name) then return first + i - 1, name end
        end
      end
    end
  end
end

return compare

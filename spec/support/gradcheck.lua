--- Gradients against central differences, in float64.
---
---     local error = gradcheck(function(x, w) return x:linear(w) end, { x_tensor, w_parameter })
---
--- An operand is a Tensor (an input; views are served), a Parameter, or { data = Tensor } for what has no gradient. The
--- result is projected on a fixed random direction, so that every element of it counts. With a step of 1e-5 truncation
--- and rounding are both near 1e-10, so a norm-relative error over 1e-6 is a wrong formula. Of an operand with
--- more than 64 elements, 64 spread over it are moved.

local autograd = require "recsys.autograd"
local base = require "recsys.base"
local tensor = require "recsys.tensor"

local STEP, MOST = 1e-5, 64

--- Call fn(indices) for the positions to move in a tensor of these sizes.
local function each_position(size, fn)
  local count = 1
  for _, n in ipairs(size) do count = count * n end
  for i = 1, math.min(count, MOST) do
    local at, rest = {}, count <= MOST and i - 1 or (i - 1) * count // MOST
    for dim = #size, 1, -1 do
      at[dim] = rest % size[dim] + 1
      rest = rest // size[dim]
    end
    fn(at)
  end
end

--- The sum of the elements of f's result, each times a fixed random number; on a tape of its own.
local function project(f, operands, options, backward)
  local tape <close> = autograd.tape {
    train = options.train ~= false, gradients = true, seed = 11, epoch = 1, step = 2,
  }
  local vars = {}
  for i, operand in ipairs(operands) do
    if type(operand) == "table" then
      vars[i] = tape:input("data" .. i, operand.data)
    elseif tensor.is(operand) then
      vars[i] = tape:input("input" .. i, operand, true)
    else
      vars[i] = tape:parameter(operand)
    end
  end
  local y = f(table.unpack(vars))
  local count = y:value():count()
  local direction = base.stream(5, "user", 0, 0):normals(count):reshape(table.unpack(y:size()))
  local loss = (y * tape:input(nil, direction)):sum()
  local value = loss:item()
  if backward then
    tape:backward(loss)
    backward(vars)
  end
  return value
end

--- The largest norm-relative error over the operands that have a gradient, and where it is.
local function gradcheck(f, operands, options)
  options = options or {}
  local analytic = {}
  for _, operand in ipairs(operands) do
    if type(operand) == "userdata" and not tensor.is(operand) then operand:zero_grad() end
  end
  project(f, operands, options, function(vars)
    for i, operand in ipairs(operands) do
      if type(operand) == "userdata" then analytic[i] = assert(vars[i]:grad(), "no gradient for operand " .. i) end
    end
  end)
  local worst, where = 0, nil
  for i, grad in pairs(analytic) do
    local value = tensor.is(operands[i]) and operands[i] or operands[i]:value()
    local difference, norm = 0, 0
    each_position(value:size(), function(at)
      local old = value:get(table.unpack(at))
      local function moved(to)
        local set = table.move(at, 1, #at, 1, {})
        set[#set + 1] = to
        value:set(table.unpack(set))
        return project(f, operands, options)
      end
      local numeric = (moved(old + STEP) - moved(old - STEP)) / (2 * STEP)
      moved(old)
      local exact = grad:get(table.unpack(at))
      difference = difference + (exact - numeric) ^ 2
      norm = norm + exact ^ 2 + numeric ^ 2
    end)
    local relative = norm == 0 and 0 or math.sqrt(difference / norm)
    if relative ~= relative or relative > worst then worst, where = relative, i end
  end
  return worst, where
end

return gradcheck

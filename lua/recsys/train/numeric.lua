--- A loss or a gradient that is no finite number ends the training, and names the operation that made the first one.
---
--- What a step draws is a function of its place, and a step that fails has changed no weight, so it fails again: on a
--- tape that looks at every value and every gradient (autograd.tape { check = true }).

local autograd = require "recsys.autograd"
local network = require "recsys.network"

local numeric = {}

function numeric.is_finite(x) return x - x == 0 end

--- "nan", "inf" or "-inf"; C prints some NaN with a sign.
local function name(x) return x ~= x and "nan" or tostring(x) end

--- The first trainable parameter whose gradient is not finite: its operations were, their sum is not.
local function bad_parameter(parameters)
  for _, parameter in ipairs(parameters) do
    if parameter:trainable() and not numeric.is_finite(parameter:grad():to "f64":abs():sum()) then
      return ("the gradient of parameter '%s', the sum of what several operations give it, is too large"):format(
        parameter:name())
    end
  end
  return "no operation makes one when the step is run again: the model's loss is not a function of its step alone"
end

--- What a checked tape says of the step.
local function find(run, options, input)
  for _, parameter in ipairs(run.network.parameters) do parameter:zero_grad() end
  options.check = true
  local tape <close> = autograd.tape(options)
  local ok, problem = pcall(function()
    tape:backward(network.loss(run.network, run.settings.kind, tape, input))
  end)
  if ok then return bad_parameter(run.network.parameters) end
  if type(problem) == "table" then
    if problem.signal then error(problem, 0) end
    problem = problem.message
  end
  return (tostring(problem):gsub("^[^:\n]+:%d+: ", ""))
end

--- End the training.
---@param run table       network, settings, checkpoint
---@param what string     "loss": what is `value`
---@param options table   of the step's tape
---@param input table     what the model's loss is given, made anew
function numeric.explain(run, what, value, options, input)
  local found = find(run, options, input)
  local kept = run.checkpoint and run.checkpoint.number > 0
  error({ code = "numeric", message = ("the %s is %s in epoch %d, step %d. The first number that is not finite: %s. "
    .. "Lower train.learning_rate, set train.clip, or look for extreme values in what is named%s"):format(what,
    name(value), options.epoch, options.step, found, kept and "; the last checkpoint stays" or "") }, 0)
end

return numeric

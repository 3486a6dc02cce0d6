--- Two towers 96 wide over 8 and 132 numbers, concatenated into one output that is fitted by squared error: an epoch of
--- 44,319 rows, batch 1,024. A tower is linear, batch norm, ReLU, dropout 0.16, linear, batch norm, ReLU; Adam.
---
--- That all sides train the same model cannot be seen from one run each: after a few epochs losses of one side differ
--- by a tenth from seed to seed. So each side trains with several seeds, off the clock, and the difference of two means
--- is held against its own standard error (Welch's t).

local autograd = require "recsys.autograd"
local base = require("recsys.core").base
local bench = require "recsys.bench"
local nn = require "recsys.nn"
local optim = require "recsys.optim"
local tensor = require "recsys.tensor"
local towers = require "recsys.towers"

local ROWS, BATCH, WIDTH, DROPOUT, RATE = 44319, 1024, 96, 0.16, 1e-3
local SEEDS, EPOCHS, MOST_ERRORS = 8, 3, 4
local inputs = { user = 8, content = 132 }

local Tower = {}
Tower.__index = Tower

local function new_tower(name, seed)
  local function linear(n, width)
    return nn.linear { name = name .. "." .. n, inputs = width, outputs = WIDTH, bias = false, seed = seed }
  end
  return setmetatable({ first = linear(0, inputs[name]), second = linear(1, WIDTH),
    first_norm = nn.batch_norm { name = name .. ".norm0", width = WIDTH },
    second_norm = nn.batch_norm { name = name .. ".norm1", width = WIDTH } }, Tower)
end

--- Linear, batch norm, ReLU and dropout as nn.tower runs them, in one operation.
local function stage(x, linear, norm, rate)
  local tape, vars = x:tape(), {}
  for _, layer in ipairs { linear, norm } do
    for _, parameter in ipairs(layer:parameters()) do vars[#vars + 1] = tape:parameter(parameter) end
  end
  vars[#vars + 1] = { activation = "relu", rate = rate }
  return x:linear_batch_norm(table.unpack(vars))
end

function Tower:forward(x)
  return stage(stage(x, self.first, self.first_norm, DROPOUT), self.second, self.second_norm, 0)
end

local function new_model(seed)
  local model = { user = new_tower("user", seed), content = new_tower("content", seed), seed = seed,
    output = nn.linear { name = "output", inputs = 2 * WIDTH, outputs = 1, seed = seed } }
  local layers = { model.output }
  for name in pairs(inputs) do
    for _, layer in pairs(model[name]) do layers[#layers + 1] = layer end
  end
  model.parameters = towers.parameters(table.unpack(layers))
  model.optimizer = optim.adam(model.parameters, { learning_rate = RATE })
  return model
end

--- One step on the rows 'at'. Returns the loss.
local function take_step(model, data, at, epoch, step)
  local tape <close> = autograd.tape { train = true, seed = model.seed, epoch = epoch, step = step }
  local user = model.user:forward(tape:input("user", data.user:index_select(at)))
  local content = model.content:forward(tape:input("content", data.content:index_select(at)))
  local score = model.output:forward(autograd.concat { user, content }):reshape(#at)
  local loss = autograd.mse(score, tape:input("target", data.target:index_select(at)))
  local value = loss:item()
  tape:backward(loss)
  model.optimizer:step()
  model.optimizer:zero_grad()
  return value
end

--- Epoch 'epoch' of a model. Returns the mean of its steps' losses.
local function train_epoch(model, data, epoch)
  local n, sum, steps = #data.target, 0, 0
  local order = base.stream(model.seed, "shuffle", epoch, 0):permutation(n)
  for first = 1, n, BATCH do
    local at = order:narrow(1, first, math.min(BATCH, n - first + 1))
    steps = steps + 1
    sum = sum + take_step(model, data, at, epoch, steps)
  end
  return sum / steps
end

--- The losses of the first and the last of a few epochs, for each of some seeds.
local function losses_by_seed(data)
  local losses = { first = {}, last = {} }
  for seed = 1, SEEDS do
    local model = new_model(seed)
    for epoch = 1, EPOCHS do
      local loss = train_epoch(model, data, epoch)
      if epoch == 1 then losses.first[seed] = loss end
      losses.last[seed] = loss
    end
  end
  return losses
end

local function mean_and_variance(values)
  local n, sum, squares = #values, 0, 0
  for _, value in ipairs(values) do sum = sum + value end
  for _, value in ipairs(values) do squares = squares + (value - sum / n) ^ 2 end
  return sum / n, squares / (n - 1)
end

--- Losses fall on all sides, and those of ours and a peer's are of one distribution.
local function judge(sides)
  local verdicts, us = {}, sides.recsys.facts.losses
  local ours, our_variance = mean_and_variance(us.last)
  for name, side in pairs(sides) do
    local losses = side.facts.losses
    local first = mean_and_variance(losses.first)
    local last, variance = mean_and_variance(losses.last)
    verdicts[#verdicts + 1] = { what = name .. ": mean loss falls by", reached = first - last, wanted = 0,
      holds = last < first }
    if side ~= sides.recsys then
      local errors = math.abs(last - ours) / math.sqrt(variance / #losses.last + our_variance / #us.last)
      verdicts[#verdicts + 1] = { what = ("%s: mean losses apart, %.4f and %.4f, in standard errors"):format(name, last,
        ours), reached = errors, wanted = MOST_ERRORS, holds = errors <= MOST_ERRORS }
    end
  end
  table.sort(verdicts, function(a, b) return a.what < b.what end)
  return verdicts
end

return {
  about = "an epoch of 44,319 rows through two towers 96 wide, squared error, batch 1,024",
  unit = "epoch", per = function() return 1 end, same = false, one_thread = true,
  prepare = function(folder, options)
    local rows = math.ceil(ROWS * options.scale)
    local function once(name, stream, width)
      return bench.once(("%s/regression-%d-%s.npy"):format(folder, rows, name), function(part)
        local drawn = base.stream(13, "user", 0, stream):uniforms(rows * width):to "f32"
        assert(tensor.save_npy(part, width > 1 and drawn:reshape(rows, width) or drawn))
      end)
    end
    return { rows = rows, batch = BATCH, user = once("user", 1, inputs.user),
      content = once("content", 2, inputs.content), target = once("target", 3, 1) }
  end,
  setup = function(arguments)
    local function load(key) return assert(tensor.load_npy(arguments[key])) end
    return { user = load "user", content = load "content", target = load "target", model = new_model(1), epoch = 0 }
  end,
  run = function(state)
    state.epoch = state.epoch + 1
    train_epoch(state.model, state, state.epoch)
  end,
  facts = function(state) return { losses = losses_by_seed(state) } end,
  judge = judge,
  peers = { torch = "regression_towers.py torch loader", torch_best = "regression_towers.py torch best" },
  target = { times = { torch = 5, torch_best = 2 } },
}

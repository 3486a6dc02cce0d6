--- Optimisers from Lua; their arithmetic is in runtime/optim/optim_test.c.

local autograd = require "recsys.autograd"
local base = require "recsys.base"
local optim = require "recsys.optim"
local tensor = require "recsys.tensor"

--- A dense matrix, a sparse table and a buffer.
local function parameters(dtype)
  local stream = base.stream(4, "user")
  local function matrix(rows, columns, first)
    return stream:normals(rows * columns, first):to(dtype or "f64"):reshape(rows, columns)
  end
  return {
    autograd.parameter("w", matrix(3, 2, 0)),
    autograd.parameter("table", matrix(6, 3, 100), { sparse = true }),
    autograd.parameter("mean", matrix(1, 3, 200), { trainable = false }),
  }
end

--- One step of a small model; codes repeat.
local function step(list, opt, codes)
  local tape <close> = autograd.tape { train = true }
  local rows = autograd.embedding(tape:parameter(list[2]), tape:input("codes", tensor.new(codes, "i32")))
  local loss = autograd.mean(autograd.matmul(rows, tape:parameter(list[1])):tanh())
  tape:backward(loss)
  if opt then opt:step():zero_grad() end
  return loss:item()
end

describe("optim", function()
  it("goes down", function()
    for _, kind in ipairs { "sgd", "adagrad", "adam", "adamw" } do
      local list = parameters("f32")
      local opt <close> = optim[kind](list, { learning_rate = 0.05 })
      local first = step(list, opt, { 1, 3, 3, 5 })
      local last
      for _ = 1, 30 do last = step(list, opt, { 1, 3, 3, 5 }) end
      assert.is_true(last < first - 0.1, kind)
      assert.equal(31, opt:steps())
    end
  end)

  it("leaves untouched rows, buffers and parameters without a gradient as they are", function()
    local list = parameters()
    local table_before, mean_before = list[2]:value():clone(), list[3]:value():clone()
    local opt = optim.adamw(list, { weight_decay = 0.5 })
    step(list, opt, { 1, 3, 3 })
    local changed = list[2]:value():ne(table_before):sum(2):tolist()
    assert.same({ 0, 3, 0, 3, 0, 0 }, changed)
    assert.same(mean_before:tolist(), list[3]:value():tolist())
    local after = list[1]:value():clone()
    opt:step()
    assert.same(after:tolist(), list[1]:value():tolist())
  end)

  it("takes the step of the sum for codes that repeat", function()
    local list, plain = parameters(), parameters()
    step(list, optim.sgd(list, { learning_rate = 0.1 }), { 2, 4, 2 })
    step(plain, nil, { 2, 4, 2 })
    local expected = plain[2]:value() - plain[2]:grad() * 0.1
    assert.is_true((list[2]:value() - expected):abs():max() < 1e-16)
  end)

  it("clips by the global norm over dense and sparse gradients", function()
    local list = parameters()
    local opt = optim.sgd(list, { learning_rate = 1 })
    step(list, nil, { 1, 3, 3 })
    local w, t = list[1]:grad(), list[2]:grad()
    local norm = math.sqrt((w * w):sum() + (t * t):sum())
    assert.is_true(math.abs(opt:clip(1e9) - norm) < 1e-14)
    assert.is_true(math.abs(opt:clip(norm / 4) - norm) < 1e-14)
    local before = list[2]:value():clone()
    opt:step()
    assert.is_true((before - list[2]:value() - t * 0.25):abs():max() < 1e-15)
    step(list, nil, { 1 }) -- a clip holds for one step
    local w_before, w_grad = list[1]:value():clone(), list[1]:grad()
    opt:step()
    assert.is_true((w_before - list[1]:value() - w_grad):abs():max() < 1e-15)
  end)

  it("continues from a saved state with the same bits", function()
    for _, kind in ipairs { "sgd", "adagrad", "adam", "adamw" } do
      local options = kind == "sgd" and { momentum = 0.9 } or kind == "adagrad" and { row_wise = true } or {}
      local list = parameters("f32")
      local opt = optim[kind](list, options)
      for _ = 1, 3 do step(list, opt, { 1, 2, 2 }) end
      local saved, values = {}, {}
      for name, t in pairs(opt:state()) do saved[name] = t:clone() end
      for i, p in ipairs(list) do values[i] = p:value():clone() end
      step(list, opt, { 2, 5 })
      local again = parameters("f32")
      for i, p in ipairs(again) do p:value():copy_(values[i]) end
      local resumed = optim[kind](again, options):load_state(saved)
      assert.equal(3, resumed:steps())
      step(again, resumed, { 2, 5 })
      for i in ipairs(list) do
        assert.equal(list[i]:value():to_string(), again[i]:value():to_string(), kind)
      end
    end
  end)

  it("gives the same bits with one thread and with three", function()
    local threads, results = base.threads(), {}
    for _, n in ipairs { 1, 3 } do
      base.threads(n)
      local big = autograd.parameter("big", base.stream(1, "user"):normals(300 * 300):to("f32"):reshape(300, 300))
      local opt = optim.adam({ big })
      for _ = 1, 3 do
        local tape <close> = autograd.tape { train = true }
        local w = tape:parameter(big)
        tape:backward(autograd.mean(w:matmul(w):tanh()))
        opt:clip(1e-3)
        opt:step():zero_grad()
      end
      results[n] = big:value():to_string()
    end
    base.threads(threads)
    assert.equal(results[1], results[3])
  end)

  it("names what is wrong", function()
    local list = parameters()
    assert.has_error(function() optim.adam(list, { lr = 1 }) end, "bad argument #2 to 'adam' (there is no option 'lr' "
      .. "(learning_rate, weight_decay, seed, epsilon, beta1, beta2))")
    assert.has_error(function() optim.sgd({ list[1], list[1] }) end,
      "bad argument #1 to 'sgd' (two parameters are called 'w')")
    assert.has_error(function() optim.sgd({ 1 }) end, "bad argument #1 to 'sgd' (element 1 is no Parameter)")
    assert.has_error(function() optim.adam(list, { beta1 = 1 }) end,
      "bad argument #2 to 'adam' (beta1 is 1.0; it must be at least 0.0 and less than 1.0)")
    local opt = optim.adam(list)
    assert.has_error(function() opt:load_state {} end,
      "bad argument #1 to 'load_state' (there is no tensor 'optimizer.step')")
    assert.equal("Optimizer adam (2 parameters, learning rate 0.001, step 0)", tostring(opt))
    opt:set_learning_rate(0.5)
    assert.equal(0.5, opt:learning_rate())
    opt:close()
    assert.has_error(function() opt:step() end, "calling 'step' on bad self (optimizer is closed)")
  end)
end)

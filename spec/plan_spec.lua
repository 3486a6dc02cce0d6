--- Plans: recorded from a tape, run without it, the same bits.

local autograd = require "recsys.autograd"
local base = require "recsys.base"
local cjson = require "cjson"
local tensor = require "recsys.tensor"

--- Standard normal numbers, f32.
local function normal(seed, ...)
  local count = 1
  for _, size in ipairs { ... } do count = count * size end
  return tensor.new(base.stream(seed, "user", 9, 9):normals(count):tolist(), "f32"):reshape(...)
end

local width, rows = 24, 40

local function parameters()
  local list = {
    table = autograd.parameter("table", normal(1, rows, 16), { sparse = true }),
    weight = autograd.parameter("weight", normal(2, width, 37)),
    bias = autograd.parameter("bias", normal(3, width)),
    gain = autograd.parameter("gain", normal(4, width)),
    mean = autograd.parameter("mean", normal(5, width), { trainable = false }),
  }
  local variance = tensor.zeros(width)
  for i = 1, width do variance:set(i, i / 4) end
  list.spectrum = autograd.parameter("spectrum", normal(6, 16):abs(), { trainable = false })
  list.variance = autograd.parameter("variance", variance, { trainable = false })
  return list
end

local p = parameters()
local weights = {}
for name, one in pairs(p) do weights[name] = one:value() end

--- A tower over most operations, and a second output.
local function forward(tape, batch)
  local v = {}
  for name, one in pairs(p) do v[name] = tape:parameter(one) end
  local function input(name) return tape:input(name, batch[name]) end
  local x = autograd.concat {
    v.table:embedding(input "id"), v.table:embedding_bag(input "history", input "history.offsets", nil, "mean"),
    input "number",
  }
  x = x:linear(v.weight, v.bias, "gelu"):batch_norm(v.gain, v.bias, v.mean, v.variance):relu():dropout(0.5)
  x = x:layer_norm(v.gain, v.bias, 1e-3) * v.gain + x:tanh() / 3 - 0.1
  local places = v.table:embedding(input "history":bag_positions(input "history.offsets", 3)):bag_softmax(
    input "history.offsets")
  local once = v.table:embedding_bag(input "history", input "history.offsets",
    input "history":bag_distinct(input "history.offsets"))
  local pools = v.table:embedding(input "history"):bag_sum(input "history.offsets", places)
  local events = v.table:embedding(input "history")
  local folded = v.table:fold_in(v.spectrum, input "history", input "history.offsets", nil, { others = 7 })
  local attended = events:causal_attention(events, events * 2, input "history.offsets", 1, 0.5)
  return { user = x:l2_normalize(), pools = pools, once = once, folded = folded,
    newest = attended:bag_first(input "history.offsets"),
    score = x:dot(x:softmax()):sigmoid(), narrow = x:narrow(2, 3, 5):reshape(-1, 5) }
end

--- Rows first .. last of a batch of 130.
local function batch(first, last)
  local n = last - first + 1
  local id, number, lengths = tensor.zeros(n, "i32"), normal(6, 130, 5):narrow(1, first, n):contiguous(), 0
  local offsets, codes = tensor.zeros(n + 1, "i64"), {}
  for i = 1, n do
    id:set(i, (first + i) * 7 % rows)
    for j = 1, (first + i) % 4 do codes[#codes + 1] = (first + i) * j % rows end
    lengths = #codes
    offsets:set(i + 1, lengths)
  end
  local history = tensor.zeros(lengths, "i32")
  for i, code in ipairs(codes) do history:set(i, code) end
  return { id = id, number = number, history = history, ["history.offsets"] = offsets }
end

local function record()
  local tape <close> = autograd.tape()
  local outputs = forward(tape, batch(1, 3))
  return tape:plan(outputs)
end

describe("a plan", function()
  it("names its inputs, weights and outputs", function()
    local plan = record()
    local inputs, names = plan:inputs(), plan:weights()
    table.sort(inputs)
    table.sort(names)
    assert.same({ "history", "history.offsets", "id", "number" }, inputs)
    assert.same({ "bias", "gain", "mean", "spectrum", "table", "variance", "weight" }, names)
    assert.same({ "folded", "narrow", "newest", "once", "pools", "score", "user" }, plan:outputs())
    assert.equal("Plan (4 inputs, 7 weights, 7 outputs)", tostring(plan))
  end)

  it("gives the bits of the tape, also after going through JSON", function()
    local plan = record()
    local again = assert(autograd.plan_from_json(plan:json()))
    assert.equal(plan:json(), again:json())
    local all = batch(1, 130)
    local tape <close> = autograd.tape()
    local taped = forward(tape, all)
    for _, one in ipairs { plan, again } do
      local outputs = one:run(weights, all)
      for name, var in pairs(taped) do
        assert.is_true(var:value():to_string() == outputs[name]:to_string(), name)
      end
    end
  end)

  it("gives a row the same bits in any batch and on any number of threads", function()
    local plan = record()
    local all = plan:run(weights, batch(1, 130))
    local before = base.threads()
    for i, part in ipairs { { 1, 1 }, { 64, 65 }, { 100, 130 }, { 7, 80 }, { 130, 130 } } do
      base.threads(1 + i % 3)
      local outputs = plan:run(weights, batch(part[1], part[2]))
      for name, value in pairs(outputs) do
        local same = all[name]:narrow(1, part[1], part[2] - part[1] + 1):to_string()
        assert.is_true(same == value:to_string(), ("%s of rows %d to %d"):format(name, part[1], part[2]))
      end
    end
    base.threads(before)
  end)

  it("serves a batch without rows", function()
    local outputs = record():run(weights, batch(1, 0))
    assert.same({ 0, width }, outputs.user:size())
  end)

  it("leaves out what its outputs do not need", function()
    local tape <close> = autograd.tape()
    local x = tape:input("x", tensor.new { 1 })
    local _ = tape:input(nil, tensor.new { 1 }) * x
    local plan = tape:plan { y = x + 1 }
    assert.equal(1, #cjson.decode(plan:json()).steps)
    assert.same({ 3 }, plan:run({}, { x = tensor.new { 2 }, other = tensor.new { 1 } }).y:tolist())
  end)

  it("can give an input, and an output twice", function()
    local tape <close> = autograd.tape()
    local x = tape:input("x", tensor.new { 1 })
    local y = x + 1
    local outputs = tape:plan({ a = x, b = y, c = y }):run({}, { x = tensor.new { 2 } })
    assert.same({ { 2 }, { 3 }, { 3 } }, { outputs.a:tolist(), outputs.b:tolist(), outputs.c:tolist() })
  end)

  it("says what is missing or does not fit", function()
    local plan = record()
    local function raises(message, change, among)
      local given = { weights = {}, inputs = batch(1, 3) }
      for name, value in pairs(weights) do given.weights[name] = value end
      change(given[among])
      assert.has_error(function() plan:run(given.weights, given.inputs) end, message)
    end
    raises("plan: input 'id' is missing", function(t) t.id = nil end, "inputs")
    raises("plan: weight 'gain' is missing", function(t) t.gain = nil end, "weights")
    raises("plan: input 'id' is f32, not i32", function(t) t.id = tensor.zeros(3) end, "inputs")
    raises("plan: weight 'gain' is [5], it must be [24] (-1: any)", function(t) t.gain = tensor.zeros(5) end, "weights")
    raises("plan: input 'number' is [3, 4], it must be [-1, 5] (-1: any)",
      function(t) t.number = tensor.zeros(3, 4) end, "inputs")
    raises("embedding: code 40 is outside the table parameter 'table', which has 40 rows (codes 0 to 39)",
      function(t) t.id:set(2, 40) end, "inputs")
  end)

  it("is recorded from evaluation, of named leaves, without losses", function()
    local function raises(message, options, f)
      local tape <close> = autograd.tape(options)
      assert.has_error(function() tape:plan { y = f(tape) } end, message)
    end
    raises("plan: the tape is in training mode", { train = true },
      function(t) return t:input("x", tensor.new { 1 }) end)
    raises("plan: an input of shape [1] has no name", {}, function(t) return t:input(nil, tensor.new { 1 }) + 1 end)
    raises("plan: mse is for training and cannot be recorded", {}, function(t)
      local x = t:input("x", tensor.new { 1 })
      return x:mse(x)
    end)
    raises("plan: two leaves are called 'x'", {}, function(t)
      return t:input("x", tensor.new { 1 }) + t:input("x", tensor.new { 1 })
    end)
    raises("plan: no output", {}, function() return nil end)
  end)
end)

describe("a plan's JSON", function()
  local text = record():json()

  local function refused(json, pattern)
    local plan, message, code = autograd.plan_from_json(json)
    assert.is_nil(plan)
    assert.equal("format", code)
    assert.truthy(message:find(pattern), ("%q does not match %q"):format(message, pattern))
  end

  --- The plan with one piece of its text exchanged.
  local function changed(from, to)
    local at, stop = text:find(from, 1, true)
    assert(at, from .. " is not in the plan")
    return text:sub(1, at - 1) .. to .. text:sub(stop + 1)
  end

  it("keeps every bit of a real", function()
    assert.truthy(text:find("0.001", 1, true))
    local tape <close> = autograd.tape()
    local plan = tape:plan { y = tape:input("x", tensor.new({ 1 }, "f64")) * (1 / 3) }
    local again = assert(autograd.plan_from_json(plan:json()))
    assert.equal(1 / 3, again:run({}, { x = tensor.new({ 1 }, "f64") }).y:get(1))
  end)

  it("is refused when cut anywhere", function()
    for length = 0, #text - 1 do
      local plan, message, code = autograd.plan_from_json(text:sub(1, length))
      assert(plan == nil and message and code == "format", length)
    end
  end)

  it("is refused for anything that is not a plan", function()
    refused("", "plan: ")
    refused("[]", "the plan is not an object")
    refused("{}", "has no 'format'")
    refused(text .. text, "plan: line 1")
    refused(text .. ',"x"', "more than one value")
    refused(text .. '],["x"', "plan: line 1")
    refused(changed('"recsys-plan"', '"plan"'), "the format is not recsys%-plan")
    refused(changed('"version":1', '"version":2'), "the version is not a whole number from 1 to 1")
    refused(changed('"version":1', '"version":1,"version":1'), "duplicate")
    refused(changed('"version":1', '"version":1,"more":1'), "a key that is not known")
    refused(("9"):rep(600), "a word of more than")
    refused(("["):rep(100000), "plan: line 1")
  end)

  it("is refused for operations, operands and attributes that are not served", function()
    refused(changed('"op":"softmax"', '"op":"system"'),
      "there is no operation 'system'")
    refused(changed('"op":"softmax"', '"op":"mse"'), "mse is for training")
    refused(changed('"op":"softmax"', '"op":"dot"'), "dot does not take 1 operands")
    refused(changed('"activation":"gelu"', '"activation":"swish"'), "activation is none of its choices")
    refused(changed('"activation":"gelu"', '"activation":"gelu","x":1'), "a key that is not known")
    refused(changed('"activation":"gelu"', '"activate":"gelu"'), "has no 'activation'")
    refused(changed('"attributes":{"activation":"gelu"}', '"attributes":[]'), "is not an object")
    refused(changed('"epsilon":0.001', '"epsilon":-1'), "an attribute is out of range")
    refused(changed('"epsilon":0.001', '"epsilon":"x"'), "epsilon is not a number")
    for _, slot in ipairs { "11", "10000", "-1", "0.5", '"x"' } do
      local json = text:gsub('"operands":%[%d+', '"operands":[' .. slot, 1)
      refused(json, "steps%[0%] is not a whole number from 0 to 10")
    end
    refused(changed('"operands":[', '"operands":[0,0,0,'), "does not take")
    refused(changed('"dtype":"i32"', '"dtype":"i16"'), "has no known dtype")
    refused(changed('"shape":[-1]', '"shape":[-2]'), "is not a whole number from %-1")
    refused(changed('"shape":[-1]', '"shape":[1,1,1,1,1]'), "is not a list of up to 4 sizes")
    refused(changed('"name":"id"', '"name":""'), "is not a name")
    refused(changed('"name":"id"', '"name":"a\\u0000b"'), "plan: ")
    refused(changed('"name":"id"', '"name":"history"'), "is the second 'history'")
    refused(changed('"slot":', '"slot":9'), "is not a whole number")
  end)

  it("may ask for shapes that do not fit, which the run refuses", function()
    local plan = assert(autograd.plan_from_json(changed('"op":"softmax"', '"op":"sum"')))
    assert.has_error(function() plan:run(weights, batch(1, 3)) end,
      "dot: affine is [3, 24] and sum is [], they must be the same")
  end)

  it("survives any single byte changed", function()
    local inputs = batch(1, 2)
    local survivors = 0
    for i = 1, #text, 3 do
      for _, byte in ipairs { "0", '"', "}", "\0", "\xff" } do
        local plan = autograd.plan_from_json(text:sub(1, i - 1) .. byte .. text:sub(i + 1))
        if plan then
          survivors = survivors + 1
          pcall(plan.run, plan, weights, inputs)
        end
      end
    end
    assert.is_true(survivors > 0)
  end)
end)

-- autograd.lua - a step of training and a plan under refused memory.
local core = require "recsys.core"
local autograd, tensor = core.autograd, core.tensor

local table_ = autograd.parameter("table", tensor.zeros(3, 2), { sparse = true })
local weight = autograd.parameter("weight", tensor.new { { 1, 2, 3, 4 }, { 5, 6, 7, 8 } })
local gain = autograd.parameter("gain", tensor.new { 1, 1 })
local mean = autograd.parameter("mean", tensor.zeros(2), { trainable = false })
local codes, offsets = tensor.new({ 1, 2, 1 }, "i32"), tensor.new({ 0, 1, 3 }, "i64")

local function forward(tape)
  local rows = tape:parameter(table_)
  local bag = rows:embedding_bag(tape:input("codes", codes), tape:input("offsets", offsets), nil, "mean")
  local one = rows:embedding(tape:input("one", codes):narrow(1, 1, 2))
  local places = rows:embedding(tape:input("codes", codes):bag_positions(tape:input("offsets", offsets), 2))
  places = places:bag_softmax(tape:input("offsets", offsets))
  bag = bag + rows:embedding_bag(tape:input("codes", codes), tape:input("offsets", offsets),
    tape:input("codes", codes):bag_distinct(tape:input("offsets", offsets)))
  bag = bag + rows:embedding(tape:input("codes", codes)):bag_sum(tape:input("offsets", offsets), places:narrow(2, 1, 1))
  local history = rows:embedding(tape:input("codes", codes))
  history = history:causal_attention(history, history, tape:input("offsets", offsets), 1, 0.5)
  bag = bag + history:bag_first(tape:input("offsets", offsets))
  local x = autograd.concat { bag, one + 0.5 }:linear(tape:parameter(weight), nil, "gelu")
  local g, m = tape:parameter(gain), tape:parameter(mean)
  x = x:batch_norm(g, g, m, m):layer_norm(g, g):dropout(0.5)
  return (x / (x * x + 2)):l2_normalize():softmax()
end

do
  local tape <close> = autograd.tape { train = true }
  local y = forward(tape)
  tape:backward(y:dot(y:tanh()):mean() + y:reshape(-1):mse(tape:input(nil, tensor.zeros(4))))
  assert(table_:rows():count() == 3 and weight:grad():count() == 8)
end

local tape <close> = autograd.tape()
local plan = tape:plan { y = forward(tape) }
local again = assert(autograd.plan_from_json(plan:json()))
local weights = { table = table_:value(), weight = weight:value(), gain = gain:value(), mean = mean:value() }
local outputs = again:run(weights, { codes = codes, offsets = offsets, one = codes })
assert(outputs.y:size(1) == 2 and #again:inputs() == 3 and tostring(again):find "4 weights")

-- Every operation as a function, on the tape that trains.
do
  local training <close> = autograd.tape { train = true }
  local x = training:input("x", tensor.new { { 1, 2 }, { 3, 4 } }, true)
  local parts = { autograd.add(x, x), autograd.sub(x, 1), autograd.mul(x, 2), autograd.div(x, 2),
    autograd.affine(x, 2, 1),
    autograd.relu(x), autograd.gelu(x), autograd.sigmoid(x), autograd.exp(x), autograd.log(x), autograd.log_softmax(x),
    autograd.matmul(x, x, false, true) }
  local zero = training:input("zero", tensor.zeros(2, 2))
  local loss = autograd.sum(autograd.concat(parts)):add(autograd.bce(x, zero)):add(autograd.bpr(x, zero))
  assert(x:mul(2):sub(1):div(2):affine(1):relu():gelu():sigmoid():exp():log():log_softmax():matmul(x):sum():item() < 0)
  assert(x:bce(zero):item() > 0 and x:bpr(zero):item() > 0)
  training:backward(loss)
  assert(training:training() and loss:item() > 0 and x:dtype() == "f32" and x:grad():count() == 4)
end
assert(table_:sparse() and not mean:trainable() and table_:zero_grad():rows():count() == 0)
assert(#plan:weights() == 4 and plan:outputs()[1] == "y")

-- The operations that are methods above, as functions.
do
  local other <close> = autograd.tape { train = true }
  local x, w = other:input("x", tensor.new { { 1, 2 }, { 3, 4 } }, true), other:input("w", tensor.new { { 1, 0 } })
  local ones, zeros = other:input("ones", tensor.new { 1, 1 }), other:input("zeros", tensor.zeros(2))
  local both = autograd.parameter("both", tensor.zeros(2), { trainable = false })
  local dense = x:linear_batch_norm(x, ones, zeros, other:parameter(both), other:parameter(both),
    { activation = "gelu", rate = 0.5 })
  dense = autograd.linear_batch_norm(dense, x, ones, zeros, other:parameter(both), other:parameter(both))
  assert(autograd.linear(dense, x, nil, "tanh", 0.5):size(1) == 2)
  assert(autograd.linear(x, w):size(1) == 2 and x:tape() and weight:name() == "weight" and weight:size(2) == 4)
  local center = other:parameter(mean)
  local y = autograd.layer_norm(autograd.batch_norm(x, ones, zeros, center, center), ones, zeros)
  y = autograd.tanh(autograd.softmax(autograd.l2_normalize(autograd.dropout(y, 0.5))))
  y = autograd.reshape(autograd.narrow(y, 2, 1, 1), -1)
  assert(autograd.mse(y, other:input(nil, tensor.zeros(2))):item() >= 0 and autograd.dot(x, x):size(1) == 2)
  assert(autograd.mean(y):item() <= 1)
  local bags, members = other:input("bags", offsets), other:input("members", tensor.zeros(3, 2))
  assert(autograd.bag_sum(members, bags, autograd.bag_softmax(members, bags)):size(2) == 4)
  local newest = autograd.bag_first(autograd.causal_attention(members, members, members, bags, 2, 0.5), bags)
  assert(newest:size(2) == 2)
  assert(autograd.bag_positions(other:input("codes", codes), bags, 5):dtype() == "i32")
  assert(autograd.bag_distinct(other:input("codes", codes), bags):value():sum() == 3)
end

-- The fused layers, backward too.
do
  local fused <close> = autograd.tape { train = true }
  local x, p = fused:input("x", tensor.new { { 1, 2 }, { 3, 4 } }, true), {}
  for i = 1, 2 do p[i] = fused:parameter(autograd.parameter("p" .. i, tensor.zeros(2), { trainable = false })) end
  local g = fused:parameter(gain)
  local y = x:linear_batch_norm(x, g, g, p[1], p[2], { activation = "gelu", rate = 0.5 }):linear(x, g, "tanh", 0.5)
  fused:backward(y:sum())
  assert(x:grad():count() == 4)
end

do
  local m = tensor.csr(tensor.new({ 0, 1 }, "i64"), tensor.new({ 1 }, "i32"), tensor.new { 2 }, 2)
  local other <close> = autograd.tape { train = true }
  local x = other:input("x", tensor.new { { 1 }, { 3 } }, true)
  other:backward(autograd.csr_matmul(x, m, m:transpose()):sum() + x:csr_matmul(m, m:transpose()):sum())
  assert(x:grad():get(2, 1) == 4)
end

do
  local other <close> = autograd.tape()
  local items, spectrum = other:input("items", tensor.new { { 0, 0 }, { 1, 0 }, { 0, 2 } }),
    other:input("spectrum", tensor.new { 1, 4 })
  local members, bags = other:input("codes", tensor.new({ 1, 0, 2 }, "i32")), other:input("bags", offsets)
  local y = autograd.fold_in(items, spectrum, members, bags, other:input("weights", tensor.new { 1, 1, 2 }),
    { unobserved = 1, regularization = 0.5, others = 2, scaling = 1, confidence = true })
  assert(y:value():get(1, 1) > 0 and items:fold_in(spectrum, members, bags, nil, {}):size(2) == 2)
end

-- A sparse matrix of weights, on a tape and in a plan.
do
  local parts = { starts = tensor.new({ 0, 1, 3 }, "i64"), columns = tensor.new({ 1, 0, 1 }, "i32"),
    values = tensor.new { 2, 3, 4 } }
  local p = {}
  for name, value in pairs(parts) do p[name] = autograd.parameter(name, value, { trainable = false }) end
  local other <close> = autograd.tape()
  local s, c, v = other:parameter(p.starts), other:parameter(p.columns), other:parameter(p.values)
  local members, bags = other:input("codes", tensor.new({ 1, 0, 1 }, "i32")), other:input("bags", offsets)
  local y = autograd.csr_bag(s, c, v, 2, members, bags, other:input("weights", tensor.new { 1, 1, 2 }))
  assert(y:value():get(2, 2) == 10 and s:csr_bag(c, v, 2, members, bags):size(2) == 2)
  assert(y:keep_largest(1):csr_product(s, c, v, 2):size(1) == 2)
  assert(autograd.csr_product(autograd.keep_largest(y, 2), s, c, v, 2):size(2) == 2)
  local recorded = other:plan { y = y }
  local found = recorded:run(parts, { codes = members:value(), bags = offsets, weights = tensor.new { 1, 1, 2 } })
  assert(found.y:get(2, 1) == 6)
end

-- What went wrong, and which units live.
do
  local checked <close> = autograd.tape { train = true, check = true }
  local x = checked:input("x", tensor.new { { 1, -2 }, { 3, -4 } }, true)
  local y = autograd.relu(x)
  assert(checked:active_units()["relu.1"]:sum() == 1)
  checked:backward(y:sum())
  local ok, message = pcall(autograd.log, checked:input("zero", tensor.zeros(2)))
  assert(not ok and tostring(message))
end

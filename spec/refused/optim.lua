-- optim.lua - optimisers under refused memory: a step that is refused changes nothing.
local core = require "recsys.core"
local autograd, optim, tensor = core.autograd, core.optim, core.tensor

local w = autograd.parameter("w", tensor.new({ { 1, 2 }, { 3, 4 } }, "f64"))
local t = autograd.parameter("t", tensor.new({ { 1, 2 }, { 3, 4 }, { 5, 6 } }, "f64"), { sparse = true })
local opt <close> = optim.adam({ w, t }, { learning_rate = 0.1 })
do
  local tape <close> = autograd.tape { train = true }
  local rows = tape:parameter(t):embedding(tape:input("codes", tensor.new({ 2, 0, 2 }, "i32")))
  tape:backward(rows:matmul(tape:parameter(w)):sum())
end
assert(opt:clip(1) > 1 and opt:norm() > 1)
opt:step():zero_grad()
assert(t:value():get(2, 1) == 3 and t:value():get(1, 1) < 1 and w:value():get(1, 1) < 1)
local other = optim.adam({ w, t }):load_state(opt:state())
assert(other:steps() == 1 and tostring(other):find "adam")

for _, each in ipairs { optim.sgd({ w, t }, { momentum = 0.9 }), optim.adagrad({ w, t }, { row_wise = true }),
  optim.adamw { w, t } } do
  local tape <close> = autograd.tape { train = true }
  tape:backward(tape:parameter(w):mul(2):sum() + tape:parameter(t):sum())
  each:set_learning_rate(0.5):step():zero_grad()
  assert(each:learning_rate() == 0.5)
end

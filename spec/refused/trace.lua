-- trace.lua - spans and a watched tape under refused memory.
local core = require "recsys.core"

local trace = core.trace.new(10)
local tape <close> = core.autograd.tape { train = true }
trace:open "step":watch(tape)
local x = tape:input("x", core.tensor.new { { 1, 2 }, { 3, 4 } }, true)
tape:backward(core.autograd.sum(core.autograd.relu(x)))
trace:close(1, 2)
assert(trace:depth() == 0)
assert(#trace:rows() == 5 and #trace:events() == 5)

-- tensor.lua - tensors and streams under refused memory.
local core = require "recsys.core"
local tensor, base = core.tensor, core.base

local t = tensor.new({ { 1, 2, 3 }, { 4, 5, 6 } }, "f64")
local copy <close> = t:transpose():contiguous()
assert(copy:get(3, 2) == 6 and t:narrow(2, 2, 2):clone():get(1, 1) == 2)
assert(tensor.from_string(t:to_string(), "f64", 3, 2):tolist()[3][2] == 6)
assert(tensor.zeros(4, 2, "i32"):reshape(-1):size(1) == 8)
assert(base.stream(1, "shuffle", 0, 0):permutation(5):count() == 5)
assert(tostring(t:select(1, 2)) == "Tensor f64 [3]")

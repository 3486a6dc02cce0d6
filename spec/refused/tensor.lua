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

local u = tensor.arange(1, 7):to("f32"):reshape(2, 3)
assert((u + tensor.new { 1, 2, 3 }):sum() == 33 and (1 / u):get(1, 2) == 0.5 and (u * t):max() == 36)
assert(u:clone():add_(u, 2):mul_(u):fill_(3):sum(2):get(1) == 9 and u:matmul(u, false, true):get(1, 1) == 14)
assert(u:clamp(2, 5):exp():log():max(1):count() == 3 and u:argmax() == 6)
local v = u:reshape(-1)
local rows = v:gt(3):nonzero()
assert(v:index_select(rows):sort(true):get(1) == 6 and v:unique():count() == 6 and rows:distinct():count() > 0)
assert(rows:bincount(6, v:index_select(rows)):cumsum():get(6) == 15 and rows:search_sorted(rows):get(2) == 1)
assert(tensor.where(v:le(2), v, 0):sum() == 3 and tensor.concat({ u, u }, 2):size(2) == 6)
v:index_add_(rows, v:index_select(rows)):index_copy_(rows, v:index_select(rows))
assert(u:gather(tensor.new({ { 1 }, { 0 } }, "i64")):get(1, 1) == 2 and tensor.full(2, 3, "i64"):mean() == 2)

-- What the lines above say with operators, or not at all.
assert(tensor.matmul(u, u, false, true):size(1) == 2)
assert(tensor.new({ { 2, 0 }, { 0, 4 } }, "f64"):inverse_definite():get(2, 2) == 0.25)
assert(tensor.new({ { 2, 0 }, { 0, 4 } }):inverse_definite_():get(2, 2) == 0.25)
assert(tensor.is(u) and u:dtype() == "f32" and u:dim() == 2 and u:is_contiguous())
assert(u:clone():set(1, 1, 9):narrow(2, 1, 1):narrow(1, 1, 1):item() == 9)
assert(u:add(1):sub(1):mul(2):div(2):get(1, 3) == 3 and u:abs():sqrt():floor():get(1, 3) == 1)
assert(u:clone():sub_(1):div_(2):copy_(u):get(1, 2) == 2)
assert(tensor.maximum(u, 3):min() == 3 and tensor.minimum(u, 3):max() == 3 and u:maximum(u):minimum(2):max() == 2)
assert(u:ge(2):lt(1):eq(1):sum() == 1 and u:ne(2):sum() == 5 and v:argsort(true):get(1) == 5 and v:argmin() == 1)

local starts, columns = tensor.new({ 0, 2, 3, 3 }, "i64"), tensor.new({ 0, 2, 1 }, "i32")
local m <close> = tensor.csr(starts, columns, tensor.new { 3, 4, 2 }, 3)
assert(m:matmul(tensor.new { { 1 }, { 2 }, { 3 } }):get(1, 1) == 15 and select(2, m:size()) == 3)
assert(m:matmul_left(tensor.full(1, 2, (m:size()))):size(1) == 2)
assert(m:matmul_transposed(tensor.new { { 1 }, { 2 }, { 3 } }):get(2, 1) == 4)
assert(m:to("f64"):transpose():dense():get(3, 1) == 4 and m:tensors().starts:get(3) == 3)
local values, vectors = m:svd(2, { oversampling = 1, iterations = 1, seed = 3 })
assert(math.abs(values:get(1) - 5) < 1e-5 and vectors:size(2) == 2 and tostring(m) == "Csr f32 [3, 3], 3 entries")

local scratch = ...
local file = scratch .. "/t.npy"
assert(tensor.save_npy(file, u:transpose()))
assert(assert(tensor.load_npy(file)):get(3, 2) == u:get(2, 3) and not tensor.load_npy(file .. ".none"))

-- solve.lua - closed forms under refused memory.
local core = require "recsys.core"
local solve, tensor = core.solve, core.tensor

local pairs_of = tensor.csr(tensor.new({ 0, 2, 3, 3 }, "i64"), tensor.new({ 0, 1, 1 }, "i32"),
  tensor.new({ 1, 1, 2 }, "f32"), 2)
local items, users = tensor.new({ { 1, 0 }, { 0.5, 1 } }, "f32"), tensor.zeros(3, 2)
assert(solve.gram(items):get(1, 1) == 1.25)
local spectrum, turn = solve.basis(items)
assert(spectrum:get(2) > 1 and turn:size(2) == 2)
for steps = 0, 2 do
  assert(solve.implicit { pairs = pairs_of, factors = items, into = users, steps = steps, unobserved = 0.5,
    regularization = 0.1, scaling = 1, confidence = true, others = 2 } == users)
end
assert(users:get(1, 1) > 0 and users:get(3, 1) == 0)
for _, weighting in ipairs { "cosine", "tfidf", "bm25" } do
  local m = tensor.csr(tensor.new({ 0, 2, 3, 4, 5, 5 }, "i64"), tensor.new({ 0, 1, 0, 1, 2 }, "i32"),
    weighting == "tfidf" and tensor.new { 2, 1, 1, 1, 1 } or tensor.full(1, 5), 3)
  local weighed = solve.weigh(m, { weighting = weighting, K1 = 1, B = 0.5, unit = true })
  assert(weighed:tensors().values:get(1) > 0)
  local near = solve.neighbours(m, 1, { weighting = weighting, K1 = 1, B = 0.5,
    shrink = weighting == "tfidf" and 1 or 0 })
  assert(near:tensors().columns:get(1) > 0)
end
assert(solve.implicit_loss { pairs = pairs_of, factors = items, into = users } > 0)

local net = solve.elastic_net(pairs_of, { l1 = 0.1, l2 = 0.1, neighbours = 2, sweeps = 5, tolerance = 1e-3,
  positive = true })
assert(select(2, net:size()) == 2)

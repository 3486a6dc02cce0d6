-- Layers, towers and the softmax loss, forward and backward.
local core = require "recsys.core"
local autograd, nn, tensor = core.autograd, core.nn, core.tensor

local ids = nn.embedding { name = "ids", rows = 5, width = 4 }
local tower = nn.tower { name = "user", hidden = { 3 }, outputs = 2, norm = "batch", dropout = 0.1, normalize = true,
  inputs = { { name = "id", layer = ids }, { name = "bag", layer = nn.embedding_bag { table = ids } } } }
local layers = { nn.linear { name = "l", inputs = 2, outputs = 2 }, nn.layer_norm { name = "n", width = 2 },
  nn.batch_norm { name = "b", width = 2 }, nn.dropout { name = "d", rate = 0.5 } }
local batch = { id = tensor.new({ 1, 2, 1 }, "i32"), bag = tensor.new({ 1, 2 }, "i32"),
  ["bag.offsets"] = tensor.new({ 0, 1, 1, 2 }, "i64") }
local tape <close> = autograd.tape { train = true }
local users = tower:forward(tape, batch)
local items = users
for _, layer in ipairs(layers) do
  items = layer:forward(items)
  assert(#tostring(layer) > 0 and layer:parameters() and layer:name())
end
local kept = layers[4]:eval():forward(layers[3]:train(false):forward(items))
assert(tower:eval():forward(tape, batch):size(1) == 3 and tower:train():train(true) == tower and kept:size(1) == 3)
local given = nn.tower { name = "given", inputs = { { name = "x", width = 2 } } }
assert(given:forward(tape, {}, { x = kept }):size(2) == 2)
local loss = nn.in_batch_softmax { users = users, items = items, log_q = tensor.zeros(3),
  beside = tape:input("beside", tensor.zeros(3, 2), true),
  codes = tensor.new({ 1, 2, 3 }, "i64") }
local pairs_of = { users = users, items = items, starts = tensor.new({ 0, 2, 2, 3 }, "i64"),
  positives = tensor.new({ 4, 5, 6 }, "i64"), codes = tensor.new({ 6, 5, 4 }, "i64"), weights = tensor.full(1, 3),
  excluded_starts = tensor.new({ 0, 1, 1, 2 }, "i64"), excluded = tensor.new({ 4, 5 }, "i64"), log_q = tensor.zeros(3) }
for _, name in ipairs { "catalogue_softmax", "bilateral_softmax", "cosine_contrastive", "gbce" } do
  loss = loss + nn[name](pairs_of)
end
pairs_of.column_weights = tensor.full(2, 3)
loss = loss + nn.gbce(pairs_of)
local merged = nn.in_batch_softmax { users = users, items = items, rows = tensor.new({ 0, 0, 2, 1 }, "i64"),
  columns = tensor.new({ 1, 1, 2, 0 }, "i64"), codes = tensor.new({ 1, 2, 1 }, "i64"),
  weights = tensor.zeros(4):add_(1),
  left_out = { starts = tensor.new({ 0, 0, 1 }, "i64"), lengths = tensor.new({ 0, 1, 0 }, "i32"),
    values = tensor.new({ 2 }, "i32") }, smoothing = 0.1, hits = "kept", positive = "uncorrected" }
loss = loss + merged
tape:backward(loss)
assert(nn.exponential_rate(16, 1) > 0)
assert(tower:parameter("ids"):name() == "ids" and layers[1]:parameter("l.bias"):name() == "l.bias")
assert(#tower:parameters() == 8 and tower:width() == 2 and #tostring(tower) > 0)

for _, name in ipairs { "bpr", "warp" } do
  local on <close> = autograd.tape { train = true, seed = 1 }
  local pair = { users = on:parameter(ids:parameter "ids"), items = on:parameter(ids:parameter "ids"),
    user_codes = tensor.new({ 0, 1, 2 }, "i32"), positives = tensor.new({ 1, 2, 3 }, "i32") }
  local codes = tensor.new({ 4, 0, 1 }, "i32")
  if name == "bpr" then pair.negatives = codes else pair.pool, pair.margin = codes, 100 end
  on:backward(nn[name](pair))
end

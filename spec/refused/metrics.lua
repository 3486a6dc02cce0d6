-- metrics.lua - ranking, bootstrap, windows and sequences under refused memory.
local core = require "recsys.core"
local metrics, tensor = core.metrics, core.tensor

local function lists(starts, lengths, values)
  return { starts = tensor.new(starts, "i64"), lengths = tensor.new(lengths, "i32"),
    values = tensor.new(values, "i32") }
end
do
  local ranking <close> = metrics.ranking { items = 3, relevant = lists({ 0, 1 }, { 1, 2 }, { 2, 0, 1 }), k = { 1, 2 },
    excluded = lists({ 0, 0 }, { 1, 0 }, { 0 }), candidates = lists({ 0, 3 }, { 3, 3 }, { 0, 1, 2, 2, 1, 0 }),
    gains = tensor.new({ 1, 0.5, 1 }),
    item_time = tensor.new({ 5, 1, 3 }, "i64"), from = tensor.new({ 0, 0 }, "i64"), to = tensor.new({ 6, 6 }, "i64") }
  assert(#ranking:names() == 15 and ranking:candidates() == 3 and tostring(ranking):find "2 queries")
  assert(ranking:queries() == 2 and ranking:items() == 3)
  local ranked <close> = ranking:ranked()
  ranked:factors(tensor.new { { 1, 0 }, { 0, 1 } }, tensor.new { { 1, 3 }, { 2, 2 }, { 3, 1 } })
  ranked:factors(tensor.new({ 1, 0, 0, 1 }, "f32"):reshape(2, 1, 2), tensor.new { { 1, 3 }, { 2, 2 }, { 3, 1 } })
  ranked:rows(2, tensor.new { { 1, 2, 3 } })
  ranked:rows(2, tensor.new { { 1, 3, 2, 0 } }, tensor.new({ 0, 2, 1 }, "i32"))
  ranked:constant(tensor.new { 1, 2, 3 })
  local answer = ranked:finish()
  assert(answer.metrics:get(1, 1) == 1 and answer.candidates:get(1) == 2 and answer.coverage[1] > 0)
  local resamples = metrics.bootstrap(answer.metrics, tensor.new({ 7, 8 }, "i64"), { samples = 10, seed = 3 })
  assert(#metrics.intervals(resamples) == 15 and metrics.paired(resamples, 1, 2).ratio)
  assert(#metrics.means(answer.metrics, tensor.new({ 1 }, "i64")) == 15)
end
do
  local time = tensor.new({ 1, 2, 2 }, "i64")
  local window <close> = metrics.window { time = time, item = tensor.new({ 0, 1, 1 }, "i32"), items = 2,
    group = tensor.new({ 0, 1, 0 }, "i32"), groups = 2, length = 10 }
  local at, user = tensor.new({ 3, 2 }, "i64"), tensor.new({ 0, 1 }, "i64")
  assert(window:counts(at):get(1, 2) == 2 and window:counts(at, tensor.new({ 0, 1 }, "i32")):get(1, 2) == 1)
  local sequences <close> = metrics.sequences(tensor.new({ 0, 1, 1 }, "i64"), tensor.new({ 4, 5, 6 }, "i64"), 2)
  assert(#sequences:lists().values == 3 and sequences:before(time, user, at).lengths:get(2) == 0)
end

-- retrieval.lua - exact top-K and indexes under refused memory.
local core = require "recsys.core"
local tensor = core.tensor

local rows, scores = core.retrieval.topk {
  users = tensor.new { { 1, 0 }, { 0, 1 } }, items = tensor.new { { 1, 3 }, { 2, 2 }, { 3, 1 } }, k = 2,
  excluded = { starts = tensor.new({ 0, 0 }, "i64"), lengths = tensor.new({ 1, 0 }, "i32"),
    values = tensor.new({ 2 }, "i32") },
  item_time = tensor.new({ 1, 2, 3 }, "i64"), from = tensor.new({ 0, 0 }, "i64"), to = tensor.new({ 9, 2 }, "i64"),
}
assert(rows:get(1, 1) == 1 and rows:get(1, 2) == 0 and rows:get(2, 1) == 0 and rows:get(2, 2) == -1)
assert(scores:get(1, 1) == 2)

rows, scores = core.retrieval.topk { users = tensor.new({ 1, 0, 0, 1, 1, 1, -1, 0 }, "f32"):reshape(2, 2, 2),
  items = tensor.new { { 1, 3 }, { 2, 2 }, { 4, 1 } }, k = 2 }
assert(rows:get(1, 1) == 2 and rows:get(1, 2) == 0 and scores:get(1, 1) == 4 and scores:get(1, 2) == 3)

local items = tensor.zeros(600, 4)
for i = 1, 600 do items:set(i, i % 4 + 1, i / 600) end
local index = core.retrieval.exact(items)
assert(index:engine() == "exact" and index:items() == 600 and index:width() == 4)
local kept = core.retrieval.exact(items, index:codes())
index:close()
local stats
rows, scores, stats = kept:search { users = tensor.new { { 1, 0, 0, 0 }, { 0, 1, 0, 0 } }, k = 2,
  excluded = { starts = tensor.new({ 0, 0 }, "i64"), lengths = tensor.new({ 1, 0 }, "i32"),
    values = tensor.new({ 599 }, "i32") },
  allow = tensor.full(1, 600, "u8"), item_time = tensor.zeros(600, "i64"), from = tensor.new({ 0, 0 }, "i64"),
  to = tensor.new({ 1, 1 }, "i64") }
assert(kept:search { users = tensor.zeros(1, 4), k = 1, allow = core.retrieval.bitmap(tensor.full(1, 600, "u8")) })
assert(rows:get(1, 1) == 595 and rows:get(2, 1) == 596 and stats.looked == 1199 and scores:get(2, 2) < scores:get(2, 1))

local graph = core.retrieval.hnsw(items, { m = 4, ef_construction = 8, codes = true })
assert(graph:engine() == "hnsw" and graph:facts().m == 4 and not kept:save() and not kept:facts())
local again = assert(core.retrieval.load(graph:save(), items))
rows = again:search { users = tensor.new { { 1, 0, 0, 0 } }, k = 1, ef = 600 }
assert(rows:get(1, 1) == 599)

local columns = tensor.new({ 3, 0, 3, 1 }, "i32")
rows, scores = core.retrieval.topk { users = tensor.new { { 5, 7, 9, 6 } }, columns = columns, k = 3 }
assert(rows:get(1, 1) == 3 and rows:get(1, 2) == 0 and rows:get(1, 3) == 2 and scores:get(1, 3) == 6)
local picked = core.retrieval.columns(columns, 4)
assert(picked:engine() == "columns" and picked:width() == 4 and not picked:codes())
rows = picked:search { users = tensor.new { { 5, 7, 9, 6 } }, k = 9 }
assert(rows:get(1, 1) == 3 and rows:get(1, 4) == 1 and rows:get(1, 5) == -1)

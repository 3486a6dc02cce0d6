---@meta

--- recsys.retrieval: which items to show.

--- A catalogue to search, of one of several engines; docs/retrieval.md.
---@class Index
local Index = {}

--- The engine: "exact", "hnsw" or "columns".
---@return string
function Index:engine() end

--- How many items it holds.
---@return integer
function Index:items() end

--- How many dimensions their vectors have, or how many columns a user's row.
---@return integer
function Index:width() end

---@class IndexRequest
---@field users Tensor       f32 [n, d], or [n, vectors, d]: an item's score is then the best of its products
---@field k? integer         default 10; may exceed the number of items
---@field allow? Tensor      u8 [items]: only items whose number is not 0 may be found; or what retrieval.bitmap made
---  of such numbers
---@field excluded? Lists    a list of 0-based item rows a user, in any order, which may not be found
---@field item_time? Tensor  i64 [items]; with from and to: only items with from <= time < to may be found
---@field from? Tensor       i64 [n]
---@field to? Tensor         i64 [n]
---@field ef? integer        breadth of an approximate engine's search; 0, the default: its own

--- The k items with the largest dot products for each user, as the engine finds them. Equal scores are ordered by item
--- row. The threads share the users out; one user alone is searched by all threads where the catalogue is large. Raises
--- for a request that makes no sense, and, naming the item, when the score of one that may be found is not finite.
---@param request IndexRequest
---@return Tensor rows    i64 [n, k], 0-based item rows, best first; -1 where fewer were found
---@return Tensor scores  f32 [n, k]; minus infinity where fewer were found
---@return { looked: integer, scored: integer } stats  how many items were looked at, and how many products computed,
---  for all users together
function Index:search(request) end

--- The first look's codes of an exact index, 8 bits a number, to be kept and given to retrieval.exact later.
---@return { values: Tensor, scales: Tensor, bounds: Tensor }|nil codes  u8 [blocks, steps, 64, 4], f32 [blocks, 64] and
---  f32 [blocks, 2, 64]; nil where there are none
function Index:codes() end

--- An approximate index as tensors, to be kept and given to retrieval.load: views of its memory, no copies.
---@return table<string, Tensor>|nil tensors  nil for an exact index
function Index:save() end

--- What an approximate index is made of.
---@return { m: integer, ef_construction: integer, seed: integer, codes: boolean, direct: boolean, deleted: integer,
---  levels: integer, bytes: integer }|nil facts  bytes: of the index, without the items' vectors; nil for an exact one
function Index:facts() end

--- Free it at once.
function Index:close() end

---@class Retrieval
local retrieval = {}

---@class TopkRequest
---@field users Tensor       f32 [queries, d], or [queries, vectors, d]: an item's score is then the best of its
---  products with the user's vectors, as when their lists are merged
---@field items? Tensor      f32 [items, d]; or columns
---@field columns? Tensor    i32 [items], each in 0 .. d - 1: an item's score is what stands there in the user's row
---@field k? integer         default 10
---@field excluded? Lists    a list of 0-based item rows a query, in any order
---@field item_time? Tensor  i64 [items]; with from and to: only items with from <= time < to are candidates
---@field from? Tensor       i64 [queries]
---@field to? Tensor         i64 [queries]

--- The k items with the largest dot products for each query, exactly. Equal scores are ordered by item row. A query's
--- answer does not depend on the other queries nor on the number of threads. Raises for a request that makes no sense,
--- and, naming query and item, when a candidate's score is NaN or infinite.
---@param request TopkRequest
---@return Tensor rows    i64 [queries, k], 0-based item rows, best first; -1 where there are fewer candidates
---@return Tensor scores  f32 [queries, k]; minus infinity where there are fewer candidates
function retrieval.topk(request) end

--- An index whose answers are those of retrieval.topk to the bit.
---@param items Tensor  f32 [items, d]
---@param codes? table|boolean  codes that Index:codes gave for the same items; true: made now; false: none; nil: made
---  where they are worth it
---@return Index
function retrieval.exact(items, codes) end

--- An index over items without vectors: a user is a row of scores, and an item's stands in its column. Answers as
--- retrieval.topk with `columns`.
---@param columns Tensor  i32 [items], each in 0 .. width - 1, else raises
---@param width integer   of users' rows
---@return Index
function retrieval.columns(columns, width) end

--- A filter as a bitmap, 64 items a number, as a search reads it: to be made once for many searches.
---@param flags Tensor    u8 [items]: 0, or another number for items that may be found
---@return Tensor bitmap  i64 [(items + 63) // 64]
function retrieval.bitmap(flags) end

---@class HnswOptions
---@field m? integer                neighbours of an item, 2 to 128, twice as many on the lowest level; default 16
---@field ef_construction? integer  candidates for an item's neighbours, 1 to 4096; default 100
---@field seed? integer             default 1
---@field codes? boolean            compare items by bytes, a quarter of the memory traffic; default true
---@field direct? boolean           compare items with each other by plain products; default false (docs/retrieval.md)

--- Build an approximate index, on all threads. The same items and options give the same index with any number of them.
---@param items Tensor  f32 [items, d], finite, contiguous
---@param options? HnswOptions
---@return Index
function retrieval.hnsw(items, options) end

--- An approximate index over what Index:save gave and the items that it was built over, both used where they lie.
---@param tensors table<string, Tensor>
---@param items Tensor  f32 [items, d]
---@return Index?
---@return string? message
---@return string? code  "format": the tensors are no index of these items
function retrieval.load(tensors, items) end

return retrieval

---@meta

--- recsys.retrieval: which items to show.

---@class Retrieval
local retrieval = {}

---@class TopkRequest
---@field users Tensor       f32 [queries, d], or [queries, vectors, d]: an item's score is then the best of its
---  products with the user's vectors, as when their lists are merged
---@field items Tensor       f32 [items, d]
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

return retrieval

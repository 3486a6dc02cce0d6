--- The lists that a scorer gives for some queries: what metrics beyond accuracy look at.

local base = require "recsys.base"
local retrieval = require "recsys.retrieval"
local tensor = require "recsys.tensor"

local lists = {}

local BLOCK <const> = 512 -- queries of a scorer that is a function

local function narrow(part, first, n)
  if not part then return nil end
  if not part.starts then return part:narrow(1, first, n) end
  return { starts = part.starts:narrow(1, first, n), lengths = part.lengths:narrow(1, first, n), values = part.values }
end

--- The k best of queries first .. first + n - 1 by the products of 'users' [n, d] and 'items', or by what stands in
--- the items' 'columns'.
local function topk(queries, users, items, k, first, n, columns)
  local rows, scores = retrieval.topk { users = users, items = items, columns = columns, k = k,
    excluded = narrow(queries.excluded, first, n), item_time = queries.item_time,
    from = narrow(queries.from, first, n), to = narrow(queries.to, first, n) }
  scores:close()
  return rows
end

--- Of rows that a function makes block by block, in which each item's score stands in its column.
local function from_blocks(queries, rows_of, columns, k)
  local parts = {}
  for first = 1, queries.n, BLOCK do
    local n = math.min(BLOCK, queries.n - first + 1)
    local scores <close> = rows_of(first, n)
    parts[#parts + 1] = topk(queries, scores, nil, k, first, n, columns)
  end
  return tensor.concat(parts)
end

--- A scorer that orders the items of each query by chance: where a baseline's scores are all equal, so that its metrics
--- are what is expected over all orders, its lists are to be such an order rather than the catalogue's.
---@param queries Queries
---@param seed integer
---@return fun(first: integer, n: integer): Tensor  scores [n, items] of queries first .. first + n - 1
function lists.shuffled(queries, seed)
  local stream = base.stream(seed, "shuffle")
  return function(first, n)
    local numbers <close> = stream:uniforms(n * queries.items, (first - 1) * queries.items)
    return numbers:to "f32":reshape(n, queries.items)
  end
end

--- The k best candidates of each query, best first; equal scores in order of item rows.
---@param queries Queries  of which all items are candidates but for those excluded and, by their time, not shown
---@param scorer table|Tensor|function  of recsys.evaluate
---@param k integer
---@return Tensor rows  i64 [queries, k], 0-based, -1 where there are fewer
function lists.top(queries, scorer, k)
  if queries.candidates then
    error("lists of the best are asked among all items; these queries name their candidates", 2)
  end
  if type(scorer) == "function" then
    return from_blocks(queries, scorer, tensor.arange(queries.items):to "i32", k)
  end
  if tensor.is(scorer) then
    return topk(queries, tensor.full(1, queries.n, 1), scorer:reshape(#scorer, 1), k, 1, queries.n)
  end
  if scorer.columns then return from_blocks(queries, scorer.users, scorer.columns, k) end
  return topk(queries, scorer.users, scorer.items, k, 1, queries.n)
end

return lists

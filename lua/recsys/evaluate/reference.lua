--- Recommenders in closed form, whose published figures prove an evaluation: popularity, EASE and GF-CF. As they leave
--- nothing to chance, another implementation must reach the same figures to the last digit printed.
---
--- Each takes queries (of recsys.evaluate.protocol) and learns from the interactions that they know; it gives a scorer.

local ease = require "recsys.ease"
local metrics = require "recsys.metrics"
local tensor = require "recsys.tensor"

local reference = {}

--- Who knows what, users x items, each pair once.
---@return Csr f32
local function known_matrix(queries)
  local data = queries.protocol.data
  local pairs_of = data.interactions:filter(queries.known):distinct { "user", "item" }
  local users, items = pairs_of:lookup(data.users, "user"), pairs_of:lookup(data.items, "item")
  local sequences <close> = metrics.sequences(users, items, data.users:rows())
  local lists = sequences:lists()
  local n = tensor.full(#lists.values, 1, "i64")
  return tensor.csr(tensor.concat { lists.starts, n }, lists.values, tensor.full(1, #lists.values), queries.items)
end

--- The matrix with its values times one factor a row and one a column (f32; nil: 1).
local function scaled(m, by_row, by_column)
  local parts, _, width = m:tensors(), m:size()
  local values = parts.values:clone()
  if by_row then
    local lengths = parts.starts:narrow(1, 2, #by_row) - parts.starts:narrow(1, 1, #by_row)
    local row_of = tensor.zeros(#values + 1, "i64")
    row_of:index_add_(parts.starts:narrow(1, 2, #by_row), tensor.full(1, #lengths, "i64"))
    values:mul_(by_row:index_select(row_of:cumsum():narrow(1, 1, #values)))
  end
  if by_column then values:mul_(by_column:index_select(parts.columns)) end
  return tensor.csr(parts.starts, parts.columns, values, width)
end

--- Some rows (i64, from 0) of a matrix.
local function rows_of(m, rows)
  local parts, _, width = m:tensors(), m:size()
  local lengths = (parts.starts:index_select(rows + 1) - parts.starts:index_select(rows))
  local starts = tensor.concat { tensor.zeros(1, "i64"), lengths:cumsum() }
  local n = starts:get(#starts)
  local steps = tensor.zeros(n + 1, "i64")
  steps:index_add_(starts:narrow(1, 2, #rows), tensor.full(1, #rows, "i64"))
  local list = steps:cumsum():narrow(1, 1, n)
  local at = tensor.arange(n) + (parts.starts:index_select(rows) - starts:narrow(1, 1, #rows)):index_select(list)
  return tensor.csr(starts, parts.columns:index_select(at), parts.values:index_select(at), width)
end

--- A scorer from score(rows): the scores [n, items] of users that are rows of data.users.
local function scorer_of(queries, score)
  return function(first, n) return score(queries.user_rows:narrow(1, first, n)) end
end

--- Training interactions an item.
---@param queries Queries
---@return Tensor f32 [items]
function reference.popularity(queries)
  local protocol = queries.protocol
  return protocol.item_rows:index_select(protocol.split.train):bincount(queries.items):to "f32"
end

--- EASE (recsys.ease): a linear map of what a user knows, of which the inverse is computed in f64. It holds matrices of
--- items x items, and is refused where they do not fit into memory.
---@param queries Queries
---@param options { l2: number, precision?: "f32"|"f64" }  precision: default "f64"
---@return function scorer
function reference.ease(queries, options)
  local known = known_matrix(queries)
  local map = ease.map(known, { l2 = options.l2, precision = options.precision or "f64" })
  return scorer_of(queries, function(rows) return rows_of(known, rows):matmul(map) end)
end

--- 1 / sqrt of the sums; 0 for those without any.
local function root_of(sums)
  return tensor.where(sums:gt(0), sums:clamp(1, math.huge):sqrt(), math.huge)
end

--- GF-CF: a graph filter, S = R N'N + share R Di^-1/2 V V' Di^1/2, where N = Du^-1/2 R Di^-1/2 and V are its `rank`
--- right singular vectors of largest value. Shen et al. 2021, doi:10.1145/3459637.3482264. Scores come in blocks of
--- users, so that no matrix of items x items is ever held.
---@param queries Queries
---@param options? { share: number?, rank: integer?, iterations: integer? }  default 0.3, 256; iterations of the
---  singular vectors' subspace, default 12
---@return function scorer
function reference.gf_cf(queries, options)
  options = options or {}
  local known = known_matrix(queries)
  local ones = { users = tensor.full(1, (known:size()), 1), items = tensor.full(1, queries.items, 1) }
  local user_root = root_of(known:matmul(ones.items):reshape(-1))
  local item_root = root_of(known:matmul_transposed(ones.users):reshape(-1))
  local normal = scaled(known, 1 / user_root, 1 / item_root)
  local rank = math.min(options.rank or 256, (known:size()), queries.items)
  local _, vectors = normal:svd(rank, { iterations = options.iterations or 12, oversampling = rank })
  local low = known:matmul(vectors / item_root:reshape(-1, 1)) * (options.share or 0.3)
  local back = tensor.where(item_root:lt(math.huge), item_root, 0):reshape(-1, 1) * vectors
  local turned = normal:transpose()
  return scorer_of(queries, function(rows)
    local asked <close> = rows_of(known, rows):dense()
    local met <close> = turned:matmul_left(asked)
    local filtered <close> = normal:matmul_left(met)
    return low:index_select(rows):matmul(back, false, true):add_(filtered)
  end)
end

return reference

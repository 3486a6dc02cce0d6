--- EASE: the linear map of what a user knows, item to item, that restores it best with a penalty and without a
--- diagonal. B = I - P diag(1 / P), P = (X'X + l2 I)^-1. Steck 2019, doi:10.1145/3308558.3313710.
---
--- All of it happens in one matrix of items x items: X'X, its inverse and B take each other's place, n^3 operations for
--- n items. 41,000 of them take 6.7 GB in f32.

local exit = require "recsys.exit"
local files = require "recsys.files"
local retrieval = require "recsys.retrieval"
local tensor = require "recsys.tensor"
local text = require "recsys.text"
local uv = require "luv"

local ease = {}

local BLOCK <const> = 512 -- items whose part of X'X is made at once
local NUMBERS <const> = { f32 = 4, f64 = 8 }

--- Bytes that a map takes while it is made.
---@param items integer
---@param precision? "f32"|"f64"  default "f32"
---@return integer
function ease.bytes(items, precision)
  local exact = precision == "f64"
  return items * items * (exact and 8 + 4 + 4 or 4) + items * 4 * BLOCK * NUMBERS[precision or "f32"]
end

local function free_memory()
  local available = tonumber((files.read "/proc/meminfo" or ""):match "MemAvailable: +(%d+)")
  return available and available * 1024 or uv.get_free_memory()
end

--- Refuse what would not fit into the memory that is free, saying how much that is and what to do.
---@param items integer
---@param options { precision?: "f32"|"f64", free?: integer }  free: bytes; default: what the system tells
function ease.check(items, options)
  local precision = options.precision or "f32"
  if not NUMBERS[precision] then
    exit.usage_error("EASE has no precision '%s'; there are f32 and f64", tostring(precision))
  end
  local needed, free = ease.bytes(items, precision), options.free or free_memory()
  if needed <= free then return end
  exit.usage_error("EASE holds a matrix of items x items: %s items take %.1f GB in %s, and %.1f GB of memory are free. "
    .. "%sLeave rare items out, or take a model without such a matrix, such as ials", text.count(items), needed / 1e9,
    precision, free / 1e9, precision == "f64" and "f32 takes a quarter. " or "")
end

--- Rows first + 1 .. first + n of a matrix, as one of their own.
local function some_rows(parts, width, first, n)
  local from, to = parts.starts:get(first + 1), parts.starts:get(first + n + 1)
  local function part(t) return to > from and t:narrow(1, from + 1, to - from) or tensor.zeros(0, t:dtype()) end
  return tensor.csr(parts.starts:narrow(1, first + 1, n + 1) - from, part(parts.columns), part(parts.values), width)
end

--- X'X into [items, items]: of some items at a time those users' rows summed, so that nothing is made of users x items.
local function gram_into(gram, matrix)
  local users, items = matrix:size()
  local turned = matrix:transpose()
  local parts = turned:tensors()
  for first = 0, items - 1, BLOCK do
    local n = math.min(BLOCK, items - first)
    local who <close> = some_rows(parts, users, first, n):dense()
    local sums <close> = matrix:matmul_left(who)
    gram:narrow(1, first + 1, n):copy_(sums)
  end
end

--- The map of a matrix of what users know.
---@param matrix Csr  f32 [users, items], 1 for what a user knows (towers.known)
---@param options { l2: number, precision?: "f32"|"f64", free?: integer }  l2: above 0; precision: of the inverse,
---   default "f32"
---@param into? Tensor  f32 [items, items], contiguous, that the map is written to; default a new one
---@return Tensor map  f32 [items, items]: a user's scores are the sum of the rows of what he knows; raises
---   { code = "usage" } where it does not fit into memory, or l2 is not above 0
function ease.map(matrix, options, into)
  local _, items = matrix:size()
  if type(options.l2) ~= "number" or not (options.l2 > 0 and options.l2 < math.huge) then
    exit.usage_error("EASE wants an l2 above 0, not %s", tostring(options.l2))
  end
  ease.check(items, options)
  local exact = options.precision == "f64"
  local work = exact and tensor.zeros(items, items, "f64") or into or tensor.zeros(items, items)
  gram_into(work, exact and matrix:to "f64" or matrix)
  local flat, diagonal = work:reshape(-1), tensor.arange(items) * (items + 1)
  flat:index_add_(diagonal, tensor.full(options.l2, items, work:dtype()))
  work:inverse_definite_()
  work:div_(-flat:index_select(diagonal):reshape(1, -1))
  flat:index_copy_(diagonal, tensor.zeros(items, work:dtype()))
  if not exact then return work end
  local map = work:to "f32"
  work:close()
  return into and into:copy_(map) or map
end

--- Of each column of a map the `keep` values of largest size.
---@param map Tensor    f32 [items, items]
---@param keep integer  1 or more
---@return Csr  f32 [items, items]
function ease.largest(map, keep)
  local items = map:size(1)
  keep = math.min(keep, items)
  local columns, all = tensor.arange(items):to "i32", { rows = {}, values = {} }
  for first = 1, items, BLOCK do
    local n = math.min(BLOCK, items - first + 1)
    local turned <close> = map:narrow(2, first, n):transpose():contiguous()
    local sizes <close> = turned:abs()
    local rows = retrieval.topk { users = sizes, columns = columns, k = keep }
    all.rows[#all.rows + 1], all.values[#all.values + 1] = rows, turned:gather(rows)
  end
  local flat = tensor.concat(all.rows):reshape(-1):to "i32"
  return tensor.csr(tensor.arange(items + 1) * keep, flat, tensor.concat(all.values):reshape(-1), items):transpose()
end

return ease

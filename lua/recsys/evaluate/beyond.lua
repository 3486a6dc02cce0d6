--- What lists are like beside being right: novelty, diversity, popularity, concentration. docs/evaluation.md, "Beyond
--- accuracy", has the formulas.
---
--- Lists are i64 [queries, k] of 0-based item rows, best first, -1 where a list is shorter, as retrieval.topk gives
--- them. Counts are of training events: i64 or f64 [items].

local tensor = require "recsys.tensor"

local beyond = {}

--- The entries of all lists that are items: i64.
local function entries(lists)
  local all = lists:reshape(lists:count())
  return all:index_select(all:ge(0):nonzero()):to "i64"
end

--- Mean of what a vector f64 [items] says of each entry; nan without any.
local function mean_over(lists, values)
  local at = entries(lists)
  if #at == 0 then return 0 / 0 end
  return values:to("f64"):index_select(at):mean()
end

--- Novelty: mean self-information, -log2 of the chance that a user drawn at random has met the item, over all entries.
--- Zhou et al. 2010, doi:10.1073/pnas.1000488107. An item that nobody has met counts as one that one user has.
---@param lists Tensor
---@param counts Tensor    users that have met each item
---@param users integer    how many users there are
---@return number bits
function beyond.novelty(lists, counts, users)
  local met = counts:to("f64"):clamp(1, math.huge)
  return mean_over(lists, (met / users):log() * (-1 / math.log(2)))
end

--- Popularity: the mean number of training events of an entry (ARP). Yin et al. 2012, doi:10.14778/2311906.2311916.
---@return number events
function beyond.popularity(lists, counts) return mean_over(lists, counts) end

--- Of how many of the entries the item is in the tail: not among the most popular ones that together have 'head' of
--- all training events. Abdollahpouri et al. 2019, arXiv:1901.07555 (there APLT, with a head of 80 %).
---@param head? number  default 0.8
---@return number share
function beyond.tail_share(lists, counts, head) return mean_over(lists, 1 - beyond.head(counts, head)) end

--- The head of a catalogue: 1 for the most popular items that together have a share of the training events, the one
--- that reaches it included, else 0. Items of equal counts are ordered by row.
---@param counts Tensor
---@param share? number  default 0.8
---@return Tensor f64 [items]
function beyond.head(counts, share)
  local order = counts:argsort(true)
  local sums = counts:to("f64"):index_select(order):cumsum()
  local total, head = counts:sum(), tensor.zeros(#counts, "f64")
  local before = sums - counts:to("f64"):index_select(order) -- what stands before an item
  local within = before:lt((share or 0.8) * total):nonzero()
  return head:index_copy_(order:index_select(within), tensor.full(1, #within, "f64"))
end

--- Concentration: the Gini coefficient of how often each item is shown, 0 when all are equally often, towards 1 when
--- one is alone. Gini 1912; of recommendations Fleder & Hosanagar 2009, doi:10.1287/mnsc.1080.0974.
---@param lists Tensor
---@param items Tensor|integer  0-based rows of the items that could be shown, or how many items there are
---@return number
function beyond.gini(lists, items)
  local n = tensor.is(items) and items:max() + 1 or items
  local shown = entries(lists):bincount(n)
  if tensor.is(items) then shown = shown:index_select(items) end
  local sorted, total, m = shown:to("f64"):sort(), shown:sum(), #shown
  if total == 0 then return 0 / 0 end
  local weights = tensor.arange(1, m + 1, "i64"):to "f64" * 2 - (m + 1)
  return (weights * sorted):sum() / (m * total)
end

--- Rows scaled to length 1; those without any direction stay 0.
local function unit(vectors)
  local length = (vectors * vectors):sum(2):sqrt()
  return vectors / tensor.where(length:gt(0), length, tensor.full(1, #length, "f32")):reshape(#length, 1)
end

--- Diversity within a list: the mean of 1 - cosine over all pairs of its items, averaged over the lists of two and
--- more. Ziegler et al. 2005, doi:10.1145/1060745.1060754; Smyth & McClave 2001, doi:10.1007/3-540-44593-5_25. The
--- vectors should not be the model's own: recsys.compare takes what the items' fields say.
---@param lists Tensor
---@param vectors Tensor  f32 [items, d], what an item is; a row of zeros is unlike all
---@return number  0 .. 2; nan without such lists
function beyond.diversity(lists, vectors)
  local unit_vectors, k = unit(vectors), lists:size(2)
  local held = lists:ge(0):to "f32"
  local n = held:sum(2):to "f64"
  local sum, square = tensor.zeros(#lists, vectors:size(2)), tensor.zeros(#lists)
  for place = 1, k do -- sum over pairs = (|sum of vectors|^2 - sum of |vector|^2) / 2
    local is = held:select(2, place)
    local at = tensor.where(lists:select(2, place):ge(0), lists:select(2, place), tensor.zeros(#lists, "i64"))
    local own = unit_vectors:index_select(at) * is:reshape(#lists, 1)
    sum:add_(own)
    square:add_((own * own):sum(2))
  end
  local pairs_of = n * (n - 1) / 2
  local cosines = ((sum * sum):sum(2) - square):to "f64" / 2
  local counted = pairs_of:gt(0):nonzero()
  if #counted == 0 then return 0 / 0 end
  local ratios = cosines:index_select(counted) / pairs_of:index_select(counted)
  return 1 - ratios:mean()
end

--- What stands in the lists at all, over what could: catalogue coverage of the lists as they are shown. Ge et al.
--- 2010, doi:10.1145/1864708.1864761.
---@param lists Tensor
---@param items integer  how many items could be shown
---@return number share
function beyond.coverage(lists, items)
  return #(entries(lists):unique()) / items
end

return beyond

--- Batches of users with all their training rows at once, for losses that take several positives a user: equal users
--- are computed once. A user's place in a batch is that of its last row, by which its inputs are encoded.

local tensor = require "recsys.tensor"

local by_user = {}

--- The rows of a prepared source by user, those of a user in their order.
---@param source { user_rows: Tensor }  i64: the user of each row
---@return { n: integer, order: Tensor, starts: Tensor, lengths: Tensor }
function by_user.groups(source)
  local order = source.user_rows:argsort()
  local _, lengths = source.user_rows:unique()
  return { n = #lengths, order = order, lengths = lengths, starts = lengths:cumsum() - lengths }
end

--- Some of the groups.
---@param picked Tensor  i64, 0-based
---@return Tensor last    i64: the last row of each, a position of the source
---@return Tensor starts  i64 [n + 1]: where each one's rows begin in 'rows'
---@return Tensor rows    i64: the rows of all
function by_user.pick(groups, picked)
  local lengths, from = groups.lengths:index_select(picked), groups.starts:index_select(picked)
  local ends = lengths:cumsum()
  local begins = ends - lengths
  local total = ends:get(#ends)
  local place = tensor.arange(0, total, "i64")
  local of = ends:search_sorted(place, true)
  local rows = groups.order:index_select(place + (from - begins):index_select(of))
  return rows:index_select(ends - 1), tensor.concat { tensor.zeros(1, "i64"), ends }, rows
end

return by_user

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

--- Sequences to learn each next row from: of a user with the rows r_1 .. r_m, oldest first, the inputs r_1 .. r_(m-1)
--- and the targets r_2 .. r_m, newest first as histories are. Longer ones are cut into sequences of 'length', from the
--- newest on: all rows are learned from. Users of one row have none.
---@param starts Tensor   i64 [n + 1]: where each user's rows begin
---@param length integer
---@return Tensor offsets i64 [sequences + 1]: where each sequence's pairs begin
---@return Tensor targets i64 [pairs]: positions of the rows that are to be predicted; what each is predicted from are
---   the rows in front of it, the newest of which is at its position - 1
function by_user.pairs(starts, length)
  local n = #starts - 1
  local begins, ends = starts:narrow(1, 1, n), starts:narrow(1, 2, n)
  local bounds = tensor.concat { tensor.zeros(1, "i64"), (ends - begins - 1):clamp(0, math.maxinteger):cumsum() }
  local place = tensor.arange(0, bounds:get(n + 1), "i64")
  local of = bounds:narrow(1, 2, n):search_sorted(place, true)
  local back = place - bounds:index_select(of)
  local first = (back % length):eq(0):nonzero()
  return tensor.concat { first, bounds:narrow(1, n + 1, 1) }, ends:index_select(of) - 1 - back
end

return by_user

--- Which training rows an epoch takes, and how often each item is met among them.
---
--- `train.user_cap` bounds what one busy user says: of each user at most so many rows an epoch, drawn anew each time,
--- so that all are met in the end. `train.log_q_window` is for catalogues that move: an item's share is then counted
--- over the last of the training time alone.

local base = require("recsys.core").base
local tensor = require "recsys.tensor"
local text = require "recsys.text"

local rows = {}

--- How many rows each row's user has.
local function user_counts(user_rows)
  return user_rows:bincount(#user_rows > 0 and user_rows:max() + 1 or 0):index_select(user_rows)
end

--- How many rows an epoch takes, or users, where batches count these (source.groups; a cap is then refused).
---@param source { n: integer, user_rows: Tensor, units?: integer, groups?: table }
---@param settings { user_cap?: integer, rows_per_epoch?: integer }
---@return integer
function rows.per_epoch(source, settings)
  local n = source.units or source.n
  if settings.user_cap and source.groups then
    error({ code = "usage", message = "train.user_cap is for train.by = \"row\": by user each is met once anyway" }, 0)
  elseif settings.user_cap then
    n = source.user_rows:bincount(n > 0 and source.user_rows:max() + 1 or 0):clamp(0, settings.user_cap):sum()
  end
  return math.min(n, settings.rows_per_epoch or n)
end

--- Of positions in random order those that are among the first 'cap' of their user, in their order.
local function capped(order, user_rows, cap)
  local users = user_rows:index_select(order)
  local by_user = users:argsort() -- stable: of each user in the order drawn
  local sorted = users:index_select(by_user)
  local place = tensor.arange(#sorted) - sorted:search_sorted(sorted)
  return order:index_select(by_user:index_select(place:lt(cap):nonzero()):sort())
end

--- The positions that epoch 'epoch' takes, in order: a function of the seed and the epoch.
---@param source { n: integer, user_rows: Tensor, units?: integer, groups?: table }
---@param settings { seed: integer, user_cap?: integer, rows_per_epoch?: integer }
---@param epoch integer
---@return Tensor i64
function rows.order(source, settings, epoch)
  local order = base.stream(settings.seed, "shuffle", epoch, 0):permutation(source.units or source.n)
  if settings.user_cap then order = capped(order, source.user_rows, settings.user_cap) end
  return order
end

--- The rows [i64 positions] of the trailing window that ends with the last of the times.
local function trailing(times, window)
  return times:ge(times:max() - text.milliseconds(window)):nonzero()
end

--- log of each catalogue item's share of the rows that batches are drawn from: the probability of meeting it as an
--- in-batch negative. Under a cap a row of a user with more rows counts as the chance that an epoch takes it. An item
--- that does not occur counts as half an event, so that its logarithm exists.
---@param of { item_rows: Tensor, user_rows: Tensor, times: Tensor }
---@param n_items integer
---@param settings { user_cap?: integer, log_q_window?: string }
---@return Tensor f32 [n_items]
function rows.log_shares(of, n_items, settings)
  local items, weights = of.item_rows, nil
  if settings.user_cap and #items > 0 then
    weights = (settings.user_cap / user_counts(of.user_rows):to "f64"):clamp(0, 1)
  end
  if settings.log_q_window and #items > 0 then
    local recent = trailing(of.times, settings.log_q_window)
    items, weights = items:index_select(recent), weights and weights:index_select(recent)
  end
  local counts = items:bincount(n_items, weights):to "f32"
  local total = weights and weights:sum() or #items
  return (counts:clamp(weights and 1e-3 or 0.5, math.huge) / total):log() -- of weights: a thousandth of an event
end

return rows

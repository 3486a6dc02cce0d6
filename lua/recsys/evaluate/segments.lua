--- Parts of the queries that are worth a look of their own: who is new, what is new, who is active.

local beyond = require "recsys.evaluate.beyond"
local tensor = require "recsys.tensor"

local segments = {}

--- The value that a share 'p' of the ascending vector does not exceed.
local function quantile(sorted, p)
  return sorted:get(math.max(1, math.ceil(p * #sorted)))
end

--- Queries by how many training events their users have: quarters of the users who have any.
local function by_activity(list, counts, user_rows)
  local users = user_rows:unique()
  local active = counts:index_select(users)
  active = active:index_select(active:gt(0):nonzero()):sort()
  if #active == 0 then return end
  local mine, low = counts:index_select(user_rows), 0
  for quarter = 1, 4 do
    local high = quarter < 4 and quantile(active, quarter / 4) or math.maxinteger
    local name = ("activity_q%d"):format(quarter)
    list[#list + 1] = { name, mine:gt(low):mul(mine:le(high)):nonzero() }
    low = high
  end
end

--- { { name, queries }, ... }: 0-based numbers of the queries in each segment; empty ones are left out.
---   new_users, known_users   without and with events in training
---   new_items, known_items   the relevant item has none or some (where a query has one relevant item)
---   activity_q1 .. q4        quarters of the known users by their number of training events; equal users stay together
---@param queries Queries
---@return { [1]: string, [2]: Tensor }[]
function segments.of(queries)
  local p, list = queries.protocol, {}
  local train_users = p.user_rows:index_select(p.split.train):bincount(p.data.users:rows())
  local mine = train_users:index_select(queries.user_rows)
  list[1] = { "new_users", mine:eq(0):nonzero() }
  list[2] = { "known_users", mine:gt(0):nonzero() }
  if queries.item_rows then
    local train_items = p.item_rows:index_select(p.split.train):bincount(queries.items)
    local its = train_items:index_select(queries.item_rows)
    list[3] = { "new_items", its:eq(0):nonzero() }
    list[4] = { "known_items", its:gt(0):nonzero() }
  end
  by_activity(list, train_users, queries.user_rows)
  local kept = {}
  for _, segment in ipairs(list) do
    if #segment[2] > 0 then kept[#kept + 1] = segment end
  end
  return kept
end

--- The queries by how popular the relevant item is in training, where each query has one: `head_items`, the most
--- popular ones that together have 80 % of the training events (recsys.evaluate.beyond.head), and `tail_items`, all
--- others that training has met.
---@param queries Queries
---@param counts Tensor  training events by item
---@return { [1]: string, [2]: Tensor }[]
function segments.by_popularity(queries, counts)
  if not queries.item_rows then return {} end
  local head = beyond.head(counts):index_select(queries.item_rows)
  local met = counts:index_select(queries.item_rows):gt(0)
  local kept = {}
  for i, flags in ipairs { head:gt(0):mul(met), head:eq(0):mul(met) } do
    local rows = flags:nonzero()
    if #rows > 0 then kept[#kept + 1] = { i == 1 and "head_items" or "tail_items", rows } end
  end
  return kept
end

--- How many distinct values a vector has.
function segments.distinct(values)
  return #(values:unique())
end

segments.all = function(n) return tensor.arange(n) end

return segments

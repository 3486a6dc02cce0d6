--- What a loss may ask of its batch beyond the fields of docs/models.md, computed when it is asked for: further columns
--- of the interactions, what the batch's users are known to like, and the hardest negatives of every user. Methods of
--- the step (recsys.train.step).

local feature = require "recsys.feature"
local metrics = require "recsys.metrics"
local model = require "recsys.model"
local retrieval = require "recsys.retrieval"
local tensor = require "recsys.tensor"

local asked = {}

--- The batch's part of a number or time column of the interactions: a dwell time, a position, a weight.
---@param name string
---@return Tensor f64 [n], i64 for times
function asked:column(name)
  local interactions = self.source.data.interactions
  if not interactions:has(name) then
    error(("the interactions have no column '%s' for the loss"):format(name), 2)
  end
  return (interactions:column(name)):index_select(self.source.rows:index_select(self.at))
end

--- A list column of item ids as catalogue rows: i64 values of all interactions, -1 for ids that the catalogue lacks,
--- and where each one's begin and how many it has.
local function listed(data, name)
  local interactions = data.interactions
  if not interactions:has(name) or interactions:type(name) ~= "list" then
    error(("the interactions have no list column '%s' for the loss; they have %s"):format(name,
      table.concat(interactions:names(), ", ")), 0)
  end
  local codes, starts, lengths = interactions:column(name)
  local index, rows = feature.index(data.items, "item"), { -1 }
  for code, id in ipairs(interactions:strings(name)) do rows[code + 1] = index:code(id) - 1 end
  return { values = tensor.new(rows, "i64"):index_select(codes:to "i64"), starts = starts, lengths = lengths:to "i64" }
end

--- What a list column of the interactions says of each event: the items that were shown beside the one taken, say.
---@param name string
---@param most integer  the first so many of each list
---@return Tensor i64 [n, most]  catalogue rows; -1 behind a list's end and for items that the catalogue lacks
function asked:listed(name, most)
  local kept = self.shared.listed or {}
  self.shared.listed = kept
  kept[name] = kept[name] or listed(self.source.data, name)
  local all, at = kept[name], self.source.rows:index_select(self.at)
  local n, place = #at, tensor.arange(0, most, "i64"):reshape(1, -1)
  local nothing = tensor.full(-1, n, most, "i64")
  if #all.values == 0 then return nothing end
  local from = (all.starts:index_select(at):reshape(-1, 1) + place):clamp(0, #all.values - 1)
  return tensor.where(all.lengths:index_select(at):reshape(-1, 1):gt(place),
    all.values:index_select(from:reshape(-1)):reshape(n, most), nothing)
end

--- Which pairs of user and item training has: i64, user row * number of items + item row, ascending.
function asked:taken()
  local shared, train = self.shared, self.shared.train
  shared.taken = shared.taken or (train.user_rows * train.data.items:rows() + train.item_rows):sort()
  return shared.taken
end

--- The catalogue rows of all training events, user by user.
local function training_lists(shared)
  if not shared.lists then
    local train = shared.train
    local sequences <close> = metrics.sequences(train.user_rows, train.item_rows, train.data.users:rows())
    shared.lists = sequences:lists()
  end
  return shared.lists
end

--- What users are known to like, by all training events of theirs: items that are no negatives.
---@param users? table  what step:sides gave; default those of all events
---@return { starts: Tensor, lengths: Tensor, values: Tensor }  i64 [r], i32 [r], and i32 catalogue rows: `left_out` of
---   nn.in_batch_softmax
function asked:seen(users)
  local lists, rows = training_lists(self.shared), users and users.rows or self.user_rows
  return { starts = lists.starts:index_select(rows), lengths = lists.lengths:index_select(rows),
    values = lists.values }
end

-- Hard negatives ----------------------------------------------------------------------------------------------------

local CHUNK = 4096 -- users that are searched at a time

--- User vectors at positions of the training source, by the plans over the weights of this moment.
local function vectors_at(train, trained, at)
  local batch = model.merge(train.events:gather(at), train.users:gather(train.user_rows:index_select(at)))
  return trained.plans.user:run(trained.weights, batch).user
end

--- The k best of the items that training events name, minus those of the users' own training events.
local function search(self, users, vectors, items, k)
  local lists, n, n_items = training_lists(self.shared), #users, items:size(1)
  local untrained = tensor.full(1, n_items, "i64"):index_copy_(self.pool, tensor.zeros(#self.pool, "i64"))
  return (retrieval.topk { users = vectors, items = items, k = k,
    item_time = untrained, from = tensor.zeros(n, "i64"), to = tensor.full(1, n, "i64"),
    excluded = { starts = lists.starts:index_select(users), lengths = lists.lengths:index_select(users),
      values = lists.values } })
end

--- For each user the k items that the model of this moment scores highest at his last training event, of those that
--- training events name and he has none of: the index searched for what is still to be told apart.
---@param k integer
---@return Tensor i64 [users, k]  catalogue rows, best first; -1 where there are fewer, and for users without events
function asked:mine(k)
  local train, trained, lists = self.shared.train, self.shared.trained, training_lists(self.shared)
  local mined = tensor.full(-1, train.data.users:rows(), k, "i64")
  local active = lists.lengths:gt(0):nonzero()
  local last = lists.rows:index_select((lists.starts + lists.lengths):index_select(active) - 1)
  local items = trained:item_vectors(train.items)
  for first = 1, #active, CHUNK do
    local n = math.min(CHUNK, #active - first + 1)
    local users = active:narrow(1, first, n)
    mined:index_copy_(users, search(self, users, vectors_at(train, trained, last:narrow(1, first, n)), items, k))
  end
  return mined
end

return asked

--- What model:loss reads of a batch, and the batch's distinct users and items, so that equal ones are computed once.
---
--- Rows merge where all inputs of their tower are equal: items by their catalogue row unless they count events (each is
--- then as of its own moment); users by their row unless something is of the moment: an input of the side event, or a
--- window in which items are shown. Inputs are gathered when they are first asked for: a model that asks for the
--- distinct ones never gathers the others.

local asked = require "recsys.train.asked"
local by_user = require "recsys.train.by_user"
local model = require "recsys.model"
local tensor = require "recsys.tensor"

local Step = {}
for name, method in pairs(asked) do Step[name] = method end

local lazy = {}

function lazy.user_rows(step)
  return step.source.user_rows:index_select(step.at)
end

--- Which events show what users take of items shown by chance, where the data tell since when: u8 [n].
function lazy.explored(step)
  local from = step.source.data and step.source.data.origin.explored_from
  return from and step.times:ge(from)
end

function lazy.batch(step)
  local source, at = step.source, step.at
  return model.merge(source.events:gather(at), source.users:gather(source.user_rows:index_select(at)))
end

Step.__index = function(step, name)
  if Step[name] then return Step[name] end
  local make = lazy[name]
  if not make then return nil end
  step[name] = make(step)
  return step[name]
end

local function users_of(step, merge)
  local source = step.source
  if not merge or not source.static_users or step.from then
    return { batch = step.batch, now = step.from and step.times }
  end
  local rows, of = source.user_rows:index_select(step.at):distinct()
  return { batch = source.users:gather(rows), rows = rows, of = of }
end

--- Add the catalogue rows of 'count' items drawn from the pool, each with the same chance. Where items count events a
--- row is as of the moment of its event, so there as many are drawn for each.
local function draw(step, items, count)
  local n = #step.item_rows
  if step.source.over_time then count = (count + n - 1) // n * n end
  local drawn = step.pool:index_select(step.stream:integers(count, #step.pool))
  items.of = items.of or tensor.arange(0, n, "i64")
  items.rows = tensor.concat { items.rows, drawn }
  return count / #step.pool
end

local function items_of(step, merge, count)
  local source, life, items, drawn = step.source, step.life, {}, 0
  if merge and not source.over_time then
    items.rows, items.of = step.item_rows:distinct()
  else
    items.rows = step.item_rows
  end
  if count > 0 then drawn = draw(step, items, count) end
  items.batch = step.items:gather(items.rows)
  items.log_q = source.log_q:index_select(items.rows)
  if drawn > 0 then items.log_q = (items.log_q:exp() * #step.item_rows + drawn):log() end
  if life then items.from, items.to = life.from:index_select(items.rows), life.to:index_select(items.rows) end
  return items
end

--- The batch's users and items for nn.in_batch_softmax.
---@param merge? boolean   default true; false: a row for every event, as dropout wants that drops of each event anew
---@param drawn? integer   default 0: further items, drawn from the pool, as negatives of all (mixed negative sampling).
---   log_q is then the logarithm of how often an item is met in a batch either way (of what all share no loss knows).
---   Where items count events it is rounded up to a multiple of n
---@return { batch: table, rows: Tensor?, of: Tensor?, now: Tensor? } users
---   inputs of the sides user and event; of: the row of each event (nil: row t), rows: the
---   users' rows where there is an `of`; now: times, where items age
---@return { batch: table, rows: Tensor, of: Tensor?, log_q: Tensor, from: Tensor?, to: Tensor? } items
---   inputs of the side item; rows: their catalogue rows, of: the item of each event (nil: item t)
function Step:sides(merge, drawn)
  return users_of(self, merge ~= false), items_of(self, merge ~= false, drawn or 0)
end

--- The weights of some rows, 1 on average, and their sum before that.
local function weights_of(source, rows)
  if not source.weights then return nil end
  local weights = source.weights:index_select(rows)
  local total = weights:sum()
  return weights:mul_(#weights / total), total
end

local step_of = {}

--- The step of some rows of the source, as with batches of rows.
local function of_rows(step, rows)
  local source = setmetatable({ groups = false }, { __index = step.source })
  local made = step_of.new(source, rows, step.shared)
  made.epoch, made.stream = step.epoch, step.stream
  return made
end

--- The users' training rows as sequences, newest first, each row to be predicted from those in front of it: what a
--- causal model learns from in one go. With train.by = "user" alone.
---@param length integer  of a sequence; longer ones are cut into several
---@return { offsets: Tensor, inputs: Tensor, step: Step }
---   offsets i64 [sequences + 1]; inputs: catalogue rows i64 [total]; step: as with batches of rows, of the rows right
---   behind these: its item_rows[p] came next after inputs[p], its batch has what else the moment of p tells
function Step:sequences(length)
  if not self.starts then
    error({ code = "usage", message = "sequences are of whole users: set train.by to \"user\"" }, 0)
  end
  local offsets, targets = by_user.pairs(self.starts, length)
  return { offsets = offsets, inputs = self.positives:index_select(targets - 1),
    step = of_rows(self, self.rows:index_select(targets)) }
end

--- The step of each user's last row alone, a row each.
function Step:latest()
  return of_rows(self, self.at)
end

--- The step of positions 'at' (i64) of the prepared rows, or of their users where these are grouped
--- (recsys.train.by_user); docs/models.md has its fields. 'batch': its inputs of the sides user and event,
--- where they are gathered already.
function step_of.new(source, at, shared, batch)
  local starts, rows
  if source.groups then at, starts, rows = by_user.pick(source.groups, at) end
  local items, life = source.item_rows:index_select(at), shared.life
  local times = source.times:index_select(at)
  local weights, total = weights_of(source, rows or at)
  return setmetatable({ source = source, at = at, batch = batch, shared = shared, life = life, item_rows = items,
    times = times, weights = weights, total = total, pool = shared.pool,
    items = source.over_time and source.over_time:during(times) or source.items,
    strengths = source.strengths and source.strengths:index_select(at), log_q = source.log_q:index_select(items),
    met = shared.met, log_shares = shared.log_shares, starts = starts, rows = rows,
    positives = rows and source.item_rows:index_select(rows),
    from = life and life.from:index_select(items), to = life and life.to:index_select(items) }, Step)
end

return step_of

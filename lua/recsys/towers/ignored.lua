--- What a user was shown and left, as negatives of his own: an impression without a click says more than an item that
--- he may never have seen.
---
--- A list column of the interactions names, for each event, the items that were shown beside the one that was taken.
--- Their logits join the sum of that event alone (`beside` of nn.in_batch_softmax):
---
---     -log(exp s_p / (sum over the batch's columns + sum over what was left of exp s_h))
---
--- With logQ each counts as a column that is met once in the event's batch, which is what it is: the batch's own, met
--- n q_j times, are corrected by log q_j, so these are by -log n. An item that is the event's own, or that the user
--- took elsewhere in training where `mask_seen` is set, is no negative.

local tensor = require "recsys.tensor"

local ignored = {}

local Ignored = {}
Ignored.__index = Ignored

--- Nil where a recipe's group model names no column.
---@param config { ignored?: string, ignored_most?: integer, ignored_weight?: number, mask_seen?: boolean,
---   log_q?: boolean, drawn?: integer }
---   ignored: the column; ignored_most: of each event's list the first so many count (default 10); ignored_weight: what
---   one counts, 1 being a column (default 1)
function ignored.new(config)
  if not config.ignored then return nil end
  local weight = config.ignored_weight or 1
  if not (weight > 0 and weight < math.huge) then
    error({ code = "usage", message = ("model.ignored_weight is %s; a number above 0 is expected"):format(weight) }, 0)
  end
  return setmetatable({ name = config.ignored, most = config.ignored_most or 10, logarithm = math.log(weight),
    mask = config.mask_seen, counted = config.log_q and (config.drawn or 0) == 0 }, Ignored)
end

--- Whether each [n, most] of some catalogue rows is one that the event's user took in training.
local function taken(step, rows)
  local n_items = step.items:rows()
  local keys = (step.user_rows:reshape(-1, 1) * n_items + rows):reshape(-1)
  local known = step:taken()
  local at = known:search_sorted(keys):clamp(0, #known - 1)
  return known:index_select(at):eq(keys):reshape(rows:size(1), rows:size(2))
end

--- The catalogue rows i64 [n, most] of what counts as a negative of each event, -1 for none.
function Ignored:rows(step)
  local rows = step:listed(self.name, self.most)
  local nothing = tensor.full(-1, rows:size(1), rows:size(2), "i64")
  rows = tensor.where(rows:eq(step.item_rows:reshape(-1, 1)), nothing, rows)
  return self.mask and tensor.where(taken(step, rows), nothing, rows) or rows
end

--- Vectors [n * most, d] of catalogue rows [n, most], each distinct item computed once unless it is as of a moment; a
--- row of -1 has any.
---@param rows Tensor  i64 [n, most]
function ignored.vectors(model, tape, step, rows)
  local n, most = rows:size(1), rows:size(2)
  if not step.source.over_time then
    local distinct, of = rows:clamp(0):reshape(-1):distinct()
    return model:item(tape, step.items:gather(distinct)):embedding(tape:input(nil, of:to "i32"))
  end
  local by_place = rows:clamp(0):transpose(1, 2):contiguous():reshape(-1) -- row j is of event j mod n
  local back = tensor.arange(0, n, "i64"):reshape(-1, 1) + tensor.arange(0, most, "i64"):reshape(1, -1) * n
  return model:item(tape, step.items:gather(by_place)):embedding(tape:input(nil, back:reshape(-1):to "i32"))
end

--- The logits [n, most] that stand beside the batch's, minus infinity for none; nil where no event has any.
---@param model table  with item(self, tape, batch)
---@param users Var    [n, d], one an event; further dimensions than model:item gives are left out
---@return Var?
function Ignored:logits(tape, step, model, users)
  local rows = self:rows(step)
  if #rows == 0 or rows:max() < 0 then return nil end
  local n, most = rows:size(1), rows:size(2)
  local items = ignored.vectors(model, tape, step, rows)
  local d = items:size(2)
  local scores = (users:narrow(2, 1, d):reshape(n, 1, d) * items:reshape(n, most, d)):sum(3)
  local shift = self.logarithm + (self.counted and math.log(n) or 0)
  local there = tensor.where(rows:ge(0), tensor.full(shift, n, most, users:dtype()),
    tensor.full(-math.huge, n, most, users:dtype()))
  return scores + tape:input(nil, there)
end

return ignored

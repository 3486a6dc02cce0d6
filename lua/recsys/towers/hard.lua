--- Hard negatives: every so many epochs the current model is searched for the items that it wrongly ranks highest for
--- each user, and the following epochs learn to tell them from what the user took.
---
--- The loss beside the main one is a softmax over each event's item and hard negatives of its user, drawn from his
--- list: -log(exp s_p / (exp s_p + sum over h of exp s_h)). Xiong et al. 2021 (ANCE), arXiv:2007.00808.

local autograd = require "recsys.autograd"
local ignored = require "recsys.towers.ignored"
local tensor = require "recsys.tensor"

local hard = {}

local Hard = {}
Hard.__index = Hard

--- Nil where a recipe's group model asks for none.
---@param config { hard_negatives?: integer, hard_every?: integer, hard_depth?: integer, hard_weight?: number }
---   how many an event, after how many epochs the lists are renewed (default 1), how long they are (default 100), and
---   what their loss counts beside the main one (default 1)
function hard.new(config)
  if (config.hard_negatives or 0) == 0 then return nil end
  return setmetatable({ each = config.hard_negatives, every = config.hard_every or 1,
    weight = config.hard_weight or 1, depth = math.max(config.hard_depth or 100, config.hard_negatives) }, Hard)
end

--- What a checkpoint keeps: the lists and the epoch that they were searched in.
function Hard:state()
  return self.mined and { epoch = self.epoch, mined = self.mined } or nil
end

function Hard:load_state(saved)
  self.epoch, self.mined = saved and saved.epoch, saved and saved.mined
end

--- Catalogue rows i64 [n * each] for the batch's users, drawn by the step's stream; nil in the first epochs, which have
--- learned nothing yet. A place that a user's list leaves empty is filled with any trained item.
function Hard:rows(step)
  local epoch = step.epoch
  if not epoch or epoch <= self.every then return end
  if not self.mined or epoch - self.epoch >= self.every then self.epoch, self.mined = epoch, step:mine(self.depth) end
  local n = #step.item_rows * self.each
  local place = step.user_rows:reshape(-1, 1) * self.depth
    + step.stream:integers(n, self.depth, 1 << 40):reshape(-1, self.each)
  local rows = self.mined:reshape(-1):index_select(place:reshape(-1))
  local any = step.pool:index_select(step.stream:integers(n, #step.pool, 1 << 41))
  return tensor.where(rows:ge(0), rows, any)
end

--- The loss of users [n, d] against their items [n, d] and hard negatives [n * each, d].
function Hard:loss(users, items, negatives)
  local n, d = users:size(1), users:size(2)
  local against = (users:reshape(n, 1, d) * negatives:reshape(n, self.each, d)):sum(3)
  local scores = autograd.concat { autograd.dot(users, items):reshape(n, 1), against }
  return -(scores:log_softmax():narrow(2, 1, 1):mean())
end

--- A model's loss and, where there are lists, theirs.
---@param loss Var
---@param model table   with item(self, tape, batch)
---@param users Var     [n, d], one an event
---@param items Var     [m, d], the events' own first; further dimensions than model:item gives are left out
---@return Var
function Hard:added(loss, model, tape, step, users, items)
  local rows = self:rows(step)
  if not rows then return loss end
  local n = #step.item_rows
  local negatives = ignored.vectors(model, tape, step, rows:reshape(n, self.each))
  local d = negatives:size(2)
  return loss + self:loss(users:narrow(2, 1, d), items:narrow(1, 1, n):narrow(2, 1, d), negatives) * self.weight
end

return hard

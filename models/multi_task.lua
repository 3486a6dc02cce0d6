--- Two tasks over one pair of towers: which item a user takes, by the in-batch softmax, and how long he stays with it,
--- by the squared error of log(1 + seconds). What says something about either task moves the towers of both.
---
---     user = [ tower(user and event features) / temperature, rank_dwell * head(tower) ]
---     item = [ tower(item features),                          head(tower) ]
---
--- A score is the log-odds of being taken plus `rank_dwell` times the predicted log of the time; 0 ranks by the first
--- task alone. Events whose time is missing teach the first task alone. Caruana 1997, doi:10.1023/A:1007379606734.

local autograd = require "recsys.autograd"
local nn = require "recsys.nn"
local tensor = require "recsys.tensor"
local towers = require "recsys.towers"

local MultiTask = {}
MultiTask.__index = MultiTask

function MultiTask:user(tape, batch)
  local tower = self.user_tower:forward(tape, batch)
  local dwell = autograd.affine(self.user_head:forward(tower), self.config.rank_dwell)
  return autograd.concat { self.similarity:scaled(tape, tower), dwell }
end

function MultiTask:item(tape, batch)
  local tower = self.item_tower:forward(tape, batch)
  return autograd.concat { tower, self.item_head:forward(tower) }
end

--- The squared error of the logarithms of the times that are known.
local function dwell_loss(self, tape, step, users, items)
  local seconds = step:column(self.config.dwell)
  local known = seconds:ge(0) -- not for a missing one, which is NaN
  local target = tensor.where(known, seconds, 0) + 1
  local predicted = autograd.dot(self.user_head:forward(users), self.item_head:forward(items))
  local weights = step.weights and known:to "f32" * step.weights or known:to "f32"
  return autograd.mse(predicted, tape:input(nil, target:log():to "f32"), tape:input(nil, weights))
end

function MultiTask:loss(tape, step)
  local users = self.user_tower:forward(tape, step.batch)
  local items = self.item_tower:forward(tape, step.items:gather(step.item_rows))
  local taken = nn.in_batch_softmax { users = self.similarity:scaled(tape, users), items = items, log_q = step.log_q,
    codes = step.item_rows, now = step.from and step.times, from = step.from, to = step.to,
    weights = step.weights }
  return taken + dwell_loss(self, tape, step, users, items) * self.config.dwell_weight
end

return function(config, encoder, settings)
  local tables, dim = towers.tables(encoder, config.dim, settings, { shrink = true }), config.dim
  local self = setmetatable({ config = config, likeness = dim, similarity = towers.similarity(config, settings) },
    MultiTask)
  local shape = { dim = dim, hidden = config.hidden, dropout = config.dropout, normalize = self.similarity.normalize }
  self.user_tower = towers.tower("user", tables, { "user", "event" }, shape)
  self.item_tower = towers.tower("item", tables, { "item" }, shape)
  self.user_head = nn.linear { name = "user.dwell", inputs = dim, outputs = 8, seed = settings.seed }
  self.item_head = nn.linear { name = "item.dwell", inputs = dim, outputs = 8, seed = settings.seed }
  self.parameters = towers.parameters(self.user_tower, self.item_tower, self.user_head, self.item_head, self.similarity)
  return self
end

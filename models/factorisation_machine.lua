--- The factorisation machine (Rendle 2010, doi:10.1109/ICDM.2010.127): each feature of user, event and item has a
--- factor and a weight, and a score is the sum of the weights and of the products of all pairs of factors:
---
---     user = [ sum of the user's and event's factors, what they say among themselves, 1 ]
---     item = [ sum of the item's factors,             1, what they say among themselves ]
---
--- behind which stands freshness, where items age. `loss` is "softmax" against the batch's other items, "bpr" against
--- one drawn, or "log", the logistic loss against `negatives` drawn.

local autograd = require "recsys.autograd"
local factors = require "recsys.towers.factors"
local nn = require "recsys.nn"
local pairs_of = require "recsys.towers.pairs"
local tensor = require "recsys.tensor"
local towers = require "recsys.towers"

local FM = {}
FM.__index = FM

function FM:user(tape, batch)
  local sum, own = self.users:forward(tape, batch)
  return autograd.concat { sum, own + tape:parameter(self.constant), towers.ones(sum),
    self.freshness and self.freshness:moment(tape, batch) }
end

function FM:item(tape, batch)
  local sum, own = self.items:forward(tape, batch)
  return autograd.concat { sum, towers.ones(sum), own, self.freshness and self.freshness:item(tape, batch) }
end

local losses = {}

function losses.softmax(self, tape, step)
  local users, items = step:sides()
  return nn.in_batch_softmax { users = self:user(tape, users.batch), items = self:item(tape, items.batch),
    rows = users.of, columns = items.of, codes = items.rows, log_q = items.log_q, now = users.now, from = items.from,
    to = items.to, weights = step.weights }
end

local function vectors(self, tape, step)
  return self:user(tape, step.batch), function(rows) return self:item(tape, step.items:gather(rows)) end
end

function losses.bpr(self, tape, step) return pairs_of.bpr(step, vectors(self, tape, step)) end

function losses.log(self, tape, step)
  local users, item = vectors(self, tape, step)
  return pairs_of.logistic(tape, step, users, item, self.config.negatives)
end

function FM:loss(tape, step) return losses[self.config.loss](self, tape, step) end

return function(config, encoder, settings)
  pairs_of.check(config, losses)
  local self = setmetatable({ config = config, likeness = config.dim }, FM)
  self.users = factors.new(encoder, { "user", "event" }, config.dim, settings)
  self.items = factors.new(encoder, { "item" }, config.dim, settings)
  self.constant = autograd.parameter("constant", tensor.zeros(1, settings.dtype or "f32"))
  self.freshness = towers.freshness(encoder, settings)
  self.parameters = towers.parameters(self.users, self.items, self.freshness)
  table.insert(self.parameters, self.constant)
  return self
end

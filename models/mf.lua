--- Matrix factorisation: a score is the dot product of a user's and an item's embedding, plus a bias of the item.
--- Koren, Bell & Volinsky 2009, doi:10.1109/MC.2009.263.

local autograd = require "recsys.autograd"
local nn = require "recsys.nn"
local towers = require "recsys.towers"

local MF = {}
MF.__index = MF

function MF:user(tape, batch)
  local user = self.users:forward(tape, batch)
  return autograd.concat { user, towers.ones(user) }
end

function MF:item(tape, batch)
  local bias = self.bias:forward(tape:input("item.id", batch["item.id"]))
  return autograd.concat { self.items:forward(tape, batch), bias }
end

function MF:loss(tape, step)
  local users, items = step:sides()
  return nn.in_batch_softmax { users = self:user(tape, users.batch), rows = users.of, weights = step.weights,
    items = self:item(tape, items.batch), columns = items.of, log_q = items.log_q, codes = items.rows }
end

return function(config, encoder, settings)
  local tables = towers.tables(encoder, config.dim, settings, { unmet = 0 })
  local self = setmetatable({ users = towers.tower("user", tables, { "user" }),
    items = towers.tower("item", tables, { "item" }), bias = towers.bias(encoder, "item.id", settings) }, MF)
  self.parameters, self.likeness = towers.parameters(self.users, self.items, self.bias), self.items:width()
  return self
end

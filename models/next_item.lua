--- What a user takes next, from pools of what he took last: the user tower is pools of the histories, weighed by
--- learned weights of place, beside one another and through hidden layers; the items are their embeddings, shared with
--- the histories; trained by the softmax over the whole catalogue.
---
---     user = [ output(hidden(pools), pools), 1 ]        item = [ embedding of its id, bias of its id ]
---
--- No user id and no attention between events. That the embedding of the last item can reach the output past the hidden
--- layer makes the model contain factored Markov chains: Rendle et al. 2010, doi:10.1145/1772690.1772773.

local autograd = require "recsys.autograd"
local nn = require "recsys.nn"
local tensor = require "recsys.tensor"
local towers = require "recsys.towers"

local NextItem = {}
NextItem.__index = NextItem

function NextItem:user(tape, batch)
  local pools = self.pools:forward(tape, batch)
  local hidden = self.dropout:forward(self.hidden:forward(pools))
  local user = self.output:forward(autograd.concat { hidden, pools })
  return autograd.concat { user, towers.ones(user) }
end

function NextItem:item(tape, batch)
  local bias = self.bias:forward(tape:input("item.id", batch["item.id"]))
  return autograd.concat { self.items:forward(tape, batch), bias }
end

--- The negative log probability of each event's item among all items that training events name.
function NextItem:loss(tape, step)
  return nn.catalogue_softmax { users = self:user(tape, step.batch),
    items = self:item(tape, step.items:gather(step.pool)), codes = step.pool,
    starts = tensor.arange(#step.item_rows + 1), positives = step.item_rows, weights = step.weights }
end

return function(config, encoder, settings)
  local tables = towers.tables(encoder, config.dim, settings)
  local self = setmetatable({ bias = towers.bias(encoder, "item.id", settings) }, NextItem)
  self.pools = towers.tower("user", tables, { "event" },
    { history = towers.ways(config) })
  self.items = towers.tower("item", tables, { "item" })
  self.likeness = self.items:width()
  local width, seed = self.pools:width(), settings.seed
  self.hidden = nn.linear { name = "user.hidden", inputs = width, outputs = config.hidden[1], activation = "relu",
    seed = seed }
  self.dropout = nn.dropout { name = "user.dropout", rate = config.dropout }
  self.output = nn.linear { name = "user.output", inputs = config.hidden[1] + width, outputs = config.dim, seed = seed }
  self.parameters = towers.parameters(self.pools, self.items, self.bias, self.hidden, self.output)
  return self
end

--- SASRec: a causal transformer reads what the user took, and the newest event's output is the user's vector; items are
--- the embeddings that the histories are made of, or a tower over what is known of them, for items without a history.
---
---     user = [ transformer(history), 1 ]          item = [ embedding of its id, bias of its id ]
---
--- loss "softmax" over the whole catalogue is what makes it good (Klenitskiy & Vasilev 2023,
--- doi:10.1145/3604915.3610644); "gbce" with negatives is gSASRec (Petrov & Macdonald 2023,
--- doi:10.1145/3604915.3608783). With train.by = "user" each event of a user's sequence is learned from at once, else a
--- row at a time.
--- Kang & McAuley 2018, doi:10.1109/ICDM.2018.00035.

local autograd = require "recsys.autograd"
local loss = require "recsys.loss"
local towers = require "recsys.towers"

local SASRec = {}
SASRec.__index = SASRec

--- What is appended to users, where items have a bias.
local function with_ones(self, user)
  return self.bias and autograd.concat { user, towers.ones(user) } or user
end

function SASRec:user(tape, batch)
  return with_ones(self, self.encoder:forward(tape, batch))
end

function SASRec:item(tape, batch)
  local item = self.items:forward(tape, batch)
  if not self.bias then return item end
  return autograd.concat { item, self.bias:forward(tape:input("item.id", batch["item.id"])) }
end

function SASRec:loss(tape, step)
  local lessons, users = self.encoder:lessons(tape, step)
  return loss.catalogue(self.config, lessons, with_ones(self, users),
    function(rows) return self:item(tape, step.items:gather(rows)) end)
end

return function(config, encoder, settings)
  local self = setmetatable({ config = config }, SASRec)
  local tables = towers.tables(encoder, config.dim, settings, { scale = 0.02 })
  self.encoder = towers.transformer("user", tables, config)
  local content = #encoder:inputs "item" > 1 and { dim = config.dim, hidden = config.hidden }
  self.items = towers.tower("item", tables, { "item" }, content or nil)
  self.likeness = self.items:width()
  self.bias = config.bias and towers.bias(encoder, "item.id", settings) or nil
  self.parameters = towers.parameters(self.encoder, self.items, self.bias)
  return self
end

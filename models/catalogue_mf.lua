--- Matrix factorisation trained against the whole catalogue, or against a sample of it that each batch shares, by the
--- loss that model.loss names (docs/models.md, "Losses over the whole catalogue"). Made for batches of users with all
--- their positives (train.by = "user").
---
---     user = [ embedding / temperature, 1 ]     item = [ embedding, bias of the item ]
---
--- With similarity "cosine" embeddings are normalised. `dropout` leaves out a share of the user's numbers in training.

local autograd = require "recsys.autograd"
local loss = require "recsys.loss"
local towers = require "recsys.towers"

local CatalogueMF = {}
CatalogueMF.__index = CatalogueMF

function CatalogueMF:user(tape, batch)
  local config, user = self.config, self.users:forward(tape, batch)
  if (config.dropout or 0) > 0 then
    user = user:dropout(config.dropout)
    if config.similarity == "cosine" then user = user:l2_normalize() end
  end
  user = autograd.affine(user, 1 / config.temperature)
  return self.bias and autograd.concat { user, towers.ones(user) } or user
end

function CatalogueMF:item(tape, batch)
  local item = self.items:forward(tape, batch)
  if not self.bias then return item end
  return autograd.concat { item, self.bias:forward(tape:input("item.id", batch["item.id"])) }
end

function CatalogueMF:loss(tape, step)
  return loss.catalogue(self.config, step, self:user(tape, step.batch),
    function(rows) return self:item(tape, step.items:gather(rows)) end)
end

return function(config, encoder, settings)
  local tables = towers.tables(encoder, config.dim, settings, { unmet = 0 })
  local shape = { normalize = config.similarity == "cosine" }
  local self = setmetatable({ config = config }, CatalogueMF)
  self.users = towers.tower("user", tables, { "user" }, shape)
  self.items = towers.tower("item", tables, { "item" }, shape)
  self.likeness = self.items:width()
  self.bias = config.bias and towers.bias(encoder, "item.id", settings) or nil
  self.parameters = towers.parameters(self.users, self.items, self.bias)
  return self
end

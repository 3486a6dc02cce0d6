--- The two-tower retriever: a user tower and an item tower meet in a dot product; trained by in-batch sampled softmax.
---
---     user = [ tower(user and event features) / temperature, freshness of the moment, 1 ]
---     item = [ tower(item features),                         freshness of the item,   bias of the item id ]
---
--- Appended dimensions are additive terms: item vectors stay precomputable, and likeness of items goes by the tower
--- alone. Of a user's `interests` the best counts.
--- Huang et al. 2013 (DSSM), doi:10.1145/2505515.2505665; Yi et al. 2019, doi:10.1145/3298689.3346996.

local autograd = require "recsys.autograd"
local nn = require "recsys.nn"
local towers = require "recsys.towers"

local TwoTower = {}
TwoTower.__index = TwoTower

function TwoTower:user(tape, batch)
  local tower = self.similarity:scaled(tape, self.user_tower:forward(tape, batch))
  local parts = { tower, self.freshness and self.freshness:moment(tape, batch) }
  if self.bias then parts[#parts + 1] = towers.ones(tower) end
  return towers.beside(parts, self.config.interests)
end

function TwoTower:item(tape, batch)
  local parts = { self.item_tower:forward(tape, batch), self.freshness and self.freshness:item(tape, batch) }
  if self.bias then parts[#parts + 1] = self.bias:forward(tape:input("item.id", batch["item.id"])) end
  return autograd.concat(parts)
end

--- Softmax over the batch's own items, corrected by how often each is met; see docs/models.md.
function TwoTower:loss(tape, step)
  local config, users, items = self.config, step:sides(self.merge, self.config.drawn)
  towers.drop_both(config, users.batch, items.batch, step.stream)
  local item = self:item(tape, items.batch)
  local user = towers.chosen(self:user(tape, users.batch), item)
  if self.shown then user, item = self.shown:terms(tape, step, user, item, items.batch) end
  local loss = nn.in_batch_softmax { users = user, items = item, rows = users.of, columns = items.of,
    codes = items.rows, log_q = config.log_q and items.log_q or nil, now = users.now, from = items.from,
    to = items.to, left_out = config.mask_seen and step:seen(users) or nil, weights = step.weights,
    beside = self.ignored and self.ignored:logits(tape, step, self, user) }
  return self.hard and self.hard:added(loss, self, tape, step, user, item) or loss
end

function TwoTower:state() return self.hard and self.hard:state() end -- for checkpoints
function TwoTower:load_state(saved) self.hard:load_state(saved) end

return function(config, encoder, settings)
  local tables = towers.tables(encoder, config.dim, settings, { shrink = true })
  local self = setmetatable({ config = config, similarity = towers.similarity(config, settings) }, TwoTower)
  local shape = { dim = config.dim, hidden = config.hidden, dropout = config.dropout, except = { config.position },
    normalize = self.similarity.normalize, history = towers.ways(config) }
  self.user_tower = towers.tower("user", tables, { "user", "event" }, shape)
  self.item_tower = towers.tower("item", tables, { "item" }, shape)
  self.likeness = self.item_tower:width()
  self.freshness, self.shown = towers.freshness(encoder, settings), towers.shown(encoder, config, settings)
  self.bias = config.bias and towers.has_codes(encoder, "item.id") and towers.bias(encoder, "item.id", settings)
  self.hard, self.ignored = towers.hard(config), towers.ignored(config)
  self.merge = not self.shown and towers.may_merge(config) -- what is dropped is dropped of each event
  self.parameters = towers.parameters(self.user_tower, self.item_tower, self.similarity, self.freshness, self.bias,
    self.shown)
  return self
end

--- The two-tower retriever: a user tower and an item tower meet in a dot product; trained by in-batch sampled softmax.
---
---     user = [ normalised tower(user and event features) / temperature, freshness of the moment, 1 ]
---     item = [ normalised tower(item features),                         freshness of the item,   bias of the item id ]
---
--- The appended dimensions make age and popularity additive terms of the same dot product, so that item vectors stay
--- precomputable. Huang et al. 2013 (DSSM), doi:10.1145/2505515.2505665; sampled softmax with logQ correction: Yi et
--- al. 2019, doi:10.1145/3298689.3346996.

local autograd = require "recsys.autograd"
local nn = require "recsys.nn"
local towers = require "recsys.towers"

local TwoTower = {}
TwoTower.__index = TwoTower

function TwoTower:user(tape, batch)
  local tower = autograd.affine(self.user_tower:forward(tape, batch), 1 / self.config.temperature, 0)
  local parts = { tower }
  if self.freshness then parts[#parts + 1] = self.freshness:moment(tape, batch) end
  if self.bias then parts[#parts + 1] = towers.ones(tower) end
  return autograd.concat(parts)
end

function TwoTower:item(tape, batch)
  local parts = { self.item_tower:forward(tape, batch) }
  if self.freshness then parts[#parts + 1] = self.freshness:item(tape, batch) end
  if self.bias then parts[#parts + 1] = self.bias:forward(tape:input("item.id", batch["item.id"])) end
  return autograd.concat(parts)
end

--- The items' inputs, some ids replaced by the unknown one: what a new item has to live on is trained, too.
local function drop_ids(batch, rate, stream)
  if rate == 0 or not batch["item.id"] then return batch end
  local kept = stream:uniforms(#batch["item.id"]):ge(rate):to "i32"
  batch["item.id"] = batch["item.id"] * kept
  return batch
end

--- Softmax over the batch's own items, corrected by how often each is met; see docs/models.md.
function TwoTower:loss(tape, step)
  local users, items = step:sides(self.merge, self.config.drawn)
  return nn.in_batch_softmax { users = self:user(tape, users.batch), rows = users.of, columns = items.of,
    items = self:item(tape, drop_ids(items.batch, self.config.id_dropout, step.stream)), codes = items.rows,
    log_q = self.config.log_q and items.log_q or nil, now = users.now, from = items.from, to = items.to }
end

return function(config, encoder, settings)
  local tables = towers.tables(encoder, config.dim, settings, true)
  local merge = config.id_dropout == 0 and (config.dropout == 0 or #config.hidden == 0) -- drops are of each event
  local self = setmetatable({ config = config, merge = merge }, TwoTower)
  local shape = { dim = config.dim, hidden = config.hidden, dropout = config.dropout, normalize = true }
  self.user_tower = towers.tower("user", tables, { "user", "event" }, shape)
  self.item_tower = towers.tower("item", tables, { "item" }, shape)
  self.freshness = towers.freshness(encoder, settings)
  self.bias = config.bias and towers.has_codes(encoder, "item.id") and towers.bias(encoder, "item.id", settings)
  self.parameters = towers.parameters(self.user_tower, self.item_tower, self.freshness, self.bias)
  return self
end

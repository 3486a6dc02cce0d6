--- The hybrid: a transformer over the user's history beside the two towers, the candidates of both ranked as one list.
---
---     user = [ m1 tower(user, event) / t, m2 transformer(history) / t, 1,              freshness of the moment ]
---     item = [ tower(item),               content tower(item),         bias of its id, freshness of the item ]
---
--- Two retrievers are usually joined by cutting a list of each, merging them, and ranking the union anew by both
--- scores: what is on neither list is lost, and a request is two searches and a second pass. But a weighed sum of dot
--- products is the dot product of the vectors side by side: one search ranks all that either could find by the score
--- that the second pass would have had, exactly. The shares m are learned, and add up to 1. Both item towers read what
--- is known of an item, and the history's events are what the item side says of them, so that new ones count on both
--- sides.
---
--- What the transformer gives stands beside the user's fields in a tower of its own, whose share begins at `share`.
--- With `apart` above 0 each part learns to rank by itself, too; `part` = "transformer" or "two_tower" is one alone.
--- Huang et al. 2013, doi:10.1145/2505515.2505665; Kang & McAuley 2018, doi:10.1109/ICDM.2018.00035.

local autograd = require "recsys.autograd"
local nn = require "recsys.nn"
local side_by_side = require "recsys.towers.side_by_side"
local tensor = require "recsys.tensor"
local towers = require "recsys.towers"

local Hybrid = {}
Hybrid.__index = Hybrid

--- What stands behind the parts, on either side.
local function of_moment(self, tape, batch, part)
  return autograd.concat { towers.ones(part), self.freshness and self.freshness:moment(tape, batch) }
end

local function of_item(self, tape, batch)
  local bias = self.bias:forward(tape:input("item.id", batch["item.id"]))
  return autograd.concat { bias, self.freshness and self.freshness:item(tape, batch) }
end

function Hybrid:user(tape, batch)
  local parts = self.parts:users(tape, batch)
  return autograd.concat { self.parts:mixed(tape, parts), of_moment(self, tape, batch, parts[1]) }
end

function Hybrid:item(tape, batch)
  local parts = self.parts:items(tape, batch)
  return autograd.concat { autograd.concat(parts), of_item(self, tape, batch) }
end

--- The softmax of the batch's rows against its items, corrected by how often each is met.
local function in_batch(self, tape, step)
  local config, users, items = self.config, step:sides(false, self.config.drawn)
  towers.drop_both(config, users.batch, items.batch, step.stream)
  local seen = config.mask_seen and step:seen(users) or nil
  return users.batch, items.batch, function(u, i)
    if self.shown then u, i = self.shown:terms(tape, step, u, i, items.batch) end
    return nn.in_batch_softmax { users = u, items = i, codes = items.rows, log_q = config.log_q and items.log_q or nil,
      now = users.now, from = items.from, to = items.to, left_out = seen, weights = step.weights }
  end
end

--- The softmax of the batch's rows against all items.
local function whole(self, _, step)
  local batch = step.items:gather(tensor.arange(0, step.items:rows(), "i64"))
  towers.drop_both(self.config, step.batch, batch, step.stream)
  return step.batch, batch, function(u, i)
    return nn.catalogue_softmax { users = u, items = i, positives = step.item_rows, weights = step.weights,
      starts = tensor.arange(0, #step.item_rows + 1, "i64") }
  end
end

function Hybrid:loss(tape, step)
  local apart, vectors = tape:training() and self.config.apart or 0
  step, vectors = self.parts:lessons(tape, step)
  local users, items, softmax = (self.config.catalogue and whole or in_batch)(self, tape, step)
  local user, item = self.parts:users(tape, users, vectors), self.parts:items(tape, items)
  local moment, behind = of_moment(self, tape, users, user[1]), of_item(self, tape, items)
  local function of(u, i) return softmax(autograd.concat { u, moment }, autograd.concat { i, behind }) end
  local together = of(self.parts:mixed(tape, user), autograd.concat(item))
  if #user == 1 or apart == 0 then return together end
  return together * (1 - apart) + (of(user[1], item[1]) + of(user[2], item[2])) * (apart / 2)
end

return function(config, encoder, settings)
  local self = setmetatable({ config = config, parts = side_by_side.new(config, encoder, settings) }, Hybrid)
  self.freshness, self.shown = towers.freshness(encoder, settings), towers.shown(encoder, config, settings)
  self.bias, self.likeness = towers.bias(encoder, "item.id", settings), self.parts.width
  self.parameters = towers.parameters(self.parts, self.freshness, self.bias, self.shown)
  return self
end

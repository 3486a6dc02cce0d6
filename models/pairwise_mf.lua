--- Matrix factorisation that learns from pairs, a positive against an item drawn for it, straight on the rows of two
--- tables: `loss` "bpr" (Rendle et al. 2009, arXiv:1205.2618) or "warp" (Weston, Bengio & Usunier 2011). A score is the
--- dot product of a user's and an item's embedding.
---
--- BPR's negative is, of `among` items drawn evenly from those that training events name, the one that the model of the
--- moment ranks highest (dynamic negative sampling, Zhang et al. 2013, doi:10.1145/2484028.2484126); 1 is BPR as
--- published. WARP draws up to `tries` items, until one comes within `margin`. What a user took is no negative of his.
--- `decay` pulls an embedding to 0 whenever a row names it.

local degrees = require "recsys.towers.degrees"
local nn = require "recsys.nn"
local pairs_of = require "recsys.towers.pairs"
local towers = require "recsys.towers"

local PairwiseMF = {}
PairwiseMF.__index = PairwiseMF

function PairwiseMF:user(tape, batch) return self.users:forward(tape:input("user.id", batch["user.id"])) end
function PairwiseMF:item(tape, batch) return self.items:forward(tape:input("item.id", batch["item.id"])) end

local losses = {}

function losses.bpr(self, step, given)
  local function score(rows, each)
    local users = self.table.user:value():index_select(given.user_codes):reshape(-1, 1, self.config.dim)
    local items = self.table.item:value():index_select(step.items:gather(rows)["item.id"])
    return (items:reshape(-1, each, self.config.dim) * users):sum(3)
  end
  local drawn = pairs_of.negatives(step, { among = self.config.among, score = score })
  given.negatives = step.items:gather(drawn)["item.id"]
  return nn.bpr(given)
end

function losses.warp(self, step, given)
  given.pool, given.seen = step.items:gather(step.pool)["item.id"], self.seen
  given.margin, given.tries = self.config.margin, self.config.tries
  return nn.warp(given)
end

function PairwiseMF:loss(tape, step)
  pairs_of.unweighted(step)
  return losses[self.config.loss](self, step, { users = tape:parameter(self.table.user),
    items = tape:parameter(self.table.item), user_codes = step.batch["user.id"],
    positives = step.items:gather(step.item_rows)["item.id"], decay = self.config.decay })
end

--- Who and what training never meets, code 0 as a rule, is the mean of those that it does.
function PairwiseMF:settle()
  for _, side in ipairs(self.unmet) do
    local rows = self.table[side]:value()
    rows:narrow(1, 1, 1):copy_(rows:narrow(1, 2, #rows - 1):mean(1):reshape(1, -1))
  end
end

return function(config, encoder, settings)
  pairs_of.check(config, losses)
  local self = setmetatable({ config = config, table = {}, unmet = {} }, PairwiseMF)
  for _, side in ipairs { "user", "item" } do
    local input = towers.input(encoder, side .. ".id")
    local layer = nn.embedding { name = side .. ".id.table", rows = input.rows, width = config.dim,
      seed = settings.seed }
    self[side .. "s"], self.table[side] = layer, layer:parameter(layer:name())
    local training = settings.training
    local met = degrees.codes(training[side .. "s"], input.name, training[side .. "_rows"])
    if met:min() > 0 then table.insert(self.unmet, side) end
  end
  if config.loss == "warp" then self.seen = pairs_of.seen(settings.training, encoder) end
  self.parameters = towers.parameters(self.users, self.items)
  return self
end

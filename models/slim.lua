--- SLIM (Ning & Karypis 2011, doi:10.1109/ICDM.2011.134): an item's score is a sparse weighted sum over what a user
--- knows, its weights an elastic net of the item's users on those of its nearest items (solve.elastic_net).
---
--- `l1` keeps weights few, `l2` small; `neighbours` items of the largest cosine take part in an item's net. Without
--- `positive = false` no weight is below 0. Who is new is served by what he knows, as everybody is.

local exit = require "recsys.exit"
local solve = require "recsys.solve"
local towers = require "recsys.towers"

local SLIM = { columns = "item.id", rounds = 1 }
SLIM.__index = SLIM

function SLIM:user(tape, batch)
  return self.weights:bag(tape, towers.known_bag(tape, batch, self.known))
end

function SLIM:round()
  local config = self.config
  self.weights:set(solve.elastic_net(self.matrix, { l1 = config.l1, l2 = config.l2, neighbours = config.neighbours,
    positive = config.positive ~= false, tolerance = config.tolerance or 1e-3, sweeps = config.sweeps or 100 }))
end

return function(config, encoder, settings)
  if settings.training.weights then exit.usage_error "slim counts each item that a user has once: no train.weight" end
  local self = setmetatable({ config = config }, SLIM)
  self.matrix, self.known = towers.known(encoder, settings.training)
  local items = self.known.rows
  self.weights = towers.sparse("weights", items, items, items * math.min(config.neighbours, items))
  self.parameters = self.weights:parameters()
  return self
end

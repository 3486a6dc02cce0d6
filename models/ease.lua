--- EASE, a linear map of what a user knows, in closed form (Steck 2019, doi:10.1145/3308558.3313710; recsys.ease).
---
--- `l2` is the penalty, `precision` that of the inverse ("f32" or "f64"). The map is a matrix of items x items; `keep`
--- leaves of each item the so many weights that count most.

local autograd = require "recsys.autograd"
local ease = require "recsys.ease"
local exit = require "recsys.exit"
local tensor = require "recsys.tensor"
local towers = require "recsys.towers"

local EASE = { columns = "item.id", rounds = 1 }
EASE.__index = EASE

function EASE:user(tape, batch)
  local codes, offsets, once = towers.known_bag(tape, batch, self.known)
  if self.few then return self.few:bag(tape, codes, offsets, once) end
  return autograd.embedding_bag(tape:parameter(self.map), codes, offsets, once)
end

function EASE:round()
  local map = ease.map(self.matrix, self.config, self.map and self.map:value())
  if self.few then self.few:set(ease.largest(map, self.config.keep)) end
end

return function(config, encoder, settings)
  if settings.training.weights then exit.usage_error "ease counts each item that a user has once: no train.weight" end
  local self = setmetatable({ config = config }, EASE)
  self.matrix, self.known = towers.known(encoder, settings.training)
  local items = self.known.rows
  ease.check(items, config)
  if (config.keep or 0) > 0 then
    self.few = towers.sparse("map", items, items, items * math.min(config.keep, items))
    self.parameters = self.few:parameters()
  else
    self.map = autograd.parameter("map", tensor.zeros(items, items), { trainable = false })
    self.parameters = { self.map }
  end
  return self
end

--- Item-kNN (Deshpande & Karypis 2004, doi:10.1145/963770.963776): an item's score is the sum of its similarities to
--- what the user knows, of which each known item gives its k nearest ones (solve.neighbours).
---
--- `weighting` is "cosine", "tfidf" or "bm25" (with `K1`, `B`); `shrink` makes little of what few users have in common,
--- `alpha` above 0.5 prefers neighbours that many know, and with `normalize` each known item has the same to give. Who
--- is new is served by his history; an item that training has not met has the score 0.

local solve = require "recsys.solve"
local towers = require "recsys.towers"

local ItemKNN = {}
ItemKNN.__index = ItemKNN

function ItemKNN:user(tape, batch)
  return self.near:bag(tape, towers.known_bag(tape, batch, self.known))
end

function ItemKNN:round()
  local c = self.config
  self.near:set(solve.neighbours(self.by_item, self.k, { weighting = c.weighting, K1 = c.K1, B = c.B,
    alpha = c.alpha, shrink = c.shrink, normalize = c.normalize }))
end

return function(config, encoder, settings)
  local self = setmetatable({ config = config, columns = "item.id", rounds = 1 }, ItemKNN)
  local by_user
  by_user, self.known = towers.known(encoder, settings.training)
  local rows = self.known.rows
  self.k, self.by_item = math.min(config.k, rows), by_user:transpose()
  self.near = towers.sparse("near", rows, rows, rows * self.k)
  self.parameters = towers.parameters(self.near)
  return self
end

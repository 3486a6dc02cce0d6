--- User-kNN (Sarwar et al. 2000, doi:10.1145/352871.352887): the k training users who are most alike vote, each with
--- his similarity, for the items that he knows.
---
--- `weighting` is "cosine", "tfidf" or "bm25" (with `K1`, `B`), of items that two users have in common. A user whom
--- training knows is his own nearest neighbour, which adds to what he knows alone. Who is new is served by his history;
--- an item that training has not met has the score 0.

local exit = require "recsys.exit"
local solve = require "recsys.solve"
local tensor = require "recsys.tensor"
local towers = require "recsys.towers"

local UserKNN = {}
UserKNN.__index = UserKNN

function UserKNN:user(tape, batch)
  local alike = self.alike:bag(tape, towers.known_bag(tape, batch, self.known))
  return self.votes:product(tape, alike:keep_largest(self.config.k))
end

--- Who knows an item, by as much as that makes him alike: <q, v> / |v| of the one who asks, q, and a training user, v;
--- |q|, and what only q's length is in bm25, are the same for all of them.
function UserKNN:round()
  local c, by_user = self.config, self.by_user
  local parts = solve.weigh(by_user, { weighting = c.weighting, K1 = c.K1, B = c.B,
    unit = c.weighting ~= "bm25" }):tensors()
  if c.weighting ~= "cosine" then
    parts.values = parts.values * solve.weigh(by_user, { weighting = "tfidf" }):tensors().values -- q's idf
  end
  local _, width = by_user:size()
  self.alike:set(tensor.csr(parts.starts, parts.columns, parts.values, width):transpose())
  self.votes:set(by_user)
end

return function(config, encoder, settings)
  if (config.shrink or 0) ~= 0 then exit.usage_error "user_knn has no shrink: leave model.shrink at 0" end
  local self = setmetatable({ config = config, columns = "item.id", rounds = 1 }, UserKNN)
  self.by_user, self.known = towers.known(encoder, settings.training)
  local users, pairs_known = settings.training.users:rows(), #self.by_user:tensors().columns
  self.alike = towers.sparse("alike", self.known.rows, users, pairs_known)
  self.votes = towers.sparse("votes", users, self.known.rows, pairs_known)
  self.parameters = towers.parameters(self.alike, self.votes)
  return self
end

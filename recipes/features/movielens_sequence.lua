--- Features of MovieLens for a model that reads the history as a sequence beside the two towers' (models/hybrid.lua):
--- those of recipes/features/movielens.lua, and the latest films one by one.

local feature = require "recsys.feature"
local movielens = require "recipes.features.movielens"

local event = table.move(movielens.event, 1, #movielens.event, 1, {})
event[#event + 1] = feature.history { of = "id", length = 20, name = "sequence_id", unknown = "keep" }

return { user = movielens.user, event = event, item = movielens.item }

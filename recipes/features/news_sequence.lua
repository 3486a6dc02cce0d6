--- Features of a news app for a model that reads the history as a sequence beside the two towers' (models/hybrid.lua):
--- those of recipes/features/news.lua, and of each of the latest 100 events what the article was like. Articles live
--- for days: of most that a user read lately no id was trained, so what an event says is its topics, language, place,
--- source and kind.

local feature = require "recsys.feature"
local news = require "recipes.features.news"

local event = table.move(news.event, 1, #news.event, 1, {})
for _, of in ipairs { "categories", "language", "district", "source", "kind" } do
  event[#event + 1] = feature.history { of = of, length = 100, name = "sequence_" .. of, unknown = "keep",
    each = of == "categories" and 2 or nil }
end

return { user = news.user, event = event, item = news.item }

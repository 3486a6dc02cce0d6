--- Features of a news app. Articles live for days, so most of what is to be ranked was never trained on by id: what
--- carries is text, language, place, topics, source and age. The codes have their tables, shared by the article, the
--- user's profile and the user's history, so that "reads Hindi news of this town" is a short way through the model.

local feature = require "recsys.feature"

return {
  user = {
    feature.id { "user", min_count = 2 },
    feature.category { "platform" },
    feature.category { "os_version", min_count = 5 },
    feature.category { "model", min_count = 5 },
    feature.category { "network" },
    feature.category { "district", share = "district" },
    feature.category { "language", share = "language" },
  },
  event = {
    feature.history { of = "id", length = 50 },
    feature.history { of = "id", length = 5, name = "history_5" },
    feature.history { of = "categories", length = 50, name = "topics" },
    feature.history { of = "categories", length = 5, name = "topics_5" },
    feature.history { of = "language", length = 50, name = "languages" },
    feature.history { of = "district", length = 50, name = "places" },
    feature.history { of = "source", length = 50, name = "sources" },
    feature.age { "created" },
    feature.relative_time { item = "created", event = "time", window = "7d", harmonics = 8 },
  },
  item = {
    feature.id { "item", min_count = 2 },
    feature.categories { "categories" },
    feature.category { "language", share = "language" },
    feature.category { "district", share = "district" },
    feature.category { "source" },
    feature.category { "kind" },
    feature.text { name = "words", columns = { title = 2, content = 1 }, dims = 128 },
  },
}

--- Features of MovieLens. What somebody rates next depends most on what he rated last, so the history comes as windows
--- of several lengths over one table of movies: their pools beside one another tell the recent from the old.

local feature = require "recsys.feature"

return {
  user = {
    feature.id { "user" },
    feature.category { "gender" },
    feature.category { "occupation" },
    feature.category { "zip", prefix = 2 },
    feature.buckets { "age", n = 8 },
  },
  event = {
    feature.history { of = "id", length = 50, name = "history_50" },
    feature.history { of = "id", length = 10, name = "history_10" },
    feature.history { of = "id", length = 3, name = "history_3" },
    feature.history { of = "id", length = 1, name = "history_1" },
    feature.history { of = "genres", length = 10, name = "genres_10" },
    feature.history { of = "year", length = 10, name = "years_10" },
  },
  item = {
    feature.id { "item" },
    feature.categories { "genres" },
    feature.buckets { "year", n = 10 },
    feature.tokens { "title", max = 12 },
  },
}

--- The news job's data side, files to model inputs: reading, splitting, fitting recipes/features/news.lua on the
--- training events, and encoding users, items and the events of all three parts.
local cache = require "recsys.cache"
local data = require "recsys.data"
local feature = require "recsys.feature"
local log = require "recsys.log"
local news = require "recsys.sample.news"

return {
  about = "the news job from its three files to encoded users, items and events",
  prepare = function(folder, options)
    return { dir = assert(news.generate { dir = folder .. "/news", scale = options.scale }).dir }
  end,
  run = function(p)
    cache.allow(false) -- the files are read
    log.level = "quiet"
    local dataset = assert(data.load { source = "news", dir = p.dir })
    local split = data.split_by_time(dataset, { valid = 0.1, test = 0.1 })
    local encoder = feature.fit(dataset, split.train, require "recipes.features.news")
    local items, users = encoder:encode_items(dataset.items), encoder:encode_users(dataset.users)
    split:end_selection "timed"
    local encoded = 0
    for _, rows in ipairs { split.train, split.valid, split:open_test() } do
      local events <close> = encoder:encode_events(dataset, rows, { items = items })
      encoded = encoded + events:rows()
    end
    return { events = encoded, users = users:rows(), items = items:rows() }
  end,
  target = { seconds = 10 },
}

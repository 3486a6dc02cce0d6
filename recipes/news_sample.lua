--- Make the sample that the other recipes work on: the three files of an imagined news app, and what is hidden behind
--- them. docs/news-sample.md says what they hold and how their events come about.

local recsys = require "recsys"
local news   = require "recsys.sample.news"
local param  = recsys.config.param

return recsys.recipe {
  name   = "news_sample",
  about  = "Make the sample data of a news app: devices.csv, contents.csv and events.csv",
  params = {
    data = {
      dir   = param(news.defaults.dir, "the folder to make it in; left alone when the same sample is there"),
      scale = param(news.defaults.scale, "1 is 10,400 devices, 9,100 articles and 3.5 million events",
        { min = 1e-6, max = 10 }),
      seed  = param(news.defaults.seed, "the same seed and scale give the same bytes"),
    },
  },
  run = function(flow, p)
    local sample = flow:task("generate", { cache = false }, news.generate, p.data)
    return { reused = sample.reused, paths = { data = sample.dir },
      next_steps = ("  %s recipes/two_tower.lua --set data.dir=%s"):format(recsys.host.called, p.data.dir) }
  end,
}

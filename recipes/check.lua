--- Look before training: load the data as a training job would, and hold it to what its source must fulfil.
---
---     recsys-run recipes/check.lua --set data.dir=DIR        ends with code 3 when the data are not good enough
---
--- To check inside a job, put its `check` step behind its `load` step, with expectations of your own.

local recsys = require "recsys"
local expect = recsys.expect
local param  = recsys.config.param

-- What training relies on, whatever the source.
local common = {
  expect.unique("users", "user"),
  expect.unique("items", "item"),
  expect.unique("interactions", { "user", "item" }, { severity = "warn" }),
  expect.missing_below("interactions", "time", 0),
  expect.joins("interactions", "items", "item"),
  expect.missing_below("items", "title", 0.02),
}

local own = {
  news = {
    expect.range("interactions", "strength", { min = 0, max = 1 }),
    expect.values_in("interactions", "event",
      { "TimeSpent-Front", "TimeSpent-Back", "News Bookmarked", "News Shared" }),
    expect.missing_below("items", "created", 0.01),
    expect.missing_below("items", "categories", 0.2, { severity = "warn" }),
  },
  movielens = {
    expect.range("interactions", "rating", { min = 0.5, max = 5 }),
    expect.missing_below("items", "genres", 0.05, { severity = "warn" }),
  },
}

return recsys.recipe {
  name   = "check",
  about  = "Hold the data to what training relies on",
  params = {
    data = {
      source    = param("news", "where the interactions come from", { choices = { "news", "movielens" } }),
      dir       = param("artifacts/data/news", "the source's files; the news sample is made when absent",
        { form = "folder" }),
      scale     = param(0.03, "size of the news sample: 1 is 3.5 million events", { min = 1e-6, max = 10 }),
      bad_limit = param(0.01, "share of malformed rows from which on loading fails", { min = 0, max = 1 }),
      fresh     = param(nil, "the newest interaction is at most this old: 2d", { type = "string", optional = true,
        form = "span" }),
    },
  },
  run = function(flow, p)
    local expectations = table.move(own[p.data.source], 1, #own[p.data.source], #common + 1, { table.unpack(common) })
    if p.data.fresh then
      expectations[#expectations + 1] = expect.fresh("interactions", "time", { within = p.data.fresh })
    end
    local data    = flow:task("load",  recsys.job.load, p.data, flow:path "quarantine")
    local checked = flow:task("check", expect.all, data, expectations)
    return { checked = checked.checked, warned = checked.warned }
  end,
}

--- Matrix factorisation on nothing but ids: the smallest whole experiment.
--- Items that training never met share one embedding: right for movies; for news, most of them new, see two_tower.lua.

local recsys = require "recsys"
local feature, job, param = recsys.feature, recsys.job, recsys.config.param

return recsys.recipe {
  name = "mf",
  about = "Train, evaluate and publish matrix factorisation on user and item ids",
  params = {
    data = { source = param("news", "news or movielens", { choices = { "news", "movielens" } }),
      dir = "artifacts/data/news", scale = param(0.03, "of the news sample", { min = 1e-6 }) },
    split = { kind = "time", valid = 0.1, test = 0.1 },
    model = { kind = "mf", dim = param(32, "width of the embeddings", { min = 1 }) },
    train = { epochs = 10, batch = 1024, learning_rate = 1e-2 },
    eval = { k = { 10, 50 }, window = param("7d", "most age of an item", { type = "string", optional = true }) },
    recommend = { k = 10, exclude_seen = true },
    publish = { name = "mf", dir = "artifacts/models" },
  },
  profiles = { by = "data.source",
    movielens = { split = { kind = "leave_last_out" }, eval = { window = "" } } },
  run = function(flow, p)
    local ids = { user = { feature.id { "user" } }, item = { feature.id { "item" } } }
    local data = flow:task("load", job.load, p.data, flow:path "quarantine")
    local split = flow:task("split", job.split, data, p.split, p.seed)
    local encoder = flow:task("features", feature.fit, data, split.train, ids)
    flow:task("audit", job.audit, encoder, data, split, ids)
    local model = flow:task("train", job.train, p, encoder, data, split)
    local report = flow:task("evaluate", job.evaluate, p, model, data, split)
    local written = flow:task("recommend", job.recommend, p, model, data, flow:path "recommendations")
    local bundle = flow:task("publish", job.publish, p, model, data, report, flow.name, split)
    return flow:task("report", job.result, report, model, written, bundle)
  end,
}

--- The hybrid beside its parts alone: a transformer over the history and the two towers, on the same test rows, each
--- with the features and parameters of its family (recsys.compare.families), new articles and all. Alone, the
--- transformer is as wide as the two towers.
---
---     recsys-run recipes/benchmarks/hybrid.lua                                   a news app's sample
---     recsys-run recipes/benchmarks/hybrid.lua --set data.source=movielens --set data.dir=DIR

local recsys = require "recsys"
local contest = require "recsys.compare.contest"
local job, param = recsys.job, recsys.config.param

local entries = {
  { label = "hybrid", family = "hybrid" },
  { label = "two-tower model", family = "two_tower" },
  { label = "transformer alone", family = "hybrid", model = { part = "transformer", sequence_dim = 64 } },
}

return recsys.recipe {
  name = "benchmark_hybrid",
  about = "The hybrid against the two-tower model and against the transformer alone, with paired intervals",
  params = {
    data = { source = param("news", "where the interactions come from", { choices = { "news", "movielens" } }),
      dir = param("artifacts/data/news", "the source's files; the news sample is made when absent",
        { form = "folder" }),
      scale = param(0.03, "size of the news sample: 1 is 3.5 million events", { min = 1e-6, max = 10 }) },
    split = { kind = param("time", "how to hold out events", { choices = { "time", "leave_last_out" } }),
      valid = 0.1, test = 0.1 },
    eval = { k = { 10 }, window = param("7d", "age at which an item stops being a candidate", { type = "string",
      optional = true, form = "span" }) },
    seeds = param(3, "trainings of each, with seeds from `seed` on", { min = 1, max = 100 }),
    metric = param("ndcg_10", "what they are compared by"),
    margin = param(0.0, "what the lower end of each difference must be above"),
  },
  profiles = { by = "data.source",
    movielens = { split = { kind = "leave_last_out" }, eval = { window = "" }, margin = -0.003 } },
  run = function(flow, p)
    local data  = flow:task("load",  job.load, p.data, flow:path "quarantine")
    local split = flow:task("split", job.split, data, p.split, p.seed)
    return contest.run(flow, p, data, split, entries)
  end,
}

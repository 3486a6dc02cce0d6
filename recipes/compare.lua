--- The comparative study: families of recommenders tuned, tested and served alike. docs/comparing.md.
---
---     recsys-run recipes/compare.lua --set budget=small                           on the sample of a news app
---     recsys-run recipes/compare.lua --set data.source=movielens --set data.dir=DIR
---     recsys-run recipes/compare.lua --set models=two_tower,mf,next_item

local recsys = require "recsys"
local compare, job, param = recsys.compare, recsys.job, recsys.config.param

return recsys.recipe {
  name = "compare",
  about = "Compare families of recommenders: the same data, budget, test and report for each",
  params = compare.params {
    data = {
      source = param("news", "where the interactions come from", { choices = { "news", "movielens", "lightgcn", "ncf",
        "sasrec", "s3rec" } }),
      dir = param("artifacts/data/news", "the source's files; the news sample is made when absent",
        { form = "folder" }),
      file = param(nil, "which file of the folder, for sources of one file", { type = "string", optional = true }),
      scale = param(0.03, "size of the news sample: 1 is 3.5 million events", { min = 1e-6, max = 10 }),
    },
    split = {
      kind = param("time", "how to hold out events", { choices = { "time", "leave_last_out", "random" } }),
      valid = param(0.1, "share of validation events (time, random)", { min = 0, max = 0.5 }),
      test = param(0.1, "share of test events (time, random)", { min = 0, max = 0.5 }),
    },
    eval = {
      k = param({ 10, 50 }, "cut-offs of the metrics", { min = 1, distinct = true }),
      window = param("7d", "age at which an item stops being a candidate", { type = "string", optional = true,
        form = "span" }),
      trailing = param("1d", "window of the trailing-popularity baselines", { form = "span" }),
      samples = param(1000, "bootstrap resamples of users", { min = 10, max = 1000000 }),
    },
  },
  profiles = { by = "data.source",
    movielens = { split = { kind = "leave_last_out" }, eval = { window = "", trailing = "30d" } },
    lightgcn = { split = { kind = "random" }, eval = { window = "", trailing = "30d" } },
    ncf = { split = { kind = "leave_last_out" }, eval = { window = "", trailing = "30d" } },
    sasrec = { split = { kind = "leave_last_out" }, eval = { window = "", trailing = "30d" } },
    s3rec = { split = { kind = "leave_last_out" }, eval = { window = "", trailing = "30d" } } },
  run = function(flow, p)
    local data = flow:task("load", job.load, p.data, flow:path "quarantine")
    local split = flow:task("split", job.split, data, p.split, p.seed)
    return compare.run(flow, p, data, split)
  end,
}

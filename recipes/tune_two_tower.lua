--- Ten trials of the two-tower retriever, each a run of its own below this one, and the best of them as a whole:
--- trained again, evaluated, published. Trials see validation rows alone; test rows are asked once, at the end.
---
---     recsys-run recipes/tune_two_tower.lua --set tune.trials=20 --set tune.workers=2 --set tune.pruner=asha

local recsys    = require "recsys"
local two_tower = require "recipes.two_tower"
local param     = recsys.config.param
local tune      = recsys.tune

return recsys.recipe {
  name   = "tune_two_tower",
  about  = "Search for the two-tower retriever's best parameters, and publish what they give",
  params = tune.parameters(two_tower.params, {
    model = { hidden = param({ 64 }, "sizes of the towers' hidden layers, such as 128", { of = "integer", min = 1,
      max = 65536 }) },
    tune = {
      trials  = param(10, "trials in all", { min = 1 }),
      workers = param(1, "trials at a time, each in a process", { min = 1, max = 1024 }),
      sampler = param("tpe", "how values are chosen: tpe, random, halton or grid"),
      pruner  = param("median", "which trials are cut short: none, median, asha, hyperband or patience"),
      time    = param(nil, "begin no trial after this", { type = "string", optional = true, form = "span" }),
      study   = param(nil, "the study's name: one that there is is gone on with; the run's own when absent",
        { type = "string", optional = true }),
    },
  }),
  profiles = two_tower.profiles,
  run = function(flow, p)
    local found = flow:task("tune", { cache = false }, tune.task, {
      recipe = "recipes/two_tower.lua", study = p.tune.study or flow.name, set = tune.settings(two_tower.params, p),
      trials = p.tune.trials, workers = p.tune.workers, sampler = p.tune.sampler, pruner = p.tune.pruner,
      time = p.tune.time,
      search = {
        ["model.dim"]           = tune.choice { 32, 64, 96 },
        ["model.dropout"]       = tune.uniform(0.1, 0.3),
        ["train.learning_rate"] = tune.log_uniform(1e-4, 1e-2),
        ["train.batch"]         = tune.choice { 1024, 2048 },
      },
    })
    local result = two_tower.run(flow, tune.with(p, found.best.params:value()))
    return tune.told(found, result)
  end,
}

--- Tuning: trials of a search space, chosen by a sampler, cut short by a pruner, kept in a study (docs/tuning.md).
---
---     local tune = require "recsys.tune"
---     local study <close> = tune.study { name = "valley", search = { x = tune.uniform(-10, 10) } }
---     study:optimize(function(trial) return (trial.params.x - 2) ^ 2 end, { trials = 50 })
---     print(study:best().params.x)

local space = require "recsys.tune.space"
local study = require "recsys.tune.study"

local tune = { choice = space.choice, integer = space.integer, uniform = space.uniform,
  log_uniform = space.log_uniform, quantised = space.quantised, when = space.when }

--- Open a study or begin it: see recsys.tune.study.
---@return Study
function tune.study(request) return study.open(request) end

--- Run the trials of a recipe, and the best one as a whole: see recsys.tune.recipe.
function tune.recipe(request) return require("recsys.tune.recipe").run(request) end

local inside = { task = true, parameters = true, settings = true, with = true, told = true }

--- What recipes that tune others call is loaded when it is asked for: recsys.tune.inside.
return setmetatable(tune, { __index = function(_, name)
  return inside[name] and require("recsys.tune.inside")[name] or nil
end })

--- What every recipe can be told of how it is tracked.

local config = require "recsys.config"

return {
  enabled = config.param(true, "log the run for the page of runs and MLflow"),
  experiment = config.param(nil, "the experiment to log it under; the recipe's name when absent",
    { type = "string", optional = true }),
  system = config.param(false, "log processors and memory, once a second"),
  dir = config.param(nil, "folder of the tracking store; the one above `runs` when absent",
    { type = "string", optional = true, form = "folder" }),
}

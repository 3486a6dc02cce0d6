--- `recsys-run train`: what SageMaker starts a training container with. recsys.sagemaker.train does it.

local argument = require "recsys.argument"
local exit = require "recsys.exit"
local json = require "recsys.json"

local train = { about = "Train as a SageMaker container, told by the files below /opt/ml" }

function train.options(parser)
  parser:argument("RECIPE", "The recipe (default: the hyper-parameter recsys_recipe, RECSYS_TRAIN_RECIPE, two_tower)")
    :args "?"
  parser:option("--set", "Set a parameter, above the hyper-parameters"):argname "NAME=VALUE":count "*":target "set"
  parser:option("--threads", "Threads to compute with"):argname "N":convert(argument.whole_number(1, 4096))
  parser:flag("--show-config", "Show every parameter as it would be used and where it comes from, and end")
    :target "show_config"
  parser:flag("--json", "With --show-config: as one JSON object")
  parser:flag("--metric-definitions", "Print the MetricDefinitions that find the metrics in a job's log, and end")
    :target "metric_definitions"
end

function train.run(args)
  local job = require "recsys.sagemaker.train"
  if not args.metric_definitions then return job.main(args) end
  io.stdout:write(json.encode(json.list(job.definitions(args))), "\n")
  return exit.done
end

return train

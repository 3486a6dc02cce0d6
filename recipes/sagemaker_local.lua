--- SageMaker's local mode without Docker: this program as the container that trains and the one that serves, in trees
--- like /opt/ml. Each step ends the run when the container has not done its part; docs/sagemaker.md.
---
---     recsys-run recipes/sagemaker_local.lua            about a quarter of a minute, on a small sample
---     recsys-run recipes/sagemaker_local.lua --plan     the steps, and the commands for the real service

local recsys   = require "recsys"
local commands = require "recsys.sagemaker.commands"
local job      = require "recsys.sagemaker.train"
local mode     = require "recsys.sagemaker.local_mode"
local param    = recsys.config.param

local fresh = { cache = false, save = false } -- what a step has seen of a container says nothing about the next one

return recsys.recipe {
  name   = "sagemaker_local",
  about  = "Play SageMaker's local mode without Docker: train, pack, serve, invoke, transform, stop",
  params = {
    train = {
      recipe  = param("two_tower", "what the training container runs"),
      scale   = param(0.002, "size of the news sample that it is given", { min = 1e-6, max = 10 }),
      hyperparameters = param({ "train.epochs=3", "model.dim=16", "recommend.k=10" }, "of the job, NAME=VALUE",
        { of = "string" }),
      timeout = param(600.0, "how long it may train", { min = 1, unit = "s" }),
    },
    serve = {
      timeout = param(120.0, "how long GET /ping may take to be 200", { min = 1, unit = "s" }),
      users   = param(100, "lines of the batch transform", { min = 3 }),
    },
    aws = {
      account = param("123456789012", "for --plan: the account's number"),
      region  = param("eu-central-1", "for --plan"),
      bucket  = param("my-bucket", "for --plan: of S3, for data, models and answers"),
      role    = param("arn:aws:iam::123456789012:role/sagemaker", "for --plan: the role that the service takes"),
      image   = param("recsys-run", "for --plan: the repository of the image"),
      name    = param("two-tower", "for --plan: of the job, the model and the endpoint"),
      training_instance = param("ml.m5.xlarge", "for --plan: the machine that trains"),
      serving_instance  = param("ml.c5.large", "for --plan: the machine that serves"),
    },
  },
  plan = function(p)
    local hyperparameters = { recsys_recipe = p.train.recipe }
    for _, setting in ipairs(p.train.hyperparameters) do
      local name, value = setting:match "^([^=]+)=(.*)$"
      if name then hyperparameters[name] = value end
    end
    return commands.text(p.aws, job.definitions { RECIPE = p.train.recipe, set = p.train.hyperparameters },
      hyperparameters)
  end,
  run = function(flow, p)
    local endpoint <close> = mode.endpoint()
    local tree     = flow:task("tree",   fresh, mode.tree, flow:path "training", p.train)
    local trained  = flow:task("train",  fresh, mode.train, tree, p.train.timeout)
    local packed   = flow:task("pack",   fresh, mode.pack, tree, trained, flow:path "model.tar.gz")
    local unpacked = flow:task("unpack", fresh, mode.unpack, packed, flow:path "serving")
    local served   = flow:task("serve",  fresh, function(model) return endpoint:start(model) end, unpacked)
    local users    = flow:task("users",  fresh, mode.users, tree, p.serve.users)
    local ready    = flow:task("ping",   fresh, function() return endpoint:ping(p.serve.timeout) end, served)
    flow:task("invoke", fresh, function(asked) return endpoint:invoke(asked) end, users)
    local lines    = flow:task("transform", fresh, function(asked, path) return endpoint:transform(asked, path) end,
      users, flow:path "requests.jsonl")
    local stopped  = flow:task("stop",   fresh, function() return endpoint:stop() end, lines)
    local report   = flow:task("report", fresh, mode.report, trained, ready, lines, stopped)
    return { trained = trained, ping = ready, transform = lines, stop = stopped, text = report.text,
      paths = { model = packed.path },
      next_steps = ("  %s recipes/sagemaker_local.lua --plan"):format(recsys.host.called) }
  end,
}

--- A training job of SageMaker: a recipe that is told by the files of /opt/ml, and leaves its model there.
--- docs/sagemaker.md has the contract, line by line.

local cli = require "recsys.cli"
local exit = require "recsys.exit"
local files = require "recsys.files"
local log = require "recsys.log"
local metrics = require "recsys.sagemaker.metrics"
local outcome = require "recsys.sagemaker.outcome"
local parameters = require "recsys.sagemaker.parameters"
local recipe = require "recsys.recipe"
local signals = require "recsys.signals"
local tree = require "recsys.sagemaker.tree"
local uv = require "luv"
local variables = require "recsys.sagemaker.variables"
local work = require "recsys.sagemaker.work"

local job = {}

local DEFAULT <const> = "two_tower"

--- The recipe's file: of the argument, the hyper-parameter recsys_recipe, the variable RECSYS_TRAIN_RECIPE, or the
--- program's main one. It may lie in a channel, as "code/mine.lua".
local function find_recipe(argument, ours, folders)
  local variable = os.getenv "RECSYS_TRAIN_RECIPE"
  if variable == "" then variable = nil end
  local word = argument or ours and parameters.decoded(ours.recsys_recipe) or variable or DEFAULT
  if type(word) ~= "string" then exit.usage_error("recsys_recipe must be the name or file of a recipe") end
  local channel_file = folders.data .. "/" .. word
  if word:find "/" and not files.exists(word) and files.exists(channel_file) then return channel_file end
  return cli.find_recipe(word)
end

--- Where parameters come from beside the recipe: the container's folders and channels below all else, the
--- hyper-parameters above the environment.
local function layers(self)
  return function(declaration)
    local channels, said = parameters.channels(declaration, self.job, self.folders, self.given)
    local begun = channels.table[parameters.WARM_START]
    if begun then channels.table[parameters.WARM_START] = work.model(self.work, begun) end
    self.said = said
    local places = parameters.places(declaration,
      { runs = self.work .. "/runs", ["publish.dir"] = self.work .. "/models" })
    return { given = { parameters.layer(declaration, self.given) }, below = { places, channels } }
  end
end

local function tell(line)
  if line then io.stdout:write(line, "\n") end
  io.stdout:flush()
end

--- The run is done and no gate has refused it: hand everything over.
local function deliver(self, result)
  for _, line in ipairs(metrics.result(result)) do tell(line) end
  local bundle = outcome.deliver(self.folders, result)
  if bundle then log.info("the model: %s", bundle) else log.warn "the recipe published no bundle: there is no model" end
  outcome.show(self.folders, result.paths.run)
  log.info("the run: %s", self.folders.output_data)
end

--- What is left when it ends: a reason, a checkpoint, or success. Gives the exit code. A signal that comes now comes
--- too late: what the job has come to is said, and the exit code agrees.
local function finish(self, code)
  signals.hold()
  local folders = self.folders
  if code > 128 then
    local kept = self.keep()
    io.stderr:write("recsys-run: stopped", kept and "; the checkpoint is " .. kept or "", "\n")
    outcome.stop(folders)
  elseif code ~= exit.done then
    outcome.fail(folders, self.message or ("ended with exit code %d"):format(code))
  end
  if code ~= exit.done and self.run then exit.try(outcome.show, folders, self.run) end
  files.settle()
  require("recsys.resume").remove(self.work)
  if code == exit.done then outcome.succeed(folders) end
  if code < 128 then signals.obeyed() end
  return code
end

--- Run the recipe; its exit code. What it told goes to CloudWatch, why it failed to output/failure.
local function run(self, args)
  work.make(self.work)
  local found = work.restore(self.work, self.folders)
  self.keep = work.keep(self.work, self.folders)
  require("recsys.train.logged").listen(function(number, row) tell(metrics.epoch(number, row)) end)
  local delivered = true
  local code = recipe.main(self.path, { set = args.set, threads = args.threads, layers = layers(self),
    resume = found and "" or nil, command = "recsys-run train",
    failed = function(message, folder) self.message, self.run = message, folder end,
    done = function(result)
      signals.hold() -- the model is delivered whole or not at all
      self.run = result.paths.run
      local ok, problem = xpcall(deliver, exit.traced, self, result)
      if not ok then delivered = problem end
    end,
    told = function(_, text) tell(text) end })
  if delivered == true then return code end
  error(delivered, 0)
end

local function begin(args)
  local folders = tree.folders()
  local self = { folders = folders, keep = function() end, work = work.folder(folders) }
  local ok, problem = xpcall(function()
    self.job = tree.read(folders)
    local ours
    self.given, ours = parameters.split(self.job.hyperparameters)
    self.path = find_recipe(args.RECIPE, ours, folders)
  end, exit.traced)
  return self, not ok and problem or nil
end

--- Print where each parameter comes from, and train nothing.
local function show_config(self, args)
  local code = recipe.main(self.path, { set = args.set, layers = layers(self), show_config = true, json = args.json })
  for _, line in ipairs(self.said or {}) do io.stderr:write(line, "\n") end
  require("recsys.resume").remove(self.work) -- a model may have been unpacked there
  return code
end

--- Train as the container was told to.
---@param args { RECIPE?: string, set: string[], threads?: integer, show_config?: boolean, json?: boolean }
---@return integer exit code
function job.main(args)
  local self, problem = begin(args)
  if args.show_config then
    if problem then error(problem, 0) end
    return show_config(self, args)
  end
  local has_tree = files.exists(self.folders.config)
  if problem and not has_tree then error(problem, 0) end
  uv.os_setenv("RECSYS_CACHE", os.getenv "RECSYS_CACHE" or self.work .. "/cache")
  local ok, result = xpcall(function()
    outcome.begin(self.folders)
    if problem then error(problem, 0) end
    variables.set(self.folders, self.job)
    return run(self, args)
  end, exit.traced)
  if ok then return finish(self, result) end
  self.message = log.veiled(exit.message_of(result))
  finish(self, exit.code_of(result))
  error(result, 0)
end

--- The MetricDefinitions of a recipe's jobs.
---@param args { RECIPE?: string, set: string[] }
---@return { Name: string, Regex: string }[]
function job.definitions(args)
  local path = find_recipe(args.RECIPE, nil, tree.folders())
  require("recsys.lookup").begin(path)
  local loaded = recipe.load(path)
  local params = require("recsys.config").resolve(loaded.params, { set = args.set, profiles = loaded.profiles,
    partial = true })
  return metrics.definitions(params)
end

return job

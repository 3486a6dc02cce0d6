--- A process that runs one trial of a recipe, started by recsys.tune.crew.

local current = require "recsys.tune.current"
local exit = require "recsys.exit"
local json = require "recsys.json"
local process = require "recsys.process"

local worker = {}

--- The exit code of one whose recipe refused its parameters, or a file that they name.
worker.REFUSED = 64

local LIFELINE <const> = 3 -- the number of the pipe that recsys.tune.crew holds

--- The trial's values and what the whole study has set, as for --set.
---@return string[]
function worker.settings(study, params)
  local set, names = table.move(study.settings.set, 1, #study.settings.set, 1, {}), {}
  for name in pairs(params) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local value = params[name]
    set[#set + 1] = name .. "=" .. (type(value) == "string" and value or json.encode(value))
  end
  return set
end

--- How the recipe ended, for a trial that has not ended by its objective.
---@return boolean hopeless  no trial of the study will end otherwise
local function settle(trial, problem)
  if trial:look():is_over() then return false end
  if type(problem) == "table" and problem.signal then
    trial:release()
    return false
  end
  trial:fail(problem and exit.message_of(problem) or "no step of the recipe tells the objective: none trains")
  return type(problem) == "table" and problem.code == "objective"
end

--- Run a trial.
---@param request { study: string, store: string, trial: integer, folder: string, pruner: string, pruner_options: table,
---  parent?: string, threads: integer }
---   folder: for its run; parent: the study's run of the tracking store
---@return integer exit code  2: no trial of the study will tell the objective; worker.REFUSED: this one's parameters
---  are wrong; 1: it failed
function worker.run(request)
  assert(process.follow(LIFELINE))
  local trial = current.begin(request)
  local study <close> = trial.study
  trial:adopt()
  local hopeless = false
  local code = require("recsys.recipe").main(study.settings.recipe, { set = worker.settings(study, trial.params),
    config = study.settings.config, threads = request.threads, command = "recsys-run tune",
    trial = { study = request.study, folder = request.folder, parent = request.parent,
      ended = function(problem) hopeless = settle(trial, problem) end,
      is_paused = function() return trial:look().state == "pruned" and study.promoter ~= nil end } })
  return hopeless and exit.usage or code == exit.usage and worker.REFUSED or code
end

return worker

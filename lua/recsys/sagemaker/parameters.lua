--- A job's hyper-parameters and channels as parameters of a recipe.
---
--- SageMaker hands over every value as a text. Like its own toolkit we take a text for JSON where it is JSON, but what
--- a value is to be the recipe's declaration decides: "7" is a text for a parameter that is one. Hyper-parameters that
--- begin with `sagemaker_`, and `_tuning_objective_metric`, are the service's and no recipe's.

local config = require "recsys.config"
local exit = require "recsys.exit"
local json = require "recsys.json"
local lfs = require "lfs"
local secret = require "recsys.config.secret"
local text = require "recsys.text"
local tree = require "recsys.sagemaker.tree"

local parameters = {}

local ORIGIN <const> = "hyperparameters.json"

local own = { "recsys_recipe" }

--- The parameter with the model that a training goes on from: a bundle, and not the folder of its channel.
parameters.WARM_START = "train.warm_start"

--- The job's hyper-parameters, apart: the recipe's, those that choose how it is run, and the service's.
---@param all table<string, any>
---@return table<string, any> given, table<string, any> ours, table<string, any> framework
function parameters.split(all)
  local given, ours, framework = {}, {}, {}
  for name, value in pairs(all) do
    if name:find "^sagemaker_" or name == "_tuning_objective_metric" then
      framework[name] = value
    elseif name:find "^recsys_" then
      ours[name] = value
    else
      given[name] = value
    end
  end
  for _, name in ipairs(tree.names(ours)) do
    if name ~= own[1] then
      local near = text.nearest(name, own)
      exit.usage_error("the hyper-parameter '%s' means nothing%s", name,
        near and ("; did you mean '%s'?"):format(near) or ": of recsys_ there is recsys_recipe alone")
    end
  end
  return given, ours, framework
end

--- A value as the toolkit reads it: what its text says as JSON, else the text.
---@param value any
---@return any
function parameters.decoded(value)
  if type(value) ~= "string" then return value end
  local decoded = json.exact(value)
  if decoded == nil then return value end
  return decoded
end

--- The same for a parameter of that type: numbers to the last digit, and texts that look like something else as texts.
local function typed(value, kind)
  local decoded = parameters.decoded(value)
  if type(decoded) == "string" then return decoded end
  if type(decoded) == "table" and kind ~= "string" then return decoded end
  return value
end

--- A group of parameters is one JSON object: what would be one, and cannot be read, is told by its place.
local function check_group(declaration, name, value)
  local is_group = type(value) == "string" and value:find "^%s*{" and config.has_group(declaration, name)
  if not is_group then return end
  local _, message = json.exact(value)
  if message then exit.usage_error("the hyper-parameter '%s' is no JSON object: %s (%s)", name, message, ORIGIN) end
end

--- The hyper-parameters as a layer of config.resolve.
---@param declaration table  the recipe's params
---@param given table<string, any>
---@return { table: table, origin: string }
function parameters.layer(declaration, given)
  local values = {}
  for _, name in ipairs(tree.names(given)) do check_group(declaration, name, given[name]) end
  for name, value in pairs(given) do values[name] = typed(value, config.type_of(declaration, name)) end
  return { table = values, origin = ORIGIN }
end

--- The parameter that a channel is called as: `train.warm_start` is also `model`, as the service calls the channel of
--- a model that a job goes on from.
local function named_parameter(declaration, name)
  local parameter = name == "model" and parameters.WARM_START or name
  return parameter:find("%.") and config.type_of(declaration, parameter) == "string" and parameter or nil
end

--- The parameters that channels are for: those that they are called as; for one called `training` or `train`, or the
--- only one left, data.dir.
---@return table<string, string>  channel -> parameter
local function parameters_of(declaration, names)
  local found, left = {}, {}
  for _, name in ipairs(names) do
    found[name] = named_parameter(declaration, name)
    if not found[name] then left[#left + 1] = name end
  end
  for _, name in ipairs(left) do
    local is_data = name == "training" or name == "train" or #left == 1
    found[name] = is_data and config.type_of(declaration, "data.dir") and "data.dir" or nil
  end
  return found
end

--- Refuse a job without data, and one whose data are not where it says: its recipe would make its sample there.
local function check_data(names, values, given)
  local group = parameters.decoded(given.data)
  local told = given["data.dir"] or type(group) == "table" and group.dir or os.getenv(secret.variable "data.dir")
  if not told and not values["data.dir"] then
    exit.usage_error("%s: InputDataConfig needs one called 'training' with the recipe's data.dir, or the "
      .. "hyper-parameter data.dir must name a folder", #names == 0 and "the job has no channel"
      or "no channel is for the data, of " .. table.concat(names, ", "))
  end
  local folder = tostring(told and parameters.decoded(told) or values["data.dir"])
  if lfs.attributes(folder, "mode") ~= "directory" then
    exit.usage_error("data.dir: there is no folder %s in the container", folder)
  end
end

--- The folders of channels as a layer of config.resolve, and words on which is which parameter's. A recipe that reads
--- a folder of data must be given one: the sample that it would make instead is nobody's data.
---@param declaration table
---@param job { channels: table<string, table> }  of tree.read
---@param folders SageMakerTree
---@param given table<string, any>  the hyper-parameters: one of them may say where the data are
---@return { table: table, origin: string } layer, string[] said
function parameters.channels(declaration, job, folders, given)
  local values, by, said, names = {}, {}, {}, tree.names(job.channels)
  local of = parameters_of(declaration, names)
  for _, name in ipairs(names) do
    local parameter, folder = of[name], folders.data .. "/" .. name
    if parameter and by[parameter] then
      exit.usage_error("channels '%s' and '%s' are both for %s: give one of them another name", by[parameter], name,
        parameter)
    end
    if parameter then values[parameter], by[parameter] = folder, name end
    said[#said + 1] = ("channel '%s': %s, %s"):format(name, folder, parameter or "of no parameter")
  end
  if config.type_of(declaration, "data.dir") then check_data(names, values, given) end
  return { table = values, origin = "the job's channels" }, said
end

--- Parameters that say where a run puts things, as a layer: of those names the ones that the recipe declares.
---@param declaration table
---@param values table<string, string>
---@return { table: table, origin: string }
function parameters.places(declaration, values)
  local declared = {}
  for name, value in pairs(values) do
    if config.type_of(declaration, name) then declared[name] = value end
  end
  return { table = declared, origin = "the container" }
end

return parameters

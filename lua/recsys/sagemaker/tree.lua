--- What SageMaker gives a training container: the folders below /opt/ml, or below the folder that SAGEMAKER_BASE_DIR
--- names, and the three JSON files of input/config. docs/sagemaker.md is the manual.

local exit = require "recsys.exit"
local files = require "recsys.files"
local json = require "recsys.json"
local lfs = require "lfs"

local tree = {}

---@class SageMakerTree
---@field base string
---@field config string       input/config
---@field data string         input/data: a folder a channel
---@field model string        what lies there at the end becomes model.tar.gz
---@field output string       failure and success
---@field output_data string  becomes output.tar.gz
---@field intermediate string
---@field checkpoints string  where the job has checkpoints, they are there again after a restart
---@field code string

--- The folders, whether they are there or not.
---@return SageMakerTree
function tree.folders()
  local named = os.getenv "SAGEMAKER_BASE_DIR"
  local base = named and named ~= "" and named:gsub("(.)/+$", "%1") or "/opt/ml"
  return { base = base, input = base .. "/input", config = base .. "/input/config", data = base .. "/input/data",
    model = base .. "/model", output = base .. "/output", output_data = base .. "/output/data",
    intermediate = base .. "/output/intermediate", checkpoints = base .. "/checkpoints", code = base .. "/code" }
end

--- The object that a file of input/config holds; an empty one where there is no such file.
local function read_object(folders, name)
  local path = folders.config .. "/" .. name
  if not files.exists(path) then return {} end
  local bytes, unreadable = files.read(path)
  if not bytes then exit.usage_error("cannot read %s", unreadable) end
  local object, message = json.exact(bytes)
  if type(object) ~= "table" or json.is_list(object) then
    exit.usage_error("%s is not a JSON object: %s", path, message or "it holds something else")
  end
  return object
end

local function check_channel(folders, name, channel)
  local path = folders.config .. "/inputdataconfig.json"
  if type(channel) ~= "table" then exit.usage_error("%s: channel '%s' must be an object", path, name) end
  if not name:find "^[%w._-]+$" or name:find "^%.+$" then
    exit.usage_error("%s: '%s' cannot be a channel's name: it is of letters, digits, '.', '_' and '-'", path,
      (name:gsub("%c", "?")))
  end
  local mode = channel.TrainingInputMode or "File"
  if mode == "Pipe" then
    exit.usage_error("channel '%s' is in Pipe mode, whose bytes come once; recipes read files again: give the channel "
      .. "TrainingInputMode File or FastFile", name)
  elseif mode ~= "File" and mode ~= "FastFile" then
    exit.usage_error("%s: channel '%s' has TrainingInputMode '%s'; there are File and FastFile", path, name,
      tostring(mode))
  end
  local folder = folders.data .. "/" .. name
  if lfs.attributes(folder, "mode") ~= "directory" then
    exit.usage_error("channel '%s' of %s is missing: there is no folder %s", name, path, folder)
  end
  if #files.names(folder) == 0 then exit.usage_error("channel '%s' is empty: %s holds no file", name, folder) end
end

--- Names of the channels, sorted.
---@return string[]
function tree.names(channels)
  local names = {}
  for name in pairs(channels) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local function check_hosts(folders, resources)
  local hosts = resources.hosts
  if hosts == nil then return end
  local path = folders.config .. "/resourceconfig.json"
  if not json.is_list(hosts) then exit.usage_error("%s: hosts must be a list of names", path) end
  if #hosts > 1 then
    exit.usage_error("the job has %d hosts (%s), and a recipe trains on one: set InstanceCount to 1 and take a larger "
      .. "instance", #hosts, table.concat(hosts, ", "))
  end
end

--- Read what the job is told. Raises { code = "usage" } for what cannot be trained on.
---@param folders SageMakerTree
---@return { hyperparameters: table, channels: table<string, table>, resources: table }
function tree.read(folders)
  if lfs.attributes(folders.config, "mode") ~= "directory" then
    exit.usage_error("there is no folder %s: this is no training container of SageMaker, and SAGEMAKER_BASE_DIR does "
      .. "not name a folder like /opt/ml. To train here: recsys-run RECIPE", folders.config)
  end
  local job = { hyperparameters = read_object(folders, "hyperparameters.json"),
    channels = read_object(folders, "inputdataconfig.json"),
    resources = read_object(folders, "resourceconfig.json") }
  check_hosts(folders, job.resources)
  for _, name in ipairs(tree.names(job.channels)) do check_channel(folders, name, job.channels[name]) end
  return job
end

return tree

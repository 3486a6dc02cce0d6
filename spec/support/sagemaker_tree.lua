--- A tree like /opt/ml, as SageMaker builds one for a container, and the program started in it.

local command = require "spec.support.command"
local json = require "recsys.json"
local uv = require "luv"

local Tree = {}
Tree.__index = Tree

local FILES <const> = { hyperparameters = "hyperparameters.json", channels = "inputdataconfig.json",
  resources = "resourceconfig.json" }

function Tree:path(name) return self.base .. "/" .. name end

function Tree:read(name) return command.read(self:path(name)) end

function Tree:exists(name) return uv.fs_stat(self:path(name)) ~= nil end

--- Write a file of input/config: what is given as JSON, or a text as it is.
function Tree:tell(name, value)
  command.write(self:path("input/config/" .. FILES[name]), type(value) == "string" and value or json.encode(value))
end

--- Words of the shell that start the program in the tree, in a folder of its own.
function Tree:words(line, variables)
  local set = { ("SAGEMAKER_BASE_DIR='%s' TMPDIR='%s'"):format(self.base, self:path "tmp") }
  for name, value in pairs(variables or {}) do set[#set + 1] = ("%s='%s'"):format(name, value) end
  return ("cd '%s' && env %s %s %s"):format(self:path "here", table.concat(set, " "), command.program, line)
end

--- Run it to its end.
---@param line string  "train --threads 1"
---@param variables? table<string, string>
---@return { code: integer, out: string, err: string }
function Tree:run(line, variables) return command.run(self:words(line, variables)) end

--- Forget what a container has left, as a new one begins without it.
---@param more? string  names of further folders
function Tree:renew(more)
  command.run(("cd '%s' && rm -rf model output tmp %s && mkdir -p model output/data tmp"):format(self.base, more or ""))
end

function Tree:remove() command.remove(self.folder) end

--- All files of the tree below some folder, sorted, with their sizes.
function Tree:listing(name)
  return command.run(("cd '%s' && find . -printf '%%P %%s %%T@\\n' | sort"):format(self:path(name))).out
end

--- A tree with a channel "training" whose files are those of a folder, or none.
---@param training? string
---@return table
return function(training)
  local folder = command.temporary()
  local self = setmetatable({ folder = folder, base = folder .. "/ml" }, Tree)
  command.run(("mkdir -p '%s'/{input/config,input/data,model,output/data,tmp,here}"):format(self.base)
    :gsub("mkdir", "bash -c \"mkdir") .. "\"")
  if training then command.run(("cp -r '%s' '%s'"):format(training, self:path "input/data/training")) end
  self:tell("hyperparameters", {})
  self:tell("channels", training and { training = { TrainingInputMode = "File", S3DistributionType = "FullyReplicated",
    RecordWrapperType = "None" } } or {})
  self:tell("resources", { current_host = "algo-1", hosts = json.list { "algo-1" }, network_interface_name = "eth0" })
  return self
end

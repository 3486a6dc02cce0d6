--- How a container that SageMaker starts with the word `serve` is to answer: where the model is, at which port, and
--- what the variables say that the service and its inference toolkit know. docs/sagemaker.md is the manual.

local exit = require "recsys.exit"
local files = require "recsys.files"
local json = require "recsys.json"
local lfs = require "lfs"
local server = require "recsys.server"
local tree = require "recsys.sagemaker.tree"

local serving = {}

local LARGEST <const> = 100 -- MiB: the most that SageMaker's batch transform sends at once

--- A variable's text; nil for one that is empty or not set.
local function variable(name)
  local text = os.getenv(name)
  return text ~= "" and text or nil
end

--- A variable that is a whole number.
local function number(name, least, most)
  local text = variable(name)
  if not text then return nil end
  local value = text:find "^%d+$" and math.tointeger(tonumber(text))
  if not value or value < least or value > most then
    exit.usage_error("the variable %s must be a whole number, %d to %d, not '%s'", name, least, most, text)
  end
  return value
end

--- The type of answers where the client takes any.
local function accept()
  local name <const> = "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"
  local text = variable(name)
  if not text or server.answers(text) then return text end
  exit.usage_error("the variable %s must be application/json, application/jsonlines or text/csv, not '%s'", name, text)
end

local truths = { ["true"] = true, ["1"] = true, yes = true, ["false"] = false, ["0"] = false, no = false }

local function truth(name)
  local text = variable(name)
  if not text then return false end
  local value = truths[text:lower()]
  if value == nil then exit.usage_error("the variable %s must be true or false, not '%s'", name, text) end
  return value
end

--- The port: that of SAGEMAKER_BIND_TO_PORT. SAGEMAKER_SAFE_PORT_RANGE names further ports, for what a container says
--- to itself; we need none, and only refuse one that is no range.
local function port()
  local range = variable "SAGEMAKER_SAFE_PORT_RANGE"
  local low, high = (range or "1-1"):match "^(%d+)%-(%d+)$"
  if not low or tonumber(low) > tonumber(high) or tonumber(high) > 65535 then
    exit.usage_error("the variable SAGEMAKER_SAFE_PORT_RANGE must be two ports such as 20000-30000, not '%s'", range)
  end
  return number("SAGEMAKER_BIND_TO_PORT", 1, 65535) or 8080
end

--- The one bundle of a folder that a model.tar.gz was unpacked to.
---@param folder string
---@return string path  raises { code = "usage" }
function serving.bundle(folder)
  local found = {}
  for _, name in ipairs(files.names(folder)) do
    local ours = name:find "%.tar$" and not name:find "^%." -- a Mac packs ._NAME beside NAME
    if ours and lfs.attributes(folder .. "/" .. name, "mode") == "file" then found[#found + 1] = name end
  end
  if #found == 1 then return folder .. "/" .. found[1] end
  if #found > 1 then
    exit.usage_error("%s holds %d bundles, and one is served: %s", folder, #found, table.concat(found, ", "))
  end
  exit.usage_error("%s: a model's folder holds its bundle, NAME-VERSION.tar, as a training job leaves it in "
    .. "model.tar.gz", lfs.attributes(folder, "mode") and "there is no bundle in " .. folder
    or "there is no folder " .. folder)
end

local strategies = { SINGLE_RECORD = true, MULTI_RECORD = true, SingleRecord = true, MultiRecord = true }

--- What GET /execution-parameters says. The strategy stands there only where the environment names one: without it
--- both the service and SageMaker's local mode take theirs, of which the latter refuses what the former writes.
local function execution(workers, payload)
  local strategy = variable "SAGEMAKER_BATCH_STRATEGY"
  if strategy and not strategies[strategy] then
    exit.usage_error("the variable SAGEMAKER_BATCH_STRATEGY must be SINGLE_RECORD or MULTI_RECORD, not '%s'", strategy)
  end
  return json.encode { MaxConcurrentTransforms = number("SAGEMAKER_MAX_CONCURRENT_TRANSFORMS", 1, 100000) or workers,
    MaxPayloadInMB = payload, BatchStrategy = strategy }
end

--- Bytes that loaded models may take: what the container has, but for a fifth.
local function room()
  local named = require("recsys.text").bytes(variable "RECSYS_MEMORY" or "")
  local cgroup = tonumber(files.read "/sys/fs/cgroup/memory.max" or "")
  local machine = tonumber((files.read "/proc/meminfo" or ""):match "MemTotal:%s*(%d+) kB") or 1 << 20
  return named or math.floor(math.min(cgroup or math.huge, machine * 1024.0) * 0.8)
end

--- Whether the program runs as a container of SageMaker, or as if.
---@return boolean
function serving.is_container()
  return variable "SAGEMAKER_BASE_DIR" ~= nil or lfs.attributes("/opt/ml", "mode") == "directory"
end

--- How to serve. Raises { code = "usage" } for a model that is not there and for variables that make no sense.
---@param workers integer  threads that answer, unless SAGEMAKER_MODEL_SERVER_WORKERS says otherwise
---@return { word?: string, models_root?: string, models_room?: integer, host: string, port: integer, workers: integer,
---   max_body: integer, accept?: string, execution: string }
---   word: the bundle; models_root: instead of it, the folder below which models are loaded and unloaded by name, and
---   models_room, how many bytes they may take; accept: the type of an answer whose Accept allows all, absent: that of
---   the request; execution: the text of GET /execution-parameters
function serving.options(workers)
  local folders = tree.folders()
  local many = truth "SAGEMAKER_MULTI_MODEL"
  workers = number("SAGEMAKER_MODEL_SERVER_WORKERS", 1, 1024) or workers
  local payload = number("SAGEMAKER_MAX_PAYLOAD_IN_MB", 0, LARGEST) or 6
  number("SAGEMAKER_MODEL_SERVER_TIMEOUT", 1, 86400) -- of a Python worker; answers here have no need of one
  return { word = not many and serving.bundle(folders.model) or nil, models_root = many and folders.base .. "/models"
    or nil, models_room = many and room() or nil, host = "0.0.0.0", port = port(), workers = workers,
    max_body = (payload == 0 and LARGEST or payload) << 20,
    accept = accept(), execution = execution(workers, payload) }
end

return serving

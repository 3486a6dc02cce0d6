--- The folder that a job's run works in, and what of it outlives the container.
---
--- Runs lie on the container's own disk: the service copies the folder of checkpoints while it is written to, file by
--- file, and of a folder of many files a restart would get some old and some new. So each checkpoint is put there
--- whole, as one file that is replaced by a rename. A job that starts and finds it goes on from there: what comes
--- before the training is done again, from the channels, to the same bits.

local exit = require "recsys.exit"
local files = require "recsys.files"
local log = require "recsys.log"
local resume = require "recsys.resume"
local serving = require "recsys.sagemaker.serving"
local uv = require "luv"

local work = {}

local NAME <const> = "recsys-run-checkpoint.tar"

local function quoted(path) return "'" .. path:gsub("'", "'\\''") .. "'" end

--- Run tar; what it says is told when it fails.
local function tar(words)
  local pipe = io.popen(("LC_ALL=C tar %s 2>&1"):format(words), "r")
  local said = pipe:read "a"
  local done = pipe:close()
  if done then return true end
  return nil, (said:gsub("%s+$", "")):match "[^\n]*$"
end

--- The folder of a job, the same each time: SageMaker gives a container a /tmp on the volume that the job asked for.
---@param folders SageMakerTree
---@return string
function work.folder(folders)
  local temporary = os.getenv "TMPDIR"
  if not temporary or temporary == "" then temporary = "/tmp" end
  local real = uv.fs_realpath(folders.base) or folders.base
  return ("%s/recsys-run%s"):format(temporary:gsub("(.)/+$", "%1"), real:gsub("/", "-"))
end

--- Make it, empty.
---@param folder string
function work.make(folder)
  resume.remove(folder)
  local ok, message = uv.fs_mkdir(folder, tonumber("700", 8))
  if not ok then error({ code = "io", message = ("cannot make the folder %s: %s"):format(folder, message) }, 0) end
end

--- Put what the last checkpoint left into the folder.
---@return boolean  whether there was something
function work.restore(folder, folders)
  local path = folders.checkpoints .. "/" .. NAME
  if not files.exists(path) then return false end
  local ok, message = tar(("-xf %s -C %s --no-same-owner"):format(quoted(path), quoted(folder)))
  if ok then
    log.info("checkpoint found: %s", path)
    return true
  end
  log.warn("the checkpoint %s cannot be read, and is left out: %s", path, message)
  work.make(folder)
  return false
end

--- The bundle of a channel that holds a model, as it is or in the model.tar.gz that a job has left.
---@param folder string   where it is unpacked
---@param channel string  the channel's folder
---@return string path  raises { code = "usage" } where there is none
function work.model(folder, channel)
  local archive, place = channel .. "/model.tar.gz", folder .. "/model"
  if not files.exists(archive) then return serving.bundle(channel) end
  if not files.exists(place) then
    local ok, message = tar(("-xzf %s -C %s --no-same-owner"):format(quoted(archive), quoted(files.make_folder(place))))
    if not ok then exit.usage_error("%s cannot be unpacked: %s", archive, message) end
  end
  return serving.bundle(place)
end

--- Pack the unfinished run whose training's checkpoint lies in 'place' into one file.
local function pack(folder, place, path)
  local run = place:sub(#folder + 2):match "^(runs/[^/]+/unfinished)/"
  if place:sub(1, #folder + 1) ~= folder .. "/" or not run then return end
  local part = path .. ".part"
  local ok, message = tar(("-cf %s -C %s --exclude=lock --exclude='*.tmp' %s"):format(quoted(part), quoted(folder),
    quoted(run)))
  if ok then ok, message = files.sync(part) end
  if ok then ok, message = os.rename(part, path) end
  if ok then return end
  os.remove(part)
  error({ code = "io", message = ("cannot write %s: %s"):format(path, message) }, 0)
end

--- Keep each checkpoint where the service keeps checkpoints, if the job has such a folder.
---@param folder string
---@param folders SageMakerTree
---@return fun(): string?  for who was stopped: keeps the last one with the job's output where there is no such folder,
---   and gives the path of what was kept, if anything was
function work.keep(folder, folders)
  local checkpoint = require "recsys.train.checkpoint"
  local path, last = folders.checkpoints .. "/" .. NAME, nil
  local has_folder = files.exists(folders.checkpoints)
  checkpoint.listen(function(place)
    last = place
    if has_folder then pack(folder, place, path) end
  end)
  return function()
    if not last or has_folder then return last and path or nil end
    path = files.make_folder(folders.output_data) .. "/" .. NAME
    local ok, problem = exit.try(pack, folder, last, path)
    if not ok then log.warn("the checkpoint is not kept: %s", exit.message_of(problem)) end
    return ok and path or nil
  end
end

return work

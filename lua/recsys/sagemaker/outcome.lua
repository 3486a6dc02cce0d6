--- What a training job leaves for the service: the model, the output, a word of success, or the reason of a failure.
---
--- A disk that the training has filled must not swallow the reason (a job that ends well by its files is taken for
--- one): room for it is set aside at the start, in a file that becomes `failure`, and given back at the end.

local exit = require "recsys.exit"
local files = require "recsys.files"
local text = require "recsys.text"
local uv = require "luv"

local outcome = {}

local SHOWN <const> = 1024 -- of output/failure, as FailureReason

local function room_of(folders) return folders.output .. "/.failure" end

--- Look whether the job can leave something, and set room aside for a reason. Raises { code = "io" } where it cannot.
---@param folders SageMakerTree
function outcome.begin(folders)
  for _, folder in ipairs { folders.model, folders.output } do
    files.make_folder(folder)
    if not uv.fs_access(folder, "W") then
      error({ code = "io", message = ("cannot write to %s as this user: SageMaker gives the folders to root; build the "
        .. "image with --build-arg RUN_AS=root"):format(folder) }, 0)
    end
  end
  files.write(room_of(folders), (" "):rep(SHOWN))
end

--- The reason as the service shows it: its beginning, in whole characters; control characters would end it.
---@param message string
---@return string
function outcome.reason(message)
  local readable = text.readable(message):gsub("[%z\1-\8\11-\31\127]", " ")
  return text.shortened(readable, SHOWN)
end

--- Write into the room without asking the disk for more.
local function fill(path, reason)
  local handle = uv.fs_open(path, "r+", 0)
  if not handle then return false end
  local written = uv.fs_write(handle, reason, 0)
  if written == #reason then uv.fs_ftruncate(handle, #reason) end
  uv.fs_fsync(handle)
  uv.fs_close(handle)
  return written == #reason
end

--- Say why the job failed, unless somebody (a recipe, say) has.
---@param folders SageMakerTree
---@param message string
function outcome.fail(folders, message)
  local path, room = folders.output .. "/failure", room_of(folders)
  if files.exists(path) then
    os.remove(room)
    return
  end
  local reason = outcome.reason(message)
  if fill(room, reason) and os.rename(room, path) then return end
  os.remove(room)
  local ok, problem = pcall(function()
    files.make_folder(folders.output)
    files.write(path, reason)
  end)
  if not ok then io.stderr:write("recsys-run: ", exit.message_of(problem), "\n") end
end

--- Copy a file; raises { code = "io" }, and leaves no part of it, when the disk refuses.
local function copy(from, to)
  local ok, message = uv.fs_copyfile(from, to, { ficlone = true })
  if ok then ok, message = files.sync(to) end
  if ok then return end
  os.remove(to)
  error({ code = "io", message = ("cannot write %s: %s"):format(to, message) }, 0)
end

local function copy_files(from, to)
  for _, name in ipairs(files.names(from)) do
    local about = uv.fs_stat(from .. "/" .. name)
    if about and about.type == "file" and not files.is_unfinished(name) then
      copy(from .. "/" .. name, files.make_folder(to) .. "/" .. name)
    end
  end
end

--- Put the published bundle where the service makes model.tar.gz of it.
---@param folders SageMakerTree
---@param result table  of the recipe
---@return string? path  nil: the recipe has published none
function outcome.deliver(folders, result)
  local bundle = type(result.paths) == "table" and result.paths.bundle
  if type(bundle) ~= "string" then return nil end
  local path = folders.model .. "/" .. bundle:match "[^/]+$"
  copy(bundle, path)
  return path
end

--- Put what people read of a run, its recommendations and the malformed rows of its data where the service makes
--- output.tar.gz of it.
---@param folders SageMakerTree
---@param run string  the run's folder
function outcome.show(folders, run)
  copy_files(run, folders.output_data)
  for _, name in ipairs { "recommendations", "quarantine" } do
    copy_files(run .. "/" .. name, folders.output_data .. "/" .. name)
  end
end

--- Say that the job is done.
---@param folders SageMakerTree
function outcome.succeed(folders)
  files.write(folders.output .. "/success", "")
  os.remove(room_of(folders))
end

--- A job that was stopped has neither failed nor succeeded.
---@param folders SageMakerTree
function outcome.stop(folders) os.remove(room_of(folders)) end

return outcome

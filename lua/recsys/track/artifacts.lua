--- The files of runs: FOLDER/mlartifacts/EXPERIMENT/RUN/artifacts/..., which MLflow serves as `mlflow-artifacts:/...`.
---
--- Paths are given relative to mlartifacts, with `/`. What would lead out of that folder, by `..` or by a link, is
--- refused as { code = "INVALID_PARAMETER_VALUE" }, whoever asks. Files are put there atomically.

local files = require "recsys.files"
local lfs = require "lfs"
local names = require "recsys.track.names"
local uv = require "luv"

local artifacts = {}

--- The folder of all artifacts of a store's folder.
---@return string
function artifacts.root(folder) return folder .. "/mlartifacts" end

local function refuse(path)
  names.refuse("INVALID_PARAMETER_VALUE", "Invalid path: '%s'. A path below the artifacts' folder is expected.",
    (tostring(path):sub(1, 200):gsub("[%c\128-\255]", "?")))
end

--- 'path' without what it can be written without; raises for one that leads elsewhere. "" is the root itself.
---@param path string  relative, of names that are not empty, "." or ".."
---@return string
function artifacts.checked(path)
  if type(path) ~= "string" or #path > 4000 or not utf8.len(path) or path:find "[%c\\]" or path:find "^/" then
    refuse(path)
  end
  path = path:gsub("/+$", "")
  if path == "" then return path end
  for part in (path .. "/"):gmatch "(.-)/" do
    if part == "" or part == "." or part == ".." or #part > 255 then refuse(path) end
  end
  return path
end

--- The part of 'path' that exists, followed through all links.
local function real(path)
  local found = uv.fs_realpath(path)
  while not found do
    path = path:match "^(.+)/[^/]+$"
    if not path then return uv.cwd() end
    found = uv.fs_realpath(path)
  end
  return found
end

--- Where an artifact lies, whether it is there or not.
---@param folder string  the store's
---@param path string    below mlartifacts
---@return string
function artifacts.path(folder, path)
  local root = artifacts.root(folder)
  path = artifacts.checked(path)
  local place = path == "" and root or root .. "/" .. path
  local home = uv.fs_realpath(root)
  if home then
    local there = real(place)
    if there ~= home and there:sub(1, #home + 1) ~= home .. "/" then refuse(path) end
  end
  return place
end

--- The path below mlartifacts that an address stands for; nil for an address of another kind.
---@param uri string  "mlflow-artifacts:/1/RUN/artifacts", also with a host
---@return string?
function artifacts.of(uri)
  local path = uri:match "^mlflow%-artifacts://[^/]*/(.*)$" or uri:match "^mlflow%-artifacts:/([^/].*)$"
  return path and artifacts.checked(path)
end

--- What a folder holds, in order of names; nothing where there is no such folder.
---@return { path: string, is_dir: boolean, file_size?: integer }[]  path: the name alone
function artifacts.list(folder, path)
  local place, list = artifacts.path(folder, path), {}
  for _, name in ipairs(files.names(place)) do
    local about = lfs.symlinkattributes(place .. "/" .. name)
    if about and about.mode == "directory" then
      list[#list + 1] = { path = name, is_dir = true }
    elseif about and about.mode == "file" and not files.is_unfinished(name) then
      list[#list + 1] = { path = name, is_dir = false, file_size = about.size }
    end
  end
  return list
end

--- Where an artifact is to be written, in a folder that is there.
local function place_for(folder, path)
  if files.is_unfinished(path) then
    names.refuse("INVALID_PARAMETER_VALUE", "Invalid path: '%s'. Names that end with .NUMBER.tmp are those of files "
      .. "that are being written.", path:sub(1, 200))
  end
  local place = artifacts.path(folder, path)
  files.make_folder((place:match "^(.*)/[^/]+$"))
  return place
end

--- Put bytes there.
function artifacts.write(folder, path, bytes)
  local place = place_for(folder, path)
  files.write(place, bytes, true)
end

local function failed(place, message)
  error({ code = "io", message = ("cannot write %s: %s"):format(place, message) }, 0)
end

--- Put a file there: a copy, or for files that nobody changes in place the same file under another name.
---@param source string
---@param how? string  "link": the same file, where the file system can; "move": the source goes. Default: a copy
function artifacts.put(folder, path, source, how)
  local place = place_for(folder, path)
  local unfinished, ok, message = ("%s.%d.tmp"):format(place, uv.os_getpid()), nil, nil
  uv.fs_unlink(unfinished)
  if how == "link" then ok = uv.fs_link(uv.fs_realpath(source) or source, unfinished) end
  if how == "move" then ok = uv.fs_rename(source, unfinished) end
  if not ok then ok, message = uv.fs_copyfile(source, unfinished, { ficlone = true }) end
  if ok then ok, message = uv.fs_rename(unfinished, place) end
  uv.fs_unlink(unfinished) -- a rename onto the same file leaves both names
  if not ok then failed(place, message) end
  if how == "move" then uv.fs_unlink(source) end
end

local function remove(place)
  if lfs.symlinkattributes(place, "mode") == "directory" then
    for _, name in ipairs(files.names(place)) do remove(place .. "/" .. name) end
    lfs.rmdir(place)
  else
    uv.fs_unlink(place)
  end
end

--- Remove what a process that is gone was writing below a path.
---@param folder string
---@param path string
---@param pid string
function artifacts.sweep(folder, path, pid)
  local place = artifacts.path(folder, path)
  for _, name in ipairs(files.names(place)) do
    if name:sub(-#pid - 5) == "." .. pid .. ".tmp" then
      os.remove(place .. "/" .. name)
    elseif lfs.symlinkattributes(place .. "/" .. name, "mode") == "directory" then
      artifacts.sweep(folder, path .. "/" .. name, pid)
    end
  end
end

--- Remove a file or a folder with all that is in it; one that is not there is fine.
function artifacts.remove(folder, path)
  if artifacts.checked(path) == "" then refuse(path) end
  remove(artifacts.path(folder, path))
end

return artifacts

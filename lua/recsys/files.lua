--- Files and folders: made with their parents, replaced atomically.

local lfs = require "lfs"
local uv = require "luv"

local files = {}

--- Make a folder and those above it. Raises with the system's reason.
---@param path string
---@return string path
function files.make_folder(path)
  if lfs.attributes(path, "mode") == "directory" then return path end
  local above = path:match "^(.+)/[^/]+/*$"
  if above and above ~= "" then files.make_folder(above) end
  local ok, message = lfs.mkdir(path)
  if not ok and lfs.attributes(path, "mode") ~= "directory" then
    error({ code = "io", message = ("cannot make the folder %s: %s"):format(path, message) }, 0)
  end
  return path
end

--- Whether a file or folder is there.
function files.exists(path)
  return lfs.attributes(path, "mode") ~= nil
end

--- The names of what a folder holds, in order; none where there is no such folder.
---@param path string
---@return string[]
function files.names(path)
  local names = {}
  if lfs.attributes(path, "mode") ~= "directory" then return names end
  for name in lfs.dir(path) do
    if name ~= "." and name ~= ".." then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

--- Whether a file is JSON Lines by its name, compressed or not.
---@param path string
function files.is_json_lines(path)
  local bare = path:lower():gsub("%.gz$", ""):gsub("%.zst$", "")
  return bare:find "%.jsonl$" ~= nil or bare:find "%.ndjson$" ~= nil
end

--- A whole file, or nil, message.
---@return string?, string?
function files.read(path)
  local file, message = io.open(path, "rb")
  if not file then return nil, message end
  local bytes = file:read "a"
  file:close()
  if not bytes then return nil, path .. ": cannot be read" end
  return bytes
end

local function checked(ok, message, path)
  if not ok then error({ code = "io", message = ("cannot write %s: %s"):format(path, message) }, 0) end
  return ok
end

--- Wait until the disk has what was written to a file or folder.
---@param path string
---@return boolean? done, string? message
function files.sync(path)
  local handle, message = uv.fs_open(path, "r", 0)
  if not handle then return nil, message end
  local ok, refused = uv.fs_fsync(handle)
  uv.fs_close(handle)
  return ok, refused
end

--- The same for the folder that 'path' is in, so that a rename lasts; some file systems cannot, which does no harm.
---@param path string
function files.sync_folder_of(path)
  files.sync(path:match "^(.*)/[^/]*$" or ".")
end

local owed, is_owed = {}, {} -- files that were written and may not be on the disk yet, in order

--- Note that a file was written without waiting for the disk.
---@param path string
function files.owe(path)
  if not is_owed[path] then owed[#owed + 1] = path end
  is_owed[path] = true
end

--- Wait until the disk has all that was written without waiting for it, and the names. What stands on earlier files,
--- such as a checkpoint on its run's, calls this before it is written itself. Raises when the disk refuses.
function files.settle()
  local paths, folders = owed, {}
  owed, is_owed = {}, {}
  for _, path in ipairs(paths) do
    local ok, message = files.sync(path)
    if not ok and files.exists(path) then
      error({ code = "io", message = ("cannot write %s: %s"):format(path, message) }, 0)
    end
    local folder = path:match "^(.*)/[^/]*$" or "."
    if not folders[folder] then files.sync(folder) end
    folders[folder] = true
  end
end

--- Whether a name is that of a file which is being written, or was when its process was killed: by files.write, or by
--- recsys.writer.
---@param name string
function files.is_unfinished(name)
  return name:find "%.%d+%.tmp$" ~= nil or name:find "%.part$" ~= nil
end

--- Put 'bytes' at 'path': a killed process leaves the old file or the new one, never half. Raises on failure.
---@param path string
---@param bytes string
---@param later? boolean|"checked"  true: do not wait until the disk has it. After a power cut the file may then be
---  empty, unless files.settle() was called: a disk that others use, too, may take longer than all the rest of a small
---  job. "checked": files.settle() does not wait for it either, as whoever reads it knows its hash
function files.write(path, bytes, later)
  local temporary = ("%s.%d.tmp"):format(path, uv.os_getpid())
  local handle, refused = uv.fs_open(temporary, "w", tonumber("644", 8))
  checked(handle, refused, path)
  local ok, message = uv.fs_write(handle, bytes, 0)
  if ok and ok ~= #bytes then ok, message = nil, "only a part was written" end
  if ok and not later then ok, message = uv.fs_fsync(handle) end
  uv.fs_close(handle)
  if ok then ok, message = uv.fs_rename(temporary, path) end
  if not ok then uv.fs_unlink(temporary) end
  checked(ok, message, path)
  if not later then files.sync_folder_of(path) end
  if later == true then files.owe(path) end
end

return files

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

local function sync_folder(path)
  local handle = uv.fs_open(path:match "^(.*)/[^/]*$" or ".", "r", 0)
  if handle then
    uv.fs_fsync(handle)
    uv.fs_close(handle)
  end
end

--- Put 'bytes' at 'path': a killed process leaves the old file or the new one, never half. Raises on failure.
---@param path string
---@param bytes string
function files.write(path, bytes)
  local temporary = ("%s.%d.tmp"):format(path, uv.os_getpid())
  local handle, refused = uv.fs_open(temporary, "w", tonumber("644", 8))
  checked(handle, refused, path)
  local ok, message = uv.fs_write(handle, bytes, 0)
  if ok and ok == #bytes then ok, message = uv.fs_fsync(handle) end
  uv.fs_close(handle)
  if ok then ok, message = uv.fs_rename(temporary, path) end
  if not ok then uv.fs_unlink(temporary) end
  checked(ok, message, path)
  sync_folder(path)
end

return files

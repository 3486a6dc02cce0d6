--- Bundles by their content: STORE/mlartifacts/models/DIGEST/bundle.tar, with a file MLmodel beside each that tells
--- MLflow's clients and pages what it is.
---
--- The folder is below the one that MLflow's artifact proxy serves, as mlflow-artifacts:/models/DIGEST. A bundle lies
--- there whole before a row of the database points to it; DIR/NAME-VERSION.tar is another name of the same file, made
--- afterwards, and made again when it is found missing.

local files = require "recsys.files"
local json = require "recsys.json"
local lfs = require "lfs"
local uv = require "luv"

local bundles = {}

local DAY <const> = 86400

--- Where the bundles of a store lie.
---@param store string  the folder that holds mlflow.db
function bundles.root(store)
  return store .. "/mlartifacts/models"
end

--- Whether a text is a digest: it came out of a database that others write, too, and becomes a path.
function bundles.is_digest(digest)
  return type(digest) == "string" and #digest == 64 and not digest:find "[^0-9a-f]"
end

function bundles.folder(store, digest)
  assert(bundles.is_digest(digest), "a digest is expected")
  return bundles.root(store) .. "/" .. digest
end

--- The file of a bundle, whether it is there or not.
---@return string
function bundles.path(store, digest)
  return bundles.folder(store, digest) .. "/bundle.tar"
end

--- Where MLflow's artifact proxy has a bundle: the source of a version that no run has logged.
---@return string
function bundles.address(digest)
  return "mlflow-artifacts:/models/" .. digest
end

--- A new name for a file that nobody is to see yet.
---@return string
function bundles.hidden(store)
  return ("%s/.%d-%d"):format(files.make_folder(bundles.root(store)), uv.os_getpid(), uv.hrtime())
end

--- Remove what killed publishers left unfinished more than a day ago.
function bundles.sweep(store)
  for _, name in ipairs(files.names(bundles.root(store))) do
    local path = bundles.root(store) .. "/" .. name
    local age = name:match "^%.%d" and os.time() - (lfs.attributes(path, "modification") or os.time())
    if age and age > DAY then os.remove(path) end
  end
end

--- What MLflow knows a model by: YAML, in which JSON's strings are strings. There is one flavour, ours: nothing of
--- Python loads it.
---@param about { digest: string, manifest: table, run_id?: string, path?: string, file?: string }
---@return string
function bundles.mlmodel(about)
  local manifest, lines = about.manifest, {}
  local function put(format, ...) lines[#lines + 1] = format:format(...) end
  put("artifact_path: %s", json.encode(about.path or "model"))
  put "flavors:"
  put "  recsys_run:"
  put("    bundle: %s", json.encode(about.file or "bundle.tar"))
  put("    digest: %s", json.encode(about.digest))
  put("    kind: %s", json.encode(tostring(manifest.model and manifest.model.kind or "")))
  put("    runtime: %s", json.encode(tostring(manifest.runtime and manifest.runtime.version or "")))
  put("model_uuid: %s", json.encode(about.digest:sub(1, 32)))
  if about.run_id then put("run_id: %s", json.encode(about.run_id)) end
  put("utc_time_created: %s", json.encode((tostring(manifest.created or ""):gsub("T", " "):gsub("Z$", ""))))
  return table.concat(lines, "\n") .. "\n"
end

--- Move the finished file 'hidden' to the place of its digest.
---@return string path
function bundles.keep(store, hidden, digest, manifest)
  local folder = files.make_folder(bundles.folder(store, digest))
  files.write(folder .. "/MLmodel", bundles.mlmodel { digest = digest, manifest = manifest })
  assert(uv.fs_rename(hidden, folder .. "/bundle.tar"))
  files.sync(folder)
  files.sync(bundles.root(store))
  return folder .. "/bundle.tar"
end

--- Note that a version points, or pointed, to a bundle: a file of the same content in the folder of names is then no
--- newcomer.
function bundles.mark(store, digest)
  files.write(bundles.folder(store, digest) .. "/.registered", "", true)
end

function bundles.is_marked(store, digest)
  return files.exists(bundles.folder(store, digest) .. "/.registered")
end

--- Remove a bundle that no row points to.
function bundles.drop(store, digest)
  local folder = bundles.folder(store, digest)
  for _, name in ipairs(files.names(folder)) do os.remove(folder .. "/" .. name) end
  os.remove(folder)
end

--- Digests of all bundles that lie in a store, sorted.
---@return string[]
function bundles.all(store)
  local found = {}
  for _, name in ipairs(files.names(bundles.root(store))) do
    if bundles.is_digest(name) then found[#found + 1] = name end
  end
  return found
end

--- Whether two paths are names of one file.
---@return boolean?
function bundles.same_file(a, b)
  local one, other = lfs.attributes(a), lfs.attributes(b)
  return one and other and one.dev == other.dev and one.ino == other.ino
end

--- Give a file a second name: a hard link, or a copy where the other name is in another file system. A name that is
--- taken stays as it is.
---@param from string
---@param path string
---@return boolean? made   nil, message when it cannot be
---@return string? message
function bundles.link(from, path)
  local ok, message, code = uv.fs_link(from, path)
  if ok or code == "EEXIST" then return ok ~= nil end
  if code == "ENOENT" or code == "EACCES" or code == "ENOSPC" then return nil, message end
  local hidden = ("%s.%d.tmp"):format(path, uv.os_getpid())
  ok, message = uv.fs_copyfile(from, hidden)
  if ok then ok, message = files.sync(hidden) end
  if ok then ok, message = uv.fs_rename(hidden, path) end
  if not ok then uv.fs_unlink(hidden) end
  files.sync_folder_of(path)
  return ok, message
end

return bundles

--- From a word to a version that may be served: found, loaded, asked for what it promises, and warm.

local core = require("recsys.core").serve
local expectations = require "recsys.serve.expectations"
local json = require "recsys.json"
local registry = require "recsys.registry"
local uv = require "luv"

local versions = {}

local WARM <const> = 16 -- users that are asked for, so that the first caller does not wait for pages of the file

--- What tells one state of a bundle's file from another without reading it.
local function stamp_of(path)
  local found = uv.fs_stat(path)
  local time = found and found.mtime
  return found and ("%s %d %d %d.%09d"):format(path, found.ino, found.size, time.sec, time.nsec) or path
end

--- Whether a path lies in a folder, by whatever name.
local function lies_in(path, folder)
  local real, place = uv.fs_realpath(path), uv.fs_realpath(folder)
  return place ~= nil and real ~= nil and real:match "^(.*)/" == place
end

--- The file that a word stands for now: a path, or what the registry knows, with or without "registry:" before it.
---@param word string
---@param dir? string  where published models lie
---@return { path: string, stamp: string, copy: boolean }?  copy: others may write into the file, as into none of the
---   registry's
---@return string? message
function versions.find(word, dir)
  local bare = word:match "^registry:(.*)$"
  local path, message = registry.resolve(bare or word, dir)
  if not path then return nil, message end
  local copy = path == (bare or word) and not lies_in(path, dir or registry.dir)
  return { path = path, stamp = stamp_of(path), copy = copy }
end

--- NAME-VERSION as the manifest has it; of a bundle of somebody else's the file's name.
local function name_of(text, path)
  local manifest = json.decode(text)
  if type(manifest.name) == "string" and math.tointeger(manifest.version) then
    return ("%s-%d"):format(manifest.name, math.tointeger(manifest.version))
  end
  return (path:match "([^/]+)$":gsub("%.tar$", ""))
end

local function warm(model)
  local users = model:facts().users
  for i = 1, math.min(users, WARM) do
    model:recommend { user = model:user(1 + (i - 1) * users // WARM % users), k = 50 }
  end
end

--- Load what was found. By itself every byte is verified first; 'later' leaves that to ServedModel:verify, for a server
--- that is to answer at once.
---@param found { path: string, copy?: boolean }
---@param later? boolean
---@return { model: ServedModel, name: string, digest: string }?
---@return string? message
function versions.load(found, later)
  local model, message = (later and core.map or core.open)(found.path, found.copy)
  if not model then return nil, message end
  local fine, wrong = expectations.check(model, model:member(expectations.member))
  if not fine then
    model:close()
    return nil, ("%s: %s"):format(found.path, wrong)
  end
  if not later then warm(model) end
  return { model = model, name = name_of(model:member "manifest.json", found.path), digest = model:digest() }
end

return versions

--- From a word to a version that may be served: found, loaded, asked for what it promises, and warm.

local bundle = require "recsys.bundle"
local core = require("recsys.core").serve
local expectations = require "recsys.serve.expectations"
local lfs = require "lfs"
local registry = require "recsys.registry"

local versions = {}

local WARM <const> = 16 -- users that are asked for, so that the first caller does not wait for pages of the file

--- What tells one state of a bundle's file from another without reading it.
local function stamp_of(path)
  local found = lfs.attributes(path)
  return found and ("%s %s %s %s"):format(path, found.ino, found.size, found.modification) or path
end

--- The file that a word stands for now: a path, or what the registry knows, with or without "registry:" before it.
---@param word string
---@param dir? string  where published models lie
---@return { path: string, stamp: string }?
---@return string? message
function versions.find(word, dir)
  local bare = word:match "^registry:(.+)$"
  local path, message = registry.resolve(bare or word, dir)
  if not path then return nil, message end
  return { path = path, stamp = stamp_of(path) }
end

--- NAME-VERSION as the manifest has it; of a bundle of somebody else's the file's name.
local function name_of(manifest, path)
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
---@param found { path: string }
---@param later? boolean
---@return { model: ServedModel, name: string, digest: string }?
---@return string? message
function versions.load(found, later)
  local model, message = (later and core.map or core.open)(found.path)
  if not model then return nil, message end
  local opened <close> = assert(bundle.open(found.path, { verify = false }))
  if opened:digest() ~= model:digest() then
    model:close()
    return nil, ("%s was replaced while it was loaded"):format(found.path)
  end
  local fine, wrong = expectations.check(model, opened:text(expectations.member))
  if not fine then
    model:close()
    return nil, ("%s: %s"):format(found.path, wrong)
  end
  if not later then warm(model) end
  return { model = model, name = name_of(opened:manifest(), found.path), digest = model:digest() }
end

return versions

--- Where `models/*.lua` and `recipes/features/*.lua` are found: beside the recipe, then in the working folder, then in
--- the program's own; the first that has the file wins. `require "models.x"` and `require "recipes.x"` look there, too.

local exit = require "recsys.exit"
local frame = require("recsys.core").frame
local host = require "recsys.host"
local text = require "recsys.text"
local lfs = require "lfs"
local uv = require "luv"

local lookup = {}

local loadfile = loadfile -- the system's own: recsys.loaded notes what recipes load

local project -- the folder that the running recipe belongs to, nil without one

--- The folders, best first, each once. The program's own is last, also for a recipe of its own.
---@return string[]
function lookup.folders()
  local folders, seen = {}, { [host.root] = true }
  for _, folder in ipairs { project or ".", "." } do
    local real = uv.fs_realpath(folder)
    if real and not seen[real] then folders[#folders + 1] = folder end
    seen[real or folder] = true
  end
  folders[#folders + 1] = uv.fs_realpath "." == host.root and "." or host.root
  return folders
end

--- The file of a module such as "models.mf", or nil.
local function find(module)
  return (package.searchpath(module, table.concat(lookup.folders(), "/?.lua;") .. "/?.lua"))
end

--- The file that a module was, or would be, loaded from; nil for those that are no Lua file.
---@param module string
---@return string?
function lookup.file(module)
  local ours = module:find "^models%." or module:find "^recipes%."
  return ours and find(module) or (package.searchpath(module, package.path))
end

local loaded = {} -- path -> hash of a Lua file as it was when it was loaded

--- Load a Lua file, as loadfile does, and remember what it held.
---@param file string
---@param mode? string
---@return function? chunk
---@return string? message
function lookup.chunk(file, mode)
  local before = frame.hash_file(file)
  local chunk, message = loadfile(file, mode)
  loaded[file] = before and frame.hash_file(file) == before and before or "changed while it was loaded"
  return chunk, message
end

--- The hash of a Lua file as it was loaded; nil for one that was not loaded by require or as the recipe.
---@param file string
---@return string?
function lookup.loaded(file) return loaded[file] end

--- All Lua files that were loaded outside of the library, with their hashes.
---@return table<string, string>
function lookup.all_loaded() return loaded end

--- For require. The names models.* and recipes.* are ours: what is nowhere is told in a line, unless package.path leads
--- to it. Other modules are found as ever; of all outside of the library we note what their files held.
local function searcher(module)
  if module:find "^recsys%f[.\0]" then return nil end
  local ours, file = module:find "^models%." or module:find "^recipes%.", lookup.file(module)
  if not file and not ours then return nil end
  if not file then
    exit.usage_error("there is no %s.lua; looked in %s", (module:gsub("%.", "/")), table.concat(lookup.folders(), ", "))
  end
  local chunk, message = lookup.chunk(file, ours and "t" or nil)
  if not chunk and not ours then
    message = ("error loading module '%s' from file '%s':\n\t%s"):format(module, file, message)
  end
  return chunk or error(message, 0), file
end

local fresh = {} -- globals as they were before any recipe was loaded
for name, value in next, _G do fresh[name] = value end

--- Names of the globals that are not what they were before the recipe was loaded, sorted.
---@return string[]
function lookup.own_globals()
  local names = {}
  for name, value in next, _G do
    if type(name) == "string" and not rawequal(fresh[name], value) then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

--- From here on the recipe in this file is the one that runs. It belongs to the folder that it lies in, or, when that
--- is called `recipes`, to the folder above.
---@param file string
function lookup.begin(file)
  local folder = file:match "^(.*)/[^/]+$" or "."
  project = folder:match "^(.*)/recipes$" or folder == "recipes" and "." or folder
  if package.searchers[2] ~= searcher then table.insert(package.searchers, 2, searcher) end
end

local function names_in(folder)
  local names = {}
  if lfs.attributes(folder, "mode") ~= "directory" then return names end
  for file in lfs.dir(folder) do names[#names + 1] = file:match "^(.+)%.lua$" end
  return names
end

local function refuse_unknown(kind)
  local names, places = {}, {}
  for i, folder in ipairs(lookup.folders()) do
    places[i] = folder .. "/models"
    table.move(names_in(places[i]), 1, #names_in(places[i]), #names + 1, names)
  end
  local near = text.nearest(kind, names)
  exit.usage_error("model.kind: there is no models/%s.lua; looked in %s%s", kind, table.concat(places, ", "),
    near and ("; did you mean '%s'?"):format(near) or "")
end

local of_models = {} -- module -> when it was last asked for, of what was loaded as a model and not before by the recipe

--- The module of the model that this process has loaded, as a set, where nobody asked for it since. Empty where there
--- are several: one may use another.
---@param since integer  as of uv.hrtime
---@return table<string, integer>
function lookup.models_unused(since)
  local first, asked = next(of_models)
  return first and asked < since and next(of_models, first) == nil and of_models or {}
end

local function load_model(module)
  local before = package.loaded[module]
  local definition = require(module)
  if of_models[module] or not before then of_models[module] = uv.hrtime() end
  return definition
end

--- The file of models/KIND.lua; nil where there is none.
---@param kind string
---@return string?
function lookup.model_file(kind) return find("models." .. kind) end

--- The definition that models/KIND.lua returns. Raises { code = "usage" } when there is none.
---@param kind string
---@return fun(config, encoder, settings): table
---@return string file
function lookup.model(kind)
  local module = "models." .. kind
  local file = find(module)
  if not file then refuse_unknown(kind) end
  local ok, definition = pcall(load_model, module)
  if not ok and type(definition) == "table" then error(definition, 0) end -- a signal's
  if not ok then exit.usage_error("%s cannot be loaded: %s", file, (tostring(definition):gsub("%s*\n%s*", " "))) end
  if type(definition) ~= "function" then
    exit.usage_error("%s returns %s; it must end with 'return function(config, encoder, settings) ... end' "
      .. "(docs/models.md)", file, definition == true and "nothing" or "a " .. type(definition))
  end
  return definition, file
end

return lookup

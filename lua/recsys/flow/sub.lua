--- flow:sub(name, recipe or function, params): the steps of another recipe, or of a function, as a part of this flow.
---
--- Its tasks are tasks of the flow, named `name.task`: they are planned, kept, resumed and run in processes of their
--- own as all others. What it returns is given back as it is, handles and all.

local exit = require "recsys.exit"
local files = require "recsys.files"
local hooks = require "recsys.flow.hooks"
local log = require "recsys.log"

local sub = {}

local Sub = {}

--- Whatever a flow has, a part of it has, too.
function Sub.__index(self, key)
  return Sub[key] or rawget(self, "whole")[key]
end

local function prefixed(self, name)
  return type(name) == "string" and self.prefix .. name or name
end

function Sub:task(name, ...) return self.whole:task(prefixed(self, name), ...) end

function Sub:map(name, ...) return self.whole:map(prefixed(self, name), ...) end

function Sub:gate(name, ...) return self.whole:gate(prefixed(self, name), ...) end

--- A part of a part: its seed is that of the part.
function Sub:sub(name, what, params)
  if type(what) == "table" and self.seed and not (params and params.seed) then
    local given = { seed = self.seed }
    for key, value in pairs(params or {}) do given[key] = value end
    params = given
  end
  return self.whole:sub(prefixed(self, name), what, params)
end

--- A path in the run's folder, in a folder of the part, which is there: as that of the run is for a recipe alone.
function Sub:path(name)
  local folder = self.prefix:gsub("%.", "/")
  if self.whole.folder then files.make_folder(self.whole.folder .. "/" .. folder:sub(1, -2)) end
  return self.whole:path(folder .. name)
end

--- The parameters of a recipe: its defaults and profiles, with the given ones over them. Its secrets come from where
--- those of the whole recipe do, and so does its seed.
local function resolved(whole, recipe, given, prefix)
  local config = require "recsys.config"
  local values = config.resolve(recipe.params, { values = config.with_secrets(recipe.params, given, prefix),
    profiles = recipe.profiles, environment = false })
  if not (given and given.seed) then values.seed = whole.seed or values.seed end
  values.track = nil
  return values
end

--- Go through the steps of a recipe whose hooks hear of the part as they would hear of a run.
local function heard(whole, name, recipe, part, values)
  whole.parts[#whole.parts + 1] = { prefix = part.prefix, hooks = recipe.hooks }
  local ok, result = xpcall(recipe.run, exit.traced, part, values)
  local problem = not ok and result or nil
  if not (problem and problem.code == "end") then
    hooks.tell(recipe.hooks, { recipe = recipe.name, run = whole.name, folder = whole.folder, task = name,
      state = ok and "completed" or problem.signal and "cancelled" or "failed", code = problem and problem.code,
      message = problem and log.veiled(("task '%s': %s"):format(problem.task or name, exit.message_of(problem))) })
  end
  if not ok then error(result, 0) end
  return result
end

--- The method of flows.
---@param name string             begins the names of its tasks
---@param what table|function     a recipe, such as `dofile` or recsys.recipe.load gives; or a function (flow, params)
---@param params? table           a recipe's parameters, as far as they are not its defaults; or the function's
---@return any                    what it returns
function sub.method(whole, name, what, params)
  if type(name) ~= "string" or not name:match "^[%w_][%w_%-%.]*$" then
    exit.usage_error("%s: part '%s': a name of letters, digits, _ and - is expected", exit.line(2) or "?",
      tostring(name))
  end
  if whole.subs[name] then exit.usage_error("%s: there is a part '%s' already", exit.line(2) or "?", name) end
  whole.subs[name] = true
  local part = setmetatable({ whole = whole, prefix = name .. "." }, Sub)
  if type(what) == "function" then return what(part, params) end
  if type(what) ~= "table" or type(what.run) ~= "function" or not what.params then
    exit.usage_error("part '%s' is given neither a recipe nor a function; is its name right?", name)
  end
  local values = resolved(whole, what, params, part.prefix)
  part.seed = values.seed
  local is_told = what.hooks and whole.folder and not whole.child and whole.only ~= "objective" -- as those of the whole
  if is_told then return heard(whole, name, what, part, values) end
  return what.run(part, values)
end

return sub

--- flow:sub(name, recipe or function, params): the steps of another recipe, or of a function, as a part of this flow.
---
--- Its tasks are tasks of the flow, named `name.task`: they are planned, kept, resumed and run in processes of their
--- own as all others. What it returns is given back as it is, handles and all.

local exit = require "recsys.exit"

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

function Sub:sub(name, ...) return self.whole:sub(prefixed(self, name), ...) end

--- A path in the run's folder, in a folder of the part.
function Sub:path(name) return self.whole:path(self.prefix:gsub("%.", "/") .. name) end

--- The parameters of a recipe: its defaults and profiles, with the given ones over them. Its secrets come from where
--- those of the whole recipe do.
local function resolved(recipe, given, prefix)
  local config = require "recsys.config"
  return config.resolve(recipe.params, { values = config.with_secrets(recipe.params, given, prefix),
    profiles = recipe.profiles, environment = false })
end

--- The method of flows.
---@param name string             begins the names of its tasks
---@param what table|function     a recipe, such as `dofile` or recsys.recipe.load gives; or a function (flow, params)
---@param params? table           a recipe's parameters, as far as they are not its defaults; or the function's
---@return any                    what it returns
function sub.method(whole, name, what, params)
  if type(name) ~= "string" or not name:match "^[%w_][%w_%-%.]*$" then
    error("bad argument #1 to 'sub' (a name of letters, digits, _ and - is expected)", 2)
  end
  if whole.subs[name] then error(("bad argument #1 to 'sub' (there is a part '%s' already)"):format(name), 2) end
  whole.subs[name] = true
  local part = setmetatable({ whole = whole, prefix = name .. "." }, Sub)
  if type(what) == "function" then return what(part, params) end
  if type(what) ~= "table" or type(what.run) ~= "function" or not what.params then
    exit.usage_error("part '%s' is given neither a recipe nor a function; is its name right?", name)
  end
  local values = resolved(what, params, part.prefix)
  values.track = nil
  return what.run(part, values)
end

return sub

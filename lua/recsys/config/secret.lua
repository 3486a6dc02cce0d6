--- Parameters that nobody may read over anybody's shoulder: passwords, tokens, keys.
---
--- A secret's value comes from the environment or from a file of its own. What a recipe is given stands for it and
--- holds nothing: whoever prints, saves or logs the parameters has "(secret)". `token:reveal()` gives the value, which
--- is replaced in all that the program tells. Saved with a run there is its name alone, and the path of the file where
--- one was named: a run that is resumed or reproduced asks the environment again, or reads the file again.

local exit = require "recsys.exit"
local files = require "recsys.files"
local lfs = require "lfs"
local log = require "recsys.log"
local store = require "recsys.store"
local uv = require "luv"

local secret = {}

local names = setmetatable({}, { __mode = "k" }) -- secret -> the parameter's name
local values = {}                                -- name -> value
local paths = {}                                 -- name -> the file that it is from, if it is from one
local given = setmetatable({}, { __mode = "k" }) -- secret -> its { value, path }: of two layers the higher one counts

local Secret = { __name = "recsys.Secret" }
local methods = {}

Secret.__index = methods
Secret.__newindex = function() error("a secret cannot be changed", 2) end
Secret.__tostring = function() return "(secret)" end
Secret.__tojson = Secret.__tostring

--- The value. Raises { code = "usage" } when this process was not given it.
---@return string
function methods:reveal()
  local name = names[self]
  if not values[name] then
    exit.usage_error("%s is a secret and was not given: %s", name or "it", secret.how(name or "NAME"))
  end
  return values[name]
end

local function new(name)
  local made = setmetatable({}, Secret)
  names[made] = name
  return made
end

store.class("recsys.config.secret", Secret, function(made) return names[made] end, new)

--- Whether a value is a secret.
function secret.is(value)
  return type(value) == "table" and getmetatable(value) == Secret
end

--- The variable that sets a parameter: "train.epochs" -> "RECSYS_SET_TRAIN__EPOCHS".
---@param name string
---@return string
function secret.variable(name)
  return "RECSYS_SET_" .. name:gsub("%.", "__"):gsub("%-", "_"):upper()
end

local of_parts = {} -- variables that may set secrets of parts

--- How a secret can be given, in words.
function secret.how(name)
  local variable = secret.variable(name)
  return ("by the variable %s, by %s_FILE, which names a file with it, or by %s"):format(variable, variable,
    of_parts[variable] and "the recipe that it is a part of" or ("--set %s=@FILE"):format(name))
end

local function keep(name, value, path)
  if value == "" or not utf8.len(value) or value:find "\0" then
    exit.usage_error("%s is a secret that is empty or no text in UTF-8", name)
  end
  values[name], paths[name] = value, path
  log.hide(value)
  local made = new(name)
  given[made] = { value = value, path = path }
  return made
end

--- Take a secret from a file, whose last line end does not count.
---@param name string
---@param path string
function secret.from_file(name, path)
  local bytes, message = files.read(path)
  if not bytes then exit.usage_error("%s is a secret, and its file cannot be read: %s", name, message) end
  local again = lfs.attributes(path, "mode") == "file" and (path:find "^/" and path or uv.cwd() .. "/" .. path) or nil
  return keep(name, (bytes:gsub("\r?\n$", "")), again)
end

--- The file that a secret is from, by its whole path; nil for one that is from the environment itself or from what can
--- be read once, as a pipe.
---@param name string
---@return string?
function secret.path(name) return paths[name] end

--- Take a secret as a layer offers it: '@FILE' from whom everybody sees, the value itself from the environment alone.
---@param name string
---@param offered any
---@param hidden? boolean  it comes from the environment
function secret.take(name, offered, hidden)
  if secret.is(offered) then
    local own = given[offered]
    if own then values[name], paths[name] = own.value, own.path end
    return offered
  end
  if hidden then return keep(name, offered) end
  local path = type(offered) == "string" and offered:match "^@(.+)$"
  if not path then exit.usage_error("%s is a secret, which is given %s", name, secret.how(name)) end
  return secret.from_file(name, path)
end

--- Take a secret of a part of a recipe from the environment; nil when it is not there.
---@param name string  with the part's: "shop.token"
function secret.of_part(name)
  local variable = secret.variable(name)
  of_parts[variable], of_parts[variable .. "_FILE"] = true, true
  local value, path = os.getenv(variable), os.getenv(variable .. "_FILE")
  if path and path ~= "" then return secret.from_file(name, path) end
  return value and value ~= "" and keep(name, value) or nil
end

--- Whether a variable may set a secret of a part that was asked for.
function secret.is_of_part(variable) return of_parts[variable] or false end

return secret

--- Parameters from the environment: RECSYS_SET_TRAIN__EPOCHS=5 is --set train.epochs=5.
---
--- A variable's name is RECSYS_SET_ and the parameter's in capitals, two underscores for each dot. An empty one counts
--- as not set, as Jenkins and Compose make empty ones freely; `null` takes an optional value away. A variable that
--- names no parameter is refused with the nearest; others that begin with RECSYS_ and mean nothing are warned of. That
--- of a part's secret (recsys.flow.sub) is known only when the recipe was gone through: who does that collects what is
--- to be refused, and asks then.

local exit = require "recsys.exit"
local log = require "recsys.log"
local secret = require "recsys.config.secret"
local text = require "recsys.text"
local uv = require "luv"

local environment = {}

local PREFIX <const> = "RECSYS_SET_"

--- What else begins with RECSYS_ and is read by something of ours.
local others = { "RECSYS_BUILD", "RECSYS_CACHE", "RECSYS_CACHE_LIMIT", "RECSYS_FUZZ", "RECSYS_JUNIT", "RECSYS_KILLS",
  "RECSYS_KILL_SEED", "RECSYS_LEAK_CHECK", "RECSYS_LIMITS", "RECSYS_LONG", "RECSYS_LUA_DIR", "RECSYS_MEMORY",
  "RECSYS_PACKAGES", "RECSYS_REFUSED_DIR", "RECSYS_SANITIZE", "RECSYS_SERVE_TOKENS",
  "RECSYS_SOAK_PROGRAM", "RECSYS_TEST_DATA", "RECSYS_TRAIN_RECIPE",
  "RECSYS_UI_TOKEN", "RECSYS_WERROR", "RECSYS_HOOK",
  "RECSYS_EVENT", "RECSYS_RECIPE", "RECSYS_RUN", "RECSYS_FOLDER", "RECSYS_TASK", "RECSYS_STATE", "RECSYS_CODE",
  "RECSYS_MESSAGE" } -- from EVENT on: what recsys.flow.hooks tells a command

local is_other = {}
for _, name in ipairs(others) do is_other[name] = true end

local warned = {} -- variables: once is enough

local function warn(name)
  if is_other[name] or warned[name] or name:find "^RECSYS_PEER_" then return end
  warned[name] = true
  local near = name:find("__", 1, true) and PREFIX .. name:sub(#"RECSYS_" + 1) or text.nearest(name, others)
  log.warn("the variable %s means nothing here%s", name, near and ("; did you mean %s?"):format(near) or "")
end

--- The variables that set something: name -> { name = parameter, file = whether it names a file }. Parameters that one
--- variable would set alike are refused.
local function variables_of(is_secret)
  local known, names = {}, {}
  for name in pairs(is_secret) do names[#names + 1] = name end
  table.sort(names)
  local function add(variable, of)
    local other = known[variable]
    if other then
      exit.usage_error("the variable %s would set %s as well as %s: one of them needs another name", variable,
        other.name, of.name)
    end
    known[variable] = of
  end
  for _, name in ipairs(names) do
    add(secret.variable(name), { name = name })
    if is_secret[name] then add(secret.variable(name) .. "_FILE", { name = name, file = true }) end
  end
  return known
end

--- What the variables set, in the order of their names.
---@param is_secret table<string, boolean>  every parameter's name -> whether it is a secret
---@param variables? table<string, string>  default: the process's
---@param later? table  takes what names no parameter, for environment.refuse
---@return { name: string, value: any, origin: string }[]
function environment.settings(is_secret, variables, later)
  local known, names, list = variables_of(is_secret), {}, {}
  variables = variables or uv.os_environ()
  for name in pairs(variables) do
    if name:find "^RECSYS_" then names[#names + 1] = name end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local of, value = known[name], variables[name]
    if name:sub(1, #PREFIX) ~= PREFIX then
      warn(name)
    elseif not of then
      local all = {}
      for variable in pairs(known) do all[#all + 1] = variable end
      table.sort(all)
      later = later or { at_once = true }
      later[#later + 1] = { name = name, near = text.nearest(name, all) }
      if later.at_once then environment.refuse(later) end
    elseif value ~= "" then
      local hidden = of.file and secret.from_file(of.name, value)
        or is_secret[of.name] and secret.take(of.name, value, true)
      list[#list + 1] = { name = of.name, value = hidden or value, origin = name }
    end
  end
  return list
end

--- Refuse the first variable that names no parameter, nor a secret of a part of the recipe.
---@param later { name: string, near?: string }[]
function environment.refuse(later)
  for _, one in ipairs(later) do
    if not secret.is_of_part(one.name) then
      exit.usage_error("the variable %s names no parameter%s", one.name,
        one.near and ("; did you mean %s?"):format(one.near) or "; --help lists them")
    end
  end
end

return environment

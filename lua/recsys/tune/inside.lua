--- Tuning as a task of a recipe: recipes/tune_two_tower.lua shows how.
---
--- The recipe around it has the tuned one's parameters and more; its task runs a study of the tuned recipe with what
--- was set, and then it runs the tuned recipe's own steps with the values of the best trial.

local config = require "recsys.config"
local json = require "recsys.json"
local secret = require "recsys.config.secret"
local text = require "recsys.text"
local tuned = require "recsys.tune.recipe"

local inside = {}

--- Declared parameters with others beside them, or in their place.
---@param params table  of the recipe that is tuned
---@param more table    groups of parameters
---@return table
function inside.parameters(params, more)
  local all = {}
  for name, node in pairs(params) do all[name] = node end
  for group, nodes in pairs(more) do
    local merged = {}
    for name, node in pairs(all[group] or {}) do merged[name] = node end
    for name, node in pairs(nodes) do merged[name] = node end
    all[group] = merged
  end
  return all
end

--- The value at "a.b" of nested values.
local function at(values, name)
  for part in name:gmatch "[^.]+" do values = values and values[part] end
  return values
end

--- What is set of the tuned recipe's parameters, as --set has it. Secrets are not: workers have them as this process
--- has.
---@param params table  its declared parameters
---@param values table  those of the recipe around it
---@return string[]
function inside.settings(params, values)
  local set, exported = {}, config.exported(params, values)
  for _, name in ipairs(config.names(params)) do
    local value, path = at(exported, name), secret.is(at(values, name)) and secret.path(name)
    if path then value = "@" .. path end -- other secrets come from the environment, which trials have, too
    if value == json.null then value = not name:find "^track%." and "" or nil end
    if value ~= nil then set[#set + 1] = name .. "=" .. (type(value) == "string" and value or json.encode(value)) end
  end
  return set
end

--- Values with others in their places.
---@param values table                 nested
---@param others table<string, any>    "model.dim" -> 64
---@return table
function inside.with(values, others)
  local all = {}
  for name, value in pairs(values) do all[name] = value end
  for name, value in pairs(others) do
    local place, key = all, nil
    for part in name:gmatch "[^.]+" do
      if key then
        local copy = {}
        for inner, old in pairs(place[key]) do copy[inner] = old end
        place[key] = copy
        place = copy
      end
      key = part
    end
    place[key] = value
  end
  return all
end

--- Run the trials, for flow:task: what recsys.tune.recipe takes, and `time`, a span. Fails when no trial completes.
---@param request table
---@return table? found, string? message, string? code
function inside.task(request)
  local found = tuned.run(setmetatable({ recipe = require("recsys.cli").find_recipe(request.recipe),
    seconds = request.time and text.span(request.time) / 1000 }, { __index = request }))
  if found.best then return found end
  return nil, ("no trial of %s is complete: %s"):format(found.study, found.text), "failed"
end

--- The result of the tuned recipe's steps, with what the study found before it.
---@param found any   a handle on what inside.task gave
---@param result any  a handle on the recipe's result
---@return table
function inside.told(found, result)
  local all = {}
  for name, value in pairs(result:value()) do all[name] = value end
  local study = found:value()
  all.study = { name = study.study, trials = study.trials, states = study.states, best = study.best,
    importance = study.importance }
  all.text = study.text .. "\n\n" .. (all.text or "")
  return all
end

return inside

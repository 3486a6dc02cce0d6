--- Registered models on an MLflow server, over REST: a version of ours is there once, however often it is sent.
---
--- A version is known by its model's name and its bundle's hash (tag `recsys.digest`), one without a bundle by the tag
--- `recsys.carried_from`. Its number is the server's. The first version of a model there becomes its champion; else
--- aliases are set where the model has none of that name, and those of others stay.

local registered = {}

local GATES <const> = "recsys.gates"
local TAG_BYTES <const> = 5000 -- of a tag's value that every MLflow takes

--- The value of a tag in a list of { key, value }.
---@return string?
function registered.tag(tags, key)
  for _, tag in ipairs(tags or {}) do
    if tag.key == key then return tag.value end
  end
end

--- What a version is known by, wherever it is: its bundle's hash, else where it came from, else its own place.
---@param version { name: string, version: integer|string, creation_timestamp?: integer, tags?: table[] }
---@return string
function registered.identity(version)
  return registered.tag(version.tags, "recsys.digest") or registered.tag(version.tags, "recsys.carried_from")
    or ("%s/%s@%d"):format(version.name, math.tointeger(tonumber(version.version)) or "?",
      math.tointeger(tonumber(version.creation_timestamp)) or 0)
end

--- The tags of a list that a server takes, nil for none: an empty list would be written as an object.
local function tags_to_send(tags)
  local list = {}
  for _, tag in ipairs(tags or {}) do
    if #tag.value <= TAG_BYTES then list[#list + 1] = { key = tag.key, value = tag.value } end
  end
  return #list > 0 and list or nil
end

--- All versions of a model, or of all models (name nil). A name with a quote in it, which MLflow's filters do not
--- take, is picked from all.
---@param wire Wire
---@return table[]? versions
---@return string? message
---@return string? code
function registered.versions(wire, name)
  local list, token = {}, nil
  local filter = name and not name:find "['\"\\]" and ("name='%s'"):format(name) or nil
  repeat
    local answer, message, code = wire:call("GET", "model-versions/search", { max_results = 1000, page_token = token,
      filter = filter })
    if not answer then return nil, message, code end
    for _, version in ipairs(answer.model_versions or {}) do
      if not name or version.name == name then list[#list + 1] = version end
    end
    token = answer.next_page_token
  until not token or token == ""
  return list
end

--- All models, each with its aliases.
---@return table[]? models
function registered.models(wire)
  local list, token = {}, nil
  repeat
    local answer, message, code = wire:call("GET", "registered-models/search", { max_results = 100,
      page_token = token })
    if not answer then return nil, message, code end
    table.move(answer.registered_models or {}, 1, #(answer.registered_models or {}), #list + 1, list)
    token = answer.next_page_token
  until not token or token == ""
  return list
end

--- Make a model where there is none of that name: whether it was made. The gates of its promotions stay behind where
--- the server takes them from its own operator alone, as ours does.
---@return boolean? made  nil, message, code
function registered.make(wire, model)
  local tags, others = model.tags, {}
  local function create()
    return wire:call("POST", "registered-models/create", { name = model.name, description = model.description,
      tags = tags_to_send(tags) })
  end
  local answer, message, code = create()
  for _, tag in ipairs(tags or {}) do
    if tag.key ~= GATES then others[#others + 1] = tag end
  end
  if code == "denied" and #others < #(tags or {}) then
    tags = others
    answer, message, code = create()
  end
  if answer then return true end
  if code == "RESOURCE_ALREADY_EXISTS" then return false end
  return nil, message, code
end

--- The number of the version of that identity among those of its model; nil where there is none.
---@return integer?
function registered.known(version, there)
  local identity = registered.identity(version)
  for _, known in ipairs(there) do
    if known.name == version.name and registered.identity(known) == identity then
      return math.tointeger(tonumber(known.version))
    end
  end
end

--- Make a version where there is none of its identity: its number there, and whether it was made.
---@param version { name: string, source: string, run_id?: string, description?: string, tags?: table[] }
---@param there table[]   the model's versions, as registered.versions gives them
---@return integer? number  nil, message, code
---@return boolean|string made
function registered.add(wire, version, there)
  local known = registered.known(version, there)
  if known then return known, false end
  local answer, message, code = wire:call("POST", "model-versions/create", { name = version.name,
    source = version.source, run_id = version.run_id, description = version.description,
    tags = tags_to_send(version.tags) })
  if not answer then return nil, message, code end
  return math.tointeger(tonumber(answer.model_version.version)), true
end

--- Give a version an alias, unless the model has one of that name: which version has it then.
---@return integer? holder  nil, message, code
function registered.alias(wire, name, alias, version)
  local answer, message, code = wire:call("GET", "registered-models/get", { name = name })
  if not answer then return nil, message, code end
  for _, known in ipairs(answer.registered_model.aliases or {}) do
    if known.alias == alias then return math.tointeger(tonumber(known.version)) end
  end
  answer, message, code = wire:call("POST", "registered-models/alias", { name = name, alias = alias,
    version = tostring(version) })
  if not answer then return nil, message, code end
  return version
end

--- Register what a run has published: its files are among the run's artifacts already.
---@param about { name: string, source: string, run_id: string, tags: table[] }
---@return boolean? done  nil, message, code
function registered.publish(wire, about)
  local made, message, code = registered.make(wire, { name = about.name })
  if made == nil then return nil, message, code end
  local there
  there, message, code = registered.versions(wire, about.name)
  if not there then return nil, message, code end
  local number
  number, message, code = registered.add(wire, about, there)
  if not number then return nil, message, code end
  if #there > 1 or #there == 1 and math.tointeger(tonumber(there[1].version)) ~= number then return true end
  local holder
  holder, message, code = registered.alias(wire, about.name, "champion", number)
  if not holder then return nil, message, code end
  return true
end

return registered

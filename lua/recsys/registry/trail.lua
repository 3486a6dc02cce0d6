--- Who did what to a registered model's aliases, when and why: tags recsys.audit.000001, ... of the model, each an
--- event as JSON, written in the transaction that does it.
---
--- Rolling back reads them: an alias has a stack of versions, to which a promotion adds one and from which a rollback
--- takes one. What others did to the alias without an event (an MLflow of its own on the database) is a version on top.
--- What a client tells of another place when it makes the model is on record as its words, and rolling back does not
--- go by it.

local json = require "recsys.json"
local rows = require "recsys.registry.rows"
local uv = require "luv"

local trail = {}

-- The number of an event's tag, and which tags are events: other programs' tags of that prefix are none.
local NUMBER <const> = ("CAST(substr(key, %d) AS INTEGER)"):format(#rows.audit + 1)
local EVENTS <const> = ("FROM registered_model_tags WHERE name = ? AND key GLOB '%s[0-9]*' AND length(key) <= %d")
  :format(rows.audit, #rows.audit + 15)

local MOST_TOLD <const> = 1000

--- Who is at work: user@host.
---@return string
function trail.who()
  local user = uv.os_get_passwd()
  return ("%s@%s"):format(user and user.username or "?", uv.os_gethostname())
end

--- The events of a model, oldest first.
---@return { at: integer, by: string, action: string, alias: string, from?: integer, to?: integer, reason?: string }[]
function trail.events(db, name)
  local events = {}
  for _, tag in ipairs(db:rows(("SELECT value %s ORDER BY %s, key"):format(EVENTS, NUMBER), { name })) do
    local event = json.decode(tag.value)
    if type(event) == "table" and type(event.alias) == "string" then
      event.from, event.to = math.tointeger(event.from), math.tointeger(event.to)
      event.at = math.tointeger(event.at)
      events[#events + 1] = event
    end
  end
  return events
end

--- Add an event, in the transaction of what it tells.
---@param event { action: string, alias: string, from?: integer, to?: integer, by?: string, reason?: string,
---  gate?: table }
---@return table event  with at and by
function trail.add(db, name, event)
  local last = db:row(("SELECT MAX(%s) AS number %s"):format(NUMBER, EVENTS), { name }).number or 0
  event.at, event.by = event.told and event.at or rows.now(), event.by or trail.who()
  db:run("INSERT INTO registered_model_tags (key, value, name) VALUES (?, ?, ?)",
    { ("%s%06d"):format(rows.audit, last + 1), json.encode(event), name })
  return event
end

--- Whether a tag's key is that of an event.
---@return boolean
function trail.is_key(key)
  return key:sub(1, #rows.audit) == rows.audit and key:find("^%d+$", #rows.audit + 1) ~= nil
end

local function words(value, most)
  return type(value) == "string" and value:sub(1, utf8.offset(value, most + 1) or #value + 1) or "?"
end

--- Put on record, in the transaction that makes a model, what a client says was done to its aliases elsewhere: the last
--- thousand events.
---@param tags { key: string, value: string }[]  as an event's
---@param by? string  the client
function trail.tell(db, name, tags, by)
  local list = {}
  for _, tag in ipairs(tags) do
    if trail.is_key(tag.key) then list[#list + 1] = tag end
  end
  table.sort(list, function(a, b) return #a.key == #b.key and a.key < b.key or #a.key < #b.key end)
  for i = math.max(1, #list - MOST_TOLD + 1), #list do
    local said = json.decode(list[i].value)
    if type(said) == "table" and type(said.action) == "string" and type(said.alias) == "string" then
      trail.add(db, name, { action = words(said.action, 20), alias = words(said.alias, 255), told = true,
        from = math.tointeger(said.from), to = math.tointeger(said.to), at = math.tointeger(said.at) or rows.now(),
        reason = said.reason and words(said.reason, 5000),
        by = ("%s, as told by %s"):format(words(said.by, 100), by or trail.who()) })
    end
  end
end

--- Make an alias stand for a version, or for none (nil), in the transaction of the caller's, and add the event.
---@param event { action: string, by?: string, reason?: string, gate?: table }
---@return table event
function trail.move(db, name, alias, to, event)
  event.alias, event.from, event.to = alias, rows.aliased(db, name, alias), to
  db:run("DELETE FROM registered_model_aliases WHERE name = ? AND alias = ?", { name, alias })
  if to then
    db:run("INSERT INTO registered_model_aliases (alias, version, name) VALUES (?, ?, ?)", { alias, to, name })
  end
  return trail.add(db, name, event)
end

--- The versions that an alias stood for and can go back to, oldest first; the last one is that which it stands for.
---@return integer[]
function trail.stack(db, name, alias)
  local stack = {}
  local function push(version)
    if version and stack[#stack] ~= version then stack[#stack + 1] = version end
  end
  for _, event in ipairs(trail.events(db, name)) do
    if event.alias == alias and not event.told then
      push(event.from)
      while event.action == "rollback" and #stack > 0 and stack[#stack] ~= event.to do stack[#stack] = nil end
      push(event.to)
    end
  end
  push(rows.aliased(db, name, alias))
  return stack
end

return trail

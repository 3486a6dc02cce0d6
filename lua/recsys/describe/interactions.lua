--- Who interacts with what: which file and columns say so, and what they say.

local frame = require "recsys.frame"
local profile = require "recsys.profile"
local text = require "recsys.text"

local interactions = {}

-- Words that name users and items, most telling first; a column may have "id" behind.
local named = {
  user = { "user", "userid", "uid", "device", "customer", "visitor", "member", "account", "reader", "subscriber",
    "client", "player", "person", "session" },
  item = { "item", "itemid", "article", "movie", "product", "content", "news", "hash", "post", "video", "song", "track",
    "book", "sku", "asin", "isbn", "listing", "document", "page" },
  time = { "time", "timestamp", "eventtimestamp", "eventtime", "event", "datetime", "date", "at", "createdat" },
}

--- How well a column's name says what it is: 0 not at all.
local function score(role, name)
  local plain = name:lower():gsub("[^%w]", "")
  local bare = plain:match "^(.+)id$" or plain
  for i, word in ipairs(named[role]) do
    if plain == word or bare == word then return 4 - i / 100 end
  end
  for i, word in ipairs(named[role]) do
    if #word > 3 and plain:find(word, 1, true) then return (plain:match "id$" and 2 or 1) - i / 100 end
  end
  return 0
end

local function fits(role, column)
  if role == "time" then return column.type == "time" end
  return column.type == "string" or (column.type == "number" and column.whole == true)
end

--- The column of a table that plays a role: as told, by the known layout, or by its name; nil when none does.
local function find_column(one, role, told)
  local best, most = nil, 0
  local name = told or (one.roles or {})[role]
  for _, column in ipairs(one.facts.columns) do
    if name then
      if column.name == name then return column, 5, told and "told" or "layout" end
    elseif fits(role, column) then
      local points = score(role, column.name) + (role == "time" and 0.1 or 0)
      if points > most then best, most = column, points end
    end
  end
  return best, most, "name"
end

--- { file?, column } of "events.deviceId" or "deviceId".
local function split_name(tables, told)
  for _, one in ipairs(tables) do
    local prefix = one.facts.name .. "."
    if told and told:sub(1, #prefix) == prefix then return one, told:sub(#prefix + 1) end
  end
  return nil, told
end

local function refuse_missing(tables, role, told)
  local names = {}
  for _, one in ipairs(tables) do
    for _, column in ipairs(one.facts.columns) do names[#names + 1] = column.name end
  end
  local near = text.nearest(told, names)
  error({ code = "usage", message = ("--%s %s: there is no such column%s"):format(role, told,
    near and ("; did you mean '%s'?"):format(near) or "") }, 0)
end

--- Check what was told: each named column must be in some file, and the three in one.
local function check_told(tables, told)
  for role, name in pairs(told) do
    local file, column = split_name(tables, name)
    local there = false
    for _, one in ipairs(tables) do
      there = there or ((not file or file == one) and one.frame:has(column))
    end
    if not there then refuse_missing(tables, role, name) end
  end
end

--- The roles in one table with their score, or nil when it lacks user or item.
local function roles_in(tables, one, told)
  local found, total = { table = one, why = {} }, 0
  for _, role in ipairs { "user", "item", "time" } do
    local file, name = split_name(tables, told[role])
    if file and file ~= one then return nil end
    local column, points, why = find_column(one, role, name)
    if name and not column then return nil end
    found[role], found.why[role] = column, column and why
    total = total + points
  end
  if not (found.user and found.item) or found.user == found.item then return nil end
  found.score = total + math.log(one.facts.rows + 1, 10) / 4
  return found
end

local function choose(tables, told)
  local best
  for _, one in ipairs(tables) do
    local found = roles_in(tables, one, told)
    if found and (not best or found.score > best.score) then best = found end
  end
  return best
end

-- Activity over time ------------------------------------------------------------------------------------------------

local hour, day = 3600000, 86400000
local units = { { "hour", hour }, { "6 hours", 6 * hour }, { "day", day }, { "week", 7 * day }, { "4 weeks", 28 * day },
  { "quarter", 91 * day }, { "year", 365 * day } }

local function unit_for(span)
  for _, unit in ipairs(units) do
    if span / unit[2] <= 100 then return unit end
  end
  return { "decade", 3650 * day }
end

--- Interactions by hour, day, week, ...; stray times far from all others are cut off, and counted.
local function activity(f, column)
  if column.rows == column.missing then return nil end
  local from, to = column.min, column.max
  if to - from > 20 * math.max(day, column.q99 - column.q01) then from, to = column.q01, column.q99 end
  local unit = unit_for(to - from)
  from = math.floor(from // unit[2] * unit[2])
  local present = f:filter(f:where(column.name, ">=", from))
  present = present:filter(present:where(column.name, "<=", math.floor(to)))
  local bins = math.floor((to - from) // unit[2]) + 1
  local at = ((present:column(column.name) - from):to "f64" / unit[2]):floor():to "i64"
  local counts = at:bincount(bins):to("i64"):tolist()
  return { from = frame.format_time(from), to = frame.format_time(math.floor(to)), from_ms = from, unit = unit[1],
    unit_ms = unit[2], counts = counts, outside = column.rows - column.missing - present:rows() }
end

-- What is found -----------------------------------------------------------------------------------------------------

local function add_cold_shares(cold)
  for _, part in ipairs(cold) do
    local function share(n, of) return of > 0 and n / of or 0 end
    part.from_ms, part.from = part.from, part.from and frame.format_time(part.from)
    part.new_user_share, part.new_item_share = share(part.new_users, part.users), share(part.new_items, part.items)
    part.user_event_share = share(part.user_events, part.events)
    part.item_event_share = share(part.item_events, part.events)
    part.either_event_share = share(part.either_events, part.events)
  end
end

--- Facts of the interactions, or nil with the reason why there are none.
---@param tables { facts: table, frame: Frame, roles: table? }[]
---@param told { user: string?, item: string?, time: string? }
---@return table? facts
---@return string? why
function interactions.find(tables, told)
  check_told(tables, told)
  local roles = choose(tables, told)
  if not roles then
    return nil, "no file has a column that is called like users and one like items; --user COLUMN and --item COLUMN "
      .. "name them"
  end
  local one, time = roles.table, roles.time
  if time and time.type ~= "time" then
    error({ code = "usage", message = ("--time %s: the column holds %ss; --type %s=time_s (or time_ms, time) says how "
      .. "to read it"):format(time.name, time.type, time.name) }, 0)
  end
  local facts = profile.interactions(one.frame, roles.user.name, roles.item.name, time and time.name,
    time and { 0.1, 0.2 } or nil)
  facts.file, facts.user, facts.item, facts.time = one.facts.name, roles.user.name, roles.item.name, time and time.name
  facts.chosen_by = roles.why
  facts.n_users, facts.n_items, facts.interactions = facts.users.n, facts.items.n, facts.rows - facts.incomplete
  facts.density = facts.pairs / math.max(1, facts.n_users * facts.n_items)
  facts.activity = time and activity(one.frame, time)
  facts.from, facts.to = time and time.from, time and time.to
  add_cold_shares(facts.cold)
  return facts
end

return interactions

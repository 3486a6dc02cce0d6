--- A news app's log: a folder with devices.csv, contents.csv and events.csv, as Spark writes them.
---
--- One interaction a user and article: his first engagement, with the strength of his strongest. A bookmark that was
--- taken back does not count. What the columns are called is a table (news.layout); p.layout overrides parts of it.

local frame = require "recsys.frame"
local lfs = require "lfs"

local news = {}

--- The files and their columns: { column of ours, column of the file, type }, the key first.
news.layout = {
  users = { file = "devices.csv", columns = {
    { "user", "deviceid", "string" }, { "platform", "platform", "string" }, { "os_version", "os_version", "string" },
    { "model", "model", "string" }, { "network", "networkType", "string" }, { "district", "district", "string" },
    { "language", "language_selected", "string" }, { "created", "created_datetime", "time" },
    { "last_active", "last_active_at", "time" },
  } },
  items = { file = "contents.csv", columns = {
    { "item", "hashid", "string" }, { "title", "title", "string" }, { "content", "content", "string" },
    { "kind", "newsType", "string" }, { "categories", "categories", { "list", "," } },
    { "district", "newsDistrict", "string" }, { "created", "createdAt", "time" },
    { "language", "newsLanguage", "string" }, { "source", "sourceName", "string" },
  } },
  events = { file = "events.csv", columns = {
    { "user", "deviceId", "string" }, { "event", "event_type", "string" }, { "time", "eventTimestamp", "time_ms" },
    { "item", "hashId", "string" }, { "position", "cardViewPosition", "number" },
    { "seconds", "overallTimeSpent", "number" },
  } },
  nulls = { "null", "NULL" },
  -- What an event says about interest, and which events take another back.
  strengths = { ["TimeSpent-Front"] = 0.3, ["TimeSpent-Back"] = 0.5, ["News Bookmarked"] = 1.0, ["News Shared"] = 1.0 },
  takes_back = { ["News Unbookmarked"] = "News Bookmarked" },
}

local function merged(layout)
  local copy = {}
  for key, value in pairs(news.layout) do copy[key] = value end
  for key, value in pairs(layout or {}) do
    if copy[key] == nil then error(("the news layout has no part '%s'"):format(key), 3) end
    copy[key] = value
  end
  return copy
end

local function absent(p, layout)
  local missing = {}
  for _, part in ipairs { "users", "items", "events" } do
    if not lfs.attributes(p.dir .. "/" .. layout[part].file) then missing[#missing + 1] = layout[part].file end
  end
  if #missing == 0 then return end
  return ("%s missing in %s: a folder with %s, %s and %s is expected. Make the sample with: recsys-run "
    .. "recipes/news_sample.lua --set data.dir=%s"):format(table.concat(missing, " and ")
    .. (#missing > 1 and " are" or " is"), p.dir, layout.users.file,
    layout.items.file, layout.events.file, p.dir), "io"
end

--- Read one file with its columns under our names.
local function read(p, layout, part, report)
  local options = { columns = {}, types = {}, nulls = layout.nulls, separator = ",", bad_limit = p.bad_limit }
  local names = {}
  for i, column in ipairs(layout[part].columns) do
    options.columns[i], options.types[column[2]], names[column[2]] = column[2], column[3], column[1]
  end
  local data = require "recsys.data"
  options.quarantine = data.quarantine(p, layout[part].file)
  local f, message, code = data.read(p.dir .. "/" .. layout[part].file, options, report)
  if not f then return nil, message, code end
  return f:rename(names)
end

--- The events in order of time, without those that miss a key and without bookmarks that were taken back later.
local function without_taken_back(events, takes_back)
  for undo, done in pairs(takes_back) do
    local undos = events:filter(events:where("event", "==", undo))
    if undos:rows() > 0 then
      local last = undos:group_by({ "user", "item" }, { { "undone_until", "last", "number" } })
      local candidates = events:filter(events:where("event", "==", done)):join(last, { "user", "item" }, "inner")
      local before = candidates:column("number"):lt(candidates:column "undone_until")
      events = events:join(candidates:filter(before), "number", "anti")
    end
  end
  return events
end

--- One row a user and item out of all events, and how many were of a type that says nothing.
local function engagements(events, layout)
  local types, strengths = {}, {}
  for name in pairs(layout.strengths) do types[#types + 1] = name end
  table.sort(types)
  for i, name in ipairs(types) do strengths[i] = layout.strengths[name] end
  local ordered = events:filter(events:where("time", "present")):sort "time"
  ordered = ordered:with("number", "number", require("recsys.tensor").arange(ordered:rows()))
  local known = without_taken_back(ordered, layout.takes_back)
    :join(frame.from { { "event", "string", types }, { "strength", "number", strengths } }, "event")
  local taken = ordered:filter(ordered:where("event", "in", types)):rows() - known:rows()
  for undo in pairs(layout.takes_back) do types[#types + 1] = undo end
  local silent = ordered:filter(ordered:where("event", "not in", types)):rows()
  local rows = known:filter(known:where("user", "present"))
  rows = rows:filter(rows:where("item", "present")):group_by({ "user", "item" }, {
    { "time", "first", "time" }, { "event", "first", "event" }, { "strength", "max", "strength" },
    { "position", "first", "position" }, { "seconds", "first", "seconds" }, { "events", "count" },
  })
  return rows, { taken_back = taken, other_events = silent }
end

local function count_missing(f, key)
  return #f:where(key, "missing")
end

--- Read the folder p.dir.
---@param p { dir: string, bad_limit: number?, quarantine: string?, layout: table? }  quarantine: a folder for malformed
---  rows; layout: parts of news.layout to replace
---@return Dataset? dataset  nil, message, code
---@return string? message
---@return string? code
function news.load(p)
  local data, layout, report = require "recsys.data", merged(p.layout), { quarantined = 0 }
  local message, code = absent(p, layout)
  if message then return nil, message, code end
  local parts, paths = {}, {}
  for i, part in ipairs { "users", "items", "events" } do
    paths[i] = p.dir .. "/" .. layout[part].file
    parts[part], message, code = read(p, layout, part, report)
    if not parts[part] then return nil, message, code end
  end
  local fingerprint
  fingerprint, message, code = data.fingerprint(paths, { source = "news", layout = layout })
  if not fingerprint then return nil, message, code end
  local interactions, counts = engagements(parts.events, layout)
  report.events, report.taken_back, report.other_events = parts.events:rows(), counts.taken_back, counts.other_events
  local dataset = data.new {
    name = "news", interactions = interactions, users = parts.users, items = parts.items, report = report,
    fingerprint = fingerprint, origin = { source = "news", dir = p.dir },
    columns = { title = "title", text = "content", created = "created", categories = "categories",
      user_language = "language", item_language = "language", user_place = "district", item_place = "district" },
  }
  report.incomplete = report.incomplete + count_missing(parts.events, "time") + count_missing(parts.events, "user")
    + count_missing(parts.events, "item")
  return dataset
end

return news

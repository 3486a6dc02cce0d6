--- Any app's log: a file of events, and perhaps one of users and one of items, under whatever names they have.
---
--- A layout says what the files and columns are called and what events mean; nothing here knows an app. The news source
--- is such a layout (lua/recsys/data/news.lua); an app's recipe writes its own: docs/data.md, "Another app's files".

local engagements = require "recsys.data.engagements"
local files = require "recsys.files"
local frame = require "recsys.frame"

local event_log = {}

local PARTS = { "users", "items", "events" }
local KNOWN = { name = true, users = true, items = true, events = true, nulls = true, separator = true,
  strengths = true, takes_back = true, combine = true, half_life = true, at = true, keep = true,
  columns = true, hint = true }

---@class EventLayoutPart
---@field file string  in the dataset's folder: CSV, or JSON Lines (.jsonl, .ndjson); with `*`, `?` or `[` many as one
---@field columns { [1]: string, [2]: string, [3]: string|table }[]  our name, the file's, the type (frame.read_csv)

---@class EventLayout
---@field name string           of the dataset
---@field events EventLayoutPart  with user, item, event and time among our names
---@field users? EventLayoutPart  with user
---@field items? EventLayoutPart  with item
---@field nulls? string[]       words that mean missing in CSV files
---@field separator? string     of CSV files; default: found from each file
---@field strengths table<string, number>  these and what follows as recsys.data.engagements takes them
---@field takes_back? table<string, string|string[]>
---@field combine? "max"|"sum"|"last"
---@field half_life? string
---@field at? string
---@field keep? string[]        columns of the events to keep, as they were at the first engagement; default: all others
---@field columns? table<string, string>  the dataset's `columns`: which of ours are title, text, created, ...
---@field hint? string          what to do when files are missing, with %s for the folder

local function need(layout, part, key)
  for _, column in ipairs(layout[part].columns) do
    if column[1] == key then return end
  end
  error(("the layout '%s' has no column '%s' among its %s"):format(layout.name, key, part), 4)
end

local function check(layout)
  for key in pairs(layout) do
    if not KNOWN[key] then error(("the layout '%s' has an unknown part '%s'"):format(layout.name, tostring(key)), 3) end
  end
  if type(layout.events) ~= "table" then error(("the layout '%s' needs events"):format(layout.name), 3) end
  for _, key in ipairs { "user", "item", "event", "time" } do need(layout, "events", key) end
  if layout.users then need(layout, "users", "user") end
  if layout.items then need(layout, "items", "item") end
end

--- The paths of the files that the layout names, in the order of its parts, or nil and a message about those that are
--- not there.
local function find_files(dir, layout)
  local names, paths, missing = {}, {}, {}
  for _, part in ipairs(PARTS) do
    local name = layout[part] and layout[part].file
    if name then
      local found = files.exists(dir .. "/" .. name) and { dir .. "/" .. name } or frame.glob(dir .. "/" .. name) or {}
      names[#names + 1] = name
      if #found == 0 then missing[#missing + 1] = name end
      table.move(found, 1, #found, #paths + 1, paths)
    end
  end
  if #missing == 0 then return paths end
  local expected = #names == 1 and names[1] or table.concat(names, ", ", 1, #names - 1) .. " and " .. names[#names]
  local hint = not os.getenv "SM_TRAINING_ENV" and layout.hint -- a job of SageMaker's wants its own data, no sample
  return nil, ("%s %s missing in %s: a folder with %s is expected%s"):format(table.concat(missing, " and "),
    #missing > 1 and "are" or "is", dir, expected, hint and ". " .. hint:format(dir) or "")
end

--- Read the file of a part with its columns under our names.
local function read(p, layout, part, report)
  local options = { columns = {}, types = {}, bad_limit = p.bad_limit }
  if not files.is_json_lines(layout[part].file) then
    options.nulls, options.separator = layout.nulls, layout.separator
  end
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

--- Columns of the events beside those that every engagement has.
local function other_columns(layout)
  local own, others = { user = true, item = true, event = true, time = true }, {}
  for _, column in ipairs(layout.events.columns) do
    if not own[column[1]] then others[#others + 1] = column[1] end
  end
  return others
end

local function count_missing(f, keys)
  local missing = 0
  for _, key in ipairs(keys) do missing = missing + #f:where(key, "missing") end
  return missing
end

--- The layout with parts of it replaced; raises for a part that it does not have.
---@param layout EventLayout
---@param changes? table
---@return EventLayout
function event_log.merged(layout, changes)
  local copy = {}
  for key, value in pairs(layout) do copy[key] = value end
  for key, value in pairs(changes or {}) do
    if not KNOWN[key] then error(("the %s layout has no part '%s'"):format(layout.name, key), 3) end
    copy[key] = value
  end
  return copy
end

--- Read the folder p.dir as the layout says.
---@param p { source: string, dir: string, bad_limit: number?, quarantine: string? }  as given to recsys.data.load;
---  quarantine: a folder for malformed rows
---@param layout EventLayout
---@return Dataset? dataset  nil, message, code
---@return string? message
---@return string? code
function event_log.load(p, layout)
  check(layout)
  local data, report, parts = require "recsys.data", { quarantined = 0 }, {}
  local paths, message = find_files(p.dir, layout)
  if not paths then return nil, message, "io" end
  local code
  for _, part in ipairs(PARTS) do
    if layout[part] then
      parts[part], message, code = read(p, layout, part, report)
      if not parts[part] then return nil, message, code end
    end
  end
  local fingerprint
  fingerprint, message, code = data.fingerprint(paths, { source = layout.name, layout = layout })
  if not fingerprint then return nil, message, code end
  local interactions, counts = engagements(parts.events, { strengths = layout.strengths, takes_back = layout.takes_back,
    combine = layout.combine, half_life = layout.half_life, at = layout.at,
    keep = layout.keep or other_columns(layout) })
  report.events, report.taken_back, report.other_events = parts.events:rows(), counts.taken_back, counts.other_events
  report.combined = { "strength", "events" }
  local dataset = data.new { name = layout.name, interactions = interactions, users = parts.users, items = parts.items,
    report = report, fingerprint = fingerprint, columns = layout.columns,
    origin = { source = p.source or layout.name, dir = p.dir } }
  report.incomplete = report.incomplete + count_missing(parts.events, { "time", "user", "item" })
  return dataset
end

return event_log

--- Looking at data before modelling it: what files hold, whether they join, who interacts with what, what starts cold.
---
--- `describe.look(paths, options)` gives plain facts, all of which `recsys-run describe --json` prints; the terminal's
--- tables (recsys.describe.terminal) and the page (recsys.describe.page) say the same. docs/looking.md is the manual.

local exit = require "recsys.exit"
local frame = require "recsys.frame"
local interactions = require "recsys.describe.interactions"
local joins = require "recsys.describe.joins"
local json = require "recsys.json"
local profile = require "recsys.profile"
local read = require "recsys.describe.read"
local text = require "recsys.text"

local describe = {}

-- Columns ---------------------------------------------------------------------------------------------------------

-- Whole numbers in these ranges, in a column that is called like a time, are epoch times of 1973 to 2096.
local epochs = { { 1e8, 4e9, 1000 }, { 1e11, 4e12, 1 } }

local function is_called_like_a_time(name)
  local plain = name:lower()
  return plain:find "time" or plain:find "date" or plain:find "created" or plain:find "stamp" or plain:match "_at$"
    or name:match "At$" or plain:match "_ts$" or plain == "ts"
end

--- The frame with epoch numbers as times.
local function with_times(f, columns, types)
  local changed = false
  for _, column in ipairs(columns) do
    for _, epoch in ipairs(epochs) do
      local low, high, factor = table.unpack(epoch)
      if column.type == "number" and column.whole and not types[column.name] and is_called_like_a_time(column.name)
        and (column.min or 0) >= low and column.max <= high then
        local values = f:column(column.name)
        local times = (values * factor):to "i64"
        f, changed = f:with(column.name, "time", times), true
      end
    end
  end
  return f, changed
end

-- Texts that often mean "missing" and were read as values.
local missing_words = { ["na"] = true, ["n/a"] = true, ["nan"] = true, ["none"] = true, ["nil"] = true, ["-"] = true,
  ["?"] = true, ["undefined"] = true, ["null"] = true, ["unknown"] = true, ["(null)"] = true, ["\\n"] = true }

local FEW <const> = 0.05 -- share of a column's values that may keep it from being of another type
local readings = { { "number", "as_number", tonumber }, { "time", "as_time", frame.parse_time } }

--- Of a column of texts: the type that all but few of its values have, how many do not, and the first of these, its row
--- counted from 1; nil when there is no such type. Columns whose frequent values are no such texts cost nothing.
local function almost(f, column)
  for _, reading in ipairs(column.type == "string" and column.top[1] and readings or {}) do
    local kind, cast, parse = table.unpack(reading)
    if parse(column.top[1].value) then
      local values = frame.col(column.name)
      local odd = f:where(values:present() & values[cast](values):is_missing())
      if #odd > 0 and #odd <= FEW * (column.rows - column.missing) then return kind, #odd, odd:get(1) + 1 end
    end
  end
end

--- What one should know of a column, in words.
local function notes_of(column, f)
  local notes, present = {}, column.rows - column.missing
  local function note(format, ...) notes[#notes + 1] = format:format(...) end
  if present == 0 then
    note "every value is missing"
  elseif column.distinct == 1 and column.rows > 1 then
    note "one value only"
  elseif column.distinct == present and present > 1 and column.type ~= "list" then
    note "every value is distinct"
  end
  local kind, odd, row = almost(f, column)
  if kind then
    note("a %s but for %s, '%s' in row %s: --type %s=%s", kind, odd == 1 and "1 value" or text.count(odd) .. " values",
      f:text(column.name, row), text.count(row), column.name, kind)
  end
  for _, top in ipairs(column.top) do
    if column.type == "string" and missing_words[top.value:lower()] then
      note("'%s' may mean missing: --null '%s' reads it so", top.value, top.value)
    end
  end
  return notes
end

local function finish_column(column, f)
  local present = math.max(1, column.type == "list" and math.max(1, column.rows) or column.rows - column.missing)
  column.missing_share = column.rows > 0 and column.missing / column.rows or 0
  for _, top in ipairs(column.top) do
    top.share = top.count / present
    if column.type == "time" then top.time = frame.format_time(top.value) end
  end
  if column.type == "time" and column.min then
    column.from, column.to = frame.format_time(math.floor(column.min)), frame.format_time(math.floor(column.max))
  end
  column.notes = json.list(notes_of(column, f))
  json.list(column.top)
end

local function look_at_columns(f, types)
  local columns = profile.columns(f)
  local changed
  f, changed = with_times(f, columns, types)
  if changed then columns = profile.columns(f) end
  for _, column in ipairs(columns) do finish_column(column, f) end
  return columns, f
end

-- Repeats -----------------------------------------------------------------------------------------------------------

local function repeats(f, names)
  local found = profile.repeats(f, names, { missing = names and "skip" or "value", limit = 3 })
  local examples = {}
  for i = 1, #found.repeats do
    examples[i] = { row = found.repeats:get(i) + 1, first = found.firsts:get(i) + 1 }
  end
  return { columns = names, rows = found.repeated, incomplete = found.incomplete, examples = json.list(examples) }
end

--- Repeated rows, and repeats of each column that is nearly a key.
local function look_for_repeats(f, columns)
  local keys = {}
  for _, column in ipairs(columns) do
    local present = column.rows - column.missing
    local nearly = column.distinct < present and column.distinct >= 0.9 * present and present >= 2
    if nearly and (column.type == "string" or column.type == "number" and column.whole)
      and (column.name:lower():find "id" or column.name:lower():find "key" or columns[1] == column) then
      keys[#keys + 1] = repeats(f, { column.name })
    end
  end
  local whole = repeats(f)
  return { rows = whole.rows, examples = whole.examples, keys = json.list(keys) }
end

-- All of it ---------------------------------------------------------------------------------------------------------

local function look_at_file(file, p)
  local facts, f = read.open(file, p)
  json.list(facts.quarantine.reasons)
  json.list(facts.quarantine.examples)
  facts.columns = json.list {}
  if not f then return { facts = facts } end
  if f:rows() > 0 or #f:names() > 0 then
    facts.columns, f = look_at_columns(f, p.types or {})
    facts.duplicates = look_for_repeats(f, facts.columns)
  end
  return { facts = facts, frame = f, roles = file.roles }
end

---@class DescribeOptions
---@field join? string[]        "events.hashId=contents.hashid": keys to compare, beside those that look alike
---@field user? string          the interactions' columns, "deviceId" or "events.deviceId"; default: guessed
---@field item? string
---@field time? string
---@field separator? string     of files whose own is not found
---@field names? string[]       of the columns of files without a header
---@field nulls? string[]       words that mean missing; default null, NULL and \N
---@field types? table<string, string>  column -> type, as frame.read_csv takes it
---@field quarantine? string    a folder that keeps malformed rows; default: they are counted and shown only

--- Look at files, or folders of them. Malformed rows are left out, counted and shown, however many there are; a file
--- that cannot be read at all has `refused` and the others are looked at.
---@param paths string[]
---@param options? DescribeOptions
---@return { files: table[], joins: table[], interactions: table?, no_interactions: string? } facts  docs/looking.md
function describe.look(paths, options)
  local p, tables, facts = options or {}, {}, { files = {}, notes = {} }
  if #paths == 0 then exit.usage_error "a file or a folder to describe is expected" end
  for i, file in ipairs(read.files(paths)) do
    local one = look_at_file(file, p)
    facts.files[i] = one.facts
    if one.frame and #one.facts.columns > 0 then tables[#tables + 1] = one end
  end
  facts.joins = json.list(joins.find(tables, p.join))
  facts.interactions, facts.no_interactions = interactions.find(tables, { user = p.user, item = p.item, time = p.time })
  return facts
end

return describe

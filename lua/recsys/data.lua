--- Datasets: who interacted with what, and when, beside tables of users and items. docs/data.md is the manual.
---
--- A source (lua/recsys/data/<source>.lua, or one registered by a recipe) reads files into frames; data.new puts them
--- in the one form that everything else takes: interactions in stable time order, and a row in the tables for every
--- user and item that they name.

local cache = require "recsys.cache"
local files = require "recsys.files"
local frame = require "recsys.frame"
local json = require "recsys.json"
local lfs = require "lfs"
local log = require "recsys.log"
local parsed = require "recsys.parsed"
local provenance = require "recsys.provenance"
local split = require "recsys.data.split"
local store = require "recsys.store"
local tensor = require "recsys.tensor"
local text = require "recsys.text"

local data = {
  split_by_time = split.by_time,
  split_leave_last_out = split.leave_last_out,
  split_random = split.random,
  split_given = split.given,
  engagements = require "recsys.data.engagements",
  negatives = require "recsys.data.negatives",
}

---@class Dataset
---@field name string
---@field interactions Frame   user, item, time, and what else is known of each, in stable order of time
---@field users Frame          user, and his features; a row for every user of the interactions
---@field items Frame          item, and its features: the catalogue
---@field fingerprint string   of the input files' bytes and the options; equal for equal data
---@field columns table<string, string>  where to find what has no fixed name: see docs/data.md, "Columns"
---@field report table         what reading found: see docs/data.md, "The report"
---@field origin table         source, dir and layout, for what reads further files of the same folder
local Dataset = { __name = "recsys.Dataset" }
Dataset.__index = Dataset

local function plain(self)
  local copy = {}
  for key, value in pairs(self) do copy[key] = value end
  return copy
end

store.class("recsys.data", Dataset, plain, function(saved) return setmetatable(saved, Dataset) end)

local sources = { movielens = "recsys.data.movielens", news = "recsys.data.news", lightgcn = "recsys.data.lightgcn",
  ncf = "recsys.data.ncf", sasrec = "recsys.data.sequences", s3rec = "recsys.data.sequences" }

--- Add a source: data.load{ source = name, ... } calls load(p), which gives a Dataset (by data.new) or nil, message,
--- code. Code "io" or "format" says that files are missing or damaged.
---@param name string
---@param load fun(p: table): Dataset?, string?, string?
function data.source(name, load)
  sources[name] = { load = load }
end

--- Load a dataset. `p.source` names the source, the rest is the source's own: see docs/data.md.
---@param p { source: string, dir: string }
---@return Dataset? dataset  nil, message, code when files are missing ("io") or damaged ("format")
---@return string? message
---@return string? code
function data.load(p)
  local source = sources[p.source]
  if not source then
    local names = {}
    for name in pairs(sources) do names[#names + 1] = name end
    table.sort(names)
    local near = text.nearest(tostring(p.source), names)
    error(("there is no data source '%s'%s; there are: %s"):format(tostring(p.source),
      near and (", did you mean '" .. near .. "'?") or "", table.concat(names, ", ")), 2)
  end
  if type(p.dir) ~= "string" or p.dir == "" then
    error(("data source '%s' needs dir, the folder with its files"):format(p.source), 2)
  end
  if type(source) == "string" then source = require(source) end
  local dataset, message, code = source.load(p)
  if not dataset then return nil, message, code end
  log.info("%s", tostring(dataset))
  return dataset
end

--- What a source without its folder says: how to get the files, behind ": "; "" for those that have no such words.
---@param p { source: string, dir: string }
---@return string
function data.hint(p)
  local source = sources[p.source]
  if type(source) == "string" then source = require(source) end
  if not source or not source.absent then return "" end
  return ": " .. select(2, source.absent(p.dir, p))
end

-- Making datasets ---------------------------------------------------------------------------------------------------

local function need_strings(f, key, what)
  if type(f) ~= "userdata" then error(("the %s must be a frame, not a %s"):format(what, type(f)), 3) end
  if not f:has(key) then error(("the %s need a column '%s'"):format(what, key), 3) end
  if f:type(key) ~= "string" then
    error(("column '%s' of the %s is a %s, and keys are strings: read it with types = { %s = \"string\" }"):format(key,
      what, f:type(key), key), 3)
  end
end

--- Whether a column of strings or times has a value in every row: code 0 and TIME_MISSING stand below all that are.
local function is_whole(f, key)
  if f:rows() == 0 then return true end
  return (f:column(key)):min() > (f:type(key) == "time" and frame.TIME_MISSING or 0)
end

--- The interactions that name a user, an item and a time, in stable order of time, and how many do not.
local function complete(interactions)
  if not interactions:has "time" then -- all at one moment: the order of the file decides
    interactions = interactions:with("time", "time", tensor.zeros(interactions:rows(), "i64"))
  end
  local before = interactions:rows()
  for _, key in ipairs { "user", "item", "time" } do
    if not is_whole(interactions, key) then interactions = interactions:filter(interactions:where(key, "present")) end
  end
  return (interactions:sort "time"), before - interactions:rows()
end

--- The table of users or items, one row each (the last of several), with rows of missing features for those that only
--- the interactions name.
local function cover(given, interactions, key)
  local named = interactions:select({ key }):distinct(key)
  if not given then return named, 0, named:rows() end
  need_strings(given, key, key .. "s table")
  local unique = given:filter(given:where(key, "present")):distinct(key, "last")
  local unknown = named:join(unique, key, "anti")
  local duplicates = given:rows() - unique:rows()
  if unknown:rows() == 0 then return unique, duplicates, 0 end
  local blank = unique:filter(tensor.full(-1, unknown:rows(), "i64")):with(key, unknown, key)
  return frame.concat { unique, blank }, duplicates, unknown:rows()
end

--- A dataset from frames. Interactions without user, item or time are left out and counted (report.incomplete); of
--- several rows of one user or item the last counts; users and items without a row get one with missing features
--- (report.unknown_users, unknown_items).
---@param parts { name: string, interactions: Frame, users: Frame?, items: Frame?, columns: table?, report: table?,
---  origin: table?, fingerprint: string? }  key columns: strings user and item; time may be absent
---@return Dataset
function data.new(parts)
  need_strings(parts.interactions, "user", "interactions")
  need_strings(parts.interactions, "item", "interactions")
  if parts.interactions:has "time" and parts.interactions:type "time" ~= "time" then
    error(("column 'time' of the interactions is a %s: read it with types = { time = \"time_s\" }, \"time_ms\" for "
      .. "milliseconds or \"time\" for text, or leave it out"):format(parts.interactions:type "time"), 2)
  end
  local report = parts.report or {}
  local interactions, incomplete = complete(parts.interactions)
  report.incomplete = incomplete
  local users, items
  users, report.duplicate_users, report.unknown_users = cover(parts.users, interactions, "user")
  items, report.duplicate_items, report.unknown_items = cover(parts.items, interactions, "item")
  return setmetatable({ name = parts.name or "data", interactions = interactions, users = users, items = items,
    fingerprint = parts.fingerprint or "", columns = parts.columns or {}, report = report,
    origin = parts.origin or {} }, Dataset)
end

--- Where parsed files are kept.
local function parsed_folder() return cache.folder() .. "/parsed" end

--- The fingerprint of files and of the options that shape what is made of them.
---@param paths string[]
---@param options table  plain values
---@return string? fingerprint  nil, message, code when a file cannot be read
---@return string? message
---@return string? code
function data.fingerprint(paths, options)
  local hashes = {}
  for i, path in ipairs(paths) do
    local hash, message, code = parsed.hash_of(path, parsed_folder())
    if not hash then return nil, message, code end
    hashes[i] = hash
    provenance.read(path, hash)
  end
  return "xxh3:" .. frame.hash(json.encode { files = hashes, options = options })
end

--- Where the malformed rows of a file go: a file in the folder p.quarantine, which is made; nil without one.
---@param p { quarantine: string? }
---@param name string  of the file
---@return string?
function data.quarantine(p, name)
  if not p.quarantine or p.quarantine == "" then return nil end
  return ("%s/%s.quarantine.csv"):format(files.make_folder(p.quarantine), (name:gsub("[/*?%[%]]", "_")))
end

local function with_cache(options, folder)
  local own = { cache = folder }
  for name, value in pairs(options) do own[name] = value end
  return own
end

--- What reading one file found, told when there are malformed rows.
local function add_report(report, found, quarantine)
  report.files[#report.files + 1] = found
  report.quarantined = (report.quarantined or 0) + found.quarantined
  if found.quarantined == 0 then return end
  log.warn("%s: %d of %d rows are malformed and left out; the first is line %d: %s%s", found.path, found.quarantined,
    found.rows + found.quarantined, found.first_bad.line, found.first_bad.reason,
    quarantine and ("; all are in " .. quarantine) or "")
end

local WORTH_KEEPING <const> = 1 << 20 -- bytes of a file; smaller ones are read as fast as opened

--- Read a file of a source, or many as one by a pattern: JSON Lines when its name says so (.jsonl, .ndjson), else CSV.
--- Gives the frame, with what was found added to report.files and malformed rows told. The parsed form of a large CSV
--- file is kept in the cache folder, or in options.cache, and opened the next time.
---@param path string
---@param options FrameCsvOptions|FrameJsonlOptions
---@param report table
---@return Frame? f  nil, message, code
---@return string? message
---@return string? code
function data.read(path, options, report)
  local reader = files.is_json_lines(path) and frame.read_jsonl or frame.read_csv
  if reader == frame.read_csv and options.cache == nil and (lfs.attributes(path, "size") or 0) >= WORTH_KEEPING then
    options = with_cache(options, parsed_folder())
  end
  local f, found, code = reader(path, options)
  if not f then return nil, found, code end
  report.files = report.files or {}
  for _, one in ipairs(found.files or { found }) do add_report(report, one, options.quarantine) end
  if options.quarantine and found.quarantined == 0 then os.remove(options.quarantine) end -- nothing but a header
  return f
end

-- What datasets know ------------------------------------------------------------------------------------------------

--- Sizes, time range and what was left out, as plain data.
---@return { name: string, users: integer, items: integer, interactions: integer, quarantined: integer,
---  incomplete: integer, unknown_users: integer, unknown_items: integer, from: string?, to: string?, density: number,
---  fingerprint: string }
function Dataset:summary()
  local f, report = self.interactions, self.report
  local n, users, items = f:rows(), self.users:rows(), self.items:rows()
  return {
    name = self.name, users = users, items = items, interactions = n, density = n / math.max(1, users * items),
    quarantined = report.quarantined or 0, incomplete = report.incomplete or 0,
    unknown_users = report.unknown_users or 0, unknown_items = report.unknown_items or 0,
    from = n > 0 and frame.format_time(f:value("time", 1)) or nil,
    to = n > 0 and frame.format_time(f:value("time", n)) or nil,
    fingerprint = self.fingerprint,
  }
end

function Dataset:__tostring()
  local s, left_out = self:summary(), {}
  for _, what in ipairs { "quarantined", "incomplete" } do
    if s[what] > 0 then left_out[#left_out + 1] = ("%s rows %s"):format(text.count(s[what]), what) end
  end
  return ("%s: %s users, %s items, %s interactions%s%s"):format(s.name, text.count(s.users), text.count(s.items),
    text.count(s.interactions), s.from and (", %s to %s"):format(s.from:sub(1, 10), s.to:sub(1, 10)) or "",
    #left_out > 0 and " (" .. table.concat(left_out, ", ") .. ")" or "")
end

--- The 0-based row of each interaction's user in `users`.
---@return Tensor i64 [interactions]
function Dataset:user_rows() return self.interactions:lookup(self.users, "user") end

--- The 0-based row of each interaction's item in `items`.
---@return Tensor i64 [interactions]
function Dataset:item_rows() return self.interactions:lookup(self.items, "item") end

--- The dataset with other interactions, its tables unchanged.
---@param interactions Frame
---@param changes? table  further fields
---@return Dataset
function Dataset:with(interactions, changes)
  local copy = plain(self)
  copy.interactions = interactions
  for key, value in pairs(changes or {}) do copy[key] = value end
  return setmetatable(copy, Dataset)
end

-- Cleaning ----------------------------------------------------------------------------------------------------------

local cleaners = {}

local function keep(d, name, op, value)
  return d:with(d.interactions:filter(d.interactions:where(name, op, value)))
end

--- At least this rating or strength.
function cleaners.min_rating(d, least) return keep(d, "rating", ">=", least) end
function cleaners.min_strength(d, least) return keep(d, "strength", ">=", least) end

--- From this time on, and before this time: ISO 8601 text or milliseconds.
function cleaners.from(d, time) return keep(d, "time", ">=", time) end
function cleaners.to(d, time) return keep(d, "time", "<", time) end

--- One row a user and item: the "first" or the "last".
function cleaners.unique(d, which) return d:with(d.interactions:distinct({ "user", "item" }, which)) end

--- Users and items with at least k interactions each; the others leave the tables too.
function cleaners.k_core(d, k)
  if k < 2 then return d end
  local core = frame.k_core(d.interactions, "user", "item", k)
  return d:with(core, { users = d.users:join(core, "user", "semi"), items = d.items:join(core, "item", "semi") })
end

local order = { "min_rating", "min_strength", "from", "to", "unique", "k_core" }

--- The dataset without what the options leave out; they apply in the order in which they stand here. `false` and nil
--- leave an option out.
---@param dataset Dataset
---@param options { min_rating: number?, min_strength: number?, from: string|integer?, to: string|integer?,
---  unique: "first"|"last"|false?, k_core: integer? }
---@return Dataset
function data.clean(dataset, options)
  for name in pairs(options) do
    if not cleaners[name] then
      error(("bad argument #2 to 'clean' (there is no option '%s'; there are: %s)"):format(name,
        table.concat(order, ", ")), 2)
    end
  end
  local cleaned = dataset
  for _, name in ipairs(order) do
    if options[name] then cleaned = cleaners[name](cleaned, options[name]) end
  end
  if cleaned == dataset then return dataset end
  local before, after = dataset.interactions:rows(), cleaned.interactions:rows()
  log.info("clean: %s of %s interactions stay, of %s users and %s items", text.count(after), text.count(before),
    text.count(cleaned.users:rows()), text.count(cleaned.items:rows()))
  return cleaned:with(cleaned.interactions,
    { fingerprint = "xxh3:" .. frame.hash(dataset.fingerprint .. json.encode(options)) })
end

return data

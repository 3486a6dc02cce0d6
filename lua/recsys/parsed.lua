--- Parsed files, kept: a table that was read once opens in milliseconds, mapped where it lies.
---
--- An entry is two files, named by a key: XXH3 of the file's content, of the reading options and of the reader's
--- sources. KEY.safetensors holds the columns as they are used, KEY.json the schema, the report and the hash of the
--- former. The hash of a file's content is remembered beside them (PATH-HASH.file.json) under the file's size, times
--- and inode, so that an unchanged file is not read again either; a file that changed in the last two seconds is,
--- as its times may not tell of the next change.
---
--- Nothing here is trusted: an entry whose files are not the ones that were checked before is hashed, and what is
--- damaged is made anew. Several processes may use one folder: files are put in place whole, and equal keys have equal
--- bytes. docs/data.md, "Memory and cache".

local bundle = require "recsys.bundle"
local cache = require "recsys.cache"
local core = require "recsys.core"
local exit = require "recsys.exit"
local files = require "recsys.files"
local frame = core.frame
local json = require "recsys.json"
local lfs = require "lfs"
local log = require "recsys.log"
local tensor = require "recsys.tensor"
local text = require "recsys.text"
local uv = require "luv"

local parsed = {}

--- What tells whether a file is the one it was: renaming, writing and setting its times all change ctime.
local function signature(path)
  local s = uv.fs_stat(path)
  if not s or s.type ~= "file" then return nil end
  return ("%d %d.%09d %d.%09d %d %d"):format(s.size, s.mtime.sec, s.mtime.nsec, s.ctime.sec, s.ctime.nsec, s.dev,
    s.ino), s
end

local function read_json(path)
  local bytes = files.read(path)
  local value = bytes and json.decode(bytes)
  return type(value) == "table" and value or nil
end

-- The content of a file ---------------------------------------------------------------------------------------------

local SETTLED <const> = 2 -- seconds after which a further change is sure to have other times

--- The hash of a file's bytes; remembered in the folder, if one is given.
---@param path string
---@param folder? string
---@return string? hash  nil, message, code when the file cannot be read
---@return string? message
---@return string? code
function parsed.hash_of(path, folder)
  local sign, stat = signature(path)
  if not sign or not folder then return frame.hash_file(path) end
  local memo = ("%s/%s.file.json"):format(folder, frame.hash(uv.fs_realpath(path) or path))
  local known = cache.allowed() and read_json(memo)
  if known and known.signature == sign and type(known.hash) == "string" then return known.hash end
  local now = uv.gettimeofday()
  local hash, message, code = frame.hash_file(path)
  if not hash then return nil, message, code end
  local settled = now - math.max(stat.ctime.sec, stat.mtime.sec) >= SETTLED
  if settled and signature(path) == sign then
    exit.try(files.write, memo, json.encode { path = path, signature = sign, hash = hash })
  end
  return hash
end

-- Keys --------------------------------------------------------------------------------------------------------------

--- Options that do not change what a file holds: whether it is refused, and where its malformed rows go.
local aside = { cache = true, quarantine = true, bad_limit = true }

local function key_of(path, options, folder)
  local hash, message, code = parsed.hash_of(path, folder)
  if not hash then return nil, message, code end
  local shaping = {}
  for name, value in pairs(options) do
    if not aside[name] then shaping[name] = value end
  end
  return frame.hash(json.encode { content = hash, options = shaping, reader = core.reader })
end

-- Entries -----------------------------------------------------------------------------------------------------------

--- Whole numbers as integers again, which JSON readers give as floats.
local function integers(value)
  if type(value) == "table" then
    for name, part in pairs(value) do value[name] = integers(part) end
  end
  return math.tointeger(value) or value
end

--- The entry's description when its columns are those that were checked when it was made, or are found to be so now.
local function describe(stem)
  local entry = read_json(stem .. ".json")
  if not entry or type(entry.report) ~= "table" or type(entry.schema) ~= "table" then return nil end
  local sign = signature(stem .. ".safetensors")
  if not sign then return nil end
  if entry.signature ~= sign then
    if frame.hash_file(stem .. ".safetensors") ~= entry.hash then
      log.note("the parsed form of %s in %s is damaged, and made anew", tostring(entry.report.path), stem)
      return nil
    end
    entry.signature = sign
    exit.try(files.write, stem .. ".json", json.encode(entry))
  end
  return entry
end

--- The frame and the malformed rows of an entry; nil when it is damaged after all.
local function open_entry(stem, entry)
  local stored = bundle.read_safetensors(stem .. ".safetensors")
  if not stored then return nil end
  local schema, tensors = {}, {}
  for i, column in ipairs(entry.schema) do
    schema[i] = { name = column.name, type = column.type }
    for _, part in ipairs { "values", "starts", "lengths", "bytes", "offsets" } do
      tensors[column.name .. "." .. part] = stored[("%d.%s"):format(i, part)]
    end
  end
  local ok, f = exit.try(frame.from_tensors, tensors, schema)
  return ok and f or nil, stored.quarantine
end

local function write_quarantine(path, rows)
  if path then files.write(path, rows:to_string()) end
end

--- The frame and report of a key; nil when there is none that will do.
local function lookup(folder, key, path, options)
  local stem = folder .. "/" .. key
  local entry = describe(stem)
  if not entry then return nil end
  local report = integers(entry.report)
  local bad, good = report.quarantined, report.rows
  if math.type(bad) ~= "integer" or math.type(good) ~= "integer" then return nil end
  if bad > 0 and (bad > (options.bad_limit or 0.01) * (good + bad) or report.path ~= path) then return nil end
  local f, quarantine = open_entry(stem, entry)
  if not f or not quarantine or f:rows() ~= good then return nil end
  write_quarantine(options.quarantine, quarantine)
  local seconds, micros = uv.gettimeofday()
  uv.fs_utime(stem .. ".json", seconds + micros / 1e6, seconds + micros / 1e6) -- used last now
  report.path, report.cached = path, true
  return f, report
end

-- Keeping -----------------------------------------------------------------------------------------------------------

--- How many bytes of entries a folder may hold; the variable RECSYS_CACHE_LIMIT names another size than 10G.
---@return integer
function parsed.limit()
  local named = os.getenv "RECSYS_CACHE_LIMIT"
  if not named or named == "" then return 10 << 30 end
  return text.bytes(named) or exit.usage_error("RECSYS_CACHE_LIMIT must be a size such as 10G, not '%s'", named)
end

local ABANDONED <const> = 3600 -- seconds after which a part of an entry is what a killed process left
local FORGOTTEN <const> = 90 * 86400 -- seconds after which the hash of a file is not kept any longer

--- Remove what nothing refers to: parts of entries, hashes of files that were not read for long.
local function sweep(path, name, age)
  local stem = name:match "^(%x+)%.safetensors$"
  local whole = name:match "^%x+%.json$" or name:match "%.file%.json$" and age < FORGOTTEN
    or stem and files.exists((path:gsub("safetensors$", "json")))
  if not whole and age > ABANDONED and name:match "^%x+%." then os.remove(path) end
end

--- The entries of a folder, the one used last first: { stem, bytes, used }.
local function entries_of(folder)
  local list, now = {}, os.time()
  for name in lfs.dir(folder) do
    local path = folder .. "/" .. name
    local stat = uv.fs_stat(path)
    if stat and stat.type == "file" then
      local stem = path:match "^(.*/%x+)%.json$"
      if stem then
        list[#list + 1] = { stem = stem, used = stat.mtime.sec + stat.mtime.nsec / 1e9,
          bytes = stat.size + (lfs.attributes(stem .. ".safetensors", "size") or 0) }
      end
      sweep(path, name, now - stat.mtime.sec)
    end
  end
  table.sort(list, function(a, b) return a.used > b.used end)
  return list
end

--- Remove the entries that were not used for longest until the rest fits into 'limit' bytes, and what killed processes
--- left. Whoever has an entry open keeps it.
---@param folder string
---@param limit integer
function parsed.trim(folder, limit)
  local total = 0
  for _, entry in ipairs(entries_of(folder)) do
    total = total + entry.bytes
    if total > limit then
      os.remove(entry.stem .. ".json")
      os.remove(entry.stem .. ".safetensors")
      total = total - entry.bytes
    end
  end
end

local function tensors_of(f, quarantine)
  local named, schema, all = f:tensors(), {}, {}
  local bytes = #quarantine
  for i, name in ipairs(f:names()) do
    schema[i] = { name = name, type = f:type(name) }
    for _, part in ipairs { "values", "starts", "lengths", "bytes", "offsets" } do
      local t = named[name .. "." .. part]
      all[("%d.%s"):format(i, part)] = t
      bytes = bytes + (t and t:count() * 8 or 0)
    end
  end
  all.quarantine = tensor.from_string(quarantine, "u8", #quarantine)
  return all, schema, bytes
end

--- Put an entry into the folder; nil, message when the disk refuses or it would be too large.
local function keep(stem, f, report, quarantine)
  local tensors, schema, bytes = tensors_of(f, quarantine)
  if bytes > parsed.limit() then return nil, "it is larger than RECSYS_CACHE_LIMIT" end
  local path = stem .. ".safetensors"
  local ok, message = bundle.write_safetensors(path, tensors)
  for _, t in pairs(tensors) do t:close() end
  if not ok then return nil, message end
  local entry = { report = report, schema = schema, signature = signature(path) }
  entry.hash, message = frame.hash_file(path)
  if not entry.hash then return nil, message end
  ok, message = exit.try(files.write, stem .. ".json", json.encode(entry))
  if ok then return entry end
  os.remove(path)
  return nil, type(message) == "table" and message.message or message
end

--- Keep a frame, and give the kept one in its place: its columns are the kernel's to drop and to read again.
local function keep_and_open(folder, key, f, report, quarantine)
  local stem = folder .. "/" .. key
  local entry, message = keep(stem, f, report, quarantine)
  if not entry then
    log.note("the parsed form of %s is not kept: %s", report.path, message)
    return f
  end
  parsed.trim(folder, parsed.limit())
  local mapped = open_entry(stem, entry)
  if not mapped then return f end
  f:close()
  return mapped
end

local function without_cache(options)
  local own = {}
  for name, value in pairs(options) do own[name] = value end
  own.cache = nil
  return own
end

--- Read the file, and keep what it holds unless it is another one than 'before', when its content was hashed.
local function make(folder, key, path, options, read, before)
  local own, rows = without_cache(options), ("%s/%s.%d.rows"):format(folder, key, uv.os_getpid())
  own.quarantine = options.quarantine or rows
  local f, report, code = read(path, own)
  if not f and code == "io" and not options.quarantine then return read(path, without_cache(options)) end
  local quarantine = f and (report.quarantined > 0 or options.quarantine) and files.read(own.quarantine) or ""
  os.remove(rows)
  if not f then return nil, report, code end
  if before == signature(path) then f = keep_and_open(folder, key, f, report, quarantine) end
  return f, report
end

--- A file's table: from the folder when it holds what the file and these options give, else read, and kept there.
---@param path string
---@param options table    of the reader; `cache` is the folder, which is made
---@param read fun(path: string, options: table): Frame?, table|string, string?  the reader
---@return Frame? f        nil, message, code as from the reader
---@return table|string report  with `cached` = true when it was not read
---@return string? code
function parsed.open(path, options, read)
  local folder = options.cache
  local made, refused = exit.try(files.make_folder, folder)
  if not made then
    log.note("no parsed form is kept: %s", refused.message)
    return read(path, without_cache(options))
  end
  local before = signature(path)
  local key, message, code = key_of(path, options, folder)
  if not key then return nil, message, code end
  if cache.allowed() then
    local f, report = lookup(folder, key, path, options)
    if f then return f, report end
  end
  return make(folder, key, path, options, read, before)
end

return parsed

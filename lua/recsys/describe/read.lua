--- The files that `describe` looks at: which there are, how they are read, and what reading found.
---
--- A folder is either in a layout that we know (the news app's three files, ML-100K, ML-1M: columns and who is the user
--- are known then) or stands for the tables in it. A file of MovieLens is known by its name, too, where it lies alone.

local files = require "recsys.files"
local frame = require "recsys.frame"
local lfs = require "lfs"
local movielens = require "recsys.data.movielens"
local news = require "recsys.data.news"
local uv = require "luv"

local read = {}

local endings = { csv = true, tsv = true, tab = true, psv = true, jsonl = true, ndjson = true }
local packed = { gz = true, zst = true }

--- "events" of "logs/events.csv.gz".
local function stem(path)
  local name = path:match "[^/]+$" or path
  local bare = name:match "^(.+)%.(%w+)$"
  if bare and packed[name:match "%.(%w+)$"] then name = bare end
  return name:match "^(.+)%.%w+$" or name
end

--- Whether a file's name is that of a table.
local function is_table(name)
  local ending = name:match "%.(%w+)$"
  if ending and packed[ending] then ending = name:match "%.(%w+)%.%w+$" end
  return ending ~= nil and endings[ending:lower()] == true
end

-- Known layouts -----------------------------------------------------------------------------------------------------

local function news_files(dir)
  local found = {}
  for i, part in ipairs { "events", "users", "items" } do
    local layout = news.layout[part]
    local options = { types = {}, nulls = news.layout.nulls, separator = "," }
    if not files.exists(dir .. "/" .. layout.file) then return nil end
    for _, column in ipairs(layout.columns) do options.types[column[2]] = column[3] end
    found[i] = { path = dir .. "/" .. layout.file, options = options, layout = "news" }
  end
  found[1].roles = {}
  for _, column in ipairs(news.layout.events.columns) do found[1].roles[column[1]] = column[2] end
  return found
end

local function movielens_files(dir)
  local parts, layout = movielens.files(dir)
  if not parts then return nil end
  local found = {}
  for i, part in ipairs(parts) do
    found[i] = { path = dir .. "/" .. part.file, options = part.options, layout = layout,
      roles = part.part == "ratings" and { user = "user", item = "item", time = "time" } or nil }
  end
  return found
end

--- The tables of a folder behind those that its layout knows.
local function tables_of(dir, known)
  local found, there = {}, {}
  for _, file in ipairs(known) do there[file.path] = true end
  for name in lfs.dir(dir) do
    local path = dir .. "/" .. name
    if is_table(name) and not there[path] then found[#found + 1] = { path = path, options = {} } end
  end
  table.sort(found, function(a, b) return a.path < b.path end)
  found = table.move(found, 1, #found, #known + 1, known)
  if #found > 0 then return found end
  error({ code = "usage", message = ("there are no tables in the folder %s: files that end in .csv, .tsv or .jsonl "
    .. "(or these with .gz or .zst), or the files of a known layout, are expected"):format(dir) }, 0)
end

--- How a file that is named alone is read: as its layout says when it lies beside the files of one.
local function single(path)
  local dir, name = path:match "^(.*)/([^/]+)$"
  for _, list in ipairs { news_files(dir or ".") or {}, movielens_files(dir or ".") or {} } do
    for _, file in ipairs(list) do
      if file.path:match "[^/]+$" == (name or path) then
        file.path = path
        return file
      end
    end
  end
  return { path = path, options = {} }
end

--- Many files as one table: a pattern of the shell that it was kept from.
local function pattern(path)
  local parts, message, code = frame.glob(path)
  if not parts then error({ code = code, message = message }, 0) end
  if #parts > 0 then return { { path = path, options = {}, parts = parts } } end
  error({ code = "usage", message = "there is no file that fits " .. path }, 0)
end

local function expand(path)
  local mode = lfs.attributes(path, "mode")
  if not mode and path:find "[*?%[]" then return pattern(path) end
  if not mode then error({ code = "usage", message = "there is no file " .. path }, 0) end
  if mode ~= "directory" then return { single(path) } end
  path = path:gsub("(.)/+$", "%1")
  return tables_of(path, news_files(path) or movielens_files(path) or {})
end

--- The files that the paths stand for: { path, name, options, layout?, roles? }, names distinct.
---@param paths string[]
---@return table[]
function read.files(paths)
  local found, names, seen = {}, {}, {}
  for _, path in ipairs(paths) do
    for _, file in ipairs(expand(path)) do
      if not seen[file.path] then found[#found + 1] = file end
      seen[file.path] = true
    end
  end
  for _, file in ipairs(found) do names[stem(file.path)] = (names[stem(file.path)] or 0) + 1 end
  for _, file in ipairs(found) do
    file.name = names[stem(file.path)] == 1 and stem(file.path) or file.path
  end
  return found
end

-- A file without a header ------------------------------------------------------------------------------------------

local separators = { "::", "\t", ",", ";", "|", " " }

local function split(line, separator)
  local fields, at = {}, 1
  while true do
    local from, to = line:find(separator, at, true)
    fields[#fields + 1] = line:sub(at, (from or 0) - 1)
    if not from then return fields end
    at = to + 1
  end
end

--- The first two lines of a file that is not packed; nil when there are none.
local function first_lines(path)
  local file = io.open(path, "rb")
  local bytes = file and file:read(65536) or ""
  if file then file:close() end
  if bytes:sub(1, 2) == "\x1F\x8B" or bytes:sub(1, 4) == "\x28\xB5\x2F\xFD" then return nil end -- gzip, zstd
  return bytes:match "^([^%z\r\n]+)\r?\n([^%z\r\n]*)"
end

--- Names for the columns of a file whose first line is data: a number or a time stands where names should. The second
--- line must have as many fields; lines with quotes are left to the reader.
---@return string[]? names, string? separator
local function made_names(path, given)
  local first, second = first_lines(path)
  if not first or first:find '"' then return nil end
  for _, separator in ipairs(given and { given } or separators) do
    local fields, names, data = split(first, separator), {}, false
    for i, field in ipairs(fields) do
      names[i] = "column" .. i
      data = data or tonumber(field) ~= nil or frame.parse_time(field) ~= nil
    end
    if #fields > 1 then return data and #split(second, separator) == #fields and names or nil, separator end
  end
end

-- Reading -----------------------------------------------------------------------------------------------------------

local standard_nulls = { "null", "NULL", "\\N" }

local function options_for(file, p, quarantine)
  local options = { nulls = standard_nulls }
  for key, value in pairs(file.options) do options[key] = value end
  for _, key in ipairs { "separator", "names" } do options[key] = p[key] or options[key] end
  if not options.names and not file.layout then
    local separator
    options.names, separator = made_names(file.parts and file.parts[1] or file.path, options.separator)
    if options.names then options.separator, options.names_made = separator, true end
  end
  if p.nulls and #p.nulls > 0 then options.nulls = p.nulls end
  options.types = {}
  for name, kind in pairs(file.options.types or {}) do options.types[name] = kind end
  options.bad_limit, options.quarantine = 1, quarantine
  return options
end

--- Read one file by what its name ends in: JSON Lines have neither separators nor a header.
local function read_one(path, options)
  if not files.is_json_lines(path) then return frame.read_csv(path, options) end
  return frame.read_jsonl(path, { types = options.types, bad_limit = 1, quarantine = options.quarantine })
end

--- Declare the types that were asked for with --type, of columns that the file has.
local function read_with_types(file, p, quarantine)
  local options = options_for(file, p, quarantine)
  options.names_made = nil -- our own, not the reader's
  local f, report, code = read_one(file.path, options)
  local again
  for name, kind in pairs(f and p.types or {}) do
    if f:has(name) then options.types[name], again = kind, true end
  end
  if again then return read_one(file.path, options) end
  return f, report, code
end

--- "expected 6 fields, found 5" of quarantined rows, counted: the most frequent first.
local function reasons_of(bad)
  local counts = bad:group_by("reason", { { "rows", "count" }, { "first_line", "min", "line" } }):sort "-rows"
  local reasons = {}
  for row = 1, math.min(20, counts:rows()) do
    reasons[row] = { reason = counts:text("reason", row), rows = math.tointeger(counts:value("rows", row)),
      first_line = math.tointeger(counts:value("first_line", row)) }
  end
  return reasons
end

--- What the quarantine file says: reasons with their counts, and the first rows.
local function quarantined(path)
  local bad = frame.read_csv(path, { separator = ",", escape = "doubled", bad_limit = 1, encoding = "utf-8",
    types = { file = "string", line = "number", reason = "string", text = "string" } })
  if not bad then return { reasons = {}, examples = {} } end
  local examples = {}
  for row = 1, math.min(5, bad:rows()) do
    local text = bad:text("text", row) or ""
    examples[row] = { line = math.tointeger(bad:value("line", row)), reason = bad:text("reason", row),
      text = #text > 200 and text:sub(1, (utf8.offset(text, 0, 200) or 200) - 1) .. "..." or text }
  end
  return { reasons = reasons_of(bad), examples = examples }
end

local not_dialect = { path = true, rows = true, quarantined = true, first_bad = true, types = true, torn = true,
  torn_line = true, unterminated = true, cached = true }

--- The report of many files as one: the dialect of the first, the sums of all.
local function merged(report)
  if not report.files then return report end
  local one, torn = {}, 0
  for key, value in pairs(report.files[1]) do one[key] = value end
  one.rows, one.quarantined, one.unterminated = report.rows, report.quarantined, false
  for _, part in ipairs(report.files) do
    one.unterminated = one.unterminated or part.unterminated
    torn, one.torn_line = torn + (part.torn or 0), one.torn_line or part.torn_line
  end
  one.torn = torn > 0 and torn or nil
  return one
end

local function bytes_of(paths)
  local sum = 0
  for _, path in ipairs(paths) do sum = sum + (lfs.attributes(path, "size") or 0) end
  return sum
end

--- What the report says of how the file is written.
local function dialect_of(report, options)
  local dialect = { nulls = options.nulls }
  if not report.separator then return { format = "JSON Lines", encoding = report.encoding } end
  for key, value in pairs(report) do
    if not not_dialect[key] and type(value) ~= "table" then dialect[key] = value end
  end
  if dialect.quote == nil then dialect.quote = options.quote or '"' end
  if dialect.header == nil then dialect.header = options.names == nil end
  dialect.names = not dialect.header and options.names or nil
  dialect.names_made = options.names_made
  return dialect
end

--- Read a file: its frame, and what is known of it before looking at its columns. A file that cannot be read has
--- `refused`, why, and no frame.
---@param file table  of read.files
---@param p { separator: string?, names: string[]?, nulls: string[]?, types: table?, quarantine: string? }
---@return { path: string, name: string, bytes: integer, rows: integer, quarantined: integer, dialect: table,
---  quarantine: table, layout: string?, refused: string? } facts
---@return Frame? f
function read.open(file, p)
  local began = uv.hrtime()
  local facts = { path = file.path, name = file.name, layout = file.layout, rows = 0, quarantined = 0,
    bytes = bytes_of(file.parts or { file.path }), parts = file.parts, quarantine = { reasons = {}, examples = {} } }
  local folder = p.quarantine and files.make_folder(p.quarantine)
  local bare = file.path:match "[^/]+$":gsub("[*?%[%]]", "_")
  local keep = folder and ("%s/%s.quarantine.csv"):format(folder, bare) or os.tmpname()
  local f, report, code = read_with_types(file, p, keep)
  if f then
    report = merged(report)
    facts.rows, facts.quarantined = f:rows(), report.quarantined
    facts.dialect = dialect_of(report, options_for(file, p))
    facts.unterminated = report.unterminated
    if report.quarantined > 0 then facts.quarantine = quarantined(keep) end
    facts.quarantine.torn, facts.quarantine.torn_line = report.torn, report.torn_line
    facts.quarantine.path = folder and report.quarantined > 0 and keep or nil
  else
    facts.refused, facts.code = report, code
  end
  if not facts.quarantine.path then os.remove(keep) end
  facts.seconds = (uv.hrtime() - began) / 1e9
  return facts, f
end

return read

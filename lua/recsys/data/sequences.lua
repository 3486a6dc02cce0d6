--- Sequential sets in the two forms that papers publish: a file NAME.txt of
---   pairs   "user item" a line, each user's in order of time (SASRec, BERT4Rec: source `sasrec`)
---   lists   "user item item ..." a line, in order of time (S3-Rec, P5: source `s3rec`)
--- Interactions are in the order of the file and have no times: data.split_leave_last_out takes each user's last one.

local files = require "recsys.files"
local id_lines = require "recsys.data.id_lines"

local sequences = {}

local forms = {
  sasrec = { line = "user item", where = "the folder data of https://github.com/kang205/SASRec" },
  s3rec = { line = "user item item ...", where = "the folder data of https://github.com/RUCAIBox/CIKM2020-S3Rec" },
}

--- "user item" lines; both are ids.
local function read_pairs(path, p, report)
  local data = require "recsys.data"
  return data.read(path, { names = { "user", "item" }, separator = " ", quote = "", bad_limit = 0,
    types = { user = "string", item = "string" }, quarantine = data.quarantine(p, path:match "[^/]+$") }, report)
end

local readers = { sasrec = read_pairs, s3rec = id_lines.read }

--- The refusal of a folder without the file.
---@param p { source: "sasrec"|"s3rec", file: string? }
function sequences.absent(dir, p)
  local form = forms[p.source]
  return nil, ("there is no %s in %s: a file with lines \"%s\", each user's in order of time, is expected there. The "
    .. "sets lie in %s; set data.dir to the folder with one of them"):format(p.file or "NAME.txt", dir, form.line,
    form.where), "io"
end

--- The path of the set: p.file in the folder, or its only .txt file.
local function find(p)
  local found = {}
  for _, name in ipairs(files.names(p.dir)) do
    if name:find "%.txt$" and (not p.file or name == p.file) then found[#found + 1] = name end
  end
  if #found == 1 then return p.dir .. "/" .. found[1] end
  if #found > 1 then
    return nil, ("%s holds %s: say which one by data.file"):format(p.dir, table.concat(found, ", ")), "io"
  end
  return sequences.absent(p.dir, p)
end

--- Refuse ids that are missing, as in a line of one word.
local function check_whole(f, path)
  for _, key in ipairs { "user", "item" } do
    local missing = f:where(key, "missing")
    if #missing > 0 then
      return nil, ("%s: row %d has no %s"):format(path, missing:get(1) + 1, key), "format"
    end
  end
  if f:rows() > 0 then return true end
  return nil, path .. " holds no interactions", "format"
end

--- Read the folder p.dir.
---@param p { source: "sasrec"|"s3rec", dir: string, file: string?, quarantine: string? }  file: its name, where the
---  folder has several
---@return Dataset? dataset  nil, message, code
---@return string? message
---@return string? code
function sequences.load(p)
  local data = require "recsys.data"
  local path, message, code = find(p)
  if not path then return nil, message, code end
  local report, f = { quarantined = 0 }
  f, message, code = readers[p.source](path, p, report)
  if not f then return nil, message, code end
  local whole
  whole, message, code = check_whole(f, path)
  if not whole then return nil, message, code end
  local fingerprint
  fingerprint, message, code = data.fingerprint({ path }, { source = p.source })
  if not fingerprint then return nil, message, code end
  return data.new { name = path:match "([^/]+)%.txt$", interactions = f, report = report, fingerprint = fingerprint,
    origin = { source = p.source, dir = p.dir } }
end

return sequences

--- Frames: recsys.core.frame with what needs no C: printing, renaming, storing. lua/meta/frame.lua is the manual.

local core = require("recsys.core").frame
local expression = require "recsys.frame.expression"
local files = require "recsys.files"
local parsed = require "recsys.parsed"
local shape = require "recsys.frame.shape"
local store = require "recsys.store"

local frame = {}
for name, value in pairs(core) do frame[name] = value end

--- The files that a path with `*`, `?` or `[` stands for; a path that is a file stands for itself.
local function expand(path)
  if type(path) ~= "string" or not path:find "[*?[]" or files.exists(path) then return path end
  local paths, message, code = core.glob(path)
  if paths and #paths == 0 then return nil, ("no file is like %s"):format(path), "io" end
  return paths, message, code
end

function frame.read_csv(path, options)
  local paths, message, code = expand(path)
  if message then return nil, message, code end
  local folder
  if type(options) == "table" then folder = options.cache end
  if folder == nil then return core.read_csv(paths, options) end
  if type(folder) ~= "string" or folder == "" then
    error("bad argument #2 to 'read_csv' ('cache' must be the name of a folder)", 2)
  end
  if type(paths) == "table" then error("bad argument #2 to 'read_csv' ('cache' is for a single file)", 2) end
  return parsed.open(paths, options, core.read_csv)
end

function frame.read_jsonl(path, options)
  local paths, message, code = expand(path)
  if message then return nil, message, code end
  return core.read_jsonl(paths, options)
end

for _, name in ipairs { "col", "lit", "time", "missing", "if_else", "least", "greatest" } do
  frame[name] = expression[name]
end

local metatable = getmetatable(core.from { { "x", "number", {} } })
local Frame = metatable.__index
shape(Frame)

function Frame:schema()
  local schema = {}
  for i, name in ipairs(self:names()) do schema[i] = { name = name, type = self:type(name) } end
  return schema
end

function Frame:rename(names)
  for old in pairs(names) do self:type(old) end
  local columns = {}
  for i, name in ipairs(self:names()) do columns[i] = { from = name, to = names[name] or name } end
  local renamed = self:select { columns[1].from }
  if columns[1].to ~= columns[1].from then
    renamed = renamed:with(columns[1].to, self, columns[1].from):select { columns[1].to }
  end
  for i = 2, #columns do
    if renamed:has(columns[i].to) then
      error(("bad argument #1 to 'rename' (two columns would be called '%s')"):format(columns[i].to), 2)
    end
    renamed = renamed:with(columns[i].to, self, columns[i].from)
  end
  return renamed
end

function Frame:without(names)
  local gone, kept = {}, {}
  for _, name in ipairs(names) do
    self:type(name)
    gone[name] = true
  end
  for _, name in ipairs(self:names()) do
    if not gone[name] then kept[#kept + 1] = name end
  end
  return self:select(kept)
end

--- A value as a cell of a printed table: one line, at most 'width' characters.
local function cell(self, name, row, width)
  local value = self:value(name, row)
  if value == nil then return "-" end
  local kind = self:type(name)
  if kind == "time" then return (core.format_time(value):gsub("T00:00:00%.000Z$", ""):gsub("%.000Z$", "Z")) end
  if kind == "number" then return ("%.6g"):format(value) end
  local text = kind == "list" and table.concat(value, "|") or value
  text = text:gsub("%c", " ")
  if (utf8.len(text) or #text) <= width then return text end
  return text:sub(1, (utf8.offset(text, width) or width) - 1) .. "…"
end

local function padded(text, width)
  return text .. (" "):rep(width - (utf8.len(text) or #text))
end

function Frame:head(n)
  n = math.min(n or 10, self:rows())
  local lines = {}
  for row = 0, n do lines[row] = {} end
  for _, name in ipairs(self:names()) do
    local cells, width = { [0] = name }, utf8.len(name) or #name
    for row = 1, n do
      cells[row] = cell(self, name, row, 40)
      width = math.max(width, utf8.len(cells[row]) or #cells[row])
    end
    for row = 0, n do table.insert(lines[row], padded(cells[row], width)) end
  end
  for row = 0, n do lines[row] = table.concat(lines[row], "  "):gsub(" +$", "") end
  return table.concat(lines, "\n", 0, n)
end

function metatable.__tostring(self)
  local open, names = pcall(self.names, self)
  if not open then return "Frame (closed)" end
  local rows = self:rows()
  local more = rows > 10 and ("\n... %d more"):format(rows - 10) or ""
  return ("Frame of %d rows, %d columns\n%s%s"):format(rows, #names, self:head(10), more)
end

store.class("recsys.frame", metatable,
  function(self) return { schema = self:schema(), tensors = self:tensors() } end,
  function(saved) return assert(core.from_tensors(saved.tensors, saved.schema)) end)

return frame

--- Files of ids as papers publish them: a line a user, "user item item ...", whole numbers with spaces between. Read by
--- the sources `lightgcn` and `s3rec`.

local frame = require "recsys.frame"
local tensor = require "recsys.tensor"
local text = require "recsys.text"

local id_lines = {}

local function refuse(path, line, format, ...)
  return nil, ("%s, line %d: %s"):format(path, line, format:format(...)), "format"
end

--- The numbers of the lines that hold something: what row i of the frame was.
local function line_of(path, row)
  local number, rows = 0, 0
  for line in io.lines(path) do
    number = number + 1
    if line:find "%S" then rows = rows + 1 end
    if rows == row then break end
  end
  return number
end

--- The list, from 1, that holds position 'at', from 0.
local function list_of(starts, at)
  return starts:search_sorted(tensor.new({ at }, "i64"), true):get(1)
end

--- Refuse what is no whole number, naming its line.
local function check_ids(path, strings, values, starts)
  for code, id in ipairs(strings) do
    if not id:find "^%d+$" then
      local at = values:eq(code):nonzero()
      if #at > 0 then
        return refuse(path, line_of(path, list_of(starts, at:get(1))),
          "'%s' is no whole number; \"user item item ...\" is expected, with spaces between", id)
      end
    end
  end
  return true
end

local function check_users(path, users)
  local _, counts = users:unique()
  if #counts == 0 then return nil, ("%s holds no lines \"user item item ...\""):format(path), "format" end
  if counts:max() == 1 then return true end
  local seen = {}
  for row, code in ipairs(users:tolist()) do
    if seen[code] then
      return refuse(path, line_of(path, row), "the user of line %d again; a user's items stand in one line",
        line_of(path, seen[code]))
    end
    seen[code] = row
  end
end

--- For each of the values of all lists, the number of its list, from 0.
local function list_numbers(starts, n)
  local steps = tensor.zeros(n, "i64")
  local later = starts:narrow(1, 2, #starts - 1)
  steps:index_add_(later, tensor.full(1, #later, "i64"))
  return steps:cumsum()
end

--- Users and items as a frame, a row for each item of each line, in order.
local function spread(strings, values, starts)
  local users = values:index_select(starts):index_select(list_numbers(starts, #values))
  local is_item = tensor.full(1, #values, "u8")
  is_item:index_copy_(starts, tensor.zeros(#starts, "u8"))
  local rows = is_item:nonzero()
  return frame.from { { "user", "string", { codes = users:index_select(rows), strings = strings } },
    { "item", "string", { codes = values:index_select(rows), strings = strings } } }
end

--- Read one file. Lines without items are allowed: users whom the split left none.
---@param path string
---@param p { quarantine: string? }
---@param report table
---@return Frame? f  user, item; nil, message, code
---@return string? message
---@return string? code
function id_lines.read(path, p, report)
  local data = require "recsys.data"
  local f, message, code = data.read(path, { names = { "line" }, separator = "\t", quote = "", bad_limit = 0,
    types = { line = { "list", " " } }, quarantine = data.quarantine(p, path:match "[^/]+$") }, report)
  if not f then return nil, message, code end
  local strings, values, starts, lengths = f:strings "line", f:column "line"
  starts = starts:index_select(lengths:gt(0):nonzero()) -- without lines of spaces alone
  local fine
  fine, message, code = check_users(path, values:index_select(starts))
  if fine then fine, message, code = check_ids(path, strings, values, starts) end
  if not fine then return nil, message, code end
  return spread(strings, values, starts)
end

--- Each user's item once: repetitions are left out, told and counted.
---@param f Frame
---@param path string
---@param report table
---@return Frame
function id_lines.distinct(f, path, report)
  local unique = f:distinct { "user", "item" }
  local repeats = f:rows() - unique:rows()
  report.repeated = (report.repeated or 0) + repeats
  if repeats > 0 then
    require("recsys.log").warn("%s: %s items stand twice in their user's line and count once", path,
      text.count(repeats))
  end
  return unique
end

return id_lines

--- What a run tells people while it works: lines to stderr and to the run's log file, and one progress line.
---
--- stdout is left to results (`--json` prints nothing else there). A progress line is drawn only on a terminal;
--- elsewhere (Jenkins) it becomes a plain line every ten seconds.

local uv = require "luv"
local text = require "recsys.text"

local log = { level = "info" }

local file          -- the run's log, while there is one
local beside        -- the log of the task at work: { path, file = once something was told, false when it cannot be }
local drawn = false -- a progress line stands on the terminal
local terminal = uv.guess_handle(2) == "tty"

local hidden = {}   -- texts that are told to nobody, the longest first: one may be part of another

local watch = function() end

--- From here on this text is left out of all that is told: a secret.
---@param value string
function log.hide(value)
  if #value < 4 then return end -- too much else would be hidden
  for line in value:gmatch "[^\r\n]+" do -- a key of several lines may be told line by line
    if #line >= 8 and line ~= value then log.hide(line) end
  end
  for _, known in ipairs(hidden) do
    if known == value then return end
  end
  hidden[#hidden + 1] = value
  table.sort(hidden, function(a, b) return #a > #b or #a == #b and a < b end)
end

--- Whether there is something that is told to nobody.
function log.hides() return hidden[1] ~= nil end

--- What may be told of a text.
---@param said string
---@param spelt? fun(value: string): string  how a text is spelt there, too, as in an address
---@return string
function log.veiled(said, spelt)
  for _, value in ipairs(hidden) do
    if spelt then said = said:gsub(spelt(value):gsub("%p", "%%%0"), "(secret)") end
    said = said:gsub(value:gsub("%p", "%%%0"), "(secret)")
  end
  return said
end

--- How many bytes at the end of a text may be the begin of one that is told to nobody.
---@param said string
---@return integer
function log.begun(said)
  local most = 0
  for _, value in ipairs(hidden) do
    for n = math.min(#value - 1, #said), most + 1, -1 do
      if said:sub(-n) == value:sub(1, n) then
        most = n
        break
      end
    end
  end
  return most
end

--- Call fn() whenever a line is told or a piece of work goes on: for what is to happen now and then while a program
--- works.
function log.watch(fn) watch = fn end

local function wipe()
  if drawn then io.stderr:write "\r\27[K" end
  drawn = false
end

--- Write all lines also to 'path' (appended) until the next call; nil stops.
function log.to(path)
  if file then file:close() end
  file = path and assert(io.open(path, "a")) or nil
  if file then file:setvbuf "line" end
end

local function open_beside()
  uv.fs_mkdir(beside.path:match "^(.*)/", tonumber("755", 8)) -- it may be there
  beside.file = io.open(beside.path, "a") or false
  if beside.file then beside.file:setvbuf "line" end
end

--- Call fn(...), which raises nothing. What is told meanwhile goes to this file, too, which is made when there is
--- something.
---@param path string?  nil: to no other
---@return any ...  what fn gives
function log.beside(path, fn, ...)
  local outer = beside
  local own = path and { path = path } or nil
  beside = own
  local function back(...)
    if own and own.file then own.file:close() end
    beside = outer
    return ...
  end
  return back(fn(...))
end

--- Write a line to the logs.
local function write(mark, line)
  if beside and beside.file == nil then open_beside() end
  local stamp = os.date "!%Y-%m-%dT%H:%M:%SZ "
  if file then file:write(stamp, mark, line, "\n") end
  if beside and beside.file then beside.file:write(stamp, mark, line, "\n") end
end

local function emit(mark, format, ...)
  local line = log.veiled(select("#", ...) > 0 and format:format(...) or format)
  if file or beside then write(mark, line) end
  if log.level == "quiet" then return end
  wipe()
  io.stderr:write(mark, line, "\n")
end

--- Tell what happens. Arguments as for string.format.
function log.info(format, ...)
  emit("", format, ...)
  watch()
end

--- Tell what looks wrong but does not stop the work.
function log.warn(format, ...) emit("warning: ", format, ...) end

--- Only to the log file, and to that of the task at work.
function log.note(format, ...)
  if file or beside then write("", log.veiled(select("#", ...) > 0 and format:format(...) or format)) end
end

local Progress = {}
Progress.__index = Progress

--- Follow a piece of work of 'total' steps.
---@param label string
---@param total integer
---@return Progress  call :update(done, text) as often as you like and :finish() at the end
function log.progress(label, total)
  local now = uv.hrtime()
  return setmetatable({ label = label, total = total, began = now, shown = now, last = 0 }, Progress)
end

local function bar(share, width)
  local full = math.floor(share * width + 0.5)
  return ("#"):rep(full) .. ("."):rep(width - full)
end

--- 'done' of the total steps are done; 'extra' is shown behind (a loss, say).
function Progress:update(done, extra)
  watch()
  local now = uv.hrtime()
  local wait = terminal and 1e8 or 1e10
  if log.level == "quiet" or now - self.shown < wait then return end
  self.shown = now
  local spent = (now - self.began) / 1e9
  local left = spent / math.max(done, 1) * (self.total - done)
  local line = ("%s [%s] %3d %%  %s  %.0f steps/s  %s left"):format(self.label, bar(done / self.total, 24),
    100 * done // self.total, log.veiled(extra or ""), done / spent, text.duration(left))
  if terminal then
    io.stderr:write("\r", line, "\27[K")
    drawn = true
  else
    io.stderr:write(line, "\n")
  end
end

--- Take the line away. What is worth keeping is said with log.info.
function Progress:finish()
  wipe()
  self.shown = math.huge
end

return log

--- Schedules as flow.db knows them: `recsys-run schedule --list` and the page show them.

local cron = require "recsys.cron"
local process = require "recsys.track.process"
local uv = require "luv"

local scheduled = {}

--- Whether a process is at work, by its name (recsys.track.process) in the columns `holder` and `born`. Numbers are of
--- before they had names, and of none that is at work.
---@param name string|integer|nil
---@return boolean
function scheduled.is_at_work(name)
  return type(name) == "string" and name:find " " ~= nil and not process.is_gone(name)
end

--- What a schedule is at, in a word.
local function state_word(row)
  if row.pid and scheduled.is_at_work(row.born) then return "runs" end
  return scheduled.is_at_work(row.holder) and "waits" or "stopped"
end

--- Call fn in a time zone; the process has its own again afterwards.
local function in_zone(zone, fn, ...)
  local before = os.getenv "TZ"
  if not cron.zone(zone) then return nil end
  local ok, result = pcall(fn, ...)
  if before then uv.os_setenv("TZ", before) else uv.os_unsetenv "TZ" end
  os.time { year = 2000, month = 1, day = 1 } -- makes the C library read TZ
  if not ok then error(result, 0) end
  return result
end

--- When a schedule is due next, in seconds since 1970; nil: never, or nobody waits for it.
local function next_of(row, now)
  local spec = row.state ~= "stopped" and cron.parse(row.cron)
  if not spec then return nil end
  if row.zone then return in_zone(row.zone, cron.next, spec, now) end
  return cron.next(spec, now)
end

--- All schedules: the table's columns, `state` ("runs", "waits", "stopped") and `next`.
---@param db Database
---@return table[]
function scheduled.list(db)
  local rows, now = db:rows "SELECT * FROM schedules ORDER BY name", os.time()
  for _, row in ipairs(rows) do
    row.state = state_word(row)
    row.next = next_of(row, now)
  end
  return rows
end

return scheduled

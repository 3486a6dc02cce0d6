--- A schedule at work: one process that stays: it waits, runs the recipe as a process of its own, and waits again, so
--- two runs never overlap; a lock keeps a second schedule of the same name out.
---
--- What was due while a run took longer, or while nobody was there, is missed: made up for by one run, or skipped. The
--- last time that was dealt with stands in flow.db, so that a schedule that was killed knows what it missed, and waits
--- for a run that outlived it: a run's process is written down before it begins. recsys.flow.scheduled tells of it.

local cron = require "recsys.cron"
local exit = require "recsys.exit"
local files = require "recsys.files"
local host = require "recsys.host"
local lfs = require "lfs"
local log = require "recsys.log"
local loop = require "recsys.loop"
local process = require "recsys.track.process"
local scheduled = require "recsys.flow.scheduled"
local state = require "recsys.flow.state"
local text = require "recsys.text"
local uv = require "luv"

local clockwork = {}

local LOOK <const> = 250 -- milliseconds between looks at the clock, the run and the signals
local AHEAD <const> = 3600 -- seconds that the last time may lie ahead: clocks are put right by less

--- A moment as people read it, in the schedule's zone.
---@param moment integer
---@return string
function clockwork.shown(moment) return os.date("%Y-%m-%d %H:%M %Z", moment) end

local shown = clockwork.shown

-- What is kept --------------------------------------------------------------------------------------------------------

--- What is known of the schedule: last, the latest time that was dealt with; due of its latest run, and either pid and
--- born of that, which was at work, or how it ended.
local function recall(self)
  local known = self.db:row("SELECT * FROM schedules WHERE name = ?", { self.name }) or {}
  self.last, self.due, self.pid, self.born = known.last, known.due, known.pid, known.born
  if not self.pid then self.code, self.seconds = known.code, known.seconds end
end

local function keep(self)
  self.db:run([[INSERT OR REPLACE INTO schedules (name, recipe, cron, zone, missed, holder, last, due, pid, born, code,
    seconds) VALUES (:name, :recipe, :cron, :zone, :missed, :holder, :last, :due, :pid, :born, :code, :seconds)]], {
    name = self.name, recipe = self.words[1], cron = self.spec.text, zone = self.zone, missed = self.missed,
    holder = process.name(), last = self.last, due = self.due, pid = self.pid, born = self.born, code = self.code,
    seconds = self.seconds })
end

--- Keep others out as long as this process lives.
local function take_lock(self, folder)
  local path = ("%s/%s.lock"):format(files.make_folder(folder .. "/schedules"), self.name)
  self.lock = assert(io.open(path, "a"))
  if lfs.lock(self.lock, "w") then return end
  local holder = self.db:row("SELECT holder FROM schedules WHERE name = ?", { self.name })
  error({ code = "busy", message = ("the schedule '%s' runs already, as process %s: end that one, or give this one "
    .. "another --name"):format(self.name, tostring(holder and holder.holder or "?"):match "^%S+ %S+ (%d+) "
    or "?") }, 0)
end

-- Waiting and running -------------------------------------------------------------------------------------------------

--- Wait until 'ready()', which is what it gives, or until a signal asks to stop: false.
local function wait(self, ready)
  while not ready() do
    if self.stopped then return false end
    loop.rest(LOOK)
  end
  return true
end

--- Call fn(self) while SIGTERM and SIGINT ask to stop. None of them kills: one that is sent to a group may come twice.
local function with_signals(self, fn)
  local watches = {}
  for name, number in pairs { sigterm = 15, sigint = 2 } do
    local watch = uv.new_signal()
    watch:start(name, function() self.stopped = self.stopped or number end)
    watches[#watches + 1] = watch
  end
  local ok, result = xpcall(fn, exit.traced, self)
  for _, watch in ipairs(watches) do watch:close() end
  uv.run "nowait"
  if not ok then error(result, 0) end
  return result
end

--- Wait for a run to end; when the schedule is stopped it gets its grace time to end by itself.
---@param kill fun(signal: string)
---@param ended fun(): boolean
local function await(self, kill, ended)
  if wait(self, ended) then return end
  kill "sigterm"
  local last = uv.hrtime() + self.grace * 1e9
  while not ended() do
    loop.rest(LOOK)
    if uv.hrtime() > last and not ended() then kill "sigkill" end
  end
end

--- A run that a schedule which was killed had begun.
local function wait_for_orphan(self)
  local pid, born = self.pid, self.born
  local function ended() return not scheduled.is_at_work(born) end
  if not pid or ended() or process.where(born) ~= "here" then return end
  log.info("schedule %s: a run of before is still at work, as process %d; it is waited for", self.name, pid)
  await(self, function(signal)
    if not ended() then uv.kill(pid, signal) end
  end, ended)
end

--- The environment of runs: the time zone is the schedule's own affair.
local function environment(self)
  local list = { self.own_zone and "TZ=" .. self.own_zone or nil }
  for name, value in pairs(uv.os_environ()) do
    if name ~= "TZ" then list[#list + 1] = name .. "=" .. value end
  end
  return list
end

--- A process that becomes the recipe's run when a line comes through its stdin, and ends when none will.
---@param told fun(code: integer, signal: integer)  when it has ended
---@return userdata child, userdata line
local function held(self, told)
  local line = uv.new_pipe(false)
  local child, refused = uv.spawn("/bin/sh", { args = { "-c", 'read -r go && exec "$0" "$@" </dev/null',
    host.executable, table.unpack(self.words) }, stdio = { line, 1, 2 }, env = environment(self), detached = true },
    told)
  if child then return child, line end
  line:close()
  error({ code = "io", message = "cannot start the run: " .. tostring(refused) }, 0)
end

--- Run the recipe to its end.
local function run_once(self, due)
  local began, code = uv.hrtime(), nil
  local child, line = held(self, function(ended, signal) code = signal > 0 and 128 + signal or ended end)
  self.pid, self.due = child:get_pid(), due
  self.born = process.name(self.pid)
  log.info("schedule %s: the run of %s begins", self.name, shown(due))
  keep(self)
  line:write("go\n", function() line:close() end)
  await(self, function(signal) child:kill(signal) end, function() return code ~= nil end)
  child:close()
  self.pid, self.born, self.code, self.seconds = nil, nil, code, (uv.hrtime() - began) / 1e9
  keep(self)
  log.info("schedule %s: the run of %s ended with exit code %d after %s", self.name, shown(due), code,
    text.duration(self.seconds))
end

--- Times after the last one that was dealt with and not after 'now': how many, and the latest.
local function missed(self, now)
  local count, latest, moment = 0, nil, cron.next(self.spec, self.last)
  while moment and moment <= now do
    count, latest, moment = count + 1, moment, cron.next(self.spec, moment)
  end
  return count, latest
end

--- Deal with what passed while nobody was there or a run was at work.
local function catch_up(self)
  local count, latest = missed(self, os.time())
  if count == 0 then return end
  self.last = latest
  keep(self)
  log.info("schedule %s: %d times passed, the latest %s; %s", self.name, count, shown(latest),
    self.missed == "run" and "made up for by one run" or "skipped")
  if self.missed == "run" then run_once(self, latest) end
end

--- A clock that was ahead would silence the schedule until it is as late again: what is dealt with ends now.
local function set_right(self)
  local now = os.time()
  if self.last <= now + AHEAD then return end
  log.warn("schedule %s: the clock was ahead, %s was dealt with already; it goes on from now", self.name,
    shown(self.last))
  self.last = now
  keep(self)
end

--- Wait for a time: whether it has come, and not that the clock was put back.
local function wait_until(self, due)
  local latest = os.time()
  local is_back = false
  local function ready()
    local now = os.time()
    is_back, latest = now < latest - AHEAD, math.max(now, latest)
    return is_back or now >= due
  end
  return wait(self, ready) and not is_back
end

local function go_round(self)
  wait_for_orphan(self)
  self.last, self.pid, self.born = self.last or os.time(), nil, nil
  keep(self)
  while not self.stopped do
    set_right(self)
    catch_up(self)
    local due = not self.stopped and cron.next(self.spec, self.last)
    if due and due > os.time() then
      log.info("schedule %s: next at %s", self.name, shown(due))
      if wait_until(self, due) then
        self.last = due
        run_once(self, due)
      end
    end
  end
  log.info("schedule %s: stopped by signal %d", self.name, self.stopped)
  return 128 + self.stopped
end

--- Run a schedule until a signal stops it.
---@param self { name: string, spec: table, zone?: string, own_zone?: string, missed: "run"|"skip", grace: integer,
---  words: string[] }
---   spec: of recsys.cron; zone: that the process has by now; own_zone: that it was started in, and its runs have;
---   grace: seconds that a run gets to end; words: the recipe and its options
---@param store string  the folder of flow.db
---@return integer exit code  raises { code = "busy" } when there is one of that name at work
function clockwork.run(self, store)
  if not host.executable then exit.usage_error "a schedule runs in the recsys-run program" end
  local db <close> = state.open(store)
  self.db = db
  take_lock(self, store)
  recall(self)
  return with_signals(self, go_round)
end

return clockwork

--- Children at work beside each other: so many at once, each within its limits, tried again when it fails.
---
--- While children work a signal waits: it is handed on to them, each has its grace time to end, with a checkpoint where
--- its task makes one, and only then it is raised.

local base = require "recsys.base"
local child = require "recsys.flow.child"
local limit = require "recsys.flow.limit"
local log = require "recsys.log"
local loop = require "recsys.loop"
local retry = require "recsys.flow.retry"
local signals = require "recsys.signals"
local uv = require "luv"

local crew = {}

local TICK <const> = 20 -- ms between looks at clocks and signals; an end is seen at once
local STRAY <const> = 200 -- ms that a run's own signal may come after that of its child
local LONG <const> = 1e9 -- ns, after which jobs that are not begun may be ready by another's work
local EVERY <const> = 1e8 -- ns between looks at a limit that has no place

local Crew = {}
Crew.__index = Crew

local function give_back(self, job)
  if not job.release then return end
  job.release()
  job.release, self.full[job.limits or job] = nil, nil
end

--- A limit has no place for a job: those with the same limits are not asked either, until one of ours gives a place
--- back or the time has come to look again. It is told once.
local function wait_for_place(self, job, name, by)
  if not self.waited[job.limits] then
    self.told("waiting", job, { message = ("for a place of '%s', held by %s"):format(name, by) })
  end
  self.waited[job.limits], self.full[job.limits] = true, uv.hrtime() + EVERY
end

--- Whether there is no use in asking for a job's limits now.
local function is_full(self, job, now)
  return job.limits ~= nil and now < (self.full[job.limits] or 0)
end

--- Whether what a job is to make is there by now: another run may have made it while ours waited.
local function is_ready(self, job)
  local has_waited = self.waited[job.limits or job] or uv.hrtime() - self.began > LONG
  return has_waited and job.attempts == 0 and job.ready ~= nil and job.ready()
end

local function begin(self, job)
  if is_ready(self, job) then
    job.ended, self.left = true, self.left - 1
    return give_back(self, job)
  end
  job.attempts = job.attempts + 1
  self.told("running", job)
  job.child = child.start(job.order)
  self.working = self.working + 1
end

--- Start a job's next attempt, unless a limit has no place for it.
local function try_to_start(self, job)
  local release, name, by = limit.try(job.limits, job.holder)
  if not release then return wait_for_place(self, job, name, by) end
  job.release = release
  local ok, problem = pcall(begin, self, job)
  if ok then return end
  give_back(self, job)
  error(problem, 0)
end

--- Start what may start now. Jobs are begun in their order.
local function start(self)
  local now = uv.hrtime()
  for _, job in ipairs(self.jobs) do
    if self.stopping or self.working >= self.concurrency then return end
    local may = not job.child and not job.ended and now >= job.not_before and not is_full(self, job, now)
    if may then try_to_start(self, job) end
  end
end

--- The failure of a child. A signal that ended it and that nobody here has sent is somebody else's doing, and a failure
--- of its task alone, unless the run is being stopped by who signals all of its processes one after another.
local function failure_of(self, job, failure)
  if not failure.signal or self.stopping or job.child.stopped or signals.stopped() then return failure end
  uv.sleep(STRAY)
  if signals.stopped() then return failure end
  return { code = "crashed", message = ("its process was asked to end by signal %d, which the run "
    .. "has not sent; see %s"):format(failure.signal, job.order.log) }
end

local function fail(self, job, failure)
  job.ended, job.failure = true, failure
  self.left = self.left - 1
  if failure.code == "end" then
    self:stop { code = "cancelled", message = "it was stopped, as another one has ended the run" }
  elseif self.on_error == "stop" or failure.code == "changed" then
    self:stop { code = "cancelled", message = "it was stopped, as another one has failed" }
  end
end

--- Take up what a child that has ended leaves.
local function settle(self, job)
  local outcome = job.child:outcome()
  local failure = outcome.failure and failure_of(self, job, outcome.failure)
  local track = package.loaded["recsys.track"]
  if track then track.gather() end
  job.child, self.working = nil, self.working - 1
  if outcome.done then
    job.ended, job.outcome, self.left = true, outcome, self.left - 1
    self.told("done", job)
    return give_back(self, job) -- whoever has waited for the place finds what was made
  end
  give_back(self, job)
  if not self.stopping and retry.again(job.retries, job.attempts, failure) then
    local delay = retry.delay(job.retries, job.attempts)
    job.not_before = uv.hrtime() + delay * 1e9
    self.told("retrying", job, failure, delay)
  else
    self.told("failed", job, failure)
    fail(self, job, failure)
  end
end

--- End those that work, and begin no more.
---@param why table  the failure of those that are stopped by it
function Crew:stop(why)
  self.stopping = self.stopping or why
  for _, job in ipairs(self.jobs) do
    if job.child then job.child:stop(why) end
  end
end

local function look(self)
  local signal = signals.stopped()
  if signal and not self.signal then
    self.signal = signal
    log.note("signal %d is handed on to %d processes", signal, self.working)
    self:stop { code = "interrupted", signal = signal, message = ("stopped by signal %d"):format(signal) }
  end
  for _, job in ipairs(self.jobs) do
    if job.child then
      job.child:tick()
      if job.child:ended() then settle(self, job) end
    end
  end
end

local function work(self)
  local track = package.loaded["recsys.track"]
  repeat
    start(self)
    if self.left > 0 and (self.working > 0 or not self.stopping) then loop.rest(TICK) end
    look(self)
    if track then track.tick() end
  until self.left == 0 or self.stopping and self.working == 0
end

--- Whatever ends the work, no child outlives it.
local function clear(self)
  for _, job in ipairs(self.jobs) do
    if job.child then
      uv.kill(-job.child.pid, "sigkill")
      while not job.child:ended() do uv.run "once" end
      job.child:outcome()
      job.child = nil
    end
    give_back(self, job)
  end
end

--- Let jobs work to their ends, each in a child: then each has `outcome` or `failure`, or neither when it was not
--- begun.
---@param jobs table[]  { order, holder = who takes its limits, limits?, retries?, ready? }
---   ready: asked before a job that had to wait is begun; it is not when that gives true
---@param options { concurrency?: integer, on_error?: "stop"|"keep",
---   told?: fun(what: string, job: table, failure?: table, delay?: number) }
---   concurrency: default one for each thread; on_error: "stop" (default): the first failure ends all
---   told: hears "waiting" (once for jobs of the same limits), "running", "retrying", "failed", "done"
---@return integer? signal  that stopped them
function crew.run(jobs, options)
  local self = setmetatable({ jobs = jobs, working = 0, left = #jobs, told = options.told or function() end,
    concurrency = options.concurrency or base.threads(), on_error = options.on_error or "stop",
    waited = {}, full = {}, began = uv.hrtime() }, Crew)
  for _, job in ipairs(jobs) do job.attempts, job.not_before = 0, 0 end
  signals.hold()
  local ok, problem = pcall(work, self)
  clear(self)
  uv.run "nowait" -- closes what is to be closed: luv's own end must not meet it
  signals.release()
  if not ok then error(problem, 0) end
  return self.signal
end

return crew

--- Several trials of a recipe at once, each in a process of its own.
---
--- This process asks the study for trials and starts a worker for each (recsys.tune.worker), which commits the trial's
--- end itself: killing any of them costs no completed trial. A worker that dies gives its trial back to whoever asks
--- next. A signal is passed on; workers then write a checkpoint, and their trials wait for the next start.
---
--- A worker leads a process group and follows a pipe that this process holds (recsys.process): when this one dies, by
--- kill -9 too, the system ends the worker and what it has started.

local clock = require "recsys.clock"
local exit = require "recsys.exit"
local files = require "recsys.files"
local host = require "recsys.host"
local log = require "recsys.log"
local loop = require "recsys.loop"
local output = require "recsys.flow.output"
local process = require "recsys.track.process"
local signals = require "recsys.signals"
local text = require "recsys.text"
local uv = require "luv"
local worker = require "recsys.tune.worker"

local crew = {}

local LOOK_MS <const> = 200
local ALIKE <const> = 3 -- trials that were refused alike, and none otherwise: all would be
local DEATHS <const> = 3 -- of its workers, while this process lives, until a trial has failed

--- Start the worker of a trial.
local function start(self, trial)
  local folder = ("%s/%s"):format(self.folder, trial.name)
  local out = assert(output.open(folder .. ".out"))
  local args = { "tune", self.study.settings.recipe, "--trial", tostring(trial.id), "--study", self.study.name,
    "--store", self.store, "--folder", folder, "--pruner", self.pruner, "--threads", tostring(self.threads) }
  if self.parent then table.move({ "--parent", self.parent }, 1, 2, #args + 1, args) end
  local one, line = { trial = trial }, uv.new_pipe(false)
  local handle, pid = uv.spawn(host.executable, { args = args, detached = true, stdio = { nil, out.fd, out.fd, line } },
    function(code, signal) one.code, one.signal = code, signal end)
  out:started()
  if not handle then
    out:close()
    line:close()
    uv.run "nowait"
    trial:release()
    error({ code = "retry", message = ("cannot start a worker: %s"):format(pid) }, 0)
  end
  one.handle, one.pid, one.line, one.output = handle, pid, line, out
  self.workers[#self.workers + 1] = one
end

--- "valid/ndcg_10 0.0312, parameters 51200".
local function said_of(self, values)
  local said = {}
  for i, name in ipairs(self.study.settings.metrics) do said[i] = ("%s %s"):format(name, ("%.5g"):format(values[i])) end
  return table.concat(said, ", ")
end

local function tell(self, trial)
  local best = self.study:best()
  local outcome = trial.state == "complete" and said_of(self, trial.values) or trial.message or "is to be tried again"
  local standing = #self.study.directions == 1 and best and ("; best %.5g (%s)"):format(best.values[1], best.name) or ""
  log.info("  %-9s %-9s %s%s  %s", trial.name, trial.state, outcome, standing,
    text.duration(((trial.ended or clock.now()) - (trial.started or clock.now())) / 1000))
end

--- End the study where no trial would end well: none can tell the objective, or the first ones were all refused alike.
local function check_hope(self, trial, code)
  local is_refused = trial.state == "failed" and code == worker.REFUSED
  local goes_on = is_refused and trial.message == (self.refusal or trial.message)
  self.refusal, self.refusals = goes_on and trial.message or "", goes_on and self.refusals + 1 or 0
  if self.refusals == ALIKE or trial.state == "failed" and code == exit.usage then
    exit.usage_error("the study cannot go on: %s", trial.message)
  end
end

--- A worker has ended: what became of its trial.
local function settle(self, one)
  uv.kill(-one.pid, "sigkill") -- what it has left of its group
  one.output:close()
  one.line:close()
  one.handle:close()
  local trial = self.study:trials()[one.trial.number + 1]
  if trial.state ~= "running" then
    tell(self, trial)
    return check_hope(self, trial, one.code)
  end
  local ours = trial.process == self.study.process
  if not ours and not process.is_gone(trial.process) then return end -- others have taken it up by now
  local why = ("its worker died (%s); what it said is in %s/%s.out"):format(
    one.signal ~= 0 and "signal " .. one.signal or "exit code " .. one.code, self.folder, trial.name)
  log.warn("%s: %s", trial.name, why)
  local deaths = (self.deaths[trial.number] or 0) + 1
  self.deaths[trial.number] = deaths
  if deaths == DEATHS then
    one.trial:adopt()
    one.trial:fail(why)
    tell(self, self.study:trials()[trial.number + 1])
  elseif ours then
    one.trial:release()
  end
end

local function settle_ended(self)
  for i = #self.workers, 1, -1 do
    local one = self.workers[i]
    one.output:pump()
    if one.code then
      table.remove(self.workers, i)
      settle(self, one)
    end
  end
  uv.run "nowait" -- what was closed is given up by the loop
end

--- End the workers, which write what they have done so far.
local function stop(self, signal)
  for _, one in ipairs(self.workers) do one.handle:kill "sigterm" end
  while #self.workers > 0 do
    loop.rest(LOOK_MS)
    settle_ended(self)
  end
  signals.release()
  signals.raise(signal, ("no completed trial is lost, go on by --study %s"):format(self.study.name))
end

--- Whether others are at work on the study, whose trials may come back to us.
local function is_shared(self)
  for _, trial in ipairs(self.study:trials()) do
    if trial.state == "running" or trial.state == "waiting" then return true end
  end
  return false
end

--- What the study is asked: it gives out no trial of a worker that has ended but is not settled.
local function request_of(self, budget, began)
  local held = {}
  for _, one in ipairs(self.workers) do held[one.trial.id] = true end
  local is_over = budget.seconds and clock.now() - began >= budget.seconds * 1000
  return { held = held, is_over = is_over, trials = not is_over and budget.trials or nil,
    plateau = not is_over and budget.plateau or nil }
end

--- Give the free workers something to do; why there is nothing, when there is not.
local function fill(self, budget, began)
  while #self.workers < self.size do
    local trial, why = self.study:ask(request_of(self, budget, began))
    if not trial then return why end
    start(self, trial)
  end
end

local function work(self, budget)
  local began = clock.now()
  while true do
    local why = fill(self, budget, began)
    if why and #self.workers == 0 and (why == "seconds" or not is_shared(self)) then return why end
    loop.rest(LOOK_MS)
    settle_ended(self)
    local signal = signals.stopped()
    if signal then stop(self, signal) end
  end
end

--- Whatever ends the work, no worker outlives it.
local function clear(self)
  for _, one in ipairs(self.workers) do
    uv.kill(-one.pid, "sigkill")
    while not one.code do uv.run "once" end
    one.output:close()
    one.line:close()
    one.handle:close()
  end
  uv.run "nowait"
end

--- Run a study of a recipe to the end of its budget.
---@param request { study: Study, store: string, folder: string, workers: integer, pruner: string, parent?: string,
---  threads: integer, trials?: integer, seconds?: number, plateau?: integer }
---   folder: where trials have theirs; pruner: as the command line has it; parent: the study's tracked run
---@return string why  it ended: "trials", "seconds", "plateau" or "all is tried"; raises { code = "usage" } when no
---  trial will tell the objective
function crew.run(request)
  if not host.executable then exit.usage_error "trials start recsys-run itself: run them with it" end
  local self = { study = request.study, store = request.store, folder = files.make_folder(request.folder),
    size = request.workers, pruner = request.pruner, parent = request.parent, threads = request.threads, workers = {},
    deaths = {}, refusals = 0 }
  signals.hold()
  local ok, why = xpcall(work, exit.traced, self, request)
  signals.release()
  clear(self)
  if not ok then error(why, 0) end
  return why
end

return crew

--- How a task's function is called: within its limits, tried again when it fails, in a process of its own, for each
--- element of a list.

local cache = require "recsys.cache"
local child = require "recsys.flow.child"
local exit = require "recsys.exit"
local hooks = require "recsys.flow.hooks"
local lazy = require "recsys.lazy"
local keys = lazy "recsys.flow.key"
local limit = require "recsys.flow.limit"
local log = require "recsys.log"
local logged = lazy "recsys.train.logged"
local lookup = require "recsys.lookup"
local note = lazy "recsys.flow.note"
local provenance = lazy "recsys.provenance"
local resume = require "recsys.resume"
local retry = require "recsys.flow.retry"
local signals = require "recsys.signals"
local store = require "recsys.store"
local text = require "recsys.text"

local BEGAN <const> = require("recsys.clock").now() -- of the program: the code is that of this moment

--- Names of the options of a task that say how it is called.
local attempt = { options = { "when", "retries", "limits", "process", "timeout", "memory", "grace", "threads", "map",
  "on_failure", "on_success", "on_state", "concurrency", "on_error" } }

--- What a task's options say of how it is called. Raises { code = "usage" } for what makes no sense.
---@param options table
---@param name string  the task's, for messages
---@return { retries?: table, limits?: table, process?: table, map?: table, hooks?: table, grace: number }
function attempt.read(options, name)
  return { retries = retry.read(options.retries, name), limits = limit.read(options.limits, name),
    process = child.read(options, name), grace = options.grace or child.GRACE, map = options.map,
    hooks = hooks.read(options, ("task '%s'"):format(name)) }
end

--- Who takes a task's limits, for those who wait.
function attempt.holder(self, task) return ("run %s, task %s"):format(self.name, task.name) end

--- The state that a failure leaves a task in.
---@param failure { code: string, signal?: integer }
function attempt.state_of(failure)
  local own = { timed_out = true, crashed = true, cancelled = true }
  return failure.signal and "cancelled" or own[failure.code] and failure.code or "failed"
end

--- "05-train", and of an element "05-train.3": names of a task's files.
function attempt.step(task, element)
  local step = ("%02d-%s"):format(task.number, task.name)
  return element and ("%s.%d"):format(step, element) or step
end

--- Where a process leaves its result, and an element's stays until the run is done.
function attempt.stored(folder, step) return resume.place(folder, step .. ".result") end

--- Where the results of finished tasks are, for children. One without a stored result is stored, when the task takes it
--- or the recipe has asked for it.
local function bound(self, task)
  local places = {}
  for _, other in ipairs(self.tasks) do
    if other == task then break end
    local unsaved = self.unsaved[other.name]
    if other.state == "skipped" then
      places[other.name] = { skipped = true }
    elseif other.save then
      places[other.name] = { folder = self:place(other) }
    elseif unsaved and (task.after[other.name] or unsaved.asked) then
      local folder = resume.place(self.folder, attempt.step(other) .. ".value")
      if not other.lent then store.save(folder, unsaved.value, true, self.folder) end
      other.lent = true
      places[other.name] = { folder = folder }
    end
  end
  return places
end

--- What all orders of a task share.
local function order_of(self, task)
  local origin = self.origin
  if not origin or not self.folder then
    exit.usage_error("task '%s': a process of its own is there for the tasks of a recipe's run alone", task.name)
  end
  local current = package.loaded["recsys.tune.current"]
  return { task = task.name, number = task.number, path = origin.path, params = origin.params,
    secrets = origin.secrets, folder = self.folder, resumed = self.resumed, named = self.named, only = self.only,
    trial = current and current.ticket(), profile = origin.profile, cache = cache.allowed(),
    loaded = lookup.all_loaded(), began = BEGAN, record = self.record and self.record:ticket(),
    bound = bound(self, task), process = task.how.process, threads = task.how.process.threads or origin.threads }
end

--- The order for a task, or for one element of its list.
---@param shared? table  what attempt.order gave for another element
---@return table
function attempt.order(self, task, element, shared)
  local order = {}
  for name, value in pairs(shared or order_of(self, task)) do order[name] = value end
  local step = attempt.step(task, element)
  order.element = element
  order.place = resume.place(self.folder, step)
  order.into = attempt.stored(self.folder, step)
  order.log = ("%s/logs/%s.txt"):format(self.folder, step)
  local joined = package.loaded["recsys.track"] and require "recsys.track.joined"
  order.track = joined and joined.ticket(element ~= nil)
  return order
end

--- A task that waited for a place of a limit has it: its state is what it was.
function attempt.goes_on(self, task)
  if task.waits and self.record then self.record:move(task) end
  task.waits = nil
end

--- People are told that a task, or an element, waits or is tried again; that it waits stands in the database, too. An
--- element's first attempt is a change of its state.
---@param label string  "task train"
function attempt.tell(self, task, label, what, failure, delay, n)
  if what == "waiting" then
    log.info("  %s waits %s", label, failure.message)
    task.waits = true
    if self.record then self.record:move(task, "waits " .. failure.message) end
  elseif what == "retrying" then
    log.warn("%s failed (%s); attempt %d follows%s", label, failure.message, n + 1,
      delay > 0 and (" after %s"):format(text.duration(delay)) or "")
    self:move(task, "retrying", failure.message, failure.code)
  elseif what == "running" and n then
    task.attempts = n
    if n > 1 then note.clear(self, task) end
    if n > 1 or task.element then
      self:move(task, "running")
      task.waits = nil
    end
    attempt.goes_on(self, task)
  end
end

--- What a child has noted of its task: its trainings and their rows, and which files are the task's.
function attempt.took(task, outcome)
  local joined = package.loaded["recsys.track.joined"]
  if joined and outcome.trained then joined.took(outcome.trained) end
  note.took(task, outcome.notes)
  task.trains, task.data = task.trains or outcome.trains, task.data or outcome.data
  task.changed = task.changed or outcome.changed or outcome.loaded and keys.loaded_otherwise(outcome.loaded)
  task.lua = task.lua or {}
  table.move(outcome.lua or {}, 1, #(outcome.lua or {}), #task.lua + 1, task.lua)
  provenance.loaded(outcome.lua or {})
  task.inputs = task.inputs or {}
  provenance.add(task.inputs, outcome.inputs)
  for _, name in ipairs(outcome.outputs or {}) do table.insert(task.outputs, name) end
  local last = task.rows and task.rows[#task.rows][1] or 0
  for _, row in ipairs(outcome.rows or {}) do
    task.rows = task.rows or {}
    table.insert(task.rows, { last + row[1], row[2] })
  end
end

--- The only job of a crew: the task in its own process. Gives its stored value, and where it is.
local function in_process(self, task)
  local label = "task " .. task.name
  local job = { order = attempt.order(self, task), holder = attempt.holder(self, task), limits = task.how.limits,
    retries = task.how.retries }
  log.note("%s runs in a process of its own; its log is %s", label, job.order.log)
  local signal = require("recsys.flow.crew").run({ job }, { told = function(what, of, failure, delay)
    attempt.tell(self, task, label, what, failure, delay, of.attempts)
  end })
  task.attempts = job.attempts
  if job.failure then error(job.failure, 0) end
  if signal then signals.raise(signal) end
  attempt.took(task, job.outcome)
  return store.load(job.order.into, self.folder), job.order.into
end

--- What fn gives, or what it refuses raised.
---@param arguments table  packed
function attempt.called(fn, arguments)
  local value, message, code = fn(table.unpack(arguments, 1, arguments.n))
  if value == nil and message then error({ code = code or "failed", message = tostring(message) }, 0) end
  return value
end

--- Mark where a task, or an element, begins that may be tried again here: what is given forgets the trainings of an
--- attempt that failed, whose curves are not those of the result, and what it has read.
---@return fun()
function attempt.mark(task)
  local back = logged.mark()
  return function()
    back()
    task.rows, task.inputs = nil, nil
  end
end

--- fn(...) in this process, with a place of each limit.
local function here(self, task, fn, arguments)
  local release = limit.take(task.how.limits, attempt.holder(self, task), function(name, by)
    attempt.tell(self, task, "task " .. task.name, "waiting", { message = ("for a place of '%s', held by %s"):format(
      name, by) })
  end)
  attempt.goes_on(self, task)
  local function freed(ok, ...)
    release()
    if not ok then error(..., 0) end
    return ...
  end
  return freed(xpcall(attempt.called, exit.traced, fn, arguments))
end

--- Call a task's function as its options say.
---@param fn function
---@param arguments table   packed
---@return any value        what it refuses is raised
---@return string? folder   where its value is stored already
function attempt.call(self, task, fn, arguments)
  local how = task.how
  signals.grace(how.process and 0 or math.ceil(how.grace)) -- those of children are theirs
  if how.map then return require("recsys.flow.map").call(self, task, fn, arguments) end
  if how.process then return in_process(self, task) end
  if not how.limits and not how.retries then return attempt.called(fn, arguments) end
  task.attempts = 0
  local again = how.retries and attempt.mark(task)
  return retry.run(how.retries, function()
    task.attempts = task.attempts + 1
    local is_first = task.attempts == 1
    if not is_first then again() end
    attempt.tell(self, task, "task " .. task.name, "running", nil, nil, task.attempts)
    return here(self, task, fn, not is_first and task.lend and task.lend() or arguments)
  end, function(problem)
    return type(problem) == "table" and problem or { code = "failed", message = exit.message_of(problem) }
  end, function(n, failure, delay)
    attempt.tell(self, task, "task " .. task.name, "retrying", failure, delay, n)
  end)
end

return attempt

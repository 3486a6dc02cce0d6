--- flow:map(name, [options,] fn, list, ...): fn(element, ...) for each element of a list, several at once in processes
--- of their own. The value is the list of what it gave, in the order of the elements.
---
--- What an element gave is kept until the run is done: a run that was cut short takes up the elements that were ready.

local attempt = require "recsys.flow.attempt"
local base = require "recsys.base"
local exit = require "recsys.exit"
local files = require "recsys.files"
local frame = require "recsys.frame"
local limit = require "recsys.flow.limit"
local log = require "recsys.log"
local resume = require "recsys.resume"
local retry = require "recsys.flow.retry"
local store = require "recsys.store"

local map = {}

--- The options of a map as those of a task. Raises { code = "usage" } for what makes no sense.
---@param options table  concurrency, on_error, and those of a task
---@param name string
---@return table
local function options_of(options, name)
  local concurrency, on_error = options.concurrency, options.on_error or "stop"
  if concurrency ~= nil and (math.type(concurrency) ~= "integer" or concurrency < 1 or concurrency > 1024) then
    exit.usage_error("task '%s': concurrency must be a whole number, 1 to 1024, not '%s'", name, tostring(concurrency))
  end
  if on_error ~= "stop" and on_error ~= "keep" then
    exit.usage_error("task '%s': on_error must be \"stop\" or \"keep\", not '%s'", name, tostring(on_error))
  end
  local all = {}
  for key, value in pairs(options) do all[key] = value end
  all.process = options.process ~= false
  all.map = { concurrency = concurrency, on_error = on_error }
  return all
end

--- The method of flows.
function map.method(self, name, options, fn, ...)
  if type(options) == "function" then return self:task(name, options_of({}, name), options, fn, ...) end
  if type(options) ~= "table" then return self:task(name, options, fn, ...) end -- which refuses it
  return self:task(name, options_of(options, name), fn, ...)
end

--- A failure as that of an element.
local function of_element(index, failure)
  local copy = {}
  for key, value in pairs(failure) do copy[key] = value end
  copy.index, copy.message = index, ("element %d: %s"):format(index, failure.message)
  return copy
end

--- A hash of plain values, to tell on resuming whether a result is still of them; "" where they are no plain ones.
local function identity(...)
  local ok, said = pcall(store.text, { ... })
  return ok and frame.hash(said) or ""
end

--- The element's result that a run which was cut short has left; its folder.
local function kept(order, said)
  local known = files.read(order.into .. "/of.txt")
  return known == said and files.exists(order.into .. "/value.lua") and pcall(store.load, order.into, order.folder)
end

--- One that failed, in the list of values.
local function failed_value(failure)
  return { failed = { index = failure.index, message = failure.message, code = failure.code } }
end

--- The list of values, once all elements are at their ends.
local function gather(task, count, values, failures)
  local failed = 0
  for i = 1, count do
    if failures[i] then
      values[i], failed = failed_value(failures[i]), failed + 1
      task.cache = false -- it may go well another time
      log.warn("task %s: %s", task.name, failures[i].message)
    end
  end
  if failed > 0 and failed == count then error(failures[1], 0) end
  return values
end

local function tell(self, task, what, job, failure, delay)
  attempt.tell(self, task, ("task %s, element %d"):format(task.name, job.index), what, failure, delay, job.attempts)
  if what == "done" then
    files.write(job.order.into .. "/of.txt", job.said, true)
    log.note("task %s, element %d is done", task.name, job.index)
  end
end

--- Threads of each child when so many work at once.
local function threads_each(self, task, concurrency)
  local all = self.origin and self.origin.threads or base.threads()
  return task.how.process.threads or math.max(1, all // concurrency)
end

local function jobs_of(self, task, list, arguments)
  local jobs, orders = {}, {}
  local shared = #list > 0 and attempt.order(self, task) or nil
  local concurrency = task.how.map.concurrency or base.threads()
  local others = identity(table.unpack(arguments, 2, arguments.n))
  for i = 1, #list do
    local order = attempt.order(self, task, i, shared)
    order.threads = threads_each(self, task, math.min(concurrency, #list))
    orders[i] = order
    local said = identity(list[i]) .. " " .. others
    if not kept(order, said) then
      resume.remove(order.into)
      jobs[#jobs + 1] = { order = order, index = i, said = said, limits = task.how.limits, retries = task.how.retries,
        holder = ("%s, element %d"):format(attempt.holder(self, task), i) }
    end
  end
  return jobs, orders
end

local function in_processes(self, task, list, arguments)
  local how = task.how.map
  local jobs, orders = jobs_of(self, task, list, arguments)
  if #jobs < #list then log.info("  %s: %d of %d elements are ready", task.name, #list - #jobs, #list) end
  local signal = require("recsys.flow.crew").run(jobs, { concurrency = how.concurrency, on_error = how.on_error,
    told = function(...) tell(self, task, ...) end })
  if signal then require("recsys.signals").raise(signal) end
  local values, failures = {}, {}
  for _, job in ipairs(jobs) do
    if job.outcome then attempt.took(task, job.outcome) end
    if job.failure then failures[job.index] = of_element(job.index, job.failure) end
  end
  if how.on_error == "stop" then
    for _, job in ipairs(jobs) do -- the first that failed by itself
      if job.failure and job.failure.code ~= "cancelled" then error(failures[job.index], 0) end
    end
  end
  for i, order in ipairs(orders) do
    if not failures[i] then values[i] = store.load(order.into, self.folder) end
  end
  return gather(task, #list, values, failures)
end

--- One element in this process.
local function element(self, task, fn, i, given)
  local told = function(what, failure, delay, n)
    attempt.tell(self, task, ("task %s, element %d"):format(task.name, i), what, failure, delay, n)
  end
  return retry.run(task.how.retries, function()
    local release = limit.take(task.how.limits, attempt.holder(self, task), function(name, by)
      told("waiting", { message = ("for a place of '%s', held by %s"):format(name, by) })
    end)
    local ok, value, message, code = xpcall(fn, exit.traced, table.unpack(given, 1, given.n))
    release()
    if not ok then error(value, 0) end
    if value == nil and message then error({ code = code or "failed", message = tostring(message) }, 0) end
    return value
  end, function(problem) return problem end, function(n, failure, delay) told("retrying", failure, delay, n) end)
end

local function one_by_one(self, task, fn, list, arguments)
  local values, failures = {}, {}
  for i = 1, #list do
    local given = table.pack(list[i], table.unpack(arguments, 2, arguments.n))
    local ok, value = pcall(element, self, task, fn, i, given)
    if ok then
      values[i] = value == nil and true or value
    else
      if type(value) ~= "table" or value.signal or value.code == "end" then error(value, 0) end
      failures[i] = of_element(i, value)
      if task.how.map.on_error == "stop" then error(failures[i], 0) end
    end
  end
  return gather(task, #list, values, failures)
end

--- Call fn for each element of the list that is the first argument.
---@return table values  in order; of one that failed, with on_error = "keep", { failed = { index, message, code } }
function map.call(self, task, fn, arguments)
  local list = arguments[1]
  if type(list) ~= "table" or getmetatable(list) and not getmetatable(list).__len then
    error({ code = "usage", message = ("map needs a list, not a %s"):format(type(list)) }, 0)
  end
  if task.how.process then return in_processes(self, task, list, arguments) end
  return one_by_one(self, task, fn, list, arguments)
end

return map

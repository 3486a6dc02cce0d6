--- flow:map(name, [options,] fn, list, ...): fn(element, ...) for each element of a list, several at once in processes
--- of their own. The value is the list of what it gave, in the order of the elements.
---
--- Each element has states of its own, and a result that later runs take: recsys.flow.element.

local attempt = require "recsys.flow.attempt"
local base = require "recsys.base"
local element = require "recsys.flow.element"
local exit = require "recsys.exit"
local lent = require "recsys.flow.lent"
local limit = require "recsys.flow.limit"
local log = require "recsys.log"
local outputs = require "recsys.flow.outputs"
local retry = require "recsys.flow.retry"
local reuse = require "recsys.flow.reuse"
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

--- One that failed, in the list of values.
local function failed_value(failure)
  return { failed = { index = failure.index, message = log.veiled(failure.message), code = failure.code } }
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

--- An element in words.
local function label_of(one) return ("task %s, element %d"):format(one.name, one.element) end

--- All elements are at their ends. What their own processes and trainings have noted is the task's.
local function gather_notes(self, task, ones)
  local shared = outputs.paths_in(self, { table.unpack(task.given, 2, task.given.n) }, {})
  if self.folder then reuse.settle(self, ones, shared) end
  for _, one in ipairs(ones) do attempt.took(task, one) end
end

--- The element of a job goes on.
local function tell(self, what, job, failure, delay)
  local one = job.one
  local label = what == "waiting" and "task " .. one.name or label_of(one)
  attempt.tell(self, one, label, what, failure, delay, job.attempts)
  if what == "failed" then element.fail(self, one, failure) end
  if what == "done" then
    attempt.took(one, job.outcome)
    element.keep(self, one)
    log.note("%s is done", label_of(one))
  end
end

--- Threads of each child when so many work at once.
local function threads_each(self, task, concurrency)
  local all = self.origin and self.origin.threads or base.threads()
  return task.how.process.threads or math.max(1, all // concurrency)
end

--- The elements as those that stand for tasks, and a job for each that is to run.
local function jobs_of(self, task, fn, list)
  local jobs, ones = {}, {}
  local shared = #list > 0 and attempt.order(self, task) or nil
  local concurrency = math.min(task.how.map.concurrency or base.threads(), #list)
  for i = 1, #list do
    local one = element.new(task, i)
    ones[i] = one
    if not element.take(self, one, task, fn, list) then
      local order = attempt.order(self, task, i, shared)
      order.threads = threads_each(self, task, concurrency)
      jobs[#jobs + 1] = { order = order, one = one, limits = task.how.limits, retries = task.how.retries,
        holder = ("%s, element %d"):format(attempt.holder(self, task), i),
        ready = function() return element.take(self, one, task, fn, list) end }
    end
  end
  return jobs, ones
end

local function in_processes(self, task, fn, list)
  local how = task.how.map
  local jobs, ones = jobs_of(self, task, fn, list)
  if #jobs < #list then log.info("  %s: %d of %d elements are ready", task.name, #list - #jobs, #list) end
  local signal = require("recsys.flow.crew").run(jobs, { concurrency = how.concurrency, on_error = how.on_error,
    told = function(...) tell(self, ...) end })
  if signal then require("recsys.signals").raise(signal) end
  local values, failures = {}, {}
  for _, job in ipairs(jobs) do
    if job.failure and job.failure.code == "end" then error(job.failure, 0) end
    if job.failure then failures[job.one.element] = of_element(job.one.element, job.failure) end
  end
  for _, job in ipairs(jobs) do -- the first that failed by itself
    local code = job.failure and job.failure.code or "cancelled"
    if how.on_error == "stop" and code ~= "cancelled" or code == "changed" then error(failures[job.one.element], 0) end
  end
  for i, one in ipairs(ones) do
    if not failures[i] then values[i] = store.load(self:place(one), self.folder) end
  end
  gather_notes(self, task, ones)
  return gather(task, #list, values, failures)
end

--- What fn is called with for an element: what is its alone, also of what all are given. Without a list all is anew.
local function given_to(task, one, list, arguments)
  local all = task.lend and task.lend(list and 2) or arguments
  return table.pack((list or all[1])[one.element], table.unpack(all, 2, all.n))
end

--- One element in this process, tried as often as it may be.
local function call(self, task, one, fn, list, arguments)
  local function tell_here(what, failure, delay, n)
    attempt.tell(self, one, label_of(one), what, failure, delay, n)
  end
  local tries, again = 0, task.how.retries and attempt.mark(one)
  local given = given_to(task, one, list, arguments)
  return retry.run(task.how.retries, function()
    tries = tries + 1
    if tries > 1 then
      again()
      given = given_to(task, one, nil, arguments)
    end
    tell_here("running", nil, nil, tries)
    local release = limit.take(task.how.limits, attempt.holder(self, task), function(name, by)
      if task.has_waited then return end -- told of the first element
      task.has_waited = true
      tell_here("waiting", { message = ("for a place of '%s', held by %s"):format(name, by) })
    end)
    attempt.goes_on(self, one)
    local ok, value = xpcall(attempt.called, exit.traced, fn, given)
    release()
    if not ok then error(value, 0) end
    return value
  end, function(problem) return problem end, function(n, failure, delay) tell_here("retrying", failure, delay, n) end)
end

--- What one element gives, taken or made; nil and its failure.
local function value_here(self, task, one, fn, list, arguments)
  if element.take(self, one, task, fn, list) then return store.load(self:place(one), self.folder) end
  local ok, value = self:at(one, call, self, task, one, fn, list, arguments)
  if not ok then
    if type(value) ~= "table" then error(value, 0) end
    element.fail(self, one, value)
    if value.signal or value.code == "end" then error(value, 0) end
    return nil, of_element(one.element, value)
  end
  lent.look(self, task, one)
  if value == nil then value = true end -- a list has no holes
  if self.folder and one.save then store.save(self:place(one), value, "checked", self.folder) end
  element.keep(self, one)
  return value
end

local function one_by_one(self, task, fn, list, arguments)
  local values, failures, ones = {}, {}, {}
  for i = 1, #list do
    ones[i] = element.new(task, i)
    values[i], failures[i] = value_here(self, task, ones[i], fn, list, arguments)
    if failures[i] and task.how.map.on_error == "stop" then error(failures[i], 0) end
  end
  gather_notes(self, task, ones)
  return gather(task, #list, values, failures)
end

--- Call fn for each element of the list that is the first argument.
---@return table values  in order; of one that failed, with on_error = "keep", { failed = { index, message, code } }
function map.call(self, task, fn, arguments)
  local list = arguments[1]
  if type(list) ~= "table" or getmetatable(list) and not getmetatable(list).__len then
    error({ code = "usage", message = ("map needs a list, not a %s"):format(type(list)) }, 0)
  end
  if not getmetatable(list) and #list == 0 and next(list) ~= nil then
    error({ code = "usage", message = ("map needs a list, not a table whose first key is '%s'"):format(
      tostring(next(list))) }, 0)
  end
  if self.record then self.record:expect_elements(task, #list) end
  self.outputs:freeze(true)
  local ok, values = xpcall(task.how.process and in_processes or one_by_one, exit.traced, self, task, fn, list,
    arguments)
  self.outputs:freeze(false)
  if not ok then error(values, 0) end
  return values
end

return map

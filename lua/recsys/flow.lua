--- A run's steps: each a named task with its time, its log lines and its saved result in the run's folder.
---
--- `flow:task(name, [options,] fn, ...)` gives a handle: indexing it gives a handle on that field, handing it to
--- another task hands over its value, `:value()` takes it out. Tasks run in the order in which they are declared.
--- Under `--plan` nothing runs: the names, what feeds what, and what would be taken from an earlier run are printed,
--- and `:value()` of what would run ends the plan there. What a function asks of its arguments (`flow.check`) is looked
--- at then, so a plan shows mistakes before anything is made.
---
--- A task whose result depends on nothing that has changed (recsys.flow.key) is not run: its result is one that an
--- earlier run kept (recsys.flow.cache), loaded when somebody asks for it. docs/flows.md is the manual.

local now = require("recsys.clock").now
local uv = require "luv"
local attempt = require "recsys.flow.attempt"
local base = require "recsys.base"
local exit = require "recsys.exit"
local files = require "recsys.files"
local gate = require "recsys.flow.gate"
local handles = require "recsys.flow.handle"
local hooks = require "recsys.flow.hooks"
local json = require "recsys.json"
local lazy = require "recsys.lazy"
local lent = require "recsys.flow.lent"
local keys = lazy "recsys.flow.key"
local kept = lazy "recsys.flow.cache"
local log = require "recsys.log"
local note = lazy "recsys.flow.note"
local outputs = require "recsys.flow.outputs"
local provenance = lazy "recsys.provenance"
local resume = require "recsys.resume"
local reuse = require "recsys.flow.reuse"
local store = require "recsys.store"
local text = require "recsys.text"

local flow = {}

local WORTH_RELEASING <const> = 128 << 20 -- bytes: a smaller process keeps what it will ask for again

local Flow = {}
Flow.__index = Flow

flow.is_handle, flow.is_list = handles.is, handles.is_list

local checks = setmetatable({}, { __mode = "k" })

--- Let check(...) look at the arguments of each task that is to call 'fn', when it is planned. It raises for what fn
--- would refuse; handles among the arguments are not known yet.
function flow.check(fn, check)
  checks[fn] = check
end

flow.identity, flow.reads, flow.valid = reuse.identity, reuse.reads, reuse.valid

--- A flow that keeps its tasks below 'folder' (nil: results are not saved, as in a spec).
---@param options { folder?: string, plan?: boolean, resumed?: boolean, named?: boolean, only?: string,
---   told?: function, caches?: boolean, recipe?: string, refresh?: string[], profiled?: boolean, hooks?: table,
---   origin?: table, child?: table, record?: Record, seed?: integer }
---   resumed: the run was cut short and goes on; named: it was asked for by name
---   only: what the run is made for, if not for its end; see flow.only
---   told: is called when a task has begun or ended, and tasks.json says so
---   caches: results of earlier runs stand for tasks that would give the same; recipe: its file, on which all depend;
---   refresh: tasks that run all the same ("all"); profiled: so do tasks that train
---   hooks: what hears of tasks' states, recsys.flow.hooks; origin: { name, path, params, threads, profile } of the
---   recipe, for tasks in processes of their own; child: recsys.flow.inside's, in such a process
---   record: where the states of tasks are written down; seed: the run's, which its parts have, too
function flow.new(options)
  local folder, refresh = options.folder, {}
  for _, name in ipairs(options.refresh or {}) do refresh[name] = true end
  if options.caches then keys.begin() end
  return setmetatable({ folder = folder, name = (folder or "RUN"):match "[^/]+$", plan_only = options.plan, tasks = {},
    names = {}, results = {}, resumed = options.resumed, named = options.named, only = options.only,
    told = options.told, caches = options.caches, refresh = refresh, recipe = options.recipe,
    profiled = options.profiled, hooks = options.hooks, origin = options.origin, child = options.child, subs = {},
    parts = {}, seed = options.seed,
    unsaved = setmetatable({}, { __mode = "v" }), record = options.record,
    outputs = outputs.new(folder, options.resumed),
    next_summary = 0 }, Flow)
end

local at_work -- of the task that runs: its flow and itself

--- The folder of the run when it was made only for `what`, else nil. The task that has found it ends the run, well:
--- error { code = "end", result = table }.
---@param what string  "learning_rate" or "objective"
---@return string? folder
function flow.only(what)
  return at_work and at_work.flow.only == what and at_work.flow.folder or nil
end

--- Note that the task that runs trains: --profile and --find-learning-rate need it to run.
function flow.trains()
  if at_work then at_work.task.trains = true end
end

--- Note a row that the n-th training of the task that runs has logged, for runs that are given its result.
---@param n integer
---@param row table
function flow.note_row(n, row)
  if not at_work or at_work.task.state == "cached" then return end
  at_work.task.rows = at_work.task.rows or {}
  table.insert(at_work.task.rows, { n, row })
end

--- The task that runs, where the files that it reads are noted; nil outside of tasks.
---@return table?
function flow.reader()
  return at_work and at_work.task.state ~= "cached" and at_work.task or nil
end

--- Note that the task that runs logs the data set that it gives.
function flow.logs_data()
  if at_work then at_work.task.data = true end
end

--- The element of a map that runs; nil outside of one.
local function element_at_work()
  local child = at_work.flow.child
  return at_work.task.element or child and child.order.element
end

--- The task that runs, for recsys.flow.note: itself, or the element of its list; nil outside of tasks.
---@return { task: table, folder: string?, record: Record?, element: integer }?
function flow.at_work()
  local here = at_work
  if not here or here.task.state == "cached" then return nil end
  local child = here.flow.child
  return { task = here.task, folder = here.flow.folder, record = here.flow.record or child and child:record(),
    element = element_at_work() or 0 }
end

--- The name of the task that runs, "weeks", and of an element of a map, "weeks.3"; nil outside of tasks.
---@return string?
function flow.task_name()
  if not at_work then return nil end
  local i = element_at_work()
  return i and ("%s.%d"):format(at_work.task.name, i) or at_work.task.name
end

--- Where the task that runs may keep what it has done so far, to take it up when the run is cut short and resumed.
---@return { folder: string, run: string, resumed: boolean, named: boolean }?
---   folder: not made yet, goes when the run is done; run: its name. nil: nothing is kept
function flow.kept()
  local here = at_work
  if not here or not here.flow.folder then return nil end
  local step = attempt.step(here.task, element_at_work())
  return { folder = resume.place(here.flow.folder, step), run = here.flow.name, resumed = here.flow.resumed or false,
    named = here.flow.named or false }
end

local function check_name(self, name)
  if type(name) ~= "string" or not name:match "^[%w_][%w_%-%.]*$" then
    exit.usage_error("%s: task '%s': a name of letters, digits, _ and - is expected", exit.line(3) or "?",
      tostring(name))
  end
  if self.names[name] then exit.usage_error("%s: there is a task '%s' already", exit.line(3) or "?", name) end
  self.names[name] = true
end

--- What was raised, with the task's name and the line of the recipe that declares it. Who blames his caller means that
--- line, not ours.
local function describe_failure(task, problem)
  local failure = type(problem) == "table" and problem.message and problem
    or { code = "failed", message = exit.message_of(problem) }
  failure.message = tostring(failure.message):gsub("^[^:\n]*recsys/flow[%l/]*%.lua:%d+: ", "")
  if task.lend and failure.message:find("read-only mapping", 1, true) then
    failure.message = failure.message .. "; what other tasks gave is not to be written: change its clone()"
  end
  failure.task, failure.where = failure.task or task.name, failure.where or task.where
  return failure
end

--- The folder for the result of a task, or of an element.
function Flow:place(task)
  if task.element then return attempt.stored(self.folder, attempt.step(task, task.element)) end
  return ("%s/tasks/%s"):format(self.folder, attempt.step(task))
end

--- Move what a child has stored to where results are.
local function move_result(self, task, stored)
  local place = self:place(task)
  resume.remove(place)
  files.make_folder(self.folder .. "/tasks")
  local ok, message = os.rename(stored, place)
  if not ok then error({ code = "io", message = "cannot keep a result: " .. message }, 0) end
end

--- Call fn, and save the value that it gives when the task says so.
local function work(self, task, fn, arguments)
  local value, stored = attempt.call(self, task, fn, arguments)
  lent.look(self, task)
  task.watched = nil
  if self.folder and task.save then
    local track = package.loaded["recsys.track"]
    if track then track.flush() end -- a resumed run takes the value and logs nothing again
    if stored then
      move_result(self, task, stored)
    else
      store.save(self:place(task), value, "checked", self.folder)
    end
  end
  return value
end

--- What a task's value has to say in the run's result, when its class knows: a field and a list, by __result.
local function keep_result(self, value)
  local class = type(value) == "table" and getmetatable(value)
  if not (type(class) == "table" and class.__result) then return end
  local field, said = class.__result(value)
  local all = self.results[field] or json.list {}
  self.results[field] = table.move(said, 1, #said, #all + 1, all)
end

local FEW <const> = 30 -- tasks, up to which tasks.json is written at each turn
local SHARE <const> = 50 -- of the time that writing it may take at the most when there are more: a fiftieth

--- Let people see how far the run is: in tasks.json, which the disk may have later.
local function tell(self)
  local at = uv.hrtime()
  if not self.folder or #self.tasks > FEW and at < self.next_summary then return end
  self:write_summary(true)
  if self.told then self.told() end
  local done = uv.hrtime()
  self.next_summary = done + SHARE * (done - at)
end

--- Hooks of the task, and those of the recipe, and of the part that it is in, that hear of every state, hear of this
--- one.
local function tell_hooks(self, task, code)
  local all = { self.hooks and { on_state = self.hooks.on_state }, task.how.hooks or nil }
  for _, part in ipairs(self.parts) do
    if task.name:sub(1, #part.prefix) == part.prefix then all[#all + 1] = { on_state = part.hooks.on_state } end
  end
  for _, declared in pairs(all) do
    hooks.tell(declared, { recipe = self.origin and self.origin.name, run = self.name, folder = self.folder,
      task = task.name, state = task.state, code = code, message = task.reason, seconds = task.seconds })
  end
end

--- A task goes into another state, or an element of its list, of which the database alone hears.
---@param task table
---@param state string    running, retrying, cached, skipped, completed, failed, ... (recsys.flow.record)
---@param reason? string
---@param code? string     of a failure
function Flow:move(task, state, reason, code)
  task.state, task.reason = state, reason and text.readable(log.veiled(reason)) or nil
  if state == "running" and task.began then
    task.seconds = nil -- another attempt
  elseif state == "running" then
    task.started, task.began = now(), uv.hrtime()
  else
    task.seconds = task.began and (uv.hrtime() - task.began) / 1e9 or nil
  end
  if self.record then self.record:move(task, task.reason) end
  if task.element then return end
  tell(self)
  tell_hooks(self, task, code)
end

--- Call fn as the task, or element, that is at work.
---@return boolean ok, any value  as pcall
function Flow:at(task, fn, ...)
  local outer = at_work
  at_work = { flow = self, task = task }
  local ok, value = xpcall(fn, exit.traced, ...)
  at_work = outer
  return ok, value
end

--- The log of a task that works in this process.
local function log_of(self, task)
  return self.folder and not task.how.process and ("%s/logs/%s.txt"):format(self.folder, attempt.step(task)) or nil
end

--- Do a task's work once. Whatever runs it elsewhere or again stands here.
---@return boolean ok
---@return any value  the problem when not ok
function Flow:attempt(task, fn, arguments)
  return log.beside(log_of(self, task), self.at, self, task, work, self, task, fn, arguments)
end

local SHORT <const> = 2e6 -- nanoseconds, below which a task is too short to ask what memory it leaves

--- What memory a task leaves behind.
local function measure(task)
  if task.number > FEW and uv.hrtime() - task.began < SHORT then return end
  base.release(WORTH_RELEASING)
  local peak, resident = base.memory()
  task.peak_mib, task.memory_mib = peak / 2^20, resident / 2^20
  log.note("task %s leaves %.0f MiB in memory, the most so far is %.0f", task.name, task.memory_mib, task.peak_mib)
end

function Flow:run(task, fn, arguments)
  local name = task.name
  log.note("task %s begins%s", name, task.why and ": " .. task.why or "")
  if self.resumed then note.clear(self, task) end
  self:move(task, "running")
  local ok, value = self:attempt(task, fn, arguments)
  local ended = not ok and type(value) == "table" and value.code == "end"
  measure(task)
  if ok and self.folder and task.save then
    reuse.keep(self, task, value)
  elseif ok and self.folder then
    self.outputs:own(task.outputs)
    reuse.note_reads(task)
  end
  if (ok or ended) and task.inputs then provenance.took(task.inputs) end
  local failure = not ok and not ended and describe_failure(task, value) or nil
  self:move(task, (ok or ended) and "completed" or attempt.state_of(failure), failure and failure.message,
    failure and failure.code)
  if ended then error(value, 0) end
  if failure then
    log.beside(log_of(self, task), log.note, "task %s failed after %s: %s", name, text.duration(task.seconds),
      failure.message)
    error(failure, 0)
  end
  log.info("  %-10s %s", name, text.duration(task.seconds))
  keep_result(self, value)
  return value
end

--- A task of a recipe that is read again in a child: what came before it stands for what is stored.
local function declare_in_child(self, task, state, fn, arguments)
  local load, skipped = self.child:task(task, function(...)
    local ok, value = self:at(task, attempt.called, fn, table.pack(...))
    if not ok then error(value, 0) end
    return value
  end, function() return handles.resolved(arguments) end)
  state.load = load
  if skipped then task.state = "skipped" end
end

--- Whether a task's `when` lets it run. A plan that does not know the value yet takes it that it does.
local function is_wanted(self, when)
  if not flow.is_handle(when) then return when == nil or when ~= false end
  local root = self.plan_only and handles.root(when)
  if root and not root.done and not root.load then return true end
  return handles.force(when) and true or false
end

--- Why a task is skipped: "its condition 'check.moved' is false".
local function why_not(when)
  if not flow.is_handle(when) then return "its condition is false" end
  local fields, state = "", handles.state(when)
  while state.parent do
    fields, state = ("%s%s"):format("." .. tostring(state.key), fields), handles.state(state.parent)
  end
  return ("its condition '%s%s' is %s"):format(state.task, fields, tostring(handles.force(when)))
end

--- A task that is skipped stands for nil, as do all fields of it.
function Flow:skip(task, state, when)
  state.done, task.content = true, "skipped"
  if self.plan_only then
    task.state = "skipped"
    return
  end
  log.info("  %-10s skipped", task.name)
  self:move(task, "skipped", why_not(when))
end

local options_known = { save = "boolean", cache = "any" }
for _, option in ipairs(attempt.options) do options_known[option] = "any" end

local function check_options(name, options, level)
  for option, value in pairs(options) do
    local kind = options_known[option]
    if not kind then exit.usage_error("%s: task '%s' has no option '%s'", exit.line(level) or "?", name, option) end
    if kind ~= "any" and type(value) ~= kind then
      exit.usage_error("%s: option '%s' of task '%s' must be a %s", exit.line(level) or "?", option, name, kind)
    end
  end
  local lasts = options.cache
  if lasts ~= nil and type(lasts) ~= "boolean" and not text.span(lasts) then
    exit.usage_error("%s: option 'cache' of task '%s' must be true, false, or a span of time such as \"7d\"",
      exit.line(level) or "?", name)
  end
end

--- Run fn(...) as a task, handles among the arguments replaced by their values.
---@param name string      unique in the flow; letters, digits, _ and -
---@param options? { save?: boolean, cache?: boolean|string }  save = false: the result need not be saved; cache =
---   false: run it each time; "7d": take an earlier result that is at most so old. How it is called: when, retries,
---   limits, process, timeout, memory, grace, threads, on_failure, on_success, on_state; recsys.flow.attempt
---@param fn function      returns one value, or nil, message, code to fail
---@return any handle
function Flow:task(name, options, fn, ...)
  if type(options) == "function" then return self:task(name, {}, options, fn, ...) end
  if type(options) ~= "table" or type(fn) ~= "function" then
    exit.usage_error("%s: task '%s' is given no function to call; is its name right?", exit.line(2) or "?",
      tostring(name))
  end
  check_name(self, name)
  check_options(name, options, 3)
  local arguments = table.pack(...)
  local task = { name = name, number = #self.tasks + 1, save = options.save ~= false, state = "pending",
    cache = options.cache, where = exit.line(2), after = handles.feeders({ options.when, ... }, {}), outputs = {},
    how = attempt.read(options, name), given = options.map and arguments or nil }
  self.tasks[task.number] = task
  local state = { task = name, of = task }
  local handle = handles.new(state)
  if self.child then
    declare_in_child(self, task, state, fn, arguments)
    return handle
  end
  if not is_wanted(self, options.when) then
    self:skip(task, state, options.when)
    return handle
  end
  if self.plan_only and not task.how.map and checks[fn] then checks[fn](...) end
  local entry = (self.caches or self.resumed) and reuse.find(self, task, fn, arguments)
  if entry and self:take(task, entry, state) then return handle end
  if not self.plan_only then
    state.value = self:run(task, fn, lent.values(self, task, fn, arguments))
    state.done = true
    if not task.save then self.unsaved[name] = state end
  end
  return handle
end

--- Run fn(element, ...) for each element of a list, several at once; see recsys.flow.map.
function Flow:map(...) return require("recsys.flow.map").method(self, ...) end

--- The steps of another recipe, or of a function, as a part of this flow; see recsys.flow.sub.
function Flow:sub(...) return require("recsys.flow.sub").method(self, ...) end

-- Results of earlier runs ---------------------------------------------------------------------------------------------

--- The name of a path below the run's folder; nil for other strings.
---@param path string
---@return string?
function Flow:inside(path)
  local folder = self.folder or "RUN"
  return path:sub(1, #folder + 1) == folder .. "/" and path:sub(#folder + 2) or path == folder and "" or nil
end

--- What a handle, or this flow, counts as in a key.
---@param value any
---@return string? identity  nil: it is neither
---@return string? unknown   why that cannot be said yet
function Flow:identity_of(value)
  if value == self then return "flow" end
  local state = handles.state(value)
  if not state then return nil end
  local fields = ""
  while state.parent do
    fields = ("%s[%q]"):format(fields, state.key)
    state = handles.state(state.parent)
  end
  if state.of.content then return state.of.content .. fields end
  return nil, "after " .. state.task
end

--- Let an entry stand for a task: its files are the run's, and its value is loaded when it is asked for.
---@return boolean  false: it went meanwhile
function Flow:take(task, entry, state)
  local left = entry.left or kept.left(entry)
  if self.plan_only then
    task.content, task.trains = entry.content, entry.trains
    self.outputs:add(left)
    state.load = function() return kept.value(entry, "RUN") end
    task.state = "cached"
    return true
  end
  local at, began = now(), uv.hrtime()
  if not entry.own and not kept.give(entry, self:place(task), self.folder) then return false end
  task.content, task.trains, task.left = entry.content, entry.trains, left
  self.outputs:add(left)
  task.started, task.ended, task.began = entry.started or at, entry.ended, began
  state.from, state.run = self:place(task), self.folder
  task.origin = entry.folder or entry.run or entry.origin
  task.state = "cached"
  task.inputs, task.gives_result, task.lua_files = entry.inputs, entry.result, entry.lua
  local ok, problem = self:at(task, function()
    local value = (entry.data or entry.result) and handles.value_of(state) or nil
    reuse.log_again(entry, value)
    if entry.result then keep_result(self, value) end
  end)
  if not ok then error(describe_failure(task, problem), 0) end
  if entry.own then
    self:move(task, "completed", "before the run was resumed")
    log.info("  %-10s was completed before", task.name)
    return true
  end
  note.give(self, task, entry.notes)
  self:move(task, "cached")
  log.info("  %-10s cached, took %s on %s", task.name, text.duration(entry.seconds),
    os.date("!%Y-%m-%d %H:%M:%S UTC", entry.made // 1000))
  return true
end

flow.check(gate.pass, function(name, condition)
  if not flow.is_handle(condition) then gate.check(name, condition) end
end)

--- A task that ends the run, with exit code 3, unless a condition holds.
---@param name string
---@param condition any  true, a handle on a value that is neither false nor nil, or { metric = "ndcg_10", value =
---  report.metrics.ndcg_10, at_least = 0.1 }, where at_most, above and below are bounds, too
---@param message? string  for people; metric, value and bound are told anyway
---@return any handle
function Flow:gate(name, condition, message)
  return self:task(name, { save = false }, gate.pass, name, condition, message)
end

-- What is told -------------------------------------------------------------------------------------------------------

--- A path in the run's folder. What a task is given by it, or asks for while it runs, is the task's own.
---@param name string
---@return string
function Flow:path(name)
  if at_work and at_work.flow == self then table.insert(at_work.task.outputs, name) end
  return (self.folder or "RUN") .. "/" .. name
end

--- The run is done: keep what is kept for later runs within its limit.
function Flow.settle() kept.settle() end

--- Seconds by task name.
---@return table<string, number>
function Flow:seconds()
  local seconds = {}
  for _, task in ipairs(self.tasks) do seconds[task.name] = task.seconds end
  return seconds
end

--- The planned tasks, a line each: number, name, where results are kept whether one would be taken, what feeds it, and
--- why it would run.
---@return string
function Flow:plan()
  local lines = {}
  for i, task in ipairs(self.tasks) do
    local after = {}
    for feeder in pairs(task.after) do after[#after + 1] = feeder end
    table.sort(after)
    local fed = #after > 0 and "after " .. table.concat(after, ", ") or ""
    local known = task.state == "cached" or task.state == "skipped"
    local state = known and task.state or "would run"
    local why = not known and task.why and not task.why:find "^after " and (" (%s)"):format(task.why) or ""
    lines[i] = ("%3d  %-12s %s"):format(i, task.name, fed)
    if self.caches then
      lines[i] = ("%3d  %-12s %-9s  %s%s"):format(i, task.name, state, fed, why):gsub(" +$", "")
    end
  end
  return table.concat(lines, "\n")
end

--- Write what is known of the tasks into the run's folder: name, state, when each began (ms since 1970), seconds, what
--- fed it, and MiB: what was resident after each and the most so far.
---@param later? boolean  the disk may have it later, see files.write
function Flow:write_summary(later)
  local list = json.list {}
  for i, task in ipairs(self.tasks) do
    local after = json.list {}
    for feeder in pairs(task.after) do after[#after + 1] = feeder end
    table.sort(after)
    list[i] = { name = task.name, state = task.state, reason = task.reason, started = task.started,
      notes = note.summary(task),
      seconds = task.seconds, after = after, memory_mib = task.memory_mib, peak_mib = task.peak_mib }
  end
  files.write(self.folder .. "/tasks.json", json.encode(list), later)
end

return flow

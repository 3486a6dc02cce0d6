--- A run's steps: each a named task with its time, its log lines and its saved result in the run's folder.
---
--- `flow:task(name, [options,] fn, ...)` gives a handle: indexing it gives a handle on that field, handing it to
--- another task hands over its value, `:value()` takes it out. Tasks run in the order in which they are declared.
--- Under `--plan` nothing runs: the names and what feeds what are printed, and `:value()` ends the plan there. What a
--- function asks of its arguments (`flow.check`) is looked at then, so a plan shows mistakes before anything is made.

local now = require("recsys.clock").now
local uv = require "luv"
local base = require "recsys.base"
local exit = require "recsys.exit"
local files = require "recsys.files"
local json = require "recsys.json"
local log = require "recsys.log"
local resume = require "recsys.resume"
local store = require "recsys.store"
local text = require "recsys.text"

local flow = {}

local WORTH_RELEASING <const> = 128 << 20 -- bytes: a smaller process keeps what it will ask for again

local Flow = {}
Flow.__index = Flow

-- A handle keeps its state in a table of this map, so that every key of the value can be indexed.
local states = setmetatable({}, { __mode = "k" })
local Handle = { __name = "recsys.Handle" }

local function new_handle(state)
  local handle = setmetatable({}, Handle)
  states[handle] = state
  return handle
end

local function force(handle)
  local state = states[handle]
  if state.parent then
    local value = force(state.parent)
    if type(value) ~= "table" and type(value) ~= "userdata" then
      error(("task '%s' gave %s, which has no field '%s'"):format(state.task, type(value), tostring(state.key)), 0)
    end
    return value[state.key]
  end
  if not state.done then error({ code = "plan", message = state.task }, 0) end
  return state.value
end

function Handle.__index(handle, key)
  if key == "value" then return force end
  local state = states[handle]
  return new_handle { parent = handle, key = key, task = state.task }
end

function Handle.__newindex()
  error("a task's result is not to be changed: make a new task for what comes next", 2)
end

function Handle.__tostring(handle)
  return ("handle on task '%s'"):format(states[handle].task)
end

--- Whether a value is a handle.
function flow.is_handle(value)
  return getmetatable(value) == Handle
end

--- 'value' with every handle in it, also inside plain tables, replaced by what it stands for.
local function resolved(value)
  if flow.is_handle(value) then return force(value) end
  if type(value) ~= "table" or getmetatable(value) then return value end
  local copy = {}
  for key, part in pairs(value) do copy[key] = resolved(part) end
  return copy
end

local checks = setmetatable({}, { __mode = "k" })

--- Let check(...) look at the arguments of each task that is to call 'fn', when it is planned. It raises for what fn
--- would refuse; handles among the arguments are not known yet.
function flow.check(fn, check)
  checks[fn] = check
end

local function feeders(value, found)
  if flow.is_handle(value) then
    found[states[value].task] = true
  elseif type(value) == "table" and not getmetatable(value) then
    for _, part in pairs(value) do feeders(part, found) end
  end
  return found
end

--- A flow that keeps its tasks below 'folder' (nil: results are not saved, as in a spec).
---@param options { folder?: string, plan?: boolean, resumed?: boolean, named?: boolean, only?: string,
---   told?: function }
---   resumed: the run was cut short and goes on; named: it was asked for by name
---   only: what the run is made for, if not for its end; see flow.only
---   told: is called when a task has begun or ended, and tasks.json says so
function flow.new(options)
  local name = (options.folder or "RUN"):match "[^/]+$"
  return setmetatable({ folder = options.folder, name = name, plan_only = options.plan, tasks = {}, names = {},
    results = {}, resumed = options.resumed, named = options.named, only = options.only, told = options.told }, Flow)
end

local at_work -- of the task that runs: its flow and itself

--- The folder of the run when it was made only for `what`, else nil. The task that has found it ends the run, well:
--- error { code = "end", result = table }.
---@param what string  "learning_rate"
---@return string? folder
function flow.only(what)
  return at_work and at_work.flow.only == what and at_work.flow.folder or nil
end

--- The name of the task that runs; nil outside of tasks.
---@return string?
function flow.task_name() return at_work and at_work.task.name or nil end

--- Where the task that runs may keep what it has done so far, to take it up when the run is cut short and resumed.
---@return { folder: string, run: string, resumed: boolean, named: boolean }?
---   folder: not made yet, goes when the run is done; run: its name. nil: nothing is kept
function flow.kept()
  local here = at_work
  if not here or not here.flow.folder then return nil end
  local step = ("%02d-%s"):format(here.task.number, here.task.name)
  return { folder = resume.place(here.flow.folder, step), run = here.flow.name, resumed = here.flow.resumed or false,
    named = here.flow.named or false }
end

local function check_name(self, name)
  if type(name) ~= "string" or not name:match "^[%w_][%w_%-]*$" then
    error("bad argument #1 to 'task' (a name of letters, digits, _ and - is expected)", 3)
  end
  if self.names[name] then error(("bad argument #1 to 'task' (there is a task '%s' already)"):format(name), 3) end
  self.names[name] = true
end

--- What was raised, with the task's name and the line of the recipe that declares it. Who blames his caller means that
--- line, not ours.
local function describe_failure(task, problem)
  local failure = type(problem) == "table" and problem.message and problem
    or { code = "failed", message = exit.message_of(problem) }
  failure.message = tostring(failure.message):gsub("^[^:\n]*recsys/flow%.lua:%d+: ", "")
  failure.task, failure.where = failure.task or task.name, failure.where or task.where
  return failure
end

--- Call fn(...), and save the value that it gives when the task says so.
local function work(self, task, fn, ...)
  local value, message, code = fn(...)
  if value == nil and message then error({ code = code or "failed", message = tostring(message) }, 0) end
  if self.folder and task.save then
    local track = package.loaded["recsys.track"]
    if track then track.flush() end -- a resumed run takes the value and logs nothing again
    store.save(("%s/tasks/%02d-%s"):format(self.folder, task.number, task.name), value, true)
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

--- Let people see how far the run is: in tasks.json, which the disk may have later.
local function tell(self)
  if not self.folder then return end
  self:write_summary(true)
  if self.told then self.told() end
end

function Flow:run(task, fn, arguments)
  local began, name = uv.hrtime(), task.name
  log.note("task %s begins", name)
  task.started, task.state = now(), "running"
  tell(self)
  local outer = at_work
  at_work = { flow = self, task = task }
  local ok, value = xpcall(work, exit.traced, self, task, fn, table.unpack(arguments, 1, arguments.n))
  at_work = outer
  task.seconds = (uv.hrtime() - began) / 1e9
  local ended = not ok and type(value) == "table" and value.code == "end"
  task.state = (ok or ended) and "done" or "failed"
  base.release(WORTH_RELEASING)
  local peak, resident = base.memory()
  task.peak_mib, task.memory_mib = peak / 2^20, resident / 2^20
  tell(self)
  if ended then error(value, 0) end
  if not ok then
    local failure = describe_failure(task, value)
    log.note("task %s failed after %s: %s", name, text.duration(task.seconds), failure.message)
    error(failure, 0)
  end
  log.info("  %-10s %s", name, text.duration(task.seconds))
  log.note("task %s leaves %.0f MiB in memory, the most so far is %.0f", name, task.memory_mib, task.peak_mib)
  keep_result(self, value)
  return value
end

--- "recipes/two_tower.lua:68": the line that runs at this level of the caller's stack.
local function line_of(level)
  local info = debug.getinfo(level + 1, "Sl")
  return info and info.currentline > 0 and ("%s:%d"):format(info.short_src, info.currentline) or nil
end

--- Run fn(...) as a task, handles among the arguments replaced by their values.
---@param name string      unique in the flow; letters, digits, _ and -
---@param options? { save?: boolean }  save = false: the result need not be saved
---@param fn function      returns one value, or nil, message, code to fail
---@return any handle
function Flow:task(name, options, fn, ...)
  if type(options) == "function" then return self:task(name, {}, options, fn, ...) end
  if type(options) ~= "table" or type(fn) ~= "function" then
    exit.usage_error("%s: task '%s' is given no function to call; is its name right?", line_of(2) or "?",
      tostring(name))
  end
  check_name(self, name)
  local arguments = table.pack(...)
  local task = { name = name, number = #self.tasks + 1, save = options.save ~= false, state = "planned",
    where = line_of(2), after = feeders({ ... }, {}) }
  self.tasks[task.number] = task
  local state = { task = name }
  local handle = new_handle(state)
  if self.plan_only then
    if checks[fn] then checks[fn](...) end
    return handle
  end
  for i = 1, arguments.n do arguments[i] = resolved(arguments[i]) end
  state.value = self:run(task, fn, arguments)
  state.done = true
  return handle
end

--- A path in the run's folder.
---@param name string
---@return string
function Flow:path(name)
  return (self.folder or "RUN") .. "/" .. name
end

--- Seconds by task name.
---@return table<string, number>
function Flow:seconds()
  local seconds = {}
  for _, task in ipairs(self.tasks) do seconds[task.name] = task.seconds end
  return seconds
end

--- The planned tasks, a line each: number, name, what feeds it.
---@return string
function Flow:plan()
  local lines = {}
  for i, task in ipairs(self.tasks) do
    local after = {}
    for feeder in pairs(task.after) do after[#after + 1] = feeder end
    table.sort(after)
    lines[i] = ("%3d  %-12s %s"):format(i, task.name, #after > 0 and "after " .. table.concat(after, ", ") or "")
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
    list[i] = { name = task.name, state = task.state, started = task.started, seconds = task.seconds, after = after,
      memory_mib = task.memory_mib, peak_mib = task.peak_mib }
  end
  files.write(self.folder .. "/tasks.json", json.encode(list), later)
end

return flow

--- A task in a process of its own: the program is executed anew, reads the recipe again with the same parameters,
--- takes the results of finished tasks from where they are stored, runs the one task and stores its result.
---
--- It is never a bare fork: threads of the arithmetic do not survive one. The child leads a process group, which ends
--- with it, and follows a pipe that its parent holds: when that one dies, by kill -9 too, the system closes the pipe
--- and the group is killed (recsys.process), but not who has left it by setsid. What it prints goes to the task's log;
--- how it failed comes back as a table.
--- recsys.flow.inside is the other side, recsys.flow.crew starts and watches children.

local exit = require "recsys.exit"
local files = require "recsys.files"
local host = require "recsys.host"
local output = require "recsys.flow.output"
local resume = require "recsys.resume"
local store = require "recsys.store"
local text = require "recsys.text"
local uv = require "luv"

local child = {}

local Child = {}
Child.__index = Child

--- Seconds that a task has to end by itself, once it was asked to; where its options say nothing else.
child.GRACE = 30

local function read_seconds(task, name, value)
  if value == nil then return nil end
  if type(value) ~= "number" or not (value > 0 and value <= 1e7) then
    exit.usage_error("task '%s': %s must be a number of seconds above 0, not '%s'", task, name, tostring(value))
  end
  return value
end

local function read_memory(task, value)
  if value == nil then return nil end
  local bytes = text.bytes(value)
  if not bytes or bytes <= 0 then
    exit.usage_error('task \'%s\': memory must be a size such as "512M" or "2G", not \'%s\'', task, tostring(value))
  end
  return bytes
end

--- What a task's options say of a process of its own; nil: it has none.
---@param options { process?: boolean, timeout?: number, memory?: string|integer, grace?: number, threads?: integer }
---@param task string  for messages
---@return { timeout?: number, memory?: integer, grace: number, threads?: integer }?
---   raises { code = "usage" } for what makes no sense
function child.read(options, task)
  local timeout = read_seconds(task, "timeout", options.timeout)
  local memory, grace = read_memory(task, options.memory), read_seconds(task, "grace", options.grace)
  local threads = options.threads
  if threads ~= nil and (math.type(threads) ~= "integer" or threads < 1 or threads > 4096) then
    exit.usage_error("task '%s': threads must be a whole number, 1 to 4096, not '%s'", task, tostring(threads))
  end
  if options.process == false and (timeout or memory) then
    exit.usage_error("task '%s': %s needs a process of its own; leave out process = false", task,
      timeout and "timeout" or "memory")
  end
  if not (options.process or timeout or memory) then return nil end
  return { timeout = timeout, memory = memory, grace = grace or child.GRACE, threads = threads }
end

--- The environment of children: ours, without what ties a process to its place in an MPI job.
local function environment()
  local list = {}
  for name, value in pairs(uv.os_environ()) do
    if not name:find "^OMPI_" and not name:find "^PMIX_" then list[#list + 1] = name .. "=" .. value end
  end
  return list
end

local function refuse(format, ...) error({ code = "io", message = format:format(...) }, 0) end

--- Execute the program for an order that is written down.
local function spawn(self, log)
  local line, out = uv.new_pipe(false), output.open(log)
  if not out then refuse("cannot write the log of task '%s', %s", self.order.task, log) end
  local handle, pid = uv.spawn(host.executable, { args = { "--task", self.place }, detached = true,
    stdio = { nil, out.fd, out.fd, line }, env = environment() },
    function(code, signal) self.code, self.signal = code, signal end)
  out:started()
  if not handle then
    out:close()
    line:close()
    refuse("cannot start a process for task '%s': %s", self.order.task, pid)
  end
  self.handle, self.pid, self.line, self.output = handle, pid, line, out
end

--- Start a child.
---@param order table  what recsys.flow.inside reads; beside it
---   place: begins the names of the files with the order and with what becomes of it; log: file that its output is
---   added to; into: folder of its result; process: what child.read gave
---@return table child  raises { code = "io" } when the system refuses
function child.start(order)
  if not host.executable then
    error({ code = "failed", message = ("task '%s' needs a process of its own: run the recipe by recsys-run"):format(
      order.task) }, 0)
  end
  uv.fs_unlink(order.place .. ".outcome") -- what an earlier attempt has left, whole or half
  resume.remove(order.into)
  files.make_folder(order.log:match "^(.*)/")
  files.make_folder((order.place:match "^(.*)/"))
  store.write(order.place .. ".order", order, "checked") -- whose child dies with us
  local self = setmetatable({ order = order, place = order.place, began = uv.hrtime() }, Child)
  spawn(self, order.log)
  return self
end

--- Send a signal to the child's whole group.
local function kill(self, name) uv.kill(-self.pid, name) end

--- Ask the child to end: SIGTERM now, SIGKILL when its grace time is over.
---@param why { code: string, message: string, signal?: integer }  what its failure is then
function Child:stop(why)
  if self.stopped or self.code then return end
  self.stopped = why
  self.kill_at = uv.hrtime() + self.order.process.grace * 1e9
  kill(self, "sigterm")
end

--- Look at the clock: whether its time is over, or its grace.
function Child:tick()
  self.output:pump()
  if self.code then return end
  local now, timeout = uv.hrtime(), self.order.process.timeout
  if timeout and now - self.began > timeout * 1e9 then
    self:stop { code = "timed_out",
      message = ("it was stopped after %s, its timeout"):format(text.duration(timeout)) }
  end
  if self.kill_at and now > self.kill_at then kill(self, "sigkill") end
end

--- Whether its process has ended.
function Child:ended() return self.code ~= nil end

--- A failure that may come of the memory limit, said so.
local function explain_memory(self, failure)
  local limit = self.order.process.memory
  local short = failure.code == "memory" or failure.message:find "not enough memory"
    or failure.message:find "out of memory"
  if limit and short then
    failure.code = "memory"
    failure.message = ("it needs more memory than its limit of %d MiB (%s)"):format(limit >> 20, failure.message)
  end
  return failure
end

local function crashed(self)
  local how = self.signal ~= 0 and ("was ended by signal %d"):format(self.signal)
    or ("ended with code %d and left no result"):format(self.code)
  local limit = self.order.process.memory
  return { code = "crashed", message = ("its process %s%s; see %s"):format(how,
    limit and (", perhaps for its memory limit of %d MiB"):format(limit >> 20) or "", self.order.log) }
end

local function read_outcome(self)
  local ok, outcome = exit.try(store.read, self.place .. ".outcome")
  return ok and outcome or nil
end

--- The failure of a child that was stopped. Who was asked to end by a signal, and has ended by it, says himself what he
--- has kept; of others what they say stands behind why they were stopped, which they may have caught.
local function stopped_failure(self, said)
  local failure = {}
  for field, value in pairs(self.stopped) do failure[field] = value end
  if not said or said.signal then return said and failure.signal == said.signal and said or failure end
  failure.message = ("%s; it said: %s"):format(failure.message, said.message)
  return failure
end

--- What became of an ended child: its outcome, { done = true, ... } or { failure = { code, message, ... } }. Who was
--- stopped for its time has failed, whatever it has given. Nothing of its group is left.
---@return table
function Child:outcome()
  kill(self, "sigkill")
  self.output:close()
  self.line:close()
  self.handle:close()
  local outcome = read_outcome(self)
  uv.fs_unlink(self.place .. ".order")
  uv.fs_unlink(self.place .. ".outcome")
  local is_late = self.stopped and self.stopped.code == "timed_out"
  if outcome and outcome.done and not is_late then return outcome end
  local failure = outcome and outcome.failure
  if self.stopped then return { failure = stopped_failure(self, failure) } end
  return { failure = failure and explain_memory(self, failure) or crashed(self) }
end

return child

--- The other side of recsys.flow.child: `recsys-run --task PLACE` runs one task of a recipe and ends.
---
--- The file PLACE.order says which (recsys.flow.attempt writes it). The recipe's function is gone through up to that
--- task: what comes before is not run, its handles stand for stored results, each loaded when it is asked for. So what
--- lies between the steps must depend on parameters and results alone. PLACE.outcome says how it ended.

local base = require "recsys.base"
local exit = require "recsys.exit"
local frame = require("recsys.core").frame
local host = require "recsys.host"
local log = require "recsys.log"
local lookup = require "recsys.lookup"
local process = require "recsys.process"
local signals = require "recsys.signals"
local store = require "recsys.store"
local uv = require "luv"

local inside = {}

local LIFELINE <const> = 3 -- the number of the pipe that the parent holds

local Inside = {}
Inside.__index = Inside

local function refuse_changed(path)
  error({ code = "changed", message = ("%s has changed since the run began; recsys-run flows retry goes on with it as "
    .. "it is now"):format(path) }, 0)
end

--- The first file of the program and its library, as far as it was loaded here since the last look, that was written
--- since the run began.
local function changed_program(self)
  for name in pairs(package.loaded) do
    local is_ours = type(name) == "string" and (name == "_G" or name:find "^recsys%.")
    if is_ours and not self.looked_at[name] then
      local path = name == "_G" and host.executable or ("%s/lua/%s.lua"):format(host.root, (name:gsub("%.", "/")))
      local about = uv.fs_stat(path)
      if about and about.ctime.sec * 1000 + about.ctime.nsec // 1000000 > self.order.began then return path end
      self.looked_at[name] = true
    end
  end
end

--- Refuse to work with other code than the run's: what comes of it would be filed as that of the older one.
---@param loaded table<string, string>  hashes of what is loaded here, by path
local function check_code(self, loaded)
  for path, hash in pairs(loaded) do
    local of_run = self.order.loaded[path]
    if of_run and of_run ~= hash then refuse_changed(path) end
  end
  local changed = changed_program(self)
  if changed then refuse_changed(changed) end
end

local function mistake(format, ...) error({ code = "failed", message = format:format(...) }, 0) end

--- The value of a task that the parent has run.
local function bound(self, name)
  local known = self.order.bound[name]
  if not known then
    mistake("task '%s' in a process of its own takes what task '%s' gave, which keeps no result (save = false)",
      self.order.task, name)
  end
  if known.skipped then return nil end
  return store.load(known.folder, self.order.folder)
end

--- Where what the task shows is written down; nil: nowhere.
---@return Record?
function Inside:record()
  local ticket = self.order.record
  self.joined = self.joined or ticket and require("recsys.flow.record").join(ticket)
  return self.joined
end

--- What becomes of a task that the recipe declares: those before ours give (a function for) their value.
---@param task table  name, number
---@param call fun(...): any  calls the task's function at work
---@param arguments fun(): table  resolved
---@return (fun(): any) load, boolean skipped
function Inside:task(task, call, arguments)
  local order = self.order
  if self.outcome then error(self, 0) end -- somebody has caught the end of ours
  if task.name ~= order.task then
    if task.number >= order.number then
      mistake("the recipe, read again, has task '%s' where '%s' was: its steps must depend on parameters and results "
        .. "alone", task.name, order.task)
    end
    local known = order.bound[task.name]
    return function() return bound(self, task.name) end, known and known.skipped or false
  end
  local given = arguments()
  if order.element then given[1] = given[1][order.element] end
  check_code(self, lookup.all_loaded())
  local value = call(table.unpack(given, 1, given.n))
  check_code(self, lookup.all_loaded()) -- it may have loaded more
  if value == nil and order.element then value = true end -- a list has no holes
  local track = package.loaded["recsys.track"]
  if track then track.flush() end
  store.save(order.into, value, "checked", order.folder)
  self.outcome = { done = true, trains = task.trains, data = task.data, rows = task.rows, outputs = task.outputs,
    notes = task.notes, loaded = lookup.all_loaded(),
    lua = require("recsys.flow.key").lua_files(0), inputs = task.inputs }
  error(self, 0)
end

--- Join the tracked run when somebody asks for it: what that needs takes longer than a small task.
local function join_later(ticket)
  package.preload["recsys.track"] = function(name)
    package.preload[name] = nil
    local track = require(name)
    require("recsys.track.joined").begin(ticket)
    return track
  end
end

--- Prepare the process as its parent is.
local function prepare(order)
  local memory = order.process.memory -- beside what the program has reserved for itself, hardly any of it used
  if memory then assert(process.limit(memory + process.reserved())) end
  signals.grace(math.ceil(order.process.grace))
  log.to(order.log)
  log.level = "quiet" -- what is told goes to that file alone; it is also what stdout and stderr are
  require("recsys.cache").allow(order.cache)
  if order.threads then base.threads(order.threads) end
  if order.profile then require("recsys.train.profile").into(order.profile) end
  lookup.begin(order.path)
  if order.track then join_later(order.track) end
  if order.trial then require("recsys.tune.current").begin(order.trial) end
end

local function work(self)
  local order = self.order
  prepare(order)
  check_code(self, { [order.path] = frame.hash_file(order.path) }) -- before what is half written is told as broken
  local loaded_files = require "recsys.loaded"
  loaded_files.begin()
  loaded_files.inside(order.folder)
  local recipe = require("recsys.recipe").load(order.path)
  local steps = require("recsys.flow").new { folder = order.folder, resumed = order.resumed, named = order.named,
    only = order.only, child = self, seed = order.params.seed }
  local config = require "recsys.config"
  config.resolve(recipe.params, { profiles = recipe.profiles, environment = "secrets", partial = true, later = {},
    above = config.secrets_again(recipe.params, order.secrets, true) }) -- secrets are in no file of the run
  recipe.run(steps, order.params)
  mistake("the recipe, read again, has no task '%s': its steps must depend on parameters and results alone", order.task)
end

--- A value without the texts of secrets.
local function veiled(value)
  if type(value) == "string" then return log.veiled(value) end
  if type(value) ~= "table" then return value end
  local copy = {}
  for key, part in pairs(value) do copy[veiled(key)] = veiled(part) end
  return copy
end

--- A failure as what can be stored. Memory that was refused is given back first, and more is allowed to tell it.
local function failure_of(order, problem)
  collectgarbage()
  if order.process.memory then process.limit(1 << 60) end
  if type(problem) ~= "table" then problem = { message = exit.message_of(problem) } end
  local failure = { code = problem.code or "failed", message = log.veiled(exit.message_of(problem)) }
  for _, field in ipairs { "traceback", "where", "signal", "exit", "result" } do
    if pcall(store.text, problem[field]) then failure[field] = veiled(problem[field]) end
  end
  return failure
end

--- Run the task that PLACE.order describes.
---@param place string
---@return integer exit code
function inside.main(place)
  assert(process.follow(LIFELINE))
  local order = store.read(place .. ".order")
  local self = setmetatable({ order = order, looked_at = {} }, Inside)
  local ok, problem = xpcall(work, exit.traced, self)
  assert(not ok)
  local failure = problem ~= self and failure_of(order, problem) or nil
  if failure and failure.code ~= "end" then
    log.note("task %s failed: %s", order.task, failure.message)
    if failure.traceback then log.note("%s", failure.traceback) end
  end
  local outcome = failure and { failure = failure } or self.outcome
  local joined = package.loaded["recsys.track.joined"]
  if joined then outcome.trained = joined.finish() end
  store.write(place .. ".outcome", outcome, true)
  return failure and exit.code_of(failure) or exit.done
end

return inside

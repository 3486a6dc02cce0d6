--- A run that is being logged. `run:metric("loss", 0.5, step)` costs microseconds: the store writes it soon.
---
--- What was logged is in the store half a second later, whatever the program is at; run:flush() waits for that.
--- run:finish() and every end of the program but kill -9 do, too: a signal leaves the run KILLED, an error FAILED. When
--- the store cannot be written, people are told once, the program goes on, and what was logged waits for another
--- attempt.
---
--- The store is recsys.track.store's, or anything with the same functions: create_run, update_run, known_params,
--- note_metric, note_param, note_tag, flush, log_inputs, write_artifact, put_artifact.

local exit = require "recsys.exit"
local files = require "recsys.files"
local json = require "recsys.json"
local log = require "recsys.log"
local names = require "recsys.track.names"
local process = require "recsys.track.process"
local source = require "recsys.track.source"
local system = require "recsys.track.system"
local uv = require "luv"

local Run = { __name = "recsys.Run" }
Run.__index = Run

local run = { Run = Run, open = {} } -- open: runs that are not finished, the innermost last

local now = require("recsys.track.store").now

local function new(of, info, request)
  local self = setmetatable({ store = of, id = info.run_id, name = info.run_name, experiment_id = info.experiment_id,
    artifact_uri = info.artifact_uri, source_name = request.source_name, parent = request.parent, keys = {},
    given = {} }, Run)
  run.open[#run.open + 1] = self
  return self
end

--- Begin a run.
---@param request { experiment_id: string, run_name?: string, tags?: table<string, string>, parent?: string,
---  source_name?: string, user?: string, commit?: string }
function run.start(of, request)
  local tags = {}
  local function tag(key, value)
    if value ~= nil then tags[#tags + 1] = { key = key, value = tostring(value) } end
  end
  local user = request.user or source.user()
  tag("mlflow.user", user)
  tag("mlflow.source.name", request.source_name)
  tag("mlflow.source.type", "LOCAL")
  tag("mlflow.source.git.commit", request.commit)
  tag("mlflow.parentRunId", request.parent)
  tag(process.tag, process.name())
  for key, value in pairs(request.tags or {}) do tag(names.mapped(key), value) end
  local made = of:create_run { experiment_id = request.experiment_id, run_name = request.run_name, user_id = user,
    tags = tags, source_type = "LOCAL", source_name = request.source_name and request.source_name:sub(1, 500),
    source_version = request.commit }
  return new(of, made.info, request)
end

--- Go on with a run that was begun before, as this process's.
---@param id string
---@param lost? { experiment?: string, run_name?: string, tags?: table<string, string> }  what a server that does not
---  know the run, nor ever will, makes it of
function run.continue(of, id, lost)
  local info = of:update_run { run_id = id, status = "RUNNING", process = process.name(), lost = lost or {} }
  local self = new(of, info, {})
  self.given = of:known_params(id)
  return self
end

--- Log into a run that another process has begun and will end: finish() only waits for what was logged.
---@param info { run_id: string, run_name: string, experiment_id: string, artifact_uri: string }
function run.join(of, info)
  local self = new(of, info, {})
  if of.join then of:join(info.run_id) end
  self.joined, self.given = true, of:known_params(info.run_id)
  return self
end

local function check_open(self)
  if self.finished then error({ code = "usage", message = ("the run %s is finished"):format(self.name) }, 0) end
end

--- What the store says of what was logged so far. That it cannot be written people are told once, until it can be.
local function told(self, ok, message, code)
  if ok then return true end
  local passes = code == "busy" or code == "io" or code == "memory" or code == "away" or code == "broken"
  if not passes then
    log.warn("the run is tracked in part: %s", message)
  elseif not self.warned then
    self.warned = true
    log.warn("the run is not tracked for now: %s", message)
  end
  return nil, message, code
end

--- Wait until the store has what was logged.
---@return boolean? done  nil, message, code when it cannot be written, which people are told
function Run:flush()
  local ok, message, code = told(self, self.store:flush())
  if ok then self.warned = nil end
  return ok, message, code
end

--- Look after what is to happen now and then: samples of the machine, sending what waits.
function Run:tick()
  if self.store.pump then self.store:pump() end
  if not self.sampler then return end
  local values, step = self.sampler:sample()
  if values then self:metrics(values, step) end
end

--- Log what the machine and this process are doing, as metrics "system/...", from now on.
---@param every? number  seconds between samples, default 1
function Run:system(every)
  check_open(self)
  self.sampler = system.sampler(every)
end

--- The name that a metric is kept under; names are looked at once.
local function key_of(self, name)
  local key = names.key("metric", names.mapped(name))
  self.keys[name] = key
  return key
end

local function note_metric(self, name, value, step, time)
  local key = self.keys[name] or key_of(self, name)
  step = step == nil and 0 or math.tointeger(step)
  if type(value) ~= "number" or not step or not math.tointeger(time) then
    names.metric { key = key, value = value, step = step or "?", timestamp = time }
  end
  local ok, message, code = self.store:note_metric(self.id, key, value, time, step)
  if not ok then told(self, ok, message, code) end
end

--- Log a metric.
---@param name string     `ndcg@10` becomes `ndcg_10`; other names that MLflow refuses are refused
---@param value number    NaN and infinities, too
---@param step? integer   default 0
---@param time? integer   ms since 1970; default now
function Run:metric(name, value, step, time)
  if self.finished then check_open(self) end
  note_metric(self, name, value, step, time or now())
end

--- Log several metrics of one step, with one time.
---@param values table<string, number>  what is no number is left out
---@param step? integer
function Run:metrics(values, step)
  check_open(self)
  local list, time = {}, now()
  for name, value in pairs(values) do
    if type(value) == "number" then list[#list + 1] = name end
  end
  table.sort(list)
  for _, name in ipairs(list) do note_metric(self, name, values[name], step, time) end
end

--- A value as a parameter's text.
local function text_of(value)
  if type(value) == "table" or math.type(value) == "float" and value - value == 0 then return json.encode(value) end
  return tostring(value)
end

--- Log a parameter, which cannot be changed later. A list or table is kept as JSON.
---@param name string
function Run:param(name, value)
  check_open(self)
  local key, text = names.param { key = names.mapped(name), value = text_of(value) }
  local old = self.given[key]
  if old and old ~= text then
    names.refuse("INVALID_PARAMETER_VALUE", "Changing param values is not allowed. Param with key='%s' was already "
      .. "logged with value='%s' for run ID='%s'. Attempted logging new value '%s'.", key, old, self.id, text)
  end
  if old then return end
  self.given[key] = text
  told(self, self.store:note_param(self.id, key, text))
end

--- Log all parameters of a table, those of groups by `group.name`.
---@param values table
function Run:params(values, prefix)
  local list = {}
  for name in pairs(values) do list[#list + 1] = name end
  table.sort(list)
  for _, name in ipairs(list) do
    local value, whole = values[name], (prefix or "") .. name
    if type(value) == "table" and value[1] == nil and next(value) ~= nil then
      self:params(value, whole .. ".")
    else
      self:param(whole, value)
    end
  end
end

--- Set a tag, in place of an earlier value.
function Run:tag(name, value)
  check_open(self)
  local key, text = names.tag { key = names.mapped(name), value = text_of(value) }
  told(self, self.store:note_tag(self.id, key, text))
end

--- Set the run's notes, Markdown.
function Run:note(text) self:tag("mlflow.note.content", text) end

--- Do something with the store that is not to stop the run when it fails.
local function attempt(self, what, fn, ...)
  check_open(self)
  local ok, problem = pcall(fn, self.store, ...)
  if ok then return true end
  if type(problem) == "table" and (problem.signal or problem.code == "INVALID_PARAMETER_VALUE") then
    error(problem, 0)
  end
  log.warn("%s is not tracked: %s", what, exit.message_of(problem))
  return nil, exit.message_of(problem), type(problem) == "table" and problem.code or "failed"
end

local function place(self, name) return self.artifact_uri .. "/" .. name end

--- Keep a text as a file of the run.
---@param name string  a path below the run's artifacts, "report/page.html"
---@param text string
function Run:text(name, text)
  return attempt(self, name, self.store.write_artifact, place(self, name), text)
end

local function put_folder(self, path, name, how)
  for _, file in ipairs(files.names(path)) do self:artifact(path .. "/" .. file, name .. "/" .. file, how) end
  return true
end

--- Keep a file, a folder, or what a value shows of itself, as files of the run.
---@param value string|table  a path; a value whose class has __artifact(value) -> bytes, ending; or a plain table,
---  which is kept as JSON
---@param name? string  a path below the run's artifacts; default: the file's own name
---@param how? string   "link" for files that nobody changes in place, see recsys.track.artifacts
function Run:artifact(value, name, how)
  if type(value) ~= "string" then
    local class = getmetatable(value)
    if type(name) ~= "string" then error("bad argument #2 to 'artifact' (a name is expected)", 2) end
    if type(class) == "table" and class.__artifact then
      local bytes, ending = class.__artifact(value)
      return self:text(name:find("%." .. ending .. "$") and name or name .. "." .. ending, bytes)
    end
    return self:text(name:find "%.json$" and name or name .. ".json", json.pretty(value))
  end
  name = name or value:match "([^/]+)/*$"
  local kind = uv.fs_stat(value)
  if kind and kind.type == "directory" then return put_folder(self, value, name, how) end
  return attempt(self, value, self.store.put_artifact, place(self, name), value, how)
end

--- Keep a published bundle, with what MLflow reads of a model beside it.
---@param path string  of the bundle
function Run:model(path)
  local file = path:match "[^/]+$"
  self:text("model/MLmodel", ("artifact_path: model\nflavors:\n  recsys_run:\n    bundle: %s\nrun_id: %s\n"
    .. "utc_time_created: '%s'\n"):format(json.encode(file), self.id, os.date "!%Y-%m-%d %H:%M:%S.000000"))
  return self:artifact(path, "model/" .. file, "link")
end

--- A data set's columns as MLflow has them.
local function schema_of(data)
  local columns, kinds = {}, { number = "double", time = "datetime", string = "string", list = "object" }
  if not data.interactions.schema then return nil end
  for _, column in ipairs(data.interactions:schema()) do
    columns[#columns + 1] = { name = column.name, type = kinds[column.type] or "object" }
  end
  return json.encode { mlflow_colspec = json.list(columns) }
end

--- Note the data set that the run works on, by its fingerprint.
---@param data Dataset
---@param context? string  "training" (default), "test", ...
function Run:dataset(data, context)
  local origin = data.origin or {}
  local uri = origin.file and origin.dir .. "/" .. origin.file or origin.dir
  local profile = { interactions = data.interactions:rows(), users = data.users:rows(), items = data.items:rows() }
  return attempt(self, "the data set", self.store.log_inputs, { run_id = self.id, datasets = { {
    dataset = { name = data.name, digest = (data.fingerprint:gsub("^xxh3:", "")):sub(1, 36),
      source_type = "local", source = json.encode { uri = uri },
      schema = schema_of(data), profile = json.encode(profile) },
    tags = { { key = "mlflow.data.context", value = context or "training" } } } } })
end

--- Begin a run below this one.
---@param options? { name?: string, tags?: table<string, string>, experiment_id?: string }
---@return Run
function Run:child(options)
  check_open(self)
  options = options or {}
  return run.start(self.store, { experiment_id = options.experiment_id or self.experiment_id,
    run_name = options.name, tags = options.tags, parent = self.id, source_name = self.source_name })
end

--- End the open runs below a run.
local function finish_those_below(self, status)
  for i = #run.open, 1, -1 do
    local one = run.open[i]
    if one and one.parent == self.id then one:finish(status) end
  end
end

local function close(self)
  self.finished = true
  for i, one in ipairs(run.open) do
    if one == self then return table.remove(run.open, i) end
  end
end

--- End the run; what waits is written first. Runs below it that are open end, too. Twice is fine.
---@param status? string  "FINISHED" (default), "FAILED" or "KILLED"
function Run:finish(status)
  if self.finished then return end
  finish_those_below(self, status)
  local kept, message = self:flush()
  close(self)
  if self.joined then return end
  local ok, problem = pcall(self.store.update_run, self.store, { run_id = self.id, status = status or "FINISHED",
    end_time = now() })
  if not ok or not kept then
    log.warn("the end of the run %s is not tracked: %s", self.name, kept and exit.message_of(problem) or message)
  end
end

--- How a run ends when 'problem' was raised.
---@return string status
function run.status_of(problem)
  if problem == nil then return "FINISHED" end
  return type(problem) == "table" and problem.signal and "KILLED" or "FAILED"
end

function Run.__close(self, problem) self:finish(run.status_of(problem)) end

--- A program that ends without a word has come to its end.
function Run.__gc(self)
  if not self.finished then pcall(self.finish, self) end
end

function Run.__tostring(self) return ("run %s (%s)"):format(self.name, self.id) end

return run

--- Runs carried from one place to another: a store, an MLflow server, a folder of files.
---
--- A place gives runs as MLflow's JSON has them, histories of metrics and files, and takes the same. Carrying a run
--- again adds what is missing and doubles nothing: a store knows the run by its id, a server by its id or the tag
--- `recsys.logged_as`, a folder by the name of the run's own. A folder holds for each run RUN/run.json,
--- RUN/metrics.jsonl and RUN/artifacts/; it comes from strangers, so what is read there goes through the store's
--- checks, and links are not followed.

local artifacts = require "recsys.track.artifacts"
local files = require "recsys.files"
local json = require "recsys.json"
local lfs = require "lfs"
local log = require "recsys.log"
local names = require "recsys.track.names"
local process = require "recsys.track.process"
local uv = require "luv"

local transfer = {}

local TAG <const>, PARENT <const> = "recsys.logged_as", "mlflow.parentRunId"
local PAGE <const> = 100

local function fail(message, code)
  if code == "away" or code == "broken" then code = "busy" end
  if code == "denied" then code = "failed" end
  error({ code = code or "failed", message = message }, 0)
end

local function whole(value) return math.tointeger(tonumber(value)) end

local function list_of(value) return type(value) == "table" and value or {} end

--- Metrics as JSON takes them: whole steps and times.
local function plain_metric(metric, key)
  return { key = metric.key or key, value = metric.value, timestamp = whole(metric.timestamp),
    step = whole(metric.step) or 0 }
end

--- The files of a folder and below, as paths relative to it; links are left out.
local function files_below(folder, prefix, list)
  list = list or {}
  for _, name in ipairs(files.names(folder)) do
    local mode, path = lfs.symlinkattributes(folder .. "/" .. name, "mode"), (prefix or "") .. name
    if mode == "directory" then files_below(folder .. "/" .. name, path .. "/", list)
    elseif mode == "file" and not files.is_unfinished(name) then list[#list + 1] = path end
  end
  return list
end

-- A store -------------------------------------------------------------------------------------------------------------

local Local = {}
Local.__index = Local

--- The place that a store is.
---@param store Store
function transfer.store(store) return setmetatable({ store = store, titles = {} }, Local) end

function Local:search(request) return self.store:search_runs(request) end

function Local:experiments()
  return self.store:experiments()
end

function Local:run(id) return self.store:run(id) end

function Local:title(id)
  self.titles[id] = self.titles[id] or self.store:experiment(id).name
  return self.titles[id]
end

function Local:history(id, key) return (self.store:metric_history { run_id = id, metric_key = key }) end

local function home_of(run) return artifacts.of(run.info.artifact_uri or "") end

--- The run's files: { path = relative, file = where it lies }.
function Local:files(run)
  local home, list = home_of(run), {}
  if not home then return list end
  local folder = artifacts.path(self.store.folder, home)
  for _, path in ipairs(files_below(folder)) do list[#list + 1] = { path = path, file = folder .. "/" .. path } end
  return list
end

--- Make the run where there is none of its id; the run as it is there.
function Local:begin(run, title)
  local id = run.info.run_id
  local ok, found = pcall(self.store.run, self.store, id)
  if ok then return found, true end
  local tags = {}
  for _, tag in ipairs(run.data.tags or {}) do
    if tag.key ~= process.tag and tag.key ~= TAG then tags[#tags + 1] = tag end
  end
  return self.store:create_run { run_id = id, experiment_id = self.store:ensure_experiment(title), tags = tags,
    run_name = run.info.run_name, user_id = run.info.user_id, start_time = whole(run.info.start_time) }, false
end

function Local:log(id, batch)
  batch.run_id = id
  self.store:log_batch(batch)
end

function Local:inputs(id, inputs) self.store:log_inputs { run_id = id, datasets = inputs } end

function Local:put(run, path, file)
  artifacts.put(self.store.folder, home_of(run) .. "/" .. artifacts.checked(path), file)
end

function Local:finish(id, info)
  self.store:update_run { run_id = id, status = info.status, end_time = whole(info.end_time) }
end

-- A server ------------------------------------------------------------------------------------------------------------

local Server = {}
Server.__index = Server

--- The place that an MLflow server is.
---@param wire Wire
function transfer.server(wire)
  return setmetatable({ wire = wire, titles = {}, experiment_ids = {}, run_ids = {} }, Server)
end

function Server:call(...)
  local answer, message, code = self.wire:call(...)
  return answer or fail(message, code)
end

function Server:search(request) return self:call("POST", "runs/search", request) end

function Server:experiments()
  local list, token = {}, nil
  repeat
    local answer = self:call("POST", "experiments/search", { max_results = 1000, page_token = token })
    table.move(answer.experiments or {}, 1, #(answer.experiments or {}), #list + 1, list)
    token = answer.next_page_token
  until not token or token == ""
  return list
end

function Server:run(id) return self:call("GET", "runs/get", { run_id = id }).run end

function Server:title(id)
  if not self.titles[id] then
    self.titles[id] = self:call("GET", "experiments/get", { experiment_id = id }).experiment.name
  end
  return self.titles[id]
end

function Server:history(id, key)
  local list, token = {}, nil
  repeat
    local answer = self:call("GET", "metrics/get-history", { run_id = id, metric_key = key, max_results = 25000,
      page_token = token })
    for _, metric in ipairs(answer.metrics or {}) do list[#list + 1] = plain_metric(metric, key) end
    token = answer.next_page_token
  until not token or token == ""
  return list
end

local function list_artifacts(self, id, path, list)
  for _, entry in ipairs(self:call("GET", "artifacts/list", { run_id = id, path = path }).files or {}) do
    if entry.is_dir then
      list_artifacts(self, id, entry.path, list)
    else
      list[#list + 1] = artifacts.checked(entry.path)
    end
  end
  return list
end

--- The run's files, each fetched when it is asked for.
function Server:files(run)
  local list = {}
  for _, path in ipairs(list_artifacts(self, run.info.run_id, nil, {})) do
    list[#list + 1] = { path = path, fetch = function(into)
      local ok, message, code = self.wire:get_file(run.info.artifact_uri .. "/" .. path, into)
      if not ok then fail(message, code) end
    end }
  end
  return list
end

--- The run of that id, or that was logged under it, in the experiment of that title or in any; nil where there is none.
local function find(self, id, title)
  local known, message, code = self.wire:call("GET", "runs/get", { run_id = id })
  if known then return known.run end
  if code == "away" or code == "denied" or code == "broken" then fail(message, code) end
  local experiments = { title and self:experiment(title) }
  for i, experiment in ipairs(title and {} or self:experiments()) do experiments[i] = experiment.experiment_id end
  if #experiments == 0 then return nil end
  local found = self:search { experiment_ids = experiments, run_view_type = "ALL", max_results = 1,
    filter = ("tags.`%s` = '%s'"):format(TAG, id) }
  return found.runs and found.runs[1]
end

--- What a run is called here, whoever carried it; nil while it is not here.
function Server:id_of(id)
  if not self.run_ids[id] then
    local run = not id:find "[^%w_%-]" and find(self, id)
    self.run_ids[id] = run and run.info.run_id or nil
  end
  return self.run_ids[id]
end

local function experiment_of(self, title)
  if self.experiment_ids[title] then return self.experiment_ids[title] end
  local answer, message, code = self.wire:call("GET", "experiments/get-by-name", { experiment_name = title })
  if not answer and code ~= "RESOURCE_DOES_NOT_EXIST" then fail(message, code) end
  self.experiment_ids[title] = answer and answer.experiment.experiment_id
    or self:call("POST", "experiments/create", { name = title }).experiment_id
  return self.experiment_ids[title]
end

--- The id of the experiment of that name, which is made when there is none.
function Server:experiment(title) return experiment_of(self, title) end

--- Whether a tag is a list of models that an MLflow server would cut.
local function is_long(tag)
  return tag.key == names.models and #tag.value > names.limits.tag
end

function Server:begin(run, title)
  local id = run.info.run_id
  local known = find(self, id, title)
  if known then return known, true end
  local tags = { { key = TAG, value = id } }
  for _, tag in ipairs(run.data.tags or {}) do
    local later = tag.key == PARENT or is_long(tag)
    if tag.key ~= process.tag and tag.key ~= TAG and not later then tags[#tags + 1] = tag end
  end
  return self:call("POST", "runs/create", { experiment_id = self:experiment(title), run_name = run.info.run_name,
    user_id = run.info.user_id, start_time = whole(run.info.start_time), tags = tags }).run, false
end

--- Log what the list of a run's models has more than the run there, model by model, as far as the server takes it:
--- MLflow 2.9 has room for 5,000 characters.
local function log_models(self, id, text)
  local known, list = {}, list_of(json.decode(text))
  for _, tag in ipairs(self:run(id).data.tags or {}) do
    if tag.key == names.models then known = list_of(json.decode(tag.value)) end
  end
  for i = #known + 1, #list do
    local answer, message, code = self.wire:call("POST", "runs/log-model", { run_id = id,
      model_json = json.encode(list[i]) })
    if code == "INVALID_PARAMETER_VALUE" then
      return log.warn("the list of the models of run %s has %d of %d there: %s", id, i - 1, #list, message:sub(1, 100))
    end
    if not answer then fail(message, code) end
  end
end

function Server:log(id, batch)
  local tags = {}
  for _, tag in ipairs(batch.tags or {}) do
    if is_long(tag) then log_models(self, id, tag.value) else tags[#tags + 1] = tag end
  end
  batch.run_id, batch.tags = id, #tags > 0 and tags or nil
  if batch.tags or batch.metrics or batch.params then self:call("POST", "runs/log-batch", batch) end
end

function Server:inputs(id, inputs) self:call("POST", "runs/log-inputs", { run_id = id, datasets = inputs }) end

function Server:put(run, path, file)
  local ok, message, code = self.wire:put_file(run.info.artifact_uri .. "/" .. path, file)
  if not ok then fail(message, code) end
end

function Server:finish(id, info)
  self:call("POST", "runs/update", { run_id = id, status = info.status, end_time = whole(info.end_time) })
end

-- A folder ------------------------------------------------------------------------------------------------------------

local Folder = {}
Folder.__index = Folder

--- The place that a folder of exported runs is.
---@param path string
function transfer.folder(path) return setmetatable({ path = path }, Folder) end

--- The ids of the runs that lie there.
---@return string[]
function Folder:ids()
  local list = {}
  for _, name in ipairs(files.names(self.path)) do
    if files.exists(("%s/%s/run.json"):format(self.path, name)) then list[#list + 1] = name end
  end
  return list
end

local function of_run(self, id, name) return ("%s/%s/%s"):format(self.path, names.run_id(id), name) end

function Folder:run(id)
  local path = of_run(self, id, "run.json")
  local bytes, message = files.read(path)
  if not bytes then fail(message, "io") end
  local run = json.decode(bytes)
  if type(run) ~= "table" or type(run.info) ~= "table" or run.info.run_id ~= id or type(run.experiment) ~= "string" then
    fail(path .. ": this is no exported run of that id", "format")
  end
  run.data, run.inputs = list_of(run.data), list_of(run.inputs)
  return run
end

function Folder.title(_, _, run) return run.experiment end

--- All metrics of the run, whatever their name.
function Folder:all_metrics(id)
  local list, path = {}, of_run(self, id, "metrics.jsonl")
  local reader = io.open(path, "rb")
  if not reader then return list end
  local number = 0
  for line in reader:lines() do
    number = number + 1
    local metric = json.decode(line)
    if type(metric) ~= "table" then
      reader:close()
      fail(("%s:%d: this is no metric"):format(path, number), "format")
    end
    list[number] = plain_metric(metric)
  end
  reader:close()
  return list
end

function Folder:files(run)
  local folder, list = of_run(self, run.info.run_id, "artifacts"), {}
  for _, path in ipairs(files_below(folder)) do list[#list + 1] = { path = path, file = folder .. "/" .. path } end
  return list
end

function Folder:begin(run, title)
  local id = run.info.run_id
  files.make_folder(self.path .. "/" .. id)
  self.writing = { info = run.info, data = { params = run.data.params, tags = run.data.tags }, inputs = run.inputs,
    experiment = title }
  self.metrics = {}
  return run, files.exists(of_run(self, id, "run.json"))
end

function Folder:log(_, batch)
  for _, metric in ipairs(batch.metrics or {}) do self.metrics[#self.metrics + 1] = json.encode(metric) .. "\n" end
end

function Folder.inputs() end

function Folder:put(run, path, file)
  local place = of_run(self, run.info.run_id, "artifacts/" .. artifacts.checked(path))
  files.make_folder((place:match "^(.*)/[^/]+$"))
  local ok, message = uv.fs_copyfile(file, place, { ficlone = true })
  if not ok then fail(("cannot write %s: %s"):format(place, message), "io") end
end

function Folder:finish(id)
  files.write(of_run(self, id, "metrics.jsonl"), table.concat(self.metrics))
  files.write(of_run(self, id, "run.json"), json.pretty(self.writing))
end

-- Carrying ------------------------------------------------------------------------------------------------------------

--- A run's tags as they are for the other place; on a server the parent, once that is there, by its name there.
local function tags_for(to, tags)
  local list = {}
  for _, tag in ipairs(tags) do
    local parent = tag.key == PARENT and to.id_of and to:id_of(tag.value)
    if parent then
      list[#list + 1] = { key = PARENT, value = parent }
    elseif tag.key ~= process.tag and tag.key ~= TAG and tag.key ~= PARENT then
      list[#list + 1] = tag
    end
  end
  return list
end

--- Carry what was logged, in batches that MLflow takes.
local function carry_values(from, to, run, id)
  local n, limits = 0, names.limits
  for part in names.parts(run.data.params or {}, limits.batch_params) do to:log(id, { params = part }) end
  for part in names.parts(tags_for(to, run.data.tags or {}), limits.batch_tags) do to:log(id, { tags = part }) end
  local function send(list)
    for part in names.parts(list, limits.batch_metrics) do
      for i, metric in ipairs(part) do part[i] = plain_metric(metric) end
      to:log(id, { metrics = part })
      n = n + #part
    end
  end
  if from.all_metrics then send(from:all_metrics(run.info.run_id)) return n end
  for _, latest in ipairs(run.data.metrics or {}) do send(from:history(run.info.run_id, latest.key)) end
  return n
end

--- Carry one file.
local function carry_file(to, target, entry)
  local fetched <close> = setmetatable({ path = entry.fetch and os.tmpname() },
    { __close = function(self) if self.path then os.remove(self.path) end end })
  if entry.fetch then entry.fetch(fetched.path) end
  to:put(target, entry.path, fetched.path or entry.file)
end

--- Whether what was raised is said of the thing at hand alone: neither is the other place away, nor does the program
--- end.
---@return boolean
function transfer.is_refusal(problem)
  return type(problem) == "table" and problem.code ~= nil and not problem.signal and not problem.traceback
    and problem.code ~= "busy"
end

--- Carry the run's files: how many, and those that cannot be carried with the reason, which stop no others.
local function carry_files(from, to, run, target)
  local n, refused = 0, {}
  local function attempt(path, fn, ...)
    local ok, problem = pcall(fn, ...)
    if ok then return problem or true end
    if not transfer.is_refusal(problem) then error(problem, 0) end
    refused[#refused + 1] = { path = path, message = problem.message }
  end
  for _, entry in ipairs(attempt("artifacts", from.files, from, run) or {}) do
    if attempt(entry.path, carry_file, to, target, entry) then n = n + 1 end
  end
  return n, refused
end

--- Carry one run. What the other place has of it stays, and is completed. The run ends there as it did here, whatever
--- becomes of its files.
---@param from table  a place
---@param to table    another
---@param id string
---@return { id: string, from: string, name: string, metrics: integer, files: integer, known: boolean,
---  refused: { path: string, message: string }[] }
---   id: what the run is called there; refused: files that are not there, and why
function transfer.copy(from, to, id)
  local run = from:run(id)
  local target, known = to:begin(run, from:title(run.info.experiment_id, run))
  local there = target.info.run_id
  if to.run_ids then to.run_ids[id] = there end
  local metrics = carry_values(from, to, run, there)
  local inputs = run.inputs and run.inputs.dataset_inputs
  if inputs and #inputs > 0 then to:inputs(there, inputs) end
  local n, refused = carry_files(from, to, run, target)
  to:finish(there, run.info)
  return { id = there, from = id, name = run.info.run_name, metrics = metrics, files = n, known = known,
    refused = json.list(refused) }
end

--- The ids of all runs that meet a filter, in all experiments or the one of that name, parents before their children.
---@param place table  a store or a server
---@param options { experiment?: string, filter?: string, view?: string }
---@return string[]
function transfer.find(place, options)
  local experiments, ids, token = {}, {}, nil
  for _, experiment in ipairs(place:experiments()) do
    if not options.experiment or experiment.name == options.experiment then
      experiments[#experiments + 1] = experiment.experiment_id
    end
  end
  if #experiments == 0 then return ids end
  repeat
    local answer = place:search { experiment_ids = experiments, filter = options.filter, max_results = PAGE,
      run_view_type = options.view, order_by = { "attributes.start_time ASC" }, page_token = token }
    for _, run in ipairs(answer.runs or {}) do ids[#ids + 1] = run.info.run_id end
    token = answer.next_page_token
  until not token or token == ""
  return ids
end

return transfer

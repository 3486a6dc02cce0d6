--- The tracking store: experiments, runs, parameters, metrics, tags and datasets in FOLDER/mlflow.db.
---
--- One function an operation of MLflow's, with its words: what it takes and gives are the tables of MLflow's JSON
--- (recsys.track.rows). What it refuses it raises as { code, message } with MLflow's error code; the database's own
--- refusals have the codes of recsys.sql ("busy", "io", ...). Each operation is one transaction. Many processes may
--- write at once, MLflow among them. What note_metric, note_param and note_tag take is written soon, by a thread; what
--- follows on the same store sees it.

local artifacts = require "recsys.track.artifacts"
local clock = require "recsys.clock"
local files = require "recsys.files"
local names = require "recsys.track.names"
local process = require "recsys.track.process"
local rows = require "recsys.track.rows"
local schema = require "recsys.track.schema"
local uv = require "luv"
local words = require "recsys.track.words"

local store = {}

local Store = { __name = "recsys.Store" }
Store.__index = Store
store.Store = Store

local refuse = names.refuse

store.now = clock.now
local now = clock.now

--- 32 hexadecimal digits that nobody else has.
---@return string
function store.new_id()
  return (uv.random(16):gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

--- Open the store of a folder, made when it is not there. Runs whose process is gone are marked KILLED.
---@param folder? string   default "artifacts"
---@param options? { read_only?: boolean, busy_ms?: integer }
---@return Store           raises { code, message } when it cannot be opened
function store.open(folder, options)
  folder, options = folder or "artifacts", options or {}
  if not options.read_only then files.make_folder(folder) end
  local path = folder .. "/mlflow.db"
  local db = schema.open(path, options)
  local self = setmetatable({ db = db, folder = folder, path = path, read_only = options.read_only,
    has_outputs = schema.columns(db, "inputs").step ~= nil, reaped = 0 }, Store)
  self:reap()
  return self
end

function Store:close() self.db:close() end
Store.__close = Store.close

-- Experiments ----------------------------------------------------------------------------------------------------

local function tags_of_experiments(self, ids)
  local found = {}
  for row in self.db:each("SELECT experiment_id, key, value FROM experiment_tags WHERE experiment_id IN "
    .. "(SELECT value FROM json_each(?)) ORDER BY rowid", { rows.list(ids) }) do
    local list = found[row.experiment_id] or {}
    list[#list + 1], found[row.experiment_id] = { key = row.key, value = row.value or "" }, list
  end
  return found
end

--- Rows of the table of experiments as experiments.
---@param list table[]
---@return table[]
function Store:shown_experiments(list)
  local ids = {}
  for i, row in ipairs(list) do ids[i] = row.experiment_id end
  local tags, shown = tags_of_experiments(self, ids), {}
  for i, row in ipairs(list) do shown[i] = rows.experiment(row, tags[row.experiment_id]) end
  return shown
end

local function experiment_row(self, id)
  local number = names.experiment_id(id)
  local row = self.db:row("SELECT * FROM experiments WHERE experiment_id = ?", { number })
  return row or refuse("RESOURCE_DOES_NOT_EXIST", "No Experiment with id=%d exists", number)
end

local function active_experiment(self, id)
  local row = experiment_row(self, id)
  if row.lifecycle_stage ~= "active" then
    refuse("INVALID_PARAMETER_VALUE", "The experiment %d must be in the 'active' state. Current state is %s.",
      row.experiment_id, row.lifecycle_stage)
  end
  return row
end

--- An experiment, deleted or not.
---@param id string
function Store:experiment(id)
  return self:shown_experiments({ experiment_row(self, id) })[1]
end

--- The experiment of that name, deleted or not. Raises "RESOURCE_DOES_NOT_EXIST".
function Store:experiment_by_name(name)
  names.experiment(name)
  local row = self.db:row("SELECT * FROM experiments WHERE name = ?", { name })
  return row and self:shown_experiments({ row })[1]
    or refuse("RESOURCE_DOES_NOT_EXIST", "Could not find experiment with name '%s'", name)
end

--- All experiments, the youngest first.
---@param view? string  "ACTIVE_ONLY" (default), "DELETED_ONLY" or "ALL"
function Store:experiments(view)
  local stages = rows.list(store.stages(view))
  return self:shown_experiments(self.db:rows("SELECT * FROM experiments WHERE lifecycle_stage IN "
    .. "(SELECT value FROM json_each(?)) ORDER BY creation_time DESC, experiment_id", { stages }))
end

local views = { ACTIVE_ONLY = { "active" }, DELETED_ONLY = { "deleted" }, ALL = { "active", "deleted" } }

--- The stages of life that a view shows.
---@return string[]
function store.stages(view)
  return views[view or "ACTIVE_ONLY"]
    or refuse("INVALID_PARAMETER_VALUE", "Invalid view type '%s'; it is ACTIVE_ONLY, DELETED_ONLY or ALL",
      tostring(view))
end

local function put_experiment_tag(self, id, tag)
  local key, value = names.experiment_tag(tag)
  self.db:run("INSERT INTO experiment_tags (key, value, experiment_id) VALUES (?, ?, ?) "
    .. "ON CONFLICT (key, experiment_id) DO UPDATE SET value = excluded.value", { key, value, id })
end

local function check_free(self, name)
  if self.db:row("SELECT 1 FROM experiments WHERE name = ?", { name }) then
    refuse("RESOURCE_ALREADY_EXISTS", "Experiment(name=%s) already exists.", name)
  end
end

--- Make an experiment.
---@param request { name: string, artifact_location?: string, tags?: { key: string, value: string }[] }
---@return string id
function Store:create_experiment(request)
  local name, location = names.experiment(request.name), request.artifact_location
  if location then names.limited("Artifact location", location, 256) end
  return self.db:transaction(function()
    check_free(self, name)
    local id = self.db:row("SELECT max(experiment_id) AS id FROM experiments").id
    id = id and id + 1 or 0
    self.db:run("INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, "
      .. "last_update_time) VALUES (:id, :name, :location, 'active', :now, :now)", { id = id, name = name, now = now(),
      location = location ~= "" and location or ("mlflow-artifacts:/%d"):format(id) })
    for _, tag in ipairs(request.tags or {}) do put_experiment_tag(self, id, tag) end
    return ("%d"):format(id)
  end)
end

--- The id of the experiment of that name, which is made when there is none.
---@return string id
function Store:ensure_experiment(name)
  names.experiment(name)
  return self.db:transaction(function()
    local row = self.db:row("SELECT experiment_id, lifecycle_stage FROM experiments WHERE name = ?", { name })
    if not row then return self:create_experiment { name = name } end
    if row.lifecycle_stage ~= "active" then
      refuse("INVALID_PARAMETER_VALUE", "Cannot log to the deleted experiment '%s'. Restore it, or take another name.",
        name)
    end
    return ("%d"):format(row.experiment_id)
  end)
end

--- Rename an experiment.
function Store:update_experiment(id, new_name)
  if new_name ~= nil then names.experiment(new_name) end
  self.db:transaction(function()
    local row = experiment_row(self, id)
    if row.lifecycle_stage ~= "active" then refuse("INVALID_STATE", "Cannot rename a non-active experiment.") end
    if new_name == nil or new_name == row.name then return end
    check_free(self, new_name)
    self.db:run("UPDATE experiments SET name = ?, last_update_time = ? WHERE experiment_id = ?",
      { new_name, now(), row.experiment_id })
  end)
end

--- Move an experiment and its runs from one stage to the other.
local function move_experiment(self, id, from, to)
  self.db:transaction(function()
    local row, time = experiment_row(self, id), now()
    if row.lifecycle_stage ~= from then
      refuse("RESOURCE_DOES_NOT_EXIST", "No Experiment with id=%d exists", row.experiment_id)
    end
    self.db:run("UPDATE experiments SET lifecycle_stage = ?, last_update_time = ? WHERE experiment_id = ?",
      { to, time, row.experiment_id })
    self.db:run("UPDATE runs SET lifecycle_stage = ?, deleted_time = ? WHERE experiment_id = ? AND lifecycle_stage = ?",
      { to, to == "deleted" and time or nil, row.experiment_id, from })
  end)
end

--- Mark an experiment and its runs as deleted.
function Store:delete_experiment(id) move_experiment(self, id, "active", "deleted") end

--- Take an experiment and its runs back.
function Store:restore_experiment(id) move_experiment(self, id, "deleted", "active") end

function Store:set_experiment_tag(id, key, value)
  self.db:transaction(function()
    put_experiment_tag(self, active_experiment(self, id).experiment_id, { key = key, value = value })
  end)
end

function Store:delete_experiment_tag(id, key)
  self.db:transaction(function()
    local number = active_experiment(self, id).experiment_id
    if self.db:run("DELETE FROM experiment_tags WHERE experiment_id = ? AND key = ?", { number, key or "" }) == 0 then
      refuse("RESOURCE_DOES_NOT_EXIST", "No tag with name: %s in experiment with id %d", tostring(key), number)
    end
  end)
end

-- Runs -----------------------------------------------------------------------------------------------------------

local function run_row(self, id)
  return self.db:row("SELECT * FROM runs WHERE run_uuid = ?", { names.run_id(id) })
    or refuse("RESOURCE_DOES_NOT_EXIST", "Run with id=%s not found", id)
end

local function active_run(self, id)
  local row = run_row(self, id)
  if row.lifecycle_stage ~= "active" then
    refuse("INVALID_PARAMETER_VALUE", "The run %s must be in the 'active' state. Current state is %s.", id,
      row.lifecycle_stage)
  end
  return row
end

--- Runs by their ids, in that order; ids of no run are left out.
---@param ids string[]
---@param written? table  for answers: how metrics, parameters and tags are written (rows.runs)
---@return table[]
function Store:runs(ids, written)
  self:reap()
  return rows.runs(self.db, ids, self.has_outputs, written)
end

--- A run with its latest metrics, parameters, tags and inputs, deleted or not.
---@param id string
function Store:run(id)
  return self:runs({ names.run_id(id) })[1] or refuse("RESOURCE_DOES_NOT_EXIST", "Run with id=%s not found", id)
end

-- A tag, ?1 = ?2 of the run ?3; one of them is the run's name.
local PUT_TAG <const> = {
  "INSERT INTO tags (key, value, run_uuid) VALUES (?1, ?2, ?3) "
    .. "ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value",
  "UPDATE runs SET name = ?2 WHERE run_uuid = ?3 AND ?1 = 'mlflow.runName'" }

local function put_tag(self, id, tag)
  local key, value = names.tag(tag)
  for _, statement in ipairs(PUT_TAG) do self.db:run(statement, { key, value, id }) end
end

local statuses = { RUNNING = true, SCHEDULED = true, FINISHED = true, FAILED = true, KILLED = true }

local function check_status(status)
  if not statuses[status] then refuse("INVALID_PARAMETER_VALUE", "Invalid run status '%s'.", tostring(status)) end
  return status
end

local function check_time(what, value)
  local time = names.integer(value)
  if not time or time < 0 then
    refuse("INVALID_PARAMETER_VALUE", "Got invalid value '%s' for '%s': milliseconds since 1970 are expected.",
      tostring(value), what)
  end
  return time
end

--- The tags of a new run, with its name among them.
local function named_tags(request)
  local tags, name = {}, request.run_name ~= "" and request.run_name or nil
  for _, tag in ipairs(request.tags or {}) do
    if tag.key == "mlflow.runName" then
      if name and name ~= tag.value then
        refuse("INVALID_PARAMETER_VALUE", "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with "
          .. "different values (run_name='%s', mlflow.runName='%s').", name, tostring(tag.value))
      end
      name = tag.value
    else
      tags[#tags + 1] = tag
    end
  end
  name = name or words.name()
  tags[#tags + 1] = { key = "mlflow.runName", value = names.limited("Run name", name, 250, true) }
  return tags, tags[#tags].value
end

local source_types = { NOTEBOOK = true, JOB = true, PROJECT = true, LOCAL = true, UNKNOWN = true }

--- What a new run's source is: its type, name and version.
local function source_of(request)
  local kind, limits = request.source_type or "UNKNOWN", names.limits
  if not source_types[kind] then
    refuse("INVALID_PARAMETER_VALUE", "Invalid source_type '%s': it is NOTEBOOK, JOB, PROJECT, LOCAL or UNKNOWN.",
      (tostring(kind):sub(1, 40):gsub("%c", "?")))
  end
  return kind, names.limited("Source name", request.source_name or "", limits.source_name),
    names.limited("Source version", request.source_version or "", limits.source_version)
end

--- Make a run, RUNNING.
---@param request { experiment_id: string, run_name?: string, user_id?: string, start_time?: integer, tags?: table[],
---  run_id?: string, source_type?: string, source_name?: string, source_version?: string }
---   run_id: 32 hexadecimal digits, for runs that come from elsewhere; default: new ones
---@return table run
function Store:create_run(request)
  local tags, name = named_tags(request)
  local id = request.run_id and names.run_id(request.run_id) or store.new_id()
  local start = request.start_time and check_time("start_time", request.start_time) or now()
  local source_type, source_name, source_version = source_of(request)
  self.db:transaction(function()
    local experiment = active_experiment(self, request.experiment_id)
    if self.db:row("SELECT 1 FROM runs WHERE run_uuid = ?", { id }) then
      refuse("RESOURCE_ALREADY_EXISTS", "Run with id=%s already exists.", id)
    end
    self.db:run("INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, "
      .. "start_time, source_version, lifecycle_stage, artifact_uri, experiment_id) VALUES (:id, :name, :type, "
      .. ":source, '', :user, 'RUNNING', :start, :version, 'active', :uri, :experiment)", { id = id, name = name,
      type = source_type, source = source_name,
      user = names.limited("User id", request.user_id or "", 256), start = start,
      version = source_version, experiment = experiment.experiment_id,
      uri = ("%s/%s/artifacts"):format(experiment.artifact_location:gsub("/+$", ""), id) })
    for _, tag in ipairs(tags) do put_tag(self, id, tag) end
  end)
  return self:run(id)
end

--- Change a run's status, end or name; what is absent stays.
---@param request { run_id: string, status?: string, end_time?: integer, run_name?: string, process?: string }
---   process: which is at work on it from now on
---@return table info
function Store:update_run(request)
  local id = request.run_id
  return self.db:transaction(function()
    active_run(self, id)
    if request.status then
      self.db:run("UPDATE runs SET status = ? WHERE run_uuid = ?", { check_status(request.status), id })
      if request.status ~= "RUNNING" then
        self.db:run("DELETE FROM tags WHERE run_uuid = ? AND key = ?", { id, process.tag })
      end
    end
    if request.process then put_tag(self, id, { key = process.tag, value = request.process }) end
    if request.end_time then
      self.db:run("UPDATE runs SET end_time = ? WHERE run_uuid = ?", { check_time("end_time", request.end_time), id })
    end
    if request.run_name and request.run_name ~= "" then
      put_tag(self, id, { key = "mlflow.runName", value = names.limited("Run name", request.run_name, 250, true) })
    end
    return rows.info(run_row(self, id))
  end)
end

local function move_run(self, id, stage, time)
  self.db:transaction(function()
    run_row(self, id)
    self.db:run("UPDATE runs SET lifecycle_stage = ?, deleted_time = ? WHERE run_uuid = ?", { stage, time, id })
  end)
end

--- Mark a run as deleted.
function Store:delete_run(id) move_run(self, id, "deleted", now()) end

--- Take a run back.
function Store:restore_run(id) move_run(self, id, "active", nil) end

--- The parameters that a run was given so far: key -> value.
---@return table<string, string>
function Store:known_params(id)
  local known = {}
  for _, param in ipairs(self:run(id).data.params or {}) do known[param.key] = param.value end
  return known
end

--- Mark a run KILLED whose process is gone, unless another has gone on with it meanwhile.
local function mark_killed(self, id, name)
  local gone = { id = id, key = process.tag, name = name }
  if self.db:run("DELETE FROM tags WHERE run_uuid = :id AND key = :key AND value = :name", gone) == 0 then return end
  self.db:run("UPDATE runs SET status = 'KILLED', end_time = coalesce((SELECT max(timestamp) FROM latest_metrics "
    .. "WHERE run_uuid = :id), start_time) WHERE run_uuid = :id AND status = 'RUNNING'", { id = id })
end

--- Remove the artifacts of a run that its process, which is gone, has left half-written.
local function sweep_artifacts(self, id, name)
  local pid = name:match "^%S+ %S+ (%d+) "
  local row = pid and self.db:row("SELECT artifact_uri FROM runs WHERE run_uuid = ?", { id })
  local place = row and artifacts.of(row.artifact_uri or "")
  if place then pcall(artifacts.sweep, self.folder, place, pid) end
end

--- Mark runs KILLED whose process has ended without a word; asked for again within a second it does nothing. Their end
--- is their last metric, which is all that is known of it.
function Store:reap()
  if self.read_only or uv.hrtime() - self.reaped < 1e9 and self.reaped > 0 then return end
  self.reaped = uv.hrtime()
  local gone = {}
  for row in self.db:each("SELECT run_uuid, value FROM tags WHERE key = ?", { process.tag }) do
    if process.is_gone(row.value or "") then gone[#gone + 1] = row end
  end
  if #gone == 0 then return end
  for _, row in ipairs(gone) do sweep_artifacts(self, row.run_uuid, row.value) end
  self.db:transaction(function()
    for _, row in ipairs(gone) do mark_killed(self, row.run_uuid, row.value) end
  end)
end

--- The runs that meet a filter, in order, one page of them (recsys.track.filter).
---@param request recsys.track.Search
---@param written? table  as of Store:runs
---@return { runs: table[], next_page_token?: string }
function Store:search_runs(request, written)
  self:reap()
  local ids, token = require("recsys.track.filter").runs(self.db, request)
  return { runs = self:runs(ids, written), next_page_token = token }
end

--- The experiments that meet a filter, in order, one page of them.
---@param request recsys.track.Search
---@return { experiments: table[], next_page_token?: string }
function Store:search_experiments(request)
  local ids, token = require("recsys.track.filter").experiments(self.db, request)
  local found, list = {}, {}
  for row in self.db:each("SELECT * FROM experiments WHERE experiment_id IN (SELECT value FROM json_each(?))",
    { rows.list(ids) }) do
    found[row.experiment_id] = row
  end
  for i, id in ipairs(ids) do list[i] = found[id] end
  return { experiments = self:shown_experiments(list), next_page_token = token }
end

-- What runs log --------------------------------------------------------------------------------------------------

local function put_param(self, id, param)
  local key, value = names.param(param)
  if self.db:run("INSERT OR IGNORE INTO params (key, value, run_uuid) VALUES (?, ?, ?)", { key, value, id }) == 1 then
    return
  end
  local old = self.db:row("SELECT value FROM params WHERE key = ? AND run_uuid = ?", { key, id }).value
  if old ~= value then return { key = key, old = old, new = value } end
end

-- A metric ?1 with the value ?2 at the time ?3 and step ?4, ?5 whether it is NaN, of the run ?6. The latest of each
-- name, by step, time and value, is kept apart, where tables of runs are read from.
local PUT_METRIC <const> = {
  "INSERT OR IGNORE INTO metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
  "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES (?1, ?2, ?3, ?4, ?5, ?6) "
    .. "ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value, timestamp = excluded.timestamp, "
    .. "step = excluded.step, is_nan = excluded.is_nan WHERE (excluded.step, excluded.timestamp, excluded.value) > "
    .. "(latest_metrics.step, latest_metrics.timestamp, latest_metrics.value)" }

--- Put metrics that names.metric has looked at: { key, value, timestamp, step }.
local function put_metrics(self, id, metrics)
  local latest, order = {}, {}
  for _, metric in ipairs(metrics) do
    local key, timestamp, step = metric[1], metric[3], metric[4]
    local value, is_nan = names.kept(metric[2])
    self.db:run(PUT_METRIC[1], { key, value, timestamp, step, is_nan, id })
    local best = latest[key]
    if not best then
      best = { key, value, timestamp, step, is_nan, id }
      latest[key], order[#order + 1] = best, best
    elseif step > best[4] or step == best[4] and (timestamp > best[3] or timestamp == best[3] and value > best[2]) then
      best[2], best[3], best[4], best[5] = value, timestamp, step, is_nan
    end
  end
  for _, best in ipairs(order) do self.db:run(PUT_METRIC[2], best) end
end

--- Log soon a value of a metric that names.metric has looked at.
---@return boolean? done  nil, message, code: what the store has met since this was last told
function Store:note_metric(id, key, value, timestamp, step)
  local kept, is_nan = names.kept(value)
  return self.db:later(PUT_METRIC, key, kept, timestamp, step, is_nan, id)
end

--- Log soon a parameter that names.param has looked at. Where it is there with another value it is left out, for there
--- cannot be none.
function Store:note_param(id, key, value)
  return self.db:later("INSERT INTO params (key, value, run_uuid) VALUES (?1, ?2, ?3) ON CONFLICT (key, run_uuid) "
    .. "DO UPDATE SET value = iif(value = excluded.value, value, NULL)", key, value, id)
end

--- Log soon a tag that names.tag has looked at.
function Store:note_tag(id, key, value) return self.db:later(PUT_TAG, key, value, id) end

--- Wait until what was noted is in the database.
---@return boolean? done  nil, message, code when it cannot be written
function Store:flush()
  local ok, message, code = self.db:flush()
  if code == "constraint" then message = message:gsub("NOT NULL .*params%.value", "a parameter has another value") end
  return ok, message, code
end

local function quoted(value) return "'" .. value:gsub("['\\]", "\\%0") .. "'" end

local function refuse_changed(id, changed)
  if #changed == 0 then return end
  local said = {}
  for i, one in ipairs(changed) do
    said[i] = ("{'key': %s, 'old_value': %s, 'new_value': %s}"):format(quoted(one.key), quoted(one.old),
      quoted(one.new))
  end
  refuse("INVALID_PARAMETER_VALUE", "Changing param values is not allowed. Params were already logged='[%s]' for run "
    .. "ID='%s'.", table.concat(said, ", "), id)
end

--- Log what names.metric, names.param and names.tag would take, of any number, in one transaction.
---@param id string
---@param metrics { [1]: string, [2]: number, [3]: integer, [4]: integer }[]  key, value, timestamp, step
---@param params { key: string, value: string }[]
---@param tags { key: string, value: string }[]
function Store:log(id, metrics, params, tags)
  self.db:transaction(function()
    active_run(self, id)
    local changed = {}
    for _, param in ipairs(params) do changed[#changed + 1] = put_param(self, id, param) end
    refuse_changed(id, changed)
    for _, tag in ipairs(tags) do put_tag(self, id, tag) end
    put_metrics(self, id, metrics)
  end)
end

local function read_metrics(metrics)
  local read, time = {}, now()
  for i, metric in ipairs(metrics) do read[i] = { names.metric(metric, time) } end
  return read
end

--- Log metrics, parameters and tags of a run, all or none of them.
---@param request { run_id: string, metrics?: table[], params?: table[], tags?: table[] }
function Store:log_batch(request)
  local id, metrics, params = names.run_id(request.run_id), request.metrics or {}, request.params or {}
  names.batch(metrics, params, request.tags or {})
  self:log(id, read_metrics(metrics), params, request.tags or {})
end

--- Log one value of a metric.
---@param request { run_id: string, key: string, value: number|string, timestamp?: integer, step?: integer }
function Store:log_metric(request)
  self:log(names.run_id(request.run_id), read_metrics { request }, {}, {})
end

--- Log a parameter, which cannot be changed later.
---@param request { run_id: string, key: string, value: string }
function Store:log_param(request)
  local id = names.run_id(request.run_id)
  self.db:transaction(function()
    active_run(self, id)
    local changed = put_param(self, id, request)
    if changed then
      refuse("INVALID_PARAMETER_VALUE", "Changing param values is not allowed. Param with key='%s' was already logged "
        .. "with value='%s' for run ID='%s'. Attempted logging new value '%s'.", changed.key, changed.old, id,
        changed.new)
    end
  end)
end

--- Set a tag of a run.
---@param request { run_id: string, key: string, value: string }
function Store:set_tag(request)
  self:log(names.run_id(request.run_id), {}, {}, { request })
end

--- Take a tag away.
---@param request { run_id: string, key: string }
function Store:delete_tag(request)
  local id = names.run_id(request.run_id)
  self.db:transaction(function()
    active_run(self, id)
    if self.db:run("DELETE FROM tags WHERE run_uuid = ? AND key = ?", { id, request.key or "" }) == 0 then
      refuse("RESOURCE_DOES_NOT_EXIST", "No tag with name: %s in run with id %s", tostring(request.key), id)
    end
  end)
end

local function dataset_id(self, experiment, dataset)
  local name = names.limited("Dataset name", dataset.name, names.limits.dataset)
  local digest = names.limited("Dataset digest", dataset.digest, names.limits.digest)
  if name == "" or digest == "" then
    refuse("INVALID_PARAMETER_VALUE", "Dataset name and digest must not be empty.")
  end
  local known = self.db:row("SELECT dataset_uuid FROM datasets WHERE experiment_id = ? AND name = ? AND digest = ?",
    { experiment, name, digest })
  if known then return known.dataset_uuid end
  local id, limits = store.new_id(), names.limits
  local function optional(what, value, most) return value and names.limited(what, value, most) end
  self.db:run("INSERT INTO datasets (dataset_uuid, experiment_id, name, digest, dataset_source_type, dataset_source, "
    .. "dataset_schema, dataset_profile) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", { id, experiment, name, digest,
    names.limited("Dataset source type", dataset.source_type or "local", 36),
    names.limited("Dataset source", dataset.source or "", limits.source),
    [7] = optional("Dataset schema", dataset.schema, limits.schema),
    [8] = optional("Dataset profile", dataset.profile, limits.profile) })
  return id
end

--- The id of the row that ties a dataset to a run, which is made when there is none.
local function input_id(self, run, dataset)
  local known = self.db:row("SELECT input_uuid FROM inputs WHERE source_type = 'DATASET' AND source_id = ? AND "
    .. "destination_type = 'RUN' AND destination_id = ?", { dataset, run })
  if known then return known.input_uuid end
  local id = store.new_id()
  self.db:run("INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id) "
    .. "VALUES (?, 'DATASET', ?, 'RUN', ?)", { id, dataset, run })
  return id
end

--- Note which datasets went into a run.
---@param request { run_id: string, datasets: { dataset: table, tags?: { key: string, value: string }[] }[] }
---   dataset: name, digest, source_type, source, schema?, profile?; the tag mlflow.data.context says what for
function Store:log_inputs(request)
  local id = names.run_id(request.run_id)
  self.db:transaction(function()
    local run = active_run(self, id)
    for _, input in ipairs(request.datasets or {}) do
      local tied = input_id(self, id, dataset_id(self, run.experiment_id, input.dataset or {}))
      for _, tag in ipairs(input.tags or {}) do
        self.db:run("INSERT OR IGNORE INTO input_tags (input_uuid, name, value) VALUES (?, ?, ?)", { tied,
          names.limited("Input tag key", tag.key, names.limits.input_tag_key),
          names.limited("Input tag value", tag.value, names.limits.input_tag) })
      end
    end
  end)
end

-- Files ----------------------------------------------------------------------------------------------------------

local function artifact_place(uri)
  return artifacts.of(uri) or refuse("INVALID_PARAMETER_VALUE", "Artifacts at '%s' are not kept by this store.", uri)
end

--- Put bytes at an address, "mlflow-artifacts:/0/RUN/artifacts/name".
function Store:write_artifact(uri, bytes) artifacts.write(self.folder, artifact_place(uri), bytes) end

--- Put a file at an address; 'how' as for recsys.track.artifacts.put.
function Store:put_artifact(uri, source, how) artifacts.put(self.folder, artifact_place(uri), source, how) end

-- Histories ------------------------------------------------------------------------------------------------------

--- All values of one metric of a run, in the order of time.
---@param request { run_id: string, metric_key: string, max_results?: integer, offset?: integer }
---   max_results: default all
---@return table[] metrics
---@return integer? next_offset  where the next page begins; nil at the end
function Store:metric_history(request)
  local id, most, offset = names.run_id(request.run_id), request.max_results or -1, request.offset or 0
  run_row(self, id)
  local found = self.db:rows("SELECT key, value, timestamp, step, is_nan FROM metrics WHERE run_uuid = ? AND key = ? "
    .. "ORDER BY timestamp, step, value LIMIT ? OFFSET ?", { id, request.metric_key or "",
    most >= 0 and most + 1 or -1, offset })
  local more = most >= 0 and #found > most
  if more then found[#found] = nil end
  for i, row in ipairs(found) do found[i] = rows.metric(row) end
  return found, more and offset + most or nil
end

--- Histories of one metric of many runs, each thinned out evenly to 'most' points or a few more, ends included.
---@param request { run_ids: string[], metric_key: string, most: integer, first_step?: integer, last_step?: integer }
---@return table<string, { [1]: integer, [2]: number|string, [3]: integer }[]>  run -> { step, value, timestamp } ...
---   in the order of steps; runs without the metric are left out
function Store:sampled_histories(request)
  local found = {}
  for row in self.db:each([[
SELECT run_uuid, step, value, timestamp, is_nan FROM (
  SELECT run_uuid, step, value, timestamp, is_nan,
    row_number() OVER (PARTITION BY run_uuid ORDER BY step, timestamp, value) AS i,
    count(*) OVER (PARTITION BY run_uuid) AS n
  FROM metrics WHERE run_uuid IN (SELECT value FROM json_each(:runs)) AND key = :key
    AND step BETWEEN :first AND :last)
WHERE n <= :most OR i = 1 OR i = n OR (i * :most) % n < :most
ORDER BY run_uuid, i]], { runs = rows.list(request.run_ids), key = request.metric_key, most = request.most,
    first = request.first_step or math.mininteger, last = request.last_step or math.maxinteger }) do
    local list = found[row.run_uuid] or {}
    found[row.run_uuid] = list
    list[#list + 1] = { row.step, row.is_nan ~= 0 and "NaN" or row.value, row.timestamp }
  end
  return found
end

return store

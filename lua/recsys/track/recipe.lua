--- How every run of a recipe is tracked without asking: its parameters, what it measured, and the files it left.
---
--- The run's name is that of its folder, its experiment that of the recipe. Losses come epoch by epoch from the
--- training (recsys.train.logged), all else from the result at the end. A resumed run goes on with its own run of the
--- store, whose id lies in its folder. A store that cannot be written ends no run: it is said, and the run goes on
--- untracked.

local artifacts = require "recsys.track.artifacts"
local exit = require "recsys.exit"
local files = require "recsys.files"
local json = require "recsys.json"
local log = require "recsys.log"
local run_of = require "recsys.track.run"
local source = require "recsys.track.source"
local track = require "recsys.track"
local uv = require "luv"

local tracked = {}

local current -- what tracked.begin began

local LARGEST <const> = 64 << 20 -- bytes of a file of the run's folder that is kept as an artifact
local LOGS <const>, LONG_LOG <const> = 100, 256 << 10 -- logs of tasks that are kept; bytes of one, from its end

--- The folder that the store lies in: "artifacts" for runs in "artifacts/runs".
function tracked.folder(params)
  if params.track.dir then return params.track.dir end
  local runs = params.runs:gsub("(.)/+$", "%1")
  local above = runs:match "^(.*)/[^/]+$"
  return above == "" and "/" or above or "."
end

--- The parameters that say what is computed, and not where it is put.
local function given(params)
  local kept = {}
  for name, value in pairs(params) do
    if name ~= "track" and name ~= "runs" then kept[name] = value end
  end
  return kept
end

local function tags_of(request)
  local about = request.environment
  return { ["recsys.recipe"] = request.path, ["recsys.run"] = request.folder, ["recsys.command"] = about.command,
    ["recsys.version"] = about.version, ["recsys.commit"] = about.commit, ["recsys.threads"] = about.threads,
    ["recsys.host"] = about.host, ["recsys.seed"] = request.params.seed }
end

--- The run that a run folder's own is, which is gone on with; nil where the store has it no more.
local function continued(request, store, experiment)
  local known = request.resumed and json.decode(files.read(request.folder .. "/track.json") or "")
  if type(known) ~= "table" or type(known.run_id) ~= "string" then return nil end
  local ok, again = pcall(run_of.continue, store, known.run_id, { experiment = experiment,
    run_name = request.folder:match "[^/]+$", tags = tags_of(request) })
  if ok then return again end
  local code = type(again) == "table" and again.code
  if code ~= "RESOURCE_DOES_NOT_EXIST" and code ~= "INVALID_PARAMETER_VALUE" then error(again, 0) end
end

--- A run of the store for a run folder: a new one, or for a run that is resumed its own.
local function open_run(request)
  local store, experiment = track.place(tracked.folder(request.params)), request.params.track.experiment or request.name
  local again = continued(request, store, experiment)
  if again then return again end
  local run = track.start { store = store, experiment = experiment, name = request.folder:match "[^/]+$",
    tags = tags_of(request), source = request.path, parent = request.parent,
    commit = source.commit(request.path:match "^(.*)/[^/]+$" or ".") }
  files.write(request.folder .. "/track.json", json.pretty { run_id = run.id, experiment_id = run.experiment_id,
    folder = store.folder }, true)
  return run
end

--- Begin to track a run; where that cannot be done, people are told.
---@param request { name: string, path: string, params: table, folder: string, resumed: boolean, environment: table,
---  parent?: string }  parent: the id of the run that it is below
function tracked.begin(request)
  current = nil
  if not request.params.track.enabled then return end
  local ok, run = pcall(open_run, request)
  if not ok then
    if type(run) == "table" and run.signal then error(run, 0) end
    log.warn("the run is not tracked: %s", exit.message_of(run))
    return
  end
  current = run
  if request.params.track.system then run:system() end
  run:params(given(request.params))
  run:artifact(request.folder .. "/log.txt", "log.txt", "link")
  run:flush()
  log.note("tracked as %s in %s", run.id, run.store.path)
end

--- Log the numbers of a table by their names behind a prefix.
local function log_numbers(run, values, prefix)
  local named = {}
  for name, value in pairs(type(values) == "table" and values or {}) do
    if type(name) == "string" and type(value) == "number" then named[prefix .. name] = value end
  end
  run:metrics(named)
end

--- What a run measured at its end: the metrics of its test rows with their intervals, those of the baselines, times.
local function log_result(run, result)
  local prefix = result.queries and "test/" or ""
  log_numbers(run, result.metrics, prefix)
  local bounds = {}
  for name, interval in pairs(type(result.intervals) == "table" and result.intervals or {}) do
    if type(interval) == "table" then bounds[name .. "_low"], bounds[name .. "_high"] = interval[1], interval[2] end
  end
  log_numbers(run, bounds, prefix)
  for name, metrics in pairs(type(result.baselines) == "table" and result.baselines or {}) do
    log_numbers(run, metrics, ("baseline/%s/"):format(name))
  end
  log_numbers(run, result.seconds, "seconds/")
  run:metrics { best_epoch = result.epoch, memory_peak_mib = result.memory_peak_mib }
  if type(result.refused) == "string" then run:tag("recsys.refused", result.refused) end
end

--- Keep a file of the run's folder as it is now, for those who look on.
---@param folder string
---@param name string
function tracked.keep(folder, name)
  if not current then return end
  local ok, refused = pcall(current.artifact, current, folder .. "/" .. name, name, "link")
  if ok then return end
  if type(refused) == "table" and refused.signal then error(refused, 0) end
  log.note("%s is not kept: %s", name, exit.message_of(refused))
end

--- Keep the files that stand in the run's folder itself; nobody changes them in place any more.
local function keep_files(run, folder)
  for _, name in ipairs(files.names(folder)) do
    local about = uv.fs_stat(folder .. "/" .. name)
    if about and about.type == "file" and about.size <= LARGEST and name ~= "track.json" and not name:find "%.tmp$" then
      run:artifact(folder .. "/" .. name, name, "link")
    end
  end
end

--- The last bytes of a file, from the beginning of a line on.
local function tail(path, bytes, size)
  local file <close> = assert(io.open(path, "rb"))
  file:seek("set", size - bytes)
  return (file:read "a":gsub("^[^\n]*\n", "", 1))
end

--- Keep what the processes of tasks have logged: of long logs the end, of many the first.
local function keep_logs(run, folder)
  local kept = 0
  for _, name in ipairs(files.names(folder .. "/logs")) do
    local path = ("%s/logs/%s"):format(folder, name)
    local about = uv.fs_stat(path)
    if about and about.type == "file" and about.size > 0 then
      kept = kept + 1
      if kept > LOGS then
        log.note("logs of tasks from %s on are not among the artifacts of the run", name)
        return
      end
      if about.size <= LONG_LOG then
        run:artifact(path, "logs/" .. name, "link")
      else
        run:text("logs/" .. name, ("(the end of %d bytes)\n%s"):format(about.size, tail(path, LONG_LOG, about.size)))
      end
    end
  end
end

--- Whether the registry has made the bundle the run's model when it was published.
local function is_kept(run, bundle)
  if run.models and run.models[bundle:match "[^/]+$"] then return true end
  local place = run.store.db and artifacts.of(run.artifact_uri) -- a server's files are not here
  local file = place and artifacts.path(run.store.folder, ("%s/model/%s"):format(place, bundle:match "[^/]+$"))
  return file ~= nil and files.exists(file)
end

local function finish(run, folder, result, problem)
  if result then log_result(run, result) end
  if problem then
    local message = log.veiled(exit.message_of(problem)):sub(1, 1000)
    run:tag("recsys.failure", message:gsub("[\128-\255]", "?") .. "")
  end
  keep_logs(run, folder)
  keep_files(run, folder)
  local bundle = result and type(result.paths) == "table" and result.paths.bundle
  if type(bundle) == "string" and files.exists(bundle) and not is_kept(run, bundle) then run:model(bundle) end
end

--- End what tracked.begin began.
---@param folder string
---@param result? table  what the recipe gave; nil: it failed
---@param problem any    why
function tracked.finish(folder, result, problem)
  local run = current
  if not run then return end
  current = nil
  local ok, refused = pcall(finish, run, folder, result, problem)
  if not ok then log.warn("the run is tracked in part: %s", exit.message_of(refused)) end
  run:finish(run_of.status_of(problem or not ok and refused.signal and refused or nil))
end

return tracked

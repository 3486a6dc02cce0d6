--- Experiment tracking: what runs were given and what they measured, in a store that MLflow reads, too.
---
---     local track = require "recsys.track"
---     local run <close> = track.start { experiment = "news", name = "first" }
---     run:params { learning_rate = 0.01, hidden = { 128 } }
---     for epoch = 1, 10 do run:metric("train/loss", loss, epoch) end
---
--- Recipes are tracked without asking; track.current() is their run (docs/tracking.md).

local log = require "recsys.log"
local run = require "recsys.track.run"
local source = require "recsys.track.source"
local store = require "recsys.track.store"

local track = {}

--- Open a store.
---@param folder? string  default "artifacts"; the database is FOLDER/mlflow.db
---@return Store  raises { code, message } when it cannot be opened
function track.open(folder) return store.open(folder) end

--- Where runs go that name no store of their own: to the server that MLFLOW_TRACKING_URI names, else to the folder.
---@param folder? string  default "artifacts"
---@return Store|RemoteStore
function track.place(folder)
  local uri = os.getenv "MLFLOW_TRACKING_URI" or ""
  if uri:find "^https?://[^/]" then return require("recsys.track.remote").open(uri, folder) end
  if uri ~= "" then
    log.warn("MLFLOW_TRACKING_URI is no address of a server, http://HOST:PORT; the run is tracked in %s",
      folder or "artifacts")
  end
  return track.open(folder)
end

--- Begin a run, which becomes the current one until it is finished.
---@param request? { experiment?: string, name?: string, parent?: Run|string, tags?: table<string, string>,
---  store?: Store|string, source?: string, commit?: string }
---   experiment: made when there is none, default "Default"; store: or its folder, default "artifacts", where runs go
---   unless MLFLOW_TRACKING_URI names a server
---@return Run
function track.start(request)
  request = request or {}
  local of = request.store
  if of == nil or type(of) == "string" then of = track.place(of) end
  local parent = type(request.parent) == "table" and request.parent.id or request.parent
  return run.start(of, { experiment_id = of:ensure_experiment(request.experiment or "Default"),
    run_name = request.name, parent = parent, tags = request.tags, source_name = request.source or arg and arg[0],
    commit = request.commit or source.commit "." })
end

--- The run that was begun last and is not finished.
---@return Run?
function track.current() return run.open[#run.open] end

--- End all runs that are open: the program ends.
---@param problem any  what ends it; nil: it is done
function track.finish_all(problem)
  while run.open[1] do run.open[#run.open]:finish(run.status_of(problem)) end
end

--- Look after the runs that are open now and then; costs less than a microsecond when there is nothing to do.
function track.tick()
  for _, one in ipairs(run.open) do one:tick() end
end

--- A process that has logged into a run that is open here is gone.
function track.gather()
  for _, one in ipairs(run.open) do
    if one.store.gather then one.store:gather() end
  end
end

--- Wait until the stores have what was logged: something stands on it, such as a checkpoint.
function track.flush()
  for _, one in ipairs(run.open) do one:flush() end
end

log.watch(track.tick)

local leave = os.exit

--- os.exit, which closes no state: runs that are open end with the program here, too.
rawset(os, "exit", function(code, close)
  local failed = code == false or math.type(code) == "integer" and code ~= 0
  track.finish_all(failed and { code = "failed" } or nil)
  leave(code, close)
end)

return track

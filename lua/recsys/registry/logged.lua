--- A published model as the model of the run that trained it: the bundle and its MLmodel below the run's artifacts, and
--- the tag by which MLflow's clients and pages know that a run has logged models.

local bundles = require "recsys.registry.bundles"
local exit = require "recsys.exit"
local json = require "recsys.json"
local lineage = require "recsys.registry.lineage"
local log = require "recsys.log"
local track = require "recsys.track"
local uv = require "luv"

local logged = {}

local HISTORY <const> = require("recsys.track.names").models

--- The run that is being tracked, where it is in the registry's own database.
---@param opened Catalogue
---@return Run?
function logged.run(opened)
  local run = track.current()
  local folder = run and run.store.db and run.store.folder -- a server's run has no database here
  if folder and uv.fs_realpath(folder) == uv.fs_realpath(opened.store) then return run end
end

--- The run that is being tracked, where it is a server's.
---@return Run?
function logged.far_run()
  local run = track.current()
  return run and not run.store.db and run.store.register and run or nil
end

local function history_of(db, run_id)
  local row = db:row("SELECT value FROM tags WHERE run_uuid = ? AND key = ?", { run_id, HISTORY })
  local history = row and json.decode(row.value)
  return type(history) == "table" and history or {}
end

--- Where a run keeps its models: the first in "model", further ones by name and version.
local function place_of(db, run_id, about)
  local history = history_of(db, run_id)
  if #history == 0 or #history == 1 and history[1].flavors.recsys_run
    and history[1].flavors.recsys_run.digest == about.digest then return "model" end
  return ("%s-%d"):format(about.name, about.version)
end

local function file_of(about) return ("%s-%d.tar"):format(about.name, about.version) end

--- Put a bundle's files below the run's artifacts; the bundle is a hard link.
---@param run Run
---@param about { name: string, version: integer, digest: string, manifest: table }
---@return { id: string, path: string, source: string }?  nil when they could not be put there
function logged.put(opened, run, about)
  local path = place_of(opened.db, run.id, about)
  local text = bundles.mlmodel { digest = about.digest, manifest = about.manifest, run_id = run.id, path = path,
    file = file_of(about) }
  local done = run:text(path .. "/MLmodel", text)
    and run:artifact(bundles.path(opened.store, about.digest), path .. "/" .. file_of(about), "link")
  return done and { id = run.id, path = path, source = ("%s/%s"):format(run.artifact_uri, path) } or nil
end

--- Send a version that was registered here to the server of its run, too: the bundle as the run's artifact, and the
--- version of the same name. What cannot be sent now waits with all else that the run has logged.
---@param run Run
---@param about { name: string, version: integer, digest: string, manifest: table }
function logged.send(opened, run, about)
  run.models = run.models or {}
  local path = next(run.models) and ("%s-%d"):format(about.name, about.version) or "model"
  local text = bundles.mlmodel { digest = about.digest, manifest = about.manifest, path = path, file = file_of(about) }
  if not (run:text(path .. "/MLmodel", text)
    and run:artifact(bundles.path(opened.store, about.digest), path .. "/" .. file_of(about), "link")) then return end
  local ok, problem = pcall(run.store.register, run.store, { run_id = run.id, name = about.name, path = path,
    tags = lineage.tags(about.digest, about.manifest) })
  if not ok and type(problem) == "table" and problem.signal then error(problem, 0) end
  if not ok then log.warn("%s is not registered with the server: %s", about.name, exit.message_of(problem)) end
  run.models[file_of(about)] = true
end

--- Add a model to those that a run has logged, in the transaction that registers it.
---@param run { id: string, path: string }
function logged.add(db, run, about)
  local history, manifest = history_of(db, run.id), about.manifest
  history[#history + 1] = { run_id = run.id, artifact_path = run.path, model_uuid = about.digest:sub(1, 32),
    utc_time_created = os.date "!%Y-%m-%d %H:%M:%S.000000",
    flavors = { recsys_run = { bundle = file_of(about), digest = about.digest,
      kind = tostring(manifest.model and manifest.model.kind or "") } } }
  db:run("INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
    { HISTORY, json.encode(history), run.id })
end

return logged

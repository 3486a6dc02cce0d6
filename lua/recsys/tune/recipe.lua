--- Tuning a recipe: a study whose objective is what the recipe's training measures on validation rows.
---
--- The search space is the recipe's own (`search = { ["model.dim"] = tune.choice { 32, 64 } }`) or given; each value
--- must be one that the parameter takes. Each trial is a tracked run `trial_N` below the study's run.

local config = require "recsys.config"
local crew = require "recsys.tune.crew"
local exit = require "recsys.exit"
local files = require "recsys.files"
local frame = require("recsys.core").frame
local host = require "recsys.host"
local json = require "recsys.json"
local log = require "recsys.log"
local lookup = require "recsys.lookup"
local process = require "recsys.track.process"
local runs = require "recsys.tune.runs"
local space = require "recsys.tune.space"
local sql = require "recsys.sql"
local study_of = require "recsys.tune.study"
local summary = require "recsys.tune.summary"
local text = require "recsys.text"
local uv = require "luv"
local worker = require "recsys.tune.worker"

local tuned = {}

--- Refuse a search space that has values which the parameters do not take.
local function check_search(loaded, search)
  local of = space.new(search)
  for _, name in ipairs(of.names) do
    for _, value in ipairs(of.dimensions[name]:examples()) do
      config.read(loaded.params, name, value, ("the search space: %s"):format(tostring(of.dimensions[name])))
    end
  end
end

--- "asha,eta=3" -> "asha", { eta = 3 }.
---@param written string
---@param what string  for messages
---@return string name, table options
function tuned.option(written, what)
  local name, options = written:match "^([^,]*)", {}
  for pair in written:sub(#name + 1):gmatch ",([^,]*)" do
    local key, value = pair:match "^%s*([%w_]+)%s*=%s*(.-)%s*$"
    if not key then exit.usage_error("%s takes NAME,OPTION=VALUE,...; '%s' is no OPTION=VALUE", what, pair) end
    options[key] = tonumber(value)
    if value == "true" or value == "false" then options[key] = value == "true" end
    if options[key] == nil then exit.usage_error("%s: %s must be a number, not '%s'", what, key, value) end
  end
  return name, options
end

--- What the text of a dimension may name.
local DIMENSIONS <const> = { choice = space.choice, integer = space.integer, uniform = space.uniform,
  log_uniform = space.log_uniform, quantised = space.quantised, when = space.when }
local WORDS <const> = { "choice", "integer", "uniform", "log_uniform", "quantised", "when" }

local written_with = setmetatable({}, { __index = function(_, name)
  if DIMENSIONS[name] then return DIMENSIONS[name] end
  local near = text.nearest(name, WORDS)
  exit.usage_error("there is no '%s'; there are %s%s", name, table.concat(WORDS, ", "),
    near and ("; did you mean '%s'?"):format(near) or "")
end })

--- A search space as text has it: { ["model.dim"] = "choice { 32, 64 }" }.
---@param settings string[]  "NAME=DIMENSION"
---@return table<string, Dimension>?  nil for an empty list
function tuned.search(settings)
  local search = {}
  for _, setting in ipairs(settings) do
    local name, written = setting:match "^%s*([%w_.]+)%s*=(.+)$"
    if not name then
      exit.usage_error("--search takes NAME=DIMENSION, as in 'model.dim=choice { 32, 64 }'; got '%s'", setting)
    end
    local chunk, problem = load("return " .. written, "=--search " .. name, "t", written_with)
    local ok, dimension = pcall(chunk or error, problem)
    if not ok then exit.usage_error("--search %s: %s", name, exit.message_of(dimension)) end
    search[name] = dimension
  end
  return next(search) and search or nil
end

--- The metrics and directions that are asked for. What is measured grows better with more unless its name says
--- otherwise.
local function objectives(request, params)
  local metrics = request.metrics or {}
  if #metrics == 0 then metrics = { "valid/" .. (params.train and params.train.metric or "ndcg_10") } end
  local directions = {}
  for i, metric in ipairs(metrics) do
    local less = metric:find "loss" or metric:find "error" or metric == "seconds" or metric == "parameters"
    directions[i] = request.directions and request.directions[i] or less and "minimize" or "maximize"
  end
  if request.directions and #request.directions > #metrics then
    exit.usage_error("there are %d directions, but %d metrics", #request.directions, #metrics)
  end
  return metrics, directions
end

--- How many threads a worker computes with: its share of what this process has.
local function threads_of(request)
  local all = require("recsys.core").base.threads()
  return request.threads or math.max(1, all // (request.workers or 1))
end

--- The parameters of all trials by name, as JSON has them, without what is searched and without secrets.
---@param declared table  parameters
---@param search table<string, Dimension>
---@return table<string, any>
local function shared(declared, params, search)
  local all, exported = {}, config.exported(declared, params)
  for _, name in ipairs(config.names(declared)) do
    local value = exported
    for part in name:gmatch "[^.]+" do value = value and value[part] end
    if not search[name] and name ~= "seed" then all[name] = value end -- the seed is the study's own
  end
  return json.decode(json.encode(all))
end

--- How the settings of a study that is gone on with differ from ours: "train.epochs was 3, is 5"; nil: in nothing that
--- counts. That the recipe's file is another one is told.
local function unlike(before, now)
  local list, names = {}, {}
  for _, field in ipairs { "recipe", "metrics" } do
    local was, is = json.encode(before[field]), json.encode(now[field])
    if was ~= is then list[#list + 1] = ("%s was %s, is %s"):format(field, was, is) end
  end
  local old = before.parameters or now.parameters
  for _, values in ipairs { old, now.parameters } do
    for name in pairs(values) do names[name] = true end
  end
  for name in pairs(names) do
    local was, is = json.encode(old[name]), json.encode(now.parameters[name])
    if was ~= is then list[#list + 1] = ("%s was %s, is %s"):format(name, was, is) end
  end
  if #list == 0 and before.code and before.code ~= now.code then
    log.warn("%s has changed since the study was begun: its trials may not be comparable", now.recipe)
  end
  table.sort(list)
  return #list > 0 and table.concat(list, ", ") or nil
end

--- Whether a folder is a run's.
local function is_run(folder)
  return files.exists(folder .. "/params.json") or files.exists(folder .. "/unfinished")
end

--- The folder of a request's study, below which its trials have theirs, and the study's name as its last part. One
--- without a name is given one that no run has, and no other study: who makes the folder has the name.
---@return string folder, boolean new
local function folder_of(request, loaded, params, store)
  if not request.study then return require("recsys.recipe").make_folder(params.runs, loaded.name), true end
  local folder = ("%s/%s"):format(params.runs, request.study)
  local here = require("recsys.flow").at_work() -- a recipe may tune another one in its own run
  local is_ours = here and here.folder and uv.fs_realpath(here.folder) == uv.fs_realpath(folder)
  if not is_ours and is_run(folder) and not study_of.exists(store, request.study) then
    exit.usage_error("--study %s: %s is the folder of a run, trials would lie in it; take another name", request.study,
      folder)
  end
  return folder, false
end

--- Open the study of a request, for which the recipe is loaded.
local function open(request, loaded, params, store, name)
  local search = request.search or loaded.search
  if not search then
    exit.usage_error("%s declares no search space: give it `search = { ... }` beside its params, or --search "
      .. "'model.dim=choice { 32, 64 }' here (docs/tuning.md)", request.recipe)
  end
  check_search(loaded, search)
  local metrics, directions = objectives(request, params)
  local sampler, sampler_options = tuned.option(request.sampler or "tpe", "--sampler")
  local pruner, pruner_options = tuned.option(request.pruner or "none", "--pruner")
  local settings = { recipe = request.recipe, set = json.list(request.set or {}), config = request.config,
    metrics = metrics, parameters = shared(loaded.params, params, search),
    code = frame.hash(files.read(request.recipe) or "") }
  return study_of.open { name = name, store = store, search = search, directions = directions, seed = params.seed,
    sampler = sampler, sampler_options = sampler_options, pruner = pruner, pruner_options = pruner_options,
    settings = settings, compare = function(before) return unlike(before, settings) end }
end

--- Its folder, and itself. Of one that is refused no folder is left.
---@return string folder, Study
local function open_in_folder(request, loaded, params, store)
  local folder, is_new = folder_of(request, loaded, params, store)
  local ok, study = exit.try(open, request, loaded, params, store, request.study or folder:match "[^/]+$")
  if ok then return folder, study end
  if is_new then uv.fs_rmdir(folder) end
  error(study, 0)
end

-- The study's run of the tracking store ------------------------------------------------------------------------------

local function tags_of(study)
  return { ["recsys.study"] = study.name, ["recsys.study.metric"] = "objective/" .. study.settings.metrics[1],
    ["recsys.study.direction"] = study.directions[1], ["recsys.recipe"] = study.settings.recipe }
end

--- The run that a study's trials are below: that which is at work here, the study's own, or a new one. Second, whether
--- it is ours to end.
local function parent_of(study, loaded, params, store)
  if not params.track.enabled then return nil, false end
  local track = require "recsys.track"
  local here = track.current()
  if here then
    for name, value in pairs(tags_of(study)) do here:tag(name, value) end
    return here, false
  end
  local row = study.db:row("SELECT run_id, process FROM studies WHERE study_id = ?", { study.id })
  if row.run_id and row.process and not process.is_gone(row.process) then return { id = row.run_id }, false end
  local place = track.place(params.track.dir or store)
  if row.run_id then
    local ok, again = pcall(require("recsys.track.run").continue, place, row.run_id)
    if ok then return again, true end
    if type(again) == "table" and again.signal then error(again, 0) end
  end
  return track.start { store = place, experiment = params.track.experiment or loaded.name, name = study.name,
    tags = tags_of(study), source = study.settings.recipe }, true
end

--- The parent, noted in the study. A store that cannot be written ends no study.
local function begin_tracking(study, loaded, params, store)
  local ok, run, ours = pcall(parent_of, study, loaded, params, store)
  if not ok then
    if type(run) == "table" and run.signal then error(run, 0) end
    log.warn("the study is not tracked: %s", exit.message_of(run))
    return nil, false
  end
  if run then
    study.db:run("UPDATE studies SET run_id = ?, process = ? WHERE study_id = ?",
      { run.id, ours and study.process or study.db:row("SELECT process FROM studies WHERE study_id = ?",
        { study.id }).process, study.id })
    if run.flush then run:flush() end
  end
  return run, ours
end

--- Set right what kills have left of the trials' runs.
local function mend(study, params, store, parent)
  local of <close> = parent and require("recsys.track").place(params.track.dir or store) or nil
  runs.mend(study, ("%s/%s"):format(params.runs, study.name), of, parent and parent.id)
end

local function end_tracking(study, run)
  local best = study:best()
  if best then
    for i, metric in ipairs(study.settings.metrics) do run:metric("objective/" .. metric, best.values[i]) end
    run:tag("recsys.study.best", best.name)
  end
  run:metric("trials", #study:trials())
end

--- What a study found, as plain values.
local function found_by(study, why)
  local best, front, counts, trials = study:best(), {}, {}, study:trials()
  for i, trial in ipairs(study:front()) do
    front[i] = { trial = trial.name, values = trial.values, params = trial.params }
  end
  for _, trial in ipairs(trials) do counts[trial.state] = (counts[trial.state] or 0) + 1 end
  return { study = study.name, ended_by = why, trials = #trials, states = counts, metrics = study.settings.metrics,
    directions = study.directions, front = front, importance = (study:importance()),
    best = best and { trial = best.name, values = best.values, params = best.params,
      set = worker.settings(study, best.params) },
    recipe = study.settings.recipe, config = study.settings.config, text = summary(study, study.settings.metrics) }
end

--- Run the trials of a recipe.
---@param request { recipe: string, search?: table, trials?: integer, seconds?: number, plateau?: integer,
---  study?: string, workers?: integer, sampler?: string, pruner?: string, metrics?: string[], directions?: string[],
---  set?: string[], config?: string, seed?: integer, threads?: integer }
---   study: gone on with when there is one of that name; metrics: names in the rows of the training's curves, at the
---   epoch that is kept, or "parameters", "seconds"; default "valid/" .. train.metric
---@return table found  study, best { trial, values, params, set }, front, importance, text, store, ...
function tuned.run(request)
  local recipe = require "recsys.recipe"
  lookup.begin(request.recipe)
  local loaded, set = recipe.load(request.recipe), { table.unpack(request.set or {}) }
  if request.seed then set[#set + 1] = ("seed=%d"):format(request.seed) end
  request = setmetatable({ set = set }, { __index = request })
  local params = config.resolve(loaded.params, { set = set, file = request.config, profiles = loaded.profiles,
    later = {} }) -- each trial refuses what names nothing
  local store = require("recsys.track.recipe").folder(params)
  local folder, opened = open_in_folder(request, loaded, params, store)
  local study <close> = opened
  log.info("study %s: %s\n%s", study.name, table.concat(study.settings.metrics, ", "), study.space:describe())
  local run, ours = begin_tracking(study, loaded, params, store)
  mend(study, params, store, run)
  local ok, why = xpcall(crew.run, exit.traced, { study = study, store = store, folder = folder,
    workers = request.workers or 1, pruner = request.pruner or "none", parent = run and run.id,
    trials = request.trials, seconds = request.seconds, plateau = request.plateau, threads = threads_of(request) })
  if ok then mend(study, params, store, run) end
  if ok and run and run.metric then end_tracking(study, run) end
  if ours then run:finish(require("recsys.track.run").status_of(not ok and why or nil)) end
  if not ok then error(why, 0) end
  local found = found_by(study, why)
  found.run_id, found.store, found.tracked_in = run and run.id, store, params.track.dir or store
  return found
end

-- The best trial as a whole ------------------------------------------------------------------------------------------

--- What is known of the best trial's run as a whole; nil where it was not trained again, or its folder is gone.
---@param study Study
---@param best string  its name
local function retrained(study, best)
  local row = study.db:row("SELECT retrained, retrained_run, retrained_folder FROM studies WHERE study_id = ?",
    { study.id })
  if not row.retrained or "trial_" .. row.retrained ~= best then return nil end
  local result = files.read(row.retrained_folder .. "/result.json")
  return result and { run = row.retrained_run, folder = row.retrained_folder, result = json.decode(result) } or nil
end

--- Remember it, in the study and in tags of its run.
local function remember(study, found, result)
  local known = json.decode(files.read(result.paths.run .. "/track.json") or "") or {}
  study.db:run("UPDATE studies SET retrained = ?, retrained_run = ?, retrained_folder = ? WHERE study_id = ?",
    { math.tointeger(tonumber(found.best.trial:match "%d+$")), known.run_id or sql.null, result.paths.run, study.id })
  if not (found.run_id and known.run_id) then return end
  local ok, problem = pcall(function()
    local store <close> = require("recsys.track").place(found.tracked_in)
    store:note_tag(found.run_id, "recsys.study.retrained", found.best.trial)
    store:note_tag(found.run_id, "recsys.study.retrained_run", known.run_id)
    store:flush()
  end)
  if ok then return end
  if type(problem) == "table" and problem.signal then error(problem, 0) end
  log.warn("that %s was trained again is not tracked: %s", found.best.trial, exit.message_of(problem))
end

--- Run the recipe as a whole with the values of the best trial, its test rows asked once: what is published then. One
--- that was trained again before is not once more.
---@param found table  of tuned.run
---@param options? { threads?: integer, json?: boolean, again?: boolean }  again: even where it was
---@return integer exit code
function tuned.retrain(found, options)
  if not found.best then
    error({ code = "failed", message = "no trial is complete: there is nothing to retrain" }, 0)
  end
  options = options or {}
  local study <close> = study_of.attach { name = found.study, store = found.store }
  local before = not options.again and retrained(study, found.best.trial)
  if before then
    log.info("%s was trained again before, as %s; --retrain does it once more", found.best.trial, before.folder)
    if options.json then io.stdout:write(json.encode(before.result), "\n") end
    return exit.done
  end
  log.info("%s is trained again as a whole, to the recipe's end", found.best.trial)
  return require("recsys.recipe").main(found.recipe, { set = found.best.set, config = found.config,
    threads = options.threads, json = options.json, parent = found.run_id,
    done = function(result) remember(study, found, result) end,
    command = ("%s %s --set %s"):format(host.called, found.recipe, table.concat(found.best.set, " --set ")) })
end

return tuned

--- A recipe: a name, a sentence, declared parameters and a function of steps; and how one is run.
---
--- `recsys.recipe { name, about, params, profiles, run }` checks the description; a recipe file returns it.
--- `recipe.main(path, options)` is what the command line calls: parameters, run folder, steps, result, exit code.

local cache = require "recsys.cache"
local config = require "recsys.config"
local environment_of = require "recsys.config.environment"
local exit = require "recsys.exit"
local files = require "recsys.files"
local flow = require "recsys.flow"
local hooks = require "recsys.flow.hooks"
local json = require "recsys.json"
local lazy = require "recsys.lazy"
local loaded_files = require "recsys.loaded"
local log = require "recsys.log"
local lookup = require "recsys.lookup"
local profile = lazy "recsys.train.profile"
local provenance = lazy "recsys.provenance"
local record = lazy "recsys.flow.record"
local resume = lazy "recsys.resume"
local text = require "recsys.text"
local tracked = lazy "recsys.track.recipe"
local uv = require "luv"

local recipe = {}

local recorded -- the record of the run that is at work

local Recipe = { __name = "recsys.Recipe" }

-- What every recipe can be told, beside its own parameters.
local common = {
  seed = config.param(1, "start of all random streams", { min = 0 }),
  runs = config.param("artifacts/runs", "where the run's folder is made", { form = "folder" }),
  track = require "recsys.track.parameters",
}

local function with_common(params)
  local all = {}
  for name, node in pairs(common) do all[name] = node end
  for name, node in pairs(params or {}) do all[name] = node end
  return all
end

--- Describe a recipe.
---@param spec { name: string, about: string, params?: table, profiles?: table, search?: table<string, Dimension>,
---   plan?: fun(params): string, run: fun(flow, params): any, on_failure?: any, on_success?: any, on_state?: any }
---   plan: what `--plan` prints behind the steps
---   search: what `recsys-run tune` tries for which parameter (recsys.tune.space)
---   on_failure, on_success, on_state: recsys.flow.hooks
---   run's result is the recipe's: a table whose fields go into the result (see docs/recipes.md)
function recipe.new(spec)
  if type(spec) ~= "table" then error("bad argument #1 to 'recipe' (a table is expected)", 2) end
  for field, kind in pairs { name = "string", about = "string", run = "function" } do
    if type(spec[field]) ~= kind then
      error(("bad argument #1 to 'recipe' (field '%s' must be a %s)"):format(field, kind), 2)
    end
  end
  if not spec.name:match "^[a-z][a-z0-9_%-]*$" then
    error(("bad argument #1 to 'recipe' (the name '%s' must be of a-z, 0-9, _ and -)"):format(spec.name), 2)
  end
  local known = { name = true, about = true, params = true, profiles = true, search = true, run = true, plan = true,
    on_failure = true, on_success = true, on_state = true }
  for field in pairs(spec) do
    if not known[field] then error(("bad argument #1 to 'recipe' (there is no field '%s')"):format(field), 2) end
  end
  local ok, problem = pcall(config.check_names, spec.params or {})
  if not ok then error(("bad argument #1 to 'recipe' (%s)"):format(exit.message_of(problem)), 2) end
  return setmetatable({ name = spec.name, about = spec.about, params = with_common(spec.params),
    profiles = spec.profiles, search = spec.search, run = spec.run, plan = spec.plan,
    hooks = hooks.read(spec, "the recipe") }, Recipe)
end

--- Load the recipe that a file returns. Raises {code = "usage"} when there is none.
function recipe.load(path)
  local chunk, message = lookup.chunk(path, "t")
  if not chunk then error({ code = "usage", message = "cannot read the recipe: " .. message }, 0) end
  local ok, loaded = xpcall(chunk, exit.traced)
  if not ok then -- `return recsys.recipe {...}` is a tail call: Lua knows no line of the recipe any more
    if loaded.code == "failed" then loaded.code = "usage" end
    if not loaded.message:find "^[^:]+:%d+: " then loaded.message = path .. ": " .. loaded.message end
    error(loaded, 0)
  end
  if getmetatable(loaded) ~= Recipe then
    if (getmetatable(loaded) or {}).__name == "recsys.ServeRecipe" then
      error({ code = "usage", message = ("%s is a serve recipe: recsys-run serve %s"):format(path, path) }, 0)
    end
    error({ code = "usage",
      message = path .. " returns no recipe; it must end with 'return recsys.recipe { ... }'" }, 0)
  end
  return loaded
end

--- The recipe's sentence and its parameters, for --help.
function recipe.help(loaded)
  return ("%s\n\nParameters (set with --set NAME=VALUE, a variable such as RECSYS_SET_TRAIN__EPOCHS=5, or "
    .. "--config FILE; the\nfirst of these wins, and --show-config tells where each value comes from):\n%s\n")
    :format(loaded.about, config.describe(loaded.params))
end

--- A new folder for a run: NAME-YYYYMMDD-HHMMSS, with -2, -3, ... when the second is taken.
---@return string
function recipe.make_folder(runs, name)
  files.make_folder(runs)
  local base = ("%s/%s-%s"):format(runs, name, os.date "!%Y%m%d-%H%M%S")
  for attempt = 1, 1000 do
    local folder = attempt == 1 and base or ("%s-%d"):format(base, attempt)
    if uv.fs_mkdir(folder, tonumber("755", 8)) then return folder end
  end
  error({ code = "io", message = "cannot make a run folder below " .. runs }, 0)
end

local function environment(options)
  local core = require "recsys.core"
  local system = uv.os_uname()
  return { version = core.version, commit = core.commit, lua = _VERSION, threads = core.base.threads(),
    system = system.sysname .. " " .. system.release, host = uv.os_gethostname(),
    cpu = uv.cpu_info() and uv.cpu_info()[1].model, started = os.date "!%Y-%m-%dT%H:%M:%SZ",
    command = options.command, study = options.trial and options.trial.study }
end

--- What `flow:task` gave for the recipe's result, with every handle inside replaced.
local function plain(value)
  if flow.is_handle(value) then
    local copy = plain(value:value())
    return type(copy) == "table" and flow.is_list(value) and json.list(copy) or copy
  end
  if type(value) ~= "table" then return value end
  local copy = {}
  for key, part in pairs(value) do copy[key] = plain(part) end
  return setmetatable(copy, getmetatable(value))
end

--- The page of the run, where its result has something to show. A picture that cannot be drawn is no reason to lose the
--- run: it is told.
local function write_report(result, params, folder)
  local of_run = require "recsys.report.run"
  if not of_run.has_page(result) then return end
  local ok, problem = xpcall(function() return of_run.page(result, params):render() end, exit.traced)
  if not ok then
    log.warn("the run has no report.html: %s", exit.message_of(problem))
    if problem.traceback then log.note("%s", problem.traceback) end
    return
  end
  result.paths.report = folder .. "/report.html"
  files.write(result.paths.report, problem, true)
end

local function finish(self, outcome, steps, began, params)
  local base = require("recsys.core").base
  local result = plain(outcome)
  if type(result) ~= "table" then result = { result = result } end
  local seconds = steps:seconds()
  seconds.total = (uv.hrtime() - began) / 1e9
  result.recipe, result.run, result.seed = self.name, steps.name, params.seed
  result.seconds = seconds
  for field, said in pairs(steps.results) do
    if result[field] == nil then result[field] = said end
  end
  result.memory_peak_mib = math.floor(base.memory() / 2^20 + 0.5)
  result.memory_spilled_mib = math.floor(select(3, base.memory_limit()) / 2^20 + 0.5)
  result.paths = result.paths or {}
  result.paths.run = steps.folder
  local text_of, next_steps = result.text, result.next_steps
  result.text, result.next_steps = nil, nil
  write_report(result, params, steps.folder)
  files.settle()
  files.write(steps.folder .. "/result.json", json.pretty(result))
  steps:write_summary()
  return result, text_of, next_steps
end

local function show(result, text_of, next_steps, options)
  if options.json then
    io.stdout:write(json.encode(result), "\n")
    return
  end
  if text_of then io.stdout:write("\n", text_of, "\n") end
  local paths = {}
  for name in pairs(result.paths) do paths[#paths + 1] = name end
  table.sort(paths)
  io.stdout:write "\n"
  for _, name in ipairs(paths) do io.stdout:write(("%-16s %s\n"):format(name, tostring(result.paths[name]))) end
  io.stdout:write(("%-16s %s, %d MiB at the most\n"):format("took", text.duration(result.seconds.total),
    result.memory_peak_mib))
  if next_steps then io.stdout:write("\nNext:\n", next_steps, "\n") end
end

--- "task 'train' (recipes/two_tower.lua:70): why". The line is of use for a bug; a refusal explains itself.
local function describe(problem)
  local message = exit.message_of(problem)
  if type(problem) ~= "table" or not problem.task then return message end
  local where = problem.traceback and problem.where and (" (%s)"):format(problem.where) or ""
  return ("task '%s'%s: %s"):format(problem.task, where, message)
end

--- One line for people; the traceback of a bug goes into the run's log.
local function report_failure(problem, folder)
  local message = log.veiled(describe(problem))
  io.stderr:write("recsys-run: ", message, "\n")
  if folder then
    log.note("failed: %s", message)
    if type(problem) == "table" and problem.traceback then log.note("%s", problem.traceback) end
    io.stderr:write("the run's log: ", folder, "/log.txt\n")
  end
  return exit.code_of(problem)
end

--- The parameters that the recipe's function is given: without those that say how it is tracked, so that all it makes
--- is the same with tracking and without.
local function own(params)
  local kept = {}
  for name, value in pairs(params) do
    if name ~= "track" then kept[name] = value end
  end
  return kept
end

--- What the recipe's run returns; what is made only for something ends at the task that finds it.
local function outcome_of(self, steps, params, only)
  if not only then return self.run(steps, own(params)) end
  local ok, problem = xpcall(self.run, exit.traced, steps, own(params))
  if ok then
    exit.usage_error("no step of the recipe '%s' trains: there is no %s to find", self.name, (only:gsub("_", " ")))
  end
  if type(problem) == "table" and problem.code == "end" then return problem.result end
  error(problem, 0)
end

--- Tell the recipe's hooks what the run is at.
local function tell_hooks(self, folder, state, problem)
  hooks.tell(self.hooks, { recipe = self.name, run = folder:match "[^/]+$", folder = folder, state = state,
    code = problem and (type(problem) == "table" and problem.code or "failed"),
    message = problem and log.veiled(describe(problem)) or nil })
end

--- The state that a run ends in, and what there is to say of it.
---@return string state, any problem
local function end_of(ok, result)
  if ok then
    local refused = result.refused
    if not refused then return "completed" end
    return "refused", { code = "quality", message = type(refused) == "string" and refused or "the result is refused" }
  end
  if type(result) == "table" and result.signal then return "cancelled", result end
  return exit.code_of(result) == exit.quality and "refused" or "failed", result
end

--- Tell of names that were to be run anew and that no task had. A plan that ends early cannot refuse them.
local function warn_of_unknown(steps, refresh)
  for _, name in ipairs(refresh or {}) do
    if name ~= "all" and not steps.names[name] then
      log.warn("--refresh %s: the run had no task of that name", name)
    end
  end
end

--- Run a recipe with resolved parameters in a run folder, which is new or that of a run that was cut short.
---@return table result, string? text, string? next_steps
local function execute(self, params, options, folder, resumed, planned)
  local began, about, secrets = uv.hrtime(), environment(options), config.secret_files(self.params)
  log.to(folder .. "/log.txt")
  log.info("%s: %s%s", self.name, folder, resumed and ", resumed" or "")
  if not resumed then -- first: a kill leaves what can be resumed
    resume.begin(folder, self.name, params, secrets, options.trial and { study = options.trial.study,
      name = folder:match "[^/]+$", path = self.path })
  end
  files.write(folder .. "/params.json", json.pretty(config.exported(self.params, params)), true)
  files.write(folder .. "/environment.json", json.pretty(about), true)
  provenance.begin()
  loaded_files.inside(folder)
  tracked.begin { name = self.name, path = self.path, params = params, folder = folder, resumed = resumed,
    environment = about, parent = options.parent or options.trial and options.trial.parent }
  tell_hooks(self, folder, "running")
  profile.into(options.profile and folder or nil)
  local only = options.find_learning_rate and "learning_rate" or options.trial and "objective" or nil
  recorded = record.begin { folder = folder, runs = params.runs, recipe = self.name, path = self.path }
  recorded:expect(planned)
  local steps = flow.new { folder = folder, resumed = resumed, named = options.resume ~= "", only = only,
    caches = true, recipe = self.path, refresh = options.refresh, profiled = options.profile,
    record = recorded, seed = params.seed,
    hooks = self.hooks, origin = { name = self.name, path = self.path, params = own(params),
      secrets = secrets, threads = options.threads, profile = options.profile and folder or nil },
    told = function() tracked.keep(folder, "tasks.json") end }
  local outcome = outcome_of(self, steps, params, only)
  warn_of_unknown(steps, options.refresh)
  provenance.write(folder, self.path, secrets)
  local result, text_of, next_steps = finish(self, outcome, steps, began, params)
  if not (options.trial and options.trial.is_paused()) then resume.finish(folder) end
  steps:settle()
  return result, text_of, next_steps
end

--- Walk through the steps without running them. Gives the flow and, where that ended early, the problem.
local function plan(self, params, options)
  local steps = flow.new { plan = true, caches = options ~= nil, refresh = options and options.refresh,
    seed = params.seed }
  local ok, problem = xpcall(self.run, exit.traced, steps, own(params))
  return steps, not ok and problem or nil
end

local function show_plan(self, params, options)
  local steps, problem = plan(self, params, options)
  if problem and problem.code == "usage" then error(problem, 0) end
  io.stdout:write(steps:plan(), "\n")
  if problem and problem.code ~= "plan" then error(problem, 0) end
  if problem then
    io.stdout:write(("     the plan ends here: it depends on the value of task '%s'\n"):format(problem.message))
  end
  if self.plan then io.stdout:write("\n", self.plan(own(params)), "\n") end
end

--- Refuse parameters that a step would refuse, names that are taken, and handles in place of values, before anything
--- is made. Other mistakes of the recipe wait for the run, which has a log to tell them in: a task may mend them.
local function check_steps(self, params, options)
  local steps, problem = plan(self, params)
  if problem and problem.code == "usage" then error(problem, 0) end
  local message = problem and exit.message_of(problem) or ""
  if message:find("recsys.Handle", 1, true) then -- a function of Lua was given one: its value is not there yet
    exit.usage_error("%s: a handle is no value; do that in a task, or take the value by handle:value()", message)
  end
  environment_of.refuse(self.unknown)
  for _, name in ipairs(not problem and options.refresh or {}) do
    if name ~= "all" and not steps.names[name] then
      local names = {}
      for i, task in ipairs(steps.tasks) do names[i] = task.name end
      exit.usage_error("--refresh: the recipe '%s' has no task '%s'; there are: %s", self.name, name,
        table.concat(names, ", "))
    end
  end
  return steps.tasks
end

--- The parameters as the options have them.
local function resolve(self, options)
  local set = { table.unpack(options.set or {}) }
  if options.seed then set[#set + 1] = "seed=" .. tostring(options.seed) end
  local layers = options.layers and options.layers(self.params) or {}
  return config.resolve(self.params, { set = set, file = options.config, profiles = self.profiles,
    below = layers.below, given = layers.given,
    environment = options.reproduce and "secrets" or nil, later = self.unknown,
    values = options.reproduce and config.secrets_again(self.params, options.reproduce) })
end

--- Print the parameters as they would be used, and where each comes from.
local function show_config(self, options)
  local params, origins = resolve(self, options)
  if #self.unknown > 0 then check_steps(self, params, {}) end -- they may be secrets of parts
  if options.json then
    io.stdout:write(json.encode { parameters = config.exported(self.params, params), origins = origins }, "\n")
  else
    io.stdout:write(config.show(self.params, params, origins), "\n")
  end
end

--- The run that --resume means, locked: its folder and its parameters. Without a name it may be that there is none.
local function resumed_run(self, options)
  local set = options.set and #options.set > 0 or options.seed or options.config or config.in_environment(self.params)
  if options.resume ~= "" then
    local params = set and resolve(self, options)
    local folder, own_params, secrets = resume.named(options.resume, params and params.runs or common.runs.default,
      self.name, params or nil)
    if not set then -- the run's own parameters are taken, but secrets were not kept
      config.resolve(self.params, { profiles = self.profiles, environment = "secrets", partial = true,
        later = self.unknown, values = config.secrets_again(self.params, secrets) })
    end
    return folder, own_params
  end
  local params = resolve(self, options)
  local folder = resume.latest(params.runs, self.name, params)
  if not folder then
    log.info("--resume: %s has no unfinished run of %s with these parameters; a new one begins", params.runs, self.name)
  end
  return folder, params
end

--- Write down how the run has ended; what is told and sent afterwards may take long, and the process be killed then.
local function record_end(ok, result)
  local state, problem = end_of(ok, result)
  if recorded then recorded:finish(state, problem and describe(problem) or nil) end
  recorded = nil
end

--- Tell hooks how the run has ended.
local function tell_end(self, folder, ok, result)
  local state, problem = end_of(ok, result)
  tell_hooks(self, folder, state, problem)
  hooks.settle()
end

--- The folder of a trial's run, taken up when it was begun with these parameters, else made anew. One whose last
--- process is still at its end is waited for.
---@return string folder, boolean resumed
local function folder_of_trial(self, trial, params)
  local begun = files.exists(trial.folder .. "/unfinished/run/value.lua")
  for _ = 1, begun and 300 or 0 do
    local ok, problem = exit.try(resume.named, trial.folder, params.runs, self.name, params, true)
    if ok then return trial.folder, true end
    if type(problem) ~= "table" or problem.code ~= "busy" then break end
    uv.sleep(100)
  end
  if resume.is_at_work(trial.folder) then
    error({ code = "busy", message = trial.folder .. " is another process's" }, 0)
  end
  resume.remove(trial.folder)
  return files.make_folder(trial.folder), false
end

--- Load and run the recipe at 'path'; the exit code (docs/recipes.md).
---@param options { set?: string[], config?: string|string[], seed?: integer, threads?: integer, json?: boolean,
---   plan?: boolean, no_cache?: boolean, refresh?: string[], profile?: boolean, resume?: string,
---   find_learning_rate?: boolean, help?: boolean, command?: string, show_config?: boolean, reproduce?: table,
---   told?: fun(result: table, text?: string), done?: fun(result: table),
---   failed?: fun(message: string, folder?: string), layers?: fun(params: table): table, parent?: string,
---   trial?: table }
---   resume: the run to resume, "" for the latest one; reproduce: the files that secrets are from; of the environment
---   nothing but secrets counts
---   told: is called with the result of a run that is done, in place of showing it; done: before it is shown, where no
---   gate has refused it; failed: is told why there is no result, or why it is refused, and the run's folder
---   layers: more of where parameters come from, { below, given } of config.resolve
---   parent: the tracked run that this one is below
---   trial: of a study (recsys.tune.worker): { study, folder, parent, ended = function(problem) }
---@return integer
function recipe.main(path, options)
  local folder, self
  local ok, result, text_of, next_steps = xpcall(function()
    lookup.begin(path)
    loaded_files.begin()
    self = recipe.load(path)
    self.path, self.unknown = path, {}
    if options.trial then self.hooks = nil end -- they are told of the recipe's own runs
    if options.help then
      io.stdout:write(recipe.help(self))
      return
    end
    if options.show_config then return show_config(self, options) end
    local begun, params, resumed
    if options.trial then
      params = resolve(self, options)
      begun, resumed = folder_of_trial(self, options.trial, params)
    elseif options.resume and not options.plan then
      begun, params = resumed_run(self, options)
      resumed = begun ~= nil
    else
      params = resolve(self, options)
    end
    if options.threads then require("recsys.core").base.threads(options.threads) end
    cache.allow(not options.no_cache)
    if options.plan then
      check_steps(self, params, options)
      show_plan(self, params, options)
      return
    end
    local planned = check_steps(self, params, options)
    folder = begun or recipe.make_folder(params.runs, self.name)
    return execute(self, params, options, folder, resumed, planned)
  end, exit.traced)
  if options.trial then options.trial.ended(not ok and result or nil) end
  local code = ok and exit.done or report_failure(result, folder)
  if folder then record_end(ok, result) end
  tracked.finish(folder, ok and result or nil, not ok and result or nil)
  if folder then tell_end(self, folder, ok, result) end
  if ok and result then
    if options.done and not result.refused then options.done(result) end
    if options.told then options.told(result, text_of) else show(result, text_of, next_steps, options) end
    code = result.refused and exit.quality or exit.done
  end
  if options.failed and code ~= exit.done then
    options.failed(log.veiled(ok and tostring(result.refused) or describe(result)), folder)
  end
  log.to(nil)
  return code
end

return setmetatable(recipe, { __call = function(_, spec) return recipe.new(spec) end })

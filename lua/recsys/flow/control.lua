--- Runs of flows from outside: `recsys-run flows cancel RUN` ends one that is at work, `recsys-run flows retry RUN`
--- goes on with one that was cut short or failed.

local argument = require "recsys.argument"
local exit = require "recsys.exit"
local files = require "recsys.files"
local log = require "recsys.log"
local process = require "recsys.track.process"
local record = require "recsys.flow.record"
local resume = require "recsys.resume"
local state = require "recsys.flow.state"
local text = require "recsys.text"
local uv = require "luv"

local control = {}

--- The run that a word means, as flow.db has it. Raises { code = "usage" } when there is none.
---@param store string  the folder of flow.db
---@param word string   a run's name or folder
---@return table
function control.find(store, word)
  if not files.exists(store .. "/flow.db") then
    exit.usage_error("there is no %s/flow.db: no recipe has run here; --place names another folder", store)
  end
  local db <close> = state.open(store)
  record.sweep(db)
  local run = record.run(db, word)
  if run then return run end
  for _, folder in ipairs { word, ("%s/runs/%s"):format(store, word) } do
    if files.exists(folder .. "/unfinished/run") then
      exit.usage_error("%s/flow.db does not know the run in %s, or not any more; recsys-run RECIPE --resume %s goes on "
        .. "with it", store, folder, folder)
    end
  end
  local names = {}
  for i, one in ipairs(record.runs(db, { most = 1000 })) do names[i] = one.name end
  local near = text.nearest(word, names)
  exit.usage_error("there is no run '%s'%s", word, near and ("; did you mean '%s'?"):format(near)
    or "; recsys-run flows list shows them")
end

local LOOK <const> = 50 -- ms

--- Wait until nobody is at work on a run; whether that came within so many seconds.
local function ends_within(folder, seconds)
  local over = uv.hrtime() + seconds * 1e9
  while resume.is_at_work(folder) do
    if uv.hrtime() > over then return false end
    uv.sleep(LOOK)
  end
  return true
end

--- Ask the process at work on a run to end: its tasks have their grace times, a training writes a checkpoint.
---@param store string
---@param word string
---@param options { wait?: number, kill?: boolean }  wait: seconds for its end, default 60; kill: do not ask
---@return integer exit code
function control.cancel(store, word, options)
  local run = control.find(store, word)
  if not resume.is_at_work(run.folder) then
    exit.usage_error("nobody is at work on %s: it is %s%s", run.name, run.state,
      files.exists(run.folder .. "/unfinished") and "; recsys-run flows retry goes on with it" or "")
  end
  local where = run.holder and process.where(run.holder) or run.host ~= uv.os_gethostname() and "machine" or "here"
  if where ~= "here" then
    exit.usage_error("%s is at work %s, %s: cancel it there", run.name, where == "machine" and "on another machine"
      or "in another container", run.host)
  end
  local sent, message = uv.kill(run.pid, options.kill and "sigkill" or "sigterm")
  if not sent then
    error({ code = "failed", message = ("process %d cannot be asked to end: %s"):format(run.pid, message) }, 0)
  end
  local wait = options.wait or 60
  if not ends_within(run.folder, wait) then
    error({ code = "busy", message = ("process %d has not ended after %s; it goes on to end, or --kill ends it"):format(
      run.pid, text.duration(wait)) }, 0)
  end
  control.find(store, word) -- says of one that was killed that it crashed
  log.info("%s has ended; recsys-run %s goes on with it", run.name, run.study
    and ("tune %s --study %s"):format(run.path, run.study) or "flows retry " .. run.name)
  return exit.done
end

--- Work in the folder that a run was begun in: paths of the recipe and its parameters lead on from there.
local function go_home(run)
  if not run.home or run.home == uv.cwd() then return end
  local ok, message = uv.chdir(run.home)
  if not ok then exit.usage_error("%s was begun in a folder that is not there any more: %s", run.name, message) end
  log.info("%s goes on in %s", run.name, run.home)
end

--- A folder as it is called from here.
local function called(folder)
  local here = uv.cwd() .. "/"
  return folder:sub(1, #here) == here and folder:sub(#here + 1) or folder
end

--- Go on with a run: what was completed is taken, what failed or was cut short runs.
---@param store string
---@param word string
---@param options { json?: boolean, threads?: integer, command?: string }
---@return integer exit code  of the run
function control.retry(store, word, options)
  local run = control.find(store, word)
  if not files.exists(run.folder .. "/unfinished/run") then
    exit.usage_error("%s is %s, there is nothing to go on with%s", run.name, run.state,
      files.exists(run.folder) and "" or ": its folder is gone")
  end
  go_home(run)
  if not run.path or not files.exists(run.path) then
    exit.usage_error("the recipe of %s is not there any more: %s, looked for from %s", run.name, tostring(run.path),
      uv.cwd())
  end
  return require("recsys.recipe").main(run.path, { resume = called(run.folder), json = options.json,
    threads = options.threads, command = options.command })
end

local function with_run(parser)
  parser:option("--place", "The folder with flow.db"):argname "FOLDER":default "artifacts"
  parser:argument("RUN", "The name of a run, or its folder")
  return parser
end

local function seconds(word)
  local number = tonumber(word)
  if number and number >= 0 and number <= 1e6 then return number end
  return nil, ("'%s' is no number of seconds"):format(word)
end

--- The actions of `recsys-run flows` that are here, for cli.act.
control.actions = {
  { name = "cancel", about = "Ask a run at work to end: tasks have their grace times, a training writes a checkpoint",
    options = function(parser)
      with_run(parser)
      parser:option("--wait", "Seconds to wait for its end"):argname "N":convert(seconds):default "60"
      parser:flag("--kill", "Do not ask: kill it")
    end, run = function(args) return control.cancel(args.place, args.RUN, args) end },
  { name = "retry", about = "Go on with a run that failed, was cancelled or was cut short: what was completed is taken",
    options = function(parser)
      with_run(parser)
      parser:option("--threads", "Threads to compute with"):argname "N":convert(argument.whole_number(1, 4096))
      parser:flag("--json", "Put the result on stdout as one JSON object, all else on stderr")
    end, run = function(args)
      args.command = "recsys-run flows retry " .. args.RUN
      return control.retry(args.place, args.RUN, args)
    end },
}

return control

--- Runs that were cut short, and how one is taken up again: `recsys-run RECIPE --resume [RUN]`.
---
--- While a run is unfinished its folder holds `unfinished/`: `run/` with the recipe's name, the parameters and the
--- program's commit; `lock`, locked by the process at work, a lock that the system takes back when it dies; and a
--- folder for each step that keeps what it has done so far (recsys.train.checkpoint). It goes when the run is done.
--- A resumed run goes through its steps again, with equal parameters: of those that were completed it takes the results
--- (recsys.flow.record), and the one that was cut short takes up what it finds.

local exit = require "recsys.exit"
local files = require "recsys.files"
local lfs = require "lfs"
local log = require "recsys.log"
local process = require "recsys.track.process"
local store = require "recsys.store"
local uv = require "luv"

local resume = {}

local function below(folder) return folder .. "/unfinished" end

--- Remove a folder with all that is in it; one that is not there is fine.
---@param path string
function resume.remove(path)
  if lfs.symlinkattributes(path, "mode") ~= "directory" then
    os.remove(path)
    return
  end
  for name in lfs.dir(path) do
    if name ~= "." and name ~= ".." then resume.remove(path .. "/" .. name) end
  end
  lfs.rmdir(path)
end

--- Parameters by their whole names, as text that tells values apart to the last bit.
local function flat(params, prefix, into)
  for name, value in pairs(params) do
    if type(value) == "table" and value[1] == nil and next(value) ~= nil then
      flat(value, prefix .. name .. ".", into)
    else
      into[prefix .. name] = store.text(value)
    end
  end
  return into
end

--- Names of the parameters that differ, sorted.
---@return string[]
local function differences(a, b)
  local names, one, other = {}, flat(a, "", {}), flat(b, "", {})
  for name, value in pairs(one) do
    if other[name] ~= value then names[#names + 1] = name end
  end
  for name in pairs(other) do
    if one[name] == nil then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

local GONE <const> = 2 -- ENOENT

local locks = {} -- real path of a run's folder -> file that stays open, and locked, as long as the process lives

--- A folder by its one name, whichever way leads there.
local function name_of(folder) return uv.fs_realpath(folder) or folder end

--- Who is at work on a run, in words, as the lock says.
local function holder(folder)
  local said = (files.read(below(folder) .. "/lock") or ""):match "([^\n]+)\n$"
  return said or "a process"
end

--- Let others take up a run that is ours no more, if it was.
local function release(folder)
  local name = name_of(folder)
  if locks[name] then locks[name]:close() end
  locks[name] = nil
end

local function refuse_busy(folder)
  error({ code = "busy", message = ("--resume: %s is at work on %s"):format(holder(folder), folder) }, 0)
end

--- Whether nobody else is at work on the run; then it is ours until the process ends. One that is done meanwhile has
--- nothing to lock: who takes a run up reads what it says of itself afterwards.
local function take(folder)
  if locks[name_of(folder)] then return true end -- to lock it anew and close the older file would free it
  local file, message, errno = io.open(below(folder) .. "/lock", "a")
  if not file and errno == GONE then return false end
  if not file then error({ code = "io", message = ("cannot resume %s: %s"):format(folder, message) }, 0) end
  if not lfs.lock(file, "w") then
    file:close()
    return false
  end
  file:write(("process %d on %s, since %s,\n"):format(uv.os_getpid(), uv.os_gethostname(),
    os.date "!%Y-%m-%d %H:%M:%S UTC"))
  file:flush()
  locks[name_of(folder)] = file
  return true
end

--- Whether a process is at work on the run in 'folder'.
---@param folder string
---@return boolean
function resume.is_at_work(folder)
  if locks[name_of(folder)] then return true end -- to open and close its file would free it
  local file, _, errno = io.open(below(folder) .. "/lock", "r")
  if not file then return errno ~= GONE end -- of what one may not look at nothing is known
  local free = lfs.lock(file, "r") -- to read is all that another user may
  file:close()
  return not free
end

--- Note that the run in 'folder' begins. It is locked before it can be seen to be one: nobody takes it up in between.
---@param folder string
---@param recipe string  its name
---@param params table
---@param secrets? table<string, string>  the files that secrets are from
---@param trial? { study: string, name: string, path: string }  the trial that it is of a study
---   raises { code = "busy" } when a process is at work on it
function resume.begin(folder, recipe, params, secrets, trial)
  files.make_folder(below(folder))
  if not take(folder) then refuse_busy(folder) end
  store.save(below(folder) .. "/run", { recipe = recipe, params = params, secrets = secrets,
    trial = trial, commit = require("recsys.core").commit }, true)
end

--- Forget what was kept: the run is done. From the rename on it is, whenever it is killed.
function resume.finish(folder)
  local gone = folder .. "/finished"
  os.rename(below(folder), gone)
  release(folder)
  resume.remove(gone)
end

--- A folder for what a step keeps until the run is done.
---@param folder string  the run's
---@param step string    its number and name
---@return string        not made yet
function resume.place(folder, step)
  return below(folder) .. "/" .. step
end

--- What the run said of itself when it began; nil when it is not unfinished.
local function read(folder)
  if not files.exists(below(folder) .. "/run/value.lua") then return nil end
  local ok, begun = exit.try(store.load, below(folder) .. "/run")
  return ok and begun or nil
end

--- Lock a run that was read as an unfinished one: whether it is ours, and still one.
local function take_up(folder)
  if not take(folder) then return false end
  if read(folder) then return true end
  release(folder) -- who was at work on it has finished it meanwhile
  return false
end

--- Files that a killed process was writing.
---@param of_gone? boolean  those alone whose process is gone: the folder may be another one's
local function sweep_unfinished(folder, of_gone)
  for _, name in ipairs(files.names(folder)) do
    local path = folder .. "/" .. name
    if files.is_unfinished(name) then
      local pid = math.tointeger(tonumber(name:match "%.(%d+)%.tmp$"))
      if not of_gone or pid and not process.started(pid) then os.remove(path) end
    elseif lfs.symlinkattributes(path, "mode") == "directory" then
      sweep_unfinished(path, of_gone)
    end
  end
end

--- Remove the files that a killed process was writing in a run's folder.
---@param folder string
function resume.sweep(folder)
  sweep_unfinished(folder)
  local tasks = folder .. "/tasks"
  if not files.exists(tasks) then return end
  for task in lfs.dir(tasks) do
    if not task:find "^%." then
      for name in lfs.dir(tasks .. "/" .. task) do
        local left = name:find "^value%.safetensors%.%w+$" or name:find "^value%.lua%.%d+%.tmp$"
        if left then os.remove(("%s/%s/%s"):format(tasks, task, name)) end
      end
    end
  end
end

local function taken_up(folder, begun)
  local commit = require("recsys.core").commit
  if begun.commit ~= commit then
    log.warn("%s was begun by commit %s of the program, this is %s: it goes on, but where the program has changed, not "
      .. "to the same bits", folder, begun.commit, commit)
  end
  resume.sweep(folder)
  return folder
end

--- The unfinished run of a recipe with these parameters that was begun last and that nobody is at work on. Raises
--- { code = "busy" } when somebody is at work on all that there are.
---@param runs string    the folder of runs
---@param recipe string  its name
---@param params table
---@return string? folder  nil: there is none
function resume.latest(runs, recipe, params)
  local found = {}
  if files.exists(runs) then
    for name in lfs.dir(runs) do
      if name:sub(1, #recipe + 1) == recipe .. "-" then found[#found + 1] = runs .. "/" .. name end
    end
  end
  table.sort(found, function(a, b)
    local at_a, at_b = lfs.attributes(a, "modification"), lfs.attributes(b, "modification")
    return at_a > at_b or at_a == at_b and a > b
  end)
  local busy
  for _, folder in ipairs(found) do
    local begun = read(folder)
    resume.remove(folder .. "/finished") -- left by one that was killed at its end
    if not begun and not files.exists(folder .. "/result.json") then
      sweep_unfinished(folder, true) -- or before it had begun
    end
    if begun and begun.recipe == recipe and #differences(begun.params, params) == 0 then
      if take_up(folder) then return taken_up(folder, begun) end
      busy = busy or read(folder) and folder -- else it was finished meanwhile
    end
  end
  if busy then refuse_busy(busy) end
end

--- The folder that RUN stands for: a path, or a name below 'runs'.
local function folder_of(run, runs)
  run = run:gsub("(.)/+$", "%1")
  for _, folder in ipairs { run, runs .. "/" .. run } do
    if lfs.attributes(folder, "mode") == "directory" then return folder end
  end
  exit.usage_error("--resume: there is no run '%s', neither a folder of that name nor one in %s", run, runs)
end

local function refuse_finished(folder)
  exit.usage_error("--resume: %s is %s", folder, files.exists(folder .. "/result.json")
    and "done, there is nothing to resume" or "no unfinished run")
end

local function refuse_trial(folder, trial)
  exit.usage_error("%s is %s of the study '%s', which alone goes on with it, and asks it no test rows: recsys-run tune "
    .. "%s --study %s --trials N, with what else that was begun with", folder, trial.name, trial.study, trial.path,
    trial.study)
end

--- The run that somebody asks for by name. Raises { code = "usage" } when it cannot be resumed, and why;
--- { code = "busy" } when a process is at work on it.
---@param run string      a path, or a name below 'runs'
---@param runs string
---@param recipe string   the recipe's name
---@param params? table   what the user has set; nil: nothing, the run's own are taken
---@param is_trial? boolean  its study asks: nobody else may, as nothing would end the trial before its test rows
---@return string folder
---@return table params   the run's own
---@return table<string, string>? secrets  the files that its secrets are from
function resume.named(run, runs, recipe, params, is_trial)
  local folder = folder_of(run, runs)
  local begun = read(folder)
  if not begun then refuse_finished(folder) end
  if begun.trial and not is_trial then refuse_trial(folder, begun.trial) end
  if begun.recipe ~= recipe then
    exit.usage_error("--resume: %s is a run of the recipe '%s', not of '%s'", folder, begun.recipe, recipe)
  end
  local other = params and differences(begun.params, params) or {}
  if #other > 0 then
    exit.usage_error("--resume: %s was begun with other values of %s; without --set, --config, --seed and variables "
      .. "its own are taken", folder, table.concat(other, ", "))
  end
  if not take_up(folder) then
    if not read(folder) then refuse_finished(folder) end
    refuse_busy(folder)
  end
  return taken_up(folder, begun), begun.params, begun.secrets
end

return resume

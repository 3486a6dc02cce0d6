--- How many tasks at once: `limits = { gpu = 1, database = 4 }`, a limit by its name, over all flows of a user on this
--- machine.
---
--- A limit has a file for each of its places, and who holds one has locked it. The system takes the lock back when
--- the process ends, however it does, so a dead holder's place is free at once. Each task counts with the number that
--- it declares itself: one that says 2 begins while fewer than 2 of the first two places are taken.

local exit = require "recsys.exit"
local files = require "recsys.files"
local lfs = require "lfs"
local uv = require "luv"

local limit = {}

local held = {} -- path -> file: places of this process, whose locks do not stop itself

--- The folder of all limits: $RECSYS_LIMITS, else one of the user's on this machine.
---@return string
function limit.folder()
  local named = os.getenv "RECSYS_LIMITS"
  if named and named ~= "" then return named end
  local caches = os.getenv "XDG_CACHE_HOME"
  if not caches or caches == "" then caches = (uv.os_homedir() or "/tmp") .. "/.cache" end
  return ("%s/recsys-run/limits-%s"):format(caches, uv.os_gethostname())
end

--- A task's `limits`, looked at: name -> how many at once.
---@param given table?
---@param task string  for messages
---@return table?      raises { code = "usage" } for what makes no sense
function limit.read(given, task)
  if given == nil then return nil end
  if type(given) ~= "table" then
    exit.usage_error("task '%s': limits must be a table such as { gpu = 1 }, not a %s", task, type(given))
  end
  for name, most in pairs(given) do
    if type(name) ~= "string" or not name:match "^[%w_][%w_%-]*$" then
      exit.usage_error("task '%s': limits: '%s' is no name of letters, digits, _ and -", task, tostring(name))
    end
    if math.type(most) ~= "integer" or most < 1 or most > 4096 then
      exit.usage_error("task '%s': limits.%s must be a whole number, 1 to 4096: how many at once", task, name)
    end
  end
  return next(given) and given or nil
end

--- The file of a place, locked by this process; nil when somebody holds it.
local function lock(path)
  if held[path] then return nil end -- to open and close it would free it
  local file, message = io.open(path, "r+")
  if not file then file, message = io.open(path, "w+") end
  if not file then error({ code = "io", message = "cannot take a limit's place: " .. message }, 0) end
  if lfs.lock(file, "w") then return file end
  file:close()
end

local function take_one(folder, name, most, holder)
  for i = 1, most do
    local path = ("%s/%s-%d"):format(folder, name, i)
    local file = lock(path)
    if file then
      held[path] = file
      file:write(("%s, process %d\n"):format(holder, uv.os_getpid()))
      file:flush()
      return path
    end
  end
end

local function free(paths)
  for _, path in ipairs(paths) do
    held[path]:close()
    held[path] = nil
  end
end

--- Who holds the first place of a limit, as they said.
local function holder_of(folder, name)
  local path = ("%s/%s-1"):format(folder, name)
  local said
  if held[path] then
    held[path]:seek "set"
    said = held[path]:read "l"
  else
    said = (files.read(path) or ""):match "^[^\n]+"
  end
  return said or "nobody any more"
end

--- Take a place of each limit, or none.
---@param limits table<string, integer>?
---@param holder string     who takes it, for those who wait: "run two_tower-20260101-020000, task train"
---@return fun()? release   nil: at least one has no place
---@return string? name     of the one without
---@return string? by       who holds its first place
function limit.try(limits, holder)
  if not limits then return function() end end
  local folder, paths, names = files.make_folder(limit.folder()), {}, {}
  for name in pairs(limits) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local path = take_one(folder, name, limits[name], holder)
    if not path then
      free(paths)
      return nil, name, holder_of(folder, name)
    end
    paths[#paths + 1] = path
  end
  return function()
    free(paths)
    paths = {}
  end
end

local EVERY <const> = 0.1 -- seconds between looks at a place that is taken

--- Wait for a place of each limit. A signal ends the wait, by what it raises.
---@param told fun(name: string, by: string)  called once when there is something to wait for
---@return fun() release
function limit.take(limits, holder, told)
  local release, name, by = limit.try(limits, holder)
  if not release then told(name, by) end
  while not release do
    require("recsys.flow.retry").pause(EVERY)
    release = limit.try(limits, holder)
  end
  return release
end

return limit

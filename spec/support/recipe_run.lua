--- Runs of a recipe by the program under test, in a folder of their own. Recipes have `require "notes"` there: what
--- their tasks note down, which outlives a kill.

local command = require "spec.support.command"
local files = require "recsys.files"
local json = require "recsys.json"
local lfs = require "lfs"
local uv = require "luv"

local Runs = {}
Runs.__index = Runs

local NOTES <const> = [[
local notes = {}

function notes.pid() return math.tointeger(require "luv".os_getpid()) end

--- Add a line of words to a file of the folder.
function notes.add(name, ...)
  local file <close> = assert(io.open(name, "a"))
  file:write(table.concat({ ... }, " "), "\n")
end

--- Whether this is asked for the first time of what has this name.
function notes.first(name)
  local path = "first-" .. name
  if io.open(path) then return false end
  assert(io.open(path, "w")):close()
  return true
end

return notes]]

--- A new folder with recipe.lua; :remove() takes it away.
---@param recipe string
local function new(recipe)
  local self = setmetatable({ folder = command.temporary(), count = 0 }, Runs)
  self.real = uv.fs_realpath(self.folder)
  command.write(self:path "recipe.lua", recipe)
  command.write(self:path "notes.lua", NOTES)
  return self
end

function Runs:path(name) return self.folder .. "/" .. name end

function Runs:remove() command.remove(self.folder) end

--- Begin `recsys-run recipe.lua --json WORDS`; the table has code and signal once it has ended.
---@param what string   the parameter `what`
---@param words? string[]
function Runs:begin(what, words)
  self.count = self.count + 1
  local run = { out = self:path("out" .. self.count), err = self:path("err" .. self.count) }
  local out, err = uv.fs_open(run.out, "w", 420), uv.fs_open(run.err, "w", 420)
  run.handle, run.pid = uv.spawn(command.program, { cwd = self.folder, stdio = { nil, out, err },
    args = { "recipe.lua", "--json", "--threads", "1", "--set", "track.enabled=false", "--set", "what=" .. what,
      table.unpack(words or {}) } },
    function(code, signal) run.code, run.signal = code, signal end)
  uv.fs_close(out)
  uv.fs_close(err)
  assert(run.handle, run.pid)
  return run
end

--- Wait for a run's end: exit code, what it said on stderr, its result.
function Runs.finish(_, run)
  while not run.code do uv.run "once" end
  run.handle:close()
  uv.run "nowait"
  local out = command.read(run.out)
  return run.signal ~= 0 and 128 + run.signal or run.code, command.read(run.err), out ~= "" and json.decode(out) or nil
end

function Runs:run(what, words) return self:finish(self:begin(what, words)) end

--- The folder of the n-th run; nil when there is none.
function Runs:run_folder(n)
  local names = files.names(self:path "artifacts/runs")
  return names[n or 1] and self:path("artifacts/runs/" .. names[n or 1])
end

--- The tasks of the n-th run by their names.
function Runs:tasks(n)
  local tasks = {}
  for _, task in ipairs(json.decode(command.read(self:run_folder(n) .. "/tasks.json"))) do tasks[task.name] = task end
  return tasks
end

--- What a file of the folder says; "" where it is not there.
function Runs:read(name) return files.read(self:path(name)) or "" end

function Runs:lines(name) return select(2, self:read(name):gsub("\n", "")) end

--- Wait until fn() says so.
function Runs:wait(fn, what)
  local ends = uv.hrtime() + 30e9
  while not fn() do
    if uv.hrtime() > ends then error(("for 30 s no %s\n%s"):format(what, self:read("err" .. self.count)), 2) end
    uv.run "nowait"
    uv.sleep(5)
  end
end

--- The processes that a file names and that are there, not only waiting for their parent to look. A number that another
--- process has by now is none of ours.
function Runs:alive(name)
  local list = {}
  for pid in self:read(name):gmatch "%d+" do
    local state = (files.read("/proc/" .. pid .. "/stat") or ""):match "%) (%a)"
    local is_ours = uv.fs_readlink("/proc/" .. pid .. "/cwd") == self.real
    if state and state ~= "Z" and is_ours then list[#list + 1] = tonumber(pid) end
  end
  return list
end

--- What killed processes have left below a folder of ours: files and folders that were being made.
function Runs:left_over(name)
  local found = {}
  local function look(folder)
    for _, part in ipairs(files.names(folder)) do
      local path = folder .. "/" .. part
      local left = part:find "%.tmp$" or part:find "%.part$" or part:find "%.gone$"
        or part:find "%.safetensors%.%w+$" or part == "finished"
      if left then
        found[#found + 1] = path
      elseif lfs.symlinkattributes(path, "mode") == "directory" then
        look(path)
      end
    end
  end
  look(self:path(name))
  return found
end

return new

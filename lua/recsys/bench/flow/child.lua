--- What a task in a process of its own costs by the clock: 50 tasks one after another that do next to nothing, each
--- given what the one before gave, all as in a run of a recipe.
---
--- The fact `work_ms` is what a task takes of a processor, in both processes; `element_ms` what an element of a map
--- over as many takes, with two processes at a time.

local base = require "recsys.base"
local files = require "recsys.files"
local flow = require "recsys.flow"
local log = require "recsys.log"
local record = require "recsys.flow.record"
local resume = require "recsys.resume"
local uv = require "luv"

local TASKS <const> = 50

local RECIPE <const> = [[
local recsys = require "recsys"
local function add(n) return n + 1 end
return recsys.recipe {
  name = "bench", about = "Tasks in processes of their own", params = { tasks = 50, map = false },
  run = function(flow, p)
    local last, list = 0, {}
    for i = 1, p.tasks do list[i] = i end
    if p.map then return flow:map("all", { concurrency = 2 }, add, list)[p.tasks] end
    for i = 1, p.tasks do last = flow:task("task" .. i, { process = true }, add, last) end
    return last
  end,
}
]]

local runs = 0

--- What the recipe gives, and seconds of its run.
local function run_of(state, map)
  runs = runs + 1
  local level, path = log.level, state.folder .. "/recipe.lua"
  log.level = "quiet"
  local recipe, params = require("recsys.recipe").load(path), { tasks = state.tasks, map = map }
  local began, folder = uv.hrtime(), files.make_folder(("%s/runs/run-%d"):format(state.folder, runs))
  local of = record.begin { folder = folder, runs = state.folder .. "/runs", recipe = "bench", path = path }
  local steps = flow.new { folder = folder, record = of, caches = true, recipe = path,
    origin = { name = "bench", path = path, params = params, threads = base.threads() } }
  local sum = recipe.run(steps, params):value()
  files.settle()
  of:finish "completed"
  log.level = level
  return sum, (uv.hrtime() - began) / 1e9
end

--- Seconds that this process and its children were at work.
local function work()
  local sum = 0
  for _, usage in ipairs { uv.getrusage() } do
    for _, part in ipairs { usage.utime, usage.stime } do sum = sum + part.sec + part.usec / 1e6 end
  end
  local children = (files.read "/proc/self/stat" or ""):match "%) (.*)$"
  local at = 0
  for field in (children or ""):gmatch "%S+" do
    at = at + 1
    if at == 14 or at == 15 then sum = sum + tonumber(field) / 100 end -- of those that were waited for, in ticks
  end
  return sum
end

return {
  about = "50 tasks in processes of their own: what each adds",
  unit = "task",
  per = function(arguments) return arguments.tasks end,
  prepare = function(folder, options)
    return { folder = folder .. "/child", tasks = math.max(1, math.floor(TASKS * options.scale)) }
  end,
  setup = function(arguments)
    resume.remove(arguments.folder)
    files.make_folder(arguments.folder)
    files.write(arguments.folder .. "/recipe.lua", RECIPE, true)
    uv.os_setenv("RECSYS_CACHE", arguments.folder .. "/cache")
    return arguments
  end,
  run = function(state)
    resume.remove(state.folder .. "/cache") -- nothing is kept yet
    local before = work()
    local sum, seconds = run_of(state, false)
    state.work = work() - before
    return sum, seconds
  end,
  facts = function(state)
    resume.remove(state.folder .. "/cache")
    local _, mapped = run_of(state, true)
    resume.remove(state.folder)
    return { work_ms = state.work / state.tasks * 1e3, element_ms = mapped / state.tasks * 1e3 }
  end,
  target = { seconds = TASKS * 30e-3 },
}

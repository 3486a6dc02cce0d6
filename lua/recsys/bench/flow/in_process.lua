--- What a flow adds to a task: 1,000 tasks that do next to nothing, each given what the one before gave, all as in a
--- run of a recipe: states committed to flow.db, results saved and kept for later runs, tasks.json.
---
--- `run` is a run that computes everything; the facts have one that finds every result kept, and one whose flow keeps
--- nothing (no folder), so that what the disk does is told apart.

local files = require "recsys.files"
local flow = require "recsys.flow"
local log = require "recsys.log"
local record = require "recsys.flow.record"
local resume = require "recsys.resume"
local uv = require "luv"

local TASKS <const> = 1000

local function add(n) return n + 1 end

local runs = 0

--- Seconds of a flow of so many tasks.
local function flow_of(state, options)
  runs = runs + 1
  local level = log.level
  log.level = "quiet"
  local began = uv.hrtime()
  if options.folder then
    options.folder = files.make_folder(("%s/runs/run-%d"):format(state.folder, runs))
    options.record = record.begin { folder = options.folder, runs = state.folder .. "/runs", recipe = "bench",
      path = "bench" }
    options.caches = true
  end
  local steps = flow.new(options)
  local last = 0
  for i = 1, state.tasks do last = steps:task("task" .. i, add, last) end
  local sum = last:value()
  if options.folder then
    files.settle()
    steps:write_summary()
    options.record:finish "completed"
  end
  local seconds = (uv.hrtime() - began) / 1e9
  log.level = level
  return sum, seconds
end

return {
  about = "1,000 trivial tasks of a flow: what each adds",
  unit = "task",
  per = function(arguments) return arguments.tasks end,
  prepare = function(folder, options)
    return { folder = folder .. "/flow", tasks = math.max(1, math.floor(TASKS * options.scale)) }
  end,
  setup = function(arguments)
    resume.remove(arguments.folder)
    files.make_folder(arguments.folder)
    return arguments
  end,
  run = function(state)
    -- Nothing is kept yet in a folder of its own. To clear one away first would be part of the time: a file system that
    -- does not use the place of a file again for some seconds looks for another among all that have just gone.
    uv.os_setenv("RECSYS_CACHE", ("%s/cache-%d"):format(state.folder, runs))
    local work = os.clock()
    local sum, seconds = flow_of(state, { folder = true })
    state.work = os.clock() - work
    return sum, seconds
  end,
  facts = function(state)
    local _, cached = flow_of(state, { folder = true })
    local _, bare = flow_of(state, {})
    resume.remove(state.folder)
    return { work_ms = state.work / state.tasks * 1e3, cached_ms = cached / state.tasks * 1e3,
      without_folder_ms = bare / state.tasks * 1e3 }
  end,
  target = { seconds = TASKS * 1e-3 },
}

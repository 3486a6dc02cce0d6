--- What tracking adds to a run of a recipe: the same training with `track.enabled` and without, in turns, from the
--- program's start to its end.
---
--- The recipe loads, splits, encodes and trains matrix factorisation on a sample of news. Each epoch logs a dozen
--- metrics. What does not grow with the run (opening the store, parameters, files, the end) is measured by runs of one
--- epoch, and is not counted among the share.

local files = require "recsys.files"
local host = require "recsys.host"
local uv = require "luv"

local EPOCHS <const> = 60
local MOST <const> = 0.01 -- of the run's time

local RECIPE <const> = [[
local recsys = require "recsys"
local feature, job = recsys.feature, recsys.job
return recsys.recipe {
  name = "run_cost", about = "Train",
  params = { data = { source = "news", dir = "news", scale = 0.03 }, split = { kind = "time", valid = 0.1, test = 0.1 },
    model = { kind = "mf", dim = 64 }, train = { epochs = 1, batch = 1024, patience = 1000, checkpoint = 0 } },
  run = function(flow, p)
    local data = flow:task("load", job.load, p.data)
    local split = flow:task("split", job.split, data, p.split, p.seed)
    local ids = { user = { feature.id { "user" } }, item = { feature.id { "item" } } }
    local encoder = flow:task("features", feature.fit, data, split.train, ids)
    flow:task("train", job.train, p, encoder, data, split):value()
    return { epochs = p.train.epochs }
  end,
}
]]

--- Seconds that the recipe takes in its folder, and those of processors, which other work on the machine changes less.
local function train(folder, epochs, tracked)
  local out = os.tmpname()
  local began = uv.hrtime()
  local ok = os.execute(("cd '%s' && { '%s' run_cost.lua --refresh all --set train.epochs=%d --set track.enabled=%s "
    .. ">'%s' 2>&1 && times >'%s'; }"):format(folder, host.executable, epochs, tracked, out, out))
  local seconds, said = (uv.hrtime() - began) / 1e9, files.read(out) or ""
  os.remove(out)
  if not ok then error("the training failed: " .. said:sub(-600)) end
  local minutes, user, more, system = said:match "(%d+)m([%d.]+)s%s+(%d+)m([%d.]+)s%s*$" -- of the shell's children
  return seconds, 60 * (minutes + more) + user + system
end

local function median(list)
  table.sort(list)
  return list[(#list + 1) // 2]
end

--- What tracking adds to runs of so many epochs, the tracked ones' seconds, and both of processors.
local function pair(state, epochs, into)
  local plain, plain_work = train(state.folder, epochs, false)
  local seconds, work = train(state.folder, epochs, true)
  local function add(name, value)
    into[name] = into[name] or {}
    table.insert(into[name], value)
  end
  add("plain", plain)
  add("added", seconds - plain)
  add("plain_work", plain_work)
  add("added_work", work - plain_work)
  return seconds
end

return {
  about = ("a training of %d epochs that is tracked, beside the same that is not"):format(EPOCHS), same = false,
  prepare = function(folder, options)
    local place = uv.fs_realpath(files.make_folder(folder .. "/run_cost"))
    files.write(place .. "/run_cost.lua", RECIPE)
    train(place, 1, false) -- the data is made and read
    return { folder = place, epochs = math.max(2, math.floor(EPOCHS * options.scale)) }
  end,
  setup = function(arguments)
    return { folder = arguments.folder, epochs = arguments.epochs, whole = {}, start = {} }
  end,
  run = function(state)
    pair(state, 1, state.start)
    return nil, pair(state, state.epochs, state.whole)
  end,
  facts = function(state)
    local whole, start = state.whole, state.start
    return { model_seconds = median(whole.plain), start_seconds = median(start.added),
      share = (median(whole.added) - median(start.added)) / median(whole.plain),
      share_of_processors = (median(whole.added_work) - median(start.added_work)) / median(whole.plain_work) }
  end,
  judge = function(sides)
    local reached = sides.recsys.facts.share_of_processors
    return { { what = "of the run's work, beside its start and end", reached = reached, wanted = MOST,
      holds = reached <= MOST } }
  end,
}

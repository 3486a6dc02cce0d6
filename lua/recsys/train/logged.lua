--- The rows of a training's curves, into the run that is tracked; nothing where none is.

local flow = require "recsys.flow"

local logged = {}

local seen = setmetatable({}, { __mode = "k" }) -- run -> { task = how often it has trained ... }, none before the first

local trainings = 0 -- that were begun, in this process

local listener = function() end -- is told of every row

--- From here on call fn(number, row) for each row of the curves; number: which training of this process it is.
---@param fn fun(number: integer, row: table)
function logged.listen(fn) listener = fn end

--- What stands before the names of a training's metrics. A run's first training has those of the curves, "train/loss";
--- others have the task's name, and which of its trainings they are: "second/train/loss", "second-2/train/loss".
local function prefix_of(run, task)
  local counts = seen[run]
  if not counts then
    seen[run] = { [task] = 1 }
    return ""
  end
  counts[task] = (counts[task] or 0) + 1
  return task .. (counts[task] > 1 and "-" .. counts[task] or "") .. "/"
end

--- How often each task has trained in a run, after setting it when it is given; nil before the first training.
---@param counts? table<string, integer>
---@return table<string, integer>?
function logged.counts(run, counts)
  if counts then seen[run] = counts end
  return seen[run]
end

--- Note how often each task has trained so far: what is given goes back there, so that another attempt's trainings have
--- the names of those of the one that failed.
---@return fun()
function logged.mark()
  local run = require "recsys.track.current"()
  local before = run and seen[run]
  local function copy()
    local counts = before and {}
    for task, count in pairs(before or {}) do counts[task] = count end
    return counts
  end
  before = copy()
  return function()
    if run then seen[run] = copy() end
  end
end

--- What a training logs its rows with.
---@return fun(row: table)
function logged.begin()
  flow.trains()
  local run = require "recsys.track.current"()
  trainings = trainings + 1
  local number = trainings
  local function tell(row)
    listener(number, row)
    flow.note_row(number, row)
  end
  if not run then return tell end
  local prefix = prefix_of(run, flow.task_name() or "training")
  return function(row)
    tell(row)
    local values = {}
    for name, value in pairs(row) do
      if name ~= "epoch" then values[prefix .. (name:find "/" and name or "epoch/" .. name)] = value end
    end
    run:metrics(values, row.epoch)
  end
end

return logged

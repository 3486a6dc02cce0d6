--- What tracking adds to a run of a recipe: the same training with `track.enabled` and without, in turns, from the
--- program's start to its end.
---
--- Each epoch logs a dozen metrics. What does not grow with the run (opening the store, parameters, files, the end) is
--- measured by runs of one epoch, and is not counted among the share.

local files = require "recsys.files"
local host = require "recsys.host"
local uv = require "luv"

local EPOCHS <const> = 60
local MOST <const> = 0.01 -- of the run's time

--- Seconds that the recipe takes in its folder.
local function train(folder, epochs, tracked)
  local code
  local began = uv.hrtime()
  local handle, why = uv.spawn(host.executable, { cwd = folder, stdio = { nil, nil, nil }, args = {
    host.root .. "/recipes/mf.lua", "--no-cache", "--set", "data.dir=news", "--set", "train.patience=0",
    "--set", "train.checkpoint=0", "--set", ("train.epochs=%d"):format(epochs),
    "--set", ("track.enabled=%s"):format(tracked) } }, function(status) code = status end)
  if not handle then error("cannot start recsys-run: " .. why) end
  while not code do uv.run "once" end
  handle:close()
  uv.run "nowait"
  if code ~= 0 then error("the training ended with code " .. code) end
  return (uv.hrtime() - began) / 1e9
end

local function median(list)
  table.sort(list)
  return list[(#list + 1) // 2]
end

return {
  about = ("a training of %d epochs that is tracked, beside the same that is not"):format(EPOCHS), same = false,
  prepare = function(folder, options)
    local place = uv.fs_realpath(files.make_folder(folder .. "/run_cost"))
    return { folder = place, epochs = math.max(2, math.floor(EPOCHS * options.scale)) }
  end,
  setup = function(arguments)
    return { arguments = arguments, untracked = {}, starts = {} }
  end,
  run = function(state)
    local folder, epochs = state.arguments.folder, state.arguments.epochs
    state.untracked[#state.untracked + 1] = train(folder, epochs, false)
    local seconds = train(folder, epochs, true)
    state.starts[#state.starts + 1] = -train(folder, 1, false) + train(folder, 1, true)
    return nil, seconds
  end,
  facts = function(state)
    return { model_seconds = median(state.untracked), start_seconds = median(state.starts) }
  end,
  judge = function(sides)
    local us = sides.recsys
    local reached = (us.seconds - us.facts.start_seconds) / us.facts.model_seconds - 1
    return { { what = "of the run's time, beside its start and end", reached = reached, wanted = MOST,
      holds = reached <= MOST } }
  end,
  target = { model = 1 + MOST },
}

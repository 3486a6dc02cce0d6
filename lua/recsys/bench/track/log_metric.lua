--- Logging values of metrics from a loop, one call each, to the database on disk: with all that carries them there.
---
--- Ours takes a hundred times as many calls, so that its writes to the database count as they do in a long run.

local files = require "recsys.files"
local track = require "recsys.track"
local uv = require "luv"

local MORE <const> = 100

return {
  about = "a call that logs one value of a metric, into SQLite",
  unit = "call", per = function(arguments) return arguments.calls end,
  prepare = function(folder, options)
    local place = files.make_folder(folder .. "/log_metric")
    return { folder = uv.fs_realpath(place), calls = math.max(20, math.floor(200 * options.scale)) }
  end,
  setup = function(arguments)
    return { store = track.open(arguments.folder .. "/ours"), calls = arguments.calls }
  end,
  run = function(state)
    local began = uv.hrtime()
    local run = track.start { experiment = "bench", store = state.store }
    for step = 1, MORE * state.calls do run:metric("train/loss", 1 / step, step) end
    run:finish()
    local seconds = (uv.hrtime() - began) / 1e9
    local kept = #state.store:metric_history { run_id = run.id, metric_key = "train/loss" }
    if kept ~= MORE * state.calls then error(("%d of %d values are there"):format(kept, MORE * state.calls)) end
    return { kept = kept / MORE }, seconds / MORE
  end,
  facts = function(state)
    state.store:close()
    return { calls = MORE * state.calls }
  end,
  peers = { mlflow = "mlflow mlflow_server.py log" },
  target = { times = { mlflow = 100 } },
}

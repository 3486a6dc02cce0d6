--- EASE on MovieLens-1M's pairs (recsys.bench.neighbours): from a sparse matrix users x items in memory to the map,
--- both sides in f64. The mean size of its weights must be the same.

local base = require("recsys.core").base
local ease = require "recsys.ease"
local neighbours = require "recsys.bench.neighbours"

local L2 <const> = 500

return {
  about = "EASE in closed form, of MovieLens-1M's pairs: X'X, its inverse in f64, and the map",
  unit = "call",
  prepare = function(folder, options)
    local arguments = neighbours.movielens(folder, options)
    arguments.l2 = L2
    return arguments
  end,
  setup = function(arguments) return { l2 = arguments.l2, matrix = neighbours.matrix(arguments):transpose() } end,
  run = function(state)
    local began = base.clock()
    local map <close> = ease.map(state.matrix, { l2 = state.l2, precision = "f64" })
    local seconds = base.clock() - began
    return map:to "f64":abs():mean(), seconds
  end,
  peers = { numpy = "ease.py" }, target = { times = { numpy = 1 } },
}

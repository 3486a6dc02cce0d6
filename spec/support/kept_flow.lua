--- For specs of flows in this process: each test has a folder of its own, where results are kept, and nothing is told.

local command = require "spec.support.command"
local files = require "recsys.files"
local flow = require "recsys.flow"
local log = require "recsys.log"
local uv = require "luv"

local kept_flow = {}

local level, runs = nil, 0

--- For before each test.
---@return string folder
function kept_flow.begin()
  level, log.level = log.level, "quiet"
  kept_flow.folder = command.temporary()
  uv.os_setenv("RECSYS_CACHE", kept_flow.folder .. "/cache")
  return kept_flow.folder
end

--- For after each test.
function kept_flow.finish()
  uv.os_unsetenv "RECSYS_CACHE"
  command.remove(kept_flow.folder)
  log.level = level
end

--- A run's flow.
---@param options? table  as for flow.new
function kept_flow.new(options)
  runs = runs + 1
  options = options or {}
  options.folder, options.caches = files.make_folder(("%s/runs/run-%d"):format(kept_flow.folder, runs)), true
  return flow.new(options)
end

return kept_flow

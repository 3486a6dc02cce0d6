--- The time of day.

local uv = require "luv"

local clock = {}

local gettimeofday = uv.gettimeofday

--- Milliseconds since 1970.
---@return integer
function clock.now()
  local seconds, microseconds = gettimeofday()
  return seconds * 1000 + microseconds // 1000
end

return clock

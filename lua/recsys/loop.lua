--- The event loop, for who waits for processes that it has started and looks at clocks and signals meanwhile.

local uv = require "luv"

local loop = {}

--- Let other things happen, until one has or some time has passed. What was closed before is given up by the loop then.
---@param ms integer
function loop.rest(ms)
  local timer = uv.new_timer()
  timer:start(ms, ms, function() end) -- it goes on: a single one may be over before the loop begins to wait
  uv.run "once"
  timer:close()
  uv.run "nowait" -- luv's own end must not meet what is closing
end

return loop

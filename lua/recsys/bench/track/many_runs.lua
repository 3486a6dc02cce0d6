--- A page of the table of 100,000 runs, as our page asks for it: 100 runs in the order of a metric, and the next ones.

local json = require "recsys.json"
local tracked = require "recsys.bench.tracked"

local function ask(server, experiment, offset)
  local answer = assert(server.client:request { method = "GET", url = ("%s/api/recsys/runs?experiment_ids=%s&order_by="
    .. "metrics.m1%%20DESC&offset=%d&limit=100"):format(server.url, experiment, offset) })
  if answer.status ~= 200 then error(("status %d: %s"):format(answer.status, answer.body:sub(1, 300))) end
  return json.decode(answer.body)
end

return {
  about = "a page of the table of 100,000 runs, in the order of a metric",
  prepare = function(folder, options)
    return tracked.make(folder, { runs = math.max(1000, math.floor(100000 * options.scale)), params = 5, metrics = 3,
      steps = 2 })
  end,
  setup = function(arguments)
    return { server = tracked.serve(arguments.ours):wait(), experiment = arguments.experiment }
  end,
  run = function(state)
    return #ask(state.server, state.experiment, 0).runs
  end,
  facts = function(state)
    local mib = state.server:resident_mib()
    state.server:stop()
    return { resident_mib = mib }
  end,
  target = { seconds = 0.1 },
}

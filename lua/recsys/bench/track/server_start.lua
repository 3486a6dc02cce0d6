--- From the start of a server to its first page: the page itself, and the first 100 runs of its table.

local tracked = require "recsys.bench.tracked"
local uv = require "luv"

return {
  about = "from the start of a server to its page and the first 100 of 2,000 runs",
  prepare = tracked.prepare,
  run = function(arguments)
    local began = uv.hrtime()
    local server <close> = tracked.serve(arguments.ours):wait()
    local body = server:search { experiment_ids = { arguments.experiment }, max_results = 100,
      order_by = { "attributes.start_time DESC" } }
    return tracked.check(body), (uv.hrtime() - began) / 1e9
  end,
  peers = { mlflow = "mlflow mlflow_server.py start" },
  target = { times = { mlflow = 50 } },
}

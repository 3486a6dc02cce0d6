--- The first page of a table of runs, the youngest first: 100 runs with their parameters and latest metrics.

local tracked = require "recsys.bench.tracked"

return tracked.search_row("the first 100 of 2,000 runs x 20 parameters x 10 metrics x 50 steps, by the servers",
  "search", function(arguments)
    return { experiment_ids = { arguments.experiment }, max_results = 100, order_by = { "attributes.start_time DESC" } }
  end, 10)

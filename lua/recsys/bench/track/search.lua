--- A search of runs: a condition on a metric and on a parameter, in the order of another metric.

local tracked = require "recsys.bench.tracked"

return tracked.search_row("a search of 2,000 runs by a metric and a parameter, in the order of a metric", "search",
  function(arguments)
    return { experiment_ids = { arguments.experiment }, max_results = 100,
      filter = "metrics.m3 < 1.2 AND params.p05 = '5'", order_by = { "metrics.m1 DESC" } }
  end, 10)

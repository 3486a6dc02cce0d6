--- The metric that systems are compared by: test rows are measured at the cut-offs of eval.k alone, and whether it is
--- among them is to be known before anything is trained.

local exit = require "recsys.exit"

--- Raises a usage error where a metric has a cut-off that is none of eval.k.
---@param name string       such as "ndcg_10"; one without a cut-off, such as "mrr", is always there
---@param parameter string  that it comes from
---@param cuts integer[]    eval.k
return function(name, parameter, cuts)
  local k = tonumber(name:match "_(%d+)$")
  if not k then return end
  for _, cut in ipairs(cuts) do
    if cut == k then return end
  end
  exit.usage_error("%s: '%s' is measured at %d, which eval.k (%s) does not hold: add it there, or take another metric",
    parameter, name, k, table.concat(cuts, ", "))
end

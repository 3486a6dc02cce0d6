--- Which way a metric is better, by its name: the one list that the gate of promotions and the page go by.

local better = {}

--- Words of names of which less is better; a name's words are its runs of letters. In order of the alphabet.
better.less = { "err", "error", "latency", "logloss", "loss", "mae", "mape", "memory", "ms", "mse", "perplexity",
  "rank", "rmse", "second", "seconds", "time" }

local is_less = {}
for _, word in ipairs(better.less) do is_less[word] = true end

--- Whether less of a metric is better: `valid/log_loss`, `rmse`, `mean_rank`; not of `reciprocal_rank`.
---@param name string
---@return boolean
function better.is_less(name)
  local falls = false
  for word in name:lower():gmatch "%a+" do
    if word == "reciprocal" then return false end
    falls = falls or is_less[word] == true
  end
  return falls
end

return better

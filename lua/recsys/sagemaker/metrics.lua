--- What a training job measures, as lines that SageMaker's regular expressions read: `recsys_metric epoch=3;
--- train:loss=0.4312; valid:ndcg_10=0.1234;` on stdout, and the MetricDefinitions that find them there.

local settings = require "recsys.settings"

local metrics = {}

local MOST <const> = 40 -- metrics that SageMaker's tuning takes

--- A number without an exponent, which not every reader of logs knows, to nine digits.
local function shown(value)
  local short = ("%.9g"):format(value)
  if not short:find "e" then return short end
  return (("%.20f"):format(value):gsub("0+$", ""):gsub("%.$", ".0"))
end

--- What is a number that can be told.
local function is_finite(value) return type(value) == "number" and value - value == 0 end

--- A line of values; nil when there is none.
---@param values table<string, any>  those that are no numbers are left out
---@param prefix string   what stands before each name
---@param first? string   a name that is told first, without the prefix
---@return string?
function metrics.line(values, prefix, first)
  local names, parts = {}, { "recsys_metric" }
  for name, value in pairs(values) do
    if name ~= first and type(name) == "string" and is_finite(value) then names[#names + 1] = name end
  end
  if #names == 0 then return nil end
  table.sort(names)
  if first then parts[2] = ("%s=%s;"):format(first, shown(values[first])) end
  for _, name in ipairs(names) do
    parts[#parts + 1] = ("%s%s=%s;"):format(prefix, name:gsub("[/%s;=]", ":"), shown(values[name]))
  end
  return table.concat(parts, " ")
end

--- An epoch's line. Of a recipe that trains several times the second training's names begin with "training2:".
---@param number integer  which training it is
---@param row table       of the curves
---@return string
function metrics.epoch(number, row)
  return metrics.line(row, number == 1 and "" or ("training%d:"):format(number), "epoch")
end

--- The lines of a run that is done: the test rows, and the epoch whose weights were kept.
---@param result table  of the recipe
---@return string[]
function metrics.result(result)
  local lines = { metrics.line(type(result.metrics) == "table" and result.metrics or {}, "test:") }
  local best = {}
  for name, value in pairs(type(result.curves) == "table" and result.curves[result.epoch] or {}) do
    if name == "epoch" or name:find "^train/" or name:find "^valid/" then best[name] = value end
  end
  lines[#lines + 1] = best.epoch and metrics.line(best, "best:", "epoch")
  return lines
end

--- Names that a retrieval job's lines have, those first that are judged by.
local function names_of(params)
  local eval, train = settings.read("eval", params.eval), settings.read("train", params.train)
  local names = { "valid:" .. train.metric, "best:valid:" .. train.metric, "train:loss", "valid:loss" }
  for _, k in ipairs(eval.k) do
    for _, name in ipairs { "ndcg", "hit", "recall", "precision", "map", "coverage" } do
      names[#names + 1] = ("test:%s_%d"):format(name, k)
    end
  end
  for _, name in ipairs { "test:mrr", "test:auc", "monitor:grad_norm", "monitor:update_ratio", "seconds",
    "memory_mib" } do
    names[#names + 1] = name
  end
  return names
end

--- MetricDefinitions of a CreateTrainingJob request; of more than 40 metrics the first.
---@param params table  the recipe's parameters, resolved
---@return { Name: string, Regex: string }[]
function metrics.definitions(params)
  local list = {}
  for i, name in ipairs(names_of(params)) do
    if i <= MOST then list[i] = { Name = name, Regex = (" %s=([-0-9.]+);"):format((name:gsub("[.]", "\\."))) } end
  end
  return list
end

return metrics

--- The catalogue over time: item features that count what came before, read as of the start of a period.
---
--- A count of an item moves with every event, but item vectors are to be computed once for many users. So within a
--- period (a day of UTC, unless declared otherwise) an item's counts are those of its beginning, strictly before it.
--- Training reads each row's items as of the row's period, the evaluation each query's, recommendations and bundles
--- those of their moment; what else is known of the items is encoded once and shared by all periods.

local core = require("recsys.core").feature
local load_features = core.load_features
local tensor = require "recsys.tensor"

local moving = {}

--- The interactions that counts of items may know in training. A user's history holds his own earlier events; an item's
--- holds everybody's, and where a split is not causal a held-out one may be older than a training row.
---@param split Split
---@return Tensor? log  i64 rows; nil: all, as only what came before is counted
function moving.log_of(split)
  if split.causal then return split.history_log end
  return split.train
end

---@class ItemsOverTime
local ItemsOverTime = {}
ItemsOverTime.__index = ItemsOverTime

--- The catalogue of an encoder whose item side counts.
---@param program Program
---@param period integer   ms
---@param items Features   the catalogue, encoded
---@param history History  events of each item: its "users" are catalogue rows
---@return ItemsOverTime
function moving.new(program, period, items, history)
  local names = {}
  for _, output in ipairs(program:outputs "item") do
    if output.moving then names[#names + 1] = output.name end
  end
  return setmetatable({ program = program, period = period, items = items, history = history, names = names },
    ItemsOverTime)
end

--- Where the periods of some times begin.
---@param times Tensor  i64, ms
---@return Tensor  i64
function ItemsOverTime:starts(times)
  return times // self.period * self.period
end

--- The counting outputs alone, of catalogue rows as of the period of one time each.
---@param rows Tensor   i64 [n], 0-based
---@param times Tensor  i64 [n], ms
---@return Features     n rows
function ItemsOverTime:counts(rows, times)
  return self.program:moving(self.history, rows, self:starts(times))
end

--- The whole catalogue as of the period of a time.
---@param time integer  ms
---@return Features
function ItemsOverTime:at(time)
  local n, tensors = self.items:rows(), self.items:tensors()
  local now <close> = self:counts(tensor.arange(0, n, "i64"), tensor.full(time, n, "i64"))
  for name, values in pairs(now:tensors()) do tensors[name] = values end
  return assert(load_features(tensors))
end

--- Items of moments: `gather(rows)` gives inputs of the side item for catalogue rows, the j-th as of the period of
--- times[j], times beginning again where there are more rows than times.
---@param times Tensor  i64 [n], ms
---@return { gather: fun(self: table, rows: Tensor): table<string, Tensor> }
function ItemsOverTime:during(times)
  local this = self
  local function gather(_, rows)
    local copies = {}
    for i = 1, #rows // #times do copies[i] = times end
    local now <close> = this:counts(rows, #copies == 1 and times or tensor.concat(copies))
    local batch = this.items:gather(rows)
    for name, values in pairs(now:gather(tensor.arange(0, #rows, "i64"))) do batch[name] = values end
    return batch
  end
  return { gather = gather }
end

return moving

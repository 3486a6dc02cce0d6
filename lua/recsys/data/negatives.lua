--- Items that users did not choose, for losses and metrics that want some named. In-batch ones are the losses' own.

local frame = require "recsys.frame"
local tensor = require "recsys.tensor"

local KNOWN = { n = true, how = true, power = true, seed = true, epoch = true, known = true, allow_known = true }

local function refuse(...) error("bad argument #3 to 'negatives' (" .. (...):format(select(2, ...)) .. ")", 3) end

local function check(options)
  for name in pairs(options) do
    if not KNOWN[name] then refuse("there is no option '%s'", tostring(name)) end
  end
  if math.type(options.n or 1) ~= "integer" or (options.n or 1) < 1 then refuse "n must be an integer of 1 or more" end
  local how = options.how or "uniform"
  if how ~= "uniform" and how ~= "popularity" then
    refuse("how must be \"uniform\" or \"popularity\", not '%s'", tostring(how))
  end
  if options.power and how ~= "popularity" then refuse "power is for how = \"popularity\"" end
end

--- How often each item is drawn: its known interactions to a power; those without any never.
local function popularity(items, n_items, power)
  local counted = frame.from({ { "item", "number", items } }):group_by("item", { { "n", "count" } })
  local all = frame.from({ { "item", "number", tensor.arange(n_items) } }):join(counted, "item", "left")
  return all:derive({ weight = frame.if_else(frame.col "n":present(), frame.col "n" ^ power, 0) }):column "weight"
end

---@class NegativeOptions
---@field n? integer                  draws a row; default 1
---@field how? "uniform"|"popularity" default "uniform": every item of the catalogue alike
---@field power? number               with "popularity": interactions to this power; default 0.75
---@field seed? integer               default 0
---@field epoch? integer              another one gives other draws; default 0
---@field known? Tensor               i64 rows of the interactions that are known, so no negatives, and whose popularity
---  counts; default: `rows`. Held-out rows do not belong here: what is never a negative would tell of them
---@field allow_known? boolean        true: known items too

--- For each row of interactions n items that its user did not choose, drawn with replacement: rows of `dataset.items`
--- (0-based). A draw is a function of (seed, epoch, row, column): the same on any number of threads, and for a row
--- alone as among others at its place.
---@param dataset Dataset
---@param rows Tensor  i64 [m], 0-based rows of dataset.interactions, such as split.train
---@param options? NegativeOptions
---@return Tensor items  i64 [m, n]; -1 where a user knows every item that could be drawn
return function(dataset, rows, options)
  options = options or {}
  check(options)
  local known = options.known or rows
  local users, items = dataset:user_rows(), dataset:item_rows()
  local known_users, known_items = users:index_select(known), items:index_select(known)
  local n_items, weights = dataset.items:rows(), nil
  if options.how == "popularity" then weights = popularity(known_items, n_items, options.power or 0.75) end
  if options.allow_known then
    known_users, known_items = tensor.zeros(0, "i64"), tensor.zeros(0, "i64")
  end
  return frame.negatives { users = users:index_select(rows), known_users = known_users, known_items = known_items,
    weights = weights, n_users = dataset.users:rows(), n_items = n_items, n = options.n or 1,
    seed = options.seed, epoch = options.epoch }
end

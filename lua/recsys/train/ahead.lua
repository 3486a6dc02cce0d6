--- An epoch's batches, one gathered ahead by a thread of the core's while the last one trains: the inputs of the sides
--- user and event, which are a pure gather at the rows that the epoch's order gives each step.

local feature = require "recsys.feature"
local tensor = require "recsys.tensor"

local ahead = {}

--- Which positions of the epoch's order a step has: those from 'first' + 1 to 'last'. The last step takes what is left,
--- up to half a batch more.
---@param n integer  rows of the epoch
---@return integer first
---@return integer last
function ahead.span(step, steps, size, n)
  local first = (step - 1) * size
  local last = step == steps and n or first + size
  if last - first > size + size // 2 then last = first + size end
  return first, last
end

--- The batches of the steps behind 'done'; close them. Nil where users are their rows alone: of these a step gathers
--- what is distinct, if anything at all (recsys.train.step); and where the order is of users (recsys.train.by_user).
---@param source table   what train.fit prepares: events, users, user_rows, static_users, groups
---@param order Tensor   i64, the epoch's permutation
---@return Batches?
function ahead.new(source, order, done, steps, size, n)
  if source.static_users or source.groups then return nil end
  local bounds = { done * size }
  for step = done + 1, steps do bounds[#bounds + 1] = select(2, ahead.span(step, steps, size, n)) end
  return feature.batches({ { source.events }, { source.users, source.user_rows } }, order, tensor.new(bounds, "i64"))
end

return ahead

--- What users know of the catalogue, as a matrix to learn from and as an input of the plan that scores by it: for
--- models that are a map of what somebody knows (EASE, SLIM, neighbours).

local autograd = require "recsys.autograd"
local degrees = require "recsys.towers.degrees"
local log = require "recsys.log"
local tensor = require "recsys.tensor"

local known = {}

local ITEM <const> = "item.id"

--- The inputs of codes and of the history of such codes; raises, with what to declare, when there is none of either.
local function inputs_of(encoder)
  local item, history
  for _, input in ipairs(encoder:inputs "item") do
    if input.name == ITEM and input.kind == "codes" then item = input end
  end
  for _, input in ipairs(encoder:inputs "event") do
    if item and input.kind == "bag" and input.feature == "history" and input.table == item.table
      and (not history or input.length > history.length) then history = input end
  end
  if not history then
    error({ code = "usage", message = "what users know is to be among the features: feature.id { \"item\" } of the "
      .. "item side, and feature.history { of = \"id\", length = 1000, name = \"known\" } of the event side" }, 0)
  end
  return item, history
end

local function distinct_pairs(training, item)
  local codes = degrees.codes(training.items, item.name, training.item_rows)
  local named = codes:gt(0):nonzero()
  return (training.user_rows:index_select(named) * item.rows + codes:index_select(named)):unique()
end

--- The training rows as a matrix of users x item codes, and the history that says the same of a user in a plan.
---
--- A user's row has 1 for each item that he has in training, however often; rows are those of the frame of users,
--- columns the codes of "item.id", of which 0, the unknown item, has no entries.
---@param encoder Encoder
---@param training table   settings.training of a model's definition
---@return Csr matrix      f32 [users, codes]
---@return table input     the longest history of item ids, as encoder:inputs lists it: `name`, `rows`, `length`
function known.new(encoder, training)
  local item, history = inputs_of(encoder)
  local found, users = distinct_pairs(training, item), training.users:rows()
  local starts = found:search_sorted(tensor.arange(0, users + 1, "i64") * item.rows)
  local longest = users > 0 and (starts:narrow(1, 2, users) - starts:narrow(1, 1, users)):max() or 0
  if longest > history.length then
    log.warn("%s holds the last %d events of a user, and some know %d items: those are cut short when they are asked "
      .. "for; a longer `length` of the history takes all", history.name, history.length, longest)
  end
  return tensor.csr(starts, (found % item.rows):to "i32", tensor.full(1, #found), item.rows), history
end

--- The codes that a batch's users know, where each one's begin, and 1 for the first of equal ones, else 0: what
--- embedding_bag and csr_bag take as codes, offsets and weights.
---@param tape Tape
---@param batch table<string, Tensor>
---@param input { name: string }  what known.new gave
---@return Var codes    i32 [total]
---@return Var offsets  i64 [n + 1]
---@return Var weights  f32 [total]
function known.bag(tape, batch, input)
  local codes = tape:input(input.name, batch[input.name])
  local offsets = tape:input(input.name .. ".offsets", batch[input.name .. ".offsets"])
  return codes, offsets, autograd.bag_distinct(codes, offsets)
end

return known

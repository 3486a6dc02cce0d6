--- A trained model: its two plans, its weights by name, and the encoder whose features they read.
---
--- Vectors for validation, the final evaluation, batch recommendations and the server all come from the plans, in C.
--- The Lua network is only needed to train.

local autograd = require "recsys.autograd"
local feature = require "recsys.feature"
local network = require "recsys.network"
local store = require "recsys.store"
local tensor = require "recsys.tensor"

local model = {}

---@class Model
---@field kind string      the model's file in models/
---@field config table     what it was built with
---@field encoder Encoder
---@field plans { user: Plan, item: Plan }
---@field weights table<string, Tensor>
---@field likeness? integer  so many of an item vector's dimensions, the first, say what it is; nil: all of them
---@field curves table[]   a row an epoch, from train.fit
---@field epoch integer    whose weights these are
local Model = {}
Model.__index = Model
model.Model = Model

local CHUNK = 4096 -- rows that one run of a plan scores

--- Put the entries of the tables behind it into 'into'.
function model.merge(into, ...)
  for _, from in ipairs { ... } do
    for name, value in pairs(from) do into[name] = value end
  end
  return into
end

--- Record one tower's plan from an evaluation tape. The rows of the batch do not matter, only its names.
---@return Plan
---@return integer width  of the vectors
local function record(made, kind, side, batch, weights)
  local tape <close> = autograd.tape { train = false }
  local var = network.vectors(made, kind, side, tape, batch)
  local plan = tape:plan { [side] = var }
  network.check_plan(plan, kind, side, batch, weights)
  return plan, var:size(#var:size())
end

--- A model around a network's current weights, which it shares while the network trains on. Raises, naming the file,
--- when the network's vectors cannot be computed from what is saved.
---@param made table      what network.build gave
---@param batches { user: table<string, Tensor>, item: table<string, Tensor> }  a row or more of each tower's inputs
function model.record(made, encoder, kind, config, batches)
  local self = setmetatable({ kind = kind, config = config, encoder = encoder, weights = {}, plans = {},
    likeness = made.likeness }, Model)
  for _, parameter in ipairs(made.parameters) do self.weights[parameter:name()] = parameter:value() end
  local widths = {}
  for _, side in ipairs { "user", "item" } do
    self.plans[side], widths[side] = record(made, kind, side, batches[side], self.weights)
  end
  network.check_widths(kind, widths, self.likeness)
  network.watch_times(kind, encoder, self.plans.item, self.likeness)
  return self
end

--- Numbers in all weights.
---@return integer
function Model:size()
  local total = 0
  for _, weight in pairs(self.weights) do total = total + weight:count() end
  return total
end

--- Vectors of n rows from a function of a slice: i64 positions -> batch.
local function vectors(self, side, n, gather)
  local all
  for first = 0, n - 1, CHUNK do
    local at = tensor.arange(first, math.min(first + CHUNK, n), "i64")
    local part = self.plans[side]:run(self.weights, gather(at))[side]
    if n <= CHUNK then return part end
    all = all or tensor.zeros(n, table.unpack(part:size(), 2))
    all:narrow(1, first + 1, #at):copy_(part)
  end
  return all or tensor.zeros(0, 1)
end

--- Item vectors of a whole catalogue.
---@param items Features  encoder:encode_items(frame)
---@return Tensor f32 [rows, d]
function Model:item_vectors(items)
  return vectors(self, "item", items:rows(), function(at) return items:gather(at) end)
end

--- User vectors at some moments.
---@param users Features      encoder:encode_users(frame)
---@param events Features     a row a moment
---@param user_rows Tensor    i64, 0-based row of 'users' for each moment
---@return Tensor f32 [moments, d], or [moments, count, d] where users have several vectors
function Model:user_vectors(users, events, user_rows)
  return vectors(self, "user", events:rows(), function(at)
    return model.merge(events:gather(at), users:gather(user_rows:index_select(at)))
  end)
end

store.class("recsys.model", Model, function(self)
  local encoder = self.encoder:save()
  return { kind = self.kind, config = self.config, weights = self.weights, curves = self.curves, epoch = self.epoch,
    constant = self.constant, likeness = self.likeness,
    plans = { user = self.plans.user:json(), item = self.plans.item:json() },
    encoder = { json = encoder.json, tensors = encoder.tensors } }
end, function(saved)
  local self = setmetatable(saved, Model)
  self.encoder = assert(feature.load(saved.encoder.json, saved.encoder.tensors))
  for side, text in pairs(saved.plans) do self.plans[side] = assert(autograd.plan_from_json(text)) end
  return self
end)

return model

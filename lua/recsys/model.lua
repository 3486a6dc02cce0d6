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
---@field plans { user: Plan, item: Plan? }
---@field columns? string  an input of codes of the side item: users' rows hold a score a code of it; no item plan then
---@field weights table<string, Tensor>
---@field likeness? integer  so many of an item vector's dimensions, the first, say what it is; nil: all of them
---@field curves table[]   a row an epoch, from train.fit
---@field epoch integer    whose weights these are
---@field trained_on string  a hash of the rows that it was trained on, split.train
local Model = {}
Model.__index = Model
model.Model = Model

local CHUNK = { item = 4096, user = 512 } -- rows that one run of a plan scores; users bring their histories along

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
    likeness = made.likeness, columns = made.columns }, Model)
  for _, parameter in ipairs(made.parameters) do self.weights[parameter:name()] = parameter:value() end
  local widths = {}
  for _, side in ipairs { "user", not made.columns and "item" or nil } do
    self.plans[side], widths[side] = record(made, kind, side, batches[side], self.weights)
  end
  if made.columns then
    network.check_row(kind, widths.user, made.columns, network.column_input(encoder, made.columns).rows)
    return self
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

--- Vectors of rows from .. from + n - 1 (from 0) by a function of a slice: i64 positions -> batch.
local function vectors(self, side, from, n, gather)
  local all
  for first = 0, n - 1, CHUNK[side] do
    local at = tensor.arange(from + first, from + math.min(first + CHUNK[side], n), "i64")
    local part = self.plans[side]:run(self.weights, gather(at))[side]
    if n <= CHUNK[side] then return part end
    all = all or tensor.zeros(n, table.unpack(part:size(), 2))
    all:narrow(1, first + 1, #at):copy_(part)
  end
  return all or tensor.zeros(0, 1)
end

--- Item vectors of a whole catalogue.
---@param items Features  encoder:encode_items(frame)
---@return Tensor f32 [rows, d]
function Model:item_vectors(items)
  if self.columns then error("a model with columns has no item vectors: item_columns gives where scores stand", 2) end
  return vectors(self, "item", 0, items:rows(), function(at) return items:gather(at) end)
end

--- Where the score of each item of a catalogue stands in a user's row, of a model with columns.
---@param items Features
---@return Tensor i32 [rows]
function Model:item_columns(items)
  return items:gather(tensor.arange(0, items:rows(), "i64"))[self.columns]
end

--- User vectors at some moments.
---@param users Features      encoder:encode_users(frame)
---@param events Features     a row a moment
---@param user_rows Tensor    i64, 0-based row of 'users' for each moment
---@param first? integer      the first moment that is asked for, from 1; default all, which of a model with columns are
---   moments x codes
---@param n? integer          how many are
---@return Tensor f32 [moments, d], or [moments, count, d] where users have several vectors
function Model:user_vectors(users, events, user_rows, first, n)
  return vectors(self, "user", (first or 1) - 1, n or events:rows(), function(at)
    return model.merge(events:gather(at), users:gather(user_rows:index_select(at)))
  end)
end

--- What scores a catalogue for some moments (recsys.evaluate): vectors of both, or, of a model with columns, a function
--- that makes users' rows as they are asked for and the column of each item.
---@param inputs { users: Features, events: Features, user_rows: Tensor, items: Features }
---@return { users: Tensor|fun(first: integer, n: integer): Tensor, items: Tensor?, columns: Tensor?, width: integer? }
function Model:scorer(inputs)
  if not self.columns then
    return { users = self:user_vectors(inputs.users, inputs.events, inputs.user_rows),
      items = self:item_vectors(inputs.items) }
  end
  return { columns = self:item_columns(inputs.items), width = network.column_input(self.encoder, self.columns).rows,
    users = function(first, n) return self:user_vectors(inputs.users, inputs.events, inputs.user_rows, first, n) end }
end

store.class("recsys.model", Model, function(self)
  local encoder = self.encoder:save()
  return { kind = self.kind, config = self.config, weights = self.weights, curves = self.curves, epoch = self.epoch,
    constant = self.constant, trained_on = self.trained_on, likeness = self.likeness, columns = self.columns,
    plans = { user = self.plans.user:json(), item = self.plans.item and self.plans.item:json() },
    encoder = { json = encoder.json, tensors = encoder.tensors } }
end, function(saved)
  local self = setmetatable(saved, Model)
  self.encoder = assert(feature.load(saved.encoder.json, saved.encoder.tensors))
  for side, text in pairs(saved.plans) do self.plans[side] = assert(autograd.plan_from_json(text)) end
  return self
end)

return model

--- Popularity: what was taken most, of late (`window`, `half_life`) and by people alike (`segment`).
---
--- An item's vector is the logarithm of one and its events in each segment, and a user's says which segment is his. A
--- segment's counts are shrunk to those of all by `smoothing` events that have everybody's shares; the unknown segment
--- has everybody's counts. Times count back from the last training event.

local autograd = require "recsys.autograd"
local degrees = require "recsys.towers.degrees"
local tensor = require "recsys.tensor"
local text = require "recsys.text"
local towers = require "recsys.towers"

local Popularity = { rounds = 1 }
Popularity.__index = Popularity

function Popularity:user(tape, batch)
  return autograd.embedding(tape:parameter(self.which), tape:input(self.segment.name, batch[self.segment.name]))
end

function Popularity:item(tape, batch)
  return autograd.embedding(tape:parameter(self.scores), tape:input("item.id", batch["item.id"]))
end

--- What each training row counts.
local function weights_of(training, config)
  local age = (training.times:max() - training.times):to "f64"
  local weights = training.weights and training.weights:to "f64" or tensor.full(1, #age, "f64")
  local window, half = config.window or "", config.half_life or ""
  if window ~= "" then weights = weights * age:lt(text.milliseconds(window)):to "f64" end
  return half == "" and weights or weights * (age * (-math.log(2) / text.milliseconds(half))):exp()
end

function Popularity:round()
  local training, items, segments = self.training, self.scores:value():size(1), self.which:value():size(2)
  local weights, codes = weights_of(training, self.config), degrees.codes(training.items, "item.id", training.item_rows)
  local counts = codes:bincount(items, weights):reshape(1, -1)
  if segments > 1 then
    local all, of = counts, degrees.codes(training.users, self.segment.name, training.user_rows)
    counts = (of * items + codes):bincount(segments * items, weights):reshape(segments, items)
    counts:add_(all, (self.config.smoothing or 100) / math.max(all:sum(), 1e-9))
    counts:narrow(1, 1, 1):copy_(all)
  end
  counts:narrow(2, 1, 1):fill_(0) -- the unknown item
  self.scores:value():copy_((counts + 1):log():transpose():to "f32")
end

return function(config, encoder, settings)
  local self = setmetatable({ config = config, training = settings.training }, Popularity)
  local by = (config.segment or "") ~= "" and config.segment
  self.segment = towers.input(encoder, by or "user.id")
  local rows, segments = self.segment.rows, by and self.segment.rows or 1
  local which = by and tensor.zeros(rows, rows) or tensor.full(1, rows, 1)
  if by then which:reshape(-1):index_copy_(tensor.arange(rows) * (rows + 1), tensor.full(1, rows)) end
  self.which = autograd.parameter("which", which, { trainable = false })
  local scores = tensor.zeros(towers.input(encoder, "item.id").rows, segments)
  self.scores = autograd.parameter("scores", scores, { trainable = false })
  self.parameters = { self.which, self.scores }
  return self
end

--- The regression form of two towers: towers of linear, batch norm, ReLU and dropout, concatenated into one linear
--- output that is fitted to the engagement strength by squared error, with sampled negatives at strength 0.
---
--- As the output is linear in the concatenation, a score is (user part) + (item part): the order of items is the same
--- for every user. That is how this classical form behaves, and why models/two_tower.lua multiplies instead.

local autograd = require "recsys.autograd"
local nn = require "recsys.nn"
local tensor = require "recsys.tensor"
local towers = require "recsys.towers"

local Engagement = {}
Engagement.__index = Engagement

--- [user part, 1]
function Engagement:user(tape, batch)
  local part = self.user_output:forward(self.user_tower:forward(tape, batch))
  return autograd.concat { part, towers.ones(part) }
end

--- [1, item part]
function Engagement:item(tape, batch)
  local part = self.item_output:forward(self.item_tower:forward(tape, batch))
  return autograd.concat { towers.ones(part), part }
end

--- Mean squared error on the observed strengths and on `negatives` items a row, drawn uniformly, at
--- 0. They come from the items of the training events: later ones would be taught to be of no interest.
function Engagement:loss(tape, step)
  local n, each = #step.item_rows, self.config.negatives
  local drawn = step.pool:index_select(step.stream:integers(n * each, #step.pool))
  local items = step.items:gather(tensor.concat { step.item_rows, drawn })
  local user = self.user_output:forward(self.user_tower:forward(tape, step.batch)):reshape(1, n)
  local item = self.item_output:forward(self.item_tower:forward(tape, items)):reshape(1 + each, n)
  local target = tensor.zeros(1 + each, n)
  target:select(1, 1):copy_(step.strengths:to "f32")
  local weights = step.weights and tape:input(nil, step.weights:reshape(1, n) + target * 0)
  return autograd.mse(user + item, tape:input(nil, target), weights)
end

--- The squared error of the best constant, which a model has to beat: the variance of the targets, by their weights.
function Engagement:constant_loss(strengths, weights)
  weights = weights and weights:to "f64" or tensor.full(1, #strengths, "f64")
  local n = weights:sum() * (1 + self.config.negatives)
  local mean = (strengths * weights):sum() / n
  return (strengths * strengths * weights):sum() / n - mean * mean
end

return function(config, encoder, settings)
  local tables, seed = towers.tables(encoder, config.dim, settings, { shrink = true }), settings.seed
  local self = setmetatable({ config = config }, Engagement)
  local hidden = #config.hidden > 0 and config.hidden or { 128 }
  local shape = { dim = config.dim, hidden = hidden, dropout = config.dropout, norm = "batch" }
  self.user_tower = towers.tower("user", tables, { "user", "event" }, shape)
  self.item_tower = towers.tower("item", tables, { "item" }, shape)
  self.user_output = nn.linear { name = "user.output", inputs = config.dim, outputs = 1, seed = seed }
  self.item_output = nn.linear { name = "item.output", inputs = config.dim, outputs = 1, bias = false, seed = seed }
  self.parameters = towers.parameters(self.user_tower, self.item_tower, self.user_output, self.item_output)
  return self
end

--- Matrix factorisation that the degrees of the graph of training rows weigh: UltraGCN's constraint loss, the
--- UltraGCN_Base of Mao et al. 2021, arXiv:2110.15114. A pair of a user with d_u training rows and an item with d_i
--- counts sqrt((d_u + 1) / (d_i + 1)) / d_u, in binary cross-entropy against `negatives` items that a batch shares,
--- which together count `emphasis` times as much as a positive.
---
--- Scores are trained less log(emphasis), the odds of an average pair: a constant, which ranks nothing. `decay` pulls
--- an embedding to 0 by as much in an epoch, however many steps meet it.

local autograd = require "recsys.autograd"
local degrees = require "recsys.towers.degrees"
local nn = require "recsys.nn"
local tensor = require "recsys.tensor"
local towers = require "recsys.towers"

local UltraGCN = {}
UltraGCN.__index = UltraGCN

function UltraGCN:user(tape, batch) return self.users:forward(tape, batch) end
function UltraGCN:item(tape, batch) return self.items:forward(tape, batch) end

--- Half the squares of vectors, each divided by how often an epoch meets it.
local function squares(tape, vectors, met)
  return (vectors * vectors):mul(tape:input(nil, (tensor.full(0.5, #met) / met):reshape(#met, 1))):sum()
end

function UltraGCN:loss(tape, step)
  local config, n = self.config, #step.item_rows
  local own, drawn = step.item_rows:unique(), step.stream:integers(config.negatives, #step.pool)
  local rows = tensor.concat { own, step.pool:index_select(drawn) }
  local batch = step.items:gather(rows)
  local users, items = self:user(tape, step.batch), self:item(tape, batch)
  local of_user = self.degree.user:index_select(step.batch["user.id"]:to "i64")
  local of_item = self.degree.item:index_select(batch["item.id"]:to "i64")
  local counts = (of_user + 1):sqrt() / of_user
  local fit = nn.gbce { users = users, items = items, starts = tensor.arange(0, n + 1, "i64"), codes = rows,
    positives = step.item_rows, first = #own + 1, beta = config.negatives / config.emphasis,
    weights = step.weights and counts * step.weights or counts,
    column_weights = tensor.full(1, #rows) / (of_item + 1):sqrt(),
    log_q = tensor.full(math.log(config.emphasis), #rows) }
  local draws = self.events / n * config.negatives / #step.pool
  local decay = squares(tape, users, of_user) + squares(tape, items, of_item + draws)
  return autograd.affine(fit, config.emphasis) + autograd.affine(decay, config.decay / n)
end

return function(config, encoder, settings)
  local tables, training = towers.tables(encoder, config.dim, settings, { unmet = 0 }), settings.training
  local self = setmetatable({ config = config, users = towers.tower("user", tables, { "user" }),
    items = towers.tower("item", tables, { "item" }), events = #training.user_rows, degree = {} }, UltraGCN)
  self.degree.user = degrees.of(training.users, towers.input(encoder, "user.id"), training.user_rows)
  self.degree.item = degrees.of(training.items, towers.input(encoder, "item.id"), training.item_rows)
  self.parameters = towers.parameters(self.users, self.items)
  return self
end

--- Implicit alternating least squares, iALS (Hu, Koren & Volinsky 2008, doi:10.1109/ICDM.2008.22), with the penalty
--- that grows with how often a row is met (Rendle et al. 2022, doi:10.1145/3523227.3548486).
---
--- A round solves all users for the items, then all items for the users. A user's vector is solved anew from what he
--- knows whenever it is asked for: who is new, and what was just posted, needs no training. Unmet items are 0.

local autograd = require "recsys.autograd"
local base = require "recsys.base"
local exit = require "recsys.exit"
local solve = require "recsys.solve"
local tensor = require "recsys.tensor"
local towers = require "recsys.towers"

local IALS = {}
IALS.__index = IALS

function IALS:user(tape, batch)
  local codes, offsets, once = towers.known_bag(tape, batch, self.known)
  local options = { unobserved = self.config.unobserved, regularization = self.config.regularization,
    scaling = self.config.scaling, others = self.known.rows - 1 }
  return tape:parameter(self.items):fold_in(tape:parameter(self.spectrum), codes, offsets, once, options)
end

function IALS:item(tape, batch)
  return autograd.embedding(tape:parameter(self.items), tape:input("item.id", batch["item.id"]))
end

--- Half a round, as solve.implicit takes it.
function IALS:half(pairs_of, factors, into, others)
  local config = self.config
  return { pairs = pairs_of, factors = factors, into = into, others = others, unobserved = config.unobserved,
    regularization = config.regularization, scaling = config.scaling, steps = config.steps or 0 }
end

--- The items end on the axes of their Gramian, as fold_in wants them. Gives the objective, by pair.
function IALS:round()
  local items, count = self.items:value(), self.known.rows - 1
  solve.implicit(self:half(self.by_user, items, self.users, count))
  solve.implicit(self:half(self.by_item, self.users, items))
  local spectrum, turn = solve.basis(items)
  items:copy_(items:matmul(turn))
  self.users:copy_(self.users:matmul(turn))
  self.spectrum:value():copy_(spectrum)
  return solve.implicit_loss(self:half(self.by_user, items, self.users, count)) / self.pairs
end

function IALS:state() return { users = self.users } end
function IALS:load_state(state) self.users:copy_(state.users) end

return function(config, encoder, settings)
  if settings.training.weights then exit.usage_error "ials counts each item that a user has once: no train.weight" end
  local self, deviation = setmetatable({ config = config }, IALS), (config.deviation or 0.1) / config.dim ^ 0.5
  self.by_user, self.known = towers.known(encoder, settings.training)
  self.by_item, self.pairs = self.by_user:transpose(), #self.by_user:tensors().columns
  local rows, users = self.known.rows, settings.training.users:rows()
  local items = base.stream(settings.seed, "init"):normals(rows * config.dim):to "f32":reshape(rows, config.dim)
  items:select(1, 1):fill_(0) -- code 0, the unknown item
  self.users = tensor.zeros(users, config.dim)
  self.items = autograd.parameter("items", items * deviation, { trainable = false })
  self.spectrum = autograd.parameter("spectrum", tensor.full(1, config.dim), { trainable = false })
  self.parameters = { self.items, self.spectrum }
  return self
end

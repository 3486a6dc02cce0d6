--- LightGCN (He et al. 2020, doi:10.1145/3397271.3401063): the cosine of embeddings that are averaged over the graph
--- of training rows, trained by the loss that model.loss names over the catalogue (docs/models.md). With `score` "dot"
--- it ranks by the product of the averages, which are longer where more edges meet: popular items come first, as with
--- Wu et al. 2022, arXiv:2201.02327. `dropout` leaves out a share of the user's numbers in training, anew for each of a
--- batch.
---
--- The averages are taken anew in each step; when an epoch ends they are written to two tables, `user.vectors` and
--- `item.vectors`, that the plans look up: serving knows no graph.

local autograd = require "recsys.autograd"
local graph = require "recsys.towers.graph"
local loss = require "recsys.loss"
local nn = require "recsys.nn"
local tensor = require "recsys.tensor"
local towers = require "recsys.towers"

local LightGCN = {}
LightGCN.__index = LightGCN

function LightGCN:user(tape, batch)
  return autograd.embedding(tape:parameter(self.final.user), tape:input("user.id", batch["user.id"]))
end

function LightGCN:item(tape, batch)
  return autograd.embedding(tape:parameter(self.final.item), tape:input("item.id", batch["item.id"]))
end

--- Vectors of all codes: users and items, [n, dim] each; as averaged, or so that their product is the cosine.
function LightGCN:vectors(tape, averaged)
  local users, items = self.graph:propagate(tape:parameter(self.embeddings), self.config.layers)
  if averaged then return users, items end
  return autograd.affine(users:l2_normalize(), 1 / self.config.temperature), items:l2_normalize()
end

function LightGCN:loss(tape, step)
  local config, users, items = self.config, self:vectors(tape)
  users = users:embedding(tape:input(nil, step.batch["user.id"]))
  if (config.dropout or 0) > 0 then
    users = autograd.affine(users:dropout(config.dropout):l2_normalize(), 1 / config.temperature)
  end
  return loss.catalogue(config, step, users,
    function(rows) return items:embedding(tape:input(nil, step.items:gather(rows)["item.id"])) end)
end

function LightGCN:settle()
  local tape <close> = autograd.tape {}
  local users, items = self:vectors(tape, self.config.score == "dot")
  for side, vectors in pairs { user = users, item = items } do
    self.final[side]:value():copy_(vectors:value())
  end
end

return function(config, encoder, settings)
  local user, item = towers.input(encoder, "user.id"), towers.input(encoder, "item.id")
  local self = setmetatable({ config = config, graph = graph.new(settings.training, user, item), final = {} }, LightGCN)
  local layer = nn.embedding { name = "nodes.table", rows = self.graph.nodes, width = config.dim, seed = settings.seed }
  self.embeddings = layer:parameter "nodes.table"
  for _, code in ipairs { 1, user.rows + 1 } do -- 0 of both: likes nothing by chance where no edge moves it
    self.embeddings:value():select(1, code):fill_(0)
  end
  if config.spectral then self.embeddings:value():copy_(self.graph:spectral(config.dim, 0.1, settings.seed)) end
  for side, input in pairs { user = user, item = item } do
    local vectors = tensor.zeros(input.rows, config.dim)
    self.final[side] = autograd.parameter(side .. ".vectors", vectors, { trainable = false })
  end
  self.parameters = towers.parameters(layer)
  for _, side in ipairs { "item", "user" } do table.insert(self.parameters, self.final[side]) end
  return self
end

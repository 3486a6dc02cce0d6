--- The graph of users and items that training rows span: embeddings as averages over it, as in LightGCN. He et al.
--- 2020, doi:10.1145/3397271.3401063.
---
--- Nodes are the codes of a user input and, behind them, those of an item input: one table holds all embeddings. An
--- edge weighs 1 / sqrt(degree of its user * degree of its item), so the matrix is its own transpose.

local autograd = require "recsys.autograd"
local degrees = require "recsys.towers.degrees"
local tensor = require "recsys.tensor"

local Graph = {}
Graph.__index = Graph

local graph = {}

--- 1 / sqrt(degree) of each edge's end.
local function inverse_roots(ends, nodes)
  local degree = ends:bincount(nodes):to "f32"
  return (tensor.full(1, nodes) / degree:clamp(1, math.huge):sqrt()):index_select(ends)
end

--- The graph of a job's training rows.
---@param training table  settings.training of a model's definition: users, items, user_rows, item_rows
---@param user { name: string, rows: integer }  an input of codes, as encoder:inputs lists them
---@param item { name: string, rows: integer }
function graph.new(training, user, item)
  local from = degrees.codes(training.users, user.name, training.user_rows)
  local to = degrees.codes(training.items, item.name, training.item_rows) + user.rows
  local nodes = user.rows + item.rows
  local begins, ends = tensor.concat { from, to }, tensor.concat { to, from }
  local made = setmetatable({ users = user.rows, items = item.rows, nodes = nodes, from = from, to = to }, Graph)
  made.weights = inverse_roots(from, nodes) * inverse_roots(to, nodes)
  local order = (begins * nodes + ends):argsort()
  begins, ends = begins:index_select(order), ends:index_select(order)
  local starts = begins:search_sorted(tensor.arange(0, nodes + 1, "i64"))
  made.matrix = tensor.csr(starts, ends:to "i32", inverse_roots(begins, nodes) * inverse_roots(ends, nodes), nodes)
  return made
end

--- The edges alone, as a matrix [users, items].
local function biadjacency(self)
  local order = (self.from * self.nodes + self.to):argsort()
  local from = self.from:index_select(order)
  local starts = from:search_sorted(tensor.arange(0, self.users + 1, "i64"))
  return tensor.csr(starts, (self.to:index_select(order) - self.users):to "i32", self.weights:index_select(order),
    self.items)
end

--- Embeddings to start from: the leading singular vectors of the edges, each times the root of its singular value, all
--- scaled to the standard deviation `scale`. Training then begins at a linear model of the graph.
---@param width integer
---@param scale number
---@param seed integer
---@return Tensor f32 [nodes, width]
function Graph:spectral(width, scale, seed)
  local matrix = biadjacency(self)
  local values, vectors = matrix:svd(width, { seed = seed })
  local roots = values:sqrt():to "f32"
  local all = tensor.zeros(self.nodes, width)
  all:narrow(1, 1, self.users):copy_(matrix:matmul(vectors) / roots)
  all:narrow(1, self.users + 1, self.items):copy_(vectors * roots)
  return all:mul_(scale / math.sqrt((all * all):mean()))
end

--- The mean of the embeddings and of their averages over 1 to `layers` edges.
---@param embeddings Var [nodes, d]
---@param layers integer
---@return Var users [users, d]
---@return Var items [items, d]
function Graph:propagate(embeddings, layers)
  local sum, layer = embeddings, embeddings
  for _ = 1, layers do
    layer = autograd.csr_matmul(layer, self.matrix)
    sum = sum + layer
  end
  local mean = autograd.affine(sum, 1 / (layers + 1))
  return mean:narrow(1, 1, self.users), mean:narrow(1, self.users + 1, self.items)
end

return graph

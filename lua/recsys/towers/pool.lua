--- A pool of a history: its events' embeddings, weighed against each other and summed, in several ways side by side.
---
--- Way k gives event p of a bag the score
---
---     place[p, k] + gap[g_p, k] + kind[t_p, k] + <row_p, query_k>
---
--- p being its place, newest first, g_p and t_p the codes of its gap and its kind where the history has them, and
--- query_k a learned vector (attention pooling) where asked for. A softmax over the bag makes shares of the scores;
--- each is multiplied by the event's weight where the history has weights, and with them the rows are summed. Places
--- start from the last item alone over ever longer memories to the plain mean; all else starts at zero. A row's pools
--- depend on that row alone, so that a request has the bits of a batch.
---
--- With `interests` there are `heads` ways for each (recsys.towers.interests), interest by interest; their places start
--- alike, and their queries at random: by them they are told apart.

local autograd = require "recsys.autograd"
local nn = require "recsys.nn"
local tensor = require "recsys.tensor"

local pool = {}

local Pool = {}
Pool.__index = Pool

--- First scores by place: 0 for the plain mean, -10 a place for the last item alone, -1 / (1.5 * 2.5 ^ i) between.
local function memories(places, heads, dtype)
  local scores = tensor.zeros(places, heads, dtype)
  for k = 1, heads do
    local slope = k == heads and 0 or k == 1 and 10 or 1 / (1.5 * 2.5 ^ (k - 2))
    for p = 1, places do scores:set(p, k, -slope * (p - 1)) end
  end
  return scores
end

--- The same first scores for each interest.
local function places_of(input, ways, heads, dtype)
  local copies = {}
  for i = 1, ways.interests or 1 do copies[i] = memories(input.length, heads, dtype) end
  return #copies == 1 and copies[1] or tensor.concat(copies, 2)
end

--- First queries: zero, or where interests are to be told apart by them at random.
local function queries_of(input, ways, heads, dtype)
  if not ways.interests then return tensor.zeros(heads, input.width, dtype) end
  local drawn = nn.embedding { name = input.name .. ".queries", rows = heads, width = input.width, scale = 1,
    seed = ways.seed, dtype = dtype }
  return drawn:parameters()[1]:value()
end

--- A pool of one history.
---@param input { name: string, table: Layer, width: integer, length: integer, weights?: string,
---   codes?: { name: string, rows: integer }[] }  weights, codes: what stands beside each of the history's codes
---@param ways { heads?: integer, queries?: boolean, dropout?: number, interests?: integer, seed?: integer }
---   heads (default 4): in how many ways, of each interest where there are any; dropout (default 0): share of events
---   left out while training; seed: of the interests' first queries
---@param dtype? string
function pool.new(input, ways, dtype)
  local heads = (ways.heads or 4) * (ways.interests or 1)
  local self = setmetatable({ input = input, heads = heads, dropout = ways.dropout or 0, codes = {},
    places = autograd.parameter(input.name .. ".places", places_of(input, ways, ways.heads or 4, dtype)) }, Pool)
  for i, beside in ipairs(input.codes or {}) do
    self.codes[i] = { name = beside.name,
      scores = autograd.parameter(beside.name .. ".scores", tensor.zeros(beside.rows, heads, dtype)) }
  end
  if ways.queries or ways.interests then
    self.queries = autograd.parameter(input.name .. ".queries", queries_of(input, ways, heads, dtype))
  end
  return self
end

--- Width of what forward gives.
function Pool:width()
  return self.heads * self.input.width
end

---@return Parameter[]
function Pool:parameters()
  local list = { self.places, self.queries }
  for _, beside in ipairs(self.codes) do list[#list + 1] = beside.scores end
  for _, parameter in ipairs(self.input.table:parameters()) do list[#list + 1] = parameter end
  return list
end

--- The share of each event [total, heads].
local function shares(self, tape, batch, codes, offsets, rows)
  local scores = tape:parameter(self.places):embedding(codes:bag_positions(offsets, self.input.length))
  for _, beside in ipairs(self.codes) do
    scores = scores + tape:parameter(beside.scores):embedding(tape:input(beside.name, batch[beside.name]))
  end
  if self.queries then scores = scores + rows:linear(tape:parameter(self.queries)) end
  local weights = scores:bag_softmax(offsets)
  if self.input.weights then
    weights = weights * tape:input(self.input.weights, batch[self.input.weights]):reshape(-1, 1)
  end
  return self.dropout > 0 and not self.evaluates and weights:dropout(self.dropout) or weights
end

--- [n, heads * width]; zero for an empty history.
function Pool:forward(tape, batch)
  local name = self.input.name
  local codes, offsets = tape:input(name, batch[name]), tape:input(name .. ".offsets", batch[name .. ".offsets"])
  local rows = self.input.table:forward(codes)
  return rows:bag_sum(offsets, shares(self, tape, batch, codes, offsets, rows))
end

--- Which codes and weights stand beside each history, by its name.
local function beside_histories(inputs)
  local codes, weights = {}, {}
  for _, input in ipairs(inputs) do
    if input.feature == "history" and input.of then
      if input.kind == "weights" then
        weights[input.of] = input.name
      else
        codes[input.of] = codes[input.of] or {}
        table.insert(codes[input.of], { name = input.name, rows = input.rows })
      end
    end
  end
  return codes, weights
end

--- The pools of all histories among some inputs, by name; `taken` tells which inputs they read, and `list` has them in
--- order. None without `ways`.
---@param inputs table[]   what encoder:inputs gives
---@param ways? table      as for pool.new; a history has at most as many heads as events
---@param embed fun(input): Layer  the embedding of an input's table
---@param dtype? string
---@param seed? integer    of what starts at random
function pool.of_histories(inputs, ways, embed, dtype, seed)
  local pools = { taken = {}, list = {} }
  if not ways then return pools end
  local codes, weights = beside_histories(inputs)
  for _, input in ipairs(inputs) do
    if input.feature == "history" then pools.taken[input.name] = true end
    if input.feature == "history" and not input.of then
      local table_of = embed(input)
      pools[input.name] = pool.new({ name = input.name, table = table_of, width = table_of:parameters()[1]:size(2),
        length = input.length, weights = weights[input.name], codes = codes[input.name] },
        { heads = math.min(ways.heads or 4, input.length), queries = ways.queries, dropout = ways.dropout,
          interests = ways.interests, seed = seed }, dtype)
      table.insert(pools.list, pools[input.name])
    end
  end
  return pools
end

-- A tower behind pools ----------------------------------------------------------------------------------------------

local Pooled = {}
Pooled.__index = Pooled

--- The tower itself where there are no pools, else one that is used like it and reads the pools' vars.
function pool.before(pools, tower)
  if #pools.list == 0 then return tower end
  return setmetatable({ pools = pools.list, tower = tower }, Pooled)
end

---@param given? table<string, Var>  by name, of pools that are known already
function Pooled:forward(tape, batch, given)
  local vars = {}
  for _, each in ipairs(self.pools) do
    local name = each.input.name
    vars[name] = given and given[name] or each:forward(tape, batch)
  end
  return self.tower:forward(tape, batch, vars)
end

function Pooled:parameters()
  local list = self.tower:parameters()
  for _, each in ipairs(self.pools) do table.move(each:parameters(), 1, #each:parameters(), #list + 1, list) end
  return list
end

function Pooled:width()
  return self.tower:width()
end

--- Training mode, in which a tower begins; with false as eval().
function Pooled:train(on)
  self.tower:train(on)
  for _, each in ipairs(self.pools) do each.evaluates = on == false end
  return self
end

function Pooled:eval()
  return self:train(false)
end

return pool

--- A small model, published: six users, twelve items, a tower of sums of embeddings. For specs of what serves it.

local autograd = require "recsys.autograd"
local base = require "recsys.base"
local feature = require "recsys.feature"
local frame = require "recsys.frame"
local registry = require "recsys.registry"
local tensor = require "recsys.tensor"

local tiny = { day = 86400000, n_users = 6, n_items = 12, width = 5 }

--- Item i was created on day i and has the titles of a news page, commas, quotes and all.
local function items()
  local ids, titles, kinds, created = {}, {}, {}, {}
  for i = 1, tiny.n_items do
    ids[i], kinds[i], created[i] = "i" .. i, i % 3 == 0 and "sport" or "city", i * tiny.day
    titles[i] = ("Title %d, \"quoted\""):format(i)
  end
  titles[4] = false
  return frame.from { { "item", "string", ids }, { "title", "string", titles }, { "kind", "string", kinds },
    { "created", "time", created } }
end

local function users()
  return frame.from { { "user", "string", { "u1", "u2", "u3", "u,4", "u\"5", "u6" } },
    { "platform", "string", { "android", "ios", "android", "web", false, "ios" } } }
end

--- u1 reads i1, i2, i3; u2 i3, i4; u3 i5 twice; the others i6 each, but u6 nothing. Days 10 to 13.
local function interactions()
  local rows = { { "u1", "i1", 10 }, { "u2", "i3", 10 }, { "u1", "i2", 11 }, { "u3", "i5", 11 }, { "u,4", "i6", 11 },
    { "u1", "i3", 12 }, { "u2", "i4", 12 }, { "u3", "i5", 12 }, { "u\"5", "i6", 13 } }
  local columns = { {}, {}, {} }
  for n, row in ipairs(rows) do
    columns[1][n], columns[2][n], columns[3][n] = row[1], row[2], row[3] * tiny.day
  end
  return frame.from { { "user", "string", columns[1] }, { "item", "string", columns[2] },
    { "time", "time", columns[3] } }
end

function tiny.dataset()
  return { name = "tiny", fingerprint = ("0"):rep(64), users = users(), items = items(),
    interactions = interactions() }
end

function tiny.encoder(dataset)
  return feature.fit(dataset, nil, {
    user = { feature.id { "user" }, feature.category { "platform" } },
    event = { feature.history { of = "id", length = 2 }, feature.time_parts { "time", parts = { "weekday" } } },
    item = { feature.id { "item" }, feature.category { "kind" } },
  })
end

local function rows_of(encoder, name)
  for _, side in ipairs { "user", "event", "item" } do
    for _, input in ipairs(encoder:inputs(side)) do
      if input.name == name then return input.rows end
    end
  end
end

--- Parameters by name, drawn from the seed.
local function weights_of(encoder)
  local weights = {}
  for i, name in ipairs { "user.id", "user.platform", "event.time_weekday", "item.id", "item.kind" } do
    local n = rows_of(encoder, name) * tiny.width
    weights[name .. ".table"] = tensor.new(base.stream(7, "init", 0, i):normals(n):tolist(), "f32")
      :reshape(-1, tiny.width)
  end
  return weights
end

local Model = {}
Model.__index = Model

local function embed(self, tape, batch, name)
  return autograd.embedding(tape:parameter(self.parameters[name .. ".table"]), tape:input(name, batch[name]))
end

--- Behind the vectors what stands for terms of a score: two more dimensions, the
--- first times the factor, and the factor.
local function beside(self, vectors, factor)
  if not self.terms then return vectors end
  local first = vectors:narrow(2, 1, 1)
  return autograd.concat { vectors, autograd.affine(first, factor), autograd.affine(first, 0, factor) }
end

function Model:user(tape, batch)
  local history = autograd.embedding_bag(tape:parameter(self.parameters["item.id.table"]),
    tape:input("event.history", batch["event.history"]),
    tape:input("event.history.offsets", batch["event.history.offsets"]), nil, "mean")
  return beside(self, embed(self, tape, batch, "user.id") + embed(self, tape, batch, "user.platform")
    + embed(self, tape, batch, "event.time_weekday") + history, 0.01)
end

function Model:item(tape, batch)
  return beside(self, embed(self, tape, batch, "item.id") + embed(self, tape, batch, "item.kind"), self.terms)
end

local function merged(a, b)
  for name, t in pairs(b) do a[name] = t end
  return a
end

local function range(n)
  local rows = {}
  for i = 1, n do rows[i] = i - 1 end
  return tensor.new(rows, "i64")
end

--- The batch of all users at a moment.
function tiny.user_batch(encoder, dataset, now)
  local all = range(tiny.n_users)
  local events = encoder:encode_users_at(dataset, all, now)
  return merged(encoder:encode_users(dataset.users):gather(all), events:gather(all))
end

--- Everything that a spec compares with: dataset, encoder, model, and plans, vectors and weights as published.
---@param terms? number  behind what an item's vector says of it, stand two dimensions about so large that say nothing
function tiny.build(terms)
  local self = { dataset = tiny.dataset(), likeness = terms and tiny.width }
  self.encoder = tiny.encoder(self.dataset)
  self.weights = weights_of(self.encoder)
  self.model = setmetatable({ parameters = {}, terms = terms }, Model)
  for name, t in pairs(self.weights) do self.model.parameters[name] = autograd.parameter(name, t) end
  local user_tape <close> = autograd.tape {}
  local item_tape <close> = autograd.tape {}
  local batch = self.encoder:encode_items(self.dataset.items):gather(range(tiny.n_items))
  local vectors = self.model:item(item_tape, batch)
  self.plans = { item = item_tape:plan { item = vectors },
    user = user_tape:plan { user = self.model:user(user_tape, tiny.user_batch(self.encoder, self.dataset)) } }
  self.vectors = vectors:value():clone()
  return self
end

--- As recsys.model has it.
function tiny.model(self)
  return { kind = "sum", config = { width = tiny.width }, plans = self.plans, weights = self.weights,
    encoder = self.encoder, likeness = self.likeness, item_vectors = function() return self.vectors end }
end

--- Publish it below 'dir'; 'changes' go into the request.
---@return string path
function tiny.publish(self, dir, changes)
  local request = { name = "tiny", model = tiny.model(self), dir = dir, vectors = self.vectors, dataset = self.dataset,
    metrics = { ndcg_10 = 0.25 }, parameters = { train = { epochs = 3 } }, seed = 7,
    created = "2024-01-31T00:00:00Z" }
  return assert(registry.publish(merged(request, changes or {})))
end

--- Scores [users][items] of all users at a moment, by the tape and sums in float64.
function tiny.scores(self, now)
  local tape <close> = autograd.tape {}
  local user = self.model:user(tape, tiny.user_batch(self.encoder, self.dataset, now)):value():tolist()
  local item, scores = self.vectors:tolist(), {}
  for u = 1, tiny.n_users do
    scores[u] = {}
    for i = 1, tiny.n_items do
      local sum = 0
      for d = 1, tiny.width do sum = sum + user[u][d] * item[i][d] end
      scores[u][i] = sum
    end
  end
  return scores
end

--- A two-tower model of untrained weights whose items count the events of the last two days, published below 'dir' as
--- "counting".
---@param dir string
---@param index? string|table  as registry.publish takes it
---@return string path
function tiny.publish_counting(dir, index)
  local dataset, first = tiny.dataset(), range(1)
  local encoder = feature.fit(dataset, nil, { user = { feature.id { "user" } },
    item = { feature.id { "item" }, feature.count { window = "2d" } } })
  local network = require "models.two_tower"({ dim = 4, hidden = {}, dropout = 0, temperature = 1, bias = false },
    encoder, { seed = 3 })
  local trained = require("recsys.model").record(network, encoder, "two_tower", {},
    { user = encoder:encode_users(dataset.users):gather(first),
      item = encoder:encode_items(dataset.items):gather(first) })
  return assert(registry.publish { name = "counting", dir = dir, model = trained, dataset = dataset, index = index })
end

return tiny

--- What a loss may ask of its step: columns, known items, and hard negatives searched with the current model.

local autograd = require "recsys.autograd"
local base = require "recsys.base"
local data_sources = require "recsys.data"
local gradcheck = require "spec.support.gradcheck"
local hard = require "recsys.towers.hard"
local nn = require "recsys.nn"
local tensor = require "recsys.tensor"
local tiny = require "spec.support.tiny_model"
local towers = require "recsys.towers"
local train = require "recsys.train"

local dataset = tiny.dataset()
local encoder = tiny.encoder(dataset)

--- Train matrix factorisation, its loss called by `look` with each step first; what train.fit gives.
local function fit(look, epochs, changes)
  local function definition(_, of, settings)
    local tables = towers.tables(of, 4, settings)
    local self = { users = towers.tower("user", tables, { "user" }), items = towers.tower("item", tables, { "item" }) }
    self.parameters = towers.parameters(self.users, self.items)
    function self.user(_, tape, batch) return self.users:forward(tape, batch) end
    function self.item(_, tape, batch) return self.items:forward(tape, batch) end
    function self.loss(_, tape, step)
      if look then look(step, tape, self) end
      return nn.in_batch_softmax { users = self:user(tape, step.batch),
        items = self:item(tape, step.items:gather(step.item_rows)) }
    end
    return self
  end
  local data = tiny.dataset()
  for name, values in pairs(changes or {}) do data.interactions = data.interactions:with(name, "number", values) end
  local split = data_sources.split_by_time(data, { valid = 0, test = 0 })
  return train.fit(definition, { kind = "mine", config = {}, encoder = encoder, data = data,
    split = split:selection(), metric = "ndcg_10", seed = 4,
    train = { epochs = epochs or 1, batch = 4, patience = 9 } })
end

local function known_of(user)
  local rows, interactions = {}, dataset.interactions
  local users, items = interactions:lookup(dataset.users, "user"), interactions:lookup(dataset.items, "item")
  for i = 1, interactions:rows() do
    if users:get(i) == user then rows[#rows + 1] = items:get(i) end
  end
  return rows
end

describe("a step", function()
  it("gives the batch's part of a column of the interactions, and names one that there is not", function()
    local seconds, asked = {}, 0
    for i = 1, dataset.interactions:rows() do seconds[i] = 10 * i end
    fit(function(step)
      local users = dataset.interactions:lookup(dataset.users, "user")
      local items = dataset.interactions:lookup(dataset.items, "item")
      local got = step:column "seconds"
      for i = 1, #got do
        local row = got:get(i) // 10 | 0
        assert.equal(users:get(row), step.user_rows:get(i))
        assert.equal(items:get(row), step.item_rows:get(i))
      end
      asked = asked + #got
      assert.has_error(function() step:column "second" end, "the interactions have no column 'second' for the loss")
    end, 1, { seconds = seconds })
    assert.equal(dataset.interactions:rows(), asked)
  end)

  it("tells what its users are known to like", function()
    fit(function(step)
      local seen = step:seen()
      for i = 1, #step.user_rows do
        local list = seen.values:narrow(1, seen.starts:get(i) + 1, seen.lengths:get(i)):tolist()
        assert.same(known_of(step.user_rows:get(i)), list)
      end
    end)
  end)

  it("finds the items that the model of the moment scores highest, unknown ones of training alone", function()
    local looks = 0
    fit(function(step, _, model)
      local mined = step:mine(3)
      assert.same({ tiny.n_users, 3 }, mined:size())
      local tape <close> = autograd.tape {}
      local users = encoder:encode_users(dataset.users):gather(tensor.arange(tiny.n_users))
      local items = encoder:encode_items(dataset.items):gather(tensor.arange(tiny.n_items))
      local scores = tensor.matmul(model:user(tape, users):value(), model:item(tape, items):value(), false, true)
      for u = 0, tiny.n_users - 1 do
        local known, list = {}, {}
        for _, item in ipairs(known_of(u)) do known[item] = true end
        for i = 1, #step.pool do
          local item = step.pool:get(i)
          if not known[item] then list[#list + 1] = { item, scores:get(u + 1, item + 1) } end
        end
        table.sort(list, function(a, b) return a[2] > b[2] end)
        for k = 1, 3 do
          local expected = next(known) and list[k] and list[k][1] or -1
          assert.equal(expected, mined:get(u + 1, k), ("user %d, place %d"):format(u, k))
        end
      end
      looks = looks + 1
    end, 2)
    assert.equal(4, looks)
  end)
end)

describe("hard negatives", function()
  it("are none unless asked for, and none before the first search", function()
    assert.is_nil(towers.hard {})
    assert.is_nil(towers.hard { hard_negatives = 0 })
    local made = towers.hard { hard_negatives = 2, hard_every = 2, hard_depth = 3 }
    local searched = {}
    fit(function(step)
      local rows = made:rows(step)
      if step.epoch <= 2 then return assert.is_nil(rows) end
      assert.equal(2 * #step.item_rows, #rows)
      searched[made.epoch] = made.mined
      for i = 1, #rows do
        local user = step.user_rows:get((i + 1) // 2)
        local place = {}
        for k = 1, 3 do place[made.mined:get(user + 1, k)] = true end
        assert.is_true(place[rows:get(i)] or place[-1], "not of the user's list")
        assert.is_true(rows:get(i) >= 0)
      end
    end, 6)
    assert.not_nil(searched[3])
    assert.not_nil(searched[5])
    assert.is_nil(searched[4] or searched[6])
  end)

  it("are kept by a checkpoint", function()
    local made, again = towers.hard { hard_negatives = 1 }, towers.hard { hard_negatives = 1 }
    assert.is_nil(made:state())
    made:load_state { epoch = 3, mined = tensor.zeros(2, 100, "i64") }
    again:load_state(made:state())
    assert.equal(3, again.epoch)
    assert.equal(made.mined, again.mined)
    again:load_state(nil)
    assert.is_nil(again:state())
  end)

  it("enter a softmax against each event's own item, with the gradients of central differences", function()
    local function normals(seed, n) return base.stream(seed, "user", 0, 0):normals(n * 3):reshape(n, 3) end
    local made = hard.new { hard_negatives = 2 }
    local users, items, negatives = normals(1, 4), normals(2, 4), normals(3, 8)
    local worst = gradcheck(function(u, i, h) return made:loss(u, i, h) end, { users, items, negatives })
    assert.is_true(worst < 1e-6, tostring(worst))
    local tape <close> = autograd.tape {}
    local loss = made:loss(tape:input("u", users), tape:input("i", items), tape:input("h", negatives)):item()
    local expected = 0
    for n = 1, 4 do
      local function dot(t, row)
        return (users:select(1, n) * t:select(1, row)):sum()
      end
      local own = math.exp(dot(items, n))
      local against = math.exp(dot(negatives, 2 * n - 1)) + math.exp(dot(negatives, 2 * n))
      expected = expected - math.log(own / (own + against))
    end
    assert.near(expected / 4, loss, 1e-14)
  end)
end)

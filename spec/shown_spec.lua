--- How items came to be shown: terms of the training scores that serving knows nothing of.

local autograd = require "recsys.autograd"
local data_sources = require "recsys.data"
local feature = require "recsys.feature"
local tensor = require "recsys.tensor"
local tiny = require "spec.support.tiny_model"
local towers = require "recsys.towers"
local train = require "recsys.train"
local two_tower = require "models.two_tower"

local dataset = tiny.dataset()
dataset.interactions = dataset.interactions:with("place", "string", { "1", "2", "1", "3", "1", "2", "2", "1", "3" })
dataset.origin = { explored_from = 12 * tiny.day }

local encoder = feature.fit(dataset, nil, {
  user = { feature.id { "user" } },
  event = { feature.history { of = "id", length = 2 }, feature.category { "place" },
    feature.relative_time { item = "created", event = "time", window = "7d", harmonics = 2 } },
  item = { feature.id { "item" }, feature.category { "kind" } },
})

local function fill(parameters)
  for i, parameter in ipairs(parameters) do
    local value = parameter:value():reshape(-1)
    for j = 1, #value do value:set(j, ((i * 7 + j * 3) % 11 - 5) / 10) end
  end
end

--- A step over all interactions, as training gives them.
local function whole_step()
  local rows = tensor.arange(dataset.interactions:rows())
  local at = feature.rows(dataset)
  local events = encoder:encode_events(dataset, rows)
  local step = { item_rows = at.items, times = dataset.interactions:column "time", batch = events:gather(rows) }
  for name, t in pairs(encoder:encode_users(dataset.users):gather(at.users)) do step.batch[name] = t end
  step.explored = step.times:ge(dataset.origin.explored_from)
  return step, encoder:encode_items(dataset.items):gather(at.items)
end

describe("terms of how items were shown", function()
  it("are none unless asked for", function()
    assert.is_nil(towers.shown(encoder, {}, { seed = 1 }))
    assert.is_nil(towers.shown(encoder, { policy = false }, { seed = 1 }))
  end)

  it("add to scores a policy's freshness and bias before exploring began, and the bias of each item's place", function()
    local made = towers.shown(encoder, { policy = true, position = "event.place" }, { seed = 1 })
    fill(made:parameters())
    local tape <close> = autograd.tape {}
    local step, items = whole_step()
    local n = #step.item_rows
    local nothing = tape:input(nil, tensor.zeros(n, 1))
    local user, item = made:terms(tape, step, nothing, nothing, items)
    local scores = tensor.matmul(user:value(), item:value(), false, true)
    local age = tensor.matmul(made.freshness:moment(tape, step.batch):value(),
      made.freshness:item(tape, items):value(), false, true)
    local bias, place = made.bias:parameters()[1]:value(), made.position:parameters()[1]:value()
    local chosen = 0
    for i = 1, n do
      for j = 1, n do
        local expected = place:get(step.batch["event.place"]:get(j) + 1, 1)
        if step.times:get(i) < dataset.origin.explored_from then
          expected, chosen = expected + age:get(i, j) + bias:get(items["item.id"]:get(j) + 1, 1), chosen + 1
        end
        assert.near(expected, scores:get(i, j), 1e-5)
      end
    end
    assert.equal(5 * n, chosen)
  end)

  it("leave scores alone where the data do not tell when exploring began, and drawn items have no place", function()
    local made = towers.shown(encoder, { policy = true, position = "event.place" }, { seed = 1 })
    fill(made:parameters())
    local tape <close> = autograd.tape {}
    local step, items = whole_step()
    step.explored = nil
    local n, more = #step.item_rows, {}
    for name, t in pairs(items) do more[name] = tensor.concat { t, t } end
    local user, item = made:terms(tape, step, tape:input(nil, tensor.zeros(n, 1)),
      tape:input(nil, tensor.zeros(2 * n, 1)), more)
    local scores = tensor.matmul(user:value(), item:value(), false, true)
    local place = made.position:parameters()[1]:value()
    for j = 1, n do
      assert.near(place:get(step.batch["event.place"]:get(j) + 1, 1), scores:get(1, j), 1e-6)
      assert.near(place:get(1, 1), scores:get(1, n + j), 1e-6)
    end
  end)
end)

describe("models/two_tower.lua", function()
  local config = { dim = 4, hidden = { 6 }, dropout = 0.1, temperature = 0.5, learn_temperature = true, log_q = true,
    bias = true, policy = true, position = "event.place", heads = 2, queries = true, history_dropout = 0.1,
    id_dropout = 0.3, user_dropout = 0.3, mask_seen = true, hard_negatives = 2, drawn = 3 }

  local function fit(changes)
    local given = setmetatable(changes or {}, { __index = config })
    return train.fit(two_tower, { kind = "two_tower", config = given, encoder = encoder, data = dataset,
      split = data_sources.split_by_time(dataset, { valid = 0, test = 0 }):selection(), metric = "ndcg_10", seed = 4,
      train = { epochs = 3, batch = 4, patience = 9 } })
  end

  it("trains with everything that a recipe may ask for, and serves without what training alone knows", function()
    local trained = fit()
    local names = {}
    for name, weight in pairs(trained.weights) do
      names[name] = true
      local sum = weight:abs():sum()
      assert.is_true(sum == sum and sum < math.huge, name)
    end
    for _, name in ipairs { "policy.bias", "policy.freshness.cosine", "event.place.bias", "similarity.log_scale",
      "event.history.places", "event.history.queries" } do
      assert.is_true(names[name], name)
    end
    local read = {}
    for _, side in pairs(trained.plans) do
      for _, name in ipairs(side:weights()) do read[name] = true end
      for _, name in ipairs(side:inputs()) do read[name] = true end
    end
    for _, name in ipairs { "policy.bias", "policy.freshness.cosine", "event.place.bias", "event.place" } do
      assert.is_nil(read[name], name)
    end
    assert.is_true(read["similarity.log_scale"])
  end)

  it("gives the same bits again", function()
    local one, other = fit(), fit()
    for name, weight in pairs(one.weights) do
      assert.equal(weight:to_string(), other.weights[name]:to_string(), name)
    end
  end)
end)

--- Clicks and dwell times over one pair of towers.

local autograd = require "recsys.autograd"
local data_sources = require "recsys.data"
local multi_task = require "models.multi_task"
local tensor = require "recsys.tensor"
local tiny = require "spec.support.tiny_model"
local train = require "recsys.train"

local seconds = { 3, 30, 300, 3, 0 / 0, 300, 30, 3, 30 }

local function dataset_with(times)
  local dataset = tiny.dataset()
  dataset.interactions = dataset.interactions:with("seconds", "number", times)
  return dataset
end

local function fit(changes, times, look)
  local dataset = dataset_with(times or seconds)
  local config = { dim = 4, hidden = {}, dropout = 0, temperature = 0.5, dwell = "seconds", dwell_weight = 1,
    rank_dwell = 0 }
  for name, value in pairs(changes or {}) do config[name] = value end
  local function definition(...)
    local made = multi_task(...)
    if look then look(made) end
    return made
  end
  return train.fit(definition, { kind = "multi_task", config = config, encoder = tiny.encoder(dataset),
    data = dataset, split = data_sources.split_by_time(dataset, { valid = 0, test = 0 }):selection(),
    metric = "ndcg_10", seed = 4, train = { epochs = 60, batch = 9, patience = 99, learning_rate = 0.05 } }), dataset
end

--- The click part and the predicted logarithm of the time of each interaction, by the plans.
local function predictions(trained, dataset)
  local n, encoder = dataset.interactions:rows(), trained.encoder
  local rows = tensor.arange(n)
  local events = encoder:encode_events(dataset, rows)
  local users = trained:user_vectors(encoder:encode_users(dataset.users), events,
    dataset.interactions:lookup(dataset.users, "user"))
  local items = trained:item_vectors(encoder:encode_items(dataset.items)):index_select(
    dataset.interactions:lookup(dataset.items, "item"))
  local products = users * items
  return products:narrow(2, 1, 4):sum(2), products:narrow(2, 5, 8):sum(2)
end

describe("models/multi_task.lua", function()
  it("learns the logarithm of the dwell time beside the items, from the events that have one", function()
    local trained, dataset = fit { rank_dwell = 1 }
    local _, predicted = predictions(trained, dataset)
    local error, constant, mean, known = 0, 0, 0, 0
    for i = 1, 9 do
      if seconds[i] == seconds[i] then mean, known = mean + math.log(1 + seconds[i]), known + 1 end
    end
    for i = 1, 9 do
      if seconds[i] == seconds[i] then
        local target = math.log(1 + seconds[i])
        error, constant = error + (predicted:get(i) - target) ^ 2, constant + (mean / known - target) ^ 2
      end
    end
    assert.is_true(error < 0.2 * constant, ("%g of %g"):format(error, constant))
  end)

  it("ranks by the first task alone, or with rank_dwell times the second", function()
    local plain, dataset = fit { rank_dwell = 0 }
    local both = fit { rank_dwell = 0.5 }
    local taken, nothing = predictions(plain, dataset)
    local same, dwell = predictions(both, dataset)
    assert.equal(0, nothing:abs():max())
    assert.equal(taken:to_string(), same:to_string()) -- training does not know of rank_dwell
    assert.is_true(dwell:abs():max() > 0.1)
  end)

  it("is the plain softmax at weight 0, whatever the times are", function()
    local one, dataset = fit { dwell_weight = 0 }
    local other = fit({ dwell_weight = 0 }, { 1, 2, 3, 4, 5, 6, 7, 8, 9 })
    assert.equal((predictions(one, dataset)):to_string(), (predictions(other, dataset)):to_string())
    assert.are_not.equal((predictions(one, dataset)):to_string(), (predictions((fit()), dataset)):to_string())
  end)

  it("has the sum of both losses", function()
    local loss_of
    fit({}, nil, function(made)
      loss_of = made.loss
      function made.loss(self, tape, step)
        local weight = self.config.dwell_weight
        local both = loss_of(self, tape, step)
        self.config.dwell_weight = 0
        local taken = loss_of(self, tape, step):item()
        self.config.dwell_weight = weight
        local users = self.user_head:forward(self.user_tower:forward(tape, step.batch))
        local items = self.item_head:forward(self.item_tower:forward(tape, step.items:gather(step.item_rows)))
        local predicted, column, sum = autograd.dot(users, items):value(), step:column "seconds", 0
        for i = 1, #column do
          local time = column:get(i)
          if time == time then sum = sum + (predicted:get(i) - math.log(1 + time)) ^ 2 end
        end
        assert.near(taken + sum / #column, both:item(), 1e-4)
        return both
      end
    end)
    assert.is_function(loss_of)
  end)
end)

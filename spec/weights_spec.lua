--- Weights of training rows: a row twice, a row's absence, the weighted mean in every model, and what is refused.

local autograd = require "recsys.autograd"
local base = require "recsys.base"
local checkpoint = require "recsys.train.checkpoint"
local feature = require "recsys.feature"
local lookup = require "recsys.lookup"
local model = require "recsys.model"
local small = require "spec.support.small_training"
local step_of = require "recsys.train.step"
local tensor = require "recsys.tensor"
local train = require "recsys.train"
local weights_of = require("recsys.train.weights").of

local function f64(list) return tensor.new(list, "f64") end

--- The small dataset with a column "weight", which `weight(row)` gives, and one "strength".
local function weighed(weight)
  local data, weights, strengths = small.dataset(), {}, {}
  for i = 1, data.interactions:rows() do weights[i], strengths[i] = weight(i - 1), i % 7 end
  data.interactions = data.interactions:with("weight", "number", weights):with("strength", "number", strengths)
  return data
end

local softmax = { dim = 4, similarity = "dot", temperature = 0.5, loss = "softmax", negatives = 0, bias = true }

--- One model trained: the request of spec.support.small_training, with other training rows where 'rows' are given.
local function fit(kind, data, settings, config, rows)
  local request = small.request(settings)
  request.kind, request.data, request.config = kind, data, config or request.config
  if rows then request.split = setmetatable({ train = rows }, { __index = request.split }) end
  return train.fit(lookup.model(kind), request), request
end

local function largest_difference(a, b)
  local largest = 0
  for name, weight in pairs(a.weights) do
    largest = math.max(largest, (weight - b.weights[name]):abs():max())
  end
  return largest
end

local one_step = { epochs = 1, batch = 1000, optimizer = "sgd", learning_rate = 0.5, warmup = 0 }

local function with(settings, changes)
  return model.merge({}, settings, changes)
end

describe("weights of training rows", function()
  it("are part of what a checkpoint must fit", function()
    local request, rows = small.request(one_step), tensor.new({ 0, 1 }, "i64")
    local function hash_of(weights)
      local source = { user_rows = rows, item_rows = rows, times = rows, weights = weights }
      local run = { source = source, settings = {}, network = { parameters = {} } }
      return checkpoint.fingerprint(function() end, request, run)["the data"]
    end
    assert.equal(hash_of(tensor.new { 1, 2 }), hash_of(tensor.new { 1, 2 }))
    assert.not_equal(hash_of(tensor.new { 1, 2 }), hash_of(tensor.new { 2, 1 }))
    assert.not_equal(hash_of(tensor.new { 1, 2 }), hash_of(nil))
  end)

  it("are refused unless the column has a number of 0 or more in each row", function()
    local rows = tensor.new({ 4, 2, 7 }, "i64")
    local function refused(data, name)
      local ok, problem = pcall(weights_of, data, rows, name)
      assert.is_false(ok)
      assert.equal("usage", problem.code)
      return problem.message
    end
    local data = weighed(function(row) return row == 2 and -1 or 1 end)
    assert.equal("train.weight: row 3 of the interactions has -1 in column 'weight'; a number of 0 or more is expected",
      refused(data, "weight"))
    assert.matches("no column 'wieght', did you mean 'weight'%?; there are user, item, time, weight", refused(data,
      "wieght"))
    assert.matches("column 'user' of the interactions is a string; a number is expected", refused(data, "user"))
    local missing = weighed(function(row) return row == 7 and 0 / 0 or 1 end)
    assert.matches("row 8 of the interactions has nothing in column 'weight'", refused(missing, "weight"))
    assert.matches("row 5 of the interactions has inf", refused(weighed(function() return math.huge end), "weight"))
    assert.matches("all rows have 0 in column 'weight'", refused(weighed(function() return 0 end), "weight"))
  end)

  it("leave out the rows of weight 0", function()
    local rows = tensor.new({ 4, 2, 7 }, "i64")
    local kept, weights = weights_of(weighed(function(row) return row == 2 and 0 or row / 2 end), rows, "weight")
    assert.same({ 4, 7 }, kept:tolist())
    assert.same({ 2, 3.5 }, weights:tolist())
    kept, weights = weights_of(weighed(function() return 1 end), rows)
    assert.equal(rows, kept)
    assert.is_nil(weights)
  end)

  it("of 2 are what the row twice is, over the whole catalogue, by row and by user", function()
    local data = weighed(function(row) return row % 3 == 0 and 2 or 1 end)
    local _, request = fit("catalogue_mf", data, one_step, softmax)
    local rows, twice = request.split.train, {}
    for _, row in ipairs(rows:tolist()) do
      if row % 3 == 0 then twice[#twice + 1] = row end
    end
    assert.is_true(#twice > 10)
    local doubled = tensor.concat { rows, tensor.new(twice, "i64") }
    for _, by in ipairs { "row", "user" } do
      local settings = with(one_step, { by = by })
      local once = fit("catalogue_mf", data, with(settings, { weight = "weight" }), softmax)
      local repeated = fit("catalogue_mf", data, settings, softmax, doubled)
      assert.is_true(largest_difference(once, repeated) < 1e-6, by)
      assert.is_true(largest_difference(once, fit("catalogue_mf", data, settings, softmax)) > 1e-4, by)
    end
  end)

  it("of 0 are what the row's absence is, to the bit, in models with in-batch negatives and dropout", function()
    local data = weighed(function(row) return row % 4 == 0 and 0 or 1 end)
    local settings = { epochs = 2, batch = 16, learning_rate = 0.05 }
    for kind, config in pairs { two_tower = false, mf = { dim = 4 } } do
      local weighted, request = fit(kind, data, with(settings, { weight = "weight" }), config or nil)
      local rows = {}
      for _, row in ipairs(request.split.train:tolist()) do
        if row % 4 ~= 0 then rows[#rows + 1] = row end
      end
      local absent = fit(kind, data, settings, config or nil, tensor.new(rows, "i64"))
      assert.is_true(#rows < #request.split.train)
      for name, weight in pairs(weighted.weights) do
        assert.equal(absent.weights[name]:to_string(), weight:to_string(), kind .. " " .. name)
      end
    end
  end)

  it("weigh the held-out loss, so that it does not depend on how rows are batched", function()
    local data = weighed(function(row) return 1 + row % 5 end)
    local still = with(one_step, { learning_rate = 0.0, weight = "weight" })
    local whole = fit("catalogue_mf", data, still, softmax).curves[1]["valid/loss"]
    local parts = fit("catalogue_mf", data, with(still, { batch = 5 }), softmax).curves[1]["valid/loss"]
    assert.near(whole, parts, 1e-6)
  end)
end)

-- Each model's loss as the weighted mean of its rows' ---------------------------------------------------------------

local data = weighed(function(row) return 1 + row % 5 end)
data.interactions = data.interactions:with("seconds", "number", tensor.arange(data.interactions:rows()):to "f64")
local encoder = feature.fit(data, nil, { user = { feature.id { "user" } },
  event = { feature.history { of = "id", length = 3 } }, item = { feature.id { "item" } } })

--- A step of all rows, as recsys.train prepares it.
local function whole_step(weights)
  local n, at = data.interactions:rows(), feature.rows(data)
  local all = tensor.arange(n)
  local items, pool = encoder:encode_items(data.items), at.items:unique()
  local step = step_of.new({ data = data, rows = all, n = n, users = encoder:encode_users(data.users), items = items,
    events = encoder:encode_events(data, all, { items = items }), user_rows = at.users, item_rows = at.items,
    times = data.interactions:column "time", strengths = data.interactions:column "strength", weights = weights,
    log_q = (at.items:bincount(data.items:rows()):to "f32" / n):log() }, all, { pool = pool })
  step.stream = base.stream(1, "negatives", 1, 1)
  return step
end

local configs = {
  mf = { dim = 4 },
  two_tower = { dim = 4, hidden = { 5 }, dropout = 0, temperature = 0.5, log_q = true, bias = true },
  multi_task = { dim = 4, hidden = {}, dropout = 0, temperature = 0.5, dwell = "seconds", dwell_weight = 0.3,
    rank_dwell = 0 },
  next_item = { dim = 4, hidden = { 5 }, dropout = 0, heads = 2 },
  engagement = { dim = 4, hidden = { 5 }, dropout = 0, negatives = 2 },
  catalogue_mf = softmax,
  ultra_gcn = { dim = 4, negatives = 6, emphasis = 3.0, decay = 0.0 },
}

describe("the loss of a model", function()
  local at = feature.rows(data)
  local training = { users = encoder:encode_users(data.users), items = encoder:encode_items(data.items),
    user_rows = at.users, item_rows = at.items }

  for kind, config in pairs(configs) do
    it("is the mean of its rows' by their weights: " .. kind, function()
      local made = lookup.model(kind)(config, encoder, { seed = 3, training = training })
      for i, parameter in ipairs(made.parameters) do
        local value = parameter:value():reshape(-1)
        if parameter:trainable() then value:copy_(base.stream(i, "init", 0, 0):normals(#value):to "f32") end
      end
      local function loss(weights)
        local tape <close> = autograd.tape { train = false }
        return made:loss(tape, whole_step(weights)):item()
      end
      local n = data.interactions:rows()
      local weights = data.interactions:column "weight"
      local sum = 0
      for t = 1, n do
        local alone = tensor.zeros(n)
        alone:set(t, 1)
        sum = sum + weights:get(t) * loss(alone)
      end
      local value = loss(weights:to "f32")
      assert.near(sum / weights:sum(), value, 2e-5 * math.abs(value))
      assert.near(value, loss((weights * 3):to "f32"), 1e-5 * math.abs(value))
      assert.is_true(math.abs(value - loss(nil)) > 1e-4 * math.abs(value))
    end)
  end

  it("of the best constant is by the weights, too", function()
    local made = lookup.model "engagement"(configs.engagement, encoder, { seed = 3 })
    local strengths, weights = f64 { 1, 4, 2 }, tensor.new({ 2, 1, 3 }, "f32")
    local repeated = f64 { 1, 1, 4, 2, 2, 2 }
    assert.near(made:constant_loss(repeated), made:constant_loss(strengths, weights), 1e-12)
  end)
end)

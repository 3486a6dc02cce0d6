--- Models that are not trained by gradients: a pass over all training rows an epoch, in place of a loss.

local autograd = require "recsys.autograd"
local checkpoint = require "recsys.train.checkpoint"
local frame = require "recsys.frame"
local log = require "recsys.log"
local network = require "recsys.network"
local small = require "spec.support.small_training"
local tensor = require "recsys.tensor"
local towers = require "recsys.towers"
local train = require "recsys.train"

--- A model whose round adds what it is told of: item i's score grows by how often training has it. `changes` replace
--- its fields; `seen` gets the settings and the epochs of the calls.
local function counting(seen, changes)
  return function(_, encoder, settings)
    seen.settings = settings
    local id = towers.input(encoder, "item.id")
    local counts = autograd.parameter("counts", tensor.zeros(id.rows, 1), { trainable = false })
    local calls = autograd.parameter("calls", tensor.zeros(1, "i64"), { trainable = false })
    local made = { parameters = { calls, counts } }
    function made.user(_, tape, batch)
      local user = tape:input("user.id", batch["user.id"])
      return autograd.embedding(tape:parameter(seen.ones), user)
    end
    function made.item(_, tape, batch)
      return autograd.embedding(tape:parameter(counts), tape:input("item.id", batch["item.id"]))
    end
    function made.round(_, epoch)
      if seen.fail_at == epoch then error "interrupted" end
      seen[#seen + 1] = epoch
      local codes = settings.training.items:gather(settings.training.item_rows)["item.id"]
      counts:value():add_(codes:bincount(id.rows):to "f32":reshape(-1, 1))
      calls:value():add_(epoch)
      return 10 - epoch
    end
    seen.ones = autograd.parameter("ones", tensor.full(1, towers.input(encoder, "user.id").rows, 1),
      { trainable = false })
    made.parameters[3] = seen.ones
    for field, value in pairs(changes or {}) do made[field] = value or nil end
    return made
  end
end

local function fit(seen, settings, changes, of_model)
  return train.fit(counting(seen, of_model), small.request(settings or { epochs = 4, patience = 4 }, changes))
end

local function refusal(fn, ...)
  local ok, problem = pcall(fn, ...)
  assert.is_false(ok)
  return type(problem) == "table" and problem.message or problem, problem
end

describe("a model with rounds", function()
  local level = log.level
  setup(function() log.level = "quiet" end)
  teardown(function() log.level = level end)

  it("passes over all training once an epoch, without an optimiser", function()
    local seen = {}
    local trained = fit(seen)
    assert.same({ 1, 2, 3, 4 }, { table.unpack(seen) })
    assert.equal(4, trained.epoch)
    assert.equal(10, trained.weights.calls:get(1))
    assert.equal("i64", trained.weights.calls:dtype())
    assert.equal(4 * 63, trained.weights.counts:sum())
    for epoch, row in ipairs(trained.curves) do
      assert.equal(10 - epoch, row["train/loss"])
      assert.is_nil(row["valid/loss"])
      assert.is_nil(row["monitor/grad_norm"])
    end
  end)

  it("is told of the training rows, their times, strengths and weights", function()
    local seen, request = {}, small.request { epochs = 1 }
    train.fit(counting(seen), request)
    local training = seen.settings.training
    assert.equal(63, #training.user_rows)
    local interactions = request.data.interactions
    assert.same(interactions:column("time"):index_select(request.split.train):tolist(), training.times:tolist())
    assert.equal("i64", training.times:dtype())
    assert.is_nil(training.weights)
    assert.is_nil(training.strengths)
    local ids = { training.users:gather(training.user_rows)["user.id"],
      training.items:gather(training.item_rows)["item.id"] }
    assert.equal(63, #ids[1])
    assert.is_true(ids[2]:min() >= 1)
  end)

  it("makes no more passes than it says, whatever train.epochs is", function()
    local seen = {}
    assert.equal(1, fit(seen, { epochs = 7 }, nil, { rounds = 1 }).epoch)
    assert.same({ 1 }, { table.unpack(seen) })
    seen = {}
    fit(seen, { epochs = 2, patience = 9 }, nil, { rounds = 5 })
    assert.same({ 1, 2 }, { table.unpack(seen) })
  end)

  it("keeps the weights of the round that validation liked best, and its patience ends it", function()
    local values, asked, seen = { 0.1, 0.4, 0.3, 0.2, 0.9 }, 0, {}
    local trained = fit(seen, { epochs = 5, patience = 2 }, { validate = function(model)
      asked = asked + 1
      assert.equal(asked * 63, model.weights.counts:sum())
      return values[asked]
    end })
    assert.equal(2, trained.epoch)
    assert.equal(4, #trained.curves)
    assert.equal(2 * 63, trained.weights.counts:sum())
    assert.equal(3, trained.weights.calls:get(1))
    asked, values = 0, { 0.1, 0.4, 0.5 }
    assert.equal(3 * 63, fit({}, { epochs = 3 }, { validate = function()
      asked = asked + 1
      return values[asked]
    end }).weights.counts:sum())
  end)

  it("calls settle and tells report as ever", function()
    local settled, told = 0, {}
    fit({}, { epochs = 2 }, { report = function(epoch, row, last) told[epoch] = { row.epoch, last } end },
      { settle = function() settled = settled + 1 end })
    assert.equal(2, settled)
    assert.same({ { 1, false }, { 2, true } }, told)
  end)

  it("goes on from its checkpoint with the same bits", function()
    local folder = require("spec.support.command").scratch(finally)
    local new = checkpoint.new
    checkpoint.new = function(...)
      local made = new(...)
      made.is_due = function() return true end
      return made
    end
    finally(function() checkpoint.new = new end)
    local settings = { epochs = 5, patience = 5 }
    local function outcome(trained)
      local found = {}
      for name, weight in pairs(trained.weights) do found[name] = frame.hash(weight) end
      return found
    end
    local expected = outcome(fit({}, settings))
    for at = 1, 5 do
      local place = { folder = ("%s/%d"):format(folder, at) }
      local message = refusal(fit, { fail_at = at }, settings, { checkpoint = place })
      assert.matches("interrupted", message)
      place.resumed = true
      local seen = {}
      assert.same(expected, outcome(fit(seen, settings, { checkpoint = place })))
      assert.equal(at, seen[1])
    end
  end)

  it("that is cut short behind a round, before it is validated, does not make it again", function()
    local folder = require("spec.support.command").scratch(finally)
    local place, seen = { folder = folder .. "/kept" }, {}
    local function validate(raises)
      return function()
        if raises and #seen == 2 then error({ signal = 15, message = "stopped by signal 15" }, 0) end
        return 1 + #seen
      end
    end
    local message = refusal(fit, seen, nil, { checkpoint = place, validate = validate(true) })
    assert.equal("stopped by signal 15 behind step 1 of epoch 2; a checkpoint is written, go on by --resume", message)
    place.resumed = true
    local trained = fit(seen, nil, { checkpoint = place, validate = validate(false) })
    assert.same({ 1, 2, 3, 4 }, { table.unpack(seen) })
    assert.equal(4 * 63, trained.weights.counts:sum())
  end)

  it("is refused by the learning-rate finder, and with what only batches know", function()
    local message, problem = refusal(train.find_rate, counting {}, small.request { epochs = 2 })
    assert.equal("models/two_tower.lua is not trained by gradients: it has no learning rate to find", message)
    assert.equal("usage", problem.code)
    for name, value in pairs { user_cap = 3, rows_per_epoch = 10, log_q_window = "7d" } do
      message, problem = refusal(fit, {}, { epochs = 1, [name] = value })
      assert.equal(("models/two_tower.lua takes all training rows in one pass: leave train.%s out"):format(name),
        message)
      assert.equal("usage", problem.code)
    end
  end)

  it("whose numbers are not finite ends the training, and names them", function()
    local message, problem = refusal(fit, {}, { epochs = 1 }, nil, { round = function(self)
      self.parameters[2]:value():fill_(math.huge)
    end })
    assert.equal("models/two_tower.lua: after round 1 parameter 'counts' holds numbers that are not finite. More "
      .. "regularisation helps where a system of equations is singular", message)
    assert.equal("numeric", problem.code)
    message = refusal(fit, {}, { epochs = 1 }, nil, { round = function() return 0 / 0 end })
    assert.matches("the objective of round 1 is %-?nan", message)
  end)

  it("is refused when its definition is wrong, in words", function()
    local function complaint(changes)
      return (refusal(network.build, counting({}, changes), "mine", {}, small.request({}).encoder, {}))
    end
    assert.equal("models/mine.lua: the model has no method 'loss' or 'round'", complaint { round = false })
    assert.matches("^models/mine.lua: the model has both a method 'loss' and one 'round'", complaint {
      loss = function() end })
    local says = "models/mine.lua: its 'rounds' is %s; how many calls of its method 'round' there are at the most, 1 "
      .. "or more, is expected"
    for shown, rounds in pairs { ["0"] = 0, ["1.5"] = 1.5, ["a string"] = "2" } do
      assert.equal(says:format(shown), complaint { rounds = rounds })
    end
    assert.equal(says:format "3", complaint { rounds = 3, round = false, loss = function() end })
    assert.equal("models/mine.lua: parameter 'w' waits for gradients, and a model with a method 'round' has none: make "
      .. "it with { trainable = false }", complaint { parameters = { autograd.parameter("w", tensor.zeros(2)) } })
    local built = network.build(counting({}, { round = function() return "much" end }), "mine", {},
      small.request({}).encoder, {})
    assert.equal("models/mine.lua: round() returns a string; its objective, a number, or nothing is expected",
      (refusal(network.round, built, "mine", 1)))
  end)
end)

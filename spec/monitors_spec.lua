--- What is watched in training, against sums of a plain loop; that it warns; and that a loss that is no number names
--- the operation that made it.

local autograd = require "recsys.autograd"
local log = require "recsys.log"
local monitors = require "recsys.train.monitors"
local optim = require "recsys.optim"
local small = require "spec.support.small_training"
local tensor = require "recsys.tensor"
local train = require "recsys.train"

local definition = require "models.two_tower"

--- What log.warn is given while fn runs.
local function warnings_of(fn)
  local said, warn = {}, log.warn
  log.warn = function(...) said[#said + 1] = string.format(...) end
  local ok, problem = pcall(fn)
  log.warn = warn
  assert(ok, problem)
  return said
end

--- The norm of all numbers of some tables of tables.
local function norm_of(...)
  local sum = 0
  local function add(value)
    if type(value) ~= "table" then sum = sum + value * value return end
    for _, part in ipairs(value) do add(part) end
  end
  for _, value in ipairs { ... } do add(value) end
  return math.sqrt(sum)
end

describe("monitors", function()
  local level = log.level
  setup(function() log.level = "quiet" end)
  teardown(function() log.level = level end)

  --- A table [5, 2] of which rows 1 and 4 have gradients, and dense weights.
  local function parameters()
    local codes = autograd.parameter("item.id.table", tensor.new { { 1, 2 }, { 3, 4 }, { 5, 6 }, { 7, 8 }, { 9, 10 } },
      { sparse = true })
    local weights = autograd.parameter("w", tensor.new { { 1, -2 } })
    local tape <close> = autograd.tape { train = true }
    local rows = tape:parameter(codes):embedding(tape:input("c", tensor.new({ 4, 1, 4 }, "i32")))
    tape:backward(rows:linear(tape:parameter(weights)):sum())
    return codes, weights
  end

  it("give the mean and the greatest gradient norm", function()
    local kept, row = monitors.new(), {}
    for _, norm in ipairs { 3, 1, 2 } do monitors.norm(kept, norm) end
    monitors.row(row, kept, {})
    assert.equal(2, row["monitor/grad_norm"])
    assert.equal(3, row["monitor/grad_norm_max"])
  end)

  it("tell how far a step moves the weights that it touches", function()
    local codes, weights = parameters()
    local opt = optim.sgd({ codes, weights }, { learning_rate = 0.1 })
    assert.is_true(math.abs(opt:norm() - norm_of(codes:grad():tolist(), weights:grad():tolist())) < 1e-5)
    local before = { codes:value():tolist(), weights:value():tolist() }
    local kept, row = monitors.new(), {}
    local found = monitors.before { codes, weights }
    opt:step()
    monitors.after(kept, found)
    monitors.row(row, kept, {})
    local moved = norm_of((codes:grad() * 0.1):tolist(), (weights:grad() * 0.1):tolist())
    local touched = norm_of(before[1][2], before[1][5], before[2])
    assert.is_true(math.abs(row["monitor/update_ratio"] - moved / touched) < 1e-6)
  end)

  it("give the median and the 99th percentile of the norms of a table's rows", function()
    local values = {}
    for i = 1, 200 do values[i] = { 3 * i, 4 * i } end
    local table_ = autograd.parameter("item.id.table", tensor.new(values, "f32"), { sparse = true })
    local row = {}
    monitors.row(row, monitors.new(), { table_ })
    assert.equal(5 * 100, row["monitor/embedding_norm_median/item.id"])
    assert.equal(5 * 198, row["monitor/embedding_norm_99/item.id"])
  end)

  it("look at rows of a large table evenly", function()
    local rows = tensor.arange(100000):to "f32"
    local row = {}
    monitors.row(row, monitors.new(), { autograd.parameter("t", rows:reshape(-1, 1), { sparse = true }) })
    assert.is_true(math.abs(row["monitor/embedding_norm_median/t"] - 50000) < 100)
    assert.is_true(math.abs(row["monitor/embedding_norm_99/t"] - 99000) < 100)
  end)

  it("count the units that no step found active", function()
    local kept = monitors.new()
    local weights = autograd.parameter("user.0.weight", tensor.new { { 1, 0 }, { -1, 0 }, { 0, 1 }, { -1, -1 } })
    for _, x in ipairs { { { 1, 0 }, { 2, 0 } }, { { 0, 1 }, { 0, 2 } } } do
      local tape <close> = autograd.tape { train = true }
      local input = tape:input("x", tensor.new(x))
      input:linear(tape:parameter(weights), nil, "relu")
      input:linear(tape:parameter(weights), nil, "gelu") -- has none
      monitors.units(kept, tape)
    end
    local row = {}
    local by_name = monitors.row(row, kept, {})
    assert.same({ ["user.0.weight"] = 0.5 }, by_name) -- the first and the third unit live, in a step each
    assert.equal(0.5, row["monitor/dead_units"])
  end)

  it("warn once of layers most of whose units are dead, and of norms that grow", function()
    local warned, first = {}, { ["monitor/grad_norm"] = 1, ["monitor/embedding_norm_99/t"] = 1 }
    local dead = { a = 0.4, b = 0.75 }
    local said = warnings_of(function()
      monitors.warn({ ["monitor/grad_norm"] = 10, ["monitor/embedding_norm_99/t"] = 9 }, first, dead, warned)
      monitors.warn({ ["monitor/grad_norm"] = 11, ["monitor/embedding_norm_99/t"] = 25 }, first, dead, warned)
      monitors.warn({ ["monitor/grad_norm"] = 12, ["monitor/embedding_norm_99/t"] = 26 }, first, dead, warned)
    end)
    assert.equal(3, #said)
    assert.matches("75 %% of the units behind b were not active once", said[1])
    assert.matches("monitor/embedding_norm_99/t is 25, 25 times what it was after the first epoch", said[2])
    assert.matches("monitor/grad_norm is 11, 11 times", said[3])
  end)

  it("stand in the curves, under names that trackers take", function()
    local trained = train.fit(definition, small.request { epochs = 2, batch = 16 })
    for _, row in ipairs(trained.curves) do
      for name in pairs(row) do assert.matches("^[%w_%-%.:/ ]+$", name) end
      for _, name in ipairs { "grad_norm", "grad_norm_max", "update_ratio", "dead_units",
        "embedding_norm_median/item.id", "embedding_norm_99/user.id" } do
        assert.equal("number", type(row["monitor/" .. name]), name)
      end
      assert.is_true(row["monitor/grad_norm_max"] >= row["monitor/grad_norm"])
    end
  end)

  it("warn in a training whose units die", function()
    local said = warnings_of(function()
      train.fit(function(config, encoder, settings)
        local made = definition(config, encoder, settings)
        for _, parameter in ipairs(made.parameters) do
          if parameter:name() == "user.0.bias" then parameter:value():fill_(-100) end
        end
        return made
      end, small.request { epochs = 1, batch = 16 })
    end)
    assert.equal(1, #said)
    assert.matches("100 %% of the units behind user%.0%.weight were not active once", said[1])
  end)
end)

describe("a training whose numbers leave the range", function()
  local level = log.level
  setup(function() log.level = "quiet" end)
  teardown(function() log.level = level end)

  local function problem_of(made, request)
    local ok, problem = pcall(train.fit, made, request)
    assert.is_false(ok)
    assert.equal("numeric", problem.code, problem.message)
    assert.equal(1, require("recsys.exit").code_of(problem))
    return problem.message
  end

  --- models/two_tower.lua with another loss of its loss.
  local function with_loss(change)
    return function(...)
      local made = definition(...)
      local loss = made.loss
      return setmetatable({ parameters = made.parameters, loss = function(_, tape, step)
        return change(loss(made, tape, step), tape, step)
      end }, { __index = made })
    end
  end

  it("names the operation, its inputs and the weights behind it", function()
    local message = problem_of(definition, small.request({ epochs = 3, batch = 16, optimizer = "sgd",
      learning_rate = 1e30 }))
    assert.matches("^the loss is nan in epoch 1, step 2. The first number that is not finite: ", message)
    assert.matches("linear[%w_]* of .* %[16, %d+%], parameter '%w+%.%w+%.weight' %[%d+, %d+%].*, its result: an "
      .. "infinity in %d+ of %d+ numbers. Lower train.learning_rate, set train.clip, or look", message)
  end)

  it("names an operation behind which the loss is a number, its gradient none", function()
    local message = problem_of(with_loss(function(loss)
      return loss + autograd.exp(autograd.affine(autograd.log(loss - loss), 0.5)) -- the root of 0, by its logarithm
    end), small.request { epochs = 1, batch = 16 })
    assert.matches("^the gradient's norm is nan in epoch 1, step 1%. The first number that is not finite: "
      .. "log of sub %[%], behind parameter '[%w%.]+', its result: an infinity in 1 of 1 numbers", message)
  end)

  it("names an operation whose gradient is none, though every value is one", function()
    local message = problem_of(with_loss(function(loss)
      return loss + autograd.affine(autograd.log(autograd.affine(loss, 0, 1e-30)), 1e20)
    end), small.request { epochs = 1, batch = 16 })
    assert.matches("log of affine %[%], .*, the gradient that it gives affine: an infinity in 1 of 1 numbers", message)
  end)

  it("names an input that brought it along", function()
    local message = problem_of(with_loss(function(loss, tape, step)
      local price = tensor.new({ step.stream:uniform(0) < 2 and math.huge or 0 }, "f32")
      return loss + autograd.sum(tape:input("item.price", price))
    end), small.request { epochs = 1, batch = 16 })
    assert.matches("sum of input 'item.price' %[1%], input 'item.price' that it is given: an infinity in 1 of 1",
      message)
  end)

  it("says so when the sum of finite gradients is none", function()
    local message = problem_of(function(...)
      local made = definition(...)
      local huge = autograd.parameter("huge.table", tensor.full(1e-30, 1, 1), { sparse = true })
      local parameters = { huge, table.unpack(made.parameters) }
      return setmetatable({ parameters = parameters, loss = function(_, tape, step)
        local rows = tape:parameter(huge):embedding(tape:input("twice", tensor.zeros(2, "i32")))
        return made:loss(tape, step) + autograd.sum(rows * 3e38)
      end }, { __index = made })
    end, small.request { epochs = 1, batch = 16 })
    assert.matches("the gradient of parameter 'huge.table', the sum of what several operations give it, is too large",
      message)
  end)
end)

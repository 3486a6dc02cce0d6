--- What is said of a model's file that does not give what training needs.

local autograd = require "recsys.autograd"
local log = require "recsys.log"
local model = require "recsys.model"
local network = require "recsys.network"
local tensor = require "recsys.tensor"

local encoder = { inputs = function() return { { name = "item.x", feature = "number" } } end }
local aging = { inputs = function() return { { name = "item.x", feature = "relative_time" } } end }
local batches = { user = { ["user.x"] = tensor.zeros(3, 2) }, item = { ["item.x"] = tensor.zeros(3, 2) } }

--- A model of two inputs and one weight, some of its fields replaced.
local function made(changes)
  local weight = autograd.parameter("w", tensor.zeros(2, 2))
  local it = { parameters = { weight } }
  function it.user(_, tape, batch)
    return autograd.linear(tape:input("user.x", batch["user.x"]), tape:parameter(weight))
  end
  function it.item(_, tape, batch) return tape:input("item.x", batch["item.x"]) end
  function it.loss(_, tape) return tape:parameter(weight):mean() end
  for field, value in pairs(changes or {}) do it[field] = value or nil end
  return it
end

--- Build and record it as train.fit does; nil or what it says.
local function complaint(given)
  local ok, problem = pcall(function()
    local built = network.build(function() return given end, "mine", {}, nil, {})
    model.record(built, encoder, "mine", {}, batches)
    local tape <close> = autograd.tape { train = true }
    network.loss(built, "mine", tape, {})
  end)
  return not ok and problem.message or nil
end

describe("a model's network", function()
  it("is taken when it has everything", function()
    assert.is_nil(complaint(made()))
  end)

  it("is refused without its table, a method or its parameters", function()
    assert.equal("models/mine.lua: its definition returns nothing; a table with parameters, user, item and loss is "
      .. "expected", complaint(nil))
    assert.equal("models/mine.lua: the model has no method 'loss' or 'round'", complaint(made { loss = false }))
    for _, method in ipairs { "user", "item" } do
      assert.equal(("models/mine.lua: the model has no method '%s'"):format(method),
        complaint(made { [method] = false }))
    end
    local take = "; take the list that towers.parameters(layer, ...) gives"
    for _, parameters in ipairs { false, {} } do
      assert.equal("models/mine.lua: the model has no 'parameters'" .. take,
        complaint(made { parameters = parameters }))
    end
    assert.equal("models/mine.lua: its 'parameters' hold a Tensor" .. take,
      complaint(made { parameters = { tensor.zeros(2) } }))
  end)

  it("is refused when a method gives no Var or one of another size", function()
    assert.equal("models/mine.lua: user() returns nothing, not a Var", complaint(made { user = function() end }))
    assert.equal("models/mine.lua: item() returns a Tensor, not a Var", complaint(made {
      item = function(_, _, batch) return batch["item.x"] end }))
    assert.equal("models/mine.lua: item() gives sizes 6; vectors [n, d] are expected", complaint(made {
      item = function(_, tape, batch) return tape:input("item.x", batch["item.x"]):reshape(6) end }))
    assert.equal("models/mine.lua: user() gives vectors of 2 numbers, item() of 3: a score is their dot product",
      complaint(made { item = function(_, tape, batch)
        return tape:input("item.x", batch["item.x"]):reshape(2, 3)
      end }))
    assert.equal("models/mine.lua: loss() returns a number, not a Var", complaint(made {
      loss = function() return 0.5 end }))
    assert.equal("models/mine.lua: loss() gives sizes 2 x 2; take its mean()", complaint(made {
      loss = function(_, tape) return tape:input(nil, tensor.zeros(2, 2)) end }))
  end)

  it("is refused when likeness is to go by numbers that its vectors do not have", function()
    assert.is_nil(complaint(made { likeness = 2 }))
    assert.equal("models/mine.lua: its 'likeness' is 3, but item() gives vectors of 2 numbers",
      complaint(made { likeness = 3 }))
    local says = "; how many of a vector's numbers, the first, say what an item is: 1 or more"
    for shown, likeness in pairs { ["0"] = 0, ["1.5"] = 1.5, ["a string"] = "2" } do
      assert.equal(("models/mine.lua: its 'likeness' is %s%s"):format(shown, says),
        complaint(made { likeness = likeness }))
    end
  end)

  it("is warned of when its items' times would be what likeness goes by", function()
    local warn, said = log.warn, {}
    log.warn = function(...) said[#said + 1] = string.format(...) end
    finally(function() log.warn = warn end)
    model.record(made(), encoder, "mine", {}, batches)
    model.record(made { likeness = 1 }, aging, "mine", {}, batches)
    assert.same({}, said)
    model.record(made(), aging, "mine", {}, batches)
    assert.same({ "models/mine.lua: item() reads 'item.x', and the model has no 'likeness': items of one time will "
      .. "count as alike (docs/models.md, \"What likeness goes by\")" }, said)
  end)

  it("is refused when its plan would read what is not there, with what there is", function()
    local other = autograd.parameter("bias", tensor.zeros(2))
    assert.equal("models/mine.lua: item() uses 'bias', which is not among the model's parameters: hand its layer to "
      .. "towers.parameters", complaint(made { item = function(_, tape, batch)
        return tape:input("item.x", batch["item.x"]) + tape:parameter(other)
      end }))
    assert.equal("models/mine.lua: item() reads an input 'x', but its batches hold item.x", complaint(made {
      item = function(_, tape, batch) return tape:input("x", batch["item.x"]) end }))
    assert.matches("no tensor for the input 'item.y'.*; the batch of item%(%) has no 'item.y', it holds item.x$",
      complaint(made { item = function(_, tape, batch) return tape:input("item.y", batch["item.y"]) end }))
  end)

  it("may ask a batch for what it does not hold", function()
    assert.is_nil(complaint(made { item = function(_, tape, batch)
      return tape:input("item.x", batch["item.y"] or batch["item.x"])
    end }))
  end)
end)

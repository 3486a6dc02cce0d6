--- models/factorisation_machine.lua against the sum over all pairs of features, as Rendle 2010 writes it.

local autograd = require "recsys.autograd"
local base = require "recsys.base"
local gradcheck = require "spec.support.gradcheck"
local lookup = require "recsys.lookup"
local tensor = require "recsys.tensor"

local DIM <const> = 3

--- Inputs of every kind on both sides: bags with weights and without, of which some are empty, and numbers.
local inputs = {
  user = { { name = "user.id", kind = "codes", rows = 5, table = "user.id" },
    { name = "user.age", kind = "numbers", width = 2 } },
  event = { { name = "event.history", kind = "bag", rows = 7, table = "item.id", length = 4 },
    { name = "event.words", kind = "bag", rows = 4, table = "words" },
    { name = "event.words.weights", kind = "weights", of = "event.words" } },
  item = { { name = "item.id", kind = "codes", rows = 7, table = "item.id" },
    { name = "item.tags", kind = "bag", rows = 6, table = "tags" },
    { name = "item.price", kind = "numbers", width = 1 } },
}
local encoder = { inputs = function(_, side) return inputs[side] end }

local function f64(...) return tensor.new({ ... }, "f64") end
local function i32(list) return tensor.new(list, "i32") end
local function i64(list) return tensor.new(list, "i64") end

local batch = {
  ["user.id"] = i32 { 4, 0, 2 }, ["user.age"] = f64({ 0.5, -1 }, { 2, 0 }, { 0, 0.25 }),
  ["event.history"] = i32 { 6, 1, 6, 3 }, ["event.history.offsets"] = i64 { 0, 3, 3, 4 },
  ["event.words"] = i32 { 3, 1, 2 }, ["event.words.offsets"] = i64 { 0, 1, 3, 3 },
  ["event.words.weights"] = f64(0.3, 2, 0.5),
  ["item.id"] = i32 { 1, 0, 6 }, ["item.tags"] = i32 { 5, 2, 2, 1 }, ["item.tags.offsets"] = i64 { 0, 2, 2, 4 },
  ["item.price"] = f64({ 1.5 }, { -0.5 }, { 0 }),
}

local function fm(loss)
  local made = lookup.model "factorisation_machine"({ dim = DIM, loss = loss or "softmax", negatives = 2 }, encoder,
    { seed = 3, dtype = "f64" })
  for i, parameter in ipairs(made.parameters) do -- weights and the constant begin at 0
    local value = parameter:value()
    value:copy_(base.stream(9, "init", 0, i):normals(value:count()):reshape(table.unpack(value:size())))
  end
  return made
end

local function values_of(made)
  local values = {}
  for _, parameter in ipairs(made.parameters) do values[parameter:name()] = parameter:value() end
  return values
end

--- The features of a row: { x, w, v } each.
local function features_of(values, sides, row)
  local list = {}
  local function add(factors, code, x)
    local v = {}
    for d = 1, DIM do v[d] = factors:get(code + 1, d) end
    list[#list + 1] = { x = x, w = factors:get(code + 1, DIM + 1), v = v }
  end
  for _, side in ipairs(sides) do
    for _, input in ipairs(inputs[side]) do
      local t = batch[input.name]
      if input.kind == "codes" then
        add(values[input.name .. ".factors"], t:get(row), 1)
      elseif input.kind == "bag" then
        local offsets, weights = batch[input.name .. ".offsets"], batch[input.name .. ".weights"]
        local first, last = offsets:get(row) + 1, offsets:get(row + 1)
        for at = first, last do
          add(values[input.name .. ".factors"], t:get(at), (weights and weights:get(at) or 1) / (last - first + 1))
        end
      elseif input.kind == "numbers" then
        for c = 1, input.width do add(values[input.name .. ".weight"]:transpose(1, 2), c - 1, t:get(row, c)) end
      end
    end
  end
  return list
end

--- w0 + sum of w_i x_i + sum over all pairs i < j of <v_i, v_j> x_i x_j.
local function score(values, user, item)
  local list = features_of(values, { "user", "event" }, user)
  table.move(features_of(values, { "item" }, item), 1, 99, #list + 1, list)
  local sum = values.constant:get(1)
  for i, a in ipairs(list) do
    sum = sum + a.w * a.x
    for j = i + 1, #list do
      for d = 1, DIM do sum = sum + a.v[d] * list[j].v[d] * a.x * list[j].x end
    end
  end
  return sum
end

--- A step of three events, whose negatives are of the three items.
local function step_of(weights)
  local features = { rows = function() return 3 end, gather = function(_, rows)
    local picked, offsets, tags = {}, { 0 }, {}
    for i = 1, #rows do
      local row = rows:get(i) + 1
      for at = batch["item.tags.offsets"]:get(row) + 1, batch["item.tags.offsets"]:get(row + 1) do
        tags[#tags + 1] = batch["item.tags"]:get(at)
      end
      offsets[i + 1] = #tags
    end
    picked["item.id"] = batch["item.id"]:index_select(rows)
    picked["item.price"] = batch["item.price"]:index_select(rows)
    picked["item.tags"], picked["item.tags.offsets"] = i32(tags), i64(offsets)
    return picked
  end }
  return { batch = batch, items = features, item_rows = i64 { 0, 1, 2 }, user_rows = i64 { 0, 1, 2 },
    pool = i64 { 0, 1, 2 }, weights = weights, stream = base.stream(3, "negatives", 1, 1),
    taken = function() return i64 { 0, 4, 8 } end,
    sides = function(self)
      return { batch = batch }, { batch = batch, rows = self.item_rows, log_q = f64(-1, -2, -1.5) }
    end }
end

describe("models/factorisation_machine.lua", function()
  it("has as dot products the sum over all pairs of features", function()
    local made = fm()
    local values = values_of(made)
    local tape <close> = autograd.tape {}
    local scores = made:user(tape, batch):value():matmul(made:item(tape, batch):value(), false, true)
    for u = 1, 3 do
      for i = 1, 3 do assert.near(score(values, u, i), scores:get(u, i), 1e-12) end
    end
  end)

  it("is likeness by the factors, and weights begin at 0", function()
    local made = lookup.model "factorisation_machine"({ dim = DIM, loss = "softmax" }, encoder, { seed = 3 })
    assert.equal(DIM, made.likeness)
    local factors = values_of(made)["user.id.factors"]
    assert.equal(0, factors:narrow(2, DIM + 1, 1):abs():max())
    assert.is_true(factors:narrow(2, 1, DIM):abs():min() > 0)
  end)

  it("has the losses that it names, of scores by pairs", function()
    local function drawn(step)
      local rows = {}
      for turn = 1, 2 do rows[turn] = require("recsys.towers.pairs").negatives(step, { turn = turn }):tolist() end
      return rows
    end
    local function softplus(x) return math.log(1 + math.exp(x)) end
    local made = fm "log"
    local values, step = values_of(made), step_of()
    local against, bpr, log = drawn(step), 0, 0
    for n = 1, 3 do
      for turn = 1, 2 do
        assert.are_not.equal(n - 1, against[turn][n], "a user's own item is no negative")
        log = log + softplus(score(values, n, against[turn][n] + 1)) / 9
      end
      log = log + softplus(-score(values, n, n)) / 9
      bpr = bpr + softplus(score(values, n, against[1][n] + 1) - score(values, n, n)) / 3
    end
    local tape <close> = autograd.tape {}
    assert.near(log, made:loss(tape, step):item(), 1e-9)
    local pairwise = fm "bpr"
    assert.near(bpr, pairwise:loss(tape, step_of()):item(), 1e-9)
    local softmax = 0
    for n = 1, 3 do
      local sum, log_q = 0, { -1, -2, -1.5 }
      for i = 1, 3 do sum = sum + math.exp(score(values, n, i) - log_q[i]) end
      softmax = softmax + (math.log(sum) - score(values, n, n) + log_q[n]) / 3
    end
    assert.near(softmax, fm():loss(tape, step_of()):item(), 1e-9)
  end)

  it("has the gradients of its losses", function()
    for _, name in ipairs { "softmax", "bpr", "log" } do
      local made = fm(name)
      local moved = {}
      for _, parameter in ipairs(made.parameters) do -- a constant moves no order
        if name == "log" or parameter:name() ~= "constant" then moved[#moved + 1] = parameter end
      end
      local worst, where = gradcheck(function(first) return made:loss(first:tape(), step_of()) end, moved)
      assert.is_true(worst < 1e-6, ("%s: %g at %s"):format(name, worst, tostring(moved[where])))
    end
  end)

  it("weighs events with the softmax and the logistic loss, and refuses to with BPR", function()
    local function loss_of(name, weights)
      local tape <close> = autograd.tape {}
      return fm(name):loss(tape, step_of(weights)):item()
    end
    assert.near(loss_of("log"), loss_of("log", f64(1, 1, 1)), 1e-12)
    assert.are_not.equal(loss_of "log", loss_of("log", f64(2, 1, 0)))
    local _, problem = pcall(loss_of, "bpr", f64(1, 1, 1))
    assert.equal("train.weight: losses by pairs count all rows alike", problem.message)
  end)

  it("names the losses there are", function()
    local _, problem = pcall(fm, "hinge")
    assert.equal("model.loss is 'hinge'; there are bpr, log, softmax", problem.message)
    assert.equal("usage", problem.code)
  end)
end)

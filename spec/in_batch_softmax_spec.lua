--- The in-batch softmax over distinct users and items: the plain batch x batch form, to rounding, with every option.
local autograd = require "recsys.autograd"
local base = require("recsys.core").base
local gradcheck = require "spec.support.gradcheck"
local nn = require "recsys.nn"
local tensor = require "recsys.tensor"

local function normals(seed, ...)
  local count = 1
  for _, size in ipairs { ... } do count = count * size end
  return base.stream(seed, "user", 0, 0):normals(count):reshape(...)
end

local function integers(values, dtype) return tensor.new(values, dtype or "i64") end

-- Nine events of four users and six columns: users and items repeat, and so do whole pairs (events 1, 4 and 9). Column
-- 5 is of no event: drawn. Column 6 holds the item of column 2 again. User 3 has an event of each kind.
local rows = integers { 0, 1, 2, 0, 3, 2, 2, 1, 0 }
local columns = integers { 0, 1, 2, 0, 3, 0, 5, 1, 0 }
local r, m, n, d = 4, 6, 9, 3
local codes = integers { 7, 8, 9, 10, 11, 8 }
local log_q = tensor.new({ -1, -2, -0.5, -3, -1, -2 }, "f64")
local weights = tensor.new({ 1, 0.5, 2, 0, 1, 3, 0.25, 1, 1 }, "f64")
local now, from = integers { 10, 20, 30, 20 }, integers { 0, 0, 0, 15, 25, 22 }
local to = integers { 100, 15, 25, 100, 29, 100 }
-- User 1 likes items 7 and 8, the first of which is a positive of his; user 3 likes none, user 4 an item of no column.
local left_out = { starts = integers { 0, 2, 3, 3 }, lengths = integers({ 2, 1, 0, 1 }, "i32"),
  values = integers({ 8, 7, 9, 99 }, "i32") }

-- What stands beside the rows: some have nothing there.
local beside = normals(8, r, 2)
beside:set(2, 1, -math.huge)
beside:set(3, 1, -math.huge)
beside:set(3, 2, -math.huge)

local cases = {
  plain = {}, temperature = { temperature = 0.3 }, log_q = { log_q = log_q },
  masked = { codes = codes }, kept = { codes = codes, hits = "kept" },
  uncorrected = { codes = codes, log_q = log_q, positive = "uncorrected" },
  uncorrected_kept = { log_q = log_q, positive = "uncorrected" },
  weights = { weights = weights, codes = codes },
  smoothing = { smoothing = 0.2 }, smoothing_masked = { smoothing = 0.1, codes = codes, log_q = log_q },
  window = { now = now, from = from, to = to }, left_out = { codes = codes, left_out = left_out },
  left_out_kept = { codes = codes, left_out = left_out, hits = "kept", smoothing = 0.1 },
  beside = { beside = beside }, beside_masked = { beside = beside, codes = codes, weights = weights, log_q = log_q },
  all = { temperature = 0.5, beside = beside, log_q = log_q, codes = codes, weights = weights, smoothing = 0.05,
    now = now, from = from, to = to, left_out = left_out, positive = "uncorrected" },
}

local function copied(options, more)
  local all = {}
  for key, value in pairs(options) do all[key] = value end
  for key, value in pairs(more) do all[key] = value end
  return all
end

--- What event t meets: a list of { s = logit, positive = boolean }, from the definition alone: one column an event,
--- then the columns of no event.
local function met(t, users, items, o)
  local i, positive, list = rows:get(t) + 1, columns:get(t) + 1, {}
  local function add(j, own)
    local s = (users:select(1, i) * items:select(1, j)):sum() / (o.temperature or 1)
    if o.log_q and not (own and o.positive == "uncorrected") then s = s - o.log_q:get(j) end
    local hit = o.codes and o.hits ~= "kept" and o.codes:get(j) == o.codes:get(positive)
    local there = not o.now or o.from:get(j) <= o.now:get(i) and o.now:get(i) < o.to:get(j)
    local liked = false
    for k = 1, o.left_out and o.left_out.lengths:get(i) or 0 do
      liked = liked or o.left_out.values:get(o.left_out.starts:get(i) + k) == o.codes:get(j)
    end
    if own or not hit and there and not liked then list[#list + 1] = { s = s, positive = own } end
  end
  local named = {}
  for other = 1, n do
    add(columns:get(other) + 1, other == t)
    named[columns:get(other) + 1] = true
  end
  for j = 1, m do if not named[j] then add(j, false) end end
  for h = 1, o.beside and o.beside:size(2) or 0 do list[#list + 1] = { s = o.beside:get(i, h), beside = true } end
  return list
end

local function reference(users, items, o)
  local total, all = 0, 0
  for t = 1, n do
    local sum, mean, most, positive, list = 0, 0, -math.huge, nil, met(t, users, items, o)
    for _, column in ipairs(list) do most = math.max(most, column.s) end
    for _, column in ipairs(list) do
      sum = sum + math.exp(column.s - most)
      if not column.beside then mean = mean + column.s / (#list - (o.beside and 2 or 0)) end
      if column.positive then positive = column.s end
    end
    local w, e = o.weights and o.weights:get(t) or 1, o.smoothing or 0
    total, all = total + w * (math.log(sum) + most - (1 - e) * positive - e * mean), all + w
  end
  return total / all
end

--- What stands beside the rows as a var of the users' tape and type, whose gradient `run` tells.
local function beside_of(users, options)
  local given = options.beside
  if not given or tensor.is(given) == false then return given end
  return users:tape():input("beside", given:to(users:dtype()), true)
end

local function merged(users, items, options)
  return nn.in_batch_softmax(copied(options, { users = users, items = items, rows = rows, columns = columns,
    beside = beside_of(users, options) }))
end

--- The same with a row and a column of its own for every event, behind them the columns of no event.
local function plain(tape, users, items, options)
  local at = tensor.concat { columns, integers { 4 } }
  local o = copied(options, {})
  for _, name in ipairs { "log_q", "codes", "from", "to" } do o[name] = o[name] and o[name]:index_select(at) end
  o.now = o.now and o.now:index_select(rows)
  o.left_out = o.left_out and { starts = o.left_out.starts:index_select(rows), values = o.left_out.values,
    lengths = o.left_out.lengths:index_select(rows) }
  o.users = autograd.embedding(users, tape:input(nil, rows:to "i32"))
  local own = beside_of(users, options)
  o.beside = own and autograd.embedding(own, tape:input(nil, rows:to "i32"))
  o.items = autograd.embedding(items, tape:input(nil, at:to "i32"))
  return nn.in_batch_softmax(o)
end

--- Loss and both gradients.
local function run(form, users, items, options)
  local tape <close> = autograd.tape { train = true }
  local u, v = tape:input("u", users, true), tape:input("v", items, true)
  local loss = form == plain and plain(tape, u, v, options) or merged(u, v, options)
  tape:backward(loss)
  return loss:item(), u:grad(), v:grad()
end

local function far(a, b) return (a - b):abs():max() / b:abs():max() end

describe("in-batch softmax over distinct users and items", function()
  local users, items = normals(6, r, d), normals(7, m, d)

  for name, options in pairs(cases) do
    it("is its definition: " .. name, function()
      local tape <close> = autograd.tape { train = true }
      local loss = merged(tape:input("u", users), tape:input("v", items), options):item()
      assert.is_true(math.abs(loss - reference(users, items, options)) < 1e-12)
    end)

    it("has the gradients of central differences: " .. name, function()
      assert.is_true(gradcheck(function(u, v) return merged(u, v, options) end, { users, items }) < 1e-6)
    end)

    it("equals the form with a row and a column for every event: " .. name, function()
      local loss, user_grad, item_grad = run(merged, users, items, options)
      local plain_loss, plain_user_grad, plain_item_grad = run(plain, users, items, options)
      assert.is_true(math.abs(loss - plain_loss) < 1e-13)
      assert.is_true(far(user_grad, plain_user_grad) < 1e-13 and far(item_grad, plain_item_grad) < 1e-13)
    end)

    it("does so in float32, to its rounding: " .. name, function()
      local o = copied(options, { log_q = options.log_q and options.log_q:to "f32",
        weights = options.weights and options.weights:to "f32" })
      local loss, user_grad, item_grad = run(merged, users:to "f32", items:to "f32", o)
      local exact, exact_user_grad, exact_item_grad = run(merged, users, items, options)
      assert.is_true(math.abs(loss - exact) < 8 * 2 ^ -23 * math.max(1, exact))
      assert.is_true(far(user_grad:to "f64", exact_user_grad) < 32 * 2 ^ -23)
      assert.is_true(far(item_grad:to "f64", exact_item_grad) < 32 * 2 ^ -23)
    end)

    it("stays exact where logits are hundreds apart: " .. name, function()
      local large = users * 150
      local loss, user_grad, item_grad = run(merged, large, items, options)
      assert.is_true(math.abs(loss / reference(large, items, options) - 1) < 1e-12)
      local plain_loss, plain_user_grad, plain_item_grad = run(plain, large, items, options)
      assert.is_true(math.abs(loss / plain_loss - 1) < 1e-12)
      assert.is_true(far(user_grad, plain_user_grad) < 1e-12 and far(item_grad, plain_item_grad) < 1e-12)
      local o = copied(options, { log_q = options.log_q and options.log_q:to "f32",
        weights = options.weights and options.weights:to "f32" })
      local rounded, rounded_user_grad = run(merged, large:to "f32", items:to "f32", o)
      assert.is_true(math.abs(rounded / loss - 1) < 1e-6)
      assert.is_true(far(rounded_user_grad:to "f64", user_grad) < 1e-3)
    end)
  end

  it("gives what stands beside the gradients of central differences, in the plain form and far apart, too", function()
    for _, scale in ipairs { 1, 40 } do
      local finite = normals(8, r, 2) * scale
      for name, options in pairs { beside = {}, masked = { codes = codes, log_q = log_q, weights = weights } } do
        local worst = gradcheck(function(u, v, b)
          return merged(u, v, copied(options, { beside = b }))
        end, { users * scale, items, finite })
        assert.is_true(worst < 1e-6, name)
      end
    end
  end)

  it("gives nothing beside no gradient, and what stands alone the whole of it", function()
    local tape <close> = autograd.tape { train = true }
    local b = tape:input("b", beside, true)
    local loss = nn.in_batch_softmax { users = tape:input("u", users), items = tape:input("v", items), rows = rows,
      columns = columns, beside = b }
    tape:backward(loss)
    assert.equal(0, b:grad():get(2, 1))
    assert.same({ 0, 0 }, b:grad():select(1, 3):tolist())
    assert.is_true(b:grad():get(1, 1) > 0 and b:grad():get(2, 2) > 0)
    local other <close> = autograd.tape { train = true }
    assert.has_error(function()
      nn.in_batch_softmax { users = other:input("x", users), items = other:input("y", items), rows = rows,
        columns = columns, beside = other:input("z", tensor.zeros(3, 2, "f64")) }
    end, ("in_batch_softmax: beside is f64 [3, 2]; f64 [%d, h] is needed"):format(r))
  end)

  it("gives users without events no gradient", function()
    local tape <close> = autograd.tape { train = true }
    local u, v = tape:input("u", users, true), tape:input("v", items, true)
    local loss = nn.in_batch_softmax { users = u, items = v, rows = integers { 0, 2 }, columns = integers { 1, 1 } }
    tape:backward(loss)
    assert.equal(0, u:grad():select(1, 2):abs():max())
    assert.is_true(u:grad():select(1, 3):abs():max() > 0)
  end)

  it("shows what is not a number", function()
    local spoiled = users:clone()
    spoiled:set(2, 1, 0 / 0)
    local loss = run(merged, spoiled:to "f32", items:to "f32", {})
    assert.is_true(loss ~= loss)
  end)

  it("gives the same bits with one thread and with two", function()
    local before = base.threads()
    local stream = base.stream(3, "shuffle", 0, 0)
    local many, all = 3000, { rows = stream:integers(3000, 700), columns = stream:integers(3000, 501) }
    local u32, v32 = normals(8, 700, 17):to "f32", normals(9, 501, 17):to "f32"
    local function bits(threads)
      base.threads(threads)
      local tape <close> = autograd.tape { train = true }
      local u, v = tape:input("u", u32, true), tape:input("v", v32, true)
      local loss = nn.in_batch_softmax(copied(all, { users = u, items = v, smoothing = 0.1 }))
      tape:backward(loss)
      base.threads(before)
      return loss:item(), u:grad():to_string(), v:grad():to_string()
    end
    assert.equal(many, #all.rows)
    assert.same({ bits(1) }, { bits(2) })
  end)

  it("tells how fast exponentials are", function()
    assert.is_true(nn.exponential_rate() > 1e6)
    assert.has_error(function() nn.exponential_rate(0) end, "exponential_rate: numbers and rounds must be 1 or more")
  end)

  it("refuses what does not fit", function()
    local tape <close> = autograd.tape { train = true }
    local u, v = tape:input("u", users), tape:input("v", items)
    local function refused(message, o)
      assert.has_error(function() nn.in_batch_softmax(copied(o, { users = u, items = v })) end, message)
    end
    refused("in_batch_softmax: rows holds 4, outside 0 to 3", { rows = integers { 4 }, columns = integers { 0 } })
    refused("in_batch_softmax: columns holds -1, outside 0 to 5", { rows = integers { 0 }, columns = integers { -1 } })
    refused("in_batch_softmax: columns is [9] for 4 users: with several events of a user, rows must say whose each is",
      { columns = columns })
    refused("in_batch_softmax: 9 events and 6 items: with several events of an item, columns must say whose each is",
      { rows = rows })
    refused("in_batch_softmax: weights hold -1, they must be 0 or more",
      { weights = tensor.new({ 1, -1, 1, 1 }, "f64") })
    refused("in_batch_softmax: all weights are 0", { weights = tensor.zeros(4, "f64") })
    refused("in_batch_softmax: left_out is of codes, which are not given", { left_out = left_out })
    refused("in_batch_softmax: smoothing is 1, outside 0 to 0.999999", { smoothing = 1 })
    refused("in_batch_softmax: left_out needs starts, lengths and values",
      { codes = codes, left_out = { starts = left_out.starts } })
    refused("bad argument #1 to 'in_batch_softmax' (option 'hits' must be one of 'masked', 'kept')", { hits = "left" })
  end)
end)

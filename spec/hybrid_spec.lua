--- models/hybrid.lua: two towers and a transformer side by side, and what its transformer reads.

local autograd = require "recsys.autograd"
local data = require "recsys.data"
local feature = require "recsys.feature"
local frame = require "recsys.frame"
local lookup = require "recsys.lookup"
local tensor = require "recsys.tensor"
local towers = require "recsys.towers"

local DAY <const> = 86400000

--- Four users who read some of six articles; the last article was never read.
local function articles()
  local users, items, times = {}, {}, {}
  for k = 0, 4 do
    for u = 0, 3 do
      users[#users + 1], items[#items + 1], times[#times + 1] = "u" .. u, "i" .. (u + k) % 5, DAY * (1 + #times)
    end
  end
  return data.new { name = "articles", fingerprint = ("0"):rep(64), origin = {},
    items = frame.from { { "item", "string", { "i0", "i1", "i2", "i3", "i4", "i5" } },
      { "topics", "string", { "a,b", "b", "", "c,a", "c", "b,a" } } },
    interactions = frame.from { { "user", "string", users }, { "item", "string", items }, { "time", "time", times } } }
end

local dataset = articles()
local declared = { user = { feature.id { "user" } },
  item = { feature.id { "item" }, feature.categories { "topics", separator = "," } },
  event = { feature.history { of = "id", length = 3 },
    feature.history { of = "topics", length = 3, name = "sequence_topics", unknown = "keep", each = 1 } } }
local encoder = feature.fit(dataset, tensor.arange(0, 20, "i64"), declared)

local function config_of(more)
  local config = { kind = "hybrid", dim = 8, hidden = {}, dropout = 0, temperature = 0.5, blocks = 1, heads = 2,
    sequence_dropout = 0, share = 0.3, log_q = true }
  for key, value in pairs(more or {}) do config[key] = value end
  return config
end

local function made(more) return (lookup.model "hybrid")(config_of(more), encoder, { seed = 4 }) end

local rows = tensor.new({ 17, 18, 19 }, "i64")
local items = encoder:encode_items(dataset.items)
local function batches()
  local users = encoder:encode_users(dataset.users):gather(tensor.new({ 1, 2, 3 }, "i64"))
  for name, values in pairs(encoder:encode_events(dataset, rows):gather(tensor.arange(0, 3, "i64"))) do
    users[name] = values
  end
  return users, items:gather(tensor.arange(0, 6, "i64"))
end

local function scores(model)
  local tape <close> = autograd.tape {}
  local users, catalogue = batches()
  return model:user(tape, users):value():matmul(model:item(tape, catalogue):value():transpose(1, 2))
end

describe("the hybrid", function()
  it("scores by the weighed sum of its parts, and the bias", function()
    local model = made()
    local both, tape <close> = scores(model), autograd.tape {}
    local users, catalogue = batches()
    local user, item = model.parts:users(tape, users), model.parts:items(tape, catalogue)
    local expected = user[1]:value():matmul(item[1]:value():transpose(1, 2)) * 0.7
      + user[2]:value():matmul(item[2]:value():transpose(1, 2)) * 0.3
    assert.is_true((both - expected):abs():max() < 1e-5)
    assert.equal(16, model.likeness)
  end)

  it("is one part alone when asked for", function()
    assert.equal(8, made { part = "transformer" }.likeness)
    assert.equal(8, made { part = "two_tower" }.likeness)
    local ok, problem = pcall(made, { part = "transformers" })
    assert.is_false(ok)
    assert.equal("usage", problem.code)
    assert.matches("did you mean 'transformer'", problem.message)
  end)

  it("tells articles that nobody read by what they are about", function()
    local alone = scores(made { part = "transformer" })
    local spread = (alone:select(2, 6) - alone:select(2, 5)):abs():min()
    assert.is_true(spread > 1e-4, spread) -- an unknown id, and topics of its own
  end)

  it("leaves ids to the two towers where no event of the sequence is told by them", function()
    local names = {}
    for _, parameter in ipairs(made { part = "transformer" }.parameters) do names[parameter:name()] = true end
    assert.is_nil(names["sequence.item.id.table"])
    assert.is_nil(names["sequence.user.id.table"])
    assert.is_true(names["sequence.item.topics.table"])
  end)

  it("refuses batches of users where there is no sequence to read", function()
    local ok, problem = pcall(function()
      return made { part = "two_tower" }.parts:lessons(nil, { starts = tensor.zeros(1, "i64") })
    end)
    assert.is_false(ok)
    assert.matches('set it to "row"', problem.message)
  end)
end)

describe("a transformer's pool", function()
  it("is the mean of what an event and those behind it give", function()
    local tables = towers.tables(encoder, 8, { seed = 4 })
    local shape = { blocks = 1, heads = 2, sequence = "sequence" }
    local last = towers.transformer("t", tables, shape)
    shape.pool = "mean"
    local mean = towers.transformer("t", tables, shape)
    local tape <close> = autograd.tape {}
    local codes = { ["event.sequence_topics"] = tape:input(nil, tensor.new({ 1, 2, 3, 2, 0 }, "i32")) }
    local offsets = tape:input(nil, tensor.new({ 0, 3, 3, 5 }, "i64"))
    local each, pooled = last:events(tape, codes, offsets):value(), mean:events(tape, codes, offsets):value()
    local first = each:narrow(1, 1, 3):mean(1)
    assert.is_true((pooled:select(1, 1) - first):abs():max() < 1e-5)
    assert.is_true((pooled:select(1, 3) - each:select(1, 3)):abs():max() < 1e-5)
    assert.is_true((pooled:select(1, 4) - each:narrow(1, 4, 2):mean(1)):abs():max() < 1e-5)
  end)

  it("reads in whole sequences what histories of so many codes an event hold", function()
    local tables = towers.tables(encoder, 8, { seed = 4 })
    local reader = towers.transformer("t", tables, { blocks = 1, heads = 1, sequence = "sequence" })
    local tape <close> = autograd.tape { train = true, seed = 1, epoch = 1, step = 1 }
    local inputs = tensor.new({ 3, 2, 0 }, "i64") -- i3, i2, i0: topics c, none, a
    local offsets = tensor.new({ 0, 3 }, "i64")
    local step = { starts = true, items = items, sequences = function()
      return { inputs = inputs, offsets = offsets, step = "the rows" }
    end }
    local found, vectors = reader:lessons(tape, step)
    local vocabulary = encoder:vocabulary "item.topics"
    local codes = { ["event.sequence_topics"] = tape:input(nil, tensor.new({ vocabulary:code "c", 0,
      vocabulary:code "a" }, "i32")) }
    assert.equal("the rows", found)
    assert.same(reader:events(tape, codes, tape:input(nil, offsets)):value():tolist(), vectors:value():tolist())
  end)
end)

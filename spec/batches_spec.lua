--- Batches gathered ahead of the training: they hold what gathering at once gives, in the order of the steps.

local ahead = require "recsys.train.ahead"
local feature = require "recsys.feature"
local frame = require "recsys.frame"
local tensor = require "recsys.tensor"

local ROWS = 10

local function features(side)
  local names, numbers = {}, {}
  for i = 1, ROWS do names[i], numbers[i] = "u" .. i, i * 1.5 end
  local users = frame.from { { "user", "string", names }, { "age", "number", numbers } }
  local data = { users = users, items = frame.from { { "item", "string", { "a" } } },
    interactions = frame.from { { "user", "string", { "u1" } }, { "item", "string", { "a" } },
      { "time", "time", { 1 } } } }
  local encoder = feature.fit(data, nil, { user = { feature.id { "user" }, feature.number { "age" } } })
  local encoded = encoder:encode_users(users)
  if side == "user" then return encoded end
  local renamed = {}
  for name, t in pairs(encoded:tensors()) do renamed[name:gsub("^user", side)] = t end
  return assert(feature.load_features(renamed))
end

local function i64(list) return tensor.new(list, "i64") end

local function source()
  return { events = features "event", users = features "user", user_rows = i64 { 9, 8, 7, 6, 5, 4, 3, 2, 1, 0 } }
end

local order = i64 { 3, 1, 4, 0, 5, 9, 2, 6, 8, 7 }

--- What train.fit gathers at once for the positions first + 1 .. last of the order.
local function at_once(from, first, last)
  local at = order:narrow(1, first + 1, last - first)
  local batch = from.events:gather(at)
  for name, t in pairs(from.users:gather(from.user_rows:index_select(at))) do batch[name] = t end
  return batch
end

local function plain(batch)
  local lists = {}
  for name, t in pairs(batch) do lists[name] = t:tolist() end
  return lists
end

describe("batches ahead", function()
  it("are those that gathering at once gives, from any step on", function()
    local from, size, n = source(), 3, ROWS
    local steps = n // size
    for done = 0, steps do
      local batches <close> = ahead.new(from, order, done, steps, size, n)
      for step = done + 1, steps do
        local first, last = ahead.span(step, steps, size, n)
        assert.same(plain(at_once(from, first, last)), plain(batches:next()))
      end
      assert.is_nil(batches:next())
    end
  end)

  it("cut an epoch into whole batches, the last up to half as long again", function()
    assert.same({ 0, 3 }, { ahead.span(1, 3, 3, 10) })
    assert.same({ 6, 10 }, { ahead.span(3, 3, 3, 10) })
    assert.same({ 6, 9 }, { ahead.span(3, 3, 3, 11) })
    assert.same({ 0, 2 }, { ahead.span(1, 1, 3, 2) })
  end)

  it("are left without a trace in the middle of an epoch, and by an error", function()
    local from = source()
    for _ = 1, 20 do
      assert.has_error(function()
        local batches <close> = ahead.new(from, order, 0, 3, 3, ROWS)
        batches:next()
        error "the loss is nan"
      end)
    end
    local batches = ahead.new(from, order, 0, 3, 3, ROWS)
    batches:close()
    batches:close()
    assert.has_error(function() batches:next() end, "calling 'next' on bad self (batches are closed)")
  end)

  it("tell what is wrong with what they are to gather", function()
    local from = source()
    local parts = { { from.events } }
    assert.has_error(function() feature.batches({}, order, i64 { 0, 3 }) end,
      "bad argument #1 to 'batches' (a list of 1 to 16 parts is expected)")
    assert.has_error(function() feature.batches({ from.events }, order, i64 { 0, 3 }) end,
      "bad argument #1 to 'batches' (a list of { Features, rows } is expected)")
    assert.error_matches(function() feature.batches(parts, i64 { 0, ROWS }, i64 { 0, 2 }) end,
      "batches: position 10 of 10")
    assert.error_matches(function() feature.batches(parts, order, i64 { 0, 3, 2 }) end,
      "batches: bound 2 is 2; bounds must rise from 0 to at most 10")
    local twice <close> = feature.batches({ parts[1], parts[1] }, order, i64 { 0, 3 })
    assert.error_matches(function() twice:next() end, "event")
  end)
end)

--- Features of the past: counts, rates and histories against brute force, and the state that training replays and a
--- service advances, to the bit.

local command = require "spec.support.command"
local feature = require "recsys.feature"
local frame = require "recsys.frame"
local model = require "recsys.model"
local random = require "recsys.base"
local registry = require "recsys.registry"
local serve = require "recsys.serve"
local tensor = require "recsys.tensor"

local HOUR = 3600000
local USERS, ITEMS, EVENTS = 30, 40, 1500

--- Of the states advanced event by event each row is compared; few where garbage is collected at every turn (pause 0).
local pause = collectgarbage("setpause", 200)
collectgarbage("setpause", pause)
local EVERY = pause == 0 and 40 or 1

local function drawer(seed)
  local stream, at = random.stream(seed, "user", 0, 0), 0
  return function(n)
    at = at + 1
    return stream:below(at, n)
  end
end

--- A log in order of time with many ties, kinds of events, strengths, some of each missing.
local function make_log()
  local draw, log = drawer(11), { user = {}, item = {}, time = {}, kind = {}, strength = {}, stars = {} }
  for i = 1, EVENTS do
    log.user[i], log.item[i] = "u" .. 1 + draw(USERS), "i" .. 1 + draw(ITEMS)
    log.time[i] = 1700000000000 + i // 3 * HOUR
    log.kind[i] = ({ "read", "shared", "saved", false })[1 + draw(4)]
    log.strength[i] = draw(6) > 0 and draw(100) / 8
    log.stars[i] = 1 + draw(5)
  end
  return log
end

local log = make_log()

local function dataset(rows)
  local users, items = { {}, {} }, { {}, {} }
  for i = 1, USERS do users[1][i], users[2][i] = "u" .. i, i % 7 > 0 and 1700000000000 - i * 24 * HOUR end
  for i = 1, ITEMS do
    items[1][i], items[2][i] = "i" .. i, {}
    for j = 1, i % 4 do items[2][i][j] = "t" .. (i + j * j) % 9 end
  end
  local function first(values) return table.move(values, 1, rows or EVENTS, 1, {}) end
  return { name = "log", fingerprint = ("0"):rep(64),
    users = frame.from { { "user", "string", users[1] }, { "created", "time", users[2] } },
    items = frame.from { { "item", "string", items[1] }, { "tags", "list", items[2] } },
    interactions = frame.from { { "user", "string", first(log.user) }, { "item", "string", first(log.item) },
      { "time", "time", first(log.time) }, { "kind", "string", first(log.kind) },
      { "strength", "number", first(log.strength) }, { "stars", "number", first(log.stars) } } }
end

local function declarations()
  return {
    user = { feature.id { "user" } },
    event = {
      feature.history { of = "item", length = 7, weight = "strength", gaps = { "1h", "12h", "3d" }, unknown = "keep",
        kinds = { kind = { "shared", "saved" } } },
      feature.history { of = "item", length = 4, name = "counted", kinds = { kind = { shared = 3, read = 0.5 } },
        unknown = "keep" },
      feature.history { of = "tags", length = 3, name = "tags", weight = "strength", gaps = { "1h", "12h", "3d" } },
      feature.count { window = "3d" },
      feature.count { window = "9h", transform = "none", name = "count_9h" },
      feature.count { window = "20d", where = { kind = { "shared", "saved" } }, name = "marked" },
      feature.count { window = "20d", where = { kind = "read", stars = { 4, 5 } }, transform = "none", name = "good" },
      feature.count { of = { "user", "tags" }, window = "10d", transform = "none", name = "by_tag" },
      feature.count { of = { "user", "tags" }, window = "10d", transform = "share", where = { kind = "read" },
        name = "tag_shares" },
      feature.rate { window = "20d", where = { kind = "shared" } },
      feature.rate { window = "20d", where = { kind = "shared" }, among = { stars = { 4, 5 } }, prior = 3,
        name = "shared_of_good" },
      feature.age { "created" },
    },
    item = { feature.id { "item" }, feature.categories { "tags" }, feature.popularity { "item" } },
  }
end

local TRAIN = 900
local data = dataset()
local train_rows = tensor.arange(0, TRAIN, "i64")
local encoder = feature.fit(data, train_rows, declarations())

--- The rows (from 1) of the user's events in [time - span, time), oldest first; by_order: and ties before the row.
local function within(row, span, by_order)
  local list = {}
  for i = 1, EVENTS do
    local before = log.time[i] < log.time[row] or by_order and log.time[i] == log.time[row] and i < row
    if log.user[i] == log.user[row] and before and log.time[i] >= log.time[row] - span then list[#list + 1] = i end
  end
  return list
end

local function passing(rows, test)
  local n = 0
  for _, i in ipairs(rows) do n = n + (test(i) and 1 or 0) end
  return n
end

local DAY = 24 * HOUR
local tests = {
  marked = function(i) return log.kind[i] == "shared" or log.kind[i] == "saved" end,
  good = function(i) return log.kind[i] == "read" and log.stars[i] >= 4 end,
  shared = function(i) return log.kind[i] == "shared" end,
  among = function(i) return log.stars[i] >= 4 end,
  both = function(i) return log.kind[i] == "shared" and log.stars[i] >= 4 end,
}

local function f32(x)
  return (string.unpack("f", string.pack("f", x)))
end

--- Values of a list output at a row, from 1.
local function slice(features, name, row)
  local output = features:output(name)
  local start, length = output.starts:get(row), output.lengths:get(row)
  return length == 0 and {} or output.values:narrow(1, start + 1, length):tolist()
end

local function bytes_of(tensors)
  local all = {}
  for name, t in pairs(tensors) do all[name] = t:dtype() .. t:to_string() end
  return all
end

describe("counts and rates", function()
  local function check(by_order)
    local events = encoder:encode_events(data, nil, { ties = by_order and "order" or nil })
    local function value(name, row) return events:output("event." .. name).values:get(row, 1) end
    local share = passing(table.move(require("recsys.tensor").arange(1, TRAIN + 1):tolist(), 1, TRAIN, 1, {}),
      tests.shared) / TRAIN
    for row = 1, EVENTS, 7 do
      assert.are.equal(f32(math.log(1 + #within(row, 3 * DAY, by_order))), f32(value("count_3d", row)))
      assert.are.equal(#within(row, 9 * HOUR, by_order), value("count_9h", row))
      local lately = within(row, 20 * DAY, by_order)
      assert.are.equal(passing(lately, tests.good), value("good", row))
      assert.is_near(math.log(1 + passing(lately, tests.marked)), value("marked", row), 1e-6)
      assert.are.equal(f32((passing(lately, tests.shared) + 10 * share) / (#lately + 10)), value("rate_20d", row))
    end
  end

  it("equal a walk through the user's events in [time - window, time)", function() check(false) end)

  it("count ties before the row where the order of the interactions decides", function() check(true) end)

  it("among events of a kind draw towards the share in training rows", function()
    local events, both, among = encoder:encode_events(data), 0, 0
    for i = 1, TRAIN do
      both, among = both + (tests.both(i) and 1 or 0), among + (tests.among(i) and 1 or 0)
    end
    for row = 1, EVENTS, 7 do
      local lately = within(row, 20 * DAY)
      local expected = (passing(lately, tests.both) + 3 * (both / among)) / (passing(lately, tests.among) + 3)
      assert.are.equal(f32(expected), events:output "event.shared_of_good".values:get(row, 1))
    end
  end)

  it("of a feature's codes tell what the user met", function()
    local events, tags = encoder:encode_events(data), encoder:vocabulary "item.tags"
    local by_tag, shares = events:output "event.by_tag".values, events:output "event.tag_shares".values
    assert.are.equal(1 + #tags, by_tag:size(2))
    for row = 1, EVENTS, 13 do
      local counts, read, sum = {}, {}, 0
      for code = 0, #tags do counts[code], read[code] = 0, 0 end
      for _, i in ipairs(within(row, 10 * DAY)) do
        local item = tonumber(log.item[i]:sub(2))
        for j = 1, item % 4 do
          local code = tags:code("t" .. (item + j * j) % 9)
          counts[code] = counts[code] + 1
          if log.kind[i] == "read" then read[code], sum = read[code] + 1, sum + 1 end
        end
      end
      for code = 0, #tags do
        assert.are.equal(counts[code], by_tag:get(row, code + 1))
        assert.are.equal(sum > 0 and f32(read[code] / sum) or 0, shares:get(row, code + 1))
      end
    end
  end)

  it("depend on nothing at or after the event", function()
    local changed = dataset()
    local row = 701 -- the first of three events of one time is row 699
    local kinds = {}
    for i = 1, EVENTS do kinds[i] = i >= row - 2 and "shared" or log.kind[i] end
    changed.interactions = changed.interactions:with("kind", "string", kinds)
    local at = tensor.new({ row - 1 }, "i64")
    local first = tensor.new({ 0 }, "i64")
    local one, other = encoder:encode_events(data, at), encoder:encode_events(changed, at)
    assert.are.same(bytes_of(one:gather(first)), bytes_of(other:gather(first)))
  end)

  it("name what is wrong with a declaration", function()
    assert.has_error(function() feature.count { window = "soon" } end,
      "bad argument #1 to 'count' (option 'window' must be a number and s, m, h, d or w, like 7d)")
    assert.has_error(function() feature.count { where = "shared" } end, "bad argument #1 to 'count' (option 'where' "
      .. "must be columns with the value or the list of values that they may have, like { event = \"shared\" })")
    assert.has_error(function() feature.rate { window = "7d" } end,
      "bad argument #1 to 'rate' (option 'where' is required)")
    assert.has_error(function() feature.count { of = "items" } end, "bad argument #1 to 'count' (option 'of' must be "
      .. "\"user\", \"item\" or { \"user\", the name of an item feature })")
    assert.has_error(function() feature.count { transform = "share" } end,
      "bad argument #1 to 'count' (transform = \"share\" is for of = { \"user\", feature })")
    local function refused(message, declaration)
      local _, problem = pcall(function() feature.fit(data, nil, { event = { declaration } }) end)
      assert.equal(message, (problem:match "feature.fit: (.*) %(declared at .-%)$"))
    end
    refused("the interactions have no column 'kinds'; did you mean 'kind'?",
      feature.count { where = { kinds = "read" } })
    refused("count 'count_tags_7d' is of 'tags', which is no item feature with codes",
      feature.count { of = { "user", "tags" } })
    assert.has_error(function()
      local plain = feature.sequences(data)
      encoder:encode_events(data, nil, { history = plain })
    end, "bad argument #4 to 'run' (its events have no marks: take encoder:sequences(dataset))")
  end)
end)

describe("a history", function()
  it("has beside each code the event's weight and the gap to the one before it, newest first", function()
    local events = encoder:encode_events(data)
    local ids = encoder:vocabulary "item.id"
    local edges = { HOUR, 12 * HOUR, 72 * HOUR }
    for row = 1, EVENTS, 11 do
      local all, codes, weights, gaps = within(row, math.huge), {}, {}, {}
      for i = #all, math.max(1, #all - 6), -1 do
        local at, before = all[i], all[i - 1]
        codes[#codes + 1], weights[#weights + 1] = ids:code(log.item[at]), log.strength[at] or 1
        gaps[#gaps + 1] = before and 1 or 0
        for _, edge in ipairs(before and edges or {}) do
          if log.time[at] - log.time[before] >= edge then gaps[#gaps] = gaps[#gaps] + 1 end
        end
      end
      assert.are.same(codes, slice(events, "event.history", row))
      assert.are.same(weights, slice(events, "event.history_weight", row))
      assert.are.same(gaps, slice(events, "event.history_gap", row))
      assert.are.equal(#slice(events, "event.tags", row), #slice(events, "event.tags_weight", row))
      local kinds, counted = {}, {}
      for i = #all, math.max(1, #all - 6), -1 do
        kinds[#kinds + 1] = ({ shared = 1, saved = 2 })[log.kind[all[i]]] or 0
        counted[#counted + 1] = #counted < 4 and (({ shared = 3, read = 0.5 })[log.kind[all[i]]] or 0) or nil
      end
      assert.are.same(kinds, slice(events, "event.history_kind", row))
      assert.are.same(counted, slice(events, "event.counted_weight", row))
    end
  end)

  it("tells models what stands beside its codes", function()
    local inputs = encoder:inputs "event"
    assert.are.same({ name = "event.history_weight", kind = "weights", feature = "history", of = "event.history" },
      inputs[2])
    assert.are.same({ name = "event.history_gap", kind = "bag", feature = "history", table = "event.history_gap",
      rows = 5, of = "event.history" }, inputs[3])
    assert.are.same({ name = "event.history_kind", kind = "bag", feature = "history", table = "event.history_kind",
      rows = 3, of = "event.history" }, inputs[4])
    assert.are.same({ name = "event.counted_weight", kind = "weights", feature = "history", of = "event.counted" },
      inputs[6])
  end)

  it("refuses kinds that are none, and two weights of an event", function()
    for _, kinds in ipairs { { kind = {} }, { kind = "shared" }, { kind = { shared = -1 } }, { "shared" },
      { kind = { "shared" }, stars = { 4 } } } do
      assert.has_error(function() feature.history { of = "item", kinds = kinds } end,
        "bad argument #1 to 'history' (option 'kinds' must be a column with a list of its values, like { event = "
          .. "{ \"clicked\", \"bought\" } }, or with a number of 0 or more for each)")
    end
    assert.has_error(function()
      feature.history { of = "item", weight = "strength", kinds = { kind = { shared = 2 } } }
    end, "bad argument #1 to 'history' (option 'kinds' has numbers and 'weight' names a column: an event can have one "
      .. "weight)")
  end)
end)

describe("an age", function()
  it("is the event's time less the user's, never the clock's", function()
    local plain = feature.fit(data, train_rows,
      { event = { feature.age { "created", transform = "none", unit = "1h" } } })
    local ages, sum, n = plain:encode_events(data):output "event.created_age".values, 0, 0
    local function age(row)
      local user = tonumber(log.user[row]:sub(2))
      return user % 7 > 0 and (log.time[row] - (1700000000000 - user * 24 * HOUR)) / HOUR or nil
    end
    for row = 1, TRAIN do
      if age(row) then sum, n = sum + age(row), n + 1 end
    end
    for row = 1, EVENTS, 5 do
      assert.is_near(age(row) or sum / n, ages:get(row, 1), 1e-3)
      assert.are.equal(age(row) and 0 or 1, ages:get(row, 2))
    end
  end)
end)

describe("the popularity of an item", function()
  it("is the logarithm of its share of training interactions", function()
    local counts = {}
    for i = 1, TRAIN do counts[log.item[i]] = (counts[log.item[i]] or 0) + 1 end
    local values = encoder:encode_items(data.items):output "item.popularity".values
    for i = 1, ITEMS do
      assert.is_near(math.log(math.max(counts["i" .. i] or 0, 0.5) / TRAIN), values:get(i, 1), 1e-6)
    end
    local stranger = encoder:encode_items(frame.from { { "item", "string", { "new" } } })
    assert.is_near(math.log(0.5 / TRAIN), stranger:output "item.popularity".values:get(1, 1), 1e-6)
  end)
end)

describe("a state", function()
  it("advanced event by event has the bits that training reads", function()
    local many = encoder:encode_events(data)
    local first = tensor.new({ 0 }, "i64")
    local stored = 600
    local state = encoder:state(data, { log = tensor.arange(0, stored, "i64") })
    for row = stored + 1, EVENTS do
      local user = tonumber(log.user[row]:sub(2))
      local created = user % 7 > 0 and 1700000000000 - user * 24 * HOUR or nil
      if row % EVERY == 0 then
        local one <close> = assert(state:encode(log.user[row], log.time[row], { ["user.created"] = created }))
        assert.are.same(bytes_of(many:gather(tensor.new({ row - 1 }, "i64"))), bytes_of(one:gather(first)))
      end
      assert(state:advance { user = log.user[row], item = log.item[row], time = log.time[row],
        kind = log.kind[row] or nil, strength = log.strength[row] or nil, stars = log.stars[row] })
    end
  end)

  it("keeps what the longest window needs", function()
    local short = feature.fit(data, train_rows, { item = { feature.id { "item" } },
      event = { feature.history { of = "item", length = 4 }, feature.count { window = "9h" } } })
    local many, first = short:encode_events(data), tensor.new({ 0 }, "i64")
    local state, whole = short:state(data, { log = tensor.zeros(0, "i64") }), short:sequences(data)
    for row = 1, EVENTS do
      if row % EVERY == 0 then
        local one <close> = assert(state:encode(log.user[row], log.time[row]))
        assert.are.same(bytes_of(many:gather(tensor.new({ row - 1 }, "i64"))), bytes_of(one:gather(first)))
      end
      assert(state:advance { user = log.user[row], item = log.item[row], time = log.time[row] })
    end
    local kept = state:history()
    for user = 0, USERS - 1 do
      assert.is_true(#kept:events(state.accumulator:users() > user and user or 0) <= 24)
      assert.is_true(#whole:events(user) > 24)
    end
  end)

  it("takes new users, and refuses foreign items and wrong fields", function()
    local state = encoder:state(data)
    assert(state:advance { user = "new", item = "i3", time = 1800000000000, kind = "read" })
    local one = assert(state:encode("new", 1800000000001))
    assert.are.equal(1, one:output "event.count_9h".values:get(1, 1))
    assert.are.equal(0, assert(state:encode("stranger", 1800000000001)):output "event.count_9h".values:get(1, 1))
    local none, message, code = state:advance { user = "new", item = "i999", time = 1 }
    assert.are.same({ "there is no item 'i999' in the catalogue", "argument" }, { message, code })
    assert.is_nil(none)
    none, message = state:advance { user = "new", item = "i1", time = 1, strength = "much" }
    assert.is_nil(none)
    assert.are.equal("field 'strength' of the event is not a number", message)
  end)
end)

describe("a published model with features of the past", function()
  local folder

  setup(function() folder = command.temporary() end)
  teardown(function() command.remove(folder) end)

  --- A model of untrained weights, published as of the first rows of the log.
  local function publish(rows)
    local known = dataset(rows)
    local config = { dim = 8, hidden = { 6 }, dropout = 0, temperature = 0.2, bias = false }
    local network = require "models.two_tower"(config, encoder, { seed = 5 })
    local first = tensor.new({ 0 }, "i64")
    local trained = model.record(network, encoder, "two_tower", {}, {
      user = model.merge(encoder:encode_events(known, first):gather(first),
        encoder:encode_users(known.users):gather(first)),
      item = encoder:encode_items(known.items):gather(first) })
    return assert(serve.open(assert(registry.publish { name = "past", dir = folder, model = trained,
      dataset = known }))), trained
  end

  it("advanced by posted events answers as one that was published with them, to the bit", function()
    local early, late = publish(600), publish(EVENTS)
    for row = 601, EVENTS do
      assert(early:advance { user = log.user[row], item = log.item[row], time = log.time[row],
        fields = require("recsys.json").encode { kind = log.kind[row] or nil, strength = log.strength[row] or nil,
          stars = log.stars[row] } })
    end
    assert.are.equal(late:facts().as_of, early:facts().as_of)
    assert.are.equal(late:facts().events, early:facts().events)
    local a, b = { early:recommend_users { k = 10 } }, { late:recommend_users { k = 10 } }
    assert.are.equal(b[1]:to_string(), a[1]:to_string())
    assert.are.equal(b[2]:to_string(), a[2]:to_string())
    for user = 1, USERS do
      local one = assert(early:recommend { user = "u" .. user, k = 10 })
      assert.are.equal(a[2]:get(user, 1), one.items[1].score)
    end
    early:close()
    late:close()
  end)

  it("answers as the model in Lua does", function()
    local served, trained = publish(EVENTS)
    local users = trained:user_vectors(encoder:encode_users(data.users), encoder:encode_users_at(data),
      tensor.arange(USERS))
    local items = trained:item_vectors(encoder:encode_items(data.items))
    local scores = tensor.matmul(users, items, false, true)
    local rows, best = served:recommend_users { k = 1, exclude_seen = false }
    for user = 1, USERS do
      assert.are.equal(scores:get(user, rows:get(user, 1) + 1), best:get(user, 1))
    end
    served:close()
  end)

  it("answers to a history in the request, with times and fields, as to the same events of its own", function()
    local served = publish(EVENTS)
    for _, user in ipairs { "u3", "u8", "u21" } do
      local history = {}
      for i = 1, EVENTS do
        if log.user[i] == user then
          history[#history + 1] = { item = log.item[i], time = log.time[i],
            fields = require("recsys.json").encode { kind = log.kind[i] or nil, strength = log.strength[i] or nil,
              stars = log.stars[i] } }
        end
      end
      assert.are.same(served:recommend { user = user, k = 10 }, served:recommend { user = user, k = 10,
        history = history })
      local bare = {}
      for i, event in ipairs(history) do bare[i] = event.item end
      assert.are_not.same(served:recommend { user = user, k = 10 }, served:recommend { user = user, k = 10,
        history = bare })
    end
    assert.has_error(function()
      served:recommend { history = { { item = "i1", time = log.time[1] + 1 }, { item = "i2", time = log.time[1] } } }
    end, "history: the event of item 'i2' is earlier than the one before it; the oldest comes first")
    assert.has_error(function() served:recommend { history = { { time = 5 } } } end,
      "bad argument #1 to 'recommend' (field 'history' must be a list of item ids, or of { item, time, fields })")
    served:close()
  end)

  it("knows strangers by their fields and by what they have done since", function()
    local served = publish(EVENTS)
    local before = assert(served:recommend { user = "new", fields = '{"created": 1699000000000}', k = 40 })
    assert.is_false(before.known)
    assert(served:advance { user = "new", item = "i3", time = 1800000000000, fields = '{"kind": "read"}' })
    local after = assert(served:recommend { user = "new", fields = '{"created": 1699000000000}', k = 40 })
    assert.are.equal(1800000000001, after.now)
    assert.are.equal(#before.items - 1, #after.items)
    local none, message, code = served:advance { user = "new", item = "gone", time = 1 }
    assert.is_nil(none)
    assert.are.same({ "there is no item 'gone' in the catalogue", "argument" }, { message, code })
    served:close()
  end)
end)

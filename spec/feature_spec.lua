--- Features: what declarations fit, what encoders give, and that nothing leaks from the future.

local base = require "recsys.base"
local command = require "spec.support.command"
local feature = require "recsys.feature"
local fit = require "recsys.feature.fit"
local frame = require "recsys.frame"
local tensor = require "recsys.tensor"

local DAY = 86400000

--- Rows for the long comparison of one with many. Few where garbage is collected at every turn (pause 0), as each
--- of the objects that a row makes then costs a whole collection.
local pause = collectgarbage("setpause", 200)
collectgarbage("setpause", pause)
local MANY = pause == 0 and 20 or 5000

--- A number 0 .. n-1 that depends on the seed and the position alone.
local function drawer(seed)
  local stream, at = base.stream(seed, "user", 0, 0), 0
  return function(n)
    at = at + 1
    return stream:below(at, n)
  end
end

local function i64(rows)
  return #rows == 0 and tensor.zeros(0, "i64") or tensor.new(rows, "i64")
end

--- Values drawn for a column: a fifth missing.
local function column(draw, n, make)
  local values = {}
  for i = 1, n do
    values[i] = make(i)
    if draw(5) == 0 then values[i] = false end
  end
  return values
end

--- The tables of a small shop as Lua data: users, items, interactions in order of time with many ties.
local function make_tables(users, items, interactions)
  local draw = drawer(1)
  local words = { "alpha", "Beta", "gamma", "délta", "हिन्दी" }
  local function word() return words[1 + draw(#words)] end
  local tables = { users = {}, items = {}, interactions = {} }
  local u, t, e = tables.users, tables.items, tables.interactions
  u.user, t.item = {}, {}
  for i = 1, users do u.user[i] = "u" .. i end
  for i = 1, items do t.item[i] = "i" .. i end
  u.language = column(draw, users, function() return ({ "en", "hi", "de" })[1 + draw(3)] end)
  u.zip = column(draw, users, function() return tostring(10000 + draw(90000)) end)
  u.age = column(draw, users, function() return 10 + draw(60) end)
  t.language = column(draw, items, function() return ({ "en", "hi", "fr" })[1 + draw(3)] end)
  t.tags = {}
  for i = 1, items do
    t.tags[i] = {}
    for j = 1, draw(4) do t.tags[i][j] = "t" .. draw(6) end
  end
  t.title = column(draw, items, function() return word() .. " " .. word() .. ", " .. word() end)
  t.created = column(draw, items, function() return DAY * 100 + draw(30 * DAY) end)
  t.price = column(draw, items, function() return draw(1000) / 10 end)
  e.user, e.item, e.time = {}, {}, {}
  for i = 1, interactions do
    e.user[i] = "u" .. 1 + draw(users)
    e.item[i] = "i" .. 1 + draw(items)
    e.time[i] = DAY * 120 + i // 3 * 3600000
  end
  return tables
end

local types = { user = "string", item = "string", language = "string", zip = "string", age = "number", tags = "list",
  title = "string", created = "time", price = "number", time = "time" }

local function to_frame(columns)
  local names, list = {}, {}
  for name in pairs(columns) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do list[i] = { name, types[name], columns[name] } end
  return frame.from(list)
end

local function to_dataset(tables)
  return { users = to_frame(tables.users), items = to_frame(tables.items),
    interactions = to_frame(tables.interactions) }
end

local function declarations()
  return {
    user = {
      feature.id { "user" },
      feature.category { "language", share = "language" },
      feature.category { "zip", prefix = 2, min_count = 2 },
      feature.number { "age" },
    },
    event = {
      feature.history { of = "item", length = 4 },
      feature.history { of = "item", length = 1, name = "last", unknown = "keep" },
      feature.history { of = "tags", length = 3, name = "tags" },
      feature.history { of = "tags", length = 3, name = "two_tags", unknown = "keep", each = 2 },
      feature.time_parts { "time", parts = { "hour", "weekday" }, utc_offset = "+05:30" },
      feature.relative_time { window = "10d", harmonics = 3 },
    },
    item = {
      feature.id { "item", min_count = 2 },
      feature.category { "language", share = "language" },
      feature.categories { "tags" },
      feature.tokens { "title", max = 5 },
      feature.hashed { "title", name = "title_hash", buckets = 7 },
      feature.number { "price", transform = "log" },
      feature.buckets { "created", n = 5 },
    },
  }
end

local USERS, ITEMS, INTERACTIONS, TRAIN = 40, 60, 900, 500

local function train_rows()
  local rows = {}
  for i = 1, TRAIN do rows[i] = i - 1 end
  return i64(rows)
end

local function bytes_of(tensors)
  local all = {}
  for name, t in pairs(tensors) do all[name] = t:dtype() .. t:to_string() end
  return all
end

local tables = make_tables(USERS, ITEMS, INTERACTIONS)
local data = to_dataset(tables)
local encoder = feature.fit(data, train_rows(), declarations())

--- Values of a bag output at a row, 1-based.
local function bag(features, name, row)
  local output = features:output(name)
  local start, length = output.starts:get(row), output.lengths:get(row)
  return length == 0 and {} or output.values:narrow(1, start + 1, length):tolist()
end

--- The least shop that the documented example and the recipes' declarations read.
local function shop()
  return {
    users = frame.from { { "user", "string", { "u1", "u2", "u3" } }, { "platform", "string", { "a", "b", false } } },
    items = frame.from { { "item", "string", { "i1", "i2" } }, { "categories", "string", { "x, y", false } },
      { "title", "string", { "One two", "two" } }, { "created", "time", { 5, false } } },
    interactions = frame.from { { "user", "string", { "u1", "u2", "u1", "u1", "u2" } },
      { "item", "string", { "i1", "i1", "i2", "i1", "i2" } }, { "time", "time", { 10, 20, 30, 40, 50 } } },
  }
end

describe("feature.fit", function()
  it("gives the same state whatever the rows outside training hold", function()
    local changed = make_tables(USERS, ITEMS, INTERACTIONS)
    for i = TRAIN + 1, INTERACTIONS do
      local e = changed.interactions
      e.user[i], e.item[i], e.time[i] = "u1", "new", e.time[i] + 12345
    end
    local function add(side, key, id, values)
      local columns = changed[side]
      local row = #columns[key] + 1
      columns[key][row] = id
      for name, value in pairs(values) do columns[name][row] = value end
    end
    add("users", "user", "nobody", { language = "xx", zip = "00000", age = 1e9 })
    add("items", "item", "new",
      { language = "yy", tags = { "t99" }, title = "unseen unseen", created = 5, price = 1e9 })
    local again = feature.fit(to_dataset(changed), train_rows(), declarations())
    local before, after = encoder:save(), again:save()
    assert.are.equal(before.json, after.json)
    assert.are.same(bytes_of(before.tensors), bytes_of(after.tensors))
  end)

  it("changes when a training row changes", function()
    local changed = make_tables(USERS, ITEMS, INTERACTIONS)
    changed.interactions.item[1] = changed.interactions.item[2]
    local again = feature.fit(to_dataset(changed), train_rows(), declarations())
    assert.are_not.same(bytes_of(encoder:save().tensors), bytes_of(again:save().tensors))
  end)

  it("counts ids by interaction and categories by distinct item", function()
    local counts, times = encoder:counts "item.id", {}
    for i = 1, TRAIN do
      local item = tables.interactions.item[i]
      times[item] = (times[item] or 0) + 1
    end
    local vocabulary, unknown = encoder:vocabulary "item.id", 0
    for item, n in pairs(times) do
      local code = vocabulary:code(item)
      if n >= 2 then
        assert.are.equal(n, counts:get(code + 1))
      else
        assert.are.equal(0, code)
        unknown = unknown + n
      end
    end
    assert.are.equal(unknown, counts:get(1))
    local tags = {}
    for i, item in ipairs(tables.items.item) do
      for _, tag in ipairs(times[item] and tables.items.tags[i] or {}) do tags[tag] = (tags[tag] or 0) + 1 end
    end
    for tag, n in pairs(tags) do
      assert.are.equal(n, encoder:counts "item.tags":get(encoder:vocabulary "item.tags":code(tag) + 1))
    end
  end)

  it("gives declarations with one share one vocabulary", function()
    local vocabulary = encoder:vocabulary "language"
    local texts = {}
    for code = 1, #vocabulary do texts[code] = vocabulary:text(code) end
    assert.are.same({ "de", "en", "fr", "hi" }, texts)
    assert.are.equal("language", encoder:inputs "user"[2].table)
    assert.are.equal("language", encoder:inputs "item"[2].table)
  end)

  it("standardises by the users of training rows", function()
    local seen, n, sum, squares = {}, 0, 0, 0
    for i = 1, TRAIN do seen[tables.interactions.user[i]] = true end
    for i, age in ipairs(tables.users.age) do
      if age and seen[tables.users.user[i]] then n, sum, squares = n + 1, sum + age, squares + age * age end
    end
    local mean = sum / n
    local deviation = math.sqrt(squares / n - mean * mean)
    local values = encoder:encode_users(data.users):output "user.age".values
    local worst = 0
    for i, age in ipairs(tables.users.age) do
      worst = math.max(worst, math.abs((age and (age - mean) / deviation or 0) - values:get(i, 1)),
        math.abs((age and 0 or 1) - values:get(i, 2)))
    end
    assert.is_true(worst < 1e-6, worst) -- a few roundings of float32 at values up to 3
  end)

  it("names what is wrong with a declaration", function()
    assert.has_error(function() feature.id { "item", mincount = 2 } end,
      "bad argument #1 to 'id' (unknown option 'mincount'; did you mean 'min_count'?)")
    assert.has_error(function() feature.category { "x", min_count = 0 } end,
      "bad argument #1 to 'category' (option 'min_count' must be a positive integer)")
    assert.has_error(function() feature.id {} end,
      "bad argument #1 to 'id' (the first field must be the name of a column)")
    assert.has_error(function() feature.hashed { "x" } end,
      "bad argument #1 to 'hashed' (option 'buckets' is required)")
    assert.has_error(function() feature.number { "x", transform = "cube" } end,
      "bad argument #1 to 'number' (option 'transform' must be one of standard, robust, log, none)")
    assert.has_error(function() feature.relative_time { window = "7 days" } end,
      "bad argument #1 to 'relative_time' (option 'window' is '7 days', not a number and s, m, h, d or w, like 7d)")
    assert.has_error(function() feature.history { of = "id", each = 2 } end,
      "bad argument #1 to 'history' (option 'each' is at most 64, with unknown = \"keep\": so many codes of "
        .. "each event)")
    assert.has_error(function() feature.time_parts { "time", parts = { "minute" } } end,
      "bad argument #1 to 'time_parts' ('minute' is no part of a time: hour, weekday, month_day, month, year_day)")
  end)

  --- Fitting is refused with this message, and the line of the declaration, which is in this file.
  local function refused(message, set, undeclared)
    local _, problem = pcall(function() feature.fit(data, nil, set) end)
    assert.matches("feature_spec.lua:%d+: feature.fit: ", problem)
    local said, line = problem:match "feature.fit: (.-) %(declared at [^ ]*feature_spec.lua:(%d+)%)$"
    assert.equal(message, said or problem:match "feature.fit: (.*)$")
    assert.equal(not undeclared, line ~= nil)
  end

  it("names what does not fit the data", function()
    refused("the items have no column 'langage'; did you mean 'language'?",
      { item = { feature.category { "langage" } } })
    refused("two features are called 'item.x'",
      { item = { feature.id { "item", name = "x" }, feature.category { "language", name = "x" } } })
    refused("history 'history' is of 'tags', which is no item feature with codes",
      { event = { feature.history { of = "tags" } } })
    refused("there is no side 'items': user, event and item", { items = {} }, true)
    refused("a side lists something that is no declaration, as feature.id { ... } gives", { item = { "id" } }, true)
    refused("history belongs to the event side, not to user", { user = { feature.history { of = "item" } } })
    refused("features that share the table 's' disagree on min_count",
      { item = { feature.id { "item", share = "s", min_count = 2 },
        feature.category { "language", share = "s", min_count = 3 } } })
    assert.error_matches(function() feature.fit(data, nil, { item = { feature.number { "title" } } }) end,
      "column 'title' holds no numbers: it is a string column")
  end)
end)

describe("an encoder", function()
  it("gives each of 10,000 rows alone the bits it has among many", function()
    local big = make_tables(MANY, MANY, 1)
    for i = 1, MANY do big.users.user[i] = "u" .. i % 97 * (i % 3) end -- repeats and strangers
    for _, side in ipairs { "user", "item" } do
      local whole = to_frame(side == "user" and big.users or big.items)
      local encode = side == "user" and encoder.encode_users or encoder.encode_items
      local many = encode(encoder, whole)
      local first = i64 { 0 }
      for row = 0, MANY - 1 do
        local here = i64 { row }
        local one <close> = encode(encoder, whole:filter(here))
        local a, b = bytes_of(many:gather(here)), bytes_of(one:gather(first))
        for name, bytes in pairs(a) do
          if bytes ~= b[name] then error(("row %d of %s differs"):format(row, name)) end
        end
      end
    end
  end)

  it("comes back from what it saves, and refuses what is damaged", function()
    local saved = encoder:save()
    local loaded = assert(feature.load(saved.json, saved.tensors))
    assert.are.same(bytes_of(encoder:encode_items(data.items):tensors()),
      bytes_of(loaded:encode_items(data.items):tensors()))
    assert.are.same(encoder:describe(), loaded:describe())
    local function refusal(json, tensors)
      local none, message, code = feature.load(json, tensors)
      assert.is_nil(none)
      assert.are.equal("format", code)
      return message
    end
    refusal(saved.json:sub(1, -2), saved.tensors)
    assert.matches("there is no tensor 'table.item.id.bytes'", refusal(saved.json, {}))
    local broken = {}
    for name, t in pairs(saved.tensors) do broken[name] = t end
    broken["table.item.id.offsets"] = tensor.zeros(3, "i64")
    assert.matches("vocabulary", refusal(saved.json, broken))
  end)

  it("tells models what its outputs are", function()
    assert.are.same({
      { name = "user.id", kind = "codes", feature = "id", table = "user.id", rows = 1 + #encoder:vocabulary "user.id" },
      { name = "user.language", kind = "codes", feature = "category", table = "language", rows = 5 },
      { name = "user.zip", kind = "codes", feature = "category", table = "user.zip",
        rows = 1 + #encoder:vocabulary "user.zip" },
      { name = "user.age", kind = "numbers", feature = "number", width = 2 },
    }, encoder:inputs "user")
    local event, items = encoder:inputs "event", 1 + #encoder:vocabulary "item.id"
    assert.are.same({ name = "event.history", kind = "bag", feature = "history", table = "item.id", rows = items,
      length = 4 }, event[1])
    assert.are.same({ name = "event.time_hour", kind = "codes", feature = "time_parts", table = "event.time_hour",
      rows = 25 }, event[5])
    assert.are.same({ name = "event.relative_time", kind = "numbers", feature = "relative_time", width = 6,
      pair = "item.relative_time" }, event[7])
    local list, text = encoder:describe()
    assert.are.equal(#encoder:inputs "user" + #event + #encoder:inputs "item", #list)
    assert.matches("item.tags +categories", text)
  end)

  it("splits strings, cuts prefixes and makes words", function()
    local items = encoder:encode_items(data.items)
    local words = encoder:vocabulary "item.title"
    for row = 1, 20 do
      local expected = {}
      for word in (tables.items.title[row] or ""):gmatch "[^ ,]+" do
        local code = words:code(word == "Beta" and "beta" or word)
        if code > 0 then expected[#expected + 1] = code end
      end
      assert.are.same(expected, bag(items, "item.title", row))
      local zip = tables.users.zip[row]
      assert.are.equal(zip and encoder:vocabulary "user.zip":code(zip:sub(1, 2)) or 0,
        encoder:encode_users(data.users):output "user.zip".values:get(row))
    end
  end)

  it("puts numbers between the quantiles of training rows", function()
    local codes = encoder:encode_items(data.items):output "item.created".values
    local created, seen, wrong = tables.items.created, {}, 0
    for i = 1, ITEMS do
      if (codes:get(i) > 0) ~= (created[i] ~= false) then wrong = wrong + 1 end
      for j = 1, ITEMS do
        local earlier = created[i] and created[j] and created[i] < created[j]
        if earlier and codes:get(i) > codes:get(j) then wrong = wrong + 1 end
      end
      seen[codes:get(i)] = true
    end
    assert.are.equal(0, wrong)
    assert.is_true(seen[1] and seen[5] and not seen[6])
  end)

  it("reads parts of local time", function()
    local events = encoder:encode_events(data, i64 { 0, 100 })
    for position, row in ipairs { 1, 101 } do
      local ms = tables.interactions.time[row] + 19800000
      assert.are.equal(1 + ms // 3600000 % 24, events:output "event.time_hour".values:get(position))
      assert.are.equal(1 + (ms // DAY + 3) % 7, events:output "event.time_weekday".values:get(position))
    end
  end)

  it("makes the age of an item a dot product", function()
    local events = encoder:encode_events(data, i64 { 7 }):output "event.relative_time".values
    local items = encoder:encode_items(data.items):output "item.relative_time".values
    local worst = 0
    for row = 1, ITEMS do
      local created = tables.items.created[row]
      for k = 1, 3 do
        local c, s = 2 * k - 1, 2 * k
        local cos = events:get(1, c) * items:get(row, c) + events:get(1, s) * items:get(row, s)
        local sin = events:get(1, s) * items:get(row, c) - events:get(1, c) * items:get(row, s)
        local angle = created and 2 * math.pi * k * (tables.interactions.time[8] - created) / (20 * DAY)
        worst = math.max(worst, math.abs(cos - (created and math.cos(angle) or 0)),
          math.abs(sin - (created and math.sin(angle) or 0)))
      end
    end
    assert.is_true(worst < 3e-7, worst) -- four roundings of float32 near 1
  end)
end)

--- Rows (1-based) of a user's interactions before row 'row', oldest first, by the definition.
local function before(row, by_order, known)
  local e, list = tables.interactions, {}
  for i = 1, INTERACTIONS do
    local earlier = e.time[i] < e.time[row] or (by_order and e.time[i] == e.time[row] and i < row)
    if e.user[i] == e.user[row] and earlier and (not known or known[i]) then list[#list + 1] = i end
  end
  return list
end

--- Codes of the last 'length' of those events, newest first.
local function expected_items(rows, length, keep)
  local vocabulary, codes = encoder:vocabulary "item.id", {}
  for i = #rows, math.max(1, #rows - length + 1), -1 do
    local code = vocabulary:code(tables.interactions.item[rows[i]])
    if code > 0 or keep then codes[#codes + 1] = code end
  end
  return codes
end

local function expected_tags(rows, length)
  local vocabulary, codes = encoder:vocabulary "item.tags", {}
  for i = #rows, math.max(1, #rows - length + 1), -1 do
    local item = tonumber(tables.interactions.item[rows[i]]:sub(2))
    for _, tag in ipairs(tables.items.tags[item]) do
      local code = vocabulary:code(tag)
      if code > 0 then codes[#codes + 1] = code end
    end
  end
  return codes
end

describe("a history", function()
  local function check(rows, options, by_order, known)
    local events = encoder:encode_events(data, rows, options)
    for position = 1, #rows do
      local list = before(rows:get(position) + 1, by_order, known)
      assert.are.same(expected_items(list, 4), bag(events, "event.history", position))
      assert.are.same(expected_items(list, 1, true), bag(events, "event.last", position))
      assert.are.same(expected_tags(list, 3), bag(events, "event.tags", position))
    end
  end

  local some = i64 { 899, 3, 4, 5, 250, 251, 252, 700, 3 }

  it("holds the events strictly before the row", function()
    check(some, nil, false)
  end)

  it("holds so many codes of each event where that is asked for, the first, 0 where there are fewer", function()
    local events, items = encoder:encode_events(data, some), encoder:encode_items(data.items)
    for position = 1, #some do
      local expected = {}
      local list = before(some:get(position) + 1, false)
      for i = #list, math.max(1, #list - 2), -1 do
        local codes = bag(items, "item.tags", tonumber(tables.interactions.item[list[i]]:sub(2)))
        table.move({ codes[1] or 0, codes[2] or 0 }, 1, 2, #expected + 1, expected)
      end
      assert.are.same(expected, bag(events, "event.two_tags", position))
    end
  end)

  it("lets the order of the interactions decide between equal times", function()
    check(some, { ties = "order" }, true)
  end)

  it("knows the rows of its log alone", function()
    local known = {}
    for i = 1, TRAIN do known[i] = true end
    check(some, { log = train_rows() }, false, known)
  end)

  it("is one copy of the events for all rows and windows", function()
    local events = encoder:encode_events(data)
    assert.are.equal(INTERACTIONS, events:rows())
    assert.is_true(events:output "event.history".values:size(1) <= INTERACTIONS)
    assert.is_true(events:output "event.last".values:size(1) <= INTERACTIONS)
  end)

  it("can be read for users at a time, and at the end", function()
    local time = tables.interactions.time[451]
    local then_, at_end = encoder:encode_users_at(data, nil, time), encoder:encode_users_at(data, i64 { 4 })
    local e = tables.interactions
    for user = 1, USERS do
      local list, id = {}, "u" .. user
      for i = 1, INTERACTIONS do
        if e.user[i] == id and e.time[i] < time then list[#list + 1] = i end
      end
      assert.are.same(expected_items(list, 4), bag(then_, "event.history", user))
    end
    local all = {}
    for i = 1, INTERACTIONS do if tables.interactions.user[i] == "u5" then all[#all + 1] = i end end
    assert.are.same(expected_items(all, 4), bag(at_end, "event.history", 1))
  end)

  it("comes back from its tensors", function()
    local history = feature.sequences(data)
    local loaded = assert(feature.load_history(history:tensors(), ITEMS))
    assert.are.same(history:events(4):tolist(), loaded:events(4):tolist())
    local none, message, code = feature.load_history(history:tensors(), 3)
    assert.is_nil(none)
    assert.matches("item row", message)
    assert.are.equal("format", code)
  end)
end)

describe("a request", function()
  local catalogue = encoder:catalogue(data.items)

  it("has the bits of the same user at the same time", function()
    local history, first = feature.sequences(data), i64 { 0 }
    local users = encoder:encode_users(data.users)
    local time = tables.interactions.time[INTERACTIONS] + 5
    local moments = encoder:encode_users_at(data, nil, time)
    for user = 1, USERS do
      local fields, ids = {}, {}
      for name, values in pairs(tables.users) do fields[name] = values[user] or nil end
      for i, row in ipairs(history:events(user - 1):tolist()) do ids[i] = tables.items.item[row + 1] end
      local one, moment = assert(encoder:encode_request({ user = fields, items = ids, time = time }, catalogue))
      assert.are.same(bytes_of(users:gather(i64 { user - 1 })), bytes_of(one:gather(first)))
      assert.are.same(bytes_of(moments:gather(i64 { user - 1 })), bytes_of(moment:gather(first)))
    end
  end)

  it("may lack everything", function()
    local one, moment = assert(encoder:encode_request({}, catalogue))
    assert.are.equal(0, one:output "user.id".values:get(1))
    assert.are.equal(0, moment:output "event.time_hour".values:get(1))
    assert.are.same({}, bag(moment, "event.history", 1))
  end)

  it("is refused with the field that is wrong", function()
    local none, message, code = encoder:encode_request({ user = { age = "old" } }, catalogue)
    assert.is_nil(none)
    assert.are.equal("field 'age' is a string, not a number", message)
    assert.are.equal("argument", code)
    none, message = encoder:encode_request({ items = { "i1", {} } }, catalogue)
    assert.is_nil(none)
    assert.are.equal("item 2 of the request is a table, not an id", message)
  end)

  it("takes ids that are numbers, as JSON may give them", function()
    local numbered = { users = frame.from { { "user", "string", { "7" } } },
      items = frame.from { { "item", "string", { "11", "12" } } },
      interactions = frame.from { { "user", "string", { "7", "7" } }, { "item", "string", { "11", "12" } },
        { "time", "time", { 1, 2 } } } }
    local fitted = feature.fit(numbered, nil, { user = { feature.id { "user" } }, item = { feature.id { "item" } },
      event = { feature.history { of = "item" } } })
    local one, moment = assert(fitted:encode_request({ user = { user = 7 }, items = { 12.0, 11 } },
      fitted:catalogue(numbered.items)))
    assert.are.equal(1, one:output "user.id".values:get(1))
    assert.are.same({ 1, 2 }, bag(moment, "event.history", 1))
  end)
end)

describe("features", function()
  it("give batches as dense tensors and as values with offsets", function()
    local items = encoder:encode_items(data.items)
    local batch = items:gather(i64 { 3, 3, 50 })
    assert.are.equal("i32", batch["item.id"]:dtype())
    assert.are.equal("Tensor f32 [3, 6]", tostring(batch["item.relative_time"]))
    local offsets, values = batch["item.tags.offsets"]:tolist(), batch["item.tags"]
    assert.are.equal(4, #offsets)
    assert.are.equal(values:size(1), offsets[4])
    assert.are.equal(offsets[3] - offsets[2], #bag(items, "item.tags", 4))
    assert.has_error(function() items:gather(i64 { 60 }) end, "features: row 60 of 60")
  end)

  it("come back from their tensors, and damaged ones do not", function()
    local items = encoder:encode_items(data.items)
    local tensors = items:tensors()
    assert.are.same(bytes_of(items:gather(i64 { 9, 8 })),
      bytes_of(assert(feature.load_features(tensors)):gather(i64 { 9, 8 })))
    tensors["item.tags.lengths"] = nil
    local none, message, code = feature.load_features(tensors)
    assert.is_nil(none)
    assert.matches("lacks its values, starts or lengths", message)
    assert.are.equal("format", code)
  end)
end)

describe("an index", function()
  it("gives rows of a table, and says which value has none", function()
    local index = feature.index(data.items, "item")
    assert.are.equal(7, index:code "i7")
    assert.are.equal(0, index:code "i61")
    assert.are.equal("i60", index:text(60))
    assert.are.equal(ITEMS, #assert(feature.load_vocabulary(index:tensors())))
    local odd = { users = data.users, items = data.items, interactions = frame.from {
      { "user", "string", { "u1", "x" } }, { "item", "string", { "i1", "i2" } }, { "time", "time", { 1, 2 } } } }
    assert.has_error(function() feature.rows(odd) end,
      "row 2 of column 'user' holds 'x', which has no row of its own")
  end)
end)

describe("docs/features.md", function()
  it("lists every kind of declaration and every primitive with a meaning of its own", function()
    local manual = command.read "docs/features.md"
    for kind in pairs(fit.kinds) do
      assert.truthy(manual:find("| `" .. kind .. " {", 1, true), kind .. " is missing in the table of declarations")
    end
    for name in command.read "runtime/frame/encoder_parse.c":gmatch "&rs_([%w_]+)_primitive" do
      assert.truthy(manual:find("| `" .. name .. "` |", 1, true), name .. " is missing in the table of primitives")
    end
  end)
end)

describe("recipes/features", function()
  it("makes no history where no feature would read it", function()
    local d = shop()
    local plain = feature.fit(d, nil, { user = { feature.id { "user" } }, item = { feature.id { "item" } } })
    plain.sequences = function() error "nobody asked for it" end
    local all = plain:encode_events(d)
    assert.are.equal(d.interactions:rows(), all:rows())
    assert.same({}, all:names())
    assert.are.equal(2, plain:encode_events(d, tensor.new({ 0, 3 }, "i64"), { ties = "order" }):rows())
    assert.are.equal(d.users:rows(), plain:encode_users_at(d):rows())
    assert.has_error(function() plain:encode_events(d, tensor.new({ d.interactions:rows() }, "i64")) end)
  end)

  --- The recipe's declarations fitted on tables that have every column it names, all values missing but the keys.
  local function fits(recipe, users, items)
    local d = shop()
    for table, columns in pairs { users = users, items = items } do
      for name, type in pairs(columns) do
        local values = {}
        for i = 1, d[table]:rows() do values[i] = false end
        d[table] = d[table]:with(name, type, values)
      end
    end
    local encoder_of = feature.fit(d, nil, require("recipes.features." .. recipe))
    assert.are.equal(5, encoder_of:encode_events(d):rows())
    return encoder_of
  end

  it("fits the columns of the news source", function()
    local s = "string"
    local fitted = fits("news", { platform = s, os_version = s, model = s, network = s, district = s, language = s,
      created = "time" },
      { kind = s, district = s, language = s, source = s, content = s })
    assert.are.equal(16, #fitted:encode_items(shop().items):gather(i64 { 0 })["item.relative_time"]:tolist()[1])
  end)

  it("fits the columns of the movielens source", function()
    fits("movielens", { gender = "string", occupation = "string", zip = "string", age = "number" },
      { genres = "list", year = "number" })
  end)
end)

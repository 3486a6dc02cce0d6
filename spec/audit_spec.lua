--- The leak audit: sound jobs pass, planted leaks are caught with the feature and the row that they come from.
local audit = require "recsys.data.audit"
local base = require "recsys.base"
local data = require "recsys.data"
local feature = require "recsys.feature"
local fit = require "recsys.feature.fit"
local frame = require "recsys.frame"
local tensor = require "recsys.tensor"

local DAY = 86400000
local START = 1700000000000

--- 40 users, 30 items, 600 interactions in order of time; items made before anybody reads them. The last items come up
--- in the held-out part alone.
local function dataset(columns)
  local n, stream = 600, base.stream(7, "user")
  local users, items, times, seen = {}, {}, {}, {}
  for i = 1, n do
    local user, item
    repeat
      user = 1 + stream:below(3 * i + 1000 * #users, 40)
      item = 1 + stream:below(3 * i + 1 + 1000 * #users + 17 * #items, math.min(30, 20 + i // 55))
      i = i + 7919
    until not seen[user * 100 + item]
    seen[user * 100 + item] = true
    users[#users + 1], items[#items + 1] = "u" .. user, "i" .. item
    times[#times + 1] = START + #users * DAY // 20
  end
  local ids, created, kinds = {}, {}, {}
  for i = 1, 30 do ids[i], created[i], kinds[i] = "i" .. i, START - (31 - i) * DAY // 3, "k" .. i % 4 end
  local parts = {
    name = "planted",
    interactions = frame.from { { "user", "string", users }, { "item", "string", items }, { "time", "time", times } },
    items = frame.from { { "item", "string", ids }, { "created", "time", created }, { "kind", "string", kinds } },
  }
  if columns then columns(parts) end
  return data.new(parts)
end

local function declarations(more)
  local sides = {
    user = { feature.id { "user" } },
    event = { feature.history { of = "id", length = 5 }, feature.relative_time { window = "30d" } },
    item = { feature.id { "item" }, feature.category { "kind" } },
  }
  for side, list in pairs(more or {}) do
    for _, declaration in ipairs(list) do table.insert(sides[side], declaration) end
  end
  return sides
end

local function findings(d, split, encoder, declared, options)
  local report = audit.run(d, split, encoder, declared, options)
  return report.findings, report
end

--- The only finding there should be.
local function only(list)
  local words = {}
  for i, finding in ipairs(list) do words[i] = finding.message end
  assert.equal(1, #list, table.concat(words, "\n"))
  return list[1]
end

describe("the leak audit", function()
  it("finds nothing in a sound job, by time and leave-last-out, and says which is causal", function()
    local d, declared = dataset(), declarations()
    for label, split in pairs { causal = data.split_by_time(d, { valid = 0.1, test = 0.1 }),
      ["not causal"] = data.split_leave_last_out(d) } do
      local report, message = audit.check(d, split, feature.fit(d, split.train, declared), declared)
      assert.is_table(report, message)
      assert.equal(label, report.label)
    end
  end)

  it("compares weights and gaps of histories, too", function()
    local d = dataset(function(parts)
      local ones = tensor.full(0.5, parts.interactions:rows(), "f64")
      parts.interactions = parts.interactions:with("stars", "number", ones)
    end)
    local declared = declarations { event = { feature.history { of = "id", name = "weighed", weight = "stars",
      gaps = { "1d" } } } }
    local split = data.split_by_time(d, { valid = 0.1, test = 0.1 })
    assert.same({}, findings(d, split, feature.fit(d, split.train, declared), declared))
  end)

  it("passes the shipped features on real films, under both splits", function()
    local root = os.getenv "RECSYS_TEST_DATA"
    if not root then pending "needs ml-100k in the folder RECSYS_TEST_DATA" return end
    local d, declared = assert(data.load { source = "movielens", dir = root .. "/ml-100k" }),
      require "recipes.features.movielens"
    for _, split in ipairs { data.split_by_time(d, { valid = 0.1, test = 0.1 }), data.split_leave_last_out(d) } do
      assert(audit.check(d, split, feature.fit(d, split.train, declared), declared))
    end
  end)

  it("names only the checks that it made", function()
    local d, ids = dataset(), { user = { feature.id { "user" } }, item = { feature.id { "item" } } }
    local split = data.split_by_time(d, { valid = 0.1, test = 0.1 })
    local report = assert(audit.check(d, split, feature.fit(d, split.train, ids), ids))
    assert.same({ "duplicates", "fit", "combined", "columns" }, report.checks)
    local declared = declarations()
    report = assert(audit.check(d, split, feature.fit(d, split.train, declared), declared))
    assert.same({ "duplicates", "fit", "held out", "order", "clock", "combined", "columns" }, report.checks)
  end)

  it("catches an encoder fitted on all rows", function()
    local d, declared = dataset(), declarations()
    local split = data.split_by_time(d, { valid = 0.1, test = 0.1 })
    local list = findings(d, split, feature.fit(d, nil, declared), declared)
    local by_subject = {}
    for _, finding in ipairs(list) do by_subject[finding.subject] = finding.message end
    assert.match("feature 'item.id' was not fitted on training rows alone: held%-out row (%d+) %(user u%d+, item i%d+",
      by_subject["item.id"])
    assert.is_true(tonumber(by_subject["item.id"]:match "row (%d+)") > #split.train)
  end)

  it("catches a history that knows its own row and later ones", function()
    local d, declared = dataset(), declarations()
    local split = data.split_by_time(d, { valid = 0.1, test = 0.1 })
    local encoder = feature.fit(d, split.train, declared)
    -- A recipe's own encoder, whose histories look two days ahead.
    local leaking = setmetatable({ encode_events = function(_, given, rows, options)
      local ahead = given:with(given.interactions:with("time", "time", given.interactions:column "time"))
      local moments = given.interactions:filter(rows)
      local sequences = feature.sequences(ahead, { log = options.log })
      return encoder.program:run("event", moments, options.items, sequences, fit.rows(given, rows).users,
        moments:column "time" + 2 * DAY)
    end }, { __index = encoder })
    local list = findings(d, split, leaking, declared, { cuts = 4 })
    assert.same({ "held out", "order" }, { list[1].check, list[2].check }) -- ahead of the last rows
    local row, culprit = list[2].message:match
      "feature 'event.history' of training row (%d+) .- depends on row (%d+) .-, which is not before it"
    assert.is_true(tonumber(culprit) >= tonumber(row), list[2].message)
    assert.equal(d.interactions:text("user", tonumber(row)), d.interactions:text("user", tonumber(culprit)))
  end)

  it("catches held-out rows in what training features know", function()
    local d, declared = dataset(), declarations()
    local split = data.split_random(d, { valid = 0.1, test = 0.1, seed = 3 })
    split.history_log = nil -- a recipe that forgot: histories then know held-out rows
    local list = findings(d, split, feature.fit(d, split.train, declared), declared)
    local held_out
    for _, finding in ipairs(list) do held_out = held_out or finding.check == "held out" and finding end
    local culprit = tonumber(held_out.message:match "depends on held%-out row (%d+)")
    for i = 1, #split.train do assert.not_equal(culprit - 1, split.train:get(i)) end
  end)

  it("catches a count that holds its target", function()
    local d = dataset(function(parts)
      local counts = parts.interactions:group_by("item", { { "readers", "count" } })
      parts.items = parts.items:join(counts, "item", "left")
    end)
    local declared = declarations { item = { feature.number { "readers" } } }
    local split = data.split_by_time(d, { valid = 0.1, test = 0.1 })
    local finding = only(findings(d, split, feature.fit(d, split.train, declared), declared))
    assert.match("column 'readers' of the items, read by a feature, is the count of interactions over all rows, "
      .. "held%-out ones included: that of item (i%d+) counts row (%d+) %(user u%d+, item i%d+", finding.message)
    local item, row = finding.message:match "that of item (i%d+) counts row (%d+)"
    assert.equal(item, d.interactions:text("item", tonumber(row)))
    assert.is_true(tonumber(row) > #split.train)
  end)

  it("lets pass the same count over training rows", function()
    local d = dataset()
    local split = data.split_by_time(d, { valid = 0.1, test = 0.1 })
    local counts = d.interactions:filter(split.train):group_by("item", { { "readers", "count" } })
    d.items = d.items:join(counts, "item", "left")
    local declared = declarations { item = { feature.number { "readers" } } }
    assert.same({}, findings(d, split, feature.fit(d, split.train, declared), declared))
  end)

  it("catches an interaction that is on both sides of the split", function()
    local d = dataset(function(parts)
      local again = frame.from { { "user", "string", { parts.interactions:text("user", 5) } },
        { "item", "string", { parts.interactions:text("item", 5) } }, { "time", "time", { START + 40 * DAY } } }
      parts.interactions = frame.concat { parts.interactions, again }
    end)
    local declared = declarations()
    local split = data.split_by_time(d, { valid = 0.1, test = 0.1 })
    local encoder = feature.fit(d, split.train, declared)
    local finding = only(findings(d, split, encoder, declared))
    assert.match("^row 601 %(user .-%) is held out, and training has it already in row 5 ", finding.message)
    assert.same({}, findings(d, split, encoder, declared, { repeats = true }))
  end)

  it("catches a strength that an event log combined from later events, too", function()
    local function case(weight)
      local d = dataset(function(parts)
        local f = parts.interactions
        local twice = frame.concat { f, f:with("time", "time", f:column "time" + 3600000) }
        parts.interactions = data.engagements(twice:derive { event = frame.lit "open" },
          { strengths = { open = 0.5 }, combine = "sum" }):derive { first = frame.lit(0.5) }
        parts.report = { combined = { "strength", "events" } }
      end)
      local declared = declarations { event = { feature.history { of = "id", name = "weighed", weight = weight } } }
      local split = data.split_by_time(d, { valid = 0.1, test = 0.1 })
      return findings(d, split, feature.fit(d, split.train, declared), declared)
    end
    assert.match("^column 'strength' of the interactions, .-, later ones too: in row 1 %(user u",
      only(case "strength").message)
    assert.same({}, case "first")
  end)

  it("catches an age that counts from one moment for all", function()
    local d = dataset(function(parts)
      local now = START + 500 * DAY
      local days = (parts.items:column "created":to "f64" * -1 + now) / DAY
      parts.items = parts.items:with("days_old", "number", days)
    end)
    local declared = declarations { item = { feature.number { "days_old" } } }
    local split = data.split_by_time(d, { valid = 0.1, test = 0.1 })
    local finding = only(findings(d, split, feature.fit(d, split.train, declared), declared))
    assert.match("column 'days_old' of the items, read by a feature, is an age in d that counts from 2025%-03%-28T",
      finding.message)
    assert.match("such as item i1:", finding.message)
  end)

  it("catches a list that names what its user meets later", function()
    local d = dataset(function(parts)
      local f, lists, all = parts.interactions, {}, {}
      for row = 1, f:rows() do
        local user = f:text("user", row)
        all[user] = all[user] or {}
        table.insert(all[user], f:text("item", row))
      end
      for row = 1, f:rows() do lists[row] = all[f:text("user", row)] end
      parts.interactions = f:with("liked", "list", lists)
    end)
    local declared = declarations { event = { feature.categories { "liked" } } }
    local split = data.split_by_time(d, { valid = 0.1, test = 0.1 })
    local finding = only(findings(d, split, feature.fit(d, split.train, declared), declared))
    assert.match("column 'liked' of row 1 .-, read by a feature, names item i%d+, which this user meets only in row ",
      finding.message)
  end)

  describe("of columns that the recipe computes", function()
    local function derived_finding(derive)
      local raw = dataset()
      local d = derive(raw)
      local declared = declarations()
      local split = data.split_by_time(d, { valid = 0.1, test = 0.1 })
      return findings(d, split, feature.fit(d, split.train, declared), declared, { derive = derive, raw = raw }), split
    end

    it("passes what looks at the row alone", function()
      assert.same({}, (derived_finding(function(raw)
        return raw:with(raw.interactions:with("hour", "number", raw.interactions:column "time":to "f64" / 3600000))
      end)))
    end)

    it("catches a running total that knows the whole", function()
      local list, split = derived_finding(function(raw)
        local counts = raw.interactions:group_by("item", { { "share", "count" } })
        return raw:with(raw.interactions:join(counts, "item"))
      end)
      assert.equal("derived, held out", list[1].check)
      local row = tonumber(list[1].message:match "column 'share' of row (%d+)")
      assert.is_true(row <= #split.train)
    end)

    it("catches the clock", function()
      local list = derived_finding(function(raw)
        local ages = raw.interactions:column "time":to "f64" * -1 + os.time() * 1000.0
        return raw:with(raw.interactions:with("age", "number", ages))
      end)
      assert.match("column 'age' of row 1 .- depends on the clock", only(list).message)
    end)
  end)

  it("refuses through check, with the code leak", function()
    local d, declared = dataset(), declarations()
    local split = data.split_by_time(d, { valid = 0.1, test = 0.1 })
    local report, message, code = audit.check(d, split, feature.fit(d, nil, declared), declared)
    assert.is_nil(report)
    assert.match("^the leak audit found %d+ leaks?:\n  feature '", message)
    assert.equal("leak", code)
    assert.has_error(function() audit.check(d, split, nil, declared, { cut = 3 }) end,
      "bad argument #5 to 'audit' (there is no option 'cut')")
  end)

  it("refuses what it could not audit as it says", function()
    local d, declared = dataset(), declarations()
    local split = data.split_by_time(d, { valid = 0.1, test = 0.1 })
    local encoder = feature.fit(d, split.train, declared)
    local function refuses(message, options, by)
      local ok, problem = pcall(audit.check, d, by or split, encoder, declared, options)
      assert.is_false(ok)
      assert.truthy(problem:find(message, 1, true), problem)
    end
    local empty = setmetatable({ train = tensor.zeros(0, "i64") }, { __index = split })
    refuses("the split has no training rows", nil, empty)
    for _, value in ipairs { 0, -1, 1.5, "3" } do
      refuses("'cuts' must be a whole number of 1 or more", { cuts = value })
      refuses("'window' must be a whole number of 1 or more", { window = value })
    end
    refuses("'derive' must be a function", { derive = 5 })
    refuses("must give a dataset with the 600 interactions of the one it is given, not a nil",
      { derive = function() end })
    refuses("not one with 5", { derive = function(raw)
      return raw:with(raw.interactions:filter(tensor.arange(0, 5, "i64")))
    end })
  end)

  it("does not mind an empty held-out part", function()
    local d, declared = dataset(), declarations()
    local split = data.split_by_time(d, {})
    assert.same({}, findings(d, split, feature.fit(d, split.train, declared), declared))
    assert.equal(600, #split.train)
    assert.is_true(tensor.is(split.train))
  end)
end)

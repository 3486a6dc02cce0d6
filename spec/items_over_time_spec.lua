--- Item features that count events: read as of the start of a period, alike in training, evaluation, recommendations
--- and bundles.

local base = require "recsys.base"
local command = require "spec.support.command"
local data_sources = require "recsys.data"
local evaluate = require "recsys.evaluate"
local feature = require "recsys.feature"
local frame = require "recsys.frame"
local job = require "recsys.job"
local model = require "recsys.model"
local registry = require "recsys.registry"
local serve = require "recsys.serve"
local tensor = require "recsys.tensor"

local HOUR, DAY = 3600000, 86400000
local START = 19700 * DAY
local USERS, ITEMS, EVENTS = 80, 25, 1200

--- A log of ten days in which items come into fashion and go.
local function make_log()
  local stream, log = base.stream(17, "user", 0, 0), { user = {}, item = {}, time = {}, kind = {} }
  for i = 1, EVENTS do
    log.time[i] = START + i * 10 * DAY // EVENTS
    local fashion = (i * 10 // EVENTS * 3) % ITEMS
    log.user[i] = "u" .. 1 + stream:below(4 * i, USERS)
    log.item[i] = "i" .. 1 + (stream:below(4 * i + 1, 3) > 0 and (fashion + stream:below(4 * i + 2, 4)) % ITEMS
      or stream:below(4 * i + 2, ITEMS))
    log.kind[i] = stream:below(4 * i + 3, 3) == 0 and "shared" or "read"
  end
  return log
end

local log = make_log()

local function dataset(kinds)
  local users, items = {}, {}
  for i = 1, USERS do users[i] = "u" .. i end
  for i = 1, ITEMS do items[i] = "i" .. i end
  return { name = "fashion", fingerprint = ("0"):rep(64), origin = { source = "spec" },
    users = frame.from { { "user", "string", users } }, items = frame.from { { "item", "string", items } },
    interactions = frame.from { { "user", "string", log.user }, { "item", "string", log.item },
      { "time", "time", log.time }, { "kind", "string", kinds or log.kind } } }
end

local data = dataset()
local split = data_sources.split_by_time(data, { valid = 0.1, test = 0.1 })

local function declarations(period)
  return { user = { feature.id { "user" } }, event = { feature.history { of = "id", length = 3 } },
    item = { feature.id { "item" }, feature.count { window = "2d", period = period, transform = "none" },
      feature.rate { window = "3d", period = period, where = { kind = "shared" } } } }
end

local encoder = feature.fit(data, split.train, declarations "1d")

--- How many events of an item lie in the two days before the start of a time's day.
local function count(item, time)
  local start, n = time // DAY * DAY, 0
  for i = 1, EVENTS do
    if log.item[i] == "i" .. item and log.time[i] < start and log.time[i] >= start - 2 * DAY then n = n + 1 end
  end
  return n
end

local function definition(settings)
  return require "models.two_tower"({ dim = 8, hidden = { 16 }, dropout = 0, temperature = 0.2, bias = true,
    id_dropout = 0, log_q = true }, encoder, settings)
end

--- A model of untrained weights.
local function untrained()
  local network, first = definition { seed = 3 }, tensor.zeros(1, "i64")
  return model.record(network, encoder, "two_tower", {}, {
    user = model.merge(encoder:encode_events(data, first):gather(first),
      encoder:encode_users(data.users):gather(first)),
    item = encoder:encode_items(data.items):gather(first) })
end

describe("counts of items", function()
  local over_time = encoder:items_over_time(data)

  it("are those at the start of the day", function()
    for _, day in ipairs { 0, 1, 2.5, 5.99, 6, 9.5, 30 } do
      local time = math.floor(START + day * DAY)
      local values = over_time:at(time):output "item.count_2d".values
      for item = 1, ITEMS do assert.are.equal(count(item, time), values:get(item, 1)) end
    end
    local hourly = feature.fit(data, split.train, declarations "1h"):items_over_time(data)
    local time = START + 5 * DAY + 7 * HOUR + 5
    local values, sum = hourly:at(time):output "item.count_2d".values, 0
    for i = 1, EVENTS do
      local start = time // HOUR * HOUR
      if log.time[i] < start and log.time[i] >= start - 2 * DAY then sum = sum + 1 end
    end
    assert.are.equal(sum, values:sum())
  end)

  it("come to each row of a batch as of its own day", function()
    local times = data.interactions:column "time"
    local rows = feature.rows(data).items
    local at = tensor.new({ 1100, 3, 500, 3 }, "i64")
    local batch = over_time:during(times:index_select(at)):gather(tensor.concat { rows:index_select(at),
      tensor.new({ 1, 2, 3, 4 }, "i64") })
    assert.are.equal(8, batch["item.id"]:size(1))
    for j = 1, 8 do
      local time = log.time[at:get((j - 1) % 4 + 1) + 1]
      local item = j <= 4 and tonumber(log.item[at:get(j) + 1]:sub(2)) or j - 4 + 1
      assert.are.equal(count(item, time), batch["item.count_2d"]:get(j, 1))
    end
  end)

  it("have alone the bits they have among many", function()
    local many = over_time:at(START + 7 * DAY)
    for item = 1, ITEMS do
      local one = encoder.program:moving(over_time.history, tensor.full(item - 1, 1, "i64"),
        tensor.full(START + 7 * DAY, 1, "i64"))
      for _, name in ipairs { "item.count_2d", "item.rate_3d" } do
        assert.are.equal(many:output(name).values:narrow(1, item, 1):to_string(), one:output(name).values:to_string())
      end
    end
  end)

  it("depend on no event of the day or later", function()
    local kinds, day = {}, START + 6 * DAY
    for i = 1, EVENTS do kinds[i] = log.time[i] >= day and "shared" or log.kind[i] end
    local changed = encoder:items_over_time(dataset(kinds))
    local one, other = over_time:at(day + 5 * HOUR), changed:at(day + 5 * HOUR)
    assert.are.equal(one:output "item.rate_3d".values:to_string(), other:output "item.rate_3d".values:to_string())
    assert.are_not.equal(over_time:at(day + DAY):output "item.rate_3d".values:to_string(),
      changed:at(day + DAY):output "item.rate_3d".values:to_string())
  end)

  it("are refused where they make no sense", function()
    local function refused(message, set)
      local ok, problem = pcall(feature.fit, data, nil, set)
      assert.is_false(ok)
      assert.truthy(tostring(type(problem) == "table" and problem.message or problem):find(message, 1, true),
        tostring(problem))
    end
    refused("count of = \"item\" belongs to the item side: an event knows its user before it, a catalogue its items",
      { event = { feature.count { of = "item" } } })
    refused("count of = \"user\" belongs to the event side: an event knows its user before it, a catalogue its items",
      { item = { feature.count { of = "user" } } })
    refused("counts of items are read at the start of one period, but two are declared",
      { item = { feature.count { period = "1h" }, feature.rate { where = { kind = "read" } } } })
    refused("count belongs to the event or the item side, not to user", { user = { feature.count {} } })
    assert.is_nil(feature.fit(data, nil, { item = { feature.id { "item" } } }):items_over_time(data))
  end)
end)

describe("a model with counts of items", function()
  local folder
  setup(function() folder = command.temporary() end)
  teardown(function() command.remove(folder) end)

  it("is evaluated with each query's items as of its day", function()
    local trained, asked = untrained(), evaluate.protocol_by_time(data, split):queries "valid"
    local over_time = encoder:items_over_time(data)
    local inputs = { users = encoder:encode_users(data.users), items = over_time:at(START + 20 * DAY),
      events = encoder:encode_events(data, asked.rows), user_rows = asked.user_rows, over_time = over_time,
      times = asked.times }
    local scores = job.scorer(trained, inputs)(1, asked.n)
    local users = trained:user_vectors(inputs.users, inputs.events, inputs.user_rows)
    for query = 1, asked.n, 9 do
      local items = trained:item_vectors(over_time:at(asked.times:get(query)))
      local expected = tensor.matmul(users:narrow(1, query, 1), items, false, true)
      assert.are.equal(expected:to_string(), scores:narrow(1, query, 1):to_string())
    end
    assert.is_true(#over_time:starts(asked.times):unique() > 1)
  end)

  it("trains, is evaluated and recommends through the job, and its bundle says the same", function()
    local lately = feature.fit(data, split.train, { user = { feature.id { "user" } }, -- items are their counts alone
      item = { feature.count { window = "1d" }, feature.count { window = "3d" } } })
    local p = { seed = 2, model = { kind = "two_tower", dim = 8, hidden = { 16 }, dropout = 0.0, temperature = 0.2,
        bias = false, id_dropout = 0.0, log_q = false, negatives = 1 },
      train = { epochs = 5, batch = 64, learning_rate = 0.02 }, eval = { k = { 5 }, importance = 1 },
      recommend = { k = 4, exclude_seen = false }, publish = { name = "fashion", dir = folder } }
    local parts = data_sources.split_by_time(data, { valid = 0.1, test = 0.1 })
    local trained = job.train(p, lately, data, parts)
    local report = job.evaluate(p, trained, data, parts)
    local popularity = report.baselines.popularity.ndcg_5 -- of the whole log, which does not know the day's fashion
    assert.is_true(report.metrics.ndcg_5 > popularity, ("%g beside %g"):format(report.metrics.ndcg_5, popularity))
    assert.matches("^item.count", report.importance.features[1].name)
    local written = assert(job.recommend(p, trained, data, folder .. "/out"))
    local published = assert(job.publish(p, trained, data, report, "spec"))
    local served = assert(serve.open(published.bundle))
    local lines = {}
    for line in io.lines(written.csv) do lines[#lines + 1] = line end
    local rows, scores = served:recommend_users { k = 4, exclude_seen = false }
    for user = 1, USERS, 7 do
      for rank = 1, 4 do
        assert.are.equal(("u%d,%d,i%d,%s"):format(user, rank, rows:get(user, rank) + 1,
          base.shortest(scores:get(user, rank))),
          lines[1 + 4 * (user - 1) + rank])
      end
    end
    served:close()
  end)

  it("is served with item vectors that are made anew as of the period, over posted events", function()
    local trained, cut = untrained(), 700
    local early_data = dataset()
    early_data.interactions = early_data.interactions:filter(tensor.arange(0, cut, "i64"))
    local early = assert(serve.open(assert(registry.publish { name = "early", dir = folder, model = trained,
      dataset = early_data })))
    local late = assert(serve.open(assert(registry.publish { name = "late", dir = folder, model = trained,
      dataset = data })))
    local old = early:recommend_users { k = 5, exclude_seen = false }
    for i = cut + 1, EVENTS do
      assert(early:advance { user = log.user[i], item = log.item[i], time = log.time[i],
        fields = ('{"kind":"%s"}'):format(log.kind[i]) })
    end
    assert(early:refresh())
    local a, b = { early:recommend_users { k = 5, exclude_seen = false } },
      { late:recommend_users { k = 5, exclude_seen = false } }
    assert.are.equal(b[1]:to_string(), a[1]:to_string())
    assert.are.equal(b[2]:to_string(), a[2]:to_string())
    assert.are_not.equal(old:to_string(), a[1]:to_string())
    assert(late:refresh(START + 3 * DAY)) -- a moment that is past
    local path = assert(registry.publish { name = "past", dir = folder, model = trained, dataset = data,
      as_of = START + 3 * DAY + HOUR })
    local past = assert(serve.open(path))
    local c, d = { late:recommend_users { k = 5, now = START + 9 * DAY } },
      { past:recommend_users { k = 5, now = START + 9 * DAY } }
    assert.are.equal(d[2]:to_string(), c[2]:to_string())
  end)

  it("is published with item vectors as of the bundle's moment", function()
    local trained = untrained()
    local served = {}
    for i, as_of in ipairs { START + 3 * DAY, START + 8 * DAY } do
      local path = assert(registry.publish { name = "when", dir = folder, model = trained, dataset = data,
        as_of = as_of })
      local vectors = trained:item_vectors(encoder:items_over_time(data):at(as_of))
      local bundle = assert(require("recsys.bundle").open(path))
      served[i] = assert(bundle:tensors "items.safetensors").vectors
      assert.are.equal(vectors:to_string(), served[i]:to_string())
    end
    assert.are_not.equal(served[1]:to_string(), served[2]:to_string())
  end)
end)

describe("the audit of counts of items", function()
  local audit = require "recsys.data.audit"
  local last = data_sources.split_leave_last_out(data)
  local declared = { item = { feature.id { "item" }, feature.count { window = "2d" } }, user = {}, event = {} }
  local fitted = feature.fit(data, last.train, declared)

  it("passes where they know training rows alone", function()
    local report = audit.run(data, last, fitted, declared)
    for _, finding in ipairs(report.findings) do assert.are.equal("duplicates", finding.check) end
  end)

  it("finds held-out events in them, and names feature and row", function()
    local careless = {}
    for _, name in ipairs { "train", "valid", "protocol", "ties" } do careless[name] = last[name] end
    careless.causal = true -- a split of one's own that claims what is not so
    local found
    for _, finding in ipairs(audit.run(data, careless, fitted, declared).findings) do
      if finding.check == "held out" then found = finding end
    end
    assert.are.equal("item.count_2d", found and found.subject)
    assert.matches("feature 'item.count_2d' of training row %d+ %(user u%d+, item i%d+, .-%) depends on held%-out row",
      found.message)
  end)
end)

--- Permutation importance: what a metric loses when one feature's values change rows.

local base = require "recsys.base"
local data_sources = require "recsys.data"
local evaluate = require "recsys.evaluate"
local feature = require "recsys.feature"
local frame = require "recsys.frame"
local importance = require "recsys.evaluate.importance"
local tensor = require "recsys.tensor"

local USERS, ITEMS, EVENTS = 400, 40, 2000

--- Users of two towns read the items of their town, the first of them most.
local function shop()
  local stream = base.stream(3, "user", 0, 0)
  local users, items, log = { {}, {} }, { {}, {} }, { {}, {}, {}, {} }
  for i = 1, USERS do users[1][i], users[2][i] = "u" .. i, i % 2 == 0 and "north" or "south" end
  for i = 1, ITEMS do items[1][i], items[2][i] = "i" .. i, i % 2 == 0 and "north" or "south" end
  for i = 1, EVENTS do
    local user = 1 + stream:below(3 * i, USERS)
    local rank = math.min(stream:below(3 * i + 1, ITEMS // 2), stream:below(3 * i + 2, ITEMS // 2))
    log[1][i], log[2][i] = "u" .. user, "i" .. 2 * rank + (user % 2 == 0 and 2 or 1)
    log[3][i], log[4][i] = 1700000000000 + i * 60000, rank
  end
  return { name = "towns", users = frame.from { { "user", "string", users[1] }, { "town", "string", users[2] } },
    items = frame.from { { "item", "string", items[1] }, { "town", "string", items[2] } },
    interactions = frame.from { { "user", "string", log[1] }, { "item", "string", log[2] }, { "time", "time", log[3] },
      { "strength", "number", log[4] } } }
end

local data = shop()
local split = data_sources.split_by_time(data, { valid = 0.1, test = 0.1 })
local encoder = feature.fit(data, split.train, {
  user = { feature.category { "town" } },
  event = { feature.history { of = "id", length = 3, weight = "strength", gaps = { "1m", "1h" } }, feature.count {} },
  item = { feature.id { "item" }, feature.category { "town" }, feature.popularity { "item" } },
})

--- A model that knows that people read what is popular in their town, and nothing else.
local model = { encoder = encoder }

local function towns(codes)
  local north = codes:eq(1):to "f32"
  return north:reshape(-1, 1), (1 - north):reshape(-1, 1)
end

function model.user_vectors(_, users, _, rows)
  local north, south = towns(users:output "user.town".values:index_select(rows))
  return tensor.concat({ north * 20, south * 20, north * 0 + 1 }, 2)
end

function model.item_vectors(_, items)
  local north, south = towns(items:output "item.town".values)
  return tensor.concat({ north, south, items:output "item.popularity".values }, 2)
end

local queries = evaluate.protocol_by_time(data, split):queries "valid"
local items = encoder:encode_items(data.items)
local inputs = { users = encoder:encode_users(data.users), items = items, user_rows = queries.user_rows,
  events = encoder:encode_events(data, queries.rows, { items = items }) }

local function report_of(changes)
  local request = { model = model, inputs = inputs, queries = queries, metric = "ndcg_10", repeats = 2, seed = 4 }
  for name, value in pairs(changes or {}) do request[name] = value end
  return importance.of(request)
end

describe("importance", function()
  local report, words = report_of()
  local by_name = {}
  for _, entry in ipairs(report.features) do by_name[entry.name] = entry end

  it("is the drop of the metric for what the model reads, and nothing for the rest", function()
    assert.are.equal(evaluate.metric(queries, { users = model:user_vectors(inputs.users, inputs.events,
      inputs.user_rows), items = model:item_vectors(items) }, "ndcg_10"), report.value)
    for _, name in ipairs { "user.town", "item.town", "item.popularity" } do
      assert.is_true(by_name[name].drop > 0.05, name)
      assert.is_true(by_name[name].least <= by_name[name].drop and by_name[name].drop <= by_name[name].most)
    end
    for _, name in ipairs { "event.history", "event.count_7d", "item.id" } do
      assert.are.same({ 0, 0, 0 }, { by_name[name].drop, by_name[name].least, by_name[name].most })
    end
    for i = 2, #report.features do assert.is_true(report.features[i - 1].drop >= report.features[i].drop) end
    assert.are.equal("valid", report.split)
    assert.matches("Importance of features: ndcg_10 is 0%.%d+ on the valid queries", words)
    assert.matches("item.popularity +popularity +0%.%d+", words)
  end)

  it("moves what stands beside a history's codes with them", function()
    assert.are.same({ "event.history", "event.history_weight", "event.history_gap" }, by_name["event.history"].outputs)
    assert.is_nil(by_name["event.history_weight"])
    local lengths = {} -- a model that reads codes with their weights, as the tower's bags do
    local reader = setmetatable({ user_vectors = function(_, users, events, rows)
      local batch = events:gather(tensor.arange(0, events:rows(), "i64"))
      assert.are.same(batch["event.history.offsets"]:tolist(), batch["event.history_weight.offsets"]:tolist())
      lengths[#lengths + 1] = #batch["event.history"]
      return model.user_vectors(nil, users, events, rows)
    end }, { __index = model })
    report_of { model = reader, repeats = 1 }
    assert.is_true(#lengths > 3)
  end)

  it("has the same bits with the same seed and others with another", function()
    assert.are.same(report, (report_of()))
    assert.are_not.same(report.features, report_of { seed = 5 }.features)
  end)

  it("refuses a metric that is none", function()
    local ok, problem = pcall(report_of, { metric = "ndcg@10" })
    assert.is_false(ok)
    assert.are.equal("usage", problem.code)
  end)
end)

describe("encoder:describe", function()
  it("shows what each feature became", function()
    local list, words = encoder:describe()
    local town = list[1]
    assert.are.same({ "user.town", "category", "codes", 3, 0, 0 },
      { town.name, town.feature, town.kind, town.size, town.missing, town.unknown })
    assert.are.equal(2, #town.top)
    local known = #feature.rows(data, split.train).users:unique()
    assert.are.equal(known, town.top[1].count + town.top[2].count)
    assert.are.same({ length = 3 }, list[2].learned)
    assert.are.same({ window = "7d" }, list[5].learned)
    assert.matches("event.count_7d +count +1 +window 7d", words)
    assert.matches("user.town +category +3 +0.0 %% +0.0 %% +%a+ %d+, %a+ %d+", words)
  end)
end)

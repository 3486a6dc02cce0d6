-- feature.lua - features under refused memory: fitting, encoding, storing, requests.
local feature = require "recsys.feature"
local frame = require "recsys.frame"
local tensor = require "recsys.tensor"

local data = {
  users = frame.from { { "user", "string", { "u1", "u2", "u3" } }, { "age", "number", { 20, false, 40 } } },
  items = frame.from { { "item", "string", { "a", "b", "c" } }, { "tags", "list", { { "x", "y" }, { "y" }, {} } },
    { "title", "string", { "Hello world", "हिन्दी world", false } }, { "created", "time", { 1000, 2000, false } } },
  interactions = frame.from { { "user", "string", { "u1", "u2", "u1" } }, { "item", "string", { "a", "b", "b" } },
    { "time", "time", { 10000, 20000, 30000 } } },
}

local encoder = feature.fit(data, nil, {
  user = { feature.id { "user" }, feature.number { "age" }, feature.category { "age", name = "decade", prefix = 1 } },
  event = { feature.history { of = "item", length = 2 }, feature.history { of = "tags", name = "tags" },
    feature.time_parts { "time", parts = { "hour" }, as = "cyclic" }, feature.relative_time {} },
  item = { feature.id { "item" }, feature.categories { "tags" }, feature.tokens { "title", min_count = 1 },
    feature.text { columns = { title = 2, item = 1 }, name = "text", dims = 2, ngrams = { 1, 2 },
      stop_words = { "of" } },
    feature.hashed { "title", name = "hash", buckets = 5 }, feature.buckets { "created", n = 2 } },
})
local saved = encoder:save()
local loaded <close> = assert(feature.load(saved.json, saved.tensors))
assert(loaded:counts "item.id":get(1) == 0 and #loaded:describe() == 14)

local rows = tensor.new({ 2, 0 }, "i64")
local events <close> = loaded:encode_events(data, nil, { ties = "order" })
assert(events:gather(rows)["event.history.offsets"]:get(3) == 1)
local again <close> = assert(feature.load_features(events:tensors()))
assert(again:output "event.tags".kind == "bag" and #again == 3)

do
  local users, user_rows = loaded:encode_users(data.users), tensor.new({ 0, 1, 0 }, "i64")
  local ahead <close> = feature.batches({ { events }, { users, user_rows } }, tensor.new({ 2, 0, 1 }, "i64"),
    tensor.new({ 0, 2, 3 }, "i64"))
  assert(ahead:next()["event.history.offsets"]:count() == 3)
  assert(ahead:next()["user.id"]:count() == 1 and not ahead:next())
  ahead:close()
end

local history = feature.sequences(data, { log = rows })
assert(assert(feature.load_history(history:tensors(), 3)):events(0):size(1) == 2)
local catalogue = loaded:catalogue(data.items)
local user, moment = assert(loaded:encode_request({ user = { user = "u1", age = 7 }, items = { "a", "?" }, time = 5 },
  catalogue))
assert(#user == 1 and #moment == 1 and tostring(catalogue.index) == "Vocabulary of 3")
assert(not feature.load(saved.json:sub(2), saved.tensors))

local core = require("recsys.core").feature
local pieces = assert(catalogue.index):tensors()
local vocabulary <close> = assert(core.vocabulary(pieces.bytes, pieces.offsets))
assert(vocabulary:text(2) == "b" and vocabulary:code "c" == 3)
assert(not events:difference(events))
assert(events:rows() == 3 and #events:names() > 3 and history:users() == 3)
assert(#assert(loaded:vocabulary "item.id") > 0)
assert(feature.tfidf(data.items, { "title" }, rows, { tokens = "sklearn" }).idf:get(1) > 1)

-- What reads the past: filters, weights, gaps, counts, and a state that events advance.
data.interactions = data.interactions:with("kind", "string", { "read", "shared", false })
  :with("strength", "number", { 0.5, 1, false })
data.users = data.users:with("created", "time", { 1000, false, 3000 })
local stateful = feature.fit(data, nil, {
  user = { feature.cross { { "user", "age" }, min_count = 1 }, feature.number { "age", transform = "robust" } },
  event = { feature.history { of = "item", weight = "strength", gaps = { "1s", "1m" } }, feature.age { "created" },
    feature.count { window = "1m", where = { kind = { "read", "shared" } } },
    feature.count { of = { "user", "id" }, name = "profile" }, feature.rate { where = { kind = "shared" } } },
  item = { feature.id { "item" }, feature.popularity { "item" } },
})
local past <close> = stateful:encode_events(data)
assert(past:output "event.history_weight".kind == "weights" and #past:gather(rows)["event.history_gap.offsets"] == 3)
local state = stateful:state(data)
assert(state:advance { user = "u4", item = "c", time = 40000, kind = "read", strength = 0.5 })
assert(not state:advance { user = "u4", item = "c", time = 40000, strength = "much" })
local one <close> = assert(state:encode("u4", 50000))
assert(one:output "event.count_1m".values:get(1, 1) > 0 and state:history():users() == 4)
assert(state.accumulator:users() == 4 and tostring(state.accumulator) == "Accumulator [4 users]")
state.accumulator:close()

-- Items that count.
local counting <close> = feature.fit(data, nil, {
  item = { feature.id { "item" }, feature.count { window = "1m", period = "1s", where = { kind = "shared" } } } })
local over_time = counting:items_over_time(data)
local now <close> = over_time:at(40000)
assert(now:output "item.count_1m".values:size(1) == 3)
assert(over_time:during(tensor.new({ 40000, 5 }, "i64")):gather(rows)["item.count_1m"]:size(1) == 2)

local scratch = ...
local file, ids = scratch .. "/vectors.npy", scratch .. "/ids.txt"
assert(tensor.save_npy(file, tensor.new { { 1, 2 }, { 3, 4 } }))
local list = assert(io.open(ids, "w"))
list:write "a\nz\n"
list:close()
local joined <close> = feature.fit(data, nil, { item = { feature.vectors { "item", file = file, ids = ids,
  normalize = true, name = "vector" }, feature.ngrams { "title", buckets = 7, level = "char" } } })
assert(joined:encode_items(data.items):output "item.vector".values:get(2, 3) == 1)

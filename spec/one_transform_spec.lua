--- One transform: every kind of feature gives a row of a table and a request with the same fields the same bits.
---
--- A kind that `fit.kinds` lists and that stands in no declaration here fails the spec: add it to `covered`.

local base = require "recsys.base"
local command = require "spec.support.command"
local feature = require "recsys.feature"
local fit = require "recsys.feature.fit"
local frame = require "recsys.frame"
local json = require "recsys.json"
local tensor = require "recsys.tensor"

local DAY = 86400000

--- Rows compared. Few where garbage is collected at every turn (pause 0).
local pause = collectgarbage("setpause", 200)
collectgarbage("setpause", pause)
local MANY = pause == 0 and 30 or 10000
local TRAIN = 600

local stream, drawn = base.stream(21, "user", 0, 0), 0
local function draw(n)
  drawn = drawn + 1
  return stream:below(drawn, n)
end

local words = { "alpha", "Beta", "gamma", "délta", "हिन्दी", "😀", "x1", "été" }

--- Values of each type of column: some missing, some that training never sees, some extreme.
local makers = {
  string = function(i) return i > TRAIN and draw(4) == 0 and "new" .. draw(50) or "s" .. draw(30) end,
  number = function() return ({ draw(1000) / 8, -draw(100), 0, 1e300, 4 })[1 + draw(5)] end,
  time = function() return DAY * 19000 + draw(400 * DAY) end,
  list = function()
    local list = {}
    for j = 1, draw(5) do list[j] = "t" .. draw(14) end
    return list
  end,
  text = function()
    local text = {}
    for j = 1, draw(6) do text[j] = words[1 + draw(#words)] end
    return table.concat(text, draw(2) == 0 and " " or ", ")
  end,
}

local columns = { { "word", "string" }, { "other", "string" }, { "number", "number" }, { "when", "time" },
  { "tags", "list" }, { "text", "text" }, { "code", "number" } }

--- A table as Lua values and as a frame, the key first.
local function make_table(key, n)
  local values, list = { [key] = {} }, { { key, "string" } }
  for i = 1, n do values[key][i] = key .. i end
  list[1][3] = values[key]
  for c, column in ipairs(columns) do
    local name, kind = column[1], column[2]
    values[name] = {}
    for i = 1, n do values[name][i] = draw(7) > 0 and makers[kind](i) end
    list[c + 1] = { name, kind == "text" and "string" or kind, values[name] }
  end
  return values, frame.from(list)
end

local users, user_frame = make_table("user", MANY)
local items, item_frame = make_table("item", MANY)

local function interactions()
  local log = { user = {}, item = {}, time = {}, kind = {}, strength = {} }
  for i = 1, MANY do
    log.user[i] = "user" .. 1 + (i <= TRAIN and draw(math.min(TRAIN, MANY)) or draw(MANY // 10 + 1))
    log.item[i] = "item" .. 1 + draw(i <= TRAIN and math.min(TRAIN, MANY) or MANY)
    log.time[i] = DAY * 19500 + i // 4 * 600000
    log.kind[i] = draw(5) > 0 and "k" .. draw(4)
    log.strength[i] = draw(6) > 0 and draw(40) / 8
  end
  return log, frame.from { { "user", "string", log.user }, { "item", "string", log.item },
    { "time", "time", log.time }, { "kind", "string", log.kind }, { "strength", "number", log.strength } }
end

local log, log_frame = interactions()
local data = { users = user_frame, items = item_frame, interactions = log_frame }

--- Vectors of the words s1 .. s20; the others have none. The encoder keeps them when the files are gone.
local folder = command.temporary()
local vectors, ids = folder .. "/vectors.npy", folder .. "/ids.txt"
do
  local list = {}
  for i = 1, 20 do list[i] = "s" .. i end
  command.write(ids, table.concat(list, "\n"))
  assert(tensor.save_npy(vectors, tensor.arange(60):to("f32"):reshape(20, 3)))
end

--- Kinds of both tables' own columns; `key` is the side's name.
local function of_side(key)
  return {
    feature.id { key },
    feature.category { "word", min_count = 2, max_share = 0.9 },
    feature.category { "code", name = "code_words" },
    feature.category { "other", prefix = 2, name = "prefix" },
    feature.categories { "tags" },
    feature.categories { "text", separator = ",", name = "pieces", unknown = "drop" },
    feature.hashed { "word", name = "hashes", buckets = 50 },
    feature.cross { { "word", "other" } },
    feature.cross { { "word", "code", "other" }, name = "crossed", buckets = 1000 },
    feature.number { "number" },
    feature.number { "number", name = "robust", transform = "robust" },
    feature.number { "number", name = "logarithm", transform = "log", impute = 3 },
    feature.number { "number", name = "plain", transform = "none", impute = "median" },
    feature.buckets { "number", name = "ranges", n = 7 },
    feature.time_parts { "when", parts = { "hour", "weekday", "month_day", "month", "year_day" } },
    feature.time_parts { "when", name = "circle", as = "cyclic", utc_offset = "-03:30" },
    feature.tokens { "text", max = 4 },
    feature.tokens { "text", name = "hashed_tokens", buckets = 64 },
    feature.text { "text", name = "latent", dims = 6, stop_words = { "alpha" } },
    feature.text { columns = { text = 2, word = 1 }, name = "latent_words", dims = 4, ngrams = { 1, 2 },
      sublinear = true, tokens = "sklearn" },
    feature.ngrams { "text", name = "grams", buckets = 512, tokens = "sklearn" },
    feature.ngrams { "text", name = "letters", buckets = 64, level = "char", n = { 2, 3 } },
    feature.vectors { "word", name = "vector", file = vectors, ids = ids, normalize = true },
  }
end

local covered = { user = of_side "user", item = of_side "item", event = {
  feature.history { of = "id", length = 5, weight = "strength", gaps = { "10m", "1h", "1d" },
    kinds = { kind = { "k1", "k2" } } },
  feature.history { of = "id", length = 4, name = "counted", kinds = { kind = { k1 = 3, k2 = 0.5 } } },
  feature.history { of = "tags", length = 3, name = "tag_history", unknown = "keep" },
  feature.history { of = "tags", length = 3, name = "tags_each", unknown = "keep", each = 2 },
  feature.count { window = "2d" },
  feature.count { window = "5d", where = { kind = { "k1", "k2" } }, name = "some" },
  feature.count { of = { "user", "ranges" }, window = "9d", name = "ranges" },
  feature.rate { window = "5d", where = { kind = "k1" } },
  feature.age { "when" },
  feature.age { "number", name = "age_in_weeks", transform = "standard", unit = "1w" },
  feature.time_parts { "time", parts = { "hour" } },
  feature.relative_time { item = "when", window = "9d", harmonics = 4 },
} }
covered.item[#covered.item + 1] = feature.popularity { "item" }
covered.item[#covered.item + 1] = feature.popularity { "word", name = "word_popularity" }

local encoder = feature.fit(data, tensor.arange(0, math.min(TRAIN, MANY), "i64"), covered)
command.remove(folder)

local function bytes_of(tensors)
  local all = {}
  for name, t in pairs(tensors) do all[name] = t:dtype() .. t:to_string() end
  return all
end

--- Compare a row of 'many' with features of one row; names the output that differs.
local first = tensor.zeros(1, "i64")
local function compare(many, row, one, what)
  local a, b = bytes_of(many:gather(tensor.full(row - 1, 1, "i64"))), bytes_of(one:gather(first))
  for name, bytes in pairs(a) do
    if bytes ~= b[name] then error(("%s, row %d: %s differs"):format(what, row, name)) end
  end
  one:close()
end

local function fields_of(values, row)
  local fields = {}
  for name, column in pairs(values) do fields[name] = column[row] or nil end
  return fields
end

describe("one transform", function()
  it("covers every kind of feature", function()
    local kinds = {}
    for _, list in pairs(covered) do
      for _, declaration in ipairs(list) do kinds[declaration.kind] = true end
    end
    for kind in pairs(fit.kinds) do
      assert.truthy(kinds[kind], ("the kind '%s' is not covered: add it to `covered`"):format(kind))
    end
  end)

  it("says of every kind what of the data it reads", function()
    for name, kind in pairs(fit.kinds) do
      assert.are.equal("string", type(kind.reads), name)
      assert.truthy(kind.stateful == nil or kind.stateful == true, name)
    end
  end)

  for side, values in pairs { user = users, item = items } do
    it("gives users and items alone the bits they have in a table: " .. side, function()
      local many = side == "user" and encoder:encode_users(user_frame) or encoder:encode_items(item_frame)
      for row = 1, MANY do
        compare(many, row, assert(encoder.program:request(side, fields_of(values, row))), side)
      end
    end)
  end

  it("gives moments alone the bits they have among many, while a state is advanced", function()
    local many = encoder:encode_events(data)
    local state = encoder:state(data, { log = tensor.zeros(0, "i64") })
    for row = 1, MANY do
      local user = tonumber(log.user[row]:sub(5))
      local one = assert(state:encode(log.user[row], log.time[row],
        { ["user.when"] = users.when[user] or nil, ["user.number"] = users.number[user] or nil }))
      compare(many, row, one, "event")
      assert(state:advance(fields_of(log, row)))
    end
  end)

  it("gives JSON the bits of a table of fields", function()
    for row = 1, MANY, 97 do
      local fields = fields_of(users, row)
      local a = assert(encoder.program:request("user", fields))
      if fields.tags then fields.tags = json.list(fields.tags) end -- an empty table would be an object
      local b = assert(encoder.program:request("user", json.encode(fields)))
      assert.are.same(bytes_of(a:gather(first)), bytes_of(b:gather(first)))
    end
  end)

  it("refuses fields of wrong types by name, and forgets them", function()
    local empty = bytes_of(encoder.program:request("user", {}):gather(first))
    for field, values in pairs {
      word = { true, {}, { "a" } }, number = { "many", false, { 1 } }, tags = { 5, { 1 }, true }, when = { "today" },
    } do
      for _, value in ipairs(values) do
        local none, message, code = encoder.program:request("user", { [field] = value, other = "s1" })
        assert.is_nil(none)
        assert.are.equal("argument", code)
        assert.truthy(message:find("field '" .. field .. "' is ", 1, true), message)
        assert.are.same(empty, bytes_of(encoder.program:request("user", {}):gather(first)))
      end
    end
  end)
end)

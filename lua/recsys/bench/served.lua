--- Published models for benches and tests of the server: the real two-tower retriever over a made-up news app, trained
--- for some steps, and published as any model is.
---
--- Articles and users have the columns and the features of the news sample (recipes/features/news.lua) but for the
--- text, the age and the moment, which would append to vectors: the goals are about 64 numbers. Every user has read 50
--- articles on average, and no article is too old to be recommended.

local base = require("recsys.core").base
local bench = require "recsys.bench"
local feature = require "recsys.feature"
local files = require "recsys.files"
local frame = require "recsys.frame"
local lookup = require "recsys.lookup"
local registry = require "recsys.registry"
local tensor = require "recsys.tensor"
local train = require "recsys.train"

local served = { width = 64 }

local HIDDEN <const>, BATCH <const>, STEPS <const> = 128, 1024, 20
local EVENTS <const> = 50 -- a user, on average
local DAY <const>, DAYS <const>, BEGAN <const> = 86400000, 21, 1704067200000 -- 2024-01-01

--- Sizes at full scale. A `light` model has ids and two columns alone: of a million articles.
served.news = { users = 20000, items = 9100 }
served.large = { users = 20000, items = 1000000, light = true }

local WORDS <const> = { "council", "rain", "market", "match", "school", "metro", "film", "harvest", "election", "train",
  "festival", "court", "budget", "river", "strike", "bridge" }

-- Column and how many distinct values.
local user_words = { { "platform", 3 }, { "os_version", 40 }, { "model", 400 }, { "network", 5 }, { "district", 75 },
  { "language", 2 } }
local item_words = { { "language", 2 }, { "district", 75 }, { "source", 120 }, { "kind", 8 } }

local function names(pattern, n)
  local list = {}
  for i = 1, n do list[i] = pattern:format(i) end
  return list
end

--- A stream of the bench's own random numbers.
local function stream(step) return base.stream(17, "user", 0, step) end

local function words(n, columns, first, missing)
  local list = {}
  for i, column in ipairs(columns) do
    local codes = (stream(first + i):integers(n, column[2] + (missing and 1 or 0)) + (missing and 0 or 1)):to "i32"
    list[i] = { column[1], "string", { codes = codes, strings = names(column[1] .. "-%d", column[2]) } }
  end
  return list
end

local function users_of(size)
  local columns = words(size.users, user_words, 100, true)
  table.insert(columns, 1, { "user", "string", names("device-%08x", size.users) })
  return frame.from(columns)
end

local function title(i)
  local picked = {}
  for k = 0, 6 do picked[k + 1] = WORDS[(i * 31 + k * k * 7 + i // 16 * k) % #WORDS + 1] end
  return table.concat(picked, " ")
end

local function items_of(size)
  local columns = words(size.items, item_words, 200)
  table.insert(columns, 1, { "item", "string", names("h%08x", size.items) })
  columns[#columns + 1] = { "created", "time", (stream(220):uniforms(size.items) * (DAYS * DAY)):to "i64" + BEGAN }
  if not size.light then
    local titles, topics, drawn = {}, {}, stream(221):integers(size.items, 24):tolist()
    for i = 1, size.items do
      titles[i] = title(i)
      topics[i] = { "topic-" .. drawn[i], i % 3 == 0 and "topic-" .. (drawn[i] + 7) % 24 or nil }
    end
    columns[#columns + 1] = { "title", "string", titles }
    columns[#columns + 1] = { "categories", "list", topics }
  end
  return frame.from(columns)
end

--- Codes 1 .. n of 'rows' events, drawn by log-normal popularity; the first n are every code once.
local function drawn(n, rows, spread, step)
  local bounds = (stream(step):normals(n) * spread):exp():cumsum()
  local codes = bounds:search_sorted(stream(step + 1):uniforms(rows) * bounds:get(n), true):to("f64"):clamp(0, n - 1)
  codes = codes:to "i32" + 1
  local known = math.min(n, rows)
  codes:narrow(1, 1, known):copy_((stream(step + 2):permutation(n):narrow(1, 1, known) + 1):to "i32")
  return codes
end

local function dataset(size)
  local users, items, rows = users_of(size), items_of(size), size.users * EVENTS
  local function ids(of, name, spread, step)
    return { codes = drawn(of:rows(), rows, spread, step), strings = names(name, of:rows()) }
  end
  return { name = "news", fingerprint = ("%064d"):format(size.items), users = users, items = items,
    interactions = frame.from {
      { "user", "string", ids(users, "device-%08x", 0.5, 300) }, { "item", "string", ids(items, "h%08x", 1.0, 310) },
      { "time", "time", tensor.arange(0, rows, "i64") * (DAYS * DAY // rows) + BEGAN } } }
end

--- The features of the news recipe, but for those that the file's head names.
local function declarations(light)
  if light then
    return { user = { feature.id { "user" }, feature.category { "language", share = "language" } },
      event = { feature.history { of = "id", length = 50 } },
      item = { feature.id { "item" }, feature.category { "language", share = "language" } } }
  end
  return {
    user = { feature.id { "user" }, feature.category { "platform" }, feature.category { "os_version" },
      feature.category { "model" }, feature.category { "network" },
      feature.category { "district", share = "district" }, feature.category { "language", share = "language" } },
    event = { feature.history { of = "id", length = 50 }, feature.history { of = "id", length = 5, name = "history_5" },
      feature.history { of = "categories", length = 50, name = "topics" },
      feature.history { of = "categories", length = 5, name = "topics_5" },
      feature.history { of = "language", length = 50, name = "languages" },
      feature.history { of = "district", length = 50, name = "places" },
      feature.history { of = "source", length = 50, name = "sources" } },
    item = { feature.id { "item" }, feature.categories { "categories" },
      feature.category { "language", share = "language" }, feature.category { "district", share = "district" },
      feature.category { "source" }, feature.category { "kind" } },
  }
end

local function trained(data, size, seed)
  local split = { train = tensor.arange(0, data.interactions:rows(), "i64"), valid = tensor.zeros(0, "i64"),
    ties = "order", causal = true, protocol = "by_time" }
  local definition = lookup.model "two_tower"
  return train.fit(definition, { kind = "two_tower", data = data, split = split, seed = seed, metric = "none",
    encoder = feature.fit(data, split.train, declarations(size.light)),
    config = { dim = served.width, hidden = { HIDDEN }, dropout = 0, similarity = "cosine", temperature = 0.2,
      log_q = true, bias = false, policy = false, drawn = 0 },
    train = { epochs = 1, batch = math.min(BATCH, #split.train), rows_per_epoch = BATCH * STEPS, warmup = 0,
      checkpoint = 0 } })
end

--- A size, scaled.
function served.scaled(size, scale)
  local function scaled(n) return math.max(100, math.ceil(n * scale)) end
  return { users = scaled(size.users), items = scaled(size.items), light = size.light }
end

--- The bundle of a size, made once: one for each seed, which gives the same catalogue other weights and another
--- name.
---@param folder string
---@param size table    such as served.news
---@param scale number
---@param seed? integer  default 1
---@return { bundle: string, users: integer, items: integer }
function served.make(folder, size, scale, seed)
  size, seed = served.scaled(size, scale), seed or 1
  local path = bench.once(("%s/served-%dx%d-%d.tar"):format(folder, size.users, size.items, seed), function(part)
    local data, dir = dataset(size), part .. ".models"
    os.execute(("rm -rf '%s'"):format(dir))
    local published = assert(registry.publish { name = "news_" .. seed, model = trained(data, size, seed),
      dataset = data, dir = files.make_folder(dir) .. "/models", created = "2024-01-22T00:00:00Z" })
    assert(os.rename(published, part))
    os.execute(("rm -rf '%s'"):format(dir))
  end)
  return { bundle = path, users = size.users, items = size.items }
end

--- The id of user i, 1 ..
---@param i integer
function served.user(i) return ("device-%08x"):format(i) end

return served

--- Made-up interactions for the rows of `train`, as .npy files that all sides read: who met what, in order of time, and
--- a few features of users and items.
---
--- Popularity is log-normal in users and items alike. With the spreads of `movielens` a batch of 4,096 holds about
--- 2,350 distinct users and 1,640 distinct items, as one of MovieLens-1M does (2,352 and 1,646 are expected there).

local base = require("recsys.core").base
local bench = require "recsys.bench"
local feature = require "recsys.feature"
local frame = require "recsys.frame"
local tensor = require "recsys.tensor"

local interactions = {}

--- Sizes at full scale. `spread`: the standard deviation of the logarithm of popularity.
interactions.movielens = { users = 6040, items = 3706, rows = 1000000, user_spread = 1.0, item_spread = 1.3 }
interactions.large = { users = 1000000, items = 200000, rows = 3000000, user_spread = 0.5, item_spread = 1.6 }
interactions.gowalla = { users = 29858, items = 40981, rows = 810128, user_spread = 0.9, item_spread = 0.9 }

-- Features of a user and their sizes, and how many genres there are.
local fields = { { "gender", 2 }, { "age", 7 }, { "occupation", 21 }, { "zip", 3439 } }
local GENRES, GENRE_SHARE = 18, 0.1

--- 'rows' codes below n, each drawn by its popularity; the first n are every code once, so that all are known.
local function draw(n, rows, spread, step)
  local weights = (base.stream(11, "user", 0, step):normals(n) * spread):exp()
  local bounds = weights:cumsum()
  local drawn = bounds:search_sorted(base.stream(11, "user", 0, step + 1):uniforms(rows) * bounds:get(n), true)
  drawn = drawn:to("f64"):clamp(0, n - 1):to "i32"
  local known = math.min(n, rows)
  drawn:narrow(1, 1, known):copy_(base.stream(11, "user", 0, step + 2):permutation(n):narrow(1, 1, known):to "i32")
  return drawn
end

--- Each item has one genre and each other one by chance: starts i64 [items + 1] and values i32.
local function draw_genres(items)
  local first = base.stream(11, "user", 0, 7):integers(items, GENRES):tolist()
  local chance = base.stream(11, "user", 0, 8):uniforms(items * GENRES)
  local starts, values = { 0 }, {}
  for i = 1, items do
    local drawn = chance:narrow(1, (i - 1) * GENRES + 1, GENRES):tolist()
    for g = 1, GENRES do
      if drawn[g] < GENRE_SHARE or g == first[i] + 1 then values[#values + 1] = g - 1 end
    end
    starts[i + 1] = #values
  end
  return tensor.new(starts, "i64"), tensor.new(values, "i32")
end

--- Make the files of a size once. Gives plain values: the paths, users, items and rows.
---@param folder string
---@param size table    such as interactions.movielens
---@param scale number  share of users, items and rows
function interactions.make(folder, size, scale)
  local function scaled(n) return math.max(64, math.ceil(n * scale)) end
  local users, items, rows = scaled(size.users), scaled(size.items), scaled(size.rows)
  local name = ("%s/interactions-%dx%d-%d-"):format(folder, users, items, rows)
  local paths = { users = users, items = items, rows = rows }
  local function once(key, make)
    paths[key] = bench.once(name .. key .. ".npy", function(part) assert(tensor.save_npy(part, make())) end)
  end
  once("user_codes", function() return draw(users, rows, size.user_spread, 1) end)
  once("item_codes", function() return draw(items, rows, size.item_spread, 4) end)
  once("features", function()
    local columns = {}
    for i, field in ipairs(fields) do
      columns[i] = base.stream(11, "user", 1, i):integers(users, field[2]):to("i32"):reshape(users, 1)
    end
    return tensor.concat(columns, 2)
  end)
  local starts, values
  local function genres(which)
    return function()
      if not starts then starts, values = draw_genres(items) end
      return which == 1 and starts or values
    end
  end
  once("genre_starts", genres(1))
  once("genre_values", genres(2))
  return paths
end

local function names(prefix, n)
  local list = {}
  for i = 1, n do list[i] = prefix .. i end
  return list
end

--- The files as a dataset. A frame's codes of strings count from 1: 0 is missing.
---@param paths table  what make() gave
---@return Dataset, Split  all rows train
function interactions.dataset(paths)
  local function load(key) return assert(tensor.load_npy(paths[key])) end
  local users, items = math.tointeger(paths.users), math.tointeger(paths.items)
  local user_names, item_names = names("u", users), names("i", items)
  local user_columns = { { "user", "string", user_names } }
  local features = load "features"
  for i, field in ipairs(fields) do
    user_columns[i + 1] = { field[1], "string",
      { codes = features:select(2, i):contiguous() + 1, strings = names(field[1], field[2]) } }
  end
  local starts, values, genres = load("genre_starts"):tolist(), load("genre_values"):tolist(), {}
  for i = 1, items do
    local list = {}
    for k = starts[i] + 1, starts[i + 1] do list[#list + 1] = "g" .. values[k] end
    genres[i] = list
  end
  local data = {
    users = frame.from(user_columns),
    items = frame.from { { "item", "string", item_names }, { "genres", "list", genres } },
    interactions = frame.from {
      { "user", "string", { codes = load "user_codes" + 1, strings = user_names } },
      { "item", "string", { codes = load "item_codes" + 1, strings = item_names } },
      { "time", "time", tensor.arange(0, paths.rows, "i64") * 1000 },
    },
  }
  return data, { train = tensor.arange(0, paths.rows, "i64"), valid = tensor.zeros(0, "i64"), ties = "order",
    causal = true, protocol = "by_time" }
end

--- The features of that dataset; with 'length' the user's last items, too.
---@param length? integer
---@return Encoder
function interactions.encoder(data, split, length)
  local user = { feature.id { "user" } }
  for _, field in ipairs(fields) do user[#user + 1] = feature.category { field[1] } end
  return feature.fit(data, split.train, { user = user,
    event = length and { feature.history { of = "id", length = length } } or {},
    item = { feature.id { "item" }, feature.categories { "genres" } } })
end

--- How many distinct users and items a batch of shuffled rows holds: means over ten batches.
---@return { users: number, items: number }
function interactions.distinct(paths, batch)
  local rows = math.tointeger(paths.rows)
  local order, found, n = base.stream(12, "user", 0, 0):permutation(rows), {}, math.min(10, rows // batch)
  for _, side in ipairs { "user", "item" } do
    local codes, sum = assert(tensor.load_npy(paths[side .. "_codes"])), 0
    for k = 1, n do sum = sum + #codes:index_select(order:narrow(1, (k - 1) * batch + 1, batch)):unique() end
    found[side .. "s"] = math.floor(sum / n)
  end
  return found
end

return interactions

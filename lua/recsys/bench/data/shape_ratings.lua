--- A million ratings of the size of ML-1M, in memory already: k-core, statistics by user and by item, joins.
local base = require("recsys.core").base
local bench = require "recsys.bench"
local frame = require "recsys.frame"
local tensor = require "recsys.tensor"

local col = frame.col
local K = 20

local function stream(step) return base.stream(1, "user", 0, step) end

--- Draws below n, the small ones more often: what is rated and who rates has a long tail.
local function skewed(step, rows, n, power)
  local uniform = frame.from { { "x", "number", stream(step):integers(rows, 1 << 30) } }
  return uniform:derive({ x = ((col "x" / (1 << 30)) ^ power * n):floor() }):column "x"
end

local function write(path, columns)
  return bench.once(path, function(part) assert(frame.write_csv(part, frame.from(columns), { times = "s" })) end)
end

local function read(path, types) return assert(frame.read_csv(path, { types = types })) end

return {
  about = "1 million ratings: 20-core, statistics by user and by item, joined with users and movies",
  prepare = function(folder, options)
    local n, ages, genres = math.ceil(1e6 * options.scale), {}, {}
    local n_users, n_items = math.ceil(9000 * options.scale), math.ceil(6000 * options.scale)
    for i = 1, n_users do ages[i] = ("age-%d"):format(i * 7 % 6) end
    for i = 1, n_items do genres[i] = ("genre-%d"):format(i * 13 % 18) end
    return {
      ratings = write(folder .. "/shape_ratings.csv", {
        { "user", "number", skewed(1, n, n_users, 1.6) }, { "item", "number", skewed(2, n, n_items, 2.6) },
        { "rating", "number", stream(3):integers(n, 5) + 1 }, { "time", "number", stream(4):integers(n, 90000000) },
      }),
      users = write(folder .. "/shape_users.csv", { { "user", "number", tensor.arange(n_users) },
        { "age", "string", ages } }),
      movies = write(folder .. "/shape_movies.csv", { { "item", "number", tensor.arange(n_items) },
        { "genre", "string", genres } }),
    }
  end,
  setup = function(p)
    return { ratings = read(p.ratings, { user = "string", item = "string" }),
      users = read(p.users, { user = "string" }), movies = read(p.movies, { item = "string" }) }
  end,
  run = function(s)
    local core = frame.k_core(s.ratings, "user", "item", K)
    local users = core:group_by("user", { { "n", "count" }, { "mean", "mean", "rating" }, { "last", "max", "time" } })
    local items = core:group_by("item",
      { { "m", "count" }, { "average", "mean", "rating" }, { "std", "std", "rating" } })
    local joined = core:join(users, "user"):join(items, "item"):join(s.users, "user", "left")
      :join(s.movies, "item", "left"):derive { above = col "rating" - col "mean" }
    local by_genre = joined:group_by({ "genre", "age" }, { { "above", "sum", "above" }, { "n", "count" } })
    return { rows = core:rows(), users = users:rows(), items = items:rows(), groups = by_genre:rows(),
      last = users:column("last"):sum(), spread = items:column("std"):sum(), most = by_genre:column("n"):max() }
  end,
  peers = { polars = "shape_ratings.py polars", pandas = "shape_ratings.py pandas" },
  target = { times = { polars = 1, pandas = 1 } },
}

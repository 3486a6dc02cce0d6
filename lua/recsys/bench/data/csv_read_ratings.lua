--- A million ratings as in MovieLens' ratings.dat, `::` between the fields and no header. The peers take separators of
--- one byte: they read a copy with commas.
local base = require("recsys.core").base
local bench = require "recsys.bench"
local files = require "recsys.files"
local frame = require "recsys.frame"

local names = { "user", "item", "rating", "time" }

--- The file of ML-1M in the folder of RECSYS_TEST_DATA, else a like of it.
local function source(path, n)
  local folder = os.getenv "RECSYS_TEST_DATA"
  local real = folder and folder .. "/ml-1m/ratings.dat"
  if real and n == 1000209 and files.exists(real) then return real end
  return bench.once(path, function(part)
    local function draw(step, below) return base.stream(8, "user", 0, step):integers(n, below) + 1 end
    assert(frame.write_csv(part, frame.from {
      { "user", "number", draw(1, 6040) }, { "item", "number", draw(2, 3952) }, { "rating", "number", draw(3, 5) },
      { "time", "number", draw(4, 89000000) + 956700000 } }, { header = false, separator = "::" }))
  end)
end

return {
  about = "1 million ratings as in ML-1M, `::` between the fields (the peers: a copy with commas)",
  prepare = function(folder, options)
    local path = source(folder .. "/ratings.dat", math.ceil(1000209 * options.scale))
    return { path = path, copy = bench.once(folder .. "/ratings.csv", function(part)
      local ratings <close> = assert(frame.read_csv(path, { names = names, separator = "::" }))
      assert(frame.write_csv(part, ratings))
    end) }
  end,
  run = function(p)
    local f <close> = assert(frame.read_csv(p.path, { names = names, separator = "::" }))
    return { rows = f:rows(), columns = #f:names(), ratings = f:column("rating"):sum(),
      first = f:value("time", 1), last = f:value("time", f:rows()) }
  end,
  peers = { polars = "csv_read.py polars", duckdb = "csv_read.py duckdb", pandas = "csv_read.py pandas",
    ["pandas_1.5"] = "old csv_read.py pandas" },
  target = { times = { polars = 1, duckdb = 1 } },
}

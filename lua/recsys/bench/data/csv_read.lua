--- 3.5 million app events, ten columns, 372 MB: read whole, with the types inferred, from a file that is in memory.
local base = require("recsys.core").base
local bench = require "recsys.bench"
local frame = require "recsys.frame"

local function texts(n, make)
  local all = {}
  for i = 1, n do all[i] = make(i - 1) end
  return all
end

local function hex(i, salt) return (i * 2654435761 + salt * 40503) % 2 ^ 32 // 1 end

local function device(i)
  return ("%08x-%04x-4%03x-a%03x-%06x%06x"):format(hex(i, 1), hex(i, 2) & 0xffff, hex(i, 3) & 0xfff,
    hex(i, 4) & 0xfff, hex(i, 5) & 0xffffff, hex(i, 6) & 0xffffff)
end

local kinds = { "CARD_VIEW", "CARD_CLICK", "SCREEN_VIEW", "BOOKMARK", "SHARE", "TIME_SPENT" }
local categories = { "national", "sports", "politics", "business", "technology", "entertainment", "world", "science",
  "automobile", "startup" }

local function write_events(path, n)
  local function draw(step, below) return base.stream(7, "user", 0, step):integers(n, below) end
  local function column(name, codes, strings)
    return { name, "string", { codes = codes:to "i32", strings = strings } }
  end
  local u = base.stream(7, "user", 0, 4):uniforms(n):to "f64"
  local item = (u * u * u * 8170):to "i64" -- a few articles are read by many
  local events = frame.from {
    column("deviceId", draw(1, 10400) + 1, texts(10400, device)),
    column("event_type", draw(2, 6) + 1, kinds),
    { "eventTimestamp", "number", draw(3, 5000000000) + 1700000000000 },
    column("hashId", item + 1, texts(8170, function(i) return ("a%09x"):format(hex(i, 7)) end)),
    column("category", item - (item / 10):floor():to "i64" * 10 + 1, categories),
    { "cardViewPosition", "number", draw(5, 60) },
    { "overallTimeSpent", "number", draw(6, 60000):to "f64" / 1000 },
    column("appVersion", draw(7, 180) + 1, texts(180, function(i) return ("5.%d.%d"):format(i % 9, i // 9) end)),
    column("platform", draw(8, 2) + 1, { "ANDROID", "IOS" }),
    column("language", (draw(9, 10) / 9):floor():to "i64" + 1, { "en", "hi" }),
  }
  assert(frame.write_csv(path, events))
end

return {
  about = "3.5 million events, ten columns, 372 MB: all columns with their types",
  prepare = function(folder, options)
    local n = math.ceil(3.5e6 * options.scale)
    return { path = bench.once(folder .. "/events.csv", function(part) write_events(part, n) end) }
  end,
  run = function(p)
    local f <close> = assert(frame.read_csv(p.path))
    return { rows = f:rows(), columns = #f:names(), positions = f:column("cardViewPosition"):sum(),
      first = f:text("deviceId", 1), last = f:text("hashId", f:rows()) }
  end,
  peers = { polars = "csv_read.py polars", duckdb = "csv_read.py duckdb", pandas = "csv_read.py pandas",
    ["pandas_1.5"] = "old csv_read.py pandas" },
  target = { times = { polars = 1, duckdb = 1, ["pandas_1.5"] = 8, pandas = 8 }, anonymous_mib = 605e6 / 2 ^ 20 },
}

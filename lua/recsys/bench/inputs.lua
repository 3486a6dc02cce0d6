--- Tables that several rows of the benchmark read: users with the columns of a news app's devices, and the declarations
--- of a dozen features without free text over them.

local base = require("recsys.core").base
local feature = require "recsys.feature"
local frame = require "recsys.frame"

local inputs = {}

-- Column, how many distinct values.
local words = { { "platform", 3 }, { "os_version", 40 }, { "model", 400 }, { "network", 5 }, { "district", 75 },
  { "language", 9 }, { "zip", 3000 } }

local DAY = 86400000

local function column(stream, n, make)
  local values, draws, kept = {}, stream(1):integers(n, 1 << 30):tolist(), stream(2):integers(n, 7):tolist()
  for i = 1, n do values[i] = kept[i] > 0 and make(draws[i]) end
  return values
end

--- A table of n users and, of the first thousand, their fields; a tenth has ids that training never saw.
---@return Frame users, table[] fields
function inputs.users(n)
  local drawn = 0
  local function next_column(make)
    drawn = drawn + 2
    return column(function(k) return base.stream(4, "user", 0, drawn + k) end, n, make)
  end
  local columns, ids = {}, {}
  for i = 1, n do ids[i] = ("device-%08d"):format(i) end
  columns[1] = { "user", "string", ids }
  for _, word in ipairs(words) do
    columns[#columns + 1] = { word[1], "string", next_column(function(x) return word[1] .. "-" .. x % word[2] end) }
  end
  columns[#columns + 1] = { "age", "number", next_column(function(x) return 12 + x % 70 end) }
  columns[#columns + 1] = { "created", "time", next_column(function(x) return 19000 * DAY + x * 37 end) }
  local fields = {}
  for i = 1, math.min(n, 1000) do
    fields[i] = {}
    for _, c in ipairs(columns) do fields[i][c[1]] = c[3][i] or nil end
  end
  return frame.from(columns), fields
end

--- Twelve features fitted on nine tenths of the users.
---@return Encoder
function inputs.encoder(users)
  local known = math.max(1, users:rows() * 9 // 10)
  local ids, items, times = {}, {}, {}
  for i = 1, known do ids[i], items[i], times[i] = users:text("user", i), "i1", i end
  local interactions = frame.from { { "user", "string", ids }, { "item", "string", items }, { "time", "time", times } }
  local data = { users = users, items = frame.from { { "item", "string", { "i1" } } }, interactions = interactions }
  return feature.fit(data, nil, { user = {
    feature.id { "user" }, feature.category { "platform" }, feature.category { "os_version", min_count = 2 },
    feature.category { "model", min_count = 2 }, feature.category { "network" }, feature.category { "language" },
    feature.cross { { "district", "language" }, buckets = 1000 }, feature.hashed { "zip", buckets = 500 },
    feature.number { "age" }, feature.buckets { "age", name = "age_range", n = 8 },
    feature.number { "created", transform = "robust" },
    feature.time_parts { "created", parts = { "hour" }, as = "cyclic" },
  } })
end

return inputs

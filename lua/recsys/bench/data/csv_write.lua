--- A million events written as CSV: two strings out of a few thousand, a time, two numbers.
local base = require("recsys.core").base
local frame = require "recsys.frame"

local function strings(stream, n, distinct, name)
  local texts = {}
  for i = 1, distinct do texts[i] = ("%s-%08x"):format(name, i * 2654435761 % 2 ^ 32 // 1) end
  return { codes = (stream:integers(n, distinct) + 1):to "i32", strings = texts }
end

return {
  about = "1 million events of five columns to a CSV file",
  prepare = function(folder, options)
    return { path = folder .. "/written.csv", rows = math.ceil(1e6 * options.scale) }
  end,
  setup = function(arguments)
    local n = arguments.rows // 1
    local function stream(step) return base.stream(1, "user", 0, step) end
    return { path = arguments.path, rows = n, frame = frame.from {
      { "user", "string", strings(stream(1), n, 10400, "user") },
      { "item", "string", strings(stream(2), n, 8170, "item") },
      { "time", "time", stream(3):integers(n, 5000000000) + 1700000000000 },
      { "position", "number", stream(4):integers(n, 60) },
      { "seconds", "number", stream(5):integers(n, 60000):to "f64" / 1000 },
    } }
  end,
  run = function(state)
    assert(frame.write_csv(state.path, state.frame, { times = "ms" }))
    return { rows = state.rows }
  end,
  peers = { polars = "csv_write.py polars", pandas = "csv_write.py pandas" },
}

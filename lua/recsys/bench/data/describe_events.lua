--- The events of the news sample looked at: read, each column, repeated rows, who interacts, what starts cold.
local bench = require "recsys.bench"
local describe = require "recsys.describe"
local frame = require "recsys.frame"
local news = require "recsys.sample.news"
local tensor = require "recsys.tensor"

local types = { deviceId = "string", event_type = "string", hashId = "string", eventTimestamp = "time_ms",
  cardViewPosition = "number", overallTimeSpent = "number" }

return {
  about = "1 million events described: quantiles, distinct and top values, repeats, interactions, cold starts",
  prepare = function(folder, options)
    local dir = assert(news.generate { dir = folder .. "/news", scale = options.scale }).dir
    return { path = bench.once(folder .. "/described_events.csv", function(part)
      local f = assert(frame.read_csv(dir .. "/events.csv", { types = types })) -- without the malformed rows
      local rows = tensor.arange(math.min(f:rows(), math.ceil(1e6 * options.scale)))
      assert(frame.write_csv(part, f:filter(rows), { times = "ms" }))
    end) }
  end,
  run = function(p)
    local facts = describe.look({ p.path }, { user = "deviceId", item = "hashId", time = "eventTimestamp" })
    local file, found = facts.files[1], facts.interactions
    local columns = {}
    for _, column in ipairs(file.columns) do columns[column.name] = column end
    return { rows = file.rows, repeated = file.duplicates.rows, pairs = found.pairs, users = found.n_users,
      items = found.n_items, median = columns.overallTimeSpent.q50, missing = columns.cardViewPosition.missing,
      distinct = columns.overallTimeSpent.distinct, top = columns.event_type.top[1].count,
      new_items = found.cold[1].new_items, user_events = found.cold[1].user_events }
  end,
  peers = { polars = "describe_events.py" },
  target = { times = { polars = 1 } },
}

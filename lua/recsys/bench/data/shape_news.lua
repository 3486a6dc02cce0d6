--- From the log of the news sample, in memory already, to one row a user and article.
local bench = require "recsys.bench"
local frame = require "recsys.frame"
local news = require "recsys.sample.news"

local strengths = { ["TimeSpent-Front"] = 0.3, ["TimeSpent-Back"] = 0.5, ["News Bookmarked"] = 1, ["News Shared"] = 1 }
local types = { "TimeSpent-Front", "TimeSpent-Back", "News Bookmarked", "News Shared" }

local files = {
  events = { names = { "deviceId", "event_type", "eventTimestamp", "hashId", "overallTimeSpent" },
    types = { deviceId = "string", event_type = "string", hashId = "string", eventTimestamp = "time_ms" } },
  devices = { names = { "deviceid", "platform", "language_selected", "district" }, types = { deviceid = "string" } },
  contents = { names = { "hashid", "newsType", "newsLanguage", "createdAt" }, types = { hashid = "string" } },
}

local function read(path, file)
  return assert(frame.read_csv(path, { columns = file.names, types = file.types }))
end

return {
  about = "events of the news sample filtered, deduped, joined with devices, contents and strengths, grouped, sorted",
  prepare = function(folder, options)
    local dir = assert(news.generate { dir = folder .. "/news", scale = options.scale }).dir
    local paths = {}
    for name, file in pairs(files) do -- without the malformed rows, which not every peer leaves out
      paths[name] = bench.once(("%s/shape_%s.csv"):format(folder, name), function(part)
        assert(frame.write_csv(part, read(("%s/%s.csv"):format(dir, name), file), { times = "ms" }))
      end)
    end
    return paths
  end,
  setup = function(p)
    local values = {}
    for i, name in ipairs(types) do values[i] = strengths[name] end
    return {
      events = read(p.events, files.events), devices = read(p.devices, files.devices),
      contents = read(p.contents, files.contents),
      strengths = frame.from { { "event_type", "string", types }, { "strength", "number", values } },
    }
  end,
  run = function(s)
    local known = s.events:filter(s.events:where("event_type", "in", types))
    local unique = known:distinct { "deviceId", "event_type", "eventTimestamp", "hashId" }
    local joined = unique:join(s.devices, { deviceId = "deviceid" }, "left")
      :join(s.contents, { hashId = "hashid" }, "left"):join(s.strengths, "event_type", "left")
    local pairs = joined:group_by({ "deviceId", "hashId" }, {
      { "time", "min", "eventTimestamp" }, { "strength", "max", "strength" }, { "events", "count" },
      { "language", "first", "language_selected" }, { "kind", "first", "newsType" }, { "seconds", "sum",
        "overallTimeSpent" },
    }):sort "time"
    local n = pairs:rows()
    return { rows = n, events = pairs:column("events"):sum(), strength = pairs:column("strength"):sum(),
      first = pairs:value("time", 1), last = pairs:value("time", n), languages = #pairs:where("language", "present"),
      kinds = #pairs:where("kind", "present") }
  end,
  peers = { polars = "shape_news.py polars", polars_categorical = "shape_news.py polars_categorical",
    polars_lazy = "shape_news.py polars_lazy", pandas = "shape_news.py pandas", duckdb = "shape_news.py duckdb" },
  target = { times = { polars = 1, polars_lazy = 1, polars_categorical = 1 } },
}

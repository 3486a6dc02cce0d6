--- What the page asks beyond MLflow's API: below /api/recsys/, each answering a whole view by one request.

local artifacts = require "recsys.track.artifacts"
local histories = require "recsys.ui.histories"
local rest = require "recsys.ui.rest"
local runs = require "recsys.ui.table"
local tail = require "recsys.ui.tail"

local own = {}

local function route(name, fn)
  own[name:gsub(" ", " recsys/", 1)] = rest.json(fn)
end

route("GET runs", function(context, fields)
  context.store:reap()
  return runs.page(context.store, fields, context.bests)
end)

own["GET recsys/runs.csv"] = rest.json(function(context, fields)
  local path = context:spooled()
  runs.csv(context.store, fields, context.bests, path)
  return rest.raw({ file = path, headers = { ["Content-Type"] = "text/csv; charset=utf-8",
    ["Content-Disposition"] = 'attachment; filename="runs.csv"' } }, "data")
end)

route("GET keys", function(context, fields) return runs.keys(context.store, fields) end)
route("GET groups", function(context, fields) return runs.groups(context.store, fields) end)
route("POST histories", function(context, fields) return histories.read(context.store.db, fields) end)

--- What a run has told people since 'offset' bytes.
route("GET log", function(context, fields)
  local info = context.store:run(rest.need(fields, "run_id")).info
  local folder = artifacts.of(info.artifact_uri or "")
  local text, offset = tail.read(folder and artifacts.path(context.store.folder, folder .. "/log.txt"),
    tail.offset(fields))
  return { text = text, offset = offset, running = info.status == "RUNNING" }
end)

return own

--- What the page asks beyond MLflow's API: below /api/recsys/, each answering a whole view by one request.

local artifacts = require "recsys.track.artifacts"
local histories = require "recsys.ui.histories"
local rest = require "recsys.ui.rest"
local runs = require "recsys.ui.table"

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

--- What a run has told people since 'offset' bytes, 256 KiB at the most; whole lines, unless one is longer.
route("GET log", function(context, fields)
  local info, most <const> = context.store:run(rest.need(fields, "run_id")).info, 1 << 18
  local offset = math.tointeger(tonumber(fields.offset or 0))
  if not offset or offset < 0 then
    rest.refuse("INVALID_PARAMETER_VALUE", "Invalid value for parameter 'offset' supplied: an integer from 0.")
  end
  local folder = artifacts.of(info.artifact_uri or "")
  local file = folder and io.open(artifacts.path(context.store.folder, folder .. "/log.txt"), "rb")
  if not file then return { text = "", offset = 0, running = info.status == "RUNNING" } end
  local size = file:seek "end"
  if offset > size then offset = 0 end -- it was written anew
  file:seek("set", offset)
  local text = file:read(most) or ""
  file:close()
  local whole = #text == most and text:match "^.*\n" or text
  return { text = whole:gsub("[\128-\255]+", function(bytes) return utf8.len(bytes) and bytes or ("?"):rep(#bytes) end),
    offset = offset + #whole, running = info.status == "RUNNING" }
end)

return own

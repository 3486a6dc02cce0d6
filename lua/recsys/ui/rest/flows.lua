--- Runs of flows, their tasks and logs, studies and schedules: what flow.db knows, for the page. Nothing is changed
--- here.

local flows = require "recsys.ui.flows"
local json = require "recsys.json"
local media = require "recsys.ui.media"
local rest = require "recsys.ui.rest"
local tail = require "recsys.ui.tail"

local routes = {}

local function route(name, fn)
  routes[name:gsub(" ", " recsys/", 1)] = rest.json(fn)
end

--- A whole number that a request names, within its bounds.
local function whole(fields, name, default, least, most)
  local value = fields[name]
  if value == nil or value == "" then value = default end
  local number = math.tointeger(tonumber(value))
  if not number or number < least or number > most then
    rest.refuse_value(name, value == nil and json.null or value, ("it must be a whole number, %d to %d"):format(least,
      most))
  end
  return number
end

local function id_of(fields) return whole(fields, "id", nil, 1, math.maxinteger) end

local function filled(value) return value ~= "" and value or nil end

--- The answer to a question about a run where there is no flow.db at all.
local function none() rest.refuse("RESOURCE_DOES_NOT_EXIST", "There is no flow.db beside this store.") end

--- Runs, the youngest first: { total, runs, recipes, now }; where there is no flow.db, { total = 0, missing = true }.
route("GET flows", function(context, fields)
  rest.texts(fields, "recipe", "state")
  local asked = { recipe = filled(fields.recipe), state = filled(fields.state),
    offset = whole(fields, "offset", 0, 0, 1 << 40), limit = whole(fields, "limit", 50, 0, 1000) }
  return flows.with(context, flows.page, context.store.folder, asked)
    or { total = 0, runs = json.list {}, recipes = json.list {}, missing = true }
end)

--- One run: by its id all of it; by the id of a tracked run { id }, without one where it has no flow.
route("GET flow", function(context, fields)
  rest.texts(fields, "run_id")
  local tracked = filled(fields.run_id)
  if not tracked then return flows.with(context, flows.run, context.store.folder, id_of(fields)) or none() end
  for _, tag in ipairs(context.store:run(tracked).data.tags or {}) do
    if tag.key == "recsys.run" then
      return { id = flows.with(context, flows.of_tracked, context.store.folder, tag.value, tracked) }
    end
  end
  return {}
end)

--- What a task has told since an offset.
route("GET flow/log", function(context, fields)
  return flows.with(context, flows.log, context.store.folder, id_of(fields), {
    task = whole(fields, "task", nil, 1, 1 << 40), element = whole(fields, "element", 0, 0, 1 << 40),
    offset = tail.offset(fields) }) or none()
end)

--- The file of a note: a picture.
route("GET flow/file", function(context, fields)
  local path = flows.with(context, flows.file, context.store.folder, id_of(fields),
    whole(fields, "note", nil, 1, math.maxinteger)) or none()
  return rest.raw({ file = path, headers = { ["Content-Type"] = media.type(path) } }, "artifact")
end)

--- What is known of the study that a tracked run is; {} where it is none's.
route("GET study", function(context, fields)
  rest.texts(fields, "run_id")
  return flows.with(context, require("recsys.ui.studies").of, rest.need(fields, "run_id")) or {}
end)

route("GET schedules", function(context)
  return { schedules = json.list(flows.with(context, require("recsys.flow.scheduled").list) or {}) }
end)

return routes

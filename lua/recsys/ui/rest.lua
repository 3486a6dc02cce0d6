--- MLflow's REST API over a store, and our own beside it: from a request to its answer.
---
--- A route is "METHOD path" in one of rest/*.lua, a function of (context, fields, request) whose result is the answer's
--- JSON, or `rest.raw(response, kind)` for other bytes; it raises { code, message }. MLflow's routes stand below
--- /api/2.0/mlflow/ and /ajax-api/2.0/mlflow/, ours below /api/recsys/. A context is what a server works on:
--- { store, bests = best values of metrics, spooled = a method: the path of a file that is gone after the answer }.

local guard = require "recsys.ui.guard"
local json = require "recsys.json"
local log = require "recsys.log"
local names = require "recsys.track.names"
local wire = require "recsys.ui.wire"

local rest = {}

-- Statuses of MLflow's codes, and what our own codes are among them.
local statuses = { BAD_REQUEST = 400, INVALID_PARAMETER_VALUE = 400, RESOURCE_ALREADY_EXISTS = 400,
  UNAUTHENTICATED = 401, CUSTOMER_UNAUTHORIZED = 401, PERMISSION_DENIED = 403, RESOURCE_DOES_NOT_EXIST = 404,
  ENDPOINT_NOT_FOUND = 404, RESOURCE_CONFLICT = 409, REQUEST_LIMIT_EXCEEDED = 429, INTERNAL_ERROR = 500,
  INVALID_STATE = 500, NOT_IMPLEMENTED = 501, TEMPORARILY_UNAVAILABLE = 503 }
local codes = { busy = "TEMPORARILY_UNAVAILABLE", memory = "TEMPORARILY_UNAVAILABLE", usage = "INVALID_PARAMETER_VALUE",
  quality = "RESOURCE_CONFLICT" }

local Raw = {}

--- An answer that is no JSON.
---@param response HttpResponse
---@param kind "page"|"data"|"artifact"
function rest.raw(response, kind)
  return setmetatable({ response = response, kind = kind }, Raw)
end

--- Refuse, with one of MLflow's codes.
function rest.refuse(code, format, ...)
  error({ code = code, message = format:format(...) }, 0)
end

--- A field that must be there.
function rest.need(fields, name)
  local value = fields[name]
  if value == nil or value == "" then
    rest.refuse("INVALID_PARAMETER_VALUE", "Missing value for required parameter '%s'. See the API docs for more "
      .. "information about request parameters.", name)
  end
  return value
end

--- Refuse a field's value, in MLflow's words.
---@param why string  what it should be: "it must be a text"
function rest.refuse_value(name, value, why)
  rest.refuse("INVALID_PARAMETER_VALUE", "Invalid value %s for parameter '%s' supplied: %s. See the API docs for more "
    .. "information about request parameters.", json.encode(value):sub(1, 200), name, why)
end

--- Refuse fields that are there and no texts.
function rest.texts(fields, ...)
  for _, name in ipairs { ... } do
    if fields[name] ~= nil and type(fields[name]) ~= "string" then
      rest.refuse_value(name, fields[name], "it must be a text")
    end
  end
end

--- Refuse fields that are there and no whole numbers, which JSON may have as texts.
function rest.integers(fields, ...)
  for _, name in ipairs { ... } do
    if fields[name] ~= nil and not names.integer(fields[name]) then
      rest.refuse_value(name, fields[name], "it must be an integer")
    end
  end
end

-- Fields that are lists, though a query may name them once.
local lists = { experiment_ids = true, order_by = true, run_ids = true, stages = true, keys = true }

--- Take JSON's null, which means absent, out of a value. In a list it means nothing: what follows would be lost.
---@param name? string  the field whose value it is
local function without_null(value, name)
  for key, one in pairs(value) do
    if one == json.null then
      if math.type(key) == "integer" then
        rest.refuse("INVALID_PARAMETER_VALUE", "Invalid value null for parameter '%s[%d]' supplied: the elements of a "
          .. "list must be there.", (name or "?"):sub(1, 100), key - 1)
      end
      value[key] = nil
    elseif type(one) == "table" then
      without_null(one, math.type(key) == "integer" and name or key)
    end
  end
  return value
end

local function of_query(query)
  local fields = {}
  for _, pair in ipairs(query) do
    local name, value = pair[1], pair[2]
    local known = fields[name]
    if lists[name] or type(known) == "table" then
      fields[name] = known or {}
      table.insert(fields[name], value)
    elseif known ~= nil then
      fields[name] = { known, value }
    else
      fields[name] = value
    end
  end
  return fields
end

local function of_body(request)
  guard.check_json(request.headers)
  if request.file then rest.refuse("BAD_REQUEST", "The request is too large.") end
  if request.body == "" then return {} end
  local fields, message = json.decode(request.body)
  if type(fields) ~= "table" or fields[1] ~= nil then
    rest.refuse("BAD_REQUEST", "Malformed request: the body must be a JSON object%s",
      message and ": " .. message or ".")
  end
  return without_null(fields)
end

--- What a request asks, from its query or its body; names that are texts everywhere are checked here, once.
---@param request HttpRequest
---@return table fields
function rest.fields(request)
  local fields = request.method == "GET" and of_query(request.query) or of_body(request)
  for name in pairs(lists) do
    if fields[name] ~= nil and type(fields[name]) ~= "table" then
      rest.refuse_value(name, fields[name], "it must be a list")
    end
  end
  return fields
end

--- The routes of all of rest/, by "METHOD path"; those that end with "/*" take the rest of the path as fields.path.
local routes = {}
for _, name in ipairs { "experiments", "runs", "metrics", "models", "logged_models", "artifacts", "own",
  "promotion", "flows" } do
  local file = "recsys.ui.rest." .. name
  routes[#routes + 1] = file
end

local function all_routes()
  local all = {}
  for _, file in ipairs(routes) do
    for route, fn in pairs(require(file)) do all[route] = fn end
  end
  routes, all_routes = all, function() return routes end
  return all
end

--- The function of a route and, of one with an open end, the path's rest.
local function find(method, path)
  local all = all_routes()
  local exact = all[method .. " " .. path]
  if exact then return exact end
  local at = path
  while true do
    local above, name = at:match "^(.*)/([^/]*)$"
    if not above then return nil end
    local fn = all[method .. " " .. above .. "/*"]
    if fn then return fn, path:sub(#above + 2), name end
    at = above
  end
end

--- The path as routes have it: "mlflow/runs/get", "recsys/runs"; nil when it is none of ours.
local function route_of(path)
  return path:match "^/ajax%-api/2%.0/(.+)$" or path:match "^/api/2%.0/(.+)$" or path:match "^/api/(recsys/.+)$"
    or path:match "^/ajax%-api/3%.0/(mlflow/.+)$" or path:match "^/api/3%.0/(mlflow/.+)$"
    or path:match "^/(get%-artifact)$" or path:match "^/(model%-versions/get%-artifact)$"
end

--- Whether a path belongs to the API, which a token guards.
function rest.is_api(path)
  return path:find "^/api/" ~= nil or path:find "^/ajax%-api/" ~= nil or route_of(path) ~= nil
end

--- What was raised, as an answer. A signal is raised again.
---@return HttpResponse
function rest.refusal(problem)
  if type(problem) == "table" and problem.signal then error(problem, 0) end
  local code = type(problem) == "table" and (codes[problem.code] or problem.code)
  if not statuses[code] then
    log.warn("%s", require("recsys.exit").message_of(problem))
    if type(problem) == "table" and problem.traceback then log.warn("%s", problem.traceback) end
    code = "INTERNAL_ERROR"
  end
  local response = { status = statuses[code], body = json.encode { error_code = code,
    message = require("recsys.exit").message_of(problem) }, headers = { ["Content-Type"] = "application/json" } }
  if code == "UNAUTHENTICATED" then response.headers["WWW-Authenticate"] = 'Bearer realm="recsys-run"' end
  return guard.secure(response, "data")
end

local function asked(request)
  local method = request.method == "HEAD" and "GET" or request.method
  local fn, tail = find(method, route_of(request.path) or "")
  if not fn then rest.refuse("ENDPOINT_NOT_FOUND", "There is no %s %s here.", request.method, request.path) end
  return fn, tail
end

local of_json = setmetatable({}, { __mode = "k" }) -- functions of routes whose body is JSON

--- Raise what can be said against a request before its body comes: that nothing takes it, or not so much.
---@param request HttpRequest
---@param most integer  bytes of a body that is JSON
function rest.expect(request, most)
  local size = tonumber(request.headers["content-length"])
  if of_json[asked(request)] and size and size > most then rest.refuse("BAD_REQUEST", "The request is too large.") end
end

--- The answer to a request for one of the API's paths.
---@param context table
---@param request HttpRequest
---@return HttpResponse
function rest.answer(context, request)
  local fn, tail = asked(request)
  local result = fn(context, tail and { path = tail } or nil, request)
  if getmetatable(result) == Raw then return guard.secure(result.response, result.kind) end
  return guard.secure({ body = wire.encode(result), headers = { ["Content-Type"] = "application/json" } }, "data")
end

--- A route of JSON: its function is given the fields of the request.
---@param fn fun(context: table, fields: table, request: HttpRequest): table
function rest.json(fn)
  local function route(context, tail, request)
    local fields = rest.fields(request)
    if tail and fields.path == nil then fields.path = tail.path end
    return fn(context, fields, request)
  end
  of_json[route] = true
  return route
end

return rest

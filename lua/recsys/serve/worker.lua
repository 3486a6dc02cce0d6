--- A worker's side of a serve recipe: loaded in its Lua state (runtime/bind/recipe_workers.c), it turns calls into what
--- handlers get, and what they give into replies.

local json = require "recsys.json"
local serve_recipe = require "recsys.serve_recipe"

local Request = {}

--- request.json is the body as a value, read when it is first asked for.
function Request.__index(request, name)
  if name ~= "json" then return nil end
  local ok, value = pcall(json.decode, request.body)
  if not ok or value == nil then error({ status = 400, code = "bad_request", message = "the body is no JSON" }, 0) end
  rawset(request, "json", value)
  return value
end

local function failure(status, code, message)
  return status, "application/json", json.encode { error = { code = code, message = message, path = "" } } .. "\n"
end

--- What a handler gives: a value, and perhaps a status and a type of its text.
local function reply(value, status, kind)
  if value == nil then return status or 204, "text/plain; charset=utf-8", "" end
  if type(value) == "string" then return status or 200, kind or "text/plain; charset=utf-8", value end
  return status or 200, "application/json", json.encode(value) .. "\n"
end

--- Call a handler; error { status = 4xx, message } within it is the caller's to hear, all else the log's.
local function call(handler, ...)
  local results = table.pack(pcall(handler, ...))
  if results[1] then return reply(table.unpack(results, 2, results.n)) end
  local problem = results[2]
  if type(problem) == "table" and math.tointeger(problem.status) and problem.status >= 400 and problem.status < 500 then
    return failure(math.tointeger(problem.status), problem.code or "bad_request", tostring(problem.message or ""))
  end
  error(problem, 0)
end

-- Fields of requests and answers that are lists: an empty one is a table like any other, and is written as a list.
local lists = { items = true, answers = true, reasons = true, history = true, users = true, errors = true,
  exclude = true }

local function mark_lists(value)
  if type(value) ~= "table" then return value end
  for name, part in pairs(value) do
    mark_lists(part)
    if lists[name] and type(part) == "table" and next(part) == nil then json.list(part) end
  end
  return value
end

--- The server as handlers see it.
local function server_over(inner)
  local server = {}

  --- One of the server's own routes, asked in place: a value | nil, message, status.
  function server.call(_, method, path, body)
    if type(body) == "table" then body = json.encode(mark_lists(body)) end
    local status, text = inner(method, path, body)
    local ok, value = pcall(json.decode, text)
    if status >= 200 and status < 300 then return ok and mark_lists(value) or text end
    return nil, ok and type(value) == "table" and value.error and value.error.message or text, status
  end

  function server.recommend(self, asked) return self:call("POST", "/recommend", asked) end
  function server.similar(self, asked) return self:call("POST", "/similar", asked) end
  function server.score(self, asked) return self:call("POST", "/score", asked) end

  --- End the handler: the caller hears this.
  function server.refuse(_, status, message) error({ status = status, message = message }, 0) end
  return server
end

--- POST /recommend with the recipe's hooks around it.
local function hooked(recipe)
  return function(request, server)
    local asked = request.json
    if recipe.before then
      local given, status = recipe.before(asked, server, request)
      if status then return given, status end
      asked = given or asked
    end
    local answer, message, status = server:recommend(asked)
    if answer == nil then error({ status = status, message = message }, 0) end
    return recipe.after and recipe.after(answer, server, request) or answer
  end
end

--- Load the recipe at 'path'.
---@param inner fun(method: string, path: string, body?: string): integer, string
---@param log fun(text: string)
---@return { method: string, path: string }[] routes
---@return fun(route: integer, request: table): integer, string, string answer
return function(path, inner, log)
  local recipe, server = serve_recipe.load(path), server_over(inner)
  local routes = table.move(recipe.routes, 1, #recipe.routes, 1, {})
  if recipe.before or recipe.after then
    routes[#routes + 1] = { method = "POST", path = "/recommend", names = {}, handler = hooked(recipe) }
  end
  server.log = function(_, text) log(tostring(text)) end
  return routes, function(number, request)
    local route = routes[number]
    for i, name in ipairs(route.names) do request.parts[name] = request.parts[i] end
    return call(route.handler, setmetatable(request, Request), server)
  end
end

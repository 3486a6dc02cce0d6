--- A worker's side of a serve recipe: loaded in its Lua state (runtime/bind/recipe_workers.c), it turns calls into what
--- handlers get, and what they give into replies.

local json = require "recsys.json"
local serve_recipe = require "recsys.serve_recipe"

local pcall, xpcall = pcall, xpcall -- the recipe's let refusals through (confine)

local refused -- what server:refuse has raised in the call that is at hand

local Request = {}

--- request.json is the body as a value, read when it is first asked for: as strictly as the server's own routes read.
function Request.__index(request, name)
  if name ~= "json" then return nil end
  local value, message = json.exact(request.body)
  if value == nil then error({ status = 400, code = "bad_json", message = "the body is no JSON: " .. message }, 0) end
  rawset(request, "json", value)
  return value
end

local function failure(status, code, message)
  return status, "application/json", json.encode { error = { code = code, message = message } } .. "\n"
end

--- Raise unless 'value' is all JSON can say: no NaN, no table that is a list and an object, or within itself.
local function check_value(value, within)
  if type(value) == "number" and (value ~= value or value == math.huge or value == -math.huge) then
    error("JSON has no NaN and no infinity", 0)
  end
  if type(value) ~= "table" then return end
  if within[value] then error("a table stands within itself", 0) end
  within[value] = true
  local names, numbers = false, false
  for key, part in next, value do
    if type(key) == "number" then numbers = true else names = true end
    check_value(part, within)
  end
  if names and numbers then error("a table is a list and an object", 0) end
  within[value] = nil
end

local function encode(value)
  check_value(value, {})
  return json.encode(value)
end

--- What a handler gives: a value, and perhaps a status and a type of its text.
local function reply(value, status, kind)
  if status ~= nil and not (math.tointeger(status) and status >= 200 and status <= 599) then
    error("the status is no whole number of 200 to 599: " .. tostring(status), 0)
  end
  if kind ~= nil and not (type(kind) == "string" and #kind < 128 and kind:find "^[\32-\126]+$") then
    error("the media type is no text of fewer than 128 plain characters: " .. tostring(kind), 0)
  end
  status = math.tointeger(status)
  if value == nil then return status or 204, "text/plain; charset=utf-8", "" end
  if type(value) == "string" then return status or 200, kind or "text/plain; charset=utf-8", value end
  return status or 200, "application/json", encode(value) .. "\n"
end

--- The reply of what a handler gave; raises with the line of the recipe's function, as what it gave has none.
local function reply_of(handler, ...)
  local given = table.pack(pcall(reply, ...))
  if given[1] then return table.unpack(given, 2, given.n) end
  local from = debug.getinfo(handler, "S")
  error(("%s:%d: what the handler gives cannot be answered: %s"):format(from.short_src, from.linedefined,
    tostring(given[2])), 0)
end

--- Call a handler; server:refuse and error { status = 4xx, message } within it are the caller's to hear, all else the
--- log's.
local function call(route, ...)
  refused = nil
  local results = table.pack(pcall(route.handler, ...))
  if refused then return failure(refused.status, refused.code, refused.message) end
  if results[1] then return reply_of(route.origin or route.handler, table.unpack(results, 2, results.n)) end
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

--- An answer's text as a value | nil, message. The fast reader's numbers are doubles: where one has more digits than
--- these hold, the exact one reads.
local function value_of(text)
  if text:find("%f[%w.]%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d") then return json.exact(text) end
  return json.decode(text)
end

--- The server as handlers see it.
local function server_over(inner)
  local server = {}

  --- One of the server's own routes, asked in place: a value | nil, message, status.
  function server.call(_, method, path, body)
    if type(body) == "table" then body = encode(mark_lists(body)) end
    local status, text = inner(method, path, body)
    local ok, value = pcall(value_of, text)
    if status >= 200 and status < 300 then return ok and mark_lists(value) or text end
    return nil, ok and type(value) == "table" and value.error and value.error.message or text, status
  end

  function server.recommend(self, asked) return self:call("POST", "/recommend", asked) end
  function server.similar(self, asked) return self:call("POST", "/similar", asked) end
  function server.score(self, asked) return self:call("POST", "/score", asked) end

  --- End the handler: the caller hears this, even if something catches it.
  function server.refuse(_, status, message)
    local whole = math.tointeger(status)
    if not whole or whole < 400 or whole > 599 then
      error("server:refuse takes a status of 400 to 599, not " .. tostring(status), 2)
    end
    refused = { status = whole, code = whole < 500 and "bad_request" or "unavailable",
      message = tostring(message or "") }
    error(refused, 0)
  end
  return server
end

--- What a hook gives in place of 'value', which it may have changed: a table.
local function given_or(hook, name, given, value)
  if given == nil or given == false then return value end
  if type(given) == "table" then return given end
  local from = debug.getinfo(hook, "S")
  error(("%s:%d: '%s' gives a %s, not a table"):format(from.short_src, from.linedefined, name, type(given)), 0)
end

--- What 'before' makes of a request, as text; or, of a body that is no request for it to see, nil, why.
---@return string? body
---@return any instead, integer? status  its own answer, where it gives a status
local function asked_of(before, request, server)
  local asked, message = json.exact(request.body)
  if type(asked) ~= "table" or json.is_list(asked) then return nil, message or "it is no object" end
  rawset(request, "json", asked)
  local given, status = before(asked, server, request)
  if status then return nil, given, status end
  asked = given_or(before, "before", given, asked)
  local fine, text = pcall(encode, mark_lists(asked))
  if fine then return text end
  local from = debug.getinfo(before, "S")
  error(("%s:%d: what 'before' makes cannot be asked: %s"):format(from.short_src, from.linedefined, text), 0)
end

--- POST /recommend with the recipe's hooks around it. Where nothing is to be changed texts stay what they are. What the
--- server itself takes is not of the hooks' time: it may be the answer to a thousand users.
local function hooked(recipe, inner)
  local before, after = recipe.before, recipe.after
  return function(request, server)
    local body, instead, given_status = request.body, nil, nil
    if before then body, instead, given_status = asked_of(before, request, server) end
    if given_status then return instead, given_status end
    local status, text = inner("POST", "/recommend", body or request.body, true)
    if not body and status < 400 then error({ status = 400, code = "bad_json", message = instead }, 0) end
    if status ~= 200 or not after then return text, status, "application/json" end
    local answer = mark_lists(assert(value_of(text)))
    return given_or(after, "after", after(answer, server, request), answer)
  end
end

--- What a protected call gives, unless that is the refusal at hand.
local function passing(...)
  local ok, problem = ...
  if not ok and refused and rawequal(problem, refused) then error(problem, 0) end
  return ...
end

--- Have the recipe's protected calls let refusals through. What is to be closed is closed on their way.
local function let_refusals_through()
  local resume = coroutine.resume
  rawset(_G, "pcall", function(...) return passing(pcall(...)) end)
  rawset(_G, "xpcall", function(f, handler, ...)
    local function unless_refused(problem)
      if refused and rawequal(problem, refused) then return problem end
      return handler(problem)
    end
    return passing(xpcall(f, unless_refused, ...))
  end)
  rawset(coroutine, "resume", function(...) return passing(resume(...)) end)
end

--- Take away what would escape the limits or end the server: Lua runs finalisers without hooks, so a loop in one has no
--- end. The program's own modules close their files by them.
local function confine()
  local info = debug.getinfo
  local own = info(1, "S").source:match "^(.*/)serve/worker%.lua$"
  local function is_foreign(finaliser)
    return type(finaliser) ~= "function" or not own or info(finaliser, "S").source:sub(1, #own) ~= own
  end
  local function refusing(set)
    return function(value, meta)
      local finaliser = type(meta) == "table" and rawget(meta, "__gc")
      if finaliser and is_foreign(finaliser) then
        error("a serve recipe's tables have no __gc: finalisers are not within the time limit", 2)
      end
      return set(value, meta)
    end
  end
  rawset(_G, "setmetatable", refusing(setmetatable))
  rawset(debug, "setmetatable", refusing(debug.setmetatable))
  let_refusals_through()
  rawset(os, "exit", function() error("a serve recipe does not end the server", 2) end)
  rawset(debug, "sethook", function() error("a serve recipe's hook is the time limit's", 2) end)
end

--- Load the recipe at 'path', whose file holds 'text'.
---@param path string
---@param text string
---@param inner fun(method: string, path: string, body?: string): integer, string
---@param log fun(text: string)
---@return { method: string, path: string }[] routes
---@return fun(route: integer, request: table): integer, string, string answer
---@return string signature  the routes, one a line
return function(path, text, inner, log)
  confine()
  local recipe, server = serve_recipe.load(path, text), server_over(inner)
  local routes = table.move(recipe.routes, 1, #recipe.routes, 1, {})
  if recipe.before or recipe.after then
    routes[#routes + 1] = { method = "POST", path = "/recommend", names = {}, handler = hooked(recipe, inner),
      origin = recipe.before or recipe.after }
  end
  local signature = {}
  for i, route in ipairs(routes) do signature[i] = route.method .. " " .. route.path end
  server.log = function(_, line) log(tostring(line)) end
  return routes, function(number, request)
    local route = routes[number]
    for i, name in ipairs(route.names) do request.parts[name] = request.parts[i] end
    return call(route, setmetatable(request, Request), server)
  end, table.concat(signature, "\n")
end

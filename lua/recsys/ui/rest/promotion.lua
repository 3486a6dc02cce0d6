--- Promotion and rollback for the page, below /api/recsys/: what the gate says, and doing it (docs/registry.md).

local catalogue = require "recsys.registry.catalogue"
local guard = require "recsys.ui.guard"
local promotion = require "recsys.registry.promotion"
local rest = require "recsys.ui.rest"

local routes = {}

local function invalid(name, wanted)
  rest.refuse("INVALID_PARAMETER_VALUE", "Invalid value for parameter '%s' supplied: %s.", name, wanted)
end

--- A text of a request, nil when it is absent or empty.
local function text(fields, name)
  local value = fields[name]
  if value == nil or value == "" then return nil end
  return type(value) == "string" and value or invalid(name, "it must be a text")
end

local function need(fields, name)
  rest.need(fields, name)
  return text(fields, name)
end

--- Why something is done, in words.
local function reason(fields)
  local why = need(fields, "reason")
  return why:find "%S" and why or invalid("reason", "why it is done, in words")
end

--- What a request says of a promotion. Gates are words in one text: "ndcg_10 recall_50:-1%".
local function request_of(fields)
  local version = math.tointeger(tonumber(rest.need(fields, "version"))) or invalid("version", "a whole number")
  if fields.no_gate ~= nil and type(fields.no_gate) ~= "boolean" then invalid("no_gate", "true or false") end
  local gates = {}
  for word in (text(fields, "gates") or ""):gmatch "[^%s,]+" do gates[#gates + 1] = word end
  return { name = need(fields, "name"), version = version, alias = text(fields, "alias"), gates = gates,
    no_gate = fields.no_gate }
end

--- Call fn(opened, request); a bundle that is not there, or not whole, is a refusal like others: nil, message.
local function ask(context, fn, request)
  local opened <close> = catalogue.open(context.store.folder .. "/models")
  local result = table.pack(pcall(fn, opened, request))
  local problem = result[2]
  if result[1] then return table.unpack(result, 2, result.n) end
  if type(problem) ~= "table" or problem.code ~= "failed" then error(problem, 0) end
  return nil, problem.message
end

local function route(name, fn)
  routes[name:gsub(" ", " recsys/", 1)] = rest.json(fn)
end

--- What a promotion would find: { holder, passed, gate, refusal }.
route("GET promote", function(context, fields)
  local found, refusal = ask(context, promotion.preview, request_of(fields))
  return found or { passed = false, damaged = true, refusal = refusal }
end)

route("POST promote", function(context, fields, http_request)
  local request = request_of(fields)
  request.reason, request.by = reason(fields), guard.client(http_request)
  local event, refusal = ask(context, promotion.promote, request)
  if not event then rest.refuse("RESOURCE_CONFLICT", "%s", refusal) end
  return { event = event }
end)

--- What a rollback would do: { alias, from, to }.
route("GET rollback", function(context, fields)
  return ask(context, promotion.before, { name = need(fields, "name"), alias = text(fields, "alias") })
end)

route("POST rollback", function(context, fields, http_request)
  local event, refusal = ask(context, promotion.rollback, { name = need(fields, "name"), alias = text(fields, "alias"),
    reason = reason(fields), by = guard.client(http_request) })
  if not event then rest.refuse("RESOURCE_CONFLICT", "%s", refusal) end
  return { event = event }
end)

return routes

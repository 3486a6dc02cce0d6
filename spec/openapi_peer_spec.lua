--- lua/recsys/serve/openapi.json is OpenAPI, and spec/support/openapi.lua judges real answers, and answers that are
--- spoilt, as Python's jsonschema does.

local cjson = require "cjson.safe"
local command = require "spec.support.command"
local json = require "recsys.json"
local openapi = require "spec.support.openapi"
local serving = require "spec.support.serving"

local python = os.getenv "RECSYS_PEER_PYTHON"

--- A reference to a part of the document.
local function pointer(...)
  local parts = {}
  for i, part in ipairs { ... } do parts[i] = part:gsub("~", "~0"):gsub("/", "~1") end
  return "#/" .. table.concat(parts, "/")
end

--- Answers of all routes, as they came: { schema, value }.
local function answers()
  local list = {}
  local function ask(method, path, body)
    local reply, value = serving.ask(method, path, body)
    local item = openapi.document.paths[path]
    local response = item and item[method:lower()] and item[method:lower()].responses[tostring(reply.status)]
    local content = response and response.content and response.content["application/json"]
    if not value then return end
    if content then
      list[#list + 1] = { value = reply.body, schema = pointer("paths", path, method:lower(), "responses",
        tostring(reply.status), "content", "application/json", "schema") }
    else
      list[#list + 1] = { schema = "#/components/schemas/" .. (reply.status == 503 and "Readiness" or "Error"),
        value = reply.body }
    end
  end
  for _, path in ipairs { "/ready", "/version", "/openapi.json", "/nothing", "/execution-parameters", "/models" } do
    ask("GET", path)
  end
  for _, body in ipairs { { user = "u1" }, { user = "new", fields = { platform = "ios" } }, { history = { "i9" } },
    { users = { "u1", { user = "u2", k = -1 } } }, { user = "u1", k = 0 }, { user = "u1", x = 1 },
    { user = "u1", freshness = { boost = 1, half_life = "3d" } } } do
    ask("POST", "/recommend", body)
    ask("POST", "/invocations", body)
  end
  ask("POST", "/similar", { items = { "i1", "gone" } })
  ask("POST", "/score", { user = "u1", items = { "i1", "gone" } })
  ask("POST", "/embed", { items = { "i1", "gone" } })
  ask("POST", "/embed", { user = "u1" })
  ask("POST", "/admin/reload")
  return list
end

--- A deep copy in which the n-th place that is no table is spoilt, or a field added; nil when there are fewer places.
local function spoilt(value, n)
  local left = n
  local function copy(from)
    if type(from) ~= "table" then
      left = left - 1
      if left ~= 0 then return from end
      if type(from) == "boolean" then return 3 end
      return type(from) == "number" and "x" or from == cjson.null and false or true
    end
    local to = {}
    local keys = {}
    for key in pairs(from) do keys[#keys + 1] = key end
    table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
    for _, key in ipairs(keys) do to[key] = copy(from[key]) end
    if #from == 0 and next(from) ~= nil then
      left = left - 1
      if left == 0 then to.nothing_of_this_name = 1 end
    end
    return to
  end
  local made = copy(value)
  return left <= 0 and made or nil
end

describe("openapi.json", function()
  if not python then pending "set RECSYS_PEER_PYTHON to a Python with jsonschema and openapi-spec-validator" return end

  setup(function()
    serving.start()
    serving.open()
  end)
  teardown(serving.stop)

  it("is judged by our validator as by jsonschema", function()
    local lines, wrong = {}, 0
    local function add(schema, text)
      local fits = openapi.wrong({ ["$ref"] = schema }, assert(cjson.decode(text))) == nil
      wrong = wrong + (fits and 0 or 1)
      lines[#lines + 1] = json.encode { schema = schema, value = text, fits = fits }
    end
    for _, one in ipairs(answers()) do
      add(one.schema, one.value)
      local value = cjson.decode(one.value)
      for n = 1, 60 do
        local made = not one.schema:find "openapi.json" and spoilt(value, n)
        if not made then break end
        local text = cjson.encode(made)
        if not text:find "{}" then add(one.schema, text) end -- which cjson means for an empty list as well
      end
    end
    assert.is_true(wrong > 200, wrong)
    local folder = command.scratch(finally)
    command.write(folder .. "/lines", table.concat(lines, "\n") .. "\n")
    local ran = command.run(("'%s' spec/peers/openapi_check.py lua/recsys/serve/openapi.json <'%s/lines'"):format(
      python, folder))
    assert.equal(0, ran.code, ran.out .. ran.err)
    assert.equal(("%d fit, %d do not\n"):format(#lines - wrong, wrong), ran.out)
  end)
end)

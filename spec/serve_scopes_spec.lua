--- What a token may do: each operation of openapi.json asks for the scope that it names there and in docs/serving.md.

local command = require "spec.support.command"
local http = require "recsys.http"
local json = require "recsys.json"
local openapi = require "spec.support.openapi"
local serving = require "spec.support.serving"

local scopes = { "use", "write", "metrics", "admin" }

local function token_of(scope) return scope .. "-token-of-many-letters" end

--- The operations: { method, path, scope }, the scope false where no token is asked for.
local function operations()
  local list = {}
  for path, item in pairs(openapi.document.paths) do
    for method, operation in pairs(item) do
      if method ~= "parameters" then
        local security = assert(operation.security, path)
        local last = security[#security]
        local scope = last and assert(last.token[1], path) or false
        list[#list + 1] = { method = method:upper(), path = path, scope = scope }
      end
    end
  end
  return list
end

describe("the scopes of tokens", function()
  local client

  setup(function()
    local lines = {}
    for i, scope in ipairs(scopes) do lines[i] = ("%s %s %s"):format(scope, scope, token_of(scope)) end
    serving.start()
    serving.open { events = serving.folder .. "/online.db", token_text = table.concat(lines, "\n") }
    client = assert(http.client { timeout_ms = 20000 })
  end)
  teardown(function()
    client:close()
    serving.stop()
  end)

  local function ask(operation, token)
    local path = operation.path:gsub("{%w+}", "nobody")
    return assert(client:request { method = operation.method, url = serving.opened:url() .. path,
      body = operation.method == "POST" and "{}" or nil,
      headers = { ["Content-Type"] = "application/json", Authorization = token and "Bearer " .. token or nil } })
  end

  it("are asked for as openapi.json says, and a refusal names the one that is wanted", function()
    local told = 0
    for _, operation in ipairs(operations()) do
      local what = operation.method .. " " .. operation.path
      assert.equal(operation.scope and 401 or 200, ask(operation).status, what)
      for _, scope in ipairs(operation.scope and scopes or {}) do
        local reply = ask(operation, token_of(scope))
        local allowed = scope == operation.scope or scope == "admin"
        local let_in = reply.status ~= 403 and reply.status ~= 401
        assert.equal(allowed, let_in, ("%s by %s: %d"):format(what, scope, reply.status))
        if not allowed then
          local trouble = json.decode(reply.body).error
          assert.equal("scope", trouble.code)
          assert.truthy(trouble.message:find(("the scope '%s'"):format(operation.scope), 1, true), trouble.message)
          told = told + 1
        end
      end
    end
    assert.is_true(told > 40, told)
  end)

  it("stand in docs/serving.md, each operation in the row of its scope", function()
    local rows = {}
    for scope, text in command.read("docs/serving.md"):gmatch "\n| ([^|\n]+) | ([^\n]*) |" do rows[scope] = text end
    local names = { use = "`use`", write = "`write`", metrics = "`metrics`", admin = "`admin`, or `all`" }
    for _, operation in ipairs(operations()) do
      local row = rows[operation.scope and names[operation.scope] or "none is needed"]
      local what = ("`%s %s`"):format(operation.method, operation.path)
      assert.truthy(row and row:find(what, 1, true), what)
    end
  end)

  it("let who may ask not change or see what is kept", function()
    local use, write = token_of "use", token_of "write"
    for _, path in ipairs { "/users", "/users/u1" } do
      assert.equal(403, ask({ method = "GET", path = path }, use).status)
      assert.equal(200, ask({ method = "GET", path = path }, write).status)
    end
    assert.equal(403, ask({ method = "DELETE", path = "/users/u1" }, use).status)
    local past = json.decode(ask({ method = "GET", path = "/users/u1" }, write).body)
    assert.equal(3, past.events)
    assert.equal(200, ask({ method = "DELETE", path = "/users/u1" }, write).status)
    past = json.decode(ask({ method = "GET", path = "/users/u1" }, write).body)
    assert.equal(0, past.events)
  end)

  it("are those of the route that a recipe's handler stands before, else 'use'", function()
    local program = require "spec.support.serve_program"
    command.write(serving.folder .. "/own.lua", [[
      local function answer() return { own = true } end
      return require("recsys").serve_recipe { handlers = { ["POST /events"] = answer, ["GET /shelf"] = answer } }]])
    local words = { serving.folder .. "/own.lua", "--bundle", serving.path, "--workers", "1", "--no-events" }
    local one = program.start(words, nil,
      { ("RECSYS_SERVE_TOKENS=app use %s; clicks write %s"):format(token_of "use", token_of "write") })
    assert(one.url, one.err)
    local function statuses(method, path)
      local list = {}
      for i, scope in ipairs { "use", "write" } do
        list[i] = program.ask(one, method, path, method == "POST" and {} or nil,
          { Authorization = "Bearer " .. token_of(scope) }).status
      end
      return list
    end
    assert.same({ 403, 200 }, statuses("POST", "/events"))
    assert.same({ 200, 403 }, statuses("GET", "/shelf"))
    assert.equal(0, program.stop(one, "sigterm"))
  end)

  it("tell a token that is not known from none", function()
    assert.matches("a token is needed", ask({ method = "GET", path = "/version" }).body)
    local other = ask({ method = "GET", path = "/version" }, "some-other-token-here")
    assert.equal(401, other.status)
    assert.matches("none that this server knows", other.body)
  end)
end)

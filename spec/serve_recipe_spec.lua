--- Serve recipes: handlers in Lua beside the server's routes, one state a worker, within their time and memory.

local command = require "spec.support.command"
local program = require "spec.support.serve_program"
local serve_recipe = require "recsys.serve_recipe"
local tiny = require "spec.support.tiny_model"
local uv = require "luv"

local folder, server

local source = [[
local recsys = require "recsys"
local calls, closed, reached = 0, 0, 0

return recsys.serve_recipe {
  about = "handlers that do all sorts of things",
  bundle = %q,
  limits = { time = 0.1, memory = 24 },
  handlers = {
    ["GET /hello"] = function(request) return "hello " .. (request.query.name or "you") end,
    ["POST /echo/{what}/{how}"] = function(request)
      return { what = request.parts.what, how = request.parts.how, json = request.json, method = request.method }, 201
    end,
    ["GET /nothing"] = function() end,
    ["POST /plain"] = function(request, server) return assert(server:recommend { user = request.body, k = 1 }) end,
    ["GET /page"] = function() return "<p>hi</p>", 200, "text/html" end,
    ["GET /count"] = function()
      calls = calls + 1
      return { calls = calls }
    end,
    ["GET /refused"] = function(_, server) server:refuse(409, "not today") end,
    ["GET /refused/{how}"] = function(request, server)
      local function refuse() server:refuse(404, "not here") end
      local tidy <close> = setmetatable({}, { __close = function()
        assert(not pcall(error, "in passing"))
        closed = closed + 1
      end })
      local ways = {
        pcall = function() pcall(server.refuse, server, 404, "not here") end,
        xpcall = function() xpcall(refuse, function() return "caught" end) end,
        resume = function() coroutine.resume(coroutine.create(refuse)) end,
        wrap = function() pcall(coroutine.wrap(refuse)) end,
        deep = function() pcall(xpcall, pcall, print, refuse) end,
        reader = function() load(refuse) end,
      }
      ways[request.parts.how]()
      if request.parts.how ~= "reader" then reached = reached + 1 end
    end,
    ["GET /unrefused"] = function(_, server)
      local co = coroutine.create(function(x) return x + coroutine.yield(1) end)
      return { pcall = { pcall(error, "a") }, xpcall = { xpcall(error, function(e) return e .. "!" end, "b") },
        fine = { pcall(math.max, 1, 2) }, first = { coroutine.resume(co, 5) }, second = { coroutine.resume(co, 6) },
        closed = closed, reached = reached, status = { pcall(server.refuse, server, 200, "fine") } }
    end,
    ["GET /unavailable"] = function(_, server) server:refuse(503, "later") end,
    ["GET /broken"] = function(request)
      return request.nothing.at_all -- line 46
    end,
    ["GET /forever"] = function() while true do end end,
    ["GET /stubborn"] = function()
      while true do pcall(function() while true do end end) end
    end,
    ["GET /coroutines"] = function()
      while true do coroutine.wrap(function() while true do end end)() end
    end,
    ["GET /tidy"] = function()
      local held <close> = setmetatable({}, { __close = function() while true do end end })
      while true do end
    end,
    ["GET /greedy"] = function()
      local all = {}
      for i = 1, 1e9 do all[i] = ("x"):rep(1024) .. i end
    end,
    ["GET /server"] = function(_, server)
      local users = assert(server:call("GET", "/users?limit=3"))
      local nothing, message, status = server:call("GET", "/gone")
      return { users = users.users, of = users.of, nothing = nothing, message = message, status = status }
    end,
    ["GET /version"] = function(_, server)
      local version = server:call("GET", "/version")
      return { instead = version.live.version }
    end,
    ["GET /given/{what}"] = function(request) -- line 72
      local within = {}
      within.self = within
      local given = { status = { "x", 99 }, text = { "x", "200 OK" },
        type = { "x", 200, "text/html\r\nSet-Cookie: a=b" },
        mixed = { { 1, 2, a = 3 } }, nan = { { a = { 0 / 0 } } }, infinite = { { 1 / 0 } }, within = { within } }
      return table.unpack(given[request.parts.what])
    end,
    ["POST /log"] = function(request, server)
      server:log(request.body)
      error(request.body)
    end,
    ["GET /finaliser"] = function()
      setmetatable({}, { __gc = function() while true do end end })
      collectgarbage()
    end,
    ["GET /exit"] = function() os.exit(3) end,
  },
}
]]

local function ask(...) return program.ask(server, ...) end

--- The status of a call, and how many seconds it took.
local function timed(path)
  local begun = uv.hrtime()
  local reply, body = ask("GET", path)
  return reply.status, (uv.hrtime() - begun) / 1e9, body and body.error and body.error.code
end

describe("a serve recipe", function()
  setup(function()
    folder = command.temporary()
    local path = tiny.publish(tiny.build(), folder .. "/models")
    command.write(folder .. "/recipe.lua", source:format(path))
    server = program.start { folder .. "/recipe.lua", "--workers", "1", "--no-events" }
    assert(server.url, server.err)
  end)
  teardown(function()
    program.stop(server, "sigterm")
    command.remove(folder)
  end)

  it("answers by its handlers, beside the server's own routes", function()
    assert.equal("hello you", ask("GET", "/hello").body)
    local reply = ask("GET", "/hello?name=ann%20b")
    assert.same({ 200, "hello ann b", "text/plain; charset=utf-8" },
      { reply.status, reply.body, reply.headers["content-type"] })
    local status, body
    reply, body = ask("POST", "/echo/this/that", { a = { 1, 2 } })
    assert.same({ 201, { what = "this", how = "that", json = { a = { 1, 2 } }, method = "POST" } },
      { reply.status, body })
    status = ask("GET", "/nothing").status
    assert.equal(204, status)
    assert.equal("text/html", ask("GET", "/page").headers["content-type"])
    assert.equal(200, ask("GET", "/ping").status)
    assert.equal(405, ask("POST", "/ping", "{}").status)
    assert.equal(404, ask("GET", "/gone").status)
    reply = ask("POST", "/hello", "{}")
    assert.same({ 405, "GET, HEAD" }, { reply.status, reply.headers.allow })
    assert.equal("POST", ask("GET", "/echo/a/b").headers.allow)
  end)

  it("keeps its state within a worker", function()
    local _, first = ask("GET", "/count")
    local _, second = ask("GET", "/count")
    assert.equal(first.calls + 1, second.calls)
  end)

  it("asks the server itself, whose routes it may stand before", function()
    local _, body = ask("GET", "/server")
    assert.same({ 3, 6, 404 }, { #body.users, body.of, body.status })
    assert.matches("the server has no GET /gone", body.message)
    local reply, answer = ask("POST", "/plain", "u1", { ["Content-Type"] = "text/plain", Accept = "text/csv" })
    assert.same({ 200, "u1" }, { reply.status, answer.user })
    _, body = ask("GET", "/version")
    assert.same({ instead = "tiny-1" }, body)
  end)

  it("is told what the caller did wrong, and tells him", function()
    local reply, body = ask("GET", "/refused")
    assert.same({ 409, "not today" }, { reply.status, body.error.message })
    reply, body = ask("POST", "/echo/a/b", "no json", { ["Content-Type"] = "application/json" })
    assert.same({ 400, "bad_json", "the body is no JSON: line 1, column 1: no value stands here" },
      { reply.status, body.error.code, body.error.message })
    for _, text in ipairs { '{"a":NaN}', '{"a":1e400}', '{"a":1,"a":2}', "" } do
      assert.equal(400, ask("POST", "/echo/a/b", text, { ["Content-Type"] = "application/json" }).status)
    end
  end)

  it("ends where it refuses, whatever would catch that", function()
    local ways = { "pcall", "xpcall", "resume", "wrap", "deep", "reader" }
    for _, how in ipairs(ways) do
      local reply, body = ask("GET", "/refused/" .. how)
      assert.same({ how, 404, "not here" }, { how, reply.status, body and body.error.message })
    end
    local _, body = ask("GET", "/unrefused")
    assert.same({ closed = #ways, reached = 0, pcall = { false, "a" }, xpcall = { false, "b!" }, fine = { true, 2 },
      first = { true, 1 }, second = { true, 11 },
      status = { false, "server:refuse takes a status of 400 to 599, not 200" } }, body)
    local reply, later = ask("GET", "/unavailable")
    assert.same({ 503, "unavailable", "later" }, { reply.status, later.error.code, later.error.message })
  end)

  it("fails by 500, and its line stands in the log, not in the answer", function()
    local reply, body = ask("GET", "/broken", nil, { ["X-Request-Id"] = "r-17" })
    assert.same({ 500, "handler_failed", "the handler of this path failed" },
      { reply.status, body.error.code, body.error.message })
    assert.is_true(program.wait_for(server, "recipe.lua:46: attempt to index a nil value (field 'nothing')"))
    assert.is_true(program.wait_for(server, "GET /broken, request r-17: "))
  end)

  it("fails by 500 where what it gives is no answer", function()
    for what, why in pairs { status = "the status is no whole number", text = "the status is no whole number",
      type = "the media type is no text", mixed = "a table is a list and an object", nan = "JSON has no NaN",
      infinite = "JSON has no NaN", within = "a table stands within itself" } do
      local reply, body = ask("GET", "/given/" .. what)
      assert.same({ what, 500, { code = "handler_failed", message = "the handler of this path failed" } },
        { what, reply.status, body.error })
      assert.is_true(program.wait_for(server, "recipe.lua:72: what the handler gives cannot be answered: " ..
        why), what)
    end
  end)

  it("writes one line of a log, whatever its text holds", function()
    assert.equal(500, ask("POST", "/log", "a\nforged \27[31m\194\155ü", { ["Content-Type"] = "text/plain" }).status)
    assert.is_true(program.wait_for(server, "recsys-run: a\\x0aforged \\x1b[31m\\xc2\\x9bü\n"))
    assert.is_true(program.wait_for(server, ": a\\x0aforged \\x1b[31m\\xc2\\x9bü\n"))
    assert.is_nil(server.err:find("\27", 1, true))
  end)

  it("has no finalisers, and does not end the server", function()
    for path, why in pairs { ["/finaliser"] = "a serve recipe's tables have no __gc",
      ["/exit"] = "a serve recipe does not end the server" } do
      local reply, body = ask("GET", path)
      assert.same({ 500, "handler_failed" }, { reply.status, body.error.code })
      assert.is_true(program.wait_for(server, why))
    end
  end)

  it("is stopped when its time is over, whatever it does", function()
    for _, path in ipairs { "/forever", "/stubborn", "/coroutines", "/tidy" } do
      local status, seconds, code = timed(path)
      assert.same({ path, 504, "handler_time" }, { path, status, code })
      assert.is_true(seconds < 5, path .. " took " .. seconds)
    end
    assert.is_true(program.wait_for(server, "it takes more than the 100 ms that it has"))
    assert.is_true(program.wait_for(server, "recipe.lua:48: it takes"))
    assert.equal("hello you", ask("GET", "/hello").body)
    local _, body = ask("GET", "/count") -- by a new state: what the old one was at is half done
    assert.equal(1, body.calls)
  end)

  it("counts answers by the status that they have", function()
    local function counted(status)
      local text = program.ask(server, "GET", "/metrics").body
      return tonumber(text:match('recsys_requests_total{route="own",status="' .. status .. '"} (%d+)')) or 0
    end
    local before = { counted(201), counted(504), counted(200) }
    assert.equal(201, program.ask(server, "POST", "/echo/a/b", { x = 1 }).status)
    assert.equal(504, ask("GET", "/forever").status)
    ask("GET", "/hello")
    assert.same({ before[1] + 1, before[2] + 1, before[3] + 1, 0 }, { counted(201), counted(504), counted(200),
      counted(0) })
  end)

  it("fails by 500 when its memory is over", function()
    local reply, body = ask("GET", "/greedy")
    assert.is_true(reply.status == 500 and body.error.code == "handler_memory" or reply.status == 504)
    assert.equal("hello you", ask("GET", "/hello").body)
  end)

  it("gives the memory of its states back", function()
    if command.sanitized then return pending "a sanitized program keeps what it frees" end
    local function held()
      return tonumber(command.read(("/proc/%d/status"):format(server.pid)):match "RssAnon:%s*(%d+)") / 1024
    end
    ask("GET", "/greedy")
    local before = held()
    for _ = 1, 12 do
      ask("GET", "/greedy")
      ask("GET", "/forever")
    end
    assert.is_true(held() < before + 4, ("%.1f MiB, then %.1f"):format(before, held()))
    assert.is_true(held() < 16, held() .. " MiB") -- of 24 that each state may take
  end)

  it("ends the command with 2 when it is none", function()
    local function fails(text)
      command.write(folder .. "/bad.lua", text)
      local one = program.start { folder .. "/bad.lua", "--no-events" }
      assert.equal(2, program.stop(one))
      return one.err
    end
    assert.matches("returns no serve recipe", fails "return {}")
    assert.matches("bad.lua:1: ", fails "return nothing.at.all")
    assert.matches("bad.lua: it raises an error without a message", fails "error()")
    assert.matches("cannot read the serve recipe", fails "return {")
    assert.matches("names no bundle", fails "return require('recsys').serve_recipe {}")
    assert.matches("there is no field 'handler'", fails "return require('recsys').serve_recipe { handler = {} }")
  end)

  it("is told from a recipe that is run", function()
    local ran = command.run(command.program .. " recipes/serve_news.lua")
    assert.equal(2, ran.code)
    assert.matches("recipes/serve_news.lua is a serve recipe: recsys%-run serve recipes/serve_news.lua", ran.err)
  end)

  it("is checked where it is described", function()
    local function refused(spec)
      local ok, message = pcall(serve_recipe, spec)
      assert.is_false(ok)
      return message
    end
    local function f() end
    assert.matches("a handler's key is a method and a path", refused { handlers = { frontpage = f } })
    assert.matches("not 'PATCH /x'", refused { handlers = { ["PATCH /x"] = f } })
    assert.matches("at most two {parts}", refused { handlers = { ["GET /{a}/{b}/{c}"] = f } })
    assert.matches("at most two {parts}", refused { handlers = { ["GET /{a"] = f } })
    assert.matches("the handler of 'GET /x' is no function", refused { handlers = { ["GET /x"] = "x" } })
    assert.matches("use 'before' and 'after'", refused { handlers = { ["POST /recommend"] = f } })
    assert.matches("field 'before' must be a function", refused { before = 1 })
    assert.matches("there is no limit 'space'", refused { limits = { space = 1 } })
    for _, value in ipairs { 0, 1e12, 0 / 0, "1" } do
      assert.matches("'time' must be a number of seconds, 0.001 to 3600", refused { limits = { time = value } })
      assert.matches("'memory' must be a number of MiB, 1 to 1048576", refused { limits = { memory = value } })
    end
    assert.matches("'GET /x/{b}' and 'GET /x/{a}' are the same calls",
      refused { handlers = { ["GET /x/{a}"] = f, ["GET /x/{b}"] = f } })
    assert.matches("a table is expected", refused "x")
  end)

  describe("whose file changes", function()
    local one

    local function text(body)
      return ([[
        package.path = %q .. "/?.lua;" .. package.path
        local handlers = require "shelf"
        handlers["GET /forever"] = function() while true do end end
        %s
        return require("recsys").serve_recipe { handlers = handlers, limits = { time = 0.05 } }]]):format(folder, body)
    end

    local function told(path)
      local reply = program.ask(one, "GET", path)
      return reply.status, reply.body
    end

    setup(function()
      command.write(folder .. "/shelf.lua", "return {}")
      command.write(folder .. "/changing.lua", text 'handlers["GET /which"] = function() return "first" end')
      one = program.start { folder .. "/changing.lua", "--bundle", folder .. "/models/tiny-1.tar", "--workers", "1",
        "--no-events" }
      assert(one.url, one.err)
    end)
    teardown(function() program.stop(one, "sigterm") end)

    it("stays what it was, also in a state that is made anew", function()
      command.write(folder .. "/changing.lua", text 'handlers["GET /a"] = function() return "second" end')
      assert.equal(504, (told "/forever"))
      assert.same({ 200, "first" }, { told "/which" })
    end)

    it("is not mixed with modules that have other handlers now", function()
      command.write(folder .. "/shelf.lua", 'return { ["GET /a"] = function() return "other" end }')
      assert.equal(504, (told "/forever"))
      assert.equal(500, (told "/which"))
      assert.is_true(program.wait_for(one, "changing.lua has other handlers than when the server started: start"))
      command.write(folder .. "/shelf.lua", "return {}")
      assert.same({ 200, "first" }, { told "/which" })
    end)
  end)
end)

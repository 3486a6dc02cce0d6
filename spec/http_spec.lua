--- The HTTP server and client: what a handler sees, what a client gets, and what both refuse.

local command = require "spec.support.command"
local http = require "recsys.http"
local json = require "recsys.json"
local odd = require "spec.support.odd_server"
local uv = require "luv"

local server, client, folder, base

before_each(function()
  folder = command.temporary()
  server = assert(http.server { max_body = 1000000, max_memory = 1000, spool = folder })
  client = assert(http.client { timeout_ms = 5000 })
  base = ("http://127.0.0.1:%d"):format(server:port())
end)
after_each(function()
  server:close()
  client:close()
  command.remove(folder)
end)

--- The answer to a request, which 'handler' is given beside it.
local function ask(handler, request)
  request.url = base .. (request.url or "/")
  request.wait = function() server:step(0, handler) end
  return client:request(request)
end

describe("an HTTP request", function()
  it("reaches the handler decoded, and its answer the client", function()
    local seen
    local reply = assert(ask(function(request)
      seen = request
      return { status = 202, headers = { ["Content-Type"] = "text/x", ["X-Two"] = "b" }, body = "a\0b" }
    end, { method = "POST", url = "/a%20b/%C3%A9?x=1+2&y&x=%26", body = "b\0dy",
      headers = { ["Content-Type"] = "text/z", ["X-Empty"] = "" } }))
    assert.same({ "POST", "/a b/é", "/a%20b/%C3%A9?x=1+2&y&x=%26", "b\0dy", "127.0.0.1" },
      { seen.method, seen.path, seen.raw_path, seen.body, seen.address })
    assert.same({ { "x", "1 2" }, { "y", "" }, { "x", "&" } }, seen.query)
    assert.same({ "text/z", "", base:match "//(.*)" },
      { seen.headers["content-type"], seen.headers["x-empty"], seen.headers.host })
    assert.same({ 202, "a\0b", "text/x", "b" },
      { reply.status, reply.body, reply.headers["content-type"], reply.headers["x-two"] })
  end)

  it("with a large body leaves it in a file, which may be moved away", function()
    local body, kept = ("x"):rep(5000), folder .. "/kept"
    local reply = assert(ask(function(request)
      assert.is_nil(request.body)
      assert.equal(body, command.read(request.file))
      os.rename(request.file, kept)
      return { file = kept }
    end, { method = "PUT", body = body }))
    assert.same({ 200, body }, { reply.status, reply.body })
    assert.equal(body, command.read(kept))
    reply = assert(ask(function() error "too large" end, { method = "PUT", body = ("x"):rep(1000001) }))
    assert.equal(413, reply.status)
  end)

  it("is answered by 500 when its handler raises, which step passes on", function()
    local raised
    local reply = assert(client:request { url = base .. "/", wait = function()
      local ok, problem = pcall(server.step, server, 0, function() error({ code = "mine" }, 0) end)
      if not ok then raised = problem end
    end })
    assert.same({ 500, "mine" }, { reply.status, raised.code })
    reply = assert(ask(function() return { file = folder .. "/gone" } end, {}))
    assert.equal(500, reply.status)
    assert.truthy(reply.body:find("/gone: No such file or directory", 1, true))
  end)

  it("of a token or a user says so", function()
    local function authorization(options)
      client:close()
      client = assert(http.client(options))
      return assert(ask(function(request) return { body = request.headers.authorization or "none" } end, {})).body
    end
    assert.equal("none", authorization {})
    assert.equal("Bearer t0k", authorization { token = "t0k" })
    assert.equal("Basic dTpw", authorization { user = "u", password = "p", token = "t" })
  end)

  it("may be written to a file, when it succeeds", function()
    local into = folder .. "/into"
    command.write(into, "old")
    local reply = assert(ask(function() return { status = 404, body = "not here" } end, { into = into }))
    assert.same({ 404, "not here", "old" }, { reply.status, reply.body, command.read(into) })
    reply = assert(ask(function() return { body = "new" } end, { into = into }))
    assert.same({ 200, "", "new" }, { reply.status, reply.body, command.read(into) })
  end)
end)

describe("what is refused", function()
  it("names the option or header that is wrong", function()
    assert.has_error(function() http.server { prot = 1 } end, "bad argument #1 to 'server' (there is no option 'prot')")
    assert.has_error(function() http.server { port = 70000 } end,
      "bad argument #1 to 'server' (option 'port' must be 65535 at the most)")
    assert.has_error(function() client:request {} end, "bad argument #1 to 'request' (option 'url' must be a string)")
    assert.has_error(function() client:request { url = "x", headers = { 1 } } end,
      "headers must be a table, name -> value, of strings")
    assert.same({ nil, "the header 'X' cannot be sent", "argument" },
      { client:request { url = base, headers = { X = "a\r\nY: b" } } })
    client:close()
    assert.has_error(function() client:request { url = base } end,
      "calling 'request' on bad self (the client is closed)")
    server:close()
    assert.has_error(function() server:port() end, "calling 'port' on bad self (the server is closed)")
  end)

  it("by the world comes with its reason", function()
    local made, message, code = http.server { port = server:port() }
    assert.same({ nil, "io" }, { made, code })
    assert.truthy(message:find "cannot listen on 127.0.0.1, port %d+: Address already in use")
    server:close()
    made, message, code = client:request { url = base }
    assert.same({ nil, "io" }, { made, code })
    assert.truthy(message:find(base, 1, true))
  end)

  it("by a handler's answer raises from step", function()
    for _, case in ipairs { { "text", "a handler must return a table, not a string" },
      { { status = 99 }, "no status of an answer: 99" },
      { { headers = { X = "a\nb" } }, "the header 'X' cannot be sent" },
      { { body = {} }, "a body must be a string, not a table" } } do
      local raised
      local reply = assert(client:request { url = base, wait = function()
        local ok, problem = pcall(server.step, server, 0, function() return case[1] end)
        if not ok then raised = problem end
      end })
      assert.same({ 500, case[2] }, { reply.status, raised })
    end
  end)

  it("is a second request of a client that waits, and a request outlived by its client", function()
    local _, problem = pcall(client.request, client, { url = base, wait = function()
      client:request { url = base }
    end })
    assert.truthy(tostring(problem):find "under way")
    _, problem = pcall(client.request, client, { url = base, wait = function() client:close() end })
    assert.truthy(tostring(problem):find "was closed while it waited")
  end)
end)

describe("a request in a coroutine", function()
  it("waits beside the program, and is over when it is over or the coroutine is closed", function()
    local function get(path)
      return client:request { url = base .. path, wait = function() return coroutine.yield() end }
    end
    local answers, work = {}
    for _ = 1, 3 do -- what earlier coroutines leave to the collector is no business of later requests
      work = coroutine.create(function()
        for i = 1, 3 do answers[#answers + 1] = assert(get("/" .. i)).body end
      end)
      while coroutine.status(work) ~= "dead" do
        assert(coroutine.resume(work, 1))
        server:step(0, function(request) return { body = request.path } end)
        collectgarbage()
      end
    end
    assert.same({ "/1", "/2", "/3", "/1", "/2", "/3", "/1", "/2", "/3" }, answers)
    work = coroutine.create(get)
    assert(coroutine.resume(work, "/never"))
    assert.has_error(function() client:request { url = base } end)
    assert.is_true(coroutine.close(work))
    assert.equal("again", assert(client:request { url = base, wait = function()
      server:step(0, function() return { body = "again" } end)
    end }).body)
  end)
end)

describe("an announced request", function()
  it("comes whole when it is admitted, and is answered without its body else", function()
    server:close()
    server = assert(http.server { max_body = 1000000, max_memory = 1000, spool = folder, announce = true })
    base = ("http://127.0.0.1:%d"):format(server:port())
    local seen
    local function handler(request)
      seen[#seen + 1] = request.announced and "announced" or request.file and "a file" or #request.body
      if not request.announced then return { body = "all" } end
      assert.same({ nil, nil, "PUT", "100000" },
        { request.body, request.file, request.method, request.headers["content-length"] })
      return request.path == "/no" and { status = 403, body = "none" } or nil
    end
    local function put(path, size)
      seen = {}
      local reply = assert(ask(handler, { method = "PUT", url = path, body = ("x"):rep(size) }))
      return { reply.status, reply.body, table.unpack(seen) }
    end
    assert.same({ 200, "all", 900 }, put("/yes", 900))
    assert.same({ 200, "all", "announced", "a file" }, put("/yes", 100000))
    assert.same({ 403, "none", "announced" }, put("/no", 100000))
    assert.has_error(function() ask(function() return nil end, { body = "x", method = "PUT" }) end,
      "a handler must return a table, not a nil")
  end)
end)

describe("patience", function()
  local tcp, peer, taken, hasty

  --- A server that takes as much of a request as 'on_bytes' wants: the request's address.
  local function raw(on_bytes)
    tcp, taken = uv.new_tcp(), 0
    assert(tcp:bind("127.0.0.1", 0))
    tcp:listen(8, function()
      peer = uv.new_tcp()
      tcp:accept(peer)
      peer:recv_buffer_size(65536)
      peer:read_start(function(_, bytes)
        taken = taken + #(bytes or "")
        if bytes then on_bytes(peer) end
      end)
    end)
    return ("http://127.0.0.1:%d/"):format(tcp:getsockname().port)
  end

  local function ask_raw(request)
    request.wait = function() uv.run "nowait" return 5 end
    return hasty:request(request)
  end

  local function filled(bytes) return command.write(folder .. "/sent", ("x"):rep(bytes)) end

  before_each(function() hasty = assert(http.client { timeout_ms = 400 }) end)
  after_each(function()
    hasty:close()
    for _, handle in ipairs { tcp, peer } do handle:close() end
    uv.run "nowait"
  end)

  it("lasts while a file is on its way, however slowly", function()
    local size, began = 24 << 20, uv.hrtime()
    local reply = assert(ask_raw { method = "PUT", file = filled(size), url = raw(function(to)
      uv.sleep(2)
      if taken >= size then to:write "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" end
    end) })
    assert.equal(200, reply.status)
    assert.is_true(uv.hrtime() - began > 0.4e9)
  end)

  it("lasts while a file comes", function()
    local left = 15
    local url = raw(function(to)
      to:write "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n"
      local timer = uv.new_timer()
      timer:start(50, 50, function()
        left = left - 1
        to:write "x"
        if left == 0 then timer:close() end
      end)
    end)
    assert.equal(200, assert(ask_raw { url = url, into = folder .. "/got" }).status)
    assert.equal(("x"):rep(15), command.read(folder .. "/got"))
  end)

  it("ends with a server that takes a file and says nothing, or says nothing at all", function()
    local began = uv.hrtime()
    local _, message, code = ask_raw { method = "PUT", file = filled(1 << 20), url = raw(function() end) }
    assert.same({ "io", true }, { code, message:find "no answer for 0%.%d seconds" ~= nil }, message)
    assert.is_true(uv.hrtime() - began < 5e9)
    peer:close()
    tcp:close()
    assert.equal("io", select(3, ask_raw { url = raw(function() end) }))
  end)

  it("is not the server's to lose while the program is at something else", function()
    local patient <close> = assert(http.client { timeout_ms = 1500 })
    local asked
    local url = raw(function(to) to:write "HTTP/1.1 204 No Content\r\n\r\n" end)
    local reply = assert(patient:request { url = url, wait = function()
      uv.run "nowait"
      if taken > 0 and not asked then
        asked = true
        uv.sleep(1800)
      end
      return 0
    end })
    assert.equal(204, reply.status)
  end)
end)

describe("a server in a handler", function()
  it("may be closed", function()
    local reply, message = client:request { url = base, wait = function()
      if server then
        server:step(0, function() server:close() return {} end)
        server = pcall(server.port, server) and server or { close = function() end, step = function() end }
      end
    end }
    assert.is_nil(reply)
    assert.truthy(message:find(base, 1, true))
  end)
end)

describe("a load at a constant rate", function()
  local function get(path) return ("GET %s HTTP/1.1\r\nHost: x\r\n\r\n"):format(path) end

  it("is refused with the reason", function()
    local load, message, code = http.load { port = 1, rate = 10, seconds = 1, requests = { get "/" } }
    assert.is_nil(load)
    assert.equal("cannot connect to 127.0.0.1 port 1: Connection refused", message)
    assert.equal("io", code)
    assert.same({ nil, "load: 0 requests a second for 1 seconds", "argument" },
      { http.load { port = server:port(), seconds = 1, requests = { get "/" } } })
    assert.has_error(function() http.load { port = 1, rate = 1, seconds = 1, requests = { 1 } } end,
      "option 'requests' must be a list of strings")
    assert.has_error(function() http.load { port = 1, rate = 1, seconds = 1 } end,
      "bad argument #1 to 'load' (option 'requests' must be a list of strings)")
  end)

  it("asks in turns and gives each answer", function()
    local child = odd.start { folder = folder .. "/odd" }
    finally(function() child:stop() end)
    local load <close> = assert(http.load { port = tonumber(child.url:match "%d+$"), rate = 500, seconds = 0.1,
      requests = { get "/mlflow/runs/get", get "/mlflow/other" } })
    local seen = 0
    for number, status, body, latency in function() return load:next() end do
      assert.equal(number % 2 == 1 and 404 or 200, status)
      assert.equal(number % 2 == 1 and "there is none" or nil, json.decode(body).message)
      assert.is_true(latency > 0 and latency < 10)
      seen = seen + 1
    end
    assert.equal(50, seen)
    local summary = load:summary()
    assert.same({ 50, 25, 25, 0 }, { summary.due, summary.fine, summary.other, summary.failed })
    assert.match("^status 404: {", summary.why)
    assert.is_true(load:percentile(0.5) <= load:percentile(1))
  end)
end)

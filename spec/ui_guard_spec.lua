--- The server behind the page: who may ask it what.

local base64 = require "recsys.base64"
local files = require "recsys.files"
local guard = require "recsys.ui.guard"
local lfs = require "lfs"
local server = require "spec.support.ui_server"

local ask, refusal = server.ask, server.refusal

before_each(server.start)
after_each(server.stop)

describe("the guard", function()
  it("takes names of ours alone in Host headers", function()
    local function status(host) return ask("GET", "/health", nil, { Host = host }).status end
    for _, host in ipairs { "localhost", "LOCALHOST:5000", "127.0.0.1", "[::1]:5000", "localhost." } do
      assert.equal(200, status(host), host)
    end
    for _, host in ipairs { "evil.example", "evil.example:5000", "localhost.evil.example", "10.0.0.1", "localhost:x",
      "[::2]", "127.0.0.1@evil.example", "localhost, evil.example" } do
      assert.equal(403, status(host), host)
    end
    server.opened:close()
    server.open { names = { "Tracker.lan" } }
    assert.same({ 200, 403 }, { status "tracker.lan:80", status "other.lan" })
    local anywhere = guard.new { address = "0.0.0.0" }
    anywhere:check({ method = "GET", headers = { host = "10.0.0.1:5000" } }, true)
    assert.has_error(function() anywhere:check({ method = "GET", headers = { host = "evil.example" } }, true) end)
  end)

  it("lets no page of another site change anything", function()
    local function status(headers)
      return ask("POST", "/api/2.0/mlflow/experiments/search", {}, headers).status
    end
    local host = server.base:match "//(.*)"
    assert.same({ 200, 200, 200 }, { status {}, status { Origin = server.base }, status { Origin = "https://" .. host,
      ["Sec-Fetch-Site"] = "same-origin" } })
    for _, headers in ipairs { { Origin = "http://evil.example" }, { Origin = "null" },
      { Origin = server.base .. ".evil" },
      { ["Sec-Fetch-Site"] = "cross-site" }, { ["Sec-Fetch-Site"] = "same-site", Origin = server.base } } do
      assert.equal(403, status(headers))
    end
    local reply = ask("PUT", "/api/2.0/mlflow-artifacts/artifacts/0/x", "x", { Origin = "http://evil.example" })
    assert.equal(403, reply.status)
    assert.is_nil(reply.headers["access-control-allow-origin"])
    reply = ask("OPTIONS", "/api/2.0/mlflow/experiments/search", nil, { Origin = "http://evil.example",
      ["Access-Control-Request-Method"] = "POST" })
    assert.same({ 404, nil }, { reply.status, reply.headers["access-control-allow-origin"] })
  end)

  it("asks for the token, where there is one", function()
    server.opened:close()
    server.open { token = "s3cret" }
    local function status(authorization)
      return ask("GET", "/api/2.0/mlflow/experiments/search", nil, { Authorization = authorization }).status
    end
    assert.same({ 200, 200, 401, 401, 401, 401, 401 }, { status "Bearer s3cret", status "Basic dTpzM2NyZXQ=",
      status "Bearer s3cre", status "Bearer s3crets", status "Bearer ", status "Basic !", status "" })
    assert.same({ 401, "UNAUTHENTICATED" }, refusal(ask("GET", "/get-artifact?run_uuid=x&path=y")))
    assert.same({ 401, "UNAUTHENTICATED" }, refusal(ask("GET", "/api/recsys/runs")))
    assert.equal(200, ask("GET", "/health").status)
  end)

  it("is asked before a large body comes, which else is kept nowhere", function()
    server.opened:close()
    server.open { token = "s3cret" }
    local spool, put = server.folder .. "/artifacts/cache/uploads", "/api/2.0/mlflow-artifacts/artifacts/0/x/big"
    local function sent(path, headers, size)
      local seen = {}
      local file = server.folder .. "/sent"
      files.write(file, ("x"):rep(size or 20 << 20))
      headers.Authorization = headers.Authorization or "Bearer s3cret"
      local reply = assert(server.client:request { method = "PUT", url = server.base .. path, file = file,
        headers = headers,
        wait = function()
          for _ = 1, 20 do server.opened:step(0) end
          for _, name in ipairs(files.names(spool)) do seen[name] = true end
        end })
      return { reply.status, next(seen) ~= nil }
    end
    assert.same({ 200, true }, sent(put, {}))
    assert.same({ 401, false }, sent(put, { Authorization = "Bearer other" }))
    assert.same({ 401, false }, sent(put, { Authorization = "Bearer other", Expect = "" }, 15 << 20))
    assert.same({ 403, false }, sent(put, { Origin = "https://example.org" }))
    assert.same({ 403, false }, sent(put, { Host = "example.org" }))
    assert.same({ 404, false }, sent("/api/2.0/mlflow/nothing", {}))
    assert.same({ 404, false }, sent("/index.html", {}))
    assert.equal(20 << 20, lfs.attributes(server.folder .. "/artifacts/mlartifacts/0/x/big", "size"))
    local reply = ask("POST", "/api/2.0/mlflow/runs/log-batch", ("x"):rep(17 << 20),
      { Authorization = "Bearer s3cret", ["Content-Type"] = "application/json" })
    assert.same({ 400, "BAD_REQUEST" }, refusal(reply))
  end)

  it("reads Base64 as it is written", function()
    for bytes in pairs { [""] = 1, f = 1, fo = 1, foo = 1, ["\255\239\0"] = 1, ['{"offset": 100}'] = 1 } do
      assert.equal(bytes, base64.decode(base64.encode(bytes)))
    end
    assert.equal("eyJvZmZzZXQiOiAxMDB9", base64.encode '{"offset": 100}')
    for text, bytes in pairs { [""] = "", ["Zg=="] = "f", ["Zm8="] = "fo", ["Zm9v"] = "foo", ["/+8"] = "\255\239" } do
      assert.equal(bytes, base64.decode(text))
    end
    for _, text in ipairs { "a", "a===", "a b", "-_", "Zg=x" } do assert.is_nil(base64.decode(text)) end
  end)

  it("sends what keeps answers where they belong", function()
    local reply = ask("GET", "/api/2.0/mlflow/experiments/search")
    assert.same({ "nosniff", "DENY", "same-origin", "no-store" }, { reply.headers["x-content-type-options"],
      reply.headers["x-frame-options"], reply.headers["cross-origin-resource-policy"], reply.headers["cache-control"] })
  end)
end)

--- `recsys-run serve` with TLS, a rate, tokens of the environment, and a log that is moved away.

local command = require "spec.support.command"
local http = require "recsys.http"
local json = require "recsys.json"
local program = require "spec.support.serve_program"
local tiny = require "spec.support.tiny_model"
local uv = require "luv"

local folder, path

local wait = program.stop

local function start(words, settings)
  return program.start({ path, "--workers", "2", "--no-events", table.unpack(words) }, nil, settings)
end

local function stop(one) assert.equal(0, program.stop(one, "sigterm")) end

--- A certificate for 127.0.0.1 and its key, in the folder.
local function certificate(name)
  command.run(("cd '%s' && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=%s "
    .. "-addext subjectAltName=IP:127.0.0.1 -keyout %s.key -out %s.pem 2>openssl.log"):format(folder, name, name, name))
  return folder .. "/" .. name .. ".pem", folder .. "/" .. name .. ".key"
end

describe("recsys-run serve, guarded", function()
  setup(function()
    folder = command.temporary()
    path = tiny.publish(tiny.build(), folder .. "/models")
  end)
  teardown(function() command.remove(folder) end)

  it("speaks TLS with a certificate, and names the file that is wrong", function()
    local pem, key = certificate "one"
    local other_pem, other_key = certificate "two"
    local one = start { "--certificate", pem, "--key", key }
    assert.matches("^https://127%.0%.0%.1:%d+$", one.url)
    local trusting <close> = assert(http.client { ca = pem, timeout_ms = 10000 })
    local reply = assert(trusting:request { method = "POST", url = one.url .. "/recommend",
      body = '{"user":"u1","k":3}', headers = { ["Content-Type"] = "application/json" } })
    assert.equal(200, reply.status)
    local other <close> = assert(http.client { ca = other_pem, timeout_ms = 10000 })
    local none, message = other:request { url = one.url .. "/ping" }
    assert.is_nil(none)
    assert.matches("certificate", message)
    assert.is_nil((trusting:request { url = one.url:gsub("^https", "http") .. "/ping" }))
    stop(one)
    for _, wrong in ipairs { { pem, other_key, other_key }, { pem, folder .. "/gone", folder .. "/gone" },
      { key, key, key }, { pem, nil, "--certificate and --key need each other", 2 } } do
      one = start { "--certificate", wrong[1], wrong[2] and "--key" or nil, wrong[2] }
      assert.equal(wrong[4] or 1, wait(one))
      assert.truthy(one.err:find(wrong[3], 1, true), one.err)
    end
  end)

  it("grants requests by their rate", function()
    local one = start { "--rate", "1", "--burst", "3" }
    local client <close> = assert(http.client { timeout_ms = 10000 })
    local statuses = {}
    for i = 1, 5 do statuses[i] = assert(client:request { url = one.url .. "/version" }).status end
    assert.same({ 200, 200, 200, 429, 429 }, statuses)
    for _ = 1, 5 do assert.equal(200, assert(client:request { url = one.url .. "/ping" }).status) end
    local reply = assert(client:request { url = one.url .. "/version" })
    assert.equal("1", reply.headers["retry-after"])
    assert.equal("rate", json.decode(reply.body).error.code)
    stop(one)
  end)

  it("hears from trusted proxies who asks, for the rate and the log", function()
    local log = folder .. "/proxied.log"
    local one = start { "--rate", "1", "--burst", "1", "--trusted-proxies", "127.0.0.1,fd00::/8", "--access-log", log,
      "--log-addresses" }
    local client <close> = assert(http.client { timeout_ms = 10000 })
    local function status(list)
      return assert(client:request { url = one.url .. "/version", headers = { ["X-Forwarded-For"] = list } }).status
    end
    assert.equal(200, status "203.0.113.7")
    assert.equal(200, status "203.0.113.7, 203.0.113.8")
    assert.equal(429, status "203.0.113.9, 203.0.113.7")
    stop(one)
    local clients = {}
    for line in command.read(log):gmatch "[^\n]+" do clients[#clients + 1] = json.decode(line).client end
    assert.same({ "203.0.113.7", "203.0.113.8", "203.0.113.7" }, clients)
    for words, reason in pairs { ["proxy.lan"] = "'proxy.lan' is no address of a proxy", [""] = "is empty",
      ["10.0.0.1/8"] = "bits behind the 8", ["0.0.0.0/0"] = "'0.0.0.0/0' is everybody" } do
      one = start { "--trusted-proxies", words }
      assert.equal(2, wait(one))
      assert.truthy(one.err:find(reason, 1, true), one.err)
    end
  end)

  it("answers in names of its own alone, as the page of experiments does", function()
    local one = start { "--allow-host", "Shop.lan:80", "--allow-host", "b.example" }
    local client <close> = assert(http.client { timeout_ms = 10000 })
    local rule = require("recsys.ui.guard").new { names = { "shop.lan", "b.example" } }
    local function ask(host)
      return assert(client:request { url = one.url .. "/version", headers = { Host = host } })
    end
    local seen = { [200] = 0, [403] = 0 }
    for _, host in ipairs { "localhost", "LOCALHOST:5000", "127.0.0.1", "127.9.9.9:1", "[::1]:5000", "localhost.",
      "shop.lan", "SHOP.LAN.:80", "b.example:8080", "evil.example", "evil.example:5000", "localhost.evil.example",
      "10.0.0.1", "localhost:x", "[::2]", "127.evil.example", "127.0.0.1.evil", "lan", "shop.lan.evil" } do
      local taken = pcall(rule.check, rule, { method = "GET", headers = { host = host } }, true)
      local status = ask(host).status
      assert.equal(taken and 200 or 403, status, host)
      seen[status] = seen[status] + 1
    end
    assert.same({ [200] = 9, [403] = 10 }, seen)
    local told = json.decode(ask("evil.example").body).error
    assert.equal("host", told.code)
    assert.matches("%-%-allow%-host", told.message)
    stop(one)
    one = start({}, { "RECSYS_SERVE_TOKENS=shop use shop-token-0123456789" })
    assert.equal(401, ask("evil.example").status)
    stop(one)
    one = start { "--allow-host", "a b" }
    assert.equal(2, wait(one))
    assert.matches("'a b' is not the name of a host", one.err)
  end)

  it("listens on IPv6 as it is written in a URL", function()
    local socket = uv.new_tcp()
    local known = socket:bind("::1", 0)
    socket:close()
    if not known then return pending "this machine has no IPv6" end
    local one = start { "--host", "[::1]" }
    assert.matches("^http://%[::1%]:%d+$", one.url, 1, one.err)
    local client <close> = assert(http.client { timeout_ms = 10000 })
    assert.equal(200, assert(client:request { url = one.url .. "/version" }).status)
    stop(one)
  end)

  it("takes tokens from the environment", function()
    local one = start({}, { "RECSYS_SERVE_TOKENS=shop use shop-token-0123456789; ops metrics ops-token-0123456789" })
    local function status(place, token)
      local client <close> = assert(http.client { token = token, timeout_ms = 10000 })
      return assert(client:request { url = one.url .. place }).status
    end
    assert.equal(401, status "/version")
    assert.equal(200, status("/version", "shop-token-0123456789"))
    assert.equal(403, status("/metrics", "shop-token-0123456789"))
    assert.equal(200, status("/metrics", "ops-token-0123456789"))
    assert.equal(200, status "/ping")
    stop(one)
    one = start({}, { "RECSYS_SERVE_TOKENS=shop-token-0123456789" })
    assert.equal(1, wait(one))
    assert.matches("line 1 is not NAME SCOPES TOKEN", one.err)
    assert.falsy(one.err:find("shop-token", 1, true))
  end)

  it("counts what a full disk keeps from the log", function()
    local one = start { "--access-log", "/dev/full" }
    local client <close> = assert(http.client { timeout_ms = 10000 })
    local function dropped()
      local reply = assert(client:request { url = one.url .. "/metrics" })
      assert.equal(200, reply.status)
      return tonumber(reply.body:match "\nrecsys_access_log_dropped_total (%d+)")
    end
    for _ = 1, 200 do
      if dropped() >= 3 then break end
      uv.sleep(25)
    end
    assert.is_true(dropped() >= 3)
    stop(one)
  end)

  it("goes on with a new log when the old one was moved away", function()
    local log = folder .. "/access.log"
    local one = start { "--access-log", log }
    local client <close> = assert(http.client { timeout_ms = 10000 })
    local function ask(place) return assert(client:request { url = one.url .. place }) end
    local function await(happened)
      for _ = 1, 1000 do
        if happened() then return end
        uv.sleep(10)
      end
      error "it did not come to that in 10 s"
    end
    ask "/version?first=alice"
    await(function() return command.read(log) ~= "" end) -- a line is left when its answer has been sent
    assert(os.rename(log, log .. ".1"))
    uv.kill(one.pid, "sighup")
    await(function() return uv.fs_stat(log) end)
    ask "/ping"
    stop(one)
    assert.matches('^{"time":"[%d-]+T[%d:.]+Z","method":"GET","path":"/version","status":200,',
      command.read(log .. ".1"))
    assert.matches('"path":"/ping"', command.read(log))
    assert.falsy(command.read(log .. ".1"):find "alice")
    for line in command.read(log):gmatch "[^\n]+" do assert.is_table(json.decode(line)) end
  end)

  it("tells where a log cannot be opened anew, and writes on to the one it has", function()
    local place = folder .. "/logs"
    assert(uv.fs_mkdir(place, tonumber("755", 8)))
    local one = start { "--access-log", place .. "/access.log" }
    command.remove(place)
    uv.kill(one.pid, "sighup")
    assert.is_true(program.wait_for(one, "logs/access.log cannot be opened anew: No such file or directory"))
    assert.equal(200, program.ask(one, "GET", "/ping").status)
    stop(one)
  end)

  it("refuses a private key that others may read or write", function()
    local pem, key = certificate "open"
    for mode, refused in pairs { ["644"] = true, ["620"] = true, ["602"] = true, ["640"] = false } do
      assert(uv.fs_chmod(key, tonumber(mode, 8)))
      local one = start { "--certificate", pem, "--key", key }
      assert.equal(refused, one.url == nil, mode .. " " .. one.err)
      if refused then
        assert.equal(1, wait(one))
        local why = "open.key: others than its owner may read or write this private key"
        assert.truthy(one.err:find(why, 1, true), one.err)
      else
        stop(one)
      end
    end
  end)

  it("listens by IPv4 and IPv6 where it listens on all", function()
    local one = start { "--host", "*" }
    local port = assert(one.url:match ":(%d+)$", one.url)
    local client <close> = assert(http.client { timeout_ms = 10000 })
    assert.equal(200, assert(client:request { url = ("http://127.0.0.1:%s/ping"):format(port) }).status)
    local probe = uv.new_tcp()
    local has_six = probe:bind("::1", 0) == 0
    probe:close()
    if has_six then
      assert.equal(200, assert(client:request { url = ("http://[::1]:%s/ping"):format(port) }).status)
    end
    stop(one)
  end)
end)

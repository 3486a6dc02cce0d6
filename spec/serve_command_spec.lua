--- `recsys-run serve` as a program: its line, its signals, its exit codes.

local command = require "spec.support.command"
local http = require "recsys.http"
local json = require "recsys.json"
local program = require "spec.support.serve_program"
local tiny = require "spec.support.tiny_model"
local uv = require "luv"

local folder, models, path, client

local start, wait = program.start, program.stop

local function get(one, place)
  local reply = assert(client:request { url = one.url .. place })
  return reply.status, reply.body
end

--- Ask until an answer is as 'fits' wants it.
local function until_version(one, fits)
  for _ = 1, 200 do
    local _, body = get(one, "/version")
    local told = json.decode(body)
    if fits(told) then return told end
    uv.sleep(25)
  end
  error("it did not come to that")
end

describe("recsys-run serve", function()
  setup(function()
    folder = command.temporary()
    models = folder .. "/models"
    path = tiny.publish(tiny.build(), models)
    client = assert(http.client { timeout_ms = 10000 })
  end)
  teardown(function()
    client:close()
    command.remove(folder)
  end)

  it("tells its address, answers, and ends with 0 when it is told to stop", function()
    for _, signal in ipairs { "sigterm", "sigint" } do
      local one = start { path, "--workers", "2" }
      assert.matches("^tiny%-1 answers at http://127%.0%.0%.1:%d+ with 2 workers\n$", one.out)
      assert.equal(200, (get(one, "/ping")))
      uv.kill(one.pid, signal)
      assert.equal(0, wait(one))
      assert.equal("", one.err)
    end
  end)

  it("loads what a word stands for now by SIGHUP, and by itself when an alias moves", function()
    local one = start { "registry:tiny@champion", "--models", models, "--workers", "1", "--poll", "1" }
    uv.kill(one.pid, "sighup")
    until_version(one, function(told) return told.reloads.loaded == 1 and told.live.version == "tiny-1" end)
    tiny.publish(tiny.build(), models, { created = "2024-02-02T00:00:00Z" })
    command.run(("%s registry alias tiny-2 champion --models %s"):format(command.program, models))
    until_version(one, function(told) return told.live.version == "tiny-2" end)
    uv.kill(one.pid, "sigterm")
    assert.equal(0, wait(one))
    assert.matches("live: tiny%-2 in place of tiny%-1", one.err)
  end)

  it("ends with 1 for a damaged bundle, also when that is found out while it answers, and 2 for one that is not there",
    function()
      local text = command.read(path)
      local at = text:find("Title 3", 1, true)
      command.write(folder .. "/damaged.tar", text:sub(1, at - 1) .. "X" .. text:sub(at + 1))
      local one = start { folder .. "/damaged.tar" }
      assert.equal(1, wait(one))
      assert.matches("damaged%.tar is damaged: member 'items%.safetensors' does not have its SHA%-256", one.err)
      command.write(folder .. "/cut.tar", text:sub(1, 9000))
      assert.equal(1, wait(start { folder .. "/cut.tar" }))
      one = start { "registry:nothing@champion", "--models", models }
      assert.equal(2, wait(one))
      assert.matches("there is no bundle 'nothing@champion'", one.err)
      assert.equal(2, wait(start { path, "--split", "x" }))
      for word, words in pairs { [folder] = "no bundle '.*', which is a folder, nor in ",
        ["registry:"] = "no bundle is named", [""] = "no bundle is named" } do
        one = start { word, "--models", models, "--no-events" }
        assert.equal(2, wait(one))
        assert.matches(words, one.err)
      end
    end)

  it("goes on when nobody reads any more what it says", function()
    local one = start { path, "--port", "0", "--workers", "1", "--poll", "0" }
    one.errors:close()
    uv.kill(one.pid, "sighup") -- of which it tells a line
    until_version(one, function(told) return told.reloads.loaded == 1 end)
    uv.kill(one.pid, "sighup")
    until_version(one, function(told) return told.reloads.loaded == 2 end)
    uv.kill(one.pid, "sigterm")
    assert.equal(0, wait(one))
  end)

  it("refuses words that would do something else than they say", function()
    for _, case in ipairs { { 2, "%-%-host names no address", "--host", "" },
      { 2, "%-%-tokens is empty", "--tokens", "" }, { 2, "%-%-certificate is empty", "--certificate", "" },
      { 2, "%-%-access%-log is empty", "--access-log", "" }, { 2, "%-%-models is empty", "--models", "" },
      { 2, "%-%-certificate and %-%-key need each other", "--certificate", path },
      { 2, "%-%-burst is for %-%-rate", "--burst", "5" },
      { 2, "%-%-bundle is for a serve recipe", "--bundle", "two_tower" },
      { 2, "'100G' is more than 1G: each body is held in memory", "--max-body", "100G" },
      { 1, "%-%-events .*: there is no folder .*/nope", "--events", folder .. "/nope/x.db" },
      { 1, "%-%-access%-log .*: there is no folder .*/nope", "--access-log", folder .. "/nope/x" } } do
      local one = start { path, case[3], case[4] }
      assert.equal(case[1], wait(one), case[3])
      assert.matches(case[2], one.err)
    end
    assert.is_nil(require("lfs").attributes(folder .. "/nope"))
  end)

  it("asks for tokens, and lets an admin reload", function()
    command.write(folder .. "/tokens", "app use app-token-0123456789\nann all ann-token-0123456789\n", "600")
    command.run(("chmod 600 '%s/tokens'"):format(folder))
    local log = folder .. "/access.log"
    local one = start { path, "--workers", "1", "--tokens", folder .. "/tokens", "--access-log", log }
    local function ask(method, place, token)
      local headers = { ["Content-Type"] = "application/json", Authorization = token and "Bearer " .. token or nil }
      return assert(client:request { method = method, url = one.url .. place, headers = headers,
        body = method == "POST" and '{"user":"u1"}' or nil })
    end
    assert.equal(200, ask("GET", "/ping").status)
    for _ = 1, 200 do -- until its bytes are verified
      if ask("GET", "/ready").status == 200 then break end
      uv.sleep(25)
    end
    assert.equal(200, ask("GET", "/ready").status)
    assert.equal(401, ask("POST", "/recommend").status)
    assert.equal(401, ask("POST", "/recommend", "app-token-012345678").status)
    assert.equal(200, ask("POST", "/recommend", "app-token-0123456789").status)
    assert.equal(403, ask("POST", "/admin/reload", "app-token-0123456789").status)
    assert.equal(202, ask("POST", "/admin/reload", "ann-token-0123456789").status)
    local told
    for _ = 1, 200 do
      told = json.decode(ask("GET", "/version", "ann-token-0123456789").body).reloads
      if told.done == 1 then break end
      uv.sleep(25)
    end
    assert.same({ 1, 1, 1 }, { told.asked, told.done, told.loaded })
    uv.kill(one.pid, "sigterm")
    assert.equal(0, wait(one))
    local lines = command.read(log)
    assert.matches('"path":"/recommend"', lines)
    assert.falsy(lines:find("token-0123", 1, true))
    assert.falsy(lines:find("127.0.0.1", 1, true))
    command.write(folder .. "/bad-tokens", "app use short\n")
    one = start { path, "--tokens", folder .. "/bad-tokens" }
    assert.equal(1, wait(one))
    assert.falsy(one.err:find("short", 1, true) and one.err:find("use short", 1, true))
  end)

  it("says which port is taken", function()
    local one = start { path }
    local port = one.url:match ":(%d+)$"
    local two = start { path, "--port", port }
    assert.equal(1, wait(two))
    assert.matches(port, two.err)
    uv.kill(one.pid, "sigterm")
    assert.equal(0, wait(one))
  end)
end)

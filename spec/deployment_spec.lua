--- docs/deployment.md: its unit and its command of a container run as they stand, and servers share what it says.

local command = require "spec.support.command"
local json = require "recsys.json"
local program = require "spec.support.serve_program"
local tiny = require "spec.support.tiny_model"
local uv = require "luv"

local TEXT = command.read "docs/deployment.md"
local UNIT = assert(TEXT:match "```ini\n(.-)```")
local folder, models, path

local function setting(name) return assert(UNIT:match("\n" .. name .. "=([^\n]*)"), name) end

--- Words of a command of the page, with what the specs have in place of what it names.
local function words_of(text, instead)
  local list = {}
  for word in text:gmatch "%S+" do
    word = word:gsub("^'(.*)'$", "%1")
    list[#list + 1] = instead[word] or word
  end
  return list
end

local function until_ready(one)
  for _ = 1, 400 do
    if program.ask(one, "GET", "/ready").status == 200 then return end
    uv.sleep(25)
  end
  error "it is not ready"
end

local function events_of(one, user)
  local _, found = program.ask(one, "POST", "/users/lookup", { user = user })
  return found.events
end

describe("docs/deployment.md", function()
  setup(function()
    folder = command.temporary()
    models = folder .. "/models"
    path = tiny.publish(tiny.build(), models)
    command.run(("cd %s && printf 'shop use,write,admin a-token-of-sixteen' >tokens && chmod 600 tokens && "
      .. "mkdir events"):format(folder))
  end)
  teardown(function() command.remove(folder) end)

  it("has a unit whose command serves, whose reload is heard and whose end is waited for", function()
    local exec = assert(setting("ExecStart"):match "^/usr/local/bin/recsys%-run serve (.+)$")
    local words = words_of(exec, { ["registry:two_tower@champion"] = "registry:tiny@champion",
      ["/etc/recsys/tokens"] = folder .. "/tokens", ["access.log"] = folder .. "/access.log" })
    table.move({ "--models", models, "--no-events" }, 1, 3, #words + 1, words)
    local one = program.start(words)
    assert.truthy(one.url, one.err)
    until_ready(one)
    assert.equal(401, program.ask(one, "GET", "/version").status)
    assert.equal("/bin/kill -HUP $MAINPID", setting "ExecReload")
    one.handle:kill "sighup"
    local headers = { Authorization = "Bearer a-token-of-sixteen" }
    for _ = 1, 400 do
      local _, told = program.ask(one, "GET", "/version", nil, headers)
      if told.reloads.loaded == 1 then break end
      uv.sleep(25)
    end
    assert.equal(1, select(2, program.ask(one, "GET", "/version", nil, headers)).reloads.loaded)
    assert.equal(0, program.stop(one, setting("KillSignal"):lower()))
    assert.is_true(tonumber((setting "TimeoutStopSec")) > tonumber((exec:match "%-%-drain (%d+)")))
    assert.is_true(tonumber((setting "LimitNOFILE")) > 1024 + 500)
    assert.equal("/var/lib/" .. setting "StateDirectory", setting "WorkingDirectory")
  end)

  it("has a unit that systemd takes", function()
    if command.run("command -v systemd-analyze").code ~= 0 then return pending "needs systemd-analyze" end
    local file = folder .. "/recsys-serve.service"
    local out = assert(io.open(file, "w"))
    assert(out:write((UNIT:gsub("/usr/local/bin/recsys%-run", command.program):gsub("User=recsys", "User=root"))))
    assert(out:close())
    local ran = command.run("systemd-analyze verify " .. file)
    assert.falsy((ran.out .. ran.err):find("recsys-serve.service:", 1, true), ran.out .. ran.err)
    assert.equal(0, ran.code, ran.err)
  end)

  it("has a command of a container whose words serve", function()
    local words = words_of(assert(TEXT:match "\n  serve (registry:[^\n]+)\n"), { ["tokens"] = folder .. "/tokens",
      ["registry:two_tower@champion"] = "registry:tiny@champion",
      ["artifacts/events.db"] = folder .. "/events/events.db" })
    table.move({ "--models", models }, 1, 2, #words + 1, words)
    local one = program.start(words)
    assert.truthy(one.url, one.err)
    until_ready(one)
    assert.equal("", one.err) -- tokens keep others out: nothing warns
    assert.equal(0, program.stop(one, "sigterm"))
  end)

  it("says what servers of one events file know of each other", function()
    local file = folder .. "/shared.db"
    local function start() return program.start { path, "--models", models, "--events", file, "--workers", "1" } end
    local a, b = start(), start()
    local event = { user = "rep", item = "i1", id = "evt-1" }
    local _, told = program.ask(a, "POST", "/events", event)
    assert.same({ 1, 0 }, { told.taken, told.known })
    _, told = program.ask(b, "POST", "/events", event)
    assert.same({ 0, 1, true }, { told.taken, told.known, told.committed })
    assert.same({ 1, 0 }, { events_of(a, "rep"), events_of(b, "rep") })
    local function load(one, user, count)
      one.handle:kill "sighup"
      for _ = 1, 400 do
        if events_of(one, user) == count then return end
        uv.sleep(25)
      end
      error("there are " .. events_of(one, user) .. " events")
    end
    load(b, "rep", 1)
    _, told = program.ask(a, "POST", "/users/erase", { user = "rep" })
    assert.same({ true, true }, { told.erased, told.committed })
    assert.same({ 0, 1 }, { events_of(a, "rep"), events_of(b, "rep") })
    load(b, "rep", 0)
    local plain = { user = "twice", item = "i2" }
    for _, one in ipairs { a, b } do program.ask(one, "POST", "/events", plain) end
    assert.same({ 1, 1 }, { events_of(a, "twice"), events_of(b, "twice") })
    load(a, "twice", 2)
    local ran = command.run(("sqlite3 -readonly -json %s 'SELECT user, item, time FROM online_events ORDER BY number'")
      :format(file))
    if ran.code == 0 then assert.equal(2, #json.decode(ran.out)) end
    for _, one in ipairs { a, b } do assert.equal(0, program.stop(one, "sigterm")) end
  end)
end)

--- A server under load that is told again and again to serve another version, now and then a damaged one, while events
--- are posted to it: no request fails, no answer mixes two versions, and memory and descriptors stay as they were.
---
--- In `./recsys-run test` it lasts some seconds; with RECSYS_KILLS half a minute, with 100 of them or more five minutes
--- and 100 reloads. RECSYS_SOAK_PROGRAM is a server of another build, such as one under ThreadSanitizer.

local command = require "spec.support.command"
local http = require "recsys.http"
local json = require "recsys.json"
local program = require "spec.support.serve_program"
local serve = require "recsys.serve"
local served = require "recsys.bench.served"
local uv = require "luv"

local USERS <const>, K <const> = 200, 20
local kills = tonumber(os.getenv "RECSYS_KILLS") or 0
local other = os.getenv "RECSYS_SOAK_PROGRAM"
local slow = other or command.sanitized -- an instrumented server
local RATE <const> = slow and 600 or 2000
local SECONDS <const> = kills >= 100 and 300 or kills > 0 and 30 or 5
local RELOADS <const> = kills >= 100 and 100 or 10
local EVERY <const> = 10 -- one reload of so many is of a damaged bundle

--- Ids and scores as a text; a score is an f32, whose shortest decimal text was read as an f64.
local function text_of(items, id)
  local lines = {}
  for n, item in ipairs(items) do
    lines[n] = ("%s %a"):format(item[id], (string.unpack("f", string.pack("f", item.score))))
  end
  return table.concat(lines, "\n")
end

--- What each user is answered by a bundle, by the model without a server.
local function expected_of(path)
  local model <close> = assert(serve.open(path))
  local list = {}
  for i = 1, USERS do list[i] = text_of(assert(model:recommend { user = served.user(i), k = K }).items, "item") end
  return list
end

--- Ways to damage a bundle: its bytes -> others.
local function flipped(at)
  return function(bytes)
    local i = math.floor(#bytes * at)
    return bytes:sub(1, i - 1) .. string.char(bytes:byte(i) ~ 0x10) .. bytes:sub(i + 1)
  end
end
local damages <const> = { flipped(0.5), function(bytes) return bytes:sub(1, #bytes // 2) end, flipped(0.9),
  function() return "no bundle" end, flipped(0.25) }

local function requests()
  local list = {}
  for i = 1, USERS do
    local body = ('{"user":"%s","k":%d}'):format(served.user(i), K)
    list[i] = ("POST /recommend HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      .. "Content-Length: %d\r\n\r\n%s")
      :format(#body, body)
  end
  return list
end

--- Descriptors that a process has open, and MiB of its anonymous memory.
local function usage(pid)
  local descriptors, folder = 0, assert(uv.fs_scandir(("/proc/%d/fd"):format(pid)))
  while uv.fs_scandir_next(folder) do descriptors = descriptors + 1 end
  return descriptors, tonumber(command.read(("/proc/%d/status"):format(pid)):match "RssAnon:%s*(%d+)") / 1024
end

describe("a server under load", function()
  local folder, live, bundles, expected, one
  setup(function()
    folder = command.temporary()
    live, bundles, expected = folder .. "/live.tar", {}, {}
    for seed = 1, 2 do
      bundles[seed] = served.make(folder, { users = USERS, items = 3000 }, 1, seed).bundle
      expected[("news_%d-1"):format(seed)] = expected_of(bundles[seed])
    end
  end)
  teardown(function()
    if one then program.stop(one, "sigkill") end
    command.remove(folder)
  end)

  --- Put bytes, or a bundle's, in the place of the one that is served, at once.
  local function put(bytes)
    command.write(live .. ".new", bytes)
    assert(os.rename(live .. ".new", live))
  end

  it("reloads without a failed request, a mixed answer, or a growing process", function()
    put(command.read(bundles[1]))
    one = program.start({ live, "--poll", "0", "--workers", "2", "--events", folder .. "/events.db" }, other)
    assert.is_truthy(one.url, one.err)
    local load <close> = assert(http.load { port = tonumber(one.url:match "%d+$"), rate = RATE, seconds = SECONDS,
      connections = 32, requests = requests() })
    local began, begun, turn, verified, versions = uv.hrtime(), 0, 1, {}, {}
    local before, posted = nil, 0

    --- An event of somebody else, which changes what no user of ours is answered, but closes the gate for a moment.
    local function post()
      posted = posted + 1
      local _, told = program.ask(one, "POST", "/events",
        { user = "stranger-" .. posted % 7, item = ("h%08x"):format(posted % 3000 + 1), id = "event-" .. posted })
      assert.same({ 1, 0 }, { told.taken, told.refused })
    end

    --- What is due beside the load: the next reload, when the last one is over.
    local function beside()
      uv.run "nowait"
      if begun >= RELOADS or (uv.hrtime() - began) / 1e9 < SECONDS * (begun + 1) / (RELOADS + 2) then return end
      local _, told = program.ask(one, "GET", "/version")
      if told.reloads.loaded + told.reloads.failed < begun then return end
      if begun == RELOADS // 5 then before = { usage(one.pid) } end
      begun = begun + 1
      if begun % EVERY == EVERY // 2 then
        put(damages[begun // EVERY % #damages + 1](command.read(bundles[turn])))
      else
        turn = 3 - turn
        put(command.read(bundles[turn]))
      end
      uv.kill(one.pid, "sighup")
    end

    for number, status, body in function() return load:next() end do
      if status ~= 200 then error(("request %d: status %d: %s"):format(number, status, body)) end
      local told, user = body:match '^(.*),"request_id"', (number - 1) % USERS + 1
      if not verified[told] then
        local answer = json.decode(body)
        assert.equal(served.user(user), answer.user)
        assert.equal(expected[answer.model_version][user], text_of(answer.items, "id"))
        versions[answer.model_version], verified[told] = true, user
      end
      assert.equal(user, verified[told])
      if number % 50 == 0 then beside() end
      if number % (RATE // 4) == 0 then post() end
    end

    local summary = load:summary()
    assert.same({ RATE * SECONDS, 0, 0, "" }, { summary.fine, summary.other, summary.failed, summary.why })
    assert.same({ ["news_1-1"] = true, ["news_2-1"] = true }, versions)
    assert.equal(RELOADS, begun)
    for _ = 1, 200 do
      local _, told = program.ask(one, "GET", "/version")
      if told.reloads.loaded + told.reloads.failed >= RELOADS then break end
      uv.sleep(50)
    end
    local _, told = program.ask(one, "GET", "/version")
    assert.same({ RELOADS - RELOADS // EVERY, RELOADS // EVERY }, { told.reloads.loaded, told.reloads.failed })
    local _, history = program.ask(one, "GET", "/users/stranger-1")
    assert.equal((posted + 6) // 7, history.events)
    local descriptors, mib = usage(one.pid)
    assert.is_true(descriptors <= before[1] + 2, ("%d descriptors, %d before"):format(descriptors, before[1]))
    if not slow then assert.is_true(mib <= before[2] + 16, ("%.1f MiB, %.1f before"):format(mib, before[2])) end
    assert.equal(0, program.stop(one, "sigterm"), one.err)
    one = nil
  end)
end)

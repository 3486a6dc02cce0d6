--- slowhttptest's four ways to hold a server's connections, all at once: others are answered as ever, and the slow ones
--- are left when their time is over.

local http = require "recsys.http"
local serving = require "spec.support.serving"
local uv = require "luv"

local SECONDS <const> = 6
local CONNECTIONS <const> = 150 -- of each way

--- What holds connections: heads and bodies that come in drops, ranges, and replies that are read in drops.
local ways = {
  { "-H", "-i", "1", "-x", "24" },
  { "-B", "-i", "1", "-s", "8192", "-x", "10" },
  { "-R", "-a", "10", "-b", "3000" },
  { "-X", "-w", "128", "-y", "512", "-n", "1", "-z", "16", "-k", "3" },
}

--- Begin slowhttptest; { way, out, code } whose code is there when it has ended.
local function begin(way, url)
  local out, one = uv.new_pipe(), { way = way[1], out = "" }
  local n = tostring(CONNECTIONS)
  local args = { "-c", n, "-r", n, "-l", tostring(SECONDS), "-p", "3", "-u", url }
  for i, word in ipairs(way) do table.insert(args, i, word) end
  one.handle = assert(uv.spawn("slowhttptest", { args = args, stdio = { nil, out } },
    function(code) one.code = code end))
  out:read_start(function(_, data)
    if data then one.out = one.out .. data else out:close() end
  end)
  return one
end

local function end_of(all)
  for _, one in ipairs(all) do
    while not one.code do uv.run "once" end
    one.handle:close()
  end
  uv.run "nowait"
end

local function are_running(all)
  uv.run "nowait"
  for _, one in ipairs(all) do
    if not one.code then return true end
  end
  return false
end

--- Ask /ping and /version, by new connections now and then, while the others are at it: how many, and the slowest's ms.
local function ask_beside(all, url)
  local asked, slowest, client = 0, 0, nil
  while are_running(all) do
    if asked % 20 == 0 then
      if client then client:close() end
      client = assert(http.client { timeout_ms = 5000 })
    end
    local began = uv.hrtime()
    local reply = assert(client:request { url = url .. (asked % 2 == 0 and "/ping" or "/version") })
    slowest = math.max(slowest, (uv.hrtime() - began) / 1e6)
    assert.equal(200, reply.status)
    asked = asked + 1
    uv.sleep(5)
  end
  client:close()
  return asked, slowest
end

local function refused(reason)
  local reply = assert(serving.client:request { url = serving.opened:url() .. "/metrics" })
  return tonumber(reply.body:match('recsys_refused_total{reason="' .. reason .. '"} (%d+)'))
end

describe("slow clients", function()
  setup(function()
    serving.start()
    serving.open { connections = 1024, head_ms = 2000, body_rate = 1000, write_rate = 1000 }
  end)
  teardown(serving.stop)

  it("stop nobody else, and are left", function()
    local url, all = serving.opened:url(), {}
    for i, way in ipairs(ways) do all[i] = begin(way, url .. "/openapi.json") end
    local asked, slowest = ask_beside(all, url)
    end_of(all)
    for _, one in ipairs(all) do
      assert.truthy(one.out:find "slow" or one.out:find "Range", one.way .. ":\n" .. one.out)
      assert.falsy(one.out:find "service available:%s*NO", one.way)
    end
    assert.is_true(asked > 100, asked .. " requests")
    assert.is_true(slowest < 1000, slowest .. " ms")
    -- each connection of the first two ways was told 408
    assert.is_true(refused "slow" >= 2 * CONNECTIONS, refused "slow" .. " were left")
    assert.equal(0, refused "full")
    for _ = 1, 100 do
      if serving.opened.server:counts().open <= 2 then return end
      uv.sleep(50)
    end
    error(serving.opened.server:counts().open .. " connections are left")
  end)
end)

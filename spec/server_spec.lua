--- The server: its routes, what it refuses, what it tells of itself, and other versions in the place of the one it has.

local bundle = require "recsys.bundle"
local command = require "spec.support.command"
local openapi = require "spec.support.openapi"
local serving = require "spec.support.serving"
local tiny = require "spec.support.tiny_model"

local ask, call = serving.ask, serving.call

--- The rows of the tables of routes in C: { method, path }; the page's files are nobody's operations.
local function routes()
  local list = {}
  for file in io.popen("ls runtime/serve/endpoints_*.c"):lines() do
    for name, method, path in command.read(file):gmatch '{"([%w_]+)",%s*"(%u+)",%s*"(/[^"]*)"' do
      if not name:find "^page" then list[#list + 1] = { method = method, path = path } end
    end
  end
  return list
end

--- Publish another version whose bundle differs from what its model would be by 'change(members)'.
local function damaged_version(name, change)
  local b <close> = assert(bundle.open(serving.path))
  local members = {}
  for i, member in ipairs(b:members()) do
    members[i] = { member.name, bytes = change(member.name, b:text(member.name)) }
  end
  local path = serving.folder .. "/" .. name
  assert(bundle.write(path, { manifest = { name = "tiny", version = 9, serving = { as_of = 13 * tiny.day + 1 } },
    members = members }))
  return path
end

describe("a server", function()
  setup(function()
    serving.start()
    serving.open()
  end)
  teardown(serving.stop)

  it("has every route of its tables in openapi.json, and no other", function()
    local described, found = {}, {}
    for path, item in pairs(openapi.document.paths) do
      for method in pairs(item) do
        if method ~= "parameters" then described[#described + 1] = method:upper() .. " " .. path end
      end
    end
    for i, route in ipairs(routes()) do found[i] = route.method .. " " .. route.path end
    table.sort(described)
    table.sort(found)
    assert.same(described, found)
    assert.is_true(#found >= 6)
  end)

  it("tells of its health", function()
    assert.equal(200, ask("GET", "/ping").status)
    assert.equal("", ask("GET", "/ping").body)
    assert.same({ status = "ready" }, call("GET", "/ready"))
    local version = call("GET", "/version")
    assert.equal("tiny-1", version.live.version)
    assert.equal(tiny.n_items, version.live.items)
    assert.equal(command.read "lua/recsys/serve/openapi.json", ask("GET", "/openapi.json").body)
  end)

  it("answers what there is not by 404, and other methods by 405 with Allow", function()
    assert.equal(404, ask("GET", "/nothing").status)
    assert.equal(404, ask("GET", "/ping/").status)
    local reply, body = ask("PUT", "/ping", "x")
    assert.equal(405, reply.status)
    assert.equal("GET, HEAD", reply.headers.allow)
    assert.equal("method_not_allowed", body.error.code)
  end)

  it("counts what it answers", function()
    local name = 'recsys_requests_total{route="ready",status="200"}'
    local before = serving.metric(name) or 0
    for _ = 1, 5 do call("GET", "/ready") end
    assert.equal(before + 5, serving.metric(name))
    assert.is_true(serving.metric 'recsys_request_duration_seconds_count{route="ready"}' >= 5)
    assert.is_true(serving.metric "recsys_connections_total" >= 1)
    assert.is_true(serving.metric "process_resident_memory_bytes" > 1e6)
    assert.equal(1, serving.metric(('recsys_model_info{slot="live",version="tiny-1",digest="%s",index="exact"}'):format(
      call("GET", "/version").live.digest)))
  end)

  it("writes metrics as Prometheus reads them", function()
    local types, series, buckets = {}, {}, {}
    serving.open { shadow = serving.path, split = { word = serving.path, share = 5000 },
      events = serving.folder .. "/counted.db" }
    for i = 1, 6 do call("POST", "/recommend", { user = "u" .. i }) end
    for line in ask("GET", "/metrics").body:gmatch "[^\n]+" do
      local kind, name, rest = line:match "^# (%u+) ([%w_]+) (.+)$"
      if kind == "TYPE" then
        assert.is_nil(types[name], line)
        types[name] = rest
      elseif kind ~= "HELP" then
        local series_name, labels, value = line:match "^([%a_][%w_]*)(%b{}) (%S+)$"
        if not series_name then
          labels, series_name, value = "", line:match "^([%a_][%w_]*) (%S+)$"
        end
        assert.is_number(tonumber(value), line)
        assert.is_nil(series[series_name .. labels], line)
        series[series_name .. labels] = tonumber(value)
        local family = types[series_name] and series_name or series_name:gsub("_%l+$", "")
        assert.is_string(types[family], line) -- said before
        assert.matches("^{?[%w_=\",.+%-]*}?$", labels)
        if series_name:find "_bucket$" then
          local key = family .. labels:gsub(',?le="[^"]*"', "")
          assert.is_true(tonumber(value) >= (buckets[key] or 0), line)
          buckets[key] = tonumber(value)
          if labels:find '"+Inf"' then
            local others = labels:gsub(',?le="[^"]*"', ""):gsub("^{}$", "")
            buckets[family .. "_count" .. others] = tonumber(value)
          end
        end
      end
    end
    for name, count in pairs(buckets) do
      if name:find "_count" then assert.equal(count, series[name], name) end
    end
    assert.is_true(series['recsys_request_duration_seconds_count{route="recommend"}'] == 6)
    assert.equal("histogram", types.recsys_shadow_overlap)
    serving.open()
  end)

  it("lets nobody without a token tell it to reload", function()
    local reply, body = ask("POST", "/admin/reload")
    assert.equal(401, reply.status)
    assert.equal("Bearer", reply.headers["www-authenticate"])
    assert.equal("unauthorized", body.error.code)
  end)
end)

describe("other versions", function()
  before_each(function() serving.start() end)
  after_each(function() serving.stop() end)

  local function served() return call("GET", "/version").live.version end

  it("take the place of one when the alias moves", function()
    local opened = serving.open { poll = 0.000001 }
    opened:step()
    assert.equal("tiny-1", served())
    assert.equal(0, serving.metric 'recsys_reloads_total{outcome="loaded"}')
    tiny.publish(serving.built, serving.models, { created = "2024-02-01T00:00:00Z" })
    opened:step()
    assert.equal("tiny-1", served()) -- the alias is where it was
    local ran = command.run(("%s registry alias tiny-2 champion --models %s"):format(command.program, serving.models))
    assert.equal(0, ran.code, ran.err)
    opened:step()
    assert.equal("tiny-2", served())
    opened:step()
    assert.equal(1, serving.metric 'recsys_reloads_total{outcome="loaded"}')
  end)

  it("are not looked for in a registry that cannot be read, while the one that is there is served", function()
    local opened = serving.open { poll = 0.000001 }
    local database = serving.folder .. "/mlflow.db"
    local whole = command.read(database)
    for _, text in ipairs { ("x"):rep(8192), whole:sub(1, 5000), "",
      whole:sub(1, 4096) .. ("x"):rep(#whole - 4096), whole:sub(1, #whole // 2) .. ("x"):rep(#whole - #whole // 2) } do
      for _, ending in ipairs { "-wal", "-shm" } do os.remove(database .. ending) end
      command.write(database .. ".new", text)
      assert(os.rename(database .. ".new", database))
      for _ = 1, 2 do opened:step() end
      opened.hung_up = true
      opened:step()
      assert.equal("tiny-1", served())
      assert.equal(200, ask("POST", "/recommend", { user = "u1" }).status)
    end
    command.write(database .. ".new", whole)
    assert(os.rename(database .. ".new", database))
    opened.hung_up = true
    opened:step()
    assert.equal(1, call("GET", "/version").reloads.loaded)
  end)

  it("are not served when they are damaged or answer otherwise than they should", function()
    local path = serving.folder .. "/served.tar"
    command.write(path, command.read(serving.path))
    local opened = serving.open { word = path }
    local before = call("GET", "/version").live
    local cases = {
      { "cut off", function() return command.read(serving.path):sub(1, 20000) end, "truncated or damaged" },
      { "one byte flipped", function()
        local text = command.read(serving.path)
        local at = text:find("Title 3", 1, true)
        return text:sub(1, at - 1) .. "X" .. text:sub(at + 1)
      end, "does not have its SHA%-256" },
      { "no bundle", function() return "hello" end, "is not a bundle" },
      { "other weights", function()
        return command.read(damaged_version("other.tar", function(name, bytes)
          if name ~= "weights.safetensors" then return bytes end
          local at = #bytes - 32 -- of the last table
          return bytes:sub(1, at - 400) .. ("\0\0\128\63"):rep(100) .. bytes:sub(at + 1)
        end))
      end, "does not answer as its publisher saw it" },
    }
    for i, text in ipairs { "", "[]", '{"format":2,"cases":[]}', '{"format":1,"cases":[7]}',
      '{"format":1,"cases":[{"request":{"user":3,"k":1},"items":[],"scores":[]}]}',
      '{"format":1,"cases":[{"request":{"user":"u1","k":1},"items":["i1"],"scores":[]}]}',
      '{"format":1,"cases":[{"request":{"user":"u1","k":0},"items":[],"scores":[]}]}',
      '{"format":1,"cases":[{"request":{"user":"u1","k":2},"items":["i1"],"scores":[1]}]}' } do
      cases[#cases + 1] = { text, function()
        return command.read(damaged_version("expects" .. i .. ".tar", function(name, bytes)
          return name == "expectations.json" and text or bytes
        end))
      end, "" }
    end
    for i, case in ipairs(cases) do
      command.write(path .. ".new", case[2]())
      assert(os.rename(path .. ".new", path))
      opened.hung_up = true
      opened:step()
      local told = call("GET", "/version")
      assert.equal(before.digest, told.live.digest, case[1])
      assert.matches(case[3], told.reloads.failure, 1, false)
      assert.equal(i, told.reloads.failed)
    end
    assert.equal(#cases, serving.metric 'recsys_reloads_total{outcome="failed"}')
    command.write(path .. ".new", command.read(serving.path))
    assert(os.rename(path .. ".new", path))
    opened.hung_up = true
    opened:step()
    assert.equal(1, call("GET", "/version").reloads.loaded)
  end)
end)

--- Hooks of a serve recipe, around /recommend and around each request of /invocations.

local command = require "spec.support.command"
local json = require "recsys.json"
local program = require "spec.support.serve_program"
local tiny = require "spec.support.tiny_model"
local uv = require "luv"

local path, server

local AS <const> = { json = "application/json", lines = "application/jsonlines", csv = "text/csv" }

--- An answer's text without what differs from call to call.
local function bare(text)
  return (text:gsub(',?"model_version":"[^"]*"', ""):gsub(',?"request_id":"[^"]*"', "")
    :gsub(',?"latency_ms":[%d.e-]+', ""):gsub("\n", ""))
end

local function lines_of(text)
  local lines = {}
  for line in text:gmatch "([^\n]*)\n" do lines[#lines + 1] = bare(line) end
  return lines
end

--- What /recommend answers to each body, and the status.
local function recommended(bodies)
  local answers, statuses = {}, {}
  for i, body in ipairs(bodies) do
    local reply = program.ask(server, "POST", "/recommend", body, { ["Content-Type"] = AS.json })
    answers[i], statuses[i] = bare(reply.body), reply.status
  end
  return answers, statuses
end

local function invoked(body, kind, accept)
  return program.ask(server, "POST", "/invocations", body, { ["Content-Type"] = kind, Accept = accept })
end

--- The ids of an answer as a line of text/csv.
local function csv_of(text)
  local ids = {}
  for i, item in ipairs(json.decode(text).items) do ids[i] = item.id end
  return table.concat(ids, ",")
end

describe("hooks of a serve recipe", function()
  local bundle_folder

  local function start(text)
    command.write(bundle_folder .. "/recipe.lua", text)
    server = program.start { bundle_folder .. "/recipe.lua", "--bundle", path, "--workers", "1", "--no-events" }
    assert(server.url, server.err)
  end

  setup(function()
    bundle_folder = command.temporary()
    path = tiny.publish(tiny.build(), bundle_folder .. "/models")
  end)
  teardown(function() command.remove(bundle_folder) end)
  after_each(function() program.stop(server, "sigterm") end)

  it("change what is asked and what is answered", function()
    start [[
      return require("recsys").serve_recipe {
        before = function(asked, server, request)
          if request.headers["x-blocked"] then return { blocked = true }, 403 end
          asked.exclude = { "i4" }
        end,
        after = function(answer)
          answer.shop = "north"
          table.remove(answer.items, 1)
        end,
      }]]
    local plain = program.ask(server, "POST", "/recommend", { user = "u1", k = 12 })
    assert.equal(200, plain.status)
    local _, answer = program.ask(server, "POST", "/recommend", { user = "u1", k = 12 })
    assert.equal("north", answer.shop)
    assert.equal(7, #answer.items) -- of 12 without three seen, the excluded and the first
    for _, item in ipairs(answer.items) do assert.not_equal("i4", item.id) end
    local reply, body = program.ask(server, "POST", "/recommend", { user = "u1" }, { ["X-Blocked"] = "1" })
    assert.same({ 403, true }, { reply.status, body.blocked })
    local refused = program.ask(server, "POST", "/recommend", "{", { ["Content-Type"] = "application/json" })
    assert.equal(400, refused.status)
  end)

  it("leave an answer as it is where they do nothing", function()
    start "return require('recsys').serve_recipe { after = function() end }"
    local hooked = program.ask(server, "POST", "/recommend", { user = "u1", k = 3, now = 1123200001 })
    program.stop(server, "sigterm")
    start "return require('recsys').serve_recipe { handlers = {} }"
    local plain = program.ask(server, "POST", "/recommend", { user = "u1", k = 3, now = 1123200001 })
    local function fixed(reply)
      local value = json.decode(reply.body)
      value.request_id, value.latency_ms = nil, nil
      return value
    end
    assert.same(fixed(plain), fixed(hooked))
    assert.truthy(hooked.body:find('"fallback":null', 1, true))
  end)

  it("are as strict as without them, and keep each digit", function()
    local bodies = { '{"user":12345678901234567,"k":1}', '{"user":"u1","user":"u2"}', "[]", '{"kk":1}',
      '{"user":"u1","k":0}', '{"users":[{"user":"u1"},{"k":-1}]}', '{"user":9223372036854775807,"k":1}', "{}" }
    start "return require('recsys').serve_recipe { handlers = {} }"
    local plain, plain_statuses = recommended(bodies)
    program.stop(server, "sigterm")
    start [[return require("recsys").serve_recipe { before = function() end, after = function(a) a.shop = "n" end }]]
    local hooked, statuses = recommended(bodies)
    assert.same(plain_statuses, statuses)
    for i, status in ipairs(statuses) do
      if status >= 400 then assert.equal(plain[i], hooked[i], bodies[i]) end
    end
    assert.truthy(hooked[1]:find('"user":"12345678901234567"', 1, true))
    assert.truthy(hooked[7]:find('"user":"9223372036854775807"', 1, true))
  end)

  it("hear each digit of what the server answers in place, and give empty lists", function()
    command.write(bundle_folder .. "/recipe.lua", [[
      local recsys = require "recsys"
      return recsys.serve_recipe { handlers = {
        ["GET /kept"] = function(_, server)
          local user = assert(server:call("GET", "/users/u1?kept=true"))
          return { order = user.kept[1].fields.order, none = recsys.json.list {}, empty = {} }
        end } }]])
    server = program.start { bundle_folder .. "/recipe.lua", "--bundle", path, "--workers", "1", "--events",
      bundle_folder .. "/events.db" }
    local posted = program.ask(server, "POST", "/events",
      '{"user":"u1","item":"i4","fields":{"order":12345678901234567}}', { ["Content-Type"] = AS.json })
    assert.equal(200, posted.status, posted.body)
    assert.equal('{"empty":{},"none":[],"order":12345678901234567}\n', program.ask(server, "GET", "/kept").body)
  end)

  local RULE <const> = [[
    return require("recsys").serve_recipe {
      limits = { time = 0.1, memory = 24 },
      before = function(asked, server, request)
        assert(request.json == asked)
        if asked.user == "broken" then error "no such hook" end
        if asked.user == "endless" then while true do end end
        if asked.user == "barred" then server:refuse(403, "not for " .. asked.user) end
        if asked.user == "told" then return { told = true }, 403 end
        if asked.user == "text" then return "a text", 200 end
        if asked.user == "odd" then return "nonsense" end
        if asked.user == "nan" then asked.k = 0 / 0 end
        if asked.user == "much" then asked.k = 5000 end
        asked.exclude = { "i4" }
      end,
      after = function(answer)
        for _, one in ipairs(answer.answers or { answer }) do
          if one.items then table.remove(one.items, 1) end
          one.shop = "north"
        end
      end,
    }]]

  it("are around each line of /invocations", function()
    start(RULE)
    local bodies = { '{"user":"u1","k":12,"now":1123200001}', '{"user":"u2","k":3,"now":1123200001}', "{", "",
      '{"user":"new","fields":{"platform":"ios"},"filter":{"not":{"kind":null}},"now":1123200001}',
      '{"user":"u\\"5","exclude":[],"filter":{"kind":[]},"now":1123200001}',
      '{"user":"u1","k":0}', '{"user":"u1","gone":1}',
      '{"users":["u1","gone",{"user":"u3","k":2}],"now":1123200001}', '{"user":"much"}', '[{"user":"u1"}]' }
    local answers, statuses = recommended(bodies)
    assert.same({ 200, 200, 400, 400, 200, 200, 400, 400, 200, 400, 400 }, statuses)
    assert.truthy(answers[1]:find('"shop":"north"', 1, true))
    local reply = invoked(table.concat(bodies, "\n") .. "\n", AS.lines)
    assert.same({ 200, AS.lines }, { reply.status, reply.headers["content-type"] })
    local lines = lines_of(reply.body)
    for i, line in ipairs(lines) do
      line = statuses[i] >= 400 and line:gsub('^{"user":"[^"]*",', "{") or line
      assert.equal(answers[i], line, bodies[i])
    end
    assert.equal(#bodies, #lines)
    assert.equal(1, select(2, lines[7]:gsub('^{"user":"u1","error":', "")))
    local together = json.decode(invoked(table.concat(bodies, "\n"), AS.lines, AS.json).body)
    assert.equal(#bodies, #together.answers)
    assert.same({ "north", "north" }, { together.answers[1].shop, together.answers[9].answers[3].shop })
  end)

  it("are around text/csv, as it is sent and as it is answered", function()
    start(RULE)
    local answers = recommended { '{"user":"u1","k":5}', '{"user":"u,4","k":3}', '{"user":"u3"}' }
    assert.same(answers, lines_of(invoked('u1,5\n"u,4",3\nu3\n', AS.csv).body))
    local expected = { csv_of(answers[1]), csv_of(answers[2]), csv_of(answers[3]) }
    assert.same(expected, lines_of(invoked('u1,5\n"u,4",3\nu3\n', AS.csv, AS.csv).body))
    local several = '{"users":[{"user":"u1","k":5},{"user":"u,4","k":3},{"user":"u2","k":0},{"user":"u3"}]}'
    local lines = lines_of(invoked(several, AS.json, AS.csv).body)
    assert.matches("^#error,.*is 0; 1 to 1000", table.remove(lines, 3))
    assert.same(expected, lines)
    lines = lines_of(invoked(several .. '\n{"user":"barred"}\nx\n', AS.lines, AS.csv).body)
    assert.same({ '#error,users: a line of text/csv is the answer to one user', "#error,not for barred" },
      { lines[1]:gsub('"', ""), lines[2] })
    assert.matches("^#error,", lines[3])
  end)

  it("are around a body of JSON", function()
    start(RULE)
    for _, body in ipairs { '{"user":"u1","k":5}', '{"users":["u1","u2"]}', "{", '{"user":"told"}',
      '{"user":"text"}' } do
      local answers, statuses = recommended { body }
      local reply = invoked(body, AS.json)
      assert.same({ statuses[1], answers[1] }, { reply.status, bare(reply.body) })
      if statuses[1] >= 400 then assert.equal(statuses[1], invoked(body, AS.json, AS.lines).status) end
    end
    local lines = lines_of(invoked('{"users":["u1",{"user":"u2","k":0}]}', AS.json, AS.lines).body)
    assert.same({ "u1", "north" }, { json.decode(lines[1]).user, json.decode(lines[1]).shop })
    assert.same({ "users[1].k", 2 }, { json.decode(lines[2]).error.path, #lines })
  end)

  it("that fail for a line are told in its place", function()
    start(RULE)
    local users = { "u1", "broken", "endless", "u2", "barred", "told", "text", "odd", "nan", "u3" }
    local body = {}
    for i, user in ipairs(users) do body[i] = json.encode { user = user } end
    local codes = {}
    for i, line in ipairs(lines_of(invoked(table.concat(body, "\n"), AS.lines).body)) do
      local answer = json.decode(line)
      assert.equal(users[i], answer.user, line)
      codes[i] = answer.error and answer.error.code or answer.shop
    end
    assert.same({ "north", "handler_failed", "handler_time", "north", "bad_request", "bad_request", "bad_request",
      "handler_failed", "handler_failed", "north" }, codes)
    for _, why in ipairs { "recipe.lua:5: no such hook", "it takes more than the 100 ms",
      "recipe.lua:3: 'before' gives a string, not a table",
      "recipe.lua:3: what 'before' makes cannot be asked: JSON has" } do
      assert.is_true(program.wait_for(server, why), why)
    end
    assert.equal(200, invoked("u1\n", AS.csv).status)
  end)

  it("that always take too long are not asked for ever", function()
    start(RULE)
    local begun = uv.hrtime()
    local lines = lines_of(invoked(("endless\n"):rep(40) .. "u1\n", AS.csv).body)
    assert.is_true(uv.hrtime() - begun < 3e9)
    assert.equal(41, #lines)
    for _, at in ipairs { 1, 8, 9, 41 } do assert.equal("handler_time", json.decode(lines[at]).error.code) end
    assert.matches("is not asked, as 8 before it took too long", lines[41])
  end)

  it("see what callers send as it is, and are asked for JSON alone", function()
    start [[
      return require("recsys").serve_recipe {
        before = function(asked)
          if asked.filter then assert(next(asked.filter) == "kind") end
        end,
      }]]
    local with = '{"user":"u6","k":12,"filter":{"kind":null},"now":1123200001}'
    local answer = json.decode(recommended({ with })[1])
    assert.same({ 0, 12 }, { #answer.items, answer.filtered.rule }) -- all have a kind
    assert.equal(415, program.ask(server, "POST", "/recommend", with, { ["Content-Type"] = "text/plain" }).status)
    local twice = json.decode(recommended({ '{"user":"u1","user":"u2"}' })[1])
    assert.same({ "user: stands there twice", "user" }, { twice.error.message, twice.error.path })
    local within, statuses = recommended { '{"user":"x","fields":{"a":1,"a":2}}' }
    assert.same({ 400, "bad_json" }, { statuses[1], json.decode(within[1]).error.code })
  end)
end)

--- Events and items that are posted to a server: answered by at once, kept, and there again after a restart.

local command = require "spec.support.command"
local json = require "recsys.json"
local lfs = require "lfs"
local program = require "spec.support.serve_program"
local serving = require "spec.support.serving"
local sql = require "recsys.sql"
local tiny = require "spec.support.tiny_model"
local uv = require "luv"

local ask, call, fresh, history = serving.ask, serving.call, serving.fresh, serving.history
local open = serving.open_kept
local day <const> = tiny.day

--- What the server says that somebody of any id did, the newest first.
local function history_of(user)
  local ids = {}
  for i, event in ipairs(call("POST", "/users/lookup", { user = user }).history) do ids[i] = event.item end
  return ids
end

describe("posted events", function()
  setup(serving.start)
  teardown(serving.stop)

  it("count from the moment they are answered on", function()
    fresh()
    assert.same({ "i3", "i2", "i1" }, history "u1")
    assert.same({ taken = 1, known = 0, refused = 0, committed = true, errors = json.list {} },
      call("POST", "/events", { user = "u1", item = "i9", time = 14 * day }))
    assert.same({ "i9", "i3", "i2", "i1" }, history "u1")
    local user = call("GET", "/users/u1?limit=1")
    assert.same({ 4, 1, true, 14 * day + 1 }, { user.events, #user.history, user.in_model, user.as_of })
    call("POST", "/events", { user = "somebody new", item = "i2", time = 14 * day })
    user = call("GET", "/users/somebody%20new")
    assert.same({ 1, false, "Title 2, \"quoted\"" }, { user.events, user.in_model, user.history[1].title })
    assert.same({}, history "nobody")
  end)

  it("are there again after a restart, in their order", function()
    fresh()
    local list = {}
    for i = 1, 12 do list[i] = { user = "u" .. i % 3 + 1, item = "i" .. i, time = 14 * day + i % 2 } end
    assert.equal(12, call("POST", "/events", list).taken)
    local before = { history "u1", history "u2", history "u3" }
    open()
    assert.same(before, { history "u1", history "u2", history "u3" })
  end)

  it("count after a restart, too, where the clock lies behind the bundle's making", function()
    local folder = command.temporary()
    local path = tiny.publish(tiny.build(), folder .. "/models", { created = "2100-01-01T00:00:00Z" })
    local function seen(post)
      local one = program.start { path, "--workers", "1", "--events", folder .. "/events.db" }
      if post then
        local reply = program.ask(one, "POST", "/events", { user = "u1", item = "i9", time = 13 * day })
        assert.equal(200, reply.status, reply.body)
      end
      local user = json.decode(program.ask(one, "GET", "/users/u1").body)
      program.stop(one, "sigterm")
      return user.events
    end
    assert.equal(4, seen(true))
    assert.equal(4, seen(false))
    command.remove(folder)
  end)

  it("in seconds are refused, once the model is of a time when that is a mistake", function()
    fresh()
    assert.equal(1, call("POST", "/events", { user = "u1", item = "i1", time = 86400 }).taken) -- of 1970, as its events
    local now = os.time()
    assert.equal(1, call("POST", "/events", { user = "u1", item = "i2", time = 1000 * now }).taken)
    for _, body in ipairs { { "/events", { user = "u1", item = "i3", time = now }, "'time' lies before 1980" },
      { "/recommend", { user = "u1", now = now }, "now: .* in seconds%? Milliseconds", "now" },
      { "/similar", { item = "i1", now = now }, "in seconds%?", "now" },
      { "/score", { user = "u1", items = { "i1" }, now = now }, "in seconds%?", "now" },
      { "/recommend", { history = { { item = "i1", time = now } } }, "in seconds%?", "history" } } do
      local reply, answer = ask("POST", body[1], body[2])
      assert.equal(400, reply.status, body[1])
      assert.matches(body[3], answer.error.message)
      if body[4] then assert.equal(body[4], answer.error.path) end
    end
    assert.equal(2, #call("POST", "/recommend", { user = "u1", now = 1000 * now, k = 2 }).items)
  end)

  it("are refused in place, and the others taken", function()
    fresh()
    local answer = call("POST", "/events", { { user = "u1", item = "i9" }, { user = "u1", item = "gone" },
      { user = "u1" }, 7, { user = "u1", item = "i8", time = "2100-01-01T00:00:00Z" }, { user = "u1", item = "i8" } })
    assert.same({ 2, 4 }, { answer.taken, answer.refused })
    local messages = {}
    for i, problem in ipairs(answer.errors) do messages[i] = ("%d: %s"):format(problem.index, problem.message) end
    assert.same({ "1: there is no item 'gone' in the catalogue", "2: 'item' is missing", "3: this is no object",
      "4: 'time' lies in the future, by the server's clock" }, messages)
    assert.equal("i8", history "u1"[1])
    local reply, body = ask("POST", "/events", { user = "u1", item = "gone" })
    assert.same({ 400, "there is no item 'gone' in the catalogue" }, { reply.status, body.error.message })
    reply, body = ask("POST", "/events", { { user = "u1", item = "gone" }, {} })
    assert.same({ 400, 2 }, { reply.status, body.refused })
    assert.equal(400, ask("POST", "/events", "{", { ["Content-Type"] = "application/json" }).status)
  end)

  it("name ids and times as requests do", function()
    fresh()
    call("POST", "/items", { { id = 501, created = 13 * day }, { id = "502", created = "1970-01-13T01:00+01:00" } })
    call("POST", "/events", { { user = 17, item = 501, time = "1970-01-15T05:30:00+05:30" },
      { user = "17", item = 502, time = "1970-01-16", id = 9 }, { user = 17, item = 502, time = 14 * day, id = "9" } })
    local user = call("POST", "/users/lookup", { user = 17 })
    assert.same({ "502", 15 * day, "501", 14 * day }, { user.history[1].item, user.history[1].time,
      user.history[2].item, user.history[2].time })
    assert.equal(2, user.events)
    local one = call("POST", "/recommend", { user = 17, k = 20, now = "1970-01-16T05:30:00.001+05:30",
      filter = { item = { 501, 502 }, created = { gte = "1970-01-13T01:00+01:00", lt = "1970-01-13T00:00:01Z" } },
      exclude_seen = false })
    assert.same({ 15 * day + 1, 1, "502" }, { one.now, #one.items, one.items[1].id })
  end)

  it("may come in lines", function()
    fresh()
    local lines = '{"user":"u1","item":"i9"}\n\nnonsense\n{"user":"u2","item":"i9"}\n'
    local answer = call("POST", "/events", lines, { ["Content-Type"] = "application/jsonlines" })
    assert.same({ 2, 1, 2 }, { answer.taken, answer.refused, answer.errors[1].index }) -- line 3
    assert.same({ "i9", "i4", "i3" }, history "u2")
  end)

  it("of an id count once, also after a restart", function()
    fresh()
    local event = { user = "u1", item = "i9", id = "e-1" }
    assert.equal(1, call("POST", "/events", event).taken)
    local again = call("POST", "/events", event)
    assert.same({ 0, 1 }, { again.taken, again.known })
    open()
    assert.equal(1, call("POST", "/events", event).known)
    assert.equal(4, call("GET", "/users/u1").events)
    assert.equal(1, serving.metric 'recsys_posts_total{outcome="known"}')
    assert.equal(0, serving.metric "recsys_posts_waiting")
  end)

  it("are taken from no form and no page of another site", function()
    fresh()
    local body = '{"user":"u1","item":"i9"}'
    for _, kind in ipairs { "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x" } do
      assert.equal(415, ask("POST", "/events", body, { ["Content-Type"] = kind }).status)
    end
    assert.equal(3, call("GET", "/users/u1").events)
  end)

  it("and questions of users are refused for a query that makes no sense", function()
    fresh()
    local event = { user = "u1", item = "i9" }
    for _, case in ipairs {
      { "POST", "/events?wait=maybe", event, "wait", "is 'maybe', neither true nor false" },
      { "POST", "/events?wait", event, "wait", "is '', neither true nor false" },
      { "POST", "/events?wiat=false", event, "wiat", "there is no such word of the query; there is wait" },
      { "POST", "/items?k=1", { id = "i13" }, "k", "there is wait" },
      { "POST", "/events?wait=true&wait=true", event, "wait", "stands there twice" },
      { "GET", "/users/u1?limit=abc", nil, "limit", "is 'abc'; a whole number of 1 to 1000 is expected" },
      { "GET", "/users/u1?limit=0", nil, "limit", "is '0'" }, { "GET", "/users/u1?limit=1001", nil, "limit", "'1001'" },
      { "GET", "/users?limit=-1", nil, "limit", "is '-1'" }, { "GET", "/users?limit=%201", nil, "limit", "is ' 1'" },
      { "GET", "/users?limit=99999999999999999999", nil, "limit", "to 1000" },
      { "GET", "/users?limit=", nil, "limit", "''" },
      { "GET", "/users/u1?kept=x", nil, "kept", "neither true nor false" },
      { "GET", "/users?kept=true", nil, "kept", "there are like, limit" },
      { "DELETE", "/users/u1?user=u2", nil, "user", "there is none" },
      { "DELETE", "/items/i9?x", nil, "x", "there is none" },
      { "POST", "/users/erase?user=u2", { user = "u1" }, "user", "there is none" },
      { "POST", "/recommend?k=3", { user = "u1" }, "k", "there is none" },
    } do
      local reply, body = ask(case[1], case[2], case[3])
      assert.same({ 400, "bad_request", case[4] }, { reply.status, body.error.code, body.error.path }, case[2])
      assert.truthy(body.error.message:find(case[5], 1, true), body.error.message)
    end
    assert.equal(3, call("GET", "/users/u1?kept=false&limit=1000").events)
    assert.is_nil(call("GET", "/users/u1?kept=false").kept)
    assert.equal(1, call("POST", "/events?wait=true", event).taken)
  end)

  it("need not be waited for", function()
    fresh()
    local reply, answer = ask("POST", "/events?wait=false", { user = "u1", item = "i9" })
    assert.same({ 202, 1, false }, { reply.status, answer.taken, answer.committed })
    for _ = 1, 200 do
      if call("GET", "/users/u1").events == 4 then break end
      uv.sleep(10)
    end
    assert.equal(4, call("GET", "/users/u1").events)
  end)

  it("wait while the database is held by somebody else, and the caller does not", function()
    fresh()
    local other = assert(sql.open(serving.events(), { busy_ms = 2000 }))
    other:execute "BEGIN IMMEDIATE"
    local begun = uv.hrtime()
    local reply, answer = ask("POST", "/events", { user = "u1", item = "i9" })
    assert.same({ 202, 1, false }, { reply.status, answer.taken, answer.committed })
    assert.is_true(uv.hrtime() - begun < 2e9)
    assert.equal(202, ask("DELETE", "/users/u2").status)
    assert.equal(3, call("GET", "/users/u1").events)
    other:execute "ROLLBACK"
    other:close()
    for _ = 1, 500 do
      if call("GET", "/users/u1").events == 4 and #history "u2" == 0 then break end
      uv.sleep(10)
    end
    assert.equal(4, call("GET", "/users/u1").events)
    assert.same({}, history "u2")
  end)

  it("that a later version was trained with do not count twice", function()
    local opened = fresh()
    call("POST", "/events", { user = "u1", item = "i9", time = 12 * day + 5 })
    call("POST", "/events", { user = "u1", item = "i8", time = 14 * day })
    assert.equal(5, call("GET", "/users/u1").events)
    -- made later, of data up to day 13: the first is among its data, the second is not
    local path = tiny.publish(serving.built, serving.folder .. "/later", { created = "2099-01-01T00:00:00Z" })
    assert(opened.server:put("live", assert(require("recsys.core").serve.open(path)), "tiny-2"))
    assert.same({ "i8", "i3", "i2", "i1" }, history "u1")
  end)

  it("of a person can be seen and erased", function()
    fresh()
    call("POST", "/events", { { user = "u1", item = "i9", time = 14 * day, type = "click" },
      { user = "u2", item = "i9", time = 14 * day } })
    local kept = call("GET", "/users/u1?kept=true").kept
    assert.same({ 1, "i9", "click" }, { #kept, kept[1].item, kept[1].fields.type })
    assert.same({ erased = true, in_model = true, committed = true }, call("DELETE", "/users/u1"))
    assert.same({}, history "u1")
    assert.same({}, call("GET", "/users/u1?kept=true").kept)
    assert.same({ "i9", "i4", "i3" }, history "u2")
    open()
    assert.same({}, history "u1")
    call("POST", "/events", { user = "u1", item = "i5" })
    assert.same({ "i5" }, history "u1")
    local db = assert(sql.open(serving.events()))
    assert.equal(0, db:row("SELECT count(*) AS n FROM online_events WHERE item = 'i9' AND user = 'u1'").n)
    db:close()
  end)

  it("of an id that no path can hold can be seen and erased by a body", function()
    fresh()
    local odd = { "a/b", "a\\b", "a\nb", "100%", "a%2Fb", "../x", "é/ü", "lookup" }
    for i, user in ipairs(odd) do
      call("POST", "/events", { user = user, item = "i" .. i, time = 14 * day, type = "click" })
      local found = call("POST", "/users/lookup", { user = user, kept = true })
      assert.same({ user, 1, "i" .. i, "click", false },
        { found.user, found.events, found.history[1].item, found.kept[1].fields.type, found.in_model })
    end
    for i, user in ipairs(odd) do
      assert.same({ erased = true, in_model = false, committed = true }, call("POST", "/users/erase", { user = user }))
      assert.same({}, history_of(user))
      if odd[i + 1] then assert.equal(1, #history_of(odd[i + 1])) end
    end
    assert.same({ erased = true, in_model = true, committed = true }, call("POST", "/users/erase", { user = "u1" }))
    assert.same({}, history "u1")
    open()
    for _, user in ipairs { "u1", table.unpack(odd) } do assert.same({}, history_of(user)) end
    call("POST", "/events", { user = "u2", item = "i9", time = 14 * day })
    assert.same({ 3, 2 }, { call("POST", "/users/lookup", { user = "u2", limit = 2 }).events,
      #call("POST", "/users/lookup", { user = "u2", limit = 2 }).history })
  end)

  it("are told and erased for a body alone that makes sense", function()
    fresh()
    local json_type = { ["Content-Type"] = "application/json" }
    for _, case in ipairs {
      { "lookup", "{}", "the body has no 'user'" }, { "erase", "{}", "the body has no 'user'" },
      { "erase", '{"user":""}', "is empty", "user" }, { "lookup", '{"user":null}', "is null, not a string", "user" },
      { "erase", '{"user":"u1","limit":1}', "there is no such field; there are user", "limit" },
      { "lookup", '{"user":"u1","user":"u2"}', "stands there twice", "user" },
      { "lookup", '{"user":"u1","limit":0}', "is 0; 1 to 1000 events are shown", "limit" },
      { "lookup", '{"user":"u1","limit":"3"}', "is a string, not a number", "limit" },
      { "lookup", '{"user":"u1","kept":1}', "is a number, not true or false", "kept" },
      { "erase", '["u1"]', "is a list, not an object" }, { "erase", "", "the text ends too soon" },
      { "erase", '{"user":"u1"} x', "there is something behind the value" },
    } do
      local reply, body = ask("POST", "/users/" .. case[1], case[2], json_type)
      assert.same({ 400, case[4] }, { reply.status, body.error.path }, case[2])
      assert.truthy(body.error.message:find(case[3], 1, true), case[2] .. ": " .. body.error.message)
    end
    assert.equal(415, ask("POST", "/users/erase", '{"user":"u1"}', { ["Content-Type"] = "text/plain" }).status)
    assert.equal(405, ask("PUT", "/users/erase", "x").status)
    assert.equal(3, call("GET", "/users/u1").events)
    call("POST", "/events", { user = "17", item = "i9", time = 14 * day })
    assert.equal("17", call("POST", "/users/lookup", { user = 17 }).user)
    assert.equal(1, call("POST", "/users/lookup", { user = 17 }).events)
  end)

  it("and items are not told to be gone before that is kept", function()
    fresh()
    call("POST", "/events", { user = "u1", item = "i9", time = 14 * day })
    local other = assert(sql.open(serving.events()))
    other:execute "BEGIN IMMEDIATE"
    local reply, body = ask("DELETE", "/users/u1")
    assert.same({ 202, { erased = false, in_model = true, committed = false } }, { reply.status, body })
    reply, body = ask("DELETE", "/items/i9")
    assert.same({ 202, { removed = false, committed = false } }, { reply.status, body })
    assert.equal(1, #call("GET", "/users/u1?kept=true").kept)
    other:execute "ROLLBACK"
    other:close()
    for _ = 1, 200 do
      if #history "u1" == 0 then break end
      uv.sleep(25)
    end
    assert.same({}, history "u1")
  end)

  -- The program is killed while events come one after another: what it has answered for is there again.
  it("survive a kill of the program, once they are answered", function()
    local file = serving.folder .. "/killed.db"
    local rounds, told = math.min(tonumber(os.getenv "RECSYS_KILLS") or 3, 20), 0
    for round = 1, rounds do
      local one = program.start { serving.path, "--events", file, "--workers", "1" }
      assert(one.url, one.err)
      for i = 1, 20 + round do
        local reply = program.ask(one, "POST", "/events", { user = "u1", item = "i" .. i % 12 + 1 })
        assert.equal(200, reply.status)
        told = told + 1
      end
      program.stop(one, "sigkill")
    end
    local one = program.start { serving.path, "--events", file, "--workers", "1" }
    local _, user = program.ask(one, "GET", "/users/u1")
    assert.equal(3 + told, user.events)
    assert.equal(0, program.stop(one, "sigterm"))
  end)

  it("that a locked database does not take before a stop's time is over are told to be lost", function()
    for _, case in ipairs { { drain = "0", held_ms = 1e9, code = 1, events = 3 },
      { drain = "20", held_ms = 700, code = 0, events = 6 } } do
      local file = ("%s/stopped-%s.db"):format(serving.folder, case.drain)
      local one = program.start { serving.path, "--events", file, "--workers", "1", "--drain", case.drain }
      assert(one.url, one.err)
      local other = assert(sql.open(file))
      other:execute "BEGIN IMMEDIATE"
      for i = 1, 3 do
        local reply = program.ask(one, "POST", "/events?wait=false", { user = "u1", item = "i" .. i })
        assert.equal(202, reply.status)
      end
      local timer = uv.new_timer()
      timer:start(case.held_ms, 0, function() other:execute "ROLLBACK" end)
      assert.equal(case.code, program.stop(one, "sigterm"), one.err)
      timer:close()
      other:close()
      if case.code == 0 then
        assert.equal("", one.err)
      else
        assert.matches("answered by 202 is lost, 3 events, .*/stopped%-0%.db: database is locked", one.err)
      end
      one = program.start { serving.path, "--events", file, "--workers", "1" }
      local _, user = program.ask(one, "GET", "/users/u1")
      assert.equal(case.events, user.events)
      assert.equal(0, program.stop(one, "sigterm"))
    end
  end)

  it("that a full disk does not take are refused for now, and why stands in the log", function()
    local file = serving.folder .. "/full.db"
    local script = command.write(serving.folder .. "/limited",
      ("#!/bin/sh\ntrap '' XFSZ\nulimit -S -f 400\nexec '%s' \"$@\"\n"):format(command.program), "755")
    local one = program.start({ serving.path, "--events", file, "--workers", "1", "--drain", "0" }, script)
    assert(one.url, one.err)
    local list, taken, reply, body = {}, 0, nil, nil
    for i = 1, 20 do list[i] = { user = "u1", item = "i" .. i % 12 + 1, fields = { text = ("x"):rep(2000) } } end
    for _ = 1, 50 do
      reply, body = program.ask(one, "POST", "/events", list)
      if reply.status ~= 200 then break end
      taken = taken + 20
    end
    assert.equal(503, reply.status, reply.body)
    assert.same({ 503, "1", "io" }, { reply.status, reply.headers["retry-after"], body.error.code })
    assert.equal("nothing was kept: the database cannot be used; the server's log says why", body.error.message)
    assert.is_true(taken > 0)
    assert.is_true(program.wait_for(one, "warning: posted events and items: " .. file .. ": "))
    command.run(("prlimit --pid %d --fsize=unlimited"):format(one.pid))
    assert.equal(200, program.ask(one, "POST", "/events", list).status)
    local _, user = program.ask(one, "GET", "/users/u1")
    assert.equal(3 + taken + 20, user.events)
    assert.is_true(program.wait_for(one, "posted events and items are written again"))
    for _, ending in ipairs { "", "-wal", "-shm" } do
      assert.equal("rw-------", lfs.attributes(file .. ending, "permissions"))
    end
    os.remove(file)
    reply, body = program.ask(one, "GET", "/users/u1?kept=true")
    assert.same({ 503, "what was posted cannot be read: the database cannot be used; the server's log says why" },
      { reply.status, body.error.message })
    assert.is_true(program.wait_for(one, file .. ": unable to open database file"))
    program.stop(one, "sigkill")
  end)

  it("and questions of a person leave no name in the access log", function()
    local log = serving.folder .. "/access.log"
    fresh { access_log = log }
    call("POST", "/events", { user = "alice", item = "i9" })
    call("GET", "/users/alice")
    call("DELETE", "/users/alice")
    call("POST", "/users/erase", { user = "alice" })
    serving.close()
    local lines = command.read(log)
    assert.truthy(lines:find('"method":"GET","path":"/users/{id}","status":200', 1, true))
    assert.truthy(lines:find('"method":"DELETE","path":"/users/{id}","status":200', 1, true))
    assert.is_nil(lines:find("alice", 1, true))
  end)

  it("are not taken by a server that keeps none", function()
    serving.open()
    local reply, body = ask("POST", "/events", { user = "u1", item = "i9" })
    assert.same({ 501, "not_kept" }, { reply.status, body.error.code })
    assert.equal(3, call("GET", "/users/u1").events)
  end)
end)

describe("what the server tells of its model", function()
  setup(function()
    serving.start()
    fresh()
  end)
  teardown(serving.stop)

  it("is some users, or those with a text in their id", function()
    local all = call("GET", "/users?limit=100")
    assert.same({ 6, 6 }, { #all.users, all.of })
    assert.equal(2, #call("GET", "/users?limit=2").users)
    assert.same({ "u\"5" }, call("GET", "/users?like=%225").users)
    assert.equal(0, #call("GET", "/users?like=nobody").users)
  end)

  it("is what it reads of users and items", function()
    local schema = call("GET", "/schema")
    assert.same({ { name = "platform", type = "string" } }, schema.user_fields)
    assert.same({ { name = "kind", type = "string" } }, schema.item_fields)
    assert.equal(12, schema.items)
    assert.same({ { name = "created", type = "time" },
      { name = "kind", type = "string", values = { "city", "sport" } } }, schema.attributes)
  end)

  it("is its page, which asks nothing of anybody else", function()
    local function file_of(path)
      return assert(serving.client:request { url = serving.opened:url() .. path })
    end
    local reply = file_of "/"
    assert.equal("text/html; charset=utf-8", reply.headers["content-type"])
    assert.matches("default%-src 'none'; script%-src 'self'", reply.headers["content-security-policy"])
    assert.equal("nosniff", reply.headers["x-content-type-options"])
    for _, file in ipairs(require("recsys.serve.page").files) do
      local found = file_of(file[1])
      assert.equal(200, found.status)
      assert.equal(command.read(file[2]), found.body)
      for link in found.body:gmatch "https?://[^\"'%s<)]+" do assert.matches("^http://www.w3.org/", link) end
    end
  end)
end)

--- What the page's server tells of flows: runs, tasks, logs, files and schedules of flow.db, which it does not change.

local files = require "recsys.files"
local json = require "recsys.json"
local record = require "recsys.flow.record"
local server = require "spec.support.ui_server"
local state = require "recsys.flow.state"
local uv = require "luv"

local ask, call, refusal = server.ask, server.call, server.refusal
local flows = "/api/recsys/flows"

before_each(server.start)
after_each(server.stop)

--- A run of a recipe that came so far: tasks are { name, state, reason?, after? }.
local function run(name, recipe, tasks, ends)
  local folder = ("%s/artifacts/runs/%s"):format(server.folder, name)
  files.make_folder(folder)
  local recorded = record.begin { folder = folder, runs = server.folder .. "/artifacts/runs", recipe = recipe,
    path = "x.lua" }
  for number, task in ipairs(tasks) do
    local names = {}
    for word in (task.after or ""):gmatch "%S+" do names[word] = true end
    local one = { number = number, name = task[1], after = names, state = "running", started = 1000, inputs = {},
      origin = task.origin }
    if task[2] == "pending" then
      recorded:expect { one }
    else
      if task[2] ~= "cached" then recorded:move(one) end
      one.state = task[2]
      recorded:move(one, task.reason)
    end
  end
  if ends then recorded:finish(ends, ends ~= "completed" and "why" or nil) end
  return folder
end

local function database(fn)
  local db <close> = state.open(server.folder .. "/artifacts")
  return fn(db)
end

--- Give a run a process that is gone.
local function kill(id)
  database(function(db) db:run("UPDATE runs SET pid = ?, holder = NULL WHERE id = ?", { 1 << 30, id }) end)
end

describe("the API of flows", function()
  it("says that there is nothing, and makes nothing", function()
    assert.same({ total = 0, runs = {}, recipes = {}, missing = true }, call("GET", flows))
    assert.same({ schedules = {} }, call("GET", "/api/recsys/schedules"))
    assert.same({ 404, "RESOURCE_DOES_NOT_EXIST" }, refusal(ask("GET", "/api/recsys/flow?id=1")))
    assert.is_false(files.exists(server.folder .. "/artifacts/flow.db"))
  end)

  it("lists runs, the youngest first, by recipe and state, in pages", function()
    for i = 1, 5 do run("a-" .. i, "a", { { "load", "cached" }, { "train", "completed" } }, "completed") end
    run("b-1", "b", { { "load", "failed", reason = "no" }, { "train", "pending" } }, "failed")
    run("b-2", "b", { { "load", "running" } })
    kill(7)
    local all = call("GET", flows)
    assert.same({ 7, { "a", "b" }, "b-2", "crashed", { crashed = 1 } },
      { all.total, all.recipes, all.runs[1].name, all.runs[1].state, all.runs[1].tasks })
    assert.same({ failed = 1, pending = 1 }, all.runs[2].tasks)
    assert.same({ cached = 1, completed = 1 }, all.runs[3].tasks)
    local page = call("GET", flows .. "?recipe=a&offset=3&limit=3")
    assert.same({ 5, 2, "a-1" }, { page.total, #page.runs, page.runs[2].name })
    assert.equal(1, call("GET", flows .. "?state=crashed").total)
    assert.equal(0, call("GET", flows .. "?state=running").total)
    assert.equal(0, call("GET", flows .. "?recipe=a'%20OR%201=1--").total)
    database(function(db) -- nothing was changed by who looked
      assert.equal("running", db:row("SELECT state FROM runs WHERE id = 7").state)
    end)
    for _, wrong in ipairs { "limit=1001", "limit=x", "offset=-1", "recipe=a&recipe=b" } do
      assert.same({ 400, "INVALID_PARAMETER_VALUE" }, refusal(ask("GET", flows .. "?" .. wrong)), wrong)
    end
  end)

  it("shows a run with what each task follows, and from which run a result is", function()
    run("first", "a", { { "load", "completed" } }, "completed")
    local folder = run("second", "a", { { "load", "cached", origin = "first" }, { "train", "timed_out",
      reason = "it was stopped", after = "load" }, { "last", "pending", after = "train load" } }, "failed")
    files.write(folder .. "/track.json", json.encode { run_id = "abc" })
    local one = call("GET", "/api/recsys/flow?id=2")
    assert.same({ "second", "failed", "why", "abc", true }, { one.name, one.state, one.reason, one.tracked, one.here })
    assert.same({ "cached", "timed_out", "pending" }, { one.tasks[1].state, one.tasks[2].state, one.tasks[3].state })
    assert.same({ "first", 1, "it was stopped", "load train" },
      { one.tasks[1].origin, one.tasks[1].origin_id, one.tasks[2].reason, one.tasks[3].after })
    assert.same({ "running", "cached", "running", "timed_out", "pending", "failed" }, (function()
      local words = {}
      for i, change in ipairs(one.transitions) do words[i] = change.state end
      return words
    end)())
    for _, wrong in ipairs { "id=0", "id=x", "", "id=1&id=2" } do
      assert.equal(400, ask("GET", "/api/recsys/flow?" .. wrong).status, wrong)
    end
    assert.equal(404, ask("GET", "/api/recsys/flow?id=3").status)
  end)

  it("calls trials by their study, too", function()
    run("two_tower-1/trial_3", "a", {}, "completed")
    run("two_tower-2", "a", {}, "completed")
    local all = call("GET", flows).runs
    assert.same({ "trial_3", "two_tower-1/trial_3", "two_tower-2" }, { all[2].name, all[2].label, all[1].label })
    assert.equal("two_tower-1/trial_3", call("GET", "/api/recsys/flow?id=1").label)
  end)

  it("tells runs of one name apart by their folders", function()
    local first = run("two_tower-1/trial_0", "a", { { "load", "completed" } }, "completed")
    run("two_tower-2/trial_0", "a", { { "load", "completed" } }, "completed")
    run("third", "a", { { "load", "cached", origin = uv.fs_realpath(first) }, { "train", "cached", origin = "trial_0" },
      { "test", "cached", origin = "/gone/third" } }, "completed")
    local tasks = call("GET", "/api/recsys/flow?id=3").tasks
    assert.same({ "two_tower-1/trial_0", 1 }, { tasks[1].origin, tasks[1].origin_id })
    assert.same({ "trial_0", nil }, { tasks[2].origin, tasks[2].origin_id }) -- it may be either
    assert.same({ "third", 3 }, { tasks[3].origin, tasks[3].origin_id }) -- of a store that was moved
  end)

  it("finds the flow of a tracked run, and none where there is none", function()
    local tracked = server.new_run("0", "first", { tags = { { key = "recsys.run", value = "artifacts/runs/first" } } })
    local other = server.new_run("0", "first", { tags = { { key = "recsys.run", value = "artifacts/runs/first" } } })
    local folder = run("first", "a", {}, "completed")
    files.write(folder .. "/track.json", json.encode { run_id = tracked })
    assert.same({ id = 1 }, call("GET", "/api/recsys/flow?run_id=" .. tracked))
    assert.same({}, call("GET", "/api/recsys/flow?run_id=" .. other)) -- of a folder that was made anew
    assert.same({}, call("GET", "/api/recsys/flow?run_id=" .. server.new_run()))
    assert.equal(404, ask("GET", "/api/recsys/flow?run_id=none").status)
  end)

  it("follows the log of a task, or of an element of its list", function()
    local folder = run("first", "a", { { "load", "completed" }, { "train", "completed" }, { "weeks", "completed" } })
    files.make_folder(folder .. "/logs")
    files.write(folder .. "/logs/01-load.txt", "read é\255\n")
    files.write(folder .. "/logs/02-train.txt", "one\n")
    files.write(folder .. "/logs/03-weeks.2.txt", "two\n")
    local function log(words) return call("GET", "/api/recsys/flow/log?id=1&" .. words) end
    local load = log "task=1"
    assert.same({ "read ???\n", true }, { load.text, load.running })
    assert.equal("", log("task=1&offset=" .. load.offset).text)
    assert.same({ text = "one\n", offset = 4, running = true }, log "task=2")
    files.write(folder .. "/logs/02-train.txt", "one\ntwo\n")
    assert.same({ "two\n", 8 }, { log("task=2&offset=4").text, log("task=2&offset=4").offset })
    assert.equal("two\n", log("task=3&element=2").text)
    assert.same({ text = "", offset = 0, running = true }, log "task=3&element=1")
    assert.same({ { 0 }, { 2 } }, (function()
      local tasks = call("GET", "/api/recsys/flow?id=1").tasks
      return { tasks[2].logs, tasks[3].logs }
    end)())
    assert.equal(404, ask("GET", "/api/recsys/flow/log?id=1&task=9").status)
    assert.equal(400, ask("GET", "/api/recsys/flow/log?id=1&task=1&offset=-1").status)
  end)

  it("reads no file outside of the store, whatever the database says", function()
    local folder = run("first", "a", { { "load", "completed" } })
    files.make_folder(folder .. "/logs")
    files.write(server.folder .. "/secret.txt", "secret\n")
    uv.fs_symlink(server.folder .. "/secret.txt", folder .. "/logs/01-load.txt")
    database(function(db)
      db:run("INSERT INTO notes (run_id, number, element, kind, title, file) VALUES (1, 1, 0, 'picture', 'x', ?)",
        { "../../../secret.txt" })
    end)
    local function log() return call("GET", "/api/recsys/flow/log?id=1&task=1").text end
    assert.equal("", log())
    assert.equal(404, ask("GET", "/api/recsys/flow/file?id=1&note=1").status)
    for column, value in pairs { folder = server.folder, name = "../../" } do
      database(function(db) db:run(("UPDATE runs SET %s = ?"):format(column), { value }) end)
      assert.equal("", log())
    end
    database(function(db) db:run("UPDATE tasks SET name = ?", { "../../../../secret" }) end)
    assert.equal("", log())
  end)

  it("lists schedules with the next time of those that wait", function()
    database(function(db)
      db:run("INSERT INTO schedules (name, recipe, cron, zone, missed, holder, due, code) VALUES (?, ?, ?, ?, ?, ?, "
        .. "?, ?)", { "nightly", "x.lua", "0 2 * * *", "Europe/Berlin", "skip", 1 << 30, 1000, 1 })
    end)
    local one = call("GET", "/api/recsys/schedules").schedules[1]
    assert.same({ "nightly", "stopped", 1, 1000, nil }, { one.name, one.state, one.code, one.due, one.next })
    local zone = os.getenv "TZ"
    local process = require "recsys.track.process"
    database(function(db) db:run("UPDATE schedules SET holder = ?", { process.name() }) end)
    one = call("GET", "/api/recsys/schedules").schedules[1]
    assert.equal("waits", one.state)
    assert.is_true(one.next > os.time() and one.next <= os.time() + 25 * 3600)
    assert.is_true(os.date("!*t", math.tointeger(one.next)).hour <= 1) -- two o'clock of Berlin
    assert.equal(zone, os.getenv "TZ")
  end)

  it("asks for the token, as all calls do, and changes nothing on anybody's word", function()
    run("first", "a", {}, "completed")
    server.opened:close()
    server.open { token = "s3cret" }
    for _, path in ipairs { "flows", "flow?id=1", "flow/log?id=1&task=1", "flow/file?id=1&note=1", "schedules" } do
      assert.same({ 401, "UNAUTHENTICATED" }, refusal(ask("GET", "/api/recsys/" .. path)))
      assert.equal(403, ask("GET", "/api/recsys/" .. path, nil, { Host = "evil.example" }).status)
      assert.equal(404, ask("POST", "/api/recsys/" .. path, {}, { Authorization = "Bearer s3cret" }).status)
    end
  end)
end)

--- Hooks hear of runs and tasks, and neither hold up nor fail anything.

local command = require "spec.support.command"
local hooks = require "recsys.flow.hooks"
local http = require "recsys.http"
local json = require "recsys.json"
local recipe_run = require "spec.support.recipe_run"
local record = require "recsys.flow.record"
local state = require "recsys.flow.state"
local uv = require "luv"

local RECIPE = [[
local recsys = require "recsys"
local function work(p)
  if p.what == "fails" then error "no luck" end
  if p.what == "babbles" then error(("ä"):rep(9000) .. "\xff\xfe") end
  if p.what == "mumbles" then error "bad \xff\xfe bytes, \xe2\x82" end
  return { n = 1 }
end
return recsys.recipe {
  name = "hooked", about = "Hooks", params = { what = "", n = 1 },
  on_failure = { 'cat >> failed.json; echo "$RECSYS_EVENT $RECSYS_RUN $RECSYS_STATE" >> failed.txt', %s },
  on_success = "cat >> fine.json",
  on_state = 'echo "$RECSYS_TASK/$RECSYS_STATE" >> states.txt',
  run = function(flow, p)
    flow:task("own", { on_state = "cat >> task.json", on_success = { command = "sleep 30", timeout = 0.3 },
      on_failure = "exit 7" }, work, p)
    if p.what == "waits" then flow:task("waits", function()
      io.open("waits.txt", "w"):close()
      for _ = 1, 600 do require("luv").sleep(50) end
    end) end
    if p.what:find "^part" then
      flow:sub("part", recsys.recipe { name = "inner", about = "A part", on_failure = "cat >> part.json",
        on_success = "cat >> part.json", on_state = 'echo "$RECSYS_TASK/$RECSYS_STATE" >> part.txt',
        run = function(part) part:task("one", function() if p.what == "part fails" then error "inner" end end) end })
    end
    if p.what == "gate" then flow:gate("enough", { metric = "m", value = 0.1, at_least = 0.5 }, "no") end
    return p.what == "refused" and { refused = "too bad" } or {}
  end,
}]]

local runs

local function begin(more) runs = recipe_run(RECIPE:format(more or "")) end

local function events(name)
  local list = {}
  for line in runs:read(name):gmatch "[^\n]+" do list[#list + 1] = assert(json.decode(line)) end
  table.sort(list, function(a, b) return a.time < b.time or a.time == b.time and a.state > b.state end)
  return list
end

local function sorted_lines(name)
  local list = {}
  for line in runs:read(name):gmatch "[^\n]+" do list[#list + 1] = line end
  table.sort(list)
  return list
end

describe("hooks", function()
  after_each(function() if runs then runs:remove() end runs = nil end)

  it("hear of every state, and of success; one that takes too long is stopped and fails nothing", function()
    begin()
    local began = uv.hrtime()
    local code, err = runs:run "fine"
    assert.equal(0, code, err)
    assert.is_true(uv.hrtime() - began < 12e9)
    local fine = events "fine.json"
    assert.equal(1, #fine)
    assert.same({ "hooked", "completed", "on_success" }, { fine[1].recipe, fine[1].state, fine[1].event })
    assert.is_nil(fine[1].task)
    local states = sorted_lines "states.txt"
    assert.equal("/completed,/running,own/", (table.concat(states, ","):match "^(/completed,/running,own/)"))
    local task = events "task.json"
    assert.equal(2, #task)
    assert.same({ "own", "running" }, { task[1].task, task[1].state })
    assert.is_true(task[2].seconds >= 0)
    assert.matches("on_success of task own %(.*%), sleep 30: was stopped after its timeout of 0.3 s",
      command.read(runs:run_folder() .. "/hooks.txt"))
    assert.equal("", runs:read "failed.json")
  end)

  it("hear of failures with their message; one that fails is told in hooks.txt", function()
    begin()
    assert.equal(1, (runs:run "fails"))
    local failed = events "failed.json"
    assert.equal(1, #failed)
    assert.equal("failed", failed[1].state)
    assert.matches("task 'own' %(recipe.lua:%d+%): recipe.lua:%d+: no luck", failed[1].message)
    assert.matches("^on_failure hooked%-%d+%-%d+ failed\n$", runs:read "failed.txt")
    assert.matches("on_failure of task own %(failed%), exit 7: ended with code 7",
      command.read(runs:run_folder() .. "/hooks.txt"))
  end)

  it("hear of a gate that refused", function()
    begin()
    assert.equal(3, (runs:run "refused"))
    local failed = events "failed.json"
    assert.same({ "quality", "too bad", "refused" }, { failed[1].code, failed[1].message, failed[1].state })
    assert.equal(3, (runs:run "gate"))
    failed = events "failed.json"
    assert.same({ "quality", "refused" }, { failed[2].code, failed[2].state })
    assert.matches("task 'enough': no %(m is 0.1, which must be at least 0.5%)", failed[2].message)
    local db <close> = state.open(runs:path "artifacts")
    for _, run in ipairs(record.runs(db)) do assert.equal("refused", run.state) end
  end)

  it("of a part hear of the part's tasks, and of its end", function()
    begin()
    assert.equal(0, (runs:run "part"))
    assert.same({ "part.one/completed", "part.one/running", "part/completed" }, sorted_lines "part.txt")
    local told = events "part.json"
    assert.equal(1, #told)
    assert.same({ "on_success", "inner", "part", "completed" },
      { told[1].event, told[1].recipe, told[1].task, told[1].state })
    os.remove(runs:path "part.txt")
    os.remove(runs:path "part.json")
    assert.equal(1, (runs:run "part fails"))
    assert.same({ "part.one/failed", "part.one/running", "part/failed" }, sorted_lines "part.txt")
    told = events "part.json"
    assert.matches("task 'part.one': .*inner", told[1].message)
  end)

  it("hold up a run that a signal has stopped for some seconds, when its end stands in flow.db", function()
    begin '{ command = "touch slow.txt; sleep 40", timeout = 60 }'
    local going = runs:begin "waits"
    runs:wait(function() return uv.fs_stat(runs:path "waits.txt") end, "task")
    local began = uv.hrtime()
    uv.kill(going.pid, "sigterm")
    runs:wait(function() return uv.fs_stat(runs:path "slow.txt") end, "hook")
    assert.is_nil(going.code)
    do
      local db <close> = state.open(runs:path "artifacts")
      assert.equal("cancelled", record.runs(db)[1].state)
    end
    assert.equal(143, (runs:finish(going)))
    assert.is_true(uv.hrtime() - began < 25e9)
  end)

  it("get messages in UTF-8 whatever was raised, cut between two characters", function()
    begin()
    assert.equal(1, (runs:run "mumbles"))
    local said = runs:read "failed.json"
    assert.is_truthy(utf8.len(said))
    assert.is_truthy(said:find("bad \u{FFFD}\u{FFFD} bytes, \u{FFFD}\u{FFFD}", 1, true), said)
    assert.is_truthy(utf8.len(command.read(runs:run_folder() .. "/tasks.json")))
    os.remove(runs:path "failed.json")
    assert.equal(1, (runs:run "babbles"))
    said = events("failed.json")[1].message
    assert.is_truthy(utf8.len(said))
    assert.is_true(#said > 16380 and #said <= 16384)
    local db <close> = state.open(runs:path "artifacts")
    for _, run in ipairs(record.runs(db)) do assert.is_truthy(utf8.len(run.reason)) end
  end)

  it("post to an address, again when it answers 500, and say what is wrong with it", function()
    local server = assert(http.server {})
    local asked = {}
    begin(([[{ url = "http://127.0.0.1:%d/hook?token=x", timeout = 8 },
      { url = "http://127.0.0.1:1/", timeout = 2 },
      { url = "http://user:PASSWORD@127.0.0.1:1/services/PLACE?token=QUERY#PART", timeout = 2 },
      { url = "http://user:PASSWORD@127.0.0.1:%d/services/REFUSED?token=QUERY", timeout = 2 }]])
      :format(server:port(), server:port()))
    local going = runs:begin "fails"
    while not going.code do
      server:step(20, function(request)
        if request.path:find "REFUSED" then return { status = 404 } end
        asked[#asked + 1] = request
        return { status = #asked == 1 and 500 or 200 }
      end)
      uv.run "nowait"
    end
    server:close()
    assert.equal(1, (runs:finish(going)))
    assert.equal(2, #asked)
    assert.equal("POST", asked[2].method)
    assert.equal("application/json", asked[2].headers["content-type"])
    assert.equal("failed", json.decode(asked[2].body).state)
    local said = command.read(runs:run_folder() .. "/hooks.txt")
    assert.matches("on_failure of the run %(failed%), http://127.0.0.1:1/: ", said)
    assert.matches("on_failure of the run %(failed%), http://127.0.0.1:1/...: %S", said)
    assert.matches("http://127.0.0.1:%d+/...: answered 404", said)
    for _, part in ipairs { "token", "QUERY", "PASSWORD", "user", "PLACE", "PART", "REFUSED" } do
      assert.is_nil(said:find(part, 1, true), said)
    end
  end)

  it("refuse what makes no sense, by its name", function()
    local cases = { { 1, "on_failure must be a command, an address or a table of one" },
      { {}, "on_failure needs either a command or a url" },
      { { command = "x", url = "http://x" }, "needs either a command or a url" },
      { { url = "ftp://x" }, "'ftp://x' is no address" },
      { { command = "x", timeout = 0 }, "timeout must be a number" },
      { { command = "x", timeot = 1 }, "'timeot' is not known; there are command, url and timeout" },
      { { "true", 5 }, "on_failure must be a command" } }
    for _, case in ipairs(cases) do
      local ok, problem = pcall(hooks.read, { on_failure = case[1] }, "the recipe")
      assert.is_false(ok)
      assert.equal("usage", problem.code)
      assert.is_truthy(problem.message:find("the recipe: on_failure", 1, true), problem.message)
      assert.is_truthy(problem.message:find(case[2], 1, true), problem.message)
    end
  end)
end)

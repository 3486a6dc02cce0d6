--- A flow that is killed at any moment and resumed ends as one that was left alone: nothing that was ready runs again,
--- no process, half-written file or lock is left, and the database is sound. With retries, a map, children, a child's
--- own children, a limit, and results of earlier runs; the flow's process alone is killed, all of them, or one child.
---
--- RECSYS_KILLS says how many random kills there are (4 without it); RECSYS_KILL_SEED repeats the moments of a run.

local files = require "recsys.files"
local json = require "recsys.json"
local limit = require "recsys.flow.limit"
local recipe_run = require "spec.support.recipe_run"
local record = require "recsys.flow.record"
local state = require "recsys.flow.state"
local uv = require "luv"

local RECIPE = [[
local recsys = require "recsys"
local notes = require "notes"
local uv = require "luv"

--- Work that leaves a trace of its beginning; its end is what the flow says.
local function work(name, seconds, value)
  notes.add("pids.txt", notes.pid())
  notes.add("ran.txt", name)
  uv.sleep(math.floor(seconds * 1000))
  return value
end

--- Fails the first time that it is called, and goes well when it is tried again.
local function flaky(name, value)
  if notes.first(name) then error "no luck yet" end
  return work(name, 0.02, value)
end

local function with_grandchild(n, t)
  os.execute "sleep 60 & echo $! >> pids.txt"
  return work("own", 0.03, { sum = t:sum() + n, t = t })
end

local function square(i, more)
  local value = { math.tointeger(i * i + more) }
  if i % 2 == 0 then return flaky("squares-" .. i, value) end
  return work("squares-" .. i, 0.02, value)
end

local function leave(path, list)
  require "recsys.files".make_folder(path:match "^(.*)/")
  require "recsys.files".write(path, ("%d\n"):rep(#list, ""):format(table.unpack(list)))
  return work("left", 0.01, path)
end

local again = { times = 40, delay = 0.01 }

return recsys.recipe {
  name = "killed", about = "To be killed", params = { what = "", n = 3, list = { 1, 2, 3, 4, 5 } },
  run = function(flow, p)
    local first = flow:task("first", work, "first", 0.02, { t = recsys.tensor.arange(1000), n = p.n })
    local own = flow:task("own", { process = true, retries = again }, with_grandchild, first.n, first.t)
    local tried = flow:task("tried", { process = true, retries = again, limits = { one = 1 } }, flaky, "tried",
      { n = 7 })
    local squares = flow:map("squares", { concurrency = 2, retries = again }, square, p.list, own.sum)
    local cubes = flow:map("cubes", { process = false, retries = again }, function(one, i)
      return flaky("cubes-" .. one[1], one[1] * i)
    end, squares, tried.n)
    local here = flow:task("here", { retries = again }, function(list, n)
      return work("here", 0.02, list[1][1] + list[5][1] + n)
    end, squares, tried.n)
    flow:sub("part", function(part)
      part:task("left", { process = true, retries = again }, leave, part:path "left.txt", cubes)
    end)
    return { here = here, sum = own.sum, squares = squares, cubes = cubes }
  end,
}]]

local OTHER <const> = "list=[1, 2, 9, 4, 5]" -- of which results of 3 are not kept by a run of 1 to 5

local runs

local function forget()
  os.execute(("cd '%s' && rm -rf artifacts limits ran.txt pids.txt first-*"):format(runs.folder))
end

--- The folder of the run; one that was killed before it had begun to be anything is none.
local function begun()
  local n = 1
  while runs:run_folder(n) do
    local folder = runs:run_folder(n)
    if files.exists(folder .. "/unfinished/run/value.lua") or files.exists(folder .. "/result.json") then
      return folder
    end
    n = n + 1
  end
end

--- The processes that are at work, beside the flow's own.
local function children(going)
  local list = {}
  for _, pid in ipairs(runs:alive "pids.txt") do
    if pid ~= going.pid then list[#list + 1] = pid end
  end
  return list
end

local kills = {}

--- The flow's own process.
function kills.flow(going) going.handle:kill "sigkill" end

--- It and its children, with all that these have started.
function kills.all(going)
  for _, pid in ipairs(children(going)) do uv.kill(pid, "sigkill") end
  going.handle:kill "sigkill"
end

--- One child, or what it has started: the flow goes on.
function kills.child(going)
  local list = children(going)
  if #list > 0 then uv.kill(list[math.random(#list)], "sigkill") end
end

--- Run to the end, or kill after so many milliseconds: whether it is done, its result, whether something was killed.
local function run(words, after, how)
  local going = runs:begin("", words)
  local began = uv.hrtime()
  while not going.code and after and (uv.hrtime() - began) / 1e6 < after do
    uv.run "nowait"
    uv.sleep(1)
  end
  local killed = after and not going.code
  if killed then kills[how](going) end
  local code, err, result = runs:finish(going)
  assert.is_true(code == 0 or killed and code == 137, ("code %d\n%s"):format(code, err))
  if code == 0 then return true, result, killed end
  local folder = begun()
  if not folder or files.exists(folder .. "/unfinished") then return false, nil, true end
  result = files.read(folder .. "/result.json") -- killed at its very end it is done, too
  return result ~= nil, result and json.decode(result), true
end

--- How often each piece of work was begun.
local function counts()
  local times = {}
  for name in runs:read("ran.txt"):gmatch "[^\n]+" do times[name] = (times[name] or 0) + 1 end
  return times
end

local SUM <const> = 499503 -- of the numbers below 1000, and 3

--- What the name of a piece of work for an element of the second map ends with.
local function cube_of(i) return i * i + SUM end

--- What flow.db says is ready, by the names of pieces of work. Raises when the database is not sound.
local function ready(list)
  local done = {}
  if not begun() or not files.exists(runs:path "artifacts/flow.db") then return done end
  local db <close> = state.open(runs:path "artifacts")
  for _, row in ipairs(db:rows "SELECT number, name FROM tasks WHERE state IN ('completed', 'cached')") do
    done[row.name:gsub("^part%.", "")] = true
  end
  for _, row in ipairs(db:rows "SELECT number, element FROM elements WHERE state IN ('completed', 'cached')") do
    local i = list[row.element]
    done[row.number == 4 and "squares-" .. i or "cubes-" .. cube_of(i)] = true
  end
  assert.same({ { integrity_check = "ok" } }, db:rows "PRAGMA integrity_check")
  assert.same({}, db:rows "PRAGMA foreign_key_check")
  return done
end

--- What flow.db says of a run that is done: each task and element is ready.
local function check_states(folder)
  local db <close> = state.open(runs:path "artifacts")
  record.sweep(db)
  local of = record.run(db, folder)
  assert.equal("completed", of.state)
  for _, task in ipairs(of.tasks) do
    for _, one in ipairs { task, table.unpack(task.elements or {}) } do
      assert.is_true(one.state == "completed" or one.state == "cached", ("%s is %s"):format(task.name, one.state))
    end
  end
  assert.equal(7, #of.tasks)
end

describe("a flow", function()
  local expected, seconds = {}, nil

  local function values(result) return { result.here, result.sum, result.squares, result.cubes } end

  setup(function()
    runs = recipe_run(RECIPE)
    uv.os_setenv("RECSYS_LIMITS", runs:path "limits")
    for _, words in ipairs { { "--set", OTHER }, {} } do -- the second leaves what it kept, for runs of the first
      forget()
      local began = uv.hrtime()
      local done, result = run(words)
      assert.is_true(done)
      seconds, expected[words[2] or ""] = (uv.hrtime() - began) / 1e9, values(result)
    end
    os.execute(("cd '%s' && mv artifacts/cache kept"):format(runs.folder))
  end)

  teardown(function()
    uv.os_unsetenv "RECSYS_LIMITS"
    runs:remove()
  end)

  before_each(forget)

  --- One run, killed until it is done: how often something was killed.
  local function check(ways, most)
    local list, set = ways.other and { 1, 2, 9, 4, 5 } or { 1, 2, 3, 4, 5 }, ways.other and OTHER or "n=3"
    local killed = 0
    local done, result, was_killed
    repeat
      local before, was = ready(list), counts()
      local after = killed < most and math.random() * seconds * 1200 or nil
      local how = ({ "flow", "all", "child" })[math.random(3)]
      done, result, was_killed = run({ "--resume", "--set", set, ways.cached and "--seed" or "--no-cache",
        ways.cached and "1" or nil }, after, how)
      killed = killed + (was_killed and 1 or 0)
      runs:wait(function() return #runs:alive "pids.txt" == 0 end, "end of all processes")
      local now = counts()
      for name in pairs(before) do assert.equal(was[name], now[name], name .. " was ready and ran again") end
    until done
    assert.same(expected[ways.other and OTHER or ""], values(result))
    check_states(begun())
    assert.equal(#list, select(2, files.read(begun() .. "/part/left.txt"):gsub("\n", "")))
    local release = assert(limit.try({ one = 1 }, "the spec"), "a place of the limit is held")
    release()
    return killed
  end

  --- Once more: all is kept, and what killed processes have left is gone.
  local function check_once_more(ways)
    local was = counts()
    local done, result = run { "--resume", "--set", ways.other and OTHER or "n=3" }
    assert.is_true(done)
    assert.same(expected[ways.other and OTHER or ""], values(result))
    assert.same(was, counts())
    assert.same({}, runs:left_over "artifacts")
    assert.is_nil(uv.fs_stat(begun() .. "/unfinished"))
  end

  --- What an earlier run had kept was never run.
  local function check_kept()
    local times = counts()
    for _, name in ipairs { "first", "own", "tried" } do assert.is_nil(times[name], name) end
    for _, i in ipairs { 1, 2, 4, 5 } do
      assert.is_nil(times["squares-" .. i])
      assert.is_nil(times["cubes-" .. cube_of(i)])
    end
  end

  it("killed again and again at random moments ends with the same result", function()
    local most, killed = tonumber(os.getenv "RECSYS_KILLS" or 4), 0
    local seed = tonumber(os.getenv "RECSYS_KILL_SEED") or os.time()
    math.randomseed(seed)
    while killed < most do
      forget()
      local ways = ({ {}, { cached = true }, { cached = true, other = true } })[math.random(3)]
      if ways.other then
        os.execute(("cd '%s' && mkdir artifacts && cp -a kept artifacts/cache"):format(runs.folder))
      end
      local ok, problem = pcall(function()
        killed = killed + check(ways, most - killed)
        check_once_more(ways)
        if ways.other then check_kept() end
      end)
      if not ok then
        error(("seed %d, after %d kills%s%s: %s"):format(seed, killed, ways.cached and ", with cache" or "",
          ways.other and ", some kept" or "", tostring(type(problem) == "table" and problem.message or problem)), 0)
      end
    end
  end)
end)

--- A flow that is killed at any moment and resumed ends as one that was left alone: no task that was completed runs
--- again, no process and no half-written file is left.
---
--- RECSYS_KILLS says how many random kills there are (4 without it); RECSYS_KILL_SEED repeats the moments of a run.

local files = require "recsys.files"
local json = require "recsys.json"
local lfs = require "lfs"
local recipe_run = require "spec.support.recipe_run"
local sql = require "recsys.sql"
local uv = require "luv"

local RECIPE = [[
local recsys = require "recsys"
local uv = require "luv"

local function note(name, ...)
  local file = assert(io.open(name, "a"))
  file:write(table.concat({ ... }, " "), "\n")
  file:close()
end

--- Work that leaves a trace of its beginning; its end is what the flow says.
local function work(name, seconds, value)
  note("pids.txt", math.tointeger(uv.os_getpid()))
  note("ran.txt", name)
  uv.sleep(math.floor(seconds * 1000))
  return value
end

--- Fails the first time that a run calls it, and goes well when it is tried again.
local function flaky(folder, value)
  local mark = folder .. "/tried-" .. value
  if not io.open(mark) then
    assert(io.open(mark, "w")):close()
    error "no luck yet"
  end
  return work("flaky", 0.02, { n = value })
end

return recsys.recipe {
  name = "killed", about = "To be killed", params = { what = "", n = 3 },
  run = function(flow, p)
    local first = flow:task("first", work, "first", 0.02, { t = recsys.tensor.arange(1000), n = p.n })
    local own = flow:task("own", { process = true }, function(n, t)
      return work("own", 0.03, { sum = t:sum() + n, t = t })
    end, first.n, first.t)
    local tried = flow:task("tried", { process = true, retries = { times = 40, delay = 0.01 } }, flaky, flow:path "", 7)
    local squares = flow:map("squares", { concurrency = 2, retries = 40 }, function(i, more)
      return work("square-" .. i, 0.02, { i * i + more })
    end, { 1, 2, 3, 4, 5 }, own.sum)
    local here = flow:task("here", { retries = { times = 40, delay = 0.01 } }, function(list, n)
      return work("here", 0.02, { list[1][1] + list[5][1] + n })
    end, squares, tried.n)
    return { here = here, sum = own.sum, squares = squares }
  end,
}]]

local runs

local function forget()
  os.execute(("cd '%s' && rm -rf artifacts ran.txt pids.txt"):format(runs.folder))
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

--- Run to the end, or kill after so many milliseconds: whether it is done, its result, whether it was killed.
local function run(words, after)
  local going = runs:begin("", words)
  local began = uv.hrtime()
  while not going.code and after and (uv.hrtime() - began) / 1e6 < after do
    uv.run "nowait"
    uv.sleep(1)
  end
  if not going.code and after then going.handle:kill "sigkill" end
  local code, err, result = runs:finish(going)
  assert.is_true(code == 0 or after and code == 137, ("code %d\n%s"):format(code, err))
  if code == 0 then return true, result end
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

--- Files that were being written.
local function half_written(folder, found)
  for _, name in ipairs(files.names(folder)) do
    local path = folder .. "/" .. name
    if lfs.symlinkattributes(path, "mode") == "directory" then
      half_written(path, found)
    elseif files.is_unfinished(name) or name:find "%.part$" then
      found[#found + 1] = path
    end
  end
  return found
end

--- What is ready now: tasks that flow.db says were completed, elements of the map.
local function ready()
  local folder, done = begun(), {}
  if not folder then return done end
  local db <close> = assert(sql.open(runs:path "artifacts/flow.db", { read_only = true }))
  local ok, rows = pcall(db.rows, db, "SELECT name FROM tasks WHERE state = 'completed'")
  for _, row in ipairs(ok and rows or {}) do done[row.name] = true end
  for i = 1, 5 do
    local kept = ("%s/unfinished/04-squares.%d.result/of.txt"):format(folder, i)
    if files.exists(kept) then done["square-" .. i] = true end
  end
  return done
end

describe("a flow", function()
  local expected, seconds

  setup(function()
    runs = recipe_run(RECIPE)
    local began = uv.hrtime()
    local done, result = run {}
    assert.is_true(done)
    seconds, expected = (uv.hrtime() - began) / 1e9, { result.here, result.sum, result.squares }
  end)

  teardown(function() runs:remove() end)

  before_each(forget)

  it("killed again and again at random moments ends with the same result", function()
    local kills, killed = tonumber(os.getenv "RECSYS_KILLS" or 4), 0
    local seed = tonumber(os.getenv "RECSYS_KILL_SEED") or os.time()
    math.randomseed(seed)
    while killed < kills do
      forget()
      local done, result, was_killed
      repeat
        local before, was = ready(), counts()
        local after = killed < kills and math.random() * seconds * 1200 or nil
        done, result, was_killed = run({ "--resume", "--no-cache" }, after)
        killed = killed + (was_killed and 1 or 0)
        runs:wait(function() return #runs:alive "pids.txt" == 0 end, "end of all processes, seed " .. seed)
        local now = counts()
        for name in pairs(before) do
          local work = name == "tried" and "flaky" or name
          assert.equal(was[work], now[work], ("%s was ready and ran again, seed %d"):format(name, seed))
        end
      until done
      assert.same(expected, { result.here, result.sum, result.squares })
      assert.same({}, half_written(begun(), {}))
      assert.is_nil(uv.fs_stat(begun() .. "/unfinished"))
    end
  end)
end)

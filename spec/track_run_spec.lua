--- Runs as scripts log them: names, values, files, ends of every kind; many writers, and writers that are killed.

local command = require "spec.support.command"
local files = require "recsys.files"
local names = require "recsys.track.names"
local store = require "recsys.track.store"
local track = require "recsys.track"
local uv = require "luv"

local folder
before_each(function() folder = command.temporary() end)
after_each(function()
  track.finish_all()
  command.remove(folder)
end)

local function by_key(list, field)
  local map = {}
  for _, one in ipairs(list or {}) do map[one.key] = one[field or "value"] end
  return map
end

local function run_of(id)
  local s <close> = store.open(folder)
  return s:run(id)
end

--- Run a script of the library to its end, with FOLDER as its argument.
local function script(text, before)
  local path = command.write(folder .. "/script.lua", text)
  return command.run(("%s'%s' lua '%s' '%s'"):format(before or "", command.program, path, folder))
end

describe("a run", function()
  it("logs parameters of groups, metrics, tags and notes, and is current until it is finished", function()
    local run = track.start { store = folder, experiment = "news", name = "first",
      tags = { team = "a", ["best@1"] = "b" } }
    assert.equal(run, track.current())
    run:tag("worst@10", "w")
    run:params { train = { rate = 0.1, hidden = { 128, 64 }, none = {} }, on = true, seed = 7 }
    run:metric("ndcg@10", 0.5, 2, 1700000000000)
    run:metrics({ ["valid/loss"] = 1 / 3, text = "no number" }, 3)
    run:metric("valid/loss", 0 / 0, 4)
    run:note "# Why"
    run:finish()
    assert.is_nil(track.current())
    local there = run_of(run.id)
    assert.same({ "FINISHED", "first", "1" },
      { there.info.status, there.info.run_name, there.info.experiment_id })
    assert.is_true(there.info.end_time >= there.info.start_time)
    assert.same({ ["train.rate"] = "0.1", ["train.hidden"] = "[128,64]", ["train.none"] = "{}",
      on = "true", seed = "7" },
      by_key(there.data.params))
    assert.same({ ndcg_10 = 0.5, ["valid/loss"] = "NaN" }, by_key(there.data.metrics))
    assert.same({ ndcg_10 = 2, ["valid/loss"] = 4 }, by_key(there.data.metrics, "step"))
    local tags = by_key(there.data.tags)
    assert.same({ "b", "w" }, { tags.best_1, tags.worst_10 })
    assert.same({ "a", "# Why", "LOCAL" }, { tags.team, tags["mlflow.note.content"], tags["mlflow.source.type"] })
    assert.truthy(tags["mlflow.source.git.commit"]:find "^%x+$")
    assert.equal(#command.run("git rev-parse HEAD").out - 1, #tags["mlflow.source.git.commit"])
    assert.equal(command.run("git rev-parse HEAD").out, tags["mlflow.source.git.commit"] .. "\n")
    assert.is_nil(tags["recsys.process"])
  end)

  it("refuses names and values where they are logged, and later changes", function()
    local run <close> = track.start { store = folder }
    local function code(...) return select(2, pcall(...)).code end
    assert.equal("INVALID_PARAMETER_VALUE", code(run.metric, run, "../x", 1))
    assert.equal("INVALID_PARAMETER_VALUE", code(run.metric, run, "x", "much"))
    assert.equal("INVALID_PARAMETER_VALUE", code(run.metric, run, "x", 1, 0.5))
    assert.equal("INVALID_PARAMETER_VALUE", code(run.metric, run, nil, 1))
    run:param("a", 1)
    run:param("a", 1)
    assert.equal("INVALID_PARAMETER_VALUE", code(run.param, run, "a", 2))
    run:finish()
    run:finish()
    assert.equal("usage", code(run.metric, run, "x", 1))
    assert.equal("usage", code(run.param, run, "x", 1))
  end)

  it("has runs below it, which end with it", function()
    local outer = track.start { store = folder, name = "sweep" }
    local inner = outer:child { name = "trial" }
    inner:metric("loss", 1)
    outer:finish "FAILED"
    assert.is_true(inner.finished)
    local there = run_of(inner.id)
    assert.same({ "FAILED", outer.id }, { there.info.status, by_key(there.data.tags)["mlflow.parentRunId"] })
    assert.same({ loss = 1.0 }, by_key(there.data.metrics))
  end)

  it("ends those below it alone, in whatever order they were begun and end", function()
    local a = track.start { store = folder, name = "a" }
    local b = track.start { store = folder, name = "b" }
    local below_a, below_b = a:child { name = "below a" }, b:child { name = "below b" }
    local deep = below_a:child { name = "deep" }
    assert.equal(deep, track.current())
    a:finish()
    assert.same({ true, true, true }, { a.finished, below_a.finished, deep.finished })
    assert.same({}, { b.finished, below_b.finished })
    assert.equal(below_b, track.current())
    b:metric("loss", 1)
    b:finish "FAILED"
    assert.is_nil(track.current())
    assert.same({ "FINISHED", "FAILED", "FAILED" },
      { run_of(deep.id).info.status, run_of(b.id).info.status, run_of(below_b.id).info.status })
  end)

  it("keeps texts, tables, files, folders and bundles", function()
    local run <close> = track.start { store = folder }
    run:text("notes/a.md", "# A")
    run:artifact({ b = 1 }, "table")
    run:artifact(setmetatable({}, { __artifact = function() return "<svg/>", "svg" end }), "chart")
    os.execute(("mkdir -p '%s/d/e'"):format(folder))
    command.write(folder .. "/d/e/f.txt", "f")
    run:artifact(folder .. "/d")
    command.write(folder .. "/m-1.tar", "bundle")
    run:model(folder .. "/m-1.tar")
    local home = ("%s/mlartifacts/0/%s/artifacts/"):format(folder, run.id)
    assert.equal("# A", command.read(home .. "notes/a.md"))
    assert.equal('{\n  "b": 1\n}\n', command.read(home .. "table.json"))
    assert.equal("<svg/>", command.read(home .. "chart.svg"))
    assert.equal("f", command.read(home .. "d/e/f.txt"))
    assert.equal("bundle", command.read(home .. "model/m-1.tar"))
    assert.truthy(command.read(home .. "model/MLmodel"):find('bundle: "m-1.tar"', 1, true))
    assert.has_error(function() run:text("../../../x", "y") end)
    local log = require "recsys.log"
    local level = log.level
    log.level = "quiet"
    finally(function() log.level = level end)
    assert.equal("io", select(3, run:artifact(folder .. "/gone"))) -- no reason to end a training
  end)

  it("notes its data set by name and fingerprint", function()
    local frame = require "recsys.frame"
    local some = frame.from { { "user", "string", { "a", "b" } } }
    local run = track.start { store = folder }
    run:dataset { name = "news", fingerprint = "xxh3:" .. ("0"):rep(32), interactions = some, users = some,
      items = some, origin = { dir = "data/news" } }
    run:finish()
    local input = run_of(run.id).inputs.dataset_inputs[1]
    assert.same({ "news", ("0"):rep(32), '{"uri":"data/news"}', '{"interactions":2,"items":2,"users":2}' },
      { input.dataset.name, input.dataset.digest, input.dataset.source, input.dataset.profile })
    assert.same({ { key = "mlflow.data.context", value = "training" } }, input.tags)
    assert.truthy(input.dataset.schema:find('"name":"user","type":"string"', 1, true))
  end)

  it("goes on where it was left", function()
    local run = track.start { store = folder }
    run:param("a", 1)
    run:metric("m", 1, 1)
    run:finish "KILLED"
    local s <close> = store.open(folder)
    local again = require("recsys.track.run").continue(s, run.id)
    assert.equal("RUNNING", s:run(run.id).info.status)
    again:param("a", 1)
    again:metric("m", 2, 2)
    again:finish()
    assert.same({ "FINISHED", 2.0 }, { s:run(run.id).info.status, by_key(s:run(run.id).data.metrics).m })
  end)

  it("whose process is gone leaves no artifact half-written, and no other process's is touched", function()
    local run = track.start { store = folder }
    run:text("deep/note.txt", "whole")
    run:finish()
    local s <close> = store.open(folder)
    local place = ("%s/mlartifacts/%s/%s/artifacts/deep/"):format(folder, run.experiment_id, run.id)
    for _, pid in ipairs { "999999999", "99" } do command.write(place .. "note.txt." .. pid .. ".tmp", "wh") end
    local gone = require("recsys.track.process").name():gsub("^(%S+ %S+) %d+ %d+", "%1 999999999 1")
    s:update_run { run_id = run.id, status = "RUNNING", process = gone }
    local again <close> = store.open(folder)
    assert.equal("KILLED", again:run(run.id).info.status)
    assert.same({ "note.txt", "note.txt.99.tmp" }, require("recsys.files").names(place))
  end)

  it("is in the store soon, whatever the program is at, and at once for who reads the same store", function()
    local run <close> = track.start { store = folder }
    local other <close> = store.open(folder)
    local function there() return by_key(other:run(run.id).data.metrics).m end
    run:metric("m", 1)
    assert.is_nil(there())
    uv.sleep(1000)
    assert.equal(1.0, there())
    run:metric("m", 2, 1)
    assert.equal(2.0, by_key(run.store:run(run.id).data.metrics).m)
    run:metric("m", 3, 2)
    run:flush()
    assert.equal(3.0, there())
  end)

  it("costs less than 20 microseconds a call", function()
    local run <close> = track.start { store = folder }
    local best = math.huge
    for _ = 1, 5 do -- the machine may do something else meanwhile
      local began = os.clock()
      for i = 1, 5000 do run:metric("loss", i / 7, i) end
      best = math.min(best, (os.clock() - began) / 5000)
    end
    if not command.sanitized then assert.is_true(best < 20e-6, ("%.1f us"):format(best * 1e6)) end
  end)

  describe("whose store cannot be written", function()
    local log = require "recsys.log"
    local warn, warned, other, run = log.warn, nil, nil, nil
    before_each(function()
      warned = {}
      log.warn = function(...) warned[#warned + 1] = string.format(...) end
      run = track.start { store = store.open(folder, { busy_ms = 20 }) }
      other = store.open(folder)
    end)
    after_each(function()
      log.warn = warn
      other:close()
    end)

    it("goes on, says so once, and has all of it later", function()
      other.db:execute "BEGIN IMMEDIATE"
      run:metric("m", 1, 1)
      assert.equal("busy", select(3, run:flush()))
      run:metric("m", 2, 2)
      assert.equal("busy", select(3, run:flush()))
      assert.same({ ("the run is not tracked for now: %s/mlflow.db: database is locked"):format(folder) }, warned)
      other.db:execute "COMMIT"
      assert.is_true(run:flush())
      assert.equal(2, #run.store:metric_history { run_id = run.id, metric_key = "m" })
      run:finish()
      assert.equal(1, #warned)
    end)

    it("says so at its end", function()
      other.db:execute "BEGIN IMMEDIATE"
      run:metric("m", 3, 3)
      run:finish()
      assert.equal(("the end of the run %s is not tracked: %s/mlflow.db: database is locked"):format(run.name, folder),
        warned[#warned])
      other.db:execute "COMMIT"
    end)

    it("says what it refuses", function()
      other:log_param { run_id = run.id, key = "p", value = "theirs" }
      run:param("p", "ours")
      assert.equal("constraint", select(3, run:flush()))
      assert.same({ ("the run is tracked in part: %s/mlflow.db: a parameter has another value (1 left out)"):format(
        folder) }, warned)
      assert.same({ p = "theirs" }, by_key(run.store:run(run.id).data.params))
    end)
  end)
end)

describe("a program that logs", function()
  local begin = [[
    local track = require "recsys.track"
    local run = track.start { store = arg[1], name = "r" }
    run:metric("m", 1, 1)
    ]]

  local function status()
    local s <close> = store.open(folder)
    local id = s.db:row("SELECT run_uuid FROM runs").run_uuid
    local run = s:run(id)
    assert.same({ m = 1.0 }, by_key(run.data.metrics))
    assert.is_nil(by_key(run.data.tags)["recsys.process"])
    return run.info.status
  end

  it("and ends without a word has finished", function()
    assert.equal(0, script(begin).code)
    assert.equal("FINISHED", status())
  end)

  it("and fails leaves the run FAILED, with all that it logged", function()
    assert.equal(1, script(begin .. "error 'no'").code)
    assert.equal("FAILED", status())
  end)

  it("and is stopped by a signal leaves it KILLED, with all that it logged", function()
    for _, signal in ipairs { "INT", "TERM" } do
      os.execute(("rm -f '%s'/mlflow.db*"):format(folder))
      local result = script(begin .. ([[
        require("luv").kill(require("luv").os_getpid(), "sig%s")
        while true do end]]):format(signal:lower()))
      assert.equal(signal == "INT" and 130 or 143, result.code)
      assert.equal("KILLED", status())
    end
  end)

  it("and leaves by os.exit has finished or failed", function()
    for code, said in pairs { [0] = "FINISHED", [3] = "FAILED" } do
      os.execute(("rm -f '%s'/mlflow.db*"):format(folder))
      assert.equal(code, script(("%s os.exit(%d)"):format(begin, code)).code)
      assert.equal(said, status())
    end
  end)

  it("under a stock lua5.4 writes what it logged, too", function()
    if command.sanitized then return pending "a stock lua5.4 does not load an instrumented core.so" end
    local path = command.write(folder .. "/stock.lua", begin)
    local result = command.run(("LUA_PATH='./lua/?.lua;;' LUA_CPATH='%s/?.so;;' lua5.4 '%s' '%s'"):format(command.build,
      path, folder))
    assert.same({ 0, "" }, { result.code, result.err })
    assert.equal("FINISHED", status())
  end)
end)

describe("many programs at once", function()
  it("lose nothing: 8 of them, 10,000 metrics each", function()
    local path = command.write(folder .. "/writer.lua", [[
      local track = require "recsys.track"
      local run = track.start { store = arg[1], experiment = "shared", name = arg[2] }
      for i = 1, 10000 do
        run:metric("m" .. i % 10, i / 3, i)
        if i % 1000 == 0 then run:param("p" .. i, i) end
      end]])
    local lines = { "fail=0" }
    for i = 1, 8 do
      lines[#lines + 1] = ("'%s' lua '%s' '%s' %d & p%d=$!"):format(command.program, path, folder, i, i)
    end
    for i = 1, 8 do lines[#lines + 1] = ("wait $p%d || fail=1"):format(i) end
    local result = command.run(table.concat(lines, "\n") .. "\nexit $fail")
    assert.same({ 0, "" }, { result.code, result.err })
    local s <close> = store.open(folder)
    local per_run = s.db:rows("SELECT count(*) AS n, sum(value) AS total FROM metrics GROUP BY run_uuid")
    assert.equal(8, #per_run)
    for _, row in ipairs(per_run) do
      assert.equal(10000, row.n)
      assert.is_true(math.abs(row.total - 10000 * 10001 / 6) < 1e-3)
    end
    assert.equal(80, s.db:row("SELECT count(*) AS n FROM latest_metrics").n)
    assert.equal(80, s.db:row("SELECT count(*) AS n FROM params").n)
    assert.same({ { status = "FINISHED", n = 8 } }, s.db:rows "SELECT status, count(*) AS n FROM runs GROUP BY status")
  end)
end)

describe("a program that is killed while it logs", function()
  -- Logs an increasing step, and notes beside the store which step it has reached when: as fast as it can, slowly, in a
  -- burst before it falls silent for good, or with samples of the machine between.
  local writer = [[
    local track, uv = require "recsys.track", require "luv"
    local run = track.start { store = arg[1], name = "killed" }
    local notes = io.open(arg[1] .. "/notes", "w")
    notes:setvbuf "no"
    notes:write(run.id, "\n")
    local step, noted, began = 0, 0, uv.hrtime()
    if arg[2] == "system" then run:system(0.02) end
    while true do
      step = step + 1
      run:metric("m", step, step)
      run:metric("n", -step, step)
      if uv.hrtime() - noted > 2e7 then
        noted = uv.hrtime()
        local s, us = uv.gettimeofday()
        notes:write(s * 1000 + us // 1000, " ", step, "\n")
      end
      if arg[2] == "silent" and uv.hrtime() - began > 1e8 then uv.sleep(60000) end
      if arg[2] == "system" then run:tick() end
      if arg[2] == "slow" then uv.sleep(5) elseif step % 50 == 0 then uv.sleep(1) end
    end]]
  local ways = { "fast", "silent", "slow", "system" }

  --- What was noted: the run's id, and { time, step } in order; nothing of a program that had not come so far.
  local function noted()
    local id, list = nil, {}
    if not files.exists(folder .. "/notes") then return id, list end
    for line in io.lines(folder .. "/notes") do
      local time, step = line:match "^(%d+) (%d+)$"
      if time then list[#list + 1] = { time = tonumber(time), step = tonumber(step) } else id = line end
    end
    return id, list
  end

  local function check_sound(s, where)
    assert.equal("ok", s.db:row("PRAGMA integrity_check").integrity_check, where)
    assert.same({}, s.db:rows "PRAGMA foreign_key_check", where)
    assert.same({}, s.db:rows [[
      SELECT * FROM (SELECT run_uuid, key, max(step) AS step FROM metrics GROUP BY run_uuid, key) m
      LEFT JOIN latest_metrics l USING (run_uuid, key) WHERE l.step IS NOT m.step
        OR NOT EXISTS (SELECT 1 FROM metrics x WHERE x.run_uuid = m.run_uuid AND x.key = m.key AND x.step = l.step
          AND x.value = l.value AND x.timestamp = l.timestamp)]], where)
  end

  --- Check what a kill has left: the run's state, and all that was logged more than a second before.
  local function check_kept(s, died, where)
    local id, list = noted()
    if not id then return 0 end
    assert.equal("KILLED", s:run(id).info.status, where)
    local of_m = "FROM metrics WHERE run_uuid = ? AND key = 'm'"
    local last = s.db:row("SELECT max(step) AS step " .. of_m, { id }).step or 0
    for _, note in ipairs(list) do
      if note.time < died - 1000 then assert.is_true(last >= note.step, where) end
    end
    assert.equal(last, s.db:row("SELECT count(*) AS n " .. of_m, { id }).n, where)
    return 1
  end

  it("leaves a sound database, is shown as killed, and loses a second at the most", function()
    local kills = tonumber(os.getenv "RECSYS_KILLS") or 8
    local seed = tonumber(os.getenv "RECSYS_KILL_SEED") or os.time()
    math.randomseed(seed)
    local path, begun = command.write(folder .. "/writer.lua", writer), 0
    for kill = 1, kills do
      local way = ways[kill % #ways + 1]
      local delay = (way == "silent" and 1.2 or 0.1) + math.random() * 1.2
      os.remove(folder .. "/notes")
      local died = tonumber(command.run(("'%s' lua '%s' '%s' %s & p=$!; sleep %.3f; date +%%s%%3N; kill -9 $p; wait $p")
        :format(command.program, path, folder, way, delay)).out)
      local where = ("kill %d of seed %d, %s, after %.3f s"):format(kill, seed, way, delay)
      local s <close> = store.open(folder)
      check_sound(s, where)
      begun = begun + check_kept(s, died, where)
    end
    assert.is_true(begun > kills / 2)
  end)
end)

describe("names", function()
  it("of ours that MLflow refuses are mapped", function()
    assert.equal("valid/ndcg_10", names.key("metric", names.mapped "valid/ndcg@10"))
  end)
end)

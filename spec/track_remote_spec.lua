--- Runs that are logged to a server, also while it is away, and the command that carries runs from place to place.

local command = require "spec.support.command"
local json = require "recsys.json"
local odd_server = require "spec.support.odd_server"
local remote = require "recsys.track.remote"
local run = require "recsys.track.run"
local sql = require "recsys.sql"
local tracking_server = require "spec.support.tracking_server"
local track = require "recsys.track"
local uv = require "luv"

local folder, server
before_each(function() folder, server = tracking_server.begin() end)
after_each(function() tracking_server.finish(folder, server) end)

local function open() return remote.open(server.url, folder .. "/here") end

--- Log the same to any store.
local function log_to(of)
  local one = run.start(of, { experiment_id = of:ensure_experiment "far", run_name = "one", tags = { kind = "x" } })
  one:params { learning_rate = 0.1, hidden = { 128, 64 }, name = "ä ö" }
  for step = 1, 2500 do one:metric("loss", 1 / step, step, 1790000000000 + step) end
  one:metric("odd", 0 / 0, 1, 1790000000000)
  one:metric("odd", math.huge, 2, 1790000000000)
  one:metric("odd", -math.huge, -1, 1790000000000)
  one:tag("k", "v")
  one:tag("k", "w")
  one:tag("recsys.run", "two_tower-1")
  one:note "# Notes"
  one:text("report/a.txt", "text")
  local inner = one:child { name = "inner" }
  inner:metric("loss", 1, 0, 1790000000000)
  inner:finish()
  one:finish()
  return one.id
end

local queries = {
  "SELECT name, user_id, status, lifecycle_stage FROM runs ORDER BY name",
  "SELECT r.name, p.key, p.value FROM params p JOIN runs r USING (run_uuid) ORDER BY 1, 2",
  "SELECT r.name, t.key, t.value FROM tags t JOIN runs r USING (run_uuid) "
    .. "WHERE key NOT IN ('recsys.logged_as', 'mlflow.parentRunId') ORDER BY 1, 2",
  "SELECT r.name, m.key, m.value, m.timestamp, m.step, m.is_nan FROM metrics m JOIN runs r USING (run_uuid) "
    .. "ORDER BY 1, 2, 5, 4, 3",
  "SELECT r.name, m.key, m.value, m.timestamp, m.step, m.is_nan FROM latest_metrics m JOIN runs r USING (run_uuid) "
    .. "ORDER BY 1, 2",
  "SELECT c.name, p.name AS parent FROM tags t JOIN runs c USING (run_uuid) JOIN runs p ON p.run_uuid = t.value "
    .. "WHERE t.key = 'mlflow.parentRunId'",
}

--- All that a store holds, without what differs from one to the other.
local function contents(store)
  local db <close> = assert(sql.open(store .. "/mlflow.db", { read_only = true }))
  local all = {}
  for i, query in ipairs(queries) do all[i] = db:rows(query) end
  return all
end

local function waiting()
  local n = 0
  for _ in command.run("ls " .. folder .. "/here/spool/*.jsonl").out:gmatch "[^\n]+" do n = n + 1 end
  return n
end

local function same_as_local()
  local here = track.open(folder .. "/local")
  log_to(here)
  here:close()
  assert.same(contents(folder .. "/local"), contents(folder .. "/there"))
end

describe("a run that is logged to a server", function()
  it("is there as a local one is in its store", function()
    server:start()
    local of = open()
    log_to(of)
    assert.equal(0, waiting())
    same_as_local()
    local files = command.run("cat " .. folder .. "/there/mlartifacts/*/*/artifacts/report/a.txt")
    assert.equal("text", files.out)
  end)

  it("waits in a file while the server is away, and is sent by the next process or by the command", function()
    local script = command.write(folder .. "/log.lua", ([[
      require("recsys.log").level = "quiet"
      local remote, run = require "recsys.track.remote", require "recsys.track.run"
      remote.patience = 0
      local of = remote.open(%q, %q)
      local one = run.start(of, { experiment_id = of:ensure_experiment "far", run_name = "one" })
      for step = 1, 1500 do one:metric("loss", 1 / step, step, 1790000000000 + step) end
      one:text("a.txt", "text")
      one:finish()]]):format(server.url, folder .. "/here"))
    assert.equal(0, command.run(command.program .. " lua " .. script).code)
    assert.equal(1, waiting())
    local line = ("%s runs push --to %s --store %s/here --json"):format(command.program, server.url, folder)
    assert.same({ 75, { sent = 0, left = 1 } }, { command.run(line).code, json.decode(command.run(line).out) })
    server:start()
    local pushed = command.run(line)
    assert.same({ 0, { sent = 1, left = 0 } }, { pushed.code, json.decode(pushed.out) })
    assert.equal(0, waiting())
    local db <close> = assert(sql.open(server.store .. "/mlflow.db", { read_only = true }))
    assert.same({ { name = "one", status = "FINISHED", n = 1500 } }, db:rows("SELECT name, status, count(*) AS n "
      .. "FROM runs JOIN metrics USING (run_uuid) GROUP BY run_uuid"))
    assert.equal("text", command.run("cat " .. server.store .. "/mlartifacts/*/*/artifacts/a.txt").out)
  end)

  it("goes on while the server comes and goes, and nothing is missing or there twice", function()
    local of = open()
    local one = run.start(of, { experiment_id = of:ensure_experiment "far", run_name = "one" })
    for round = 1, 4 do
      if round % 2 == 0 then server:start() end
      for step = 1, 400 do one:metric("loss", step, round * 1000 + step) end
      one:param("round" .. round, round)
      one:flush()
      of:push(10)
      assert.equal(round % 2 == 1, of.away)
      server:stop()
    end
    server:start()
    remote.patience = 10
    one:finish()
    assert.equal(0, waiting())
    local db <close> = assert(sql.open(server.store .. "/mlflow.db", { read_only = true }))
    assert.same({ { n = 1600, least = 1001, most = 4400 } },
      db:rows "SELECT count(*) AS n, min(step) AS least, max(step) AS most FROM metrics")
    assert.same({ n = 4 }, db:row "SELECT count(*) AS n FROM params")
    assert.same({ n = 1 }, db:row "SELECT count(*) AS n FROM runs WHERE status = 'FINISHED'")
  end)

  it("that is killed is KILLED there, with what it had logged, and sent again it is there once", function()
    server:start()
    local script = command.write(folder .. "/log.lua", ([[
      require("recsys.log").level = "quiet"
      local remote, run = require "recsys.track.remote", require "recsys.track.run"
      local of = remote.open(%q, %q)
      local one = run.start(of, { experiment_id = of:ensure_experiment "far", run_name = "one" })
      for step = 1, 700 do one:metric("loss", step, step, 1790000000000 + step) end
      one:flush()
      of:push(10)
      require("luv").kill(require("luv").os_getpid(), "sigkill")]]):format(server.url, folder .. "/here"))
    assert.equal(137, command.run(command.program .. " lua " .. script).code)
    assert.equal(1, waiting())
    -- As if the answers had never been heard: all of it is sent again.
    local state = command.run("ls " .. folder .. "/here/spool/*.json").out:match "[^\n]+"
    command.write(state, json.encode { offset = 0 })
    open():close()
    assert.equal(0, waiting())
    local db <close> = assert(sql.open(server.store .. "/mlflow.db", { read_only = true }))
    assert.same({ { status = "KILLED", end_time = 1790000000700, n = 700 } }, db:rows("SELECT status, end_time, "
      .. "count(*) AS n FROM runs JOIN metrics USING (run_uuid) GROUP BY run_uuid"))
  end)

  it("loses nothing of 8 programs at once, of which one is killed, and the server, too", function()
    local script = command.write(folder .. "/log.lua", ([[
      require("recsys.log").level = "quiet"
      local remote, run = require "recsys.track.remote", require "recsys.track.run"
      local of = remote.open(%q, %q)
      local one = run.start(of, { experiment_id = of:ensure_experiment "far", run_name = arg[1] })
      local notes = io.open(arg[2] .. arg[1], "w")
      notes:setvbuf "no"
      for step = 1, 2000 do
        one:metric("loss", step / 3, step)
        if arg[1] == "1" then notes:write(step, "\n") end
        if step %% 2 == 0 then require("luv").sleep(1) end
      end
      if arg[1] == "1" then require("luv").sleep(60000) end]]):format(server.url, folder .. "/here"))
    for round = 1, 1 + (tonumber(os.getenv "RECSYS_KILLS") or 0) // 10 do
      server:start()
      local lines, ended = { "fail=0" }, nil
      for i = 1, 8 do
        lines[#lines + 1] = ("'%s' lua '%s' %d '%s/notes' & p%d=$!"):format(command.program, script, i, folder, i)
      end
      lines[#lines + 1] = ("until [ -s '%s/notes1' ]; do sleep 0.05; done; sleep %.2f; kill -9 $p1"):format(folder,
        round * 0.37 % 1)
      for i = 2, 8 do lines[#lines + 1] = ("wait $p%d || fail=1"):format(i) end
      local handle = assert(uv.spawn("sh", { args = { "-c", table.concat(lines, "\n") .. "\nexit $fail" },
        stdio = { nil, nil, nil } }, function(code) ended = code end))
      uv.sleep(700)
      server:stop()
      uv.sleep(300)
      server:start()
      while not ended do uv.run "once" end
      handle:close()
      uv.run "nowait"
      assert.equal(0, ended)
      assert.equal(0, command.run(("%s runs push --to %s --store %s/here"):format(command.program, server.url,
        folder)).code)
      assert.equal(0, waiting())
      assert.equal("", command.run(("grep -hv '\"op\":\"log\"' %s/here/spool/*.refused"):format(folder)).out)
      server:stop()
      local noted = tonumber(command.read(folder .. "/notes1"):match "(%d+)\n$")
      os.remove(folder .. "/notes1")
      local db <close> = assert(sql.open(server.store .. "/mlflow.db"))
      assert.same({ { status = "FINISHED", n = 7, least = 2000, most = 2000 } }, db:rows [[
        SELECT status, count(*) AS n, min(n) AS least, max(n) AS most FROM (SELECT status, count(DISTINCT step) AS n
          FROM runs JOIN metrics USING (run_uuid) WHERE name <> '1' GROUP BY run_uuid) GROUP BY status]])
      local killed = db:rows [[SELECT status, count(*) AS n, max(step) AS step FROM runs JOIN metrics USING (run_uuid)
        WHERE name = '1' GROUP BY run_uuid]]
      assert.same({ 1, "KILLED", killed[1].step }, { #killed, killed[1].status, killed[1].n })
      assert.is_true(killed[1].n >= noted, ("%d of %d"):format(killed[1].n, noted))
      db:execute "DELETE FROM metrics; DELETE FROM latest_metrics; DELETE FROM tags; DELETE FROM runs"
    end
  end)

  it("leaves no long file where the server follows", function()
    server:start()
    local longest = remote.longest
    finally(function() remote.longest = longest end)
    remote.longest = 20000
    local of = open()
    local one = run.start(of, { experiment_id = of:ensure_experiment "far" })
    for round = 1, 5 do
      for step = 1, 500 do one:metric("loss", step, round * 1000 + step) end
      one:flush()
      of:push(10)
      assert.is_true(of.spool.size < 20000)
    end
    one:finish()
    assert.equal(0, waiting())
    local db <close> = assert(sql.open(server.store .. "/mlflow.db", { read_only = true }))
    assert.same({ n = 2500 }, db:row "SELECT count(*) AS n FROM metrics")
    assert.same({ status = "FINISHED" }, db:row "SELECT status FROM runs")
  end)

  it("is gone on with by another process", function()
    server:start()
    local of = open()
    local one = run.start(of, { experiment_id = of:ensure_experiment "far", run_name = "one" })
    one:metric("loss", 1, 1)
    one:param("p", "x")
    one:finish "FAILED"
    of = open()
    local again = run.continue(of, one.id)
    again:metric("loss", 2, 2)
    again:param("p", "x")
    again:text("late.txt", "text")
    again:finish()
    local db <close> = assert(sql.open(server.store .. "/mlflow.db", { read_only = true }))
    assert.same({ { status = "FINISHED", n = 2 } }, db:rows("SELECT status, count(*) AS n FROM runs JOIN metrics "
      .. "USING (run_uuid) GROUP BY run_uuid"))
    assert.equal("text", command.run("cat " .. server.store .. "/mlartifacts/*/*/artifacts/late.txt").out)
    assert.equal(0, waiting())
  end)

  it("is gone on with while the server is away, once what its own process had logged is there", function()
    local script = command.write(folder .. "/log.lua", ([[
      require("recsys.log").level = "quiet"
      local remote, run = require "recsys.track.remote", require "recsys.track.run"
      remote.patience = 0
      local of = remote.open(%q, %q)
      local one = run.start(of, { experiment_id = of:ensure_experiment "far", run_name = "one" })
      one:metric("loss", 1, 1)
      io.open(arg[1] .. "/id.new", "w"):write(one.id):close()
      os.rename(arg[1] .. "/id.new", arg[1] .. "/id")
      require("luv").sleep(60000)]]):format(server.url, folder .. "/here"))
    local ended
    local handle = assert(uv.spawn(command.program, { args = { "lua", script, folder }, stdio = { nil, nil, nil } },
      function() ended = true end))
    while not uv.fs_stat(folder .. "/id") do uv.sleep(20) end
    local id = command.read(folder .. "/id")
    local of = open()
    local again = run.continue(of, id, { experiment = "far", run_name = "again" })
    assert.same({ id, true }, { again.id, of.away })
    again:metric("loss", 2, 2)
    again:text("late.txt", "text")
    server:start()
    assert.is_false(of:push(10)) -- the other may send what it has
    handle:kill "sigkill"
    while not ended do uv.run "once" end
    handle:close()
    remote.patience = 20
    again:finish()
    assert.equal(0, waiting())
    assert.equal(0, command.run(("! ls %s/here/spool/*.refused"):format(folder)).code)
    local db <close> = assert(sql.open(server.store .. "/mlflow.db", { read_only = true }))
    assert.same({ { name = "one", status = "FINISHED", n = 2 } }, db:rows("SELECT name, status, count(*) AS n "
      .. "FROM runs JOIN metrics USING (run_uuid) GROUP BY run_uuid"))
    assert.equal("text", command.run("cat " .. server.store .. "/mlartifacts/*/*/artifacts/late.txt").out)
  end)

  it("is made anew where a server that it is gone on with has never heard of it", function()
    server:start()
    remote.patience = 10
    local again = run.continue(open(), ("0a"):rep(16), { experiment = "far", run_name = "two", tags = { kind = "x" } })
    again:metric("loss", 2, 2)
    again:finish()
    assert.equal(0, waiting())
    local db <close> = assert(sql.open(server.store .. "/mlflow.db", { read_only = true }))
    assert.same({ name = "two", status = "FINISHED", experiment = "far", kind = "x", n = 1 }, db:row([[
      SELECT r.name, status, e.name AS experiment, t.value AS kind, count(*) AS n FROM runs r JOIN metrics USING
      (run_uuid) JOIN experiments e USING (experiment_id) JOIN tags t ON t.run_uuid = r.run_uuid AND t.key = 'kind'
      GROUP BY r.run_uuid]]))
  end)

  it("of a recipe is its own when that is resumed while the server is away", function()
    local uri = os.getenv "MLFLOW_TRACKING_URI"
    finally(function()
      if uri then uv.os_setenv("MLFLOW_TRACKING_URI", uri) else uv.os_unsetenv "MLFLOW_TRACKING_URI" end
    end)
    uv.os_setenv("MLFLOW_TRACKING_URI", server.url)
    command.run(("mkdir -p %s/runs/mf-1"):format(folder))
    local kept = command.write(folder .. "/runs/mf-1/track.json", json.encode { run_id = ("0b"):rep(16) })
    local tracked = require "recsys.track.recipe"
    tracked.begin { name = "mf", path = "mf.lua", folder = folder .. "/runs/mf-1", resumed = true, environment = {},
      params = { runs = folder .. "/runs", track = { enabled = true } } }
    assert.equal(("0b"):rep(16), track.current().id)
    assert.same({ run_id = ("0b"):rep(16) }, json.decode(command.read(kept)))
    tracked.finish(folder .. "/runs/mf-1", {})
    server:start()
    assert.same({ 1, 0 }, { remote.open(server.url, folder, { later = true }):replay_all(0) })
    local db <close> = assert(sql.open(server.store .. "/mlflow.db", { read_only = true }))
    assert.same({ name = "mf-1", status = "FINISHED", experiment = "mf" }, db:row("SELECT r.name, status, e.name "
      .. "AS experiment FROM runs r JOIN experiments e USING (experiment_id)"))
  end)

  describe("of a recipe with tasks in processes of their own", function()
    local RECIPE <const> = [[
      local recsys = require "recsys"
      local function train(i, by)
        local write = require "recsys.train.logged".begin()
        for epoch = 1, 3 do write { epoch = epoch, ["train/loss"] = i * by / epoch } end
        print("trained", i)
        if i == 4 then for line = 1, 40000 do print("line", line) end end
        return i
      end
      return recsys.recipe { name = "apart", about = "Tasks apart", run = function(flow)
        local own = flow:task("own", { process = true }, train, 1, 1)
        local all = flow:map("all", { concurrency = 2 }, train, { 2, 3 }, own)
        flow:task("long", { process = true }, train, 4, 1)
        flow:task("here", function(list) return #list end, all)
      end }]]

    local uri
    before_each(function()
      uri = os.getenv "MLFLOW_TRACKING_URI"
      uv.os_setenv("MLFLOW_TRACKING_URI", server.url)
      command.write(folder .. "/apart.lua", RECIPE)
    end)
    after_each(function()
      if uri then uv.os_setenv("MLFLOW_TRACKING_URI", uri) else uv.os_unsetenv "MLFLOW_TRACKING_URI" end
    end)

    local function recsys_run(words)
      return command.run(("cd '%s' && '%s' %s"):format(folder, command.program, words))
    end

    --- The losses that the server has, by name and step, and the end of the run.
    local function check()
      local db <close> = assert(sql.open(server.store .. "/mlflow.db", { read_only = true }))
      assert.equal("FINISHED", db:row("SELECT status FROM runs").status)
      local losses = {}
      for _, row in ipairs(db:rows "SELECT * FROM metrics WHERE key LIKE '%train/loss' ORDER BY key, step") do
        losses[row.key] = losses[row.key] or {}
        losses[row.key][row.step] = row.value
      end
      assert.same({ ["train/loss"] = { 1, 1 / 2, 1 / 3 }, ["all.1/train/loss"] = { 2, 1, 2 / 3 },
        ["all.2/train/loss"] = { 3, 3 / 2, 1 }, ["long/train/loss"] = { 4, 2, 4 / 3 } }, losses)
    end

    it("has their losses and their logs, the end of long ones", function()
      server:start()
      local ran = recsys_run "apart.lua"
      assert.equal(0, ran.code, ran.err)
      check()
      local logs = command.run(("cd %s/there/mlartifacts/*/*/artifacts/logs && ls && cat 01-own.txt 02-all.2.txt && "
        .. "head -2 03-long.txt && tail -1 03-long.txt"):format(folder)).out
      assert.matches("^01%-own.txt\n02%-all.1.txt\n02%-all.2.txt\n03%-long.txt\ntrained\t1\n.*trained\t3\n.*"
        .. "%(the end of %d+ bytes%)\nline\t%d+\n.*line\t40000\n$", logs)
    end)

    it("gets their losses later when it was away", function()
      local ran = recsys_run "apart.lua"
      assert.equal(0, ran.code, ran.err)
      server:start()
      local pushed = recsys_run(("runs push --to %s --store artifacts --json"):format(server.url))
      assert.equal(0, pushed.code, pushed.err)
      check()
    end)
  end)

  it("waits at its end for files that are on their way", function()
    local odd = odd_server.start { folder = folder .. "/odd", delay = 1000 }
    finally(function() odd:stop() end)
    local of = remote.open(odd.url, folder .. "/here")
    local one = run.start(of, { experiment_id = of:ensure_experiment "far", run_name = "one" })
    one:text("large.txt", ("x"):rep(8 << 20))
    one:finish()
    assert.equal(0, waiting())
    assert.equal(1, #odd:requests "artifact")
  end)

  it("keeps aside what the server answers by 500 again and again, and the rest goes on", function()
    local odd = odd_server.start { folder = folder .. "/odd", poison = "poison" }
    finally(function() odd:stop() end)
    remote.patience, remote.attempts = 20, 2
    local of = remote.open(odd.url, folder .. "/here")
    local one = run.start(of, { experiment_id = of:ensure_experiment "far", run_name = "one" })
    one:metric("loss", 1, 1)
    one:tag("k", "poison")
    one:metric("loss", 2, 2)
    one:finish()
    assert.equal(0, waiting())
    local kept = {}
    for line in command.run("cat " .. folder .. "/here/spool/*.refused").out:gmatch "[^\n]+" do
      kept[#kept + 1] = json.decode(line).tags[1].value
    end
    assert.same({ "poison" }, kept)
    local steps = {}
    for _, request in ipairs(odd:requests "runs/log-batch") do
      if not request.body.tags then steps[request.body.metrics[1].step] = true end
    end
    assert.same({ true, true }, steps)
    assert.equal("FINISHED", odd:requests("runs/update")[1].body.status)
  end)

  it("is sent later, but for what the server answers by 500 again and again", function()
    local odd = odd_server.start { folder = folder .. "/odd", poison = "poison" }
    finally(function() odd:stop() end)
    remote.patience, remote.attempts = 0, 2
    for _, value in ipairs { "poison", "fine" } do
      local of = remote.open(odd.url, folder .. "/here", { later = true })
      local one = run.start(of, { experiment_id = "1", run_name = "one" })
      one:tag("k", value)
      one:metric("loss", 1, 1)
      one:finish()
    end
    local of <close> = remote.open(odd.url, folder .. "/here", { later = true })
    of:replay_all(20)
    assert.equal(0, waiting())
    local ends = {} -- of each run at least once: an answer may have come too late
    for _, request in ipairs(odd:requests "runs/update") do ends[request.body.run_id] = request.body.status end
    assert.same({ [("%032x"):format(1)] = "FINISHED", [("%032x"):format(2)] = "FINISHED" }, ends)
  end)

  it("sends at its end what processes that joined have left, those that end while it sends, too", function()
    local odd = odd_server.start { folder = folder .. "/odd", poison = "own/loss", once = true }
    finally(function() odd:stop() end)
    remote.patience = 10
    local of = remote.open(odd.url, folder .. "/here")
    local one = run.start(of, { experiment_id = "1", run_name = "one" })
    local function leave(key)
      local joined = remote.open(odd.url, folder .. "/here", { later = true })
      joined:join(one.id)
      joined.next_time = math.huge -- it sends nothing itself
      assert(joined:note_metric(one.id, key, 1, 1790000000000, 1))
      joined:close()
      of:gather()
    end
    leave "first/loss"
    local call, ended = of.wire.call, false
    of.wire.call = function(...) -- another one ends while the first one's is sent
      if not ended then
        ended = true
        leave "second/loss"
      end
      return call(...)
    end
    one:metric("own/loss", 1, 1) -- and the server falters once
    one:finish()
    assert.equal(0, waiting())
  end)

  it("waits while a server answers everything by 500", function()
    local odd = odd_server.start { folder = folder .. "/odd", poison = "{" }
    finally(function() odd:stop() end)
    remote.patience, remote.attempts = 2, 1
    local of = remote.open(odd.url, folder .. "/here")
    local one = run.start(of, { experiment_id = "1", run_name = "one" })
    one:metric("loss", 1, 1)
    one:finish()
    assert.equal(1, waiting())
    assert.equal(0, command.run(("! ls %s/here/spool/*.refused"):format(folder)).code)
  end)

  it("keeps aside what the server refuses, and the rest goes on", function()
    server:start()
    remote.patience = 10
    local of = open()
    local one = run.start(of, { experiment_id = of:ensure_experiment "far", run_name = "one" })
    of:note_param(one.id, "p", "1")
    of:note_param(one.id, "p", "2")
    one:metric("loss", 1, 1)
    one:finish()
    assert.equal(0, waiting())
    assert.truthy(command.run("cat " .. folder .. "/here/spool/*.refused").out:find "Changing param values")
    local db <close> = assert(sql.open(server.store .. "/mlflow.db", { read_only = true }))
    assert.same({ { value = "1" } }, db:rows "SELECT value FROM params")
    assert.same({ { value = 1.0, status = "FINISHED" } },
      db:rows "SELECT value, status FROM metrics JOIN runs USING (run_uuid)")
  end)

  it("is on a real MLflow server as a local one is in its store, and is pulled from there", function()
    local python = os.getenv "RECSYS_PEER_MLFLOW"
    if not python then return pending "set RECSYS_PEER_MLFLOW to a Python with mlflow" end
    server = tracking_server.new(folder .. "/there", python)
    server:start()
    remote.patience = 30
    log_to(open())
    assert.equal(0, waiting())
    same_as_local()
    assert.equal("text", command.run("cat " .. folder .. "/there/mlartifacts/*/*/artifacts/report/a.txt").out)
    local pulled = command.run(("%s runs pull --from %s --store %s/back"):format(command.program, server.url, folder))
    assert.same({ 0, "" }, { pulled.code, pulled.err })
    assert.same(contents(folder .. "/there"), contents(folder .. "/back"))
    assert.equal("text", command.run("cat " .. folder .. "/back/mlartifacts/*/*/artifacts/report/a.txt").out)
    for _ = 1, 2 do
      local line = ("%s runs push --all --to %s --store %s/local"):format(command.program, server.url, folder)
      assert.equal(0, command.run(line).code)
    end
    local db <close> = assert(sql.open(folder .. "/there/mlflow.db", { read_only = true }))
    assert.same({ { name = "inner", n = 2 }, { name = "one", n = 2 } },
      db:rows "SELECT name, count(*) AS n FROM runs GROUP BY name ORDER BY name")
    assert.same({ n = 2 * 2504 }, db:row "SELECT count(*) AS n FROM metrics")
  end)

  it("is any recipe's where MLFLOW_TRACKING_URI names the server", function()
    server:start()
    local ran = command.run(("cd %s && MLFLOW_TRACKING_URI=%s %s %s/recipes/mf.lua --set data.scale=0.001 "
      .. "--set data.dir=news --set train.epochs=2"):format(folder, server.url, command.program, command.root))
    assert.equal(0, ran.code, ran.err)
    assert.equal("", command.run(("ls -d %s/artifacts/spool/*"):format(folder)).out)
    local own <close> = assert(sql.open(folder .. "/artifacts/mlflow.db", { read_only = true })) -- the registry's
    assert.same({ runs = 0, models = 1 }, own:row("SELECT (SELECT count(*) FROM runs) AS runs, "
      .. "count(*) AS models FROM model_versions WHERE name = 'mf' AND run_id = ''"))
    local db <close> = assert(sql.open(server.store .. "/mlflow.db", { read_only = true }))
    assert.same({ status = "FINISHED", epochs = 2 }, db:row("SELECT status, count(*) AS epochs FROM runs JOIN metrics "
      .. "USING (run_uuid) WHERE key = 'train/loss'"))
    assert.same({ value = "2" }, db:row "SELECT value FROM params WHERE key = 'train.epochs'")
    assert.truthy(command.run("ls " .. server.store .. "/mlartifacts/*/*/artifacts").out:find "result.json")
  end)

  it("costs the run little", function()
    server:start()
    local of = open()
    local one = run.start(of, { experiment_id = of:ensure_experiment "far" })
    local began, busy, longest, n = uv.hrtime(), 0, 0, 0
    while uv.hrtime() - began < 3e9 do
      n = n + 1
      local from = os.clock()
      one:metric("loss", n, n)
      local took = os.clock() - from
      busy, longest = busy + took, math.max(longest, took)
      if n % 10 == 0 then uv.sleep(1) end
    end
    one:finish()
    assert.is_true(n > 1000)
    if command.sanitized then return end
    assert.is_true((busy - longest) / n < 20e-6, ("%.1f us a call"):format((busy - longest) / n * 1e6))
  end)
end)

describe("recsys-run runs", function()
  local function runs(line)
    return command.run(("cd %s && %s runs %s"):format(folder, command.program, line))
  end

  before_each(function()
    local of = track.open(folder .. "/artifacts")
    log_to(of)
    of:close()
  end)

  it("lists and shows, for people and as JSON", function()
    local listed = runs "list"
    assert.equal(0, listed.code)
    assert.truthy(listed.out:find "one" and listed.out:find "inner" and listed.out:find "loss")
    local found = json.decode(runs("list --json --filter \"params.learning_rate = '0.1'\"").out)
    assert.same({ 1, "one" }, { #found.runs, found.runs[1].info.run_name })
    assert.truthy(runs("list --order-by 'metrics.loss DESC' --max 1").out:find "only the first 1")
    local shown = runs "show one"
    assert.truthy(shown.out:find "learning_rate  0.1" and shown.out:find "report/a.txt")
    assert.same({ "report/a.txt" }, json.decode(runs("show one --json").out).files)
    local bad = runs "list --filter 'metrics.loss < 1 OR 1'"
    assert.equal(2, bad.code)
    assert.truthy(bad.err:find("Invalid clause(s) in filter string: 'OR' (at character 18)", 1, true))
    assert.equal(2, runs("list --order-by 'metrics.loss SIDEWAYS'").code)
    assert.equal(2, runs("export out --filter 'metrics.loss <'").code)
    assert.equal(2, runs("show nothing").code)
    assert.equal(2, runs("list --experiment fat").code)
    assert.equal(2, runs("push").code)
    assert.equal(2, runs("push --all --to nowhere").code)
    assert.equal(2, runs("frobnicate").code)
  end)

  it("makes no store where there is none to look at", function()
    for _, line in ipairs { "list", "show one", "push --all --to http://127.0.0.1:1", "export out --all",
      "delete one" } do
      local refused = runs(line .. " --store typo")
      assert.equal(2, refused.code)
      assert.truthy(refused.err:find("there are no tracked runs in typo", 1, true), refused.err)
    end
    assert.is_nil(uv.fs_stat(folder .. "/typo"))
  end)

  it("exports and imports all of it", function()
    command.run(("for d in %s/artifacts/mlartifacts/*/*/artifacts/report; do echo whole >$d/b.tmp; done; "
      .. "echo half >$d/a.txt.123.tmp"):format(folder))
    assert.equal(0, runs("export out --all").code)
    local read = runs "import out --store copy"
    assert.same({ 0, "" }, { read.code, read.err })
    assert.equal(0, runs("import out --store copy").code) -- again: nothing is doubled
    assert.same(contents(folder .. "/artifacts"), contents(folder .. "/copy"))
    assert.equal("text", command.run("cat " .. folder .. "/copy/mlartifacts/*/*/artifacts/report/a.txt").out)
    assert.equal("whole\n", command.run("cat " .. folder .. "/copy/mlartifacts/*/*/artifacts/report/*.tmp").out)
  end)

  it("imports nothing that leads out of its folder or is no run", function()
    runs "export out --all"
    local id = json.decode(runs("show one --json").out).info.run_id
    command.run(("ln -s /etc/passwd %s/out/%s/artifacts/leak"):format(folder, id))
    assert.equal(0, runs("import out --store copy").code)
    assert.equal("", command.run(("find %s/copy -name leak"):format(folder)).out)
    local path = ("%s/out/%s/run.json"):format(folder, id)
    local text = command.read(path)
    for _, bad in ipairs { "", "[]", "{}", "nul", (text:gsub(id, "../../x")),
      (text:gsub("learning_rate", "a/../b")) } do
      command.write(path, bad)
      local refused = runs "import out --store other"
      assert.equal(1, refused.code)
      assert.is_nil(refused.err:find "traceback", refused.err)
      assert.truthy(runs("list --store other").out:find "inner") -- it does not stop the others
    end
    command.write(path, text)
    command.write(("%s/out/%s/metrics.jsonl"):format(folder, id), '{"key": "loss", "value": "x"}\n')
    local refused = runs "import out --store third"
    assert.equal(1, refused.code)
    assert.truthy(refused.err:find "loss")
  end)

  it("pushes to a server and pulls from it", function()
    server:start()
    for _ = 1, 2 do
      local pushed = runs("push --all --to " .. server.url)
      assert.same({ 0, "" }, { pushed.code, pushed.err })
    end
    assert.same(contents(folder .. "/artifacts"), contents(folder .. "/there"))
    for _ = 1, 2 do
      local pulled = runs(("pull --from %s --store back --experiment far"):format(server.url))
      assert.same({ 0, "" }, { pulled.code, pulled.err })
    end
    assert.same(contents(folder .. "/artifacts"), contents(folder .. "/back"))
    assert.equal("text", command.run("cat " .. folder .. "/back/mlartifacts/*/*/artifacts/report/a.txt").out)
    server:stop()
    assert.equal(75, runs("push --all --to " .. server.url).code)
  end)

  it("ends runs on a server that keeps files elsewhere, and says which are not there", function()
    local odd = odd_server.start { folder = folder .. "/odd", artifacts = "s3://bucket" }
    finally(function() odd:stop() end)
    local pushed = runs("push --all --json --to " .. odd.url)
    assert.equal(1, pushed.code)
    assert.truthy(pushed.err:find("report/a.txt is not there: artifacts at s3://bucket", 1, true), pushed.err)
    local refused = {}
    for i, one in ipairs(json.decode(pushed.out)) do refused[i] = one.refused[1] and one.refused[1].path or "none" end
    table.sort(refused)
    assert.same({ "none", "report/a.txt" }, refused)
    local ends = {}
    for i, request in ipairs(odd:requests "runs/update") do ends[i] = request.body.status end
    assert.same({ "FINISHED", "FINISHED" }, ends)
  end)

  it("puts files where a server on this machine leaves that to its clients", function()
    local odd = odd_server.start { folder = folder .. "/odd", artifacts = "file://" .. folder .. "/files" }
    finally(function() odd:stop() end)
    assert.equal(0, runs("push --all --to " .. odd.url).code)
    assert.equal("text", command.run("cat " .. folder .. "/files/*/artifacts/report/a.txt").out)
  end)

  it("pushes a child below its parent, whichever came first and whenever", function()
    server:start()
    local function parents()
      local db <close> = assert(sql.open(server.store .. "/mlflow.db", { read_only = true }))
      return db:rows([[SELECT c.name, p.name AS parent FROM runs c LEFT JOIN tags t ON t.run_uuid = c.run_uuid AND
        t.key = 'mlflow.parentRunId' LEFT JOIN runs p ON p.run_uuid = t.value ORDER BY 1]])
    end
    local function push(name) assert.equal(0, runs(("push %s --to %s"):format(name, server.url)).code) end
    push "inner"
    assert.same({ { name = "inner" } }, parents())
    push "one"
    push "inner"
    assert.same({ { name = "inner", parent = "one" }, { name = "one" } }, parents())
    local of = track.open(folder .. "/artifacts")
    local late = run.start(of, { experiment_id = of:ensure_experiment "another", run_name = "late",
      parent = json.decode(runs("show one --json").out).info.run_id })
    late:finish()
    of:close()
    push "late"
    assert.same({ name = "late", parent = "one" }, parents()[2])
  end)

  it("deletes of those that have a name the youngest that is not deleted, and restores one that is", function()
    for _ = 1, 2 do
      local of = track.open(folder .. "/artifacts")
      run.start(of, { experiment_id = "0", run_name = "twin" }):finish()
      of:close()
    end
    local function left()
      local n = 0
      for _ in runs("list").out:gmatch "twin" do n = n + 1 end
      return n
    end
    local seen = {}
    for _, line in ipairs { "delete twin", "delete twin", "delete twin", "delete twin --restore",
      "delete twin --restore", "delete twin --restore" } do
      seen[#seen + 1] = runs(line).code
      seen[#seen + 1] = left()
    end
    assert.same({ 0, 1, 0, 0, 2, 0, 0, 1, 0, 2, 2, 2 }, seen)
  end)

  it("deletes and restores", function()
    assert.equal(0, runs("delete one").code)
    assert.is_nil(runs("list").out:find "one")
    assert.truthy(runs("list --deleted").out:find "one")
    assert.equal(0, runs("delete one --restore").code)
    assert.truthy(runs("list").out:find "one")
  end)
end)

--- The server behind the page: what it answers beyond MLflow's API.

local files = require "recsys.files"
local histories = require "recsys.ui.histories"
local lfs = require "lfs"
local server = require "spec.support.ui_server"

local ask, call, mlflow, refusal, new_run, curve = server.ask, server.call, server.mlflow, server.refusal,
  server.new_run, server.curve

before_each(server.start)
after_each(server.stop)

describe("our own API", function()
  it("shows a page of runs with last, least and greatest values", function()
    local a, b = curve({ 3, 1, 2 }, "a"), curve({ 5, 9 }, "b")
    local child = new_run("0", "child", { tags = { { key = "mlflow.parentRunId", value = a } } })
    local page = call("GET", "/api/recsys/runs?experiment_ids=0&order_by=metrics.loss&limit=2")
    assert.same({ 3, 2, a, b }, { page.total, #page.runs, page.runs[1].info.run_id, page.runs[2].info.run_id })
    assert.same({ last = 2, min = 1, max = 3, step = 3 }, page.runs[1].metrics.loss)
    assert.same({ { lr = "3" }, 1 }, { page.runs[1].params, page.runs[1].children })
    local function order(clause)
      local names = {}
      for i, run in ipairs(call("GET", "/api/recsys/runs?order_by=" .. clause).runs) do names[i] = run.info.run_name end
      return table.concat(names, " ")
    end
    assert.equal("b a child", order "metrics.loss.max+DESC")
    assert.equal("a b child", order "metrics.loss.min")
    page = call("GET", "/api/recsys/runs?experiment_ids=0&filter=metrics.loss+%3E+4")
    assert.same({ 1, b }, { page.total, page.runs[1].info.run_id })
    assert.same({ 0, {} }, { call("GET", "/api/recsys/runs?experiment_ids=77").total,
      call("GET", "/api/recsys/runs?experiment_ids=77").runs })
    assert.equal("child", call("GET", "/api/recsys/runs?filter=run_id+%3D+'" .. child .. "'").runs[1].info.run_name)
    for _, wrong in ipairs { "limit=-1", "limit=x", "offset=1e99", "order_by=%3B", "filter=)" } do
      assert.equal(400, ask("GET", "/api/recsys/runs?" .. wrong).status, wrong)
    end
  end)

  it("shows the top level: runs under no other that is shown", function()
    local function under(parent, name, experiment)
      return new_run(experiment, name, { tags = { { key = "mlflow.parentRunId", value = parent } } })
    end
    local experiment = mlflow("POST", "experiments/create", { name = "other" }).experiment_id
    local study, deleted = new_run("0", "study"), new_run("0", "deleted")
    under(study, "trial")
    under(deleted, "left behind")
    under(under(("0"):rep(32), "of nobody"), "grandchild")
    under(study, "elsewhere", experiment)
    mlflow("POST", "runs/delete", { run_id = deleted })
    local function names(question)
      local page, list = call("GET", "/api/recsys/runs?order_by=run_name&top=1" .. question), {}
      for i, run in ipairs(page.runs) do list[i] = run.info.run_name end
      assert.equal(#list, page.total)
      return table.concat(list, ", ")
    end
    assert.equal("left behind, of nobody, study", names "&experiment_ids=0")
    assert.equal("elsewhere", names("&experiment_ids=" .. experiment))
    assert.equal("left behind, of nobody, study", names("&experiment_ids=0," .. experiment))
    assert.equal("deleted, of nobody, study", names "&experiment_ids=0&view=ALL")
    assert.equal("grandchild, left behind, trial", names "&experiment_ids=0&filter=run_name+LIKE+'%25l%25'")
    assert.equal("left behind, of nobody", names "&experiment_ids=0&filter=run_name+!=+'study'+AND+run_name+!=+'trial'")
    assert.equal(6, call("GET", "/api/recsys/runs?view=ALL&experiment_ids=0").total)
  end)

  it("tells the columns, groups and CSV", function()
    curve({ 3, 1 }, 'a "quoted", name')
    curve({ 5, 9 }, "b")
    local keys = call("GET", "/api/recsys/keys?experiment_ids=0")
    assert.same({ { "loss" }, { "lr" } }, { keys.metrics, keys.params })
    assert.same({ metrics = {}, params = {}, tags = {} }, call("GET", "/api/recsys/keys?experiment_ids=77"))
    local groups = call("GET", "/api/recsys/groups?experiment_ids=0&by=params.lr").groups
    assert.same({ { value = "2", count = 2, metrics = { loss = { mean = 5, min = 1, max = 9, count = 2 } } } }, groups)
    local reply = ask("GET", "/api/recsys/runs.csv?order_by=metrics.loss.min")
    local lines = {}
    for line in reply.body:gmatch "[^\r\n]+" do lines[#lines + 1] = line end
    assert.same({ "text/csv; charset=utf-8", 3 }, { reply.headers["content-type"], #lines })
    assert.truthy(lines[1]:find("run_id,run_name,experiment_id,status,user_id,start_time,end_time,params.lr,"
      .. "metrics.loss,metrics.loss.min,metrics.loss.max,tags.mlflow.runName", 1, true))
    assert.truthy(lines[2]:find('"a ""quoted"", name",0,RUNNING,', 1, true))
    assert.truthy(lines[2]:find(",2,1,1,3,", 1, true))
    assert.same({}, files.names(server.folder .. "/artifacts/cache/uploads")) -- the file it went through
  end)

  it("shows all runs as CSV, however many, each once", function()
    local store, ids = server.opened.store, {}
    store.db:transaction(function()
      for i = 1, 1203 do
        local id = ("%032x"):format(i)
        store:create_run { experiment_id = "0", run_id = id, run_name = "r" .. i, start_time = 1000 + i % 7 }
        store:log(id, { { "loss", i % 10 == 0 and 0 / 0 or 1 / i, i, i } }, { { key = "n", value = tostring(i) } }, {})
        ids[id] = i
      end
    end)
    local reply, seen = ask("GET", "/api/recsys/runs.csv?order_by=metrics.loss.min"), 0
    for line in reply.body:gmatch "[^\r\n]+" do
      local id, n, last, least = line:match "^(%x+),r%d+,0,RUNNING,,%d+,,(%d+),([^,]+),([^,]+),"
      if id then
        assert.equal(tonumber(n), ids[id])
        local i = ids[id]
        ids[id], seen = nil, seen + 1
        if i % 10 == 0 then assert.same({ "NaN", "NaN" }, { last, least })
        else assert.same({ 1 / i, 1 / i }, { tonumber(last), tonumber(least) }) end
      end
    end
    assert.same({ 1203, nil }, { seen, next(ids) })
  end)

  it("leaves no uploads and answers of servers that were killed", function()
    local spool = server.folder .. "/artifacts/cache/uploads/"
    local function left(name, age)
      files.write(spool .. name, "x")
      assert(lfs.touch(spool .. name, os.time() - age))
    end
    for _, kind in ipairs { "answer-", "upload-" } do
      left(kind .. "old", 7200)
      left(kind .. "new", 60)
    end
    left("notes", 7200)
    server.opened:close()
    server.open()
    server.opened:step(0)
    assert.same({ "answer-new", "notes", "upload-new" }, files.names(spool))
    left("upload-new", 7200) -- whose server is killed while this one runs
    server.opened:step(0)
    assert.same({ "answer-new", "notes", "upload-new" }, files.names(spool))
    server.opened.cleared = server.opened.cleared - 3700
    server.opened:step(0)
    assert.same({ "answer-new", "notes" }, files.names(spool))
  end)

  it("keeps an answer of curves within its bound, however many curves there are", function()
    local ids, metrics = {}, {}
    for key = 1, 4 do
      for step = 1, 60 do
        metrics[#metrics + 1] = { key = "m" .. key, value = math.sin(step * key), timestamp = step, step = step }
      end
    end
    for i = 1, 3 do
      ids[i] = new_run("0", "r" .. i)
      mlflow("POST", "runs/log-batch", { run_id = ids[i], metrics = metrics })
    end
    local function check(request, curves, least, most)
      local all, got = 0, call("POST", "/api/recsys/histories", request).series
      for _, one in ipairs(got) do all = all + #one.points end
      assert.equal(curves, #got)
      assert(least <= all and all <= most, all .. " points")
    end
    local most = histories.most
    finally(function() histories.most = most end)
    check({ run_ids = ids }, 12, 720, 720)
    histories.most = 12 * 20
    check({ run_ids = ids }, 12, 200, 240)
    check({ run_ids = ids, keys = { "m1", "absent" } }, 3, 180, 180)
    histories.most = 12 * 10 - 1
    local reply = ask("POST", "/api/recsys/histories", { run_ids = ids })
    assert.same({ 400, "INVALID_PARAMETER_VALUE" }, refusal(reply))
    assert.matches("12 curves, and an answer holds 11", reply.body)
    check({ run_ids = ids, keys = { "m1", "m2" } }, 6, 90, 119)
  end)

  it("thins curves out and keeps what stands out", function()
    local values = {}
    for i = 1, 900 do values[i] = i == 500 and 1000 or i == 700 and -1000 or math.sin(i) end
    local id = curve(values)
    local other = curve { 1, "NaN", 3 }
    local series = call("POST", "/api/recsys/histories", { run_ids = { id, other }, points = 50 }).series
    table.sort(series, function(a, b) return #a.points < #b.points end)
    assert.same({ { 1, 1, 1 }, { 2, 2, "NaN" }, { 3, 3, 3 } }, series[1].points)
    local points, seen = series[2].points, {}
    assert.is_true(#points <= 50 and #points >= 25)
    for i, point in ipairs(points) do
      seen[point[3]] = true
      assert.is_true(i == 1 or point[1] > points[i - 1][1])
    end
    assert.is_true(seen[1000] and seen[-1000]) -- the extremes
    assert.same({ 1, 900 }, { points[1][1], points[#points][1] })
    assert.same({}, call("POST", "/api/recsys/histories", { run_ids = { id }, keys = { "other" } }).series)
    assert.equal(400, ask("POST", "/api/recsys/histories", { run_ids = { 1 } }).status)
  end)

  it("follows a run's log", function()
    local run = new_run()
    local log = ("0/%s/artifacts/log.txt"):format(run)
    assert.same({ text = "", offset = 0, running = true }, call("GET", "/api/recsys/log?run_id=" .. run))
    ask("PUT", "/api/2.0/mlflow-artifacts/artifacts/" .. log, "one\ntwo\n")
    assert.same({ text = "one\ntwo\n", offset = 8, running = true }, call("GET", "/api/recsys/log?run_id=" .. run))
    ask("PUT", "/api/2.0/mlflow-artifacts/artifacts/" .. log, "one\ntwo\nthree \255\n")
    assert.same({ text = "three ?\n", offset = 16, running = true },
      call("GET", "/api/recsys/log?offset=8&run_id=" .. run))
    assert.equal(400, ask("GET", "/api/recsys/log?offset=-1&run_id=" .. run).status)
  end)
end)

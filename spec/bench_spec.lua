--- The bench harness: sides in processes of their own, figures as JSON, refusals in words.
local bench_rows = require "recsys.bench"
local command = require "spec.support.command"
local json = require "recsys.json"

describe("recsys-run bench", function()
  if command.sanitized then pending "a sanitized build times nothing" return end

  local function bench(words) return command.run(("'%s' bench %s"):format(command.program, words)) end

  it("measures our side of a row and prints it as JSON", function()
    local folder = command.scratch(finally)
    local ended = bench(("data --row csv_write --scale 0.001 --rounds 2 --repeats 2 --no-peers --json --folder '%s'")
      :format(folder))
    assert.equal(0, ended.code, ended.err)
    local printed = assert(json.decode(ended.out))
    local row = printed.details[1]
    assert.equal("csv_write", row.row)
    assert.same({ "csv_write", "csv_write" }, { printed.rows[1].name, printed.rows[2].name })
    assert.same({ "s", "MiB" }, { printed.rows[1].unit, printed.rows[2].unit })
    assert.equal(row.sides.recsys.seconds, printed.rows[1].ours)
    local us = row.sides.recsys
    assert.equal(4, #us.runs) -- two processes, two counted calls each
    assert.equal(1000, us.check.rows)
    assert.is_true(us.least <= us.seconds and us.seconds <= us.most and us.least > 0)
    assert.is_true(us.anonymous_mib > 0)
    assert.same({}, row.problems)
  end)

  it("sets tracking beside MLflow where its Python is at hand, and runs ours alone without", function()
    local folder, python = command.scratch(finally), os.getenv "RECSYS_PEER_MLFLOW"
    local ended = bench(("track --row log_metric --scale 0.1 --rounds 1 --repeats 1 --json --folder '%s' %s"):format(
      folder, python and "" or "--no-peers"))
    assert.equal(0, ended.code, ended.err)
    local printed = json.decode(ended.out)
    assert.same({ "log_metric", "s/call", 2000 }, { printed.rows[1].name, printed.rows[1].unit,
      printed.details[1].sides.recsys.facts.calls })
    assert.equal(python and "mlflow" or nil, printed.rows[1].peer_name)
    assert.is_true(not python or printed.rows[1].ratio > 1)
  end)

  it("searches exactly in every row of the suite retrieval", function()
    local folder = command.scratch(finally)
    local ended = bench(("retrieval --scale 0.01 --rounds 1 --repeats 1 --no-peers --json --folder '%s' %s"):format(
      folder, "--row exact_batch --row exact_one_million --row exact_filtered --row exact_request"))
    assert.equal(0, ended.code, ended.err)
    local facts = {}
    for _, row in ipairs(json.decode(ended.out).details) do
      assert.same({}, row.problems)
      facts[row.row] = row.sides.recsys.facts or true
    end
    assert.is_true(facts.exact_one_million.scored > 0 and facts.exact_one_million.scored < 0.5)
    assert.is_true(facts.exact_request.scored > 0 and facts.exact_request.scored < 0.5)
    assert.is_true(facts.exact_filtered.half_scored >= 100 and facts.exact_filtered.half_scored < 5000)
  end)

  it("judges exact searches by the faster peer and by the time of one query, and tells other ratios", function()
    local function side(seconds) return { seconds = seconds, anonymous_mib = 1, facts = {} } end
    local function judged(name, seconds, ratios)
      local row, list = bench_rows.row("retrieval", name), {}
      local sides = { recsys = side(seconds) }
      for peer, ratio in pairs(ratios) do sides[peer] = side(ratio * seconds) end
      local verdicts = bench_rows.judge(row.target or {}, sides, ratios)
      table.move(row.judge and row.judge(sides) or {}, 1, 9, #verdicts + 1, verdicts)
      for i, verdict in ipairs(verdicts) do list[i] = { verdict.what, verdict.wanted, verdict.holds } end
      return list
    end
    assert.same({ { "times as fast as torch, the fastest peer", 1.4, true } },
      judged("exact_batch", 0.1, { torch = 1.5, faiss = 4.8 }))
    assert.same({ { "times as fast as faiss, the fastest peer", 1.4, false } },
      judged("exact_batch", 0.1, { torch = 1.5, faiss = 1.3 }))
    assert.same({}, judged("exact_batch", 0.1, {}))
    assert.same({ { "seconds a query", 5e-3, true } }, judged("exact_one_million", 50 * 4.9e-3, { faiss = 1.1 }))
    assert.same({ { "seconds a query", 5e-3, false } }, judged("exact_one_million", 50 * 5.1e-3, { faiss = 9 }))
    assert.same({}, judged("exact_request", 1, { numpy = 0.5 }))
    assert.same({}, judged("exact_filtered", 1, { faiss = 0.5, torch = 0.5 }))
  end)

  it("judges graphs by hnswlib's speed at a recall of 0.95 and by its memory, halved for bytes", function()
    local function side(speed, memory, codes)
      return { facts = { codes = codes, memory_mib = memory, build_seconds = 300 / speed, curve = {
        { ef = 10, recall = 0.9, qps1 = 40 * speed, qps = 80 * speed },
        { ef = 20, recall = 0.96, qps1 = 20 * speed, qps = 40 * speed } } } }
    end
    local function held(name, ours, theirs)
      local holds, told = {}, 0
      for _, verdict in ipairs(bench_rows.row("retrieval", name).judge { recsys = ours, hnswlib = theirs }) do
        if verdict.wanted then holds[#holds + 1] = verdict.holds else told = told + 1 end
      end
      return holds, told
    end
    assert.same({ true, true, true }, (held("hnsw", side(1.1, 200, true), side(1, 480))))
    assert.same({ true, true, false }, (held("hnsw", side(1.1, 250, true), side(1, 480))))
    assert.same({ true, false, true }, (held("hnsw_f32", side(0.9, 480), side(1, 480))))
    assert.equal(3, select(2, held("hnsw_f32", side(0.5, 480), side(1, 480)))) -- building, recall at two ef
  end)

  it("sets graphs beside hnswlib where its header is at hand, and runs ours alone without", function()
    local folder, python = command.scratch(finally), os.getenv "RECSYS_PEER_PYTHON"
    local peer = python and require("recsys.files").exists "/usr/include/hnswlib/hnswlib.h"
    local ended = bench(("retrieval --scale 0.004 --row hnsw --row hnsw_f32 --json --folder '%s' %s"):format(folder,
      peer and "" or "--no-peers"))
    assert.equal(0, ended.code, ended.err)
    for _, row in ipairs(json.decode(ended.out).details) do
      assert.same({}, row.problems)
      local ours, theirs = row.sides.recsys.facts, peer and row.sides.hnswlib.facts
      for i, point in ipairs(ours.curve) do
        assert.is_true(point.qps > 0 and point.qps1 > 0)
        assert.is_true(not theirs or point.recall > theirs.curve[i].recall - 0.04)
      end
      assert.is_true(ours.curve[#ours.curve].recall > 0.95)
      assert.is_true(not theirs or ours.memory_mib < theirs.memory_mib)
    end
  end)

  it("has sides that are ready take turns, and tells what ended one that does not", function()
    local side = require "recsys.bench.side"
    local function shell(text) return assert(side.start("/bin/sh", { "-c", text })) end
    local fine = shell [[echo {}; s=0; while read turn; do s=$((s + turn)); echo {}; done; echo "{\"sum\": $s}"]]
    local other = shell "echo {}; read turn; echo {}; read turn; echo it is over >&2; exit 3"
    assert.is_true(fine:says() and other:says())
    assert.is_true(fine:turn(1) and other:turn(1))
    assert.is_true(fine:turn(2))
    assert.is_false(other:turn(2))
    assert.is_true(fine:turn(3))
    assert.is_false(other:turn(3))
    assert.equal(6, fine:finish().sum)
    local gone = shell "echo {}; exec 1>&- 0<&-; sleep 0.1; kill -9 $$"
    assert.is_true(gone:says())
    os.execute "sleep 0.3"
    assert.is_false(gone:turn(1)) -- that it is gone comes to light as it is told
    assert.match("^exit code 137", select(2, gone:finish()))
    local result, why = other:finish()
    assert.is_nil(result)
    assert.match("^exit code 3: it is over", why)
    result, why = side.start("/nowhere/python", {})
    assert.is_nil(result)
    assert.match("^cannot start /nowhere/python: ENOENT", why)
  end)

  it("says which side failed, and fails", function()
    local folder = command.scratch(finally)
    local ended = bench(("data --row csv_write --scale 0.001 --rounds 1 --repeats 1 --python /bin/false --json "
      .. "--folder '%s'"):format(folder))
    assert.equal(1, ended.code)
    local printed = json.decode(ended.out)
    assert.match("pandas: exit code 1", printed.details[1].problems[1])
    assert.equal(json.null, printed.rows[1].ratio)
  end)

  it("loads a server of its own at a rate and as fast as it answers", function()
    local folder = command.scratch(finally)
    local ended = bench(("serve --row known_user --row latency --row start --scale 0.02 --rounds 1 --repeats 1 "
      .. "--no-peers --json --folder '%s'"):format(folder))
    assert.equal(0, ended.code, ended.err)
    assert.equal(1, #json.decode(ended.out).details[1].sides.recsys.runs)
    local known, latency, start = table.unpack(json.decode(ended.out).details)
    local facts = known.sides.recsys.facts
    assert.near(1 / known.sides.recsys.seconds, facts.requests_per_second, 1e-6 * facts.requests_per_second)
    assert.is_true(facts.requests_per_second > 100 and facts.resident_mib > 1 and facts.bytes > 5000)
    assert.equal(3, #known.sides.recsys.check)
    assert.equal(50, #known.sides.recsys.check[1][1])
    assert.equal(2000, latency.sides.recsys.facts.requests)
    assert.is_true(latency.sides.recsys.facts.p50_ms <= latency.sides.recsys.facts.p99_ms)
    assert.is_true(start.sides.recsys.seconds > 0 and start.sides.recsys.facts.proportional_mib[2] > 1)
  end)

  it("says why a row cannot run here", function()
    local folder = command.scratch(finally)
    local ended = command.run(("PATH='%s' '%s' bench serve --row filters --no-peers --folder '%s'"):format(folder,
      command.program, folder))
    assert.equal(0, ended.code, ended.err)
    assert.equal("filters: skipped: wrk, which makes the load, is not installed (apt-get install wrk)\n\n", ended.out)
  end)

  it("refuses suites and rows that are not there", function()
    local ended = bench "dates"
    assert.equal(2, ended.code)
    assert.match("there is no bench 'dates'; there are: data", ended.err)
    ended = bench "data --row cvs_write"
    assert.equal(2, ended.code)
    assert.match("there is no row 'cvs_write' in bench data", ended.err)
  end)
end)

--- The rows of `recsys-run bench train`, our side of each on a fiftieth of its data.
local bench = require "recsys.bench"
local command = require "spec.support.command"
local json = require "recsys.json"

describe("recsys-run bench train", function()
  if command.sanitized then pending "a sanitized build times nothing" return end

  local folder = os.tmpname()
  os.remove(folder)
  teardown(function() os.execute(("rm -rf '%s'"):format(folder)) end)

  local counted = { retrieval_static = true, retrieval_history = true, retrieval_large = true, panel_kernels = true }
  local learning = { retrieval_static = true, retrieval_history = true, retrieval_large = true }

  for _, name in ipairs(bench.list "train") do
    it("runs " .. name, function()
      local ended = command.run(("'%s' bench train --row %s --scale 0.02 --rounds 1 --repeats 1 --threads 2 --no-peers "
        .. "--json --folder '%s'"):format(command.program, name, folder))
      assert.equal(0, ended.code, ended.err)
      local printed = assert(json.decode(ended.out))
      local row, side = printed.rows[1], printed.details[1].sides.recsys
      assert.equal(name, row.name)
      assert.equal(2, row.threads)
      assert.is_true(row.ours > 0)
      if counted[name] then assert.is_true(row.share_of_peak > 0) end
      if learning[name] then assert.is_true(side.facts.last_loss < side.facts.first_loss) end
      if row.unit == "s/step" then assert.is_true(side.facts.accounted > 0.5 and side.facts.accounted <= 1) end
      if name == "retrieval_large" then
        local tables = side.facts.tables
        assert.is_true(tables.small > 0 and tables.large > 0)
        assert.is_true(math.max(tables.small, tables.large) < 10 * row.ours) -- parts of a step
        local found = {}
        for _, cost in ipairs { tables.large, tables.small + 0.005 } do
          side.facts.tables = { large = cost, small = tables.small }
          for _, verdict in ipairs(bench.row("train", name).judge { recsys = side }) do
            if verdict.what:find "at tables" then found[#found + 1] = verdict.holds end
          end
        end
        assert.equal(2, #found)
        assert.is_false(found[2])
      end
      if name == "panel_kernels" then assert.equal("model", row.peer_name) end
      if name == "regression_towers" then assert.equal(8, #side.facts.losses.last) end
      if name == "bpr_time_to_quality" then assert.equal(10, #side.facts.curve) end
    end)
  end

  it("holds losses of two sides against their spread", function()
    local judge = bench.row("train", "regression_towers").judge
    local function side(last) return { facts = { losses = { first = { 1, 1.1, 0.9, 1 }, last = last } } } end
    local function verdicts(last)
      local found = {}
      for _, verdict in ipairs(judge { recsys = side { 0.10, 0.12, 0.11, 0.13 }, torch = side(last) }) do
        found[verdict.what:match "^%w+: mean loss%w* %w+"] = verdict.holds
      end
      return found
    end
    assert.same({ ["recsys: mean loss falls"] = true, ["torch: mean loss falls"] = true,
      ["torch: mean losses apart"] = true }, verdicts { 0.12, 0.13, 0.10, 0.14 })
    assert.is_false(verdicts({ 0.17, 0.18, 0.16, 0.19 })["torch: mean losses apart"])
    assert.is_false(verdicts({ 1.2, 1.3, 1.2, 1.3 })["torch: mean loss falls"])
  end)

  it("sets two sides' seconds to a common quality beside each other", function()
    local against = bench.row("train", "bpr_time_to_quality").against
    local function curve(...)
      local points = {}
      for i, ndcg in ipairs { ... } do points[i] = { seconds = i, ndcg = ndcg } end
      return { curve = points }
    end
    local pair = against(curve(0.02, 0.05, 0.06), curve(0.01, 0.03, 0.029, 0.02))
    assert.same({ ours = 2, peer = 2 }, { ours = pair.ours, peer = pair.peer })
    assert.match("NDCG@20 of 0.0294", pair.what)
    pair = against(curve(0.02, 0.03), curve(0.01, 0.02, 0.03, 0.09))
    assert.same({ ours = 2, peer = 3 }, { ours = pair.ours, peer = pair.peer })
  end)

  local python = os.getenv "RECSYS_PEER_PYTHON"
  it("has implicit and LightFM train to that quality, by the same evaluator", function()
    if not python then pending "needs RECSYS_PEER_PYTHON" return end
    local ended = command.run(("'%s' bench train --row bpr_time_to_quality --scale 0.02 --rounds 2 --repeats 3 "
      .. "--threads 1 --json --folder '%s' --python '%s'"):format(command.program, folder, python))
    assert.equal(0, ended.code, ended.err)
    local printed, peers = assert(json.decode(ended.out)), {}
    for _, row in ipairs(printed.rows) do
      if row.unit == "s" then
        peers[row.peer_name] = row.peer_version
        assert.is_true(math.abs(row.peer / row.ours / row.ratio - 1) < 1e-9)
      end
    end
    assert.same({ implicit = "0.7.3", lightfm = "1.17" }, peers)
    for name, side in pairs(printed.details[1].sides) do
      assert.equal(2, #side.runs, name) -- two processes, each of which trains once
      for i = 2, #side.facts.curve do
        assert.is_true(side.facts.curve[i].seconds > side.facts.curve[i - 1].seconds, name)
      end
    end
  end)
end)

--- Promotion by a gate, rollback, and what a kill leaves of them.

local cjson = require "cjson"
local command = require "spec.support.command"
local gate = require "recsys.registry.gate"
local models = require "recsys.registry.models"
local promotion = require "recsys.registry.promotion"
local registry = require "recsys.registry"
local report = require "recsys.registry.report"
local trail = require "recsys.registry.trail"
local upkeep = require "recsys.registry.upkeep"
local versions = require "recsys.registry.versions"

local folder, dir

--- Publish a version that was measured so.
local function publish(ndcg, changes)
  local manifest = { metrics = { ndcg_10 = ndcg, recall_50 = 0.3, loss = 0.5 }, run = "mf-20261126-101112",
    intervals = { ndcg_10 = { ndcg - 0.01, ndcg + 0.01 } }, data = { name = "news", fingerprint = "data1" },
    test = { fingerprint = "test1", queries = 40 }, parameters = { train = { epochs = 3, metric = "ndcg_10" } } }
  for key, value in pairs(changes or {}) do manifest[key] = value end
  return assert(registry.add { name = "mf", dir = dir, manifest = manifest,
    members = { { "note.txt", bytes = tostring(ndcg) } } })
end

local function aliased(opened, alias)
  local row = opened.db:row("SELECT version FROM registered_model_aliases WHERE name = 'mf' AND alias = ?",
    { alias or "champion" })
  return row and row.version
end

local function promote(opened, version, changes)
  local request = { name = "mf", version = version, reason = "it is better", by = "operator" }
  for key, value in pairs(changes or {}) do request[key] = value end
  return promotion.promote(opened, request)
end

describe("registry's gate", function()
  it("reads metrics, tolerances and shares", function()
    assert.same({ metric = "ndcg_10", gain = 0, share = false, text = "ndcg_10" }, gate.parse "ndcg_10")
    assert.equal(-0.001, gate.parse("valid/ndcg_10:-0.001").gain)
    local share = gate.parse "recall_50:-1%"
    assert.equal(-0.01, share.gain)
    assert.is_true(share.share)
    for _, word in ipairs { "", "ndcg_10:", "ndcg_10:x", "a b", "ndcg_10:1e" } do
      assert.is_nil(gate.parse(word), word)
      assert.matches("is no gate: METRIC, or METRIC:GAIN", select(2, gate.parse(word)), 1, true)
    end
  end)

  local function verdict(word, mine, its)
    local metric = word:match "^[^:]+"
    local _, verdicts = gate.judge({ metrics = { [metric] = mine } }, { metrics = { [metric] = its } },
      gate.parse_all { word })
    return verdicts[1]
  end

  it("tells by how much a metric missed", function()
    local missed = verdict("ndcg_10", 0.09, 0.1)
    assert.is_false(missed.passed)
    assert.is_near(0.01, missed.short, 1e-12)
    assert.equal("ndcg_10: 0.09 against 0.1: 0.01 lower; the gate ndcg_10 wants at least 0.1, missed by 0.01",
      gate.text(missed))
    assert.is_true(verdict("ndcg_10", 0.1, 0.1).passed)
    assert.is_true(verdict("ndcg_10:-0.02", 0.09, 0.1).passed)
    assert.is_near(0.005, verdict("ndcg_10:-5%", 0.09, 0.1).short, 1e-12)
    assert.is_near(0.01, verdict("ndcg_10:0.02", 0.11, 0.1).short, 1e-12)
  end)

  it("wants losses and errors to fall", function()
    assert.is_true(verdict("loss", 0.4, 0.5).passed)
    assert.equal("rmse: 0.9 against 0.8: 0.1 higher; the gate rmse wants at most 0.8, missed by 0.1",
      gate.text(verdict("rmse", 0.9, 0.8)))
    for _, metric in ipairs { "valid/log_loss", "logloss", "LogLoss_2", "perplexity", "mean_rank", "p50_ms",
      "test.mae" } do
      assert.is_true(verdict(metric, 0.4, 0.5).passed, metric)
      assert.is_false(verdict(metric, 0.5, 0.4).passed, metric)
    end
    for _, metric in ipairs { "closs_10", "ndcg_10", "mean_reciprocal_rank", "ranking_10" } do
      assert.is_true(verdict(metric, 0.5, 0.4).passed, metric)
    end
  end)

  it("fails what is no number on either side", function()
    assert.equal("the candidate has no such metric", verdict("x", 0 / 0, 1).why)
    assert.equal("the holder has no such metric", verdict("x", 1, nil).why)
    assert.is_false(verdict("x", nil, nil).passed)
  end)
end)

describe("registry's promotion", function()
  local opened

  before_each(function()
    folder = command.temporary()
    dir = folder .. "/models"
    publish(0.1)
    publish(0.09)
    publish(0.12)
    opened = registry.open(dir)
  end)
  after_each(function()
    opened:close()
    command.remove(folder)
  end)

  it("has the first version as champion, and none but that", function()
    assert.equal(1, aliased(opened))
    local events = trail.events(opened.db, "mf")
    assert.equal(1, #events)
    assert.equal("first", events[1].action)
    assert.same(1, #opened.db:rows "SELECT * FROM registered_model_aliases")
  end)

  it("moves the alias when the gate is passed, and puts on record who, when, why and by what", function()
    local event = assert(promote(opened, 3))
    assert.equal(3, aliased(opened))
    local last = trail.events(opened.db, "mf")[2]
    assert.same({ "promote", "champion", 1, 3, "it is better", "operator" },
      { last.action, last.alias, last.from, last.to, last.reason, last.by })
    assert.equal(event.at, last.at)
    assert.is_true(math.abs(last.at / 1000 - os.time()) < 60)
    assert.equal("ndcg_10", last.gate[1].metric)
    assert.is_true(last.gate[1].passed)
  end)

  it("refuses what fails its gate, and says by how much, with intervals", function()
    local event, message, code, verdicts = promote(opened, 2, { gates = { "ndcg_10", "recall_50" } })
    assert.is_nil(event)
    assert.equal("quality", code)
    assert.equal([[
mf-2 is not promoted: it fails the gate against mf-1, the champion, on the same test rows
  failed ndcg_10: 0.09 [0.08, 0.1] against 0.1 [0.09, 0.11]: 0.01 lower; the gate ndcg_10 wants at least 0.1, missed ]]
      .. [[by 0.01; the intervals overlap
  passed recall_50: 0.3 against 0.3: equal]], message)
    assert.is_near(0.01, verdicts[1].short, 1e-12)
    assert.equal(1, aliased(opened))
    assert.equal(1, #trail.events(opened.db, "mf"))
  end)

  it("takes the gates of the model's tag where none are given", function()
    models.set_tag(opened.db, { name = "mf", key = "recsys.gates",
      value = "ndcg_10:-0.05, recall_50:0.1" })
    local _, message = promote(opened, 2)
    assert.matches("passed ndcg_10: ", message, 1, true)
    assert.matches("failed recall_50: 0.3 against 0.3: equal; the gate recall_50:0.1 wants at least 0.4, missed by 0.1",
      message, 1, true)
    assert.has_error(function() promote(opened, 2, { gates = { "ndcg_10:much" } }) end)
  end)

  it("refuses to compare what was measured on other questions", function()
    publish(0.2, { test = { fingerprint = "test2" } })
    publish(0.2, { test = { fingerprint = "test3" }, data = { name = "news", fingerprint = "data2" } })
    publish(0.2, { test = {} })
    local function why(version) return select(2, promote(opened, version)) end
    assert.matches("mf-4 was measured with another split or protocol of the same data than mf-1", why(4), 1, true)
    assert.matches("mf-5 was measured on other data (fingerprint data2, not data1) than mf-1", why(5), 1, true)
    assert.matches("the bundle of mf-6 does not say which test rows its metrics are of", why(6), 1, true)
    assert.equal("quality", select(3, promote(opened, 4)))
    assert.is_true(assert(promote(opened, 4, { no_gate = true })).ungated)
    assert.equal(4, aliased(opened))
  end)

  it("wants a reason, a version that is there and another one than the holder", function()
    assert.has_error(function() promote(opened, 3, { reason = " " }) end)
    assert.has_error(function() promote(opened, 9) end)
    local ok, problem = pcall(promote, opened, 1)
    assert.is_false(ok)
    assert.equal("mf-1 is the champion already", problem.message)
  end)

  it("reads metrics from the bundle, not from tags that anybody may write", function()
    versions.set_tag(opened.db, { name = "mf", version = 2, key = "recsys.metric.ndcg_10", value = "0.9" })
    assert.equal("quality", select(3, promote(opened, 2)))
  end)

  it("says before a promotion or a rollback what it would do, and does nothing", function()
    local function preview(version, changes)
      local request = { name = "mf", version = version }
      for key, value in pairs(changes or {}) do request[key] = value end
      return promotion.preview(opened, request)
    end
    local found = preview(2)
    assert.same({ 1, false }, { found.holder, found.passed })
    assert.is_near(0.01, found.gate[1].short, 1e-12)
    assert.is_near(0.1, found.gate[1].bound, 1e-12)
    assert.is_true(found.gate[1].least)
    local loss = preview(3, { gates = { "loss:-1%" } }).gate[1]
    assert.same({ true, false }, { loss.passed, loss.least })
    assert.is_near(0.505, loss.bound, 1e-12)
    assert.same({ 1, true }, { preview(3).holder, preview(3).passed })
    assert.same({ holder = 1, passed = true }, preview(1))
    assert.same({ passed = true }, preview(2, { alias = "challenger" }))
    publish(0.2, { test = { fingerprint = "test2" } })
    assert.matches("cannot be compared", preview(4).refusal)
    assert.has_error(function() preview(9) end)
    assert.has_error(function() promotion.before(opened, { name = "mf" }) end)
    assert.equal(1, aliased(opened))
    promote(opened, 3)
    assert.same({ alias = "champion", from = 3, to = 1 }, promotion.before(opened, { name = "mf" }))
    assert.equal(3, aliased(opened))
  end)

  it("never promotes nor goes back to a damaged bundle", function()
    promote(opened, 3)
    local path = dir .. "/mf-1.tar"
    local bytes = command.read(path)
    local file = assert(io.open(path, "r+b"))
    file:seek("set", (bytes:find "note.txt" or 512) + 512)
    file:write "X"
    file:close()
    assert.has_error(function() promotion.rollback(opened, { name = "mf" }) end)
    assert.equal(3, aliased(opened))
    local _, message = promote(opened, 2, { alias = "challenger" })
    assert.is_nil(message)
  end)

  it("goes back version by version, past deleted ones", function()
    promote(opened, 3)
    publish(0.13)
    promote(opened, 4)
    versions.delete(opened.db, { name = "mf", version = 3 })
    local event = promotion.rollback(opened, { name = "mf", reason = "complaints" })
    assert.same({ "rollback", 4, 1, "complaints" }, { event.action, event.from, event.to, event.reason })
    assert.equal(1, aliased(opened))
    local ok, problem = pcall(promotion.rollback, opened, { name = "mf" })
    assert.is_false(ok)
    assert.equal("there is no version of mf to go back to: none was champion before mf-1", problem.message)
  end)

  it("does not go forth again by going back twice", function()
    promote(opened, 2, { no_gate = true })
    promote(opened, 3)
    assert.equal(2, promotion.rollback(opened, { name = "mf" }).to)
    assert.equal(1, promotion.rollback(opened, { name = "mf" }).to)
    promote(opened, 3)
    assert.equal(1, promotion.rollback(opened, { name = "mf" }).to)
  end)

  it("has on record what a client of MLflow's did to the alias, and goes back from it", function()
    models.set_alias(opened.db, { name = "mf", alias = "champion", version = "2" }, "ann")
    models.set_alias(opened.db, { name = "mf", alias = "champion", version = "2" }, "bob") -- it changes nothing
    models.set_alias(opened.db, { name = "mf", alias = "champion", version = "3" }, "ann")
    models.delete_alias(opened.db, { name = "mf", alias = "champion" }, "ann")
    models.delete_alias(opened.db, { name = "mf", alias = "champion" }, "bob")
    local told = {}
    for i, event in ipairs(trail.events(opened.db, "mf")) do
      told[i] = ("%s %s %s-%s"):format(event.by, event.action, event.from or "", event.to or "")
    end
    told[1] = nil
    assert.same({ [2] = "ann alias 1-2", [3] = "ann alias 2-3", [4] = "ann no alias 3-" }, told)
    assert.equal(3, promotion.rollback(opened, { name = "mf" }).to)
    assert.equal(2, promotion.rollback(opened, { name = "mf" }).to)
    versions.delete(opened.db, { name = "mf", version = "2" }, "ann")
    local events = trail.events(opened.db, "mf")
    local last = events[#events]
    assert.same({ "no alias", 2, "version 2 was deleted", "ann" }, { last.action, last.from, last.reason, last.by })
    assert.equal(1, promotion.rollback(opened, { name = "mf" }).to)
  end)

  it("goes back from what an MLflow of its own on the database did to the alias", function()
    opened.db:run "UPDATE registered_model_aliases SET version = 2 WHERE name = 'mf'"
    opened.db:run "UPDATE registered_model_aliases SET version = 3 WHERE name = 'mf'"
    assert.equal(1, promotion.rollback(opened, { name = "mf" }).to)
    opened.db:run "DELETE FROM registered_model_aliases"
    assert.equal(1, promotion.rollback(opened, { name = "mf" }).to)
  end)

  it("lets nobody write or delete what is on record", function()
    for _, fn in ipairs { models.set_tag, models.delete_tag } do
      local ok, problem = pcall(fn, opened.db, { name = "mf", key = "recsys.audit.000001", value = "{}" })
      assert.is_false(ok)
      assert.equal("PERMISSION_DENIED", problem.code)
    end
    assert.equal(1, #trail.events(opened.db, "mf"))
  end)

  it("keeps the order of its events past a million, and is not led astray by tags of others", function()
    local function tag(key)
      opened.db:run("INSERT INTO registered_model_tags (key, value, name) VALUES (?, ?, 'mf')",
        { key, '{"action":"promote","alias":"champion","from":1,"to":2,"at":1,"by":"nobody"}' })
    end
    tag "Recsys.audit.000000"
    tag "recsys.audit.x"
    tag "recsys.audit."
    assert.equal(1, #trail.events(opened.db, "mf"))
    opened.db:run "UPDATE registered_model_tags SET key = 'recsys.audit.999999' WHERE key = 'recsys.audit.000001'"
    assert(promote(opened, 3))
    promotion.set_alias(opened, { name = "mf", alias = "champion", version = 2 })
    local actions = {}
    for i, event in ipairs(trail.events(opened.db, "mf")) do actions[i] = event.action end
    assert.same({ "first", "promote", "alias" }, actions)
    assert.equal(3, promotion.rollback(opened, { name = "mf" }).to)
  end)

  it("stays on record: a published model is not deleted, whatever became of its versions", function()
    for version = 1, 3 do versions.delete(opened.db, { name = "mf", version = version }) end
    local ok, problem = pcall(models.delete, opened.db, { name = "mf" })
    assert.same({ false, "PERMISSION_DENIED" }, { ok, problem.code })
    assert.matches("stays on record", problem.message)
    assert.equal(2, #trail.events(opened.db, "mf"))
  end)

  it("serves aliases of all names", function()
    assert(promote(opened, 2, { alias = "challenger" }))
    assert.equal(dir .. "/mf-2.tar", registry.resolve("mf@challenger", dir))
    promotion.set_alias(opened, { name = "mf", alias = "challenger", reason = "withdrawn" })
    assert.is_nil(aliased(opened, "challenger"))
    assert.equal(2, promotion.rollback(opened, { name = "mf", alias = "challenger" }).to)
  end)

  it("compares two versions", function()
    publish(0.2, { parameters = { train = { epochs = 5, metric = "ndcg_10" } } })
    local found = report.compare(opened, "mf", 4, 1)
    assert.is_true(found.comparable)
    assert.same({ { name = "train.epochs", candidate = "5", holder = "3" } }, setmetatable(found.parameters, nil))
    assert.matches("ndcg_10 +0.2 +0.1 +%+0.1 +apart", report.compare_text(found))
  end)
end)

describe("registry's upkeep", function()
  local opened

  before_each(function()
    folder = command.temporary()
    dir = folder .. "/models"
    for i = 1, 4 do publish(i / 10) end
    opened = registry.open(dir)
  end)
  after_each(function()
    opened:close()
    command.remove(folder)
  end)

  local function digest(version)
    return report.version(opened.db, "mf", version).digest
  end

  local function kept(version)
    return ("%s/mlartifacts/models/%s/bundle.tar"):format(folder, digest(version))
  end

  --- Another file of the same bytes but one: names of one file no longer.
  local function damage(path)
    local bytes = command.read(path)
    os.remove(path)
    local at = bytes:find("note.txt", 1, true) + 600
    command.write(path, bytes:sub(1, at) .. "X" .. bytes:sub(at + 2))
  end

  it("finds all whole, and makes names that are missing", function()
    os.remove(dir .. "/mf-2.tar")
    local found, loose = upkeep.verify(opened)
    assert.equal(4, #found)
    for i, version in ipairs(found) do
      assert.equal(i, version.version)
      assert.same({}, version.problems)
    end
    assert.same({}, loose)
    assert.equal(dir .. "/mf-2.tar", registry.resolve("mf-2", dir))
  end)

  it("mends a bundle from the file of its name, and says what it cannot mend", function()
    damage(kept(1))
    os.remove(kept(2))
    damage(kept(3))
    damage(dir .. "/mf-3.tar")
    damage(dir .. "/mf-4.tar")
    command.write(dir .. "/mf-9.tar", "half")
    local found, loose = upkeep.verify(opened)
    assert.same({ true, true, false, false }, { found[1].mended, found[2].mended, found[3].mended, found[4].mended })
    assert.same({ 0, 0, 2, 1 }, { #found[1].problems, #found[2].problems, #found[3].problems, #found[4].problems })
    assert.matches("mf%-4.tar.*damaged", found[4].problems[1])
    assert.same({ dir .. "/mf-9.tar" }, loose)
    assert.same({}, upkeep.verify(opened)[1].problems)
  end)

  it("removes old versions, never what an alias or a run points to", function()
    local now = os.time() * 1000
    opened.db:run("INSERT INTO runs (run_uuid, experiment_id, lifecycle_stage, status, start_time) "
      .. "VALUES ('r2', 0, 'active', 'FINISHED', ?)", { now })
    opened.db:run("INSERT INTO tags (key, value, run_uuid) VALUES ('mlflow.log-model.history', ?, 'r2')",
      { ('[{"flavors": {"recsys": {"digest": "%s"}}}]'):format(digest(3)) })
    opened.db:run "UPDATE model_versions SET run_id = 'r2' WHERE version = 2"
    local three = kept(3)
    local told = upkeep.collect(opened, { keep = 0, dry_run = true })
    local removed = upkeep.collect(opened, { keep = 0 })
    assert.same(told, removed)
    assert.same({ { name = "mf", version = 3 }, { name = "mf", version = 4 } }, removed.versions)
    assert.equal(1, #removed.bundles)
    assert.equal("mf-1.tar\nmf-2.tar\nmf-3.tar\n", command.run("ls -A " .. dir).out)
    assert.equal(dir .. "/mf-2.tar", registry.resolve("mf", dir))
    assert.is_nil(registry.resolve("mf-3", dir))
    assert.is_truthy(command.read(three)) -- the run's
    opened.db:run "UPDATE runs SET lifecycle_stage = 'deleted'"
    assert.same({ { name = "mf", version = 2 } }, upkeep.collect(opened, { keep = 0, age = 0 }).versions)
    assert.equal("mf-1.tar\n", command.run("ls -A " .. dir).out)
    assert.equal(1, #command.run(("ls %s/mlartifacts/models"):format(folder)).out:gsub("[^\n]", ""))
  end)

  it("keeps the newest", function()
    assert.same({ { name = "mf", version = 2 } }, upkeep.collect(opened, { keep = 2 }).versions)
    assert.same({}, upkeep.collect(opened, {}).versions)
  end)

  it("leaves a bundle that was just stored alone, and takes one that lies there for an hour", function()
    local orphan = ("%s/mlartifacts/models/%s"):format(folder, ("ab"):rep(32))
    assert(os.execute("mkdir " .. orphan))
    command.write(orphan .. "/bundle.tar", "bytes")
    assert.same({}, upkeep.collect(opened, {}).bundles)
    assert(os.execute("touch -d '2 hours ago' " .. orphan))
    assert.same({ { digest = ("ab"):rep(32), bytes = 5 } }, upkeep.collect(opened, {}).bundles)
    assert.equal(1, command.run("ls " .. orphan).code > 0 and 1 or 0)
  end)

  it("keeps the bundle of a version whose tag another program took away", function()
    local track = require "recsys.track"
    local run <close> = track.start { store = folder }
    publish(0.5)
    run:finish()
    local champion, logged = kept(1), kept(5)
    opened.db:run "DELETE FROM model_version_tags WHERE key = 'recsys.digest' AND version IN (1, 5)"
    opened.db:run "UPDATE runs SET lifecycle_stage = 'deleted'"
    assert.same({}, upkeep.collect(opened, { age = 0 }).bundles)
    assert.is_truthy(command.read(champion))
    assert.is_truthy(command.read(logged))
  end)

  it("goes by a model's new name alone, as soon as it is renamed", function()
    versions.delete(opened.db, { name = "mf", version = 2 })
    models.rename(opened.db, { name = "mf", new_name = "ranker" })
    assert.is_nil(registry.resolve("mf", dir))
    assert.is_nil(registry.resolve("mf-2", dir))
    assert.matches("/bundle.tar$", registry.resolve("ranker@champion", dir))
    assert.same({}, select(2, upkeep.verify(opened)))
    registry.open(dir):close()
    assert.equal("ranker-1.tar\nranker-3.tar\nranker-4.tar\n", command.run("ls -A " .. dir).out)
    assert.equal(dir .. "/ranker-4.tar", registry.resolve("ranker", dir))
  end)

  it("leaves a copy by the old name alone, but sees it no more", function()
    local bytes = command.read(dir .. "/mf-1.tar")
    os.remove(dir .. "/mf-1.tar")
    command.write(dir .. "/mf-1.tar", bytes)
    models.rename(opened.db, { name = "mf", new_name = "ranker" })
    registry.open(dir):close()
    assert.is_truthy(command.read(dir .. "/mf-1.tar"))
    assert.is_nil(registry.resolve("mf", dir))
    assert.same({}, select(2, upkeep.verify(opened)))
    assert.equal(4, #opened:list())
  end)

  it("is not led out of its folder by a tag", function()
    opened.db:run "UPDATE model_version_tags SET value = '../../../etc' WHERE version = 4 AND key = 'recsys.digest'"
    assert.equal(3, #upkeep.verify(opened))
    local ok, problem = pcall(promotion.promote, opened, { name = "mf", version = 4, reason = "x" })
    assert.is_false(ok)
    assert.equal("mf-4 has no bundle: recsys-run did not publish it", problem.message)
  end)
end)

-- Kills ---------------------------------------------------------------------------------------------------------------

--- Promotes, rolls back, or does what a client's request does, in a process that kills itself after so many lines of
--- Lua; prints how many there were.
local script = [[
local dir, what, version, lines = ...
local registry, promotion = require "recsys.registry", require "recsys.registry.promotion"
local uv = require "luv"
local left, done = tonumber(lines), 0
debug.sethook(function()
  done = done + 1
  if done == left then uv.kill(uv.os_getpid(), "sigkill") end
end, "l")
local opened = registry.open(dir)
if what == "promote" then
  assert(promotion.promote(opened, { name = "mf", version = tonumber(version), reason = "killed", no_gate = true }))
elseif what == "rollback" then
  promotion.rollback(opened, { name = "mf" })
elseif what == "client" then
  require("recsys.registry.models").set_alias(opened.db, { name = "mf", alias = "champion", version = version }, "ann")
elseif what == "delete" then
  require("recsys.registry.versions").delete(opened.db, { name = "mf", version = version }, "ann")
else
  assert(registry.add { name = "mf", dir = dir, manifest = { metrics = { ndcg_10 = 1 } },
    members = { { "note.txt", bytes = version } } })
end
opened:close()
debug.sethook()
print(done)]]

describe("a registry whose process is killed", function()
  before_each(function()
    folder = command.temporary()
    dir = folder .. "/models"
    publish(0.1)
    publish(0.09)
    command.write(folder .. "/kill.lua", script)
  end)
  after_each(function() command.remove(folder) end)

  local function run(what, version, lines)
    return command.run(("%s lua %s/kill.lua %s %s %s %d"):format(command.program, folder, dir, what, version, lines))
  end

  --- The alias and the trail agree, and so do versions and files.
  local function check()
    local opened <close> = registry.open(dir)
    local events = trail.events(opened.db, "mf")
    assert.equal(events[#events].to, aliased(opened))
    assert.equal(1, #opened.db:rows "SELECT * FROM registered_model_aliases")
    assert.same({}, opened.db:rows "PRAGMA foreign_key_check")
    assert.equal("ok", opened.db:row("PRAGMA integrity_check").integrity_check)
    local found, loose = upkeep.verify(opened)
    for _, version in ipairs(found) do assert.same({}, version.problems) end
    assert.same({}, loose)
    assert.equal(("%s/mf-%d.tar"):format(dir, aliased(opened)), registry.resolve("mf@champion", dir))
    return aliased(opened), #events, #found
  end

  it("has promoted or not, and rolled back or not, whatever the line", function()
    local whole = run("promote", 2, 0)
    local lines = assert(tonumber(whole.out), whole.err)
    assert.equal(0, run("rollback", 0, 0).code)
    local outcomes, champion, events = { [true] = 0, [false] = 0 }, check()
    for at = 3, lines + 40, math.max(1, lines // 40) do
      local what = champion == 1 and "promote" or "rollback"
      local ran = run(what, 2, at)
      local now, told = check()
      local moved = now ~= champion
      assert.equal(moved and events + 1 or events, told)
      if ran.code == 0 then assert.is_true(moved) else assert.equal(137, ran.code, ran.err) end
      outcomes[moved] = outcomes[moved] + 1
      champion, events = now, told
    end
    assert.is_true(outcomes[true] > 0 and outcomes[false] > 10, ("%d moved, %d not"):format(outcomes[true],
      outcomes[false]))
  end)

  it("has the alias and the event of a client's request, or neither, whatever the line", function()
    local lines = assert(tonumber(run("client", 2, 0).out))
    local champion, events = check()
    local killed = 0
    for at = 3, lines + 40, math.max(1, lines // 25) do
      local ran = run("client", 3 - champion, at)
      local now, told = check()
      assert.equal(now ~= champion and events + 1 or events, told)
      if ran.code ~= 0 then killed = killed + 1 end
      champion, events = now, told
    end
    assert.is_true(killed > 15)
    run("client", 1, 0)
    run("client", 2, 0)
    events = select(2, check())
    assert.equal(0, run("delete", 2, 0).code) -- with the alias: then it is back with the first
    local opened <close> = registry.open(dir)
    assert.is_nil(aliased(opened))
    assert.equal(events + 1, #trail.events(opened.db, "mf"))
    assert.equal(1, promotion.rollback(opened, { name = "mf" }).to)
  end)

  it("has published a version wholly or not at all, whatever the line", function()
    local lines = assert(tonumber(run("publish", "whole", 0).out))
    local _, _, count = check()
    local killed = 0
    for at = 5, lines + 40, math.max(1, lines // 30) do
      local ran = run("publish", "at" .. at, at)
      local _, _, now = check()
      assert.is_true(now == count or now == count + 1)
      if ran.code == 0 then assert.equal(count + 1, now) else killed = killed + 1 end
      count = now
    end
    assert.is_true(killed > 20)
  end)

  it("is whole after kills at random moments", function()
    local loop = command.write(folder .. "/loop.lua", [[
      local dir = ...
      local registry, promotion = require "recsys.registry", require "recsys.registry.promotion"
      local opened = registry.open(dir)
      local champion = require("recsys.registry.rows").aliased(opened.db, "mf", "champion")
      if champion == 2 then promotion.rollback(opened, { name = "mf" }) end
      while true do
        promotion.promote(opened, { name = "mf", version = 2, reason = "loop", no_gate = true })
        promotion.rollback(opened, { name = "mf" })
      end]])
    local _, before = check()
    for round = 1, 10 do
      local ran = command.run(("timeout -s KILL %.2f %s lua %s %s"):format(0.15 + 0.05 * round, command.program, loop,
        dir))
      assert.equal(137, ran.code, ran.err)
      check()
    end
    assert.is_true(select(2, check()) > before + 10)
  end)
end)

describe("recsys-run registry", function()
  before_each(function()
    folder = command.temporary()
    dir = folder .. "/models"
    publish(0.1)
    publish(0.09)
  end)
  after_each(function() command.remove(folder) end)

  local function run(words)
    return command.run(("%s registry %s --models %s"):format(command.program, words, dir))
  end

  it("lists, shows, promotes and rolls back", function()
    assert.matches("mf +2 +2 +champion=1 +%d%d%d%d%-%d%d%-%d%d %d%d:%d%d\n", run("list").out)
    local refused = run "promote mf-2 --reason 'a try'"
    assert.equal(3, refused.code)
    assert.matches("missed by 0.01", refused.err, 1, true)
    assert.equal(2, run("promote mf-2").code)
    local promoted = run "promote mf-2 --reason 'a try' --gate ndcg_10:-20% --by me"
    assert.equal(0, promoted.code, promoted.err)
    assert.matches("me  promote: champion from version 1 to version 2: a try", promoted.out, 1, true)
    assert.matches("rollback: champion from version 2 to version 1", run("rollback mf").out, 1, true)
    local shown = cjson.decode(run("show mf --json").out)
    assert.equal(2, #shown.versions)
    assert.equal(3, #shown.history)
    assert.same({ "champion" }, shown.versions[1].aliases)
    assert.equal(0.09, shown.versions[2].metrics.ndcg_10)
    assert.matches("history\n.*champion is version 1, the first version\n", run("show mf").out)
    assert.matches("test.fingerprint +test1\n", run("show mf@champion").out)
  end)

  it("tells with --dry-run what promoting would come to, and promotes no further who has the alias", function()
    local refused = run "promote mf-2 --dry-run --json"
    assert.equal(3, refused.code)
    assert.matches("missed by 0.01", refused.err, 1, true)
    local told = cjson.decode(refused.out)
    assert.is_false(told.passed)
    assert.equal(1, told.holder)
    assert.equal("ndcg_10", told.gate[1].metric)
    local passed = run "promote mf-2 --dry-run --gate ndcg_10:-20%"
    assert.equal(0, passed.code, passed.err)
    assert.matches("mf-2 passes the gate for champion\n  passed ndcg_10: 0.09 ", passed.out, 1, true)
    assert.equal(0, run("promote mf-2 --dry-run --no-gate").code)
    assert.equal(0, run("promote mf-2 --dry-run --alias candidate").code)
    assert.same({ "champion" }, cjson.decode(run("show mf --json").out).versions[1].aliases)
    local again = run "promote mf-1 --reason again"
    assert.equal(0, again.code, again.err)
    assert.equal("mf-1 is the champion already\n", again.out)
    assert.equal(1, #cjson.decode(run("show mf --json").out).history)
  end)

  it("puts a refusal's verdicts on stdout with --json", function()
    local refused = run "promote mf-2 --reason x --json"
    assert.equal(3, refused.code)
    local said = cjson.decode(refused.out)
    assert.is_near(0.01, said.gate[1].short, 1e-12)
  end)

  it("tags, notes, sets aliases, compares, verifies and collects", function()
    for _, words in ipairs { "tag mf owner=me", "tag mf-2 state='not good'", "note mf 'all of news'",
      "note mf-2 'worse'", "alias mf-2 challenger --reason look", "verify", "gc --dry-run", "gc",
      "compare mf@challenger" } do
      local ran = run(words)
      assert.equal(0, ran.code, words .. ran.err)
    end
    local shown = run("show mf").out
    assert.matches("^mf\nall of news\n  owner = me\n", shown)
    assert.matches("\n2 +challenger ", shown)
    assert.matches("worse\n.*state +not good\n", run("show mf-2").out)
    assert.equal(0, run("tag mf owner").code)
    assert.equal(0, run("alias mf challenger --delete").code)
    assert.not_matches("owner", run("show mf").out)
    assert.matches("ndcg_10 +0.09 +0.1 +%-0.01 +overlap", run("compare mf-2 mf-1").out)
  end)

  it("says what is wrong with a word, with exit code 2", function()
    for words, message in pairs { ["show mg"] = "Registered Model with name=mg not found",
      ["show mf-9"] = "Model Version (name=mf, version=9) not found",
      ["show mf@x"] = "mf has no version with the alias 'x'",
      ["promot mf"] = "registry has no action 'promot'; did you mean 'promote'?",
      ["promote mf-2 --reason x --gate a:b"] = "'a:b' is no gate",
      ["rollback mf"] = "there is no version of mf to go back to",
      ["tag mf a@b=c"] = "Invalid tag name: 'a@b'", ["alias mf-2 latest"] = "'latest' alias name",
      ["gc --keep x"] = "'x' is not a whole number" } do
      local ran = run(words)
      assert.equal(2, ran.code, words)
      assert.matches(message, ran.err, 1, true)
    end
    local nothing = command.run(("%s registry list --models %s/none/models"):format(command.program, folder))
    assert.equal(2, nothing.code)
    assert.matches("no model was published yet", nothing.err)
  end)

  it("finds a damaged bundle, with exit code 1", function()
    os.execute(("printf X | dd of=%s/mf-2.tar bs=1 seek=2100 conv=notrunc 2>/dev/null"):format(dir))
    local ran = run "verify"
    assert.equal(1, ran.code)
    assert.matches("2 versions, 1 damaged\n$", ran.out)
  end)
end)

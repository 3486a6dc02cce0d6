--- A champion that was measured on an earlier period is asked its challenger's test rows, and judged by that.

local base = require "recsys.base"
local bundle = require "recsys.bundle"
local command = require "spec.support.command"
local data_sources = require "recsys.data"
local evaluate = require "recsys.evaluate"
local feature = require "recsys.feature"
local frame = require "recsys.frame"
local job = require "recsys.job"
local promotion = require "recsys.registry.promotion"
local registry = require "recsys.registry"
local report = require "recsys.registry.report"

local DAY <const> = 86400000
local declarations = { user = { feature.id { "user" } }, event = { feature.history { of = "id", length = 3 } },
  item = { feature.id { "item" } } }

--- The log of the first so many days: more users and items every day, who like what is near them.
local function dataset(days)
  local stream, log, users, items = base.stream(5, "user", 0, 0), { {}, {}, {} }, {}, {}
  for day = 1, days do
    for event = 1, 60 do
      local at, n = 8 * (60 * day + event), #log[1] + 1
      local user = stream:below(at, 20 + 2 * day)
      log[1][n], log[2][n] = "u" .. user, "i" .. (user + stream:below(at + 1, 3)) % (15 + day)
      log[3][n] = day * DAY + event * 60000
    end
  end
  for user = 0, 19 + 2 * days do users[user + 1] = "u" .. user end
  for item = 0, 14 + days do items[item + 1] = "i" .. item end
  return { name = "log", fingerprint = ("%064d"):format(days), origin = { source = "spec" },
    users = frame.from { { "user", "string", users } }, items = frame.from { { "item", "string", items } },
    interactions = frame.from { { "user", "string", log[1] }, { "item", "string", log[2] },
      { "time", "time", log[3] } } }
end

describe("a champion of an earlier period", function()
  local folder, opened
  before_each(function() folder = command.temporary() end)
  after_each(function()
    if opened then opened:close() end
    opened = nil
    command.remove(folder)
  end)

  --- Train on the first so many days and publish; what there was, for a look behind.
  local function publish(days, epochs, valid)
    local p = { seed = 2, eval = { k = { 5 }, samples = 50 }, publish = { name = "log", dir = folder .. "/models" },
      model = { kind = "two_tower", dim = 8, hidden = {}, dropout = 0.0, temperature = 0.2, bias = true,
        id_dropout = 0.0, log_q = false, negatives = 1, similarity = "cosine" },
      train = { epochs = epochs, batch = 64, learning_rate = 0.02, metric = "ndcg_5" } }
    local made = { p = p, data = dataset(days) }
    made.split = data_sources.split_by_time(made.data, { valid = valid or 0.1, test = 0.1 })
    made.model = job.train(p, feature.fit(made.data, made.split.train, declarations), made.data, made.split)
    made.report = job.evaluate(p, made.model, made.data, made.split)
    local published = assert(job.publish(p, made.model, made.data, made.report, "spec-20261126-000000", made.split))
    local b <close> = assert(bundle.open(published.bundle))
    made.manifest, made.digest = b:manifest(), b:digest()
    return made
  end

  local function promote(version, changes)
    opened = opened or registry.open(folder .. "/models")
    local request = { name = "log", version = version, reason = "fresh", gates = { "ndcg_5" } }
    for key, value in pairs(changes or {}) do request[key] = value end
    return promotion.promote(opened, request)
  end

  it("is measured on the candidate's test rows by the step that publishes, as it is by itself", function()
    local first, second = publish(6, 4), publish(9, 6)
    assert.is_nil(first.manifest.rival)
    local rival = second.manifest.rival
    assert.same({ 1, first.digest, second.report.test.fingerprint, false },
      { rival.version, rival.digest, rival.test, rival.seen })
    assert.equal(first.data.interactions:column("time"):get(#first.split.train + #first.split.valid),
      first.manifest.data.trained_until)
    local queries = evaluate.protocol_by_time(second.data, second.split):queries "test"
    local encoder = first.model.encoder -- the model in memory, which no bundle has been between
    local alone = evaluate.means(queries, job.scorer(first.model, job.inputs(encoder, second.data, second.split,
      queries)), { 5 })
    for name, value in pairs(alone) do assert.is_near(value, rival.metrics[name], 1e-12, name) end
    assert.is_true(rival.intervals.ndcg_5[1] <= alone.ndcg_5 and alone.ndcg_5 <= rival.intervals.ndcg_5[2])
    assert.are_not.equal(first.report.metrics.ndcg_5, rival.metrics.ndcg_5)
  end)

  it("is judged by those figures, and the record says so", function()
    publish(6, 4)
    local second = publish(9, 6)
    local event = assert(promote(2))
    local verdict = event.gate[1]
    assert.same({ second.report.metrics.ndcg_5, second.manifest.rival.metrics.ndcg_5, true, true },
      { verdict.candidate, verdict.holder, verdict.passed, event.anew })
    assert.matches("champion from version 1 to version 2, measured anew: fresh", report.event_text(event), 1, true)
    local found = report.compare(opened, "log", 2, 1)
    assert.is_true(found.comparable)
    assert.matches("measured on the same test rows, log-1 anew, on those of log-2", report.compare_text(found), 1, true)
    assert.is_false(report.compare(opened, "log", 1, 2).comparable) -- nobody asked 2 what 1 was asked
  end)

  it("stays when it is better on them, and the refusal says by how much", function()
    publish(8, 12)
    local second = publish(9, 1)
    local missed = second.manifest.rival.metrics.ndcg_5 - second.report.metrics.ndcg_5
    assert.is_true(missed > 0)
    local event, message, code, verdicts = promote(2)
    assert.is_nil(event)
    assert.equal("quality", code)
    assert.is_near(missed, verdicts[1].short, 1e-12)
    assert.matches("log-2 is not promoted: it fails the gate against log-1, the champion, on the same test rows\n"
      .. "  failed ndcg_5: ", message, 1, true)
    assert.matches(("missed by %.3g"):format(missed), message, 1, true)
  end)

  it("may have been trained on some of them, which is told", function()
    publish(9, 12, 0.02) -- until shortly before its own test rows, which the other's validation and test rows overlap
    local second = publish(8, 1)
    assert.is_true(second.manifest.rival.seen)
    assert.matches("\n  log-1 may have been trained on some of them", select(2, promote(2)), 1, true)
  end)

  it("is not compared when another version has become it since", function()
    publish(6, 2)
    publish(7, 2)
    assert(promote(2, { no_gate = true }))
    publish(9, 2)
    assert(promote(1, { no_gate = true }))
    local _, message, code = promote(3)
    assert.equal("quality", code)
    assert.matches("log-3 was measured on other data", message, 1, true)
    assert.matches("A recipe that trains and publishes again measures the champion on its own test rows", message, 1,
      true)
  end)

  it("is not asked what it was asked, and one that cannot answer stops nobody", function()
    publish(6, 2)
    assert.is_nil(publish(6, 3).manifest.rival)
    command.run(("rm -rf %s/models %s/mlflow.db* %s/mlartifacts"):format(folder, folder, folder))
    assert(registry.add { name = "log", dir = folder .. "/models", manifest = {},
      members = { { "note.txt", bytes = "no model" } } })
    assert.is_nil(publish(6, 2).manifest.rival)
    assert.matches("the bundle of log-1 does not say which test rows", select(2, promote(2)), 1, true)
  end)
end)

--- The runs' table beside a plain look at MLflow's tables, and the best values that are kept for it (recsys.ui.bests):
--- whatever happens to the store, and whoever writes it.

local bests = require "recsys.ui.bests"
local command = require "spec.support.command"
local files = require "recsys.files"
local filter = require "recsys.track.filter"
local runs = require "recsys.ui.table"
local sql = require "recsys.sql"
local track = require "recsys.track.store"

local folder, store, kept, few, near, few_bests, state

before_each(function()
  folder = command.temporary()
  store, few, near, few_bests, state = track.open(folder), filter.few, filter.near, bests.few, 12345
  kept = assert(bests.open(store))
end)
after_each(function()
  kept:close()
  store:close()
  filter.few, filter.near, bests.few = few, near, few_bests
  command.remove(folder)
end)

--- A number from 1 to n, the same ones in each run of the spec.
local function random(n)
  state = (state * 1103515245 + 12345) % 2147483648
  return state // 65536 % n + 1
end

local function one_of(list) return list[random(#list)] end

local values = { 1, 2, 2, 3, -1, 0.5, 0 / 0, math.huge, -math.huge }

--- A run that logs some metrics several times, or none.
local function log_some(id)
  local metrics = {}
  for i = 1, random(12) - 1 do
    metrics[i] = { one_of { "a", "b", "c d", "e" }, one_of(values), 1000 + random(50), random(6) }
  end
  store:log(id, metrics, {}, {})
end

local function new_run(id)
  local run = store:create_run { experiment_id = "0", run_id = id, start_time = 1000 + random(3), -- with ties
    tags = random(2) == 1 and { { key = "stage", value = one_of { "x", "y" } } } or nil }
  log_some(run.info.run_id)
  return run.info.run_id
end

--- Each run's best values by all its history.
local function truth()
  local found = {}
  for row in store.db:each "SELECT run_uuid, key, value FROM metrics WHERE is_nan = 0" do
    local of = found[row.run_uuid] or {}
    local best = of[row.key] or { least = math.huge, greatest = -math.huge }
    best.least, best.greatest = math.min(best.least, row.value), math.max(best.greatest, row.value)
    of[row.key], found[row.run_uuid] = best, of
  end
  return found
end

--- Ids of the runs that are there, in the order of a best value, by sorting.
local function sorted(best, key, which, descending, stage)
  local list = {}
  for row in store.db:each("SELECT r.run_uuid AS id, r.start_time AS start FROM runs r LEFT JOIN tags t "
    .. "ON t.run_uuid = r.run_uuid AND t.key = 'stage' WHERE r.lifecycle_stage = 'active' AND (:stage IS NULL "
    .. "OR t.value = :stage)", { stage = stage }) do
    local of = best[row.id] and best[row.id][key]
    row.value = of and of[which]
    list[#list + 1] = row
  end
  table.sort(list, function(a, b)
    if (a.value == nil) ~= (b.value == nil) then return b.value == nil end
    if a.value ~= b.value then
      if descending then return a.value > b.value end
      return a.value < b.value
    end
    if a.start ~= b.start then return a.start > b.start end
    return a.id < b.id
  end)
  for i, row in ipairs(list) do list[i] = row.id end
  return list
end

local function page(order, stage, offset, limit, with)
  local answer = runs.page(store, { experiment_ids = { "0" }, order_by = { order }, offset = offset, limit = limit,
    filter = stage and ("tags.stage = '%s'"):format(stage) }, with)
  local ids = {}
  for i, run in ipairs(answer.runs) do ids[i] = run.info.run_id end
  return ids, answer
end

--- Every page of every order by a best value is that of sorting, with the best values at hand and without.
local function check(what)
  local best = truth()
  assert(kept:current(), what)
  for _, key in ipairs { "a", "c d", "missing" } do
    for clause, which in pairs { min = "least", max = "greatest" } do
      for _, direction in ipairs { "", " DESC" } do
        for _, stage in ipairs(key == "a" and { false, "x" } or { false }) do
          stage = stage or nil
          local want = sorted(best, key, which, direction ~= "", stage)
          local order = ("metrics.`%s`.%s%s"):format(key, clause, direction)
          local name = ("%s: %s, %s"):format(what, order, stage)
          for _, size in ipairs { 4000, 1 } do
            filter.few, filter.near = size, size == 1 and 0 or near
            for _, with in ipairs { kept, false } do
              with = with or nil
              local whole, answer = page(order, stage, 0, 1000, with)
              assert.same(want, whole, name)
              assert.equal(#want, answer.total, name)
              local offset = random(#want + 1) - 1
              assert.same({ table.unpack(want, offset + 1, offset + 3) }, page(order, stage, offset, 3, with), name)
              for _, run in ipairs(answer.runs) do
                for metric, of in pairs(run.metrics) do
                  local there = (best[run.info.run_id] or {})[metric] or { least = "NaN", greatest = "NaN" }
                  assert.same({ there.least, there.greatest }, { of.min, of.max }, name)
                end
              end
            end
          end
        end
      end
    end
  end
end

describe("an order by a best value", function()
  it("is that of sorting all histories, whoever writes them, and whatever becomes of runs", function()
    local ids = {}
    for i = 1, 30 do ids[i] = new_run() end
    check "thirty runs"
    for i = 1, 10 do log_some(ids[i]) end
    check "more values of old metrics"
    store:delete_run(ids[3])
    store:delete_run(ids[4])
    check "two runs deleted"
    store:restore_run(ids[4])
    check "one of them restored"

    local other <close> = assert(sql.open(store.path)) -- as an MLflow server writes
    other:run("INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES ('a', -50, 1, ?, 99, 0)",
      { ids[7] })
    other:run("INSERT INTO latest_metrics (key, value, timestamp, run_uuid, step, is_nan) "
      .. "VALUES ('a', -50, 1, ?, 99, 0) ON CONFLICT DO UPDATE SET value = -50", { ids[7] })
    check "a value by another connection"

    local function gone(id) -- as `mlflow gc` does
      for _, name in ipairs { "metrics", "latest_metrics", "tags", "runs" } do
        other:run("DELETE FROM " .. name .. " WHERE run_uuid = ?", { id })
      end
    end
    gone(ids[9])
    check "a run gone for good"
    new_run(ids[9])
    check "it comes back with other values"
    gone(ids[30])
    gone(ids[9])
    check "the last ones gone"
    new_run(ids[30])
    new_run(ids[9])
    check "they come back, at rowids that were others'"
  end)

  it("holds over tables that are rebuilt, and over another file in the place of the store's", function()
    local ids = {}
    for i = 1, 12 do ids[i] = new_run() end
    check "twelve runs"
    store.db:run("DELETE FROM metrics WHERE run_uuid = ?", { ids[2] })
    store.db:run("DELETE FROM latest_metrics WHERE run_uuid = ?", { ids[2] })
    store.db:execute "VACUUM"
    log_some(ids[5])
    check "rowids given anew"
    store.db:execute [[
BEGIN;
CREATE TABLE rebuilt AS SELECT key, value, timestamp, run_uuid, step, is_nan FROM metrics ORDER BY random();
DELETE FROM metrics;
INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)
  SELECT key, value, timestamp, run_uuid, step, is_nan FROM rebuilt;
DROP TABLE rebuilt;
COMMIT;
ALTER TABLE metrics ADD COLUMN model_id VARCHAR(500);
ALTER TABLE runs ADD COLUMN later INTEGER]]
    check "rebuilt as by an upgrade"
    log_some(ids[6])
    check "written on"

    kept:close()
    store:close()
    for _, ending in ipairs { "", "-wal", "-shm" } do os.remove(store.path .. ending) end
    store = track.open(folder)
    for _ = 1, 8 do new_run() end
    kept = assert(bests.open(store))
    check "a new store in the same place"
  end)

  it("needs no file of best values, takes up a sound one and makes a damaged one anew", function()
    for _ = 1, 10 do new_run() end
    check "made"
    local path = folder .. "/cache/bests.db"
    kept:close()
    kept = assert(bests.open(store))
    assert.is_true(kept.db:row("SELECT count(*) AS n FROM best").n > 0) -- kept
    check "taken up"
    kept:close()
    for _, content in ipairs { "", "no database at all, whatever its name says; more than a header's bytes\n" } do
      files.write(path, content:rep(60))
      kept = assert(bests.open(store))
      check "a damaged file"
      kept:close()
    end
    local other <close> = assert(sql.open(path))
    other:execute "PRAGMA user_version = 77"
    other:close()
    kept = assert(bests.open(store))
    check "of another version"
    kept:close()
    assert.is_nil(kept:current())
    assert.same({}, { kept:advance() })
  end)

  it("does not wait for what takes long to read", function()
    local id = new_run()
    local many = {}
    for i = 1, 9000 do many[i] = { "a", i, i, i } end
    store:log(id, many, {}, {})
    bests.few = 5000
    assert.is_nil(kept:current())
    local turns = 1
    while kept:advance() > 0 do turns = turns + 1 end
    assert.is_true(turns > 1 and turns < 5)
    assert(kept:current())
    check "read in turns"
  end)

  it("goes on without where best values cannot be written", function()
    for _ = 1, 5 do new_run() end
    assert(kept:current())
    local other <close> = assert(sql.open(folder .. "/cache/bests.db"))
    other:transaction(function()
      new_run()
      assert.is_nil(kept:current()) -- somebody else writes: histories are asked
      assert.equal(6, #page("metrics.a.min", nil, 0, 100, kept))
    end)
    check "written again"
  end)
end)

describe("groups of runs", function()
  it("are those of a look at every run, whatever the plan, and of what was written meanwhile", function()
    for i = 1, 40 do
      local id = new_run()
      store:log(id, {}, random(5) > 1 and { { key = "p", value = one_of { "1", "2", "three" } } } or {}, {})
      if i % 9 == 0 then store:delete_run(id) end
    end
    local function check_groups(text, wanted)
      local want = {}
      for row in store.db:each("SELECT p.value AS value, r.run_uuid AS id FROM params p JOIN runs r USING (run_uuid) "
        .. "WHERE p.key = 'p' AND r.lifecycle_stage = 'active'" .. wanted) do
        local of = want[row.value] or { count = 0, metrics = {} }
        want[row.value], of.count = of, of.count + 1
        for metric in store.db:each("SELECT key, value FROM latest_metrics WHERE is_nan = 0 AND run_uuid = ?",
          { row.id }) do
          local m = of.metrics[metric.key] or { count = 0, sum = 0, min = math.huge, max = -math.huge }
          of.metrics[metric.key], m.count, m.sum = m, m.count + 1, m.sum + metric.value
          m.min, m.max = math.min(m.min, metric.value), math.max(m.max, metric.value)
        end
      end
      local groups = runs.groups(store, { experiment_ids = { "0" }, by = "params.p", filter = text }).groups
      for _, group in ipairs(groups) do
        local of = assert(want[group.value])
        want[group.value] = nil
        assert.equal(of.count, group.count)
        for key, m in pairs(group.metrics) do
          local there = of.metrics[key]
          of.metrics[key] = nil
          assert.same({ there.count, there.min, there.max }, { m.count, m.min, m.max })
          local mean = there.sum / there.count
          assert.is_true(m.mean == mean or math.abs(m.mean - mean) <= 1e-9 * math.abs(mean)
            or math.abs(mean) == math.huge)
        end
        assert.is_nil(next(of.metrics))
      end
      assert.is_nil(next(want))
      return #groups
    end
    local absent = " AND NOT EXISTS (SELECT 1 FROM tags t WHERE t.run_uuid = r.run_uuid AND t.key = 'stage')"
    for _, size in ipairs { 4000, 1 } do
      filter.few = size
      assert.equal(3, check_groups(nil, ""))
      check_groups("tags.stage IS NULL", absent)
      check_groups("params.p != '1'", " AND p.value <> '1'")
      store:log(new_run(), { { "a", size, 1, 1 } }, { { key = "p", value = "1" } }, {})
    end
    check_groups(nil, "")
  end)
end)

--- A database to search, with made-up runs.

local schema = require "recsys.track.schema"
local sql = require "recsys.sql"

local searched = {}

--- An empty database.
function searched.open(path)
  return schema.open(path or ":memory:")
end

local columns = { "name", "user_id", "status", "start_time", "end_time", "lifecycle_stage", "artifact_uri",
  "experiment_id" }

--- Insert a run { run_id, name?, ..., metrics?, params?, tags?, datasets? = { { name, digest, context } } }; a metric
--- may be NaN.
function searched.add(db, run)
  db:run("INSERT OR IGNORE INTO experiments (experiment_id, name) VALUES (?, ?)",
    { run.experiment_id, "experiment " .. run.experiment_id })
  local values = { run.run_id }
  for i, column in ipairs(columns) do values[i + 1] = run[column] == nil and sql.null or run[column] end
  db:run(("INSERT INTO runs (run_uuid, %s) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"):format(table.concat(columns, ", ")),
    values)
  for key, value in pairs(run.metrics or {}) do
    db:run("INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, 0, 0, ?, ?)",
      { key, value == value and value or 0, value ~= value, run.run_id })
  end
  for _, kind in ipairs { "params", "tags" } do
    for key, value in pairs(run[kind] or {}) do
      db:run(("INSERT INTO %s (key, value, run_uuid) VALUES (?, ?, ?)"):format(kind), { key, value, run.run_id })
    end
  end
  for i, dataset in ipairs(run.datasets or {}) do
    local id, input = dataset.name .. dataset.digest, run.run_id .. i
    db:run("INSERT OR IGNORE INTO datasets VALUES (?, ?, ?, ?, 'local', '{}', NULL, NULL)",
      { id, run.experiment_id, dataset.name, dataset.digest })
    db:run("INSERT INTO inputs VALUES (?, 'DATASET', ?, 'RUN', ?)", { input, id, run.run_id })
    db:run("INSERT INTO input_tags VALUES (?, 'mlflow.data.context', ?)", { input, dataset.context })
  end
end

local bulk = [[
INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (1, 'large', 'active');
INSERT INTO runs (run_uuid, name, source_type, source_name, user_id, status, start_time, end_time, lifecycle_stage,
    artifact_uri, experiment_id)
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
  SELECT lower(hex(randomblob(16))), 'trial ' || i, 'LOCAL', 'recipes/two_tower.lua', 'user' || (i %% 7),
    CASE WHEN i %% 1000 = 0 THEN 'RUNNING' WHEN i %% 10 = 0 THEN 'FAILED' ELSE 'FINISHED' END, 1790000000000 + i * 1000,
    1790000000000 + i * 1000 + abs(random()) %% 100000, 'active', 'mlflow-artifacts:/1/some-run/artifacts', 1 FROM n;
INSERT INTO params (key, value, run_uuid)
  WITH RECURSIVE k(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM k WHERE i < 20)
  SELECT 'model.param_' || k.i, CASE WHEN k.i = 1 THEN 'v' || runs.rowid ELSE CAST(abs(random()) %% 100 AS TEXT) END,
    run_uuid FROM runs, k;
INSERT INTO tags (key, value, run_uuid) SELECT 'mlflow.runName', name, run_uuid FROM runs
  UNION ALL SELECT 'mlflow.user', user_id, run_uuid FROM runs
  UNION ALL SELECT 'mlflow.source.name', source_name, run_uuid FROM runs
  UNION ALL SELECT 'stage', 'test', run_uuid FROM runs WHERE rowid %% 50 = 0;
INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
  WITH RECURSIVE k(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM k WHERE i < 10)
  SELECT 'valid/metric_' || k.i, (random() >> 11) / 9007199254740992.0 + 0.5, 0, 50, runs.rowid %% 500 = 0, run_uuid
  FROM runs, k WHERE k.i < 10 OR runs.rowid %% 100 < 95;
]]

--- A database of n runs with 20 parameters, 3 tags and 10 metrics each, in one experiment.
function searched.large(path, n)
  local db = searched.open(path)
  db:transaction(function() db:execute(bulk:format(n)) end)
  return db
end

--- What people ask of a table of runs; each finds a page of 100 unless it says otherwise.
searched.cases = {
  {},
  { order_by = { "start_time ASC" } },
  { order_by = { "end_time DESC" } },
  { order_by = { "run_name" } },
  { order_by = { "metrics.`valid/metric_3`" } },
  { order_by = { "metrics.`valid/metric_10` DESC", "params.`model.param_2`" } },
  { order_by = { "params.`model.param_1`" } },
  { order_by = { "params.`model.param_7` DESC" } },
  { order_by = { "tags.`mlflow.user`", "metrics.`valid/metric_2` DESC" } },
  { order_by = { "tags.stage DESC" } },
  { filter = "metrics.`valid/metric_3` > 0.5" },
  { filter = "metrics.`valid/metric_3` > 0.5", order_by = { "metrics.`valid/metric_3` DESC" } },
  { filter = "metrics.`valid/metric_3` > 0.5 AND metrics.`valid/metric_4` < 0.2",
    order_by = { "metrics.`valid/metric_5`" } },
  { filter = "metrics.`valid/metric_3` > 0.9995", found = false },
  { filter = "metrics.`valid/metric_3` > 2", found = 0 },
  { filter = "params.`model.param_1` = 'v77'", found = 1 },
  { filter = "params.`model.param_7` = '5'", order_by = { "metrics.`valid/metric_3` DESC" } },
  { filter = "params.`model.param_7` = '5' AND params.`model.param_8` = '6'", found = false },
  { filter = "params.`model.param_1` LIKE '%v777%'" },
  { filter = "tags.stage = 'test' AND status = 'FINISHED'", found = 0 },
  { filter = "tags.stage = 'test'", order_by = { "metrics.`valid/metric_1` DESC" } },
  { filter = "tags.`mlflow.user` = 'user3'", order_by = { "metrics.`valid/metric_3` DESC" } },
  { filter = "status = 'RUNNING'" },
  { filter = "run_name ILIKE '%99999%'", found = 1 },
  { filter = "user_id = 'user3' AND start_time > 1790000050000", order_by = { "params.`model.param_7`" } },
  { filter = "metrics.`valid/metric_10` < 0.01 AND params.`model.param_3` != '4'", order_by = { "end_time" } },
}

return searched

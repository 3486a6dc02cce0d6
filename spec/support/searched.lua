--- A database to search: MLflow's tables, as far as searches read them, with made-up runs.

local sql = require "recsys.sql"

local searched = {}

local ddl = [[
CREATE TABLE experiments (experiment_id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(256) NOT NULL UNIQUE,
  artifact_location VARCHAR(256), lifecycle_stage VARCHAR(32), creation_time BIGINT, last_update_time BIGINT);
CREATE TABLE experiment_tags (key VARCHAR(250) NOT NULL, value VARCHAR(5000), experiment_id INTEGER NOT NULL,
  PRIMARY KEY (key, experiment_id));
CREATE TABLE runs (run_uuid VARCHAR(32) NOT NULL PRIMARY KEY, name VARCHAR(250), source_type VARCHAR(20),
  source_name VARCHAR(500), entry_point_name VARCHAR(50), user_id VARCHAR(256), status VARCHAR(9), start_time BIGINT,
  end_time BIGINT, source_version VARCHAR(50), lifecycle_stage VARCHAR(20), artifact_uri VARCHAR(200),
  experiment_id INTEGER REFERENCES experiments, deleted_time BIGINT);
CREATE TABLE params (key VARCHAR(250) NOT NULL, value VARCHAR(8000) NOT NULL, run_uuid VARCHAR(32) NOT NULL,
  PRIMARY KEY (key, run_uuid));
CREATE INDEX index_params_run_uuid ON params (run_uuid);
CREATE TABLE tags (key VARCHAR(250) NOT NULL, value VARCHAR(5000), run_uuid VARCHAR(32) NOT NULL,
  PRIMARY KEY (key, run_uuid));
CREATE INDEX index_tags_run_uuid ON tags (run_uuid);
CREATE TABLE latest_metrics (key VARCHAR(250) NOT NULL, value FLOAT NOT NULL, timestamp BIGINT, step BIGINT NOT NULL,
  is_nan BOOLEAN NOT NULL, run_uuid VARCHAR(32) NOT NULL, PRIMARY KEY (key, run_uuid));
CREATE INDEX index_latest_metrics_run_uuid ON latest_metrics (run_uuid);
CREATE TABLE datasets (dataset_uuid VARCHAR(36) NOT NULL UNIQUE, experiment_id INTEGER NOT NULL,
  name VARCHAR(500) NOT NULL, digest VARCHAR(36) NOT NULL, dataset_source_type VARCHAR(36) NOT NULL,
  dataset_source TEXT NOT NULL, dataset_schema TEXT, dataset_profile TEXT, PRIMARY KEY (experiment_id, name, digest));
CREATE TABLE inputs (input_uuid VARCHAR(36) NOT NULL UNIQUE, source_type VARCHAR(36) NOT NULL,
  source_id VARCHAR(36) NOT NULL, destination_type VARCHAR(36) NOT NULL, destination_id VARCHAR(36) NOT NULL,
  PRIMARY KEY (source_type, source_id, destination_type, destination_id));
CREATE TABLE input_tags (input_uuid VARCHAR(36) NOT NULL, name VARCHAR(255) NOT NULL, value VARCHAR(500) NOT NULL,
  PRIMARY KEY (input_uuid, name));
CREATE TABLE registered_models (name VARCHAR(256) NOT NULL PRIMARY KEY, creation_time BIGINT,
  last_updated_time BIGINT, description VARCHAR(5000));
CREATE TABLE registered_model_tags (key VARCHAR(250) NOT NULL, value VARCHAR(5000), name VARCHAR(256) NOT NULL,
  PRIMARY KEY (key, name));
CREATE TABLE model_versions (name VARCHAR(256) NOT NULL, version INTEGER NOT NULL, creation_time BIGINT,
  last_updated_time BIGINT, description VARCHAR(5000), user_id VARCHAR(256), current_stage VARCHAR(20),
  source VARCHAR(500), run_id VARCHAR(32), run_link VARCHAR(500), status VARCHAR(20), status_message VARCHAR(500),
  storage_location VARCHAR(500), PRIMARY KEY (name, version));
CREATE TABLE model_version_tags (key VARCHAR(250) NOT NULL, value VARCHAR(5000), name VARCHAR(256) NOT NULL,
  version INTEGER NOT NULL, PRIMARY KEY (key, name, version));
CREATE INDEX recsys_runs_by_start ON runs (experiment_id, lifecycle_stage, start_time, run_uuid);
CREATE INDEX recsys_latest_metrics_by_value ON latest_metrics (key, is_nan, value, run_uuid);
CREATE INDEX recsys_params_by_value ON params (key, value, run_uuid);
CREATE INDEX recsys_tags_by_value ON tags (key, value, run_uuid);
]]

--- An empty database with the indexes of searches.
function searched.open(path)
  local db = assert(sql.open(path or ":memory:"))
  db:execute(ddl)
  return db
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
INSERT INTO experiments (experiment_id, name) VALUES (1, 'large');
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

--- The tables of artifacts/mlflow.db: MLflow's, as they were at its revision acf3f17fdcc7 of October 2023.
---
--- Any later MLflow finds tables missing, upgrades the database in place when it starts, and sees all that is there;
--- the columns that we write have not changed since. So a new database is made at that revision, once and for all, and
--- in an upgraded one we write what we know, column by column, and never touch `alembic_version`. Names and order of
--- constraints are MLflow's, whose migrations go by them. Indexes called recsys_... are ours: they are no part of
--- MLflow's schema check, and its upgrades, which rebuild tables, take them along.

local sql = require "recsys.sql"

local schema = { revision = "acf3f17fdcc7" }

local definition = [[
CREATE TABLE alembic_version (
  version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num));
CREATE TABLE experiments (
  experiment_id INTEGER NOT NULL, name VARCHAR(256) NOT NULL, artifact_location VARCHAR(256),
  lifecycle_stage VARCHAR(32), creation_time BIGINT, last_update_time BIGINT,
  CONSTRAINT experiment_pk PRIMARY KEY (experiment_id), UNIQUE (name),
  CONSTRAINT experiments_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')));
CREATE TABLE input_tags (
  input_uuid VARCHAR(36) NOT NULL, name VARCHAR(255) NOT NULL, value VARCHAR(500) NOT NULL,
  CONSTRAINT input_tags_pk PRIMARY KEY (input_uuid, name));
CREATE TABLE inputs (
  input_uuid VARCHAR(36) NOT NULL, source_type VARCHAR(36) NOT NULL, source_id VARCHAR(36) NOT NULL,
  destination_type VARCHAR(36) NOT NULL, destination_id VARCHAR(36) NOT NULL,
  CONSTRAINT inputs_pk PRIMARY KEY (source_type, source_id, destination_type, destination_id));
CREATE TABLE registered_models (
  name VARCHAR(256) NOT NULL, creation_time BIGINT, last_updated_time BIGINT, description VARCHAR(5000),
  CONSTRAINT registered_model_pk PRIMARY KEY (name), UNIQUE (name));
CREATE TABLE datasets (
  dataset_uuid VARCHAR(36) NOT NULL, experiment_id INTEGER NOT NULL, name VARCHAR(500) NOT NULL,
  digest VARCHAR(36) NOT NULL, dataset_source_type VARCHAR(36) NOT NULL, dataset_source TEXT NOT NULL,
  dataset_schema TEXT, dataset_profile TEXT,
  CONSTRAINT dataset_pk PRIMARY KEY (experiment_id, name, digest),
  FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id));
CREATE TABLE experiment_tags (
  key VARCHAR(250) NOT NULL, value VARCHAR(5000), experiment_id INTEGER NOT NULL,
  CONSTRAINT experiment_tag_pk PRIMARY KEY (key, experiment_id),
  FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id));
CREATE TABLE model_versions (
  name VARCHAR(256) NOT NULL, version INTEGER NOT NULL, creation_time BIGINT, last_updated_time BIGINT,
  description VARCHAR(5000), user_id VARCHAR(256), current_stage VARCHAR(20), source VARCHAR(500), run_id VARCHAR(32),
  status VARCHAR(20), status_message VARCHAR(500), run_link VARCHAR(500), storage_location VARCHAR(500),
  CONSTRAINT model_version_pk PRIMARY KEY (name, version),
  FOREIGN KEY(name) REFERENCES registered_models (name) ON UPDATE CASCADE);
CREATE TABLE registered_model_aliases (
  alias VARCHAR(256) NOT NULL, version INTEGER NOT NULL, name VARCHAR(256) NOT NULL,
  CONSTRAINT registered_model_alias_pk PRIMARY KEY (name, alias),
  CONSTRAINT registered_model_alias_name_fkey FOREIGN KEY(name) REFERENCES registered_models (name)
    ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE registered_model_tags (
  key VARCHAR(250) NOT NULL, value VARCHAR(5000), name VARCHAR(256) NOT NULL,
  CONSTRAINT registered_model_tag_pk PRIMARY KEY (key, name),
  FOREIGN KEY(name) REFERENCES registered_models (name) ON UPDATE CASCADE);
CREATE TABLE runs (
  run_uuid VARCHAR(32) NOT NULL, name VARCHAR(250), source_type VARCHAR(20), source_name VARCHAR(500),
  entry_point_name VARCHAR(50), user_id VARCHAR(256), status VARCHAR(9), start_time BIGINT, end_time BIGINT,
  source_version VARCHAR(50), lifecycle_stage VARCHAR(20), artifact_uri VARCHAR(200), experiment_id INTEGER,
  deleted_time BIGINT,
  CONSTRAINT run_pk PRIMARY KEY (run_uuid), FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id),
  CONSTRAINT runs_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')),
  CONSTRAINT source_type CHECK (source_type IN ('NOTEBOOK', 'JOB', 'LOCAL', 'UNKNOWN', 'PROJECT')),
  CHECK (status IN ('SCHEDULED', 'FAILED', 'FINISHED', 'RUNNING', 'KILLED')));
CREATE TABLE latest_metrics (
  key VARCHAR(250) NOT NULL, value FLOAT NOT NULL, timestamp BIGINT, step BIGINT NOT NULL, is_nan BOOLEAN NOT NULL,
  run_uuid VARCHAR(32) NOT NULL,
  CONSTRAINT latest_metric_pk PRIMARY KEY (key, run_uuid), FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid),
  CHECK (is_nan IN (0, 1)));
CREATE TABLE metrics (
  key VARCHAR(250) NOT NULL, value FLOAT NOT NULL, timestamp BIGINT NOT NULL, run_uuid VARCHAR(32) NOT NULL,
  step BIGINT DEFAULT '0' NOT NULL, is_nan BOOLEAN DEFAULT '0' NOT NULL,
  CONSTRAINT metric_pk PRIMARY KEY (key, timestamp, step, run_uuid, value, is_nan),
  FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid), CHECK (is_nan IN (0, 1)));
CREATE TABLE model_version_tags (
  key VARCHAR(250) NOT NULL, value VARCHAR(5000), name VARCHAR(256) NOT NULL, version INTEGER NOT NULL,
  CONSTRAINT model_version_tag_pk PRIMARY KEY (key, name, version),
  FOREIGN KEY(name, version) REFERENCES model_versions (name, version) ON UPDATE CASCADE);
CREATE TABLE params (
  key VARCHAR(250) NOT NULL, value VARCHAR(8000) NOT NULL, run_uuid VARCHAR(32) NOT NULL,
  CONSTRAINT param_pk PRIMARY KEY (key, run_uuid), FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid));
CREATE TABLE tags (
  key VARCHAR(250) NOT NULL, value VARCHAR(5000), run_uuid VARCHAR(32) NOT NULL,
  CONSTRAINT tag_pk PRIMARY KEY (key, run_uuid), FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid));
CREATE INDEX index_datasets_dataset_uuid ON datasets (dataset_uuid);
CREATE INDEX index_datasets_experiment_id_dataset_source_type ON datasets (experiment_id, dataset_source_type);
CREATE INDEX index_inputs_input_uuid ON inputs (input_uuid);
CREATE INDEX index_inputs_destination_type_destination_id_source_type
  ON inputs (destination_type, destination_id, source_type);
CREATE INDEX index_params_run_uuid ON params (run_uuid);
CREATE INDEX index_metrics_run_uuid ON metrics (run_uuid);
CREATE INDEX index_latest_metrics_run_uuid ON latest_metrics (run_uuid);
CREATE INDEX index_tags_run_uuid ON tags (run_uuid);
]]

-- What histories and searches (recsys.track.filter) go by.
local indexes = [[
CREATE INDEX IF NOT EXISTS recsys_metrics_history ON metrics (run_uuid, key, step);
CREATE INDEX IF NOT EXISTS recsys_runs_by_start ON runs (experiment_id, lifecycle_stage, start_time, run_uuid);
CREATE INDEX IF NOT EXISTS recsys_latest_metrics_by_value ON latest_metrics (key, is_nan, value, run_uuid);
CREATE INDEX IF NOT EXISTS recsys_params_by_value ON params (key, value, run_uuid);
CREATE INDEX IF NOT EXISTS recsys_tags_by_value ON tags (key, value, run_uuid);
]]
local INDEXES <const> = select(2, indexes:gsub("CREATE INDEX", ""))

--- Tables and columns of the definition: schema.tables.runs.run_uuid is true.
schema.tables = {}
local types = { VARCHAR = true, INTEGER = true, BIGINT = true, FLOAT = true, BOOLEAN = true, TEXT = true }
for table_name, body in definition:gmatch "CREATE TABLE ([%w_]+) (%b())" do
  local columns = {}
  for column, kind in body:sub(2):gmatch "%f[%S]([%l_]+) (%u+)" do columns[column] = columns[column] or types[kind] end
  schema.tables[table_name] = columns
end

--- Names of tables, sorted.
local function sorted(map)
  local list = {}
  for name in pairs(map) do list[#list + 1] = name end
  table.sort(list)
  return list
end

--- The columns that a table has: name -> what SQLite tells of it.
---@return table<string, { name: string, type: string, notnull: integer, dflt_value?: string, pk: integer }>
function schema.columns(db, table_name)
  local columns = {}
  for _, column in ipairs(db:rows("SELECT * FROM pragma_table_info(?)", { table_name })) do
    columns[column.name] = column
  end
  return columns
end

local function create(db)
  local now = require("recsys.clock").now()
  db:execute(definition)
  db:execute(indexes)
  db:run("INSERT INTO alembic_version (version_num) VALUES (?)", { schema.revision })
  db:run("INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, "
    .. "last_update_time) VALUES (0, 'Default', 'mlflow-artifacts:/0', 'active', ?, ?)", { now, now })
end

local function refuse(path, format, ...)
  error({ code = "format", message = ("%s: %s"):format(path, format:format(...)) }, 0)
end

--- Refuse a database that lacks what we read and write, or whose rows need what we do not know.
local function check(db, path)
  for _, name in ipairs(sorted(schema.tables)) do
    local there = schema.columns(db, name)
    if not next(there) then
      refuse(path, "the table '%s' is missing: this is no MLflow database, or one of before MLflow 2.8, for which "
        .. "`mlflow db upgrade sqlite:///%s` is meant", name, path)
    end
    for column in pairs(schema.tables[name]) do
      if not there[column] then refuse(path, "the table '%s' has no column '%s'", name, column) end
    end
    for column, about in pairs(there) do
      if about.notnull == 1 and not about.dflt_value and not schema.tables[name][column] then
        refuse(path, "the table '%s' has a column '%s' that must be given, which this version of recsys-run does not "
          .. "know", name, column)
      end
    end
  end
end

local function is_indexed(db)
  return db:row("SELECT count(*) AS n FROM sqlite_master WHERE type = 'index' AND name GLOB 'recsys_*'").n >= INDEXES
end

--- Open a database, made when it is not there or empty. Raises { code, message }: "format" when a table is missing.
---@param path string
---@param options? { read_only?: boolean, busy_ms?: integer }
---@return Database
function schema.open(path, options)
  local db, message, code = sql.open(path, options)
  if not db then error({ code = code, message = message }, 0) end
  local ok, problem = pcall(function()
    local writable = not (options and options.read_only)
    local function is_empty() return not db:row "SELECT 1 FROM sqlite_master" end
    if writable and is_empty() then
      db:transaction(function()
        if is_empty() then create(db) end -- nobody was faster
      end)
    end
    check(db, path)
    if writable and not is_indexed(db) then db:transaction(db.execute, db, indexes) end
  end)
  if ok then return db end
  db:close()
  error(problem, 0)
end

return schema

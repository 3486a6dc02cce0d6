--- The tables of studies in flow.db.

return [[
CREATE TABLE studies (
  study_id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, directions TEXT NOT NULL, space TEXT NOT NULL,
  seed INTEGER NOT NULL, settings TEXT NOT NULL, created INTEGER NOT NULL, run_id TEXT, process TEXT);
CREATE TABLE trials (
  trial_id INTEGER PRIMARY KEY, study_id INTEGER NOT NULL REFERENCES studies ON DELETE CASCADE,
  number INTEGER NOT NULL, state TEXT NOT NULL
    CHECK (state IN ('waiting', 'running', 'complete', 'pruned', 'failed')),
  process TEXT, attempts INTEGER NOT NULL DEFAULT 0, started INTEGER, heard INTEGER, ended INTEGER, message TEXT,
  UNIQUE (study_id, number));
CREATE TABLE trial_params (
  trial_id INTEGER NOT NULL REFERENCES trials ON DELETE CASCADE, name TEXT NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY (trial_id, name)) WITHOUT ROWID;
CREATE TABLE trial_values (
  trial_id INTEGER NOT NULL REFERENCES trials ON DELETE CASCADE, objective INTEGER NOT NULL, value REAL NOT NULL,
  PRIMARY KEY (trial_id, objective)) WITHOUT ROWID;
CREATE TABLE trial_reports (
  trial_id INTEGER NOT NULL REFERENCES trials ON DELETE CASCADE, step INTEGER NOT NULL, value REAL NOT NULL,
  PRIMARY KEY (trial_id, step)) WITHOUT ROWID;
]]

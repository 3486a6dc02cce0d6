--- The tables of runs and their tasks in flow.db.
---
--- Moments are milliseconds since 1970. A run's holder is the process at work on it, or the last one that was. A
--- task's `key` says what its result depends on (recsys.flow.key), `content` what it is: a resumed run takes the result
--- of a completed task when both are what they were. `more` is a Lua literal of what else taking it needs. Transitions
--- are never changed; those without a number are the run's own.

return [[
CREATE TABLE runs (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, folder TEXT NOT NULL UNIQUE, recipe TEXT NOT NULL, path TEXT,
  state TEXT NOT NULL, reason TEXT, started INTEGER NOT NULL, ended INTEGER, pid INTEGER NOT NULL, host TEXT NOT NULL,
  since INTEGER NOT NULL);
CREATE TABLE tasks (
  run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE, number INTEGER NOT NULL, name TEXT NOT NULL,
  state TEXT NOT NULL, reason TEXT, started INTEGER, ended INTEGER, key TEXT, content TEXT, more TEXT,
  PRIMARY KEY (run_id, number)) WITHOUT ROWID;
CREATE TABLE transitions (
  id INTEGER PRIMARY KEY, run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE, number INTEGER,
  state TEXT NOT NULL, reason TEXT, at INTEGER NOT NULL);
CREATE INDEX transitions_of_runs ON transitions (run_id, id);
CREATE INDEX runs_by_start ON runs (started);
]]

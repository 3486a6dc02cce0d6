--- What the page and `flows show` tell of tasks beside their states, in flow.db.
---
--- A task's `after` names the tasks that it follows, separated by spaces; `origin` is the folder of the run whose
--- result a cached one took. Notes are what a task shows of itself (recsys.flow.note): `body` is JSON, `file` a path
--- below the run's folder. An element is 0 where the task itself speaks. Reasons of tasks that went well were once
--- written as 0.

return [[
ALTER TABLE tasks ADD COLUMN after TEXT;
ALTER TABLE tasks ADD COLUMN origin TEXT;
ALTER TABLE elements ADD COLUMN origin TEXT;
UPDATE tasks SET reason = NULL WHERE reason = '0';
UPDATE transitions SET reason = NULL WHERE reason = '0';
CREATE INDEX runs_by_name ON runs (name);
CREATE TABLE notes (
  id INTEGER PRIMARY KEY, run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE, number INTEGER NOT NULL,
  element INTEGER NOT NULL, kind TEXT NOT NULL, title TEXT NOT NULL, body TEXT, file TEXT);
CREATE INDEX notes_of_tasks ON notes (run_id, number, element);
CREATE TABLE progress (
  run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE, number INTEGER NOT NULL, element INTEGER NOT NULL,
  done REAL NOT NULL, total REAL, word TEXT, at INTEGER NOT NULL,
  PRIMARY KEY (run_id, number, element)) WITHOUT ROWID;
]]

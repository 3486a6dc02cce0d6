--- The elements of maps in flow.db, and how often tasks were tried.
---
--- An element is the number-th of a list that flow:map goes through; its states, key and content are what those of a
--- task are. A transition with an element is that element's.

return [[
ALTER TABLE tasks ADD COLUMN attempts INTEGER;
ALTER TABLE transitions ADD COLUMN element INTEGER;
CREATE TABLE elements (
  run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE, number INTEGER NOT NULL, element INTEGER NOT NULL,
  state TEXT NOT NULL, reason TEXT, attempts INTEGER, started INTEGER, ended INTEGER, key TEXT, content TEXT, more TEXT,
  PRIMARY KEY (run_id, number, element)) WITHOUT ROWID;
]]

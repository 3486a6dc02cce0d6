--- The table of schedules in flow.db (`recsys-run schedule`).

return [[
CREATE TABLE schedules (
  name TEXT PRIMARY KEY, recipe TEXT NOT NULL, cron TEXT NOT NULL, zone TEXT, missed TEXT NOT NULL,
  holder INTEGER, last INTEGER, due INTEGER, pid INTEGER, born TEXT, code INTEGER, seconds REAL);
]]

--- The least and the greatest value that each metric of each run ever had, in a database of their own beside the
--- store's: FOLDER/cache/bests.db.
---
--- Histories are long and tables of runs are asked for often, in the order of best values too; MLflow's tables have
--- nothing to find these by. What is kept here is derived and may be deleted at any time: it is made anew. Whoever
--- writes the store, an MLflow server among them, need not know of it. Values of metrics are only ever added, at rowids
--- that grow, so that reading on from the last one sees them all; what else happens to them (a run deleted for good and
--- brought back, tables rebuilt by an upgrade, another file in the place of the store's) is noticed by rows that are no
--- more where they were, or by SQLite's count of changes to the schema.
---
--- It is read by a connection that has both databases, the store's for reading: a transaction here locks nobody there.

local files = require "recsys.files"
local sql = require "recsys.sql"

local bests = {}

local Bests = {}
Bests.__index = Bests

bests.few = 20000 -- values that may be read while somebody waits for an answer
local CHUNK <const> = 2000 -- values of one transaction, some milliseconds
local VERSION <const> = 1 -- of the tables below

local definition = [[
CREATE TABLE best (
  run_uuid TEXT NOT NULL, key TEXT NOT NULL, least REAL NOT NULL, greatest REAL NOT NULL, first INTEGER NOT NULL,
  PRIMARY KEY (run_uuid, key)) WITHOUT ROWID;
CREATE INDEX best_by_least ON best (key, least, run_uuid);
CREATE INDEX best_by_greatest ON best (key, greatest, run_uuid);
CREATE TABLE progress (
  last INTEGER NOT NULL, key TEXT, timestamp INTEGER, step INTEGER, run_uuid TEXT, value REAL, is_nan INTEGER,
  schema INTEGER NOT NULL);
PRAGMA user_version = %d;
]]

-- Every statement below is about the values with rowids in (:last, :upto].

-- Values of a run that was deleted for good do not count when it comes back: those that were seen first are gone.
local forget = [[
DELETE FROM best WHERE (run_uuid, key) IN (SELECT run_uuid, key FROM store.metrics
    WHERE rowid > :last AND rowid <= :upto)
  AND NOT EXISTS (SELECT 1 FROM store.metrics m
    WHERE m.rowid = best.first AND m.run_uuid = best.run_uuid AND m.key = best.key)]]

local read_on = [[
INSERT INTO best (run_uuid, key, least, greatest, first)
  SELECT run_uuid, key, min(value), max(value), min(rowid) FROM store.metrics
  WHERE rowid > :last AND rowid <= :upto AND is_nan = 0 GROUP BY run_uuid, key
ON CONFLICT DO UPDATE SET least = min(least, excluded.least), greatest = max(greatest, excluded.greatest)]]

local note = [[
INSERT INTO progress (last, key, timestamp, step, run_uuid, value, is_nan, schema)
  SELECT rowid, key, timestamp, step, run_uuid, value, is_nan, :schema FROM store.metrics WHERE rowid = :upto]]

-- Whether the last value that was read is where it was, and the tables are those of then.
local is_sound = [[
SELECT 1 AS one FROM progress p JOIN store.metrics m ON m.rowid = p.last AND m.key = p.key AND m.timestamp = p.timestamp
  AND m.step = p.step AND m.run_uuid = p.run_uuid AND m.value = p.value AND m.is_nan = p.is_nan
WHERE p.schema = :schema]]

--- Make the tables, where there are none. Those of another version are refused.
local function prepare(db)
  if db:row("PRAGMA user_version").user_version == VERSION then return end
  if db:row "SELECT 1 FROM sqlite_master" then error({ code = "format", message = "made by another version" }, 0) end
  db:execute(definition:format(VERSION))
end

local function remove(path)
  for _, ending in ipairs { "", "-wal", "-shm" } do os.remove(path .. ending) end
end

local function connect(path, store_path)
  local db, message, code = sql.open(path, { busy_ms = 200 })
  if not db then error({ code = code, message = message }, 0) end
  local ok, problem = pcall(function()
    db:transaction(prepare, db)
    db:run("ATTACH ? AS store", { store_path })
    db:execute "PRAGMA main.cache_size = -16384" -- KiB: three trees grow at places that are far from one another
  end)
  if ok then return db end
  db:close()
  error(problem, 0)
end

--- Open the best values of a store; what cannot be read is made anew.
---@param store Store
---@return recsys.Bests?  nil where nothing can be kept: everything is found without, and slower
function bests.open(store)
  local path = files.make_folder(store.folder .. "/cache") .. "/bests.db"
  local ok, db = pcall(connect, path, store.path)
  if not ok and type(db) == "table" and db.code == "format" then
    remove(path)
    ok, db = pcall(connect, path, store.path)
  end
  return ok and setmetatable({ db = db }, Bests) or nil
end

function Bests:close()
  if self.db then self.db:close() end
  self.db = nil
end
Bests.__close = Bests.close

--- The rowid of the last value that was read, 0 before all; whatever is not sound is forgotten.
local function last_of(db, schema)
  local last = db:row "SELECT last FROM progress"
  if not last then return 0 end
  if db:row(is_sound, { schema = schema }) then return last.last end
  db:execute "DELETE FROM best; DELETE FROM progress;"
  return 0
end

--- Read up to CHUNK values on; how many there are still.
local function read_chunk(db)
  local schema = db:row("PRAGMA store.schema_version").schema_version
  local last, newest = last_of(db, schema), db:row("SELECT max(rowid) AS n FROM store.metrics").n or 0
  if newest <= last then return 0 end
  local upto = math.min(last + CHUNK, newest)
  if upto < newest then -- there are gaps where runs were deleted for good
    upto = db:row("SELECT min(rowid) AS n FROM store.metrics WHERE rowid >= ?", { upto }).n
  end
  if last > 0 then db:run(forget, { last = last, upto = upto }) end
  db:run(read_on, { last = last, upto = upto })
  db:execute "DELETE FROM progress;"
  db:run(note, { upto = upto, schema = schema })
  return newest - upto
end

--- Read on, some milliseconds long. Where that fails, as with a disk that is full, nothing is kept any more; another
--- process that reads on at the same time is waited for the next time.
---@return integer? left  how many values are still to be read, about; 0: the best values are those of now; nil: unknown
function Bests:advance()
  local db = self.db
  if not db then return nil end
  local ok, left = pcall(function()
    db:execute "BEGIN" -- and not IMMEDIATE, which would lock the store, too
    local left = read_chunk(db)
    db:execute "COMMIT"
    return left
  end)
  if ok then return left end
  if db:in_transaction() then db:execute "ROLLBACK" end
  if type(left) ~= "table" or left.code ~= "busy" then self:close() end
  return nil
end

--- The connection whose table `best` is as of now; nil while too much is still to be read for an answer to wait.
---@return Database?
function Bests:current()
  local waiting = bests.few
  repeat
    local left = self:advance()
    if left == 0 then return self.db end
    waiting = waiting - CHUNK
  until not left or left > waiting
  return nil
end

return bests

--- artifacts/flow.db: what flows and studies are at, committed before it is acted on.
---
--- One SQLite file beside mlflow.db. Its tables are made by the migrations below, each applied once, in order; the
--- database says by its user_version how many it has had. A migration is never changed once it was published: what
--- comes later is a new one.

local files = require "recsys.files"
local sql = require "recsys.sql"

local state = {}

local migrations = {
  (require "recsys.tune.tables"),
  (require "recsys.flow.schedules"),
  (require "recsys.flow.tables"),
  (require "recsys.flow.element_tables"),
  (require "recsys.tune.later_tables"),
  (require "recsys.flow.notes"),
  (require "recsys.flow.holders"),
}

local function migrate(db)
  local had = db:row("PRAGMA user_version").user_version
  if had > #migrations then
    error({ code = "format", message = "flow.db was made by a newer recsys-run; use that one" }, 0)
  end
  for number = had + 1, #migrations do
    db:execute(migrations[number])
    db:execute(("PRAGMA user_version = %d"):format(number))
  end
end

--- Open the database of a folder to read it; nil where there is none. One of an older version is brought up to date,
--- and one that a killed process has left is put in order: who only reads can do neither.
---@param folder string
---@param again? boolean  that was done
---@return Database?  raises { code, message } when it cannot be opened
function state.read(folder, again)
  local path = folder .. "/flow.db"
  if not files.exists(path) then return nil end
  local db, message, code = sql.open(path, { read_only = true, wal = false })
  if db and db:row("PRAGMA user_version").user_version == #migrations then return db end
  if db then db:close() end
  if again then error({ code = code, message = message }, 0) end
  state.open(folder):close()
  return state.read(folder, true)
end

--- Open the database of a folder, made when it is not there.
---@param folder string  "artifacts"; ":memory:" is a database of this process alone
---@return Database      raises { code, message } when it cannot be opened
function state.open(folder)
  if folder ~= ":memory:" then files.make_folder(folder) end
  local db, message, code = sql.open(folder == ":memory:" and folder or folder .. "/flow.db")
  if not db then error({ code = code, message = message }, 0) end
  if db:row("PRAGMA user_version").user_version ~= #migrations then db:transaction(migrate, db) end
  return db
end

return state

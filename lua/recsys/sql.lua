--- An embedded database: recsys.core.sql and transactions. lua/meta/sql.lua is the manual.

local sql = require("recsys.core").sql

local Database = debug.getregistry()["recsys.Database"]

local function ended(db, ok, ...)
  if not ok then
    if db:in_transaction() then db:execute "ROLLBACK" end
    error((...), 0)
  end
  db:execute "COMMIT"
  return ...
end

function Database.__index.transaction(db, fn, ...)
  if db:in_transaction() then return fn(...) end
  db:execute "BEGIN IMMEDIATE"
  return ended(db, xpcall(fn, require("recsys.exit").traced, ...))
end

return sql

-- sql.lua - a database under refused memory.
local core = require "recsys.core"
local sql = core.sql

do
  local db <close> = assert(sql.open(":memory:", { busy_ms = 10, wal = false }))
  db:execute "CREATE TABLE t (a, b, c)"
  assert(db:run("INSERT INTO t VALUES (?, ?, :c)", { 1, sql.blob "x", c = sql.null }) == 1 and db:last_id() == 1)
  assert(db:row("SELECT a FROM t").a == 1 and #db:rows "SELECT * FROM t" == 1 and not db:in_transaction())
  for row in db:each "SELECT b, c FROM t" do assert(row.b == "x" and row.c == nil) end
  db:close()
end

do
  local path = (...) .. "/later.db"
  local db <close> = assert(sql.open(path, { busy_ms = 10 }))
  db:execute "CREATE TABLE IF NOT EXISTS t (a, b)"
  assert(db:later({ "INSERT INTO t VALUES (?1, ?2)", "DELETE FROM t WHERE a = ?1" }, 1, "x"))
  assert(db:flush())
  assert(db:waiting() == 0 and not db:row "SELECT 1 FROM t")
end

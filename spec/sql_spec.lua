--- The embedded database: parameters, rows, transactions, refusals.

local command = require "spec.support.command"
local sql = require "recsys.sql"
local uv = require "luv"

local db
before_each(function()
  db = assert(sql.open ":memory:")
  db:execute "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE, value)"
end)
after_each(function() db:close() end)

describe("a statement", function()
  it("takes parameters by position and by name, and gives rows by column", function()
    assert.equal(1, db:run("INSERT INTO t VALUES (?, ?, ?)", { 1, "one", 0.5 }))
    assert.equal(1, db:run("INSERT INTO t VALUES (:id, :name, :value)", { id = 2, name = "two", value = true }))
    assert.equal(2, db:last_id())
    assert.same({ { id = 1, name = "one", value = 0.5 }, { id = 2, name = "two", value = 1 } },
      db:rows "SELECT * FROM t ORDER BY id")
    assert.same({ name = "two" }, db:row("SELECT name FROM t WHERE id = ?", { 2 }))
    assert.is_nil(db:row("SELECT name FROM t WHERE id = ?", { 3 }))
  end)

  it("keeps integers, floats, bytes and what is absent apart", function()
    db:run("INSERT INTO t VALUES (1, ?, ?)", { sql.null, math.mininteger })
    db:run("INSERT INTO t VALUES (2, ?, ?)", { [2] = 2^53 })
    db:run("INSERT INTO t VALUES (3, 'x', ?)", { sql.blob "a\0b" })
    local rows = db:rows "SELECT value, typeof(value) AS kind, name FROM t ORDER BY id"
    assert.same({ value = math.mininteger, kind = "integer" }, rows[1])
    assert.same({ "float", "real" }, { math.type(rows[2].value), rows[2].kind })
    assert.same({ value = "a\0b", kind = "blob", name = "x" }, rows[3])
  end)

  it("is left in the midst of a loop, also by a break", function()
    for i = 1, 9 do db:run("INSERT INTO t (id) VALUES (?)", { i }) end
    local seen = 0
    for row in db:each "SELECT id FROM t ORDER BY id" do
      seen = seen + row.id
      if row.id == 3 then break end
    end
    assert.equal(6, seen)
    db:execute "DROP TABLE t" -- refused while a query reads the table
  end)

  it("is refused by name when it makes no sense", function()
    assert.has_error(function() db:run("SELEC 1") end, 'database: near "SELEC": syntax error')
    assert.has_error(function() db:run("SELECT ?", { 1, 2 }) end,
      "bad argument #2 to 'run' (the statement has 1 parameters)")
    assert.has_error(function() db:run("SELECT :a", { b = 1 }) end,
      "bad argument #2 to 'run' (the statement has no parameter :b)")
    assert.has_error(function() db:run("SELECT ?", { 0 / 0 }) end)
    assert.has_error(function() db:run("SELECT ?", { {} }) end,
      "bad argument #2 to 'run' (parameter 1 is a table)")
    db:close()
    assert.has_error(function() db:run "SELECT 1" end, "calling 'run' on bad self (the database is closed)")
  end)

  it("says which constraint it breaks", function()
    db:run("INSERT INTO t VALUES (1, 'x', 0)")
    local ok, problem = pcall(db.run, db, "INSERT INTO t VALUES (2, 'x', 0)")
    assert.is_false(ok)
    assert.same({ code = "constraint", message = "database: UNIQUE constraint failed: t.name" }, problem)
  end)
end)

describe("a transaction", function()
  it("keeps all or nothing, and gives what its function gives", function()
    assert.same({ 7, 8 }, { db:transaction(function(a)
      db:run("INSERT INTO t (id) VALUES (?)", { a })
      return a, a + 1
    end, 7) })
    local ok, problem = pcall(db.transaction, db, function()
      db:run("INSERT INTO t (id) VALUES (9)")
      error({ code = "usage", message = "no" }, 0)
    end)
    assert.same({ false, "no" }, { ok, problem.message })
    assert.same({ { id = 7 } }, db:rows "SELECT id FROM t")
    assert.is_false(db:in_transaction())
  end)

  it("inside another one is a part of it", function()
    pcall(db.transaction, db, function()
      db:transaction(function() db:run "INSERT INTO t (id) VALUES (1)" end)
      error "outer"
    end)
    assert.same({}, db:rows "SELECT id FROM t")
  end)
end)

describe("a file", function()
  local folder
  before_each(function() folder = command.temporary() end)
  after_each(function() command.remove(folder) end)

  it("that is no database is refused by name", function()
    command.write(folder .. "/x.db", ("no database "):rep(100))
    local made, message, code = sql.open(folder .. "/x.db")
    assert.same({ nil, "format" }, { made, code })
    assert.truthy(message:find(folder .. "/x.db", 1, true))
    made, message, code = sql.open(folder .. "/gone.db", { read_only = true })
    assert.same({ nil, "io" }, { made, code })
    assert.truthy(message:find "unable to open")
  end)

  it("is opened by options that are known and make sense", function()
    assert.error_matches(function() sql.open(":memory:", { readonly = true }) end, "readonly")
    assert.error_matches(function() sql.open(":memory:", { busy_ms = -1 }) end, "busy_ms")
    assert.error_matches(function() sql.open(":memory:", { busy_ms = 2^40 // 1 | 0 }) end, "busy_ms")
    assert.error_matches(function() sql.open(":memory:", { wal = "no" }) end, "wal")
  end)

  it("is read by one connection while another writes", function()
    local path = folder .. "/y.db"
    local writer <close> = assert(sql.open(path))
    writer:execute "CREATE TABLE t (id)"
    local reader <close> = assert(sql.open(path, { read_only = true, busy_ms = 10 }))
    writer:execute "BEGIN IMMEDIATE; INSERT INTO t VALUES (1)"
    assert.same({}, reader:rows "SELECT id FROM t")
    local second <close> = assert(sql.open(path, { busy_ms = 10 }))
    local ok, problem = pcall(second.run, second, "INSERT INTO t VALUES (2)")
    assert.same({ false, "busy" }, { ok, problem.code })
    writer:execute "COMMIT"
    assert.same({ { id = 1 } }, reader:rows "SELECT id FROM t")
    assert.equal("wal", reader:row("PRAGMA journal_mode").journal_mode)
  end)

  it("runs statements later, in order with those that follow", function()
    local path = folder .. "/z.db"
    local mine <close> = assert(sql.open(path))
    local other <close> = assert(sql.open(path))
    mine:execute "CREATE TABLE t (id, name)"
    other:execute "BEGIN IMMEDIATE" -- so that the thread has to wait, however long this takes
    for i = 1, 100 do assert.is_true(mine:later("INSERT INTO t VALUES (?1, ?2)", i, "n" .. i)) end
    assert.same({ 100, 0 }, { mine:waiting() })
    assert.equal(0, other:row("SELECT count(*) AS n FROM t").n)
    other:execute "COMMIT"
    assert.equal(100, mine:row("SELECT count(*) AS n FROM t WHERE name = 'n' || id").n)
    assert.is_true(mine:later({ "UPDATE t SET id = -?1 WHERE id = ?1", "DELETE FROM t WHERE id < -?2" }, 7, 9))
    mine:transaction(function()
      assert.same({ id = -7 }, mine:row "SELECT id FROM t WHERE name = 'n7'")
      mine:later("DELETE FROM t WHERE id = ?1", 8) -- at once: it belongs to the transaction
      assert.equal(99, mine:row("SELECT count(*) AS n FROM t").n)
    end)
    assert.is_true(mine:later("INSERT INTO t VALUES (?1, ?2)", sql.blob "b", nil))
    mine:close()
    assert.same({ id = "b" }, other:row "SELECT * FROM t WHERE typeof(id) = 'blob'")
    assert.equal(100, other:row("SELECT count(*) AS n FROM t").n)
  end)

  it("keeps no transaction waiting for what is put off, which waits for the transaction", function()
    local mine <close> = assert(sql.open(folder .. "/s.db", { busy_ms = 2000 }))
    mine:execute "CREATE TABLE t (x)"
    mine:later "PRAGMA max_page_count = 3" -- of the thread's connection: its disk is full
    mine:later "INSERT INTO t VALUES (zeroblob(100000))"
    assert.is_nil((mine:flush()))
    local began = uv.hrtime()
    mine:transaction(function()
      for i = 1, 3 do mine:run("INSERT INTO t VALUES (?)", { i }) end
    end)
    assert.is_true(uv.hrtime() - began < 1.5e9)
    assert.equal(3, mine:row("SELECT count(*) AS n FROM t").n)
  end)

  it("says later what it refuses, and at once what is a mistake", function()
    local mine <close> = assert(sql.open(folder .. "/w.db"))
    mine:execute "CREATE TABLE t (id INTEGER PRIMARY KEY)"
    mine:later("INSERT INTO t VALUES (1)")
    mine:later("INSERT INTO t VALUES (?1)", 1)
    mine:later("INSERT INTO t VALUES (2)")
    assert.same({ nil, folder .. "/w.db: UNIQUE constraint failed: t.id (1 left out)", "constraint" },
      { mine:flush() })
    assert.is_true(mine:flush())
    assert.same({ 0, 1 }, { mine:waiting() })
    assert.equal(2, mine:row("SELECT count(*) AS n FROM t").n)
    assert.error_matches(function() mine:later({}) end, "statements")
    assert.error_matches(function() mine:later({ 1 }) end, "no string")
    assert.error_matches(function() mine:later("SELECT 1", {}) end, "parameter 1 is a table")
    assert.error_matches(function() mine:later("SELECT 1", 0 / 0) end, "does not keep")
    assert.error_matches(function() mine:later("SELECT 1", table.unpack({}, 1, 17)) end, "16 parameters")
    assert.same({ nil, "argument" }, { (function(ok, _, code) return ok, code end)(db:later "SELEC") })
    assert.is_true(db:later("INSERT INTO t (id) VALUES (?1)", 5))
    assert.equal(5, db:row("SELECT id FROM t").id)
  end)
end)

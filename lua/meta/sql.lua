---@meta
--- recsys.sql: an embedded database, SQLite, by prepared statements with parameters.
---
--- Parameters stand in a table: positions for `?`, names for `:name`. An integer is kept as INTEGER, a float as REAL (a
--- NaN or infinity raises), a string as TEXT, a boolean as 0 or 1, sql.blob(s) as BLOB, sql.null or what is absent as
--- NULL. A row is a table, column name -> value, in which NULL is absent. A statement that makes no sense raises its
--- message; one that the database refuses raises { code, message } with the code "busy" (another process holds the
--- lock for longer than busy_ms), "constraint", "format" (the file is damaged), "io" or "memory".

---@class sql
---@field null lightuserdata  a parameter that is NULL, where a table cannot hold nil
local sql = {}

--- Open a database, made when it is not there. In WAL mode with synchronous = NORMAL: a kill loses no commit, a power
--- cut at most the last ones. Foreign keys are enforced. A connection belongs to one thread.
---@param path string      ":memory:" is a database of this connection alone
---@param options? { read_only?: boolean, wal?: boolean, busy_ms?: integer }
---   read_only: default false; wal: false leaves the journal mode as the file has it; busy_ms: default 20000
---@return Database?
---@return string? message
---@return string? code     "io", "format", "busy", "memory"
function sql.open(path, options) end

--- A parameter of bytes that are no text.
---@param bytes string
---@return userdata
function sql.blob(bytes) end

---@class recsys.Database
local Database = {}

--- Run several statements that have neither parameters nor results.
---@param text string
function Database:execute(text) end

--- Run a statement.
---@param text string
---@param parameters? table
---@return integer changed  rows that an INSERT, UPDATE or DELETE changed
function Database:run(text, parameters) end

--- The first row of a query.
---@return table?
function Database:row(text, parameters) end

--- All rows of a query.
---@return table[]
function Database:rows(text, parameters) end

--- The rows of a query one by one: for row in db:each "SELECT ..." do.
---@return fun(): table?
function Database:each(text, parameters) end

--- Call fn(...) in a transaction that has the lock for writing from its first moment; what it returns. Whatever it
--- raises is raised again, and nothing of it is kept. Inside another transaction it is a part of that one.
---@param fn fun(...): any
---@return any ...
function Database:transaction(fn, ...) end

--- Run statements soon, together with others in one transaction, by a thread of the database's own: the caller does
--- not wait. All that was put off is in the database a quarter of a second later at the most, in order, and what
--- follows on this connection sees it; other connections, when it is written. Inside a transaction, and in a database
--- without a file, it runs at once. While the database cannot be written it waits for the next attempt; a statement
--- that is refused is left out, with those after it in the list. At most 32 MiB wait: the caller then waits, too, and
--- when the database cannot be written what he adds is lost.
---@param statements string|string[]  up to 4, which share the parameters ?1, ?2, ...
---@param ... any                     the parameters, up to 16
---@return boolean? done    nil: what the thread has met since this was last told; these statements wait nonetheless
---@return string? message
---@return string? code     "busy", "io", "memory": it goes on to try; "constraint", "argument": some were left out
function Database:later(statements, ...) end

--- Wait until what was put off is written, or cannot be.
---@return boolean? done
---@return string? message
---@return string? code
function Database:flush() end

--- What became of calls of later().
---@return integer waiting  are not written yet
---@return integer lost     were left out, in whole or in part
function Database:waiting() end

---@return integer  the rowid of the last INSERT
function Database:last_id() end

---@return boolean
function Database:in_transaction() end

--- Close it, statements at work too; what was put off is written first. Twice is fine; also by <close> and the
--- collector.
function Database:close() end

return sql

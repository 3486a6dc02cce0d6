---@meta

--- Columnar frames: typed, named columns of equal length, read from CSV, selected, joined, grouped.
---
--- | type     | values                                    | missing                    | in Lua tables    |
--- | number   | f64 [n]                                   | NaN                        | number           |
--- | time     | i64 [n], milliseconds since 1970 UTC      | frame.TIME_MISSING         | integer          |
--- | string   | i32 [n], codes from 1 into a dictionary   | code 0                     | string           |
--- | list     | i32 [total], row i at starts[i], lengths[i] of them | length 0         | string[]         |
---
--- A missing value is `nil` when read one at a time, and `false` in tables given to `frame.from`.
--- Frames are immutable: every operation gives a new one that shares what it can. Rows that one function gives to
--- another are 0-based (data, see docs/architecture.md); rows that people name (`f:text`, `f:value`) count from 1.
local frame = {}

--- The i64 that stands for a missing time: math.mininteger.
frame.TIME_MISSING = math.mininteger

---@class FrameCsvOptions
---@field separator? string  one or more bytes; default: found from the file among `,` tab `;` `|` `::`
---@field header? boolean    whether the first row holds the names; default: true unless `names` is given
---@field names? string[]    the names of all columns; they replace those of a header
---@field columns? string[]  the columns to keep, in this order; default all
---@field types? table<string, string|table>  name -> "number" | "string" | "time" (ISO 8601 text, or 31-Dec-1999) |
---  "time_s" | "time_ms" (epoch numbers) | { "list", separator } ("list" alone splits at `|`); columns not named
---  here are inferred: number, time or string
---@field nulls? string[]    words that mean missing, beside the empty field: `{ "NULL", "\\N" }`
---@field escape? "doubled"|"backslash"|"mysql"  how a quote inside quotes is written; default: found from the file.
---  "mysql": a backslash escapes outside quotes too
---@field quote? string      the quote character, default `"`; "" reads quotes as ordinary characters
---@field encoding? "utf-8"|"latin-1"  default: found from the file
---@field bad_limit? number  the share of malformed rows from which the file is refused, default 0.01
---@field cache? string      a folder: the parsed form is kept there, and opened when file and options are as they were
---@field quarantine? string a path: malformed rows are written there as CSV file,line,reason,text
---@field expand_limit? integer  bytes of text that a compressed file may hold, default 64 GiB
---@field block? integer     bytes that a thread reads at a time, default 262144; nothing else depends on it

---@class FrameCsvReport
---@field path string
---@field rows integer         rows read
---@field quarantined integer  malformed rows left out
---@field first_bad? { line: integer, reason: string }
---@field torn? integer        how many of the quarantined have a quote that is not closed, or closed too soon
---@field torn_line? integer   the line of the first of them; reading went on at the next line
---@field unterminated boolean whether the last line has no line end, as in a file that was cut off
---@field header boolean       whether the first row was read as names
---@field separator string
---@field quote string         "" for none
---@field escape string
---@field encoding string
---@field compression "none"|"gzip"|"zstd"
---@field types table<string, string>  the types of the columns kept

---@class FrameCsvReports      of several files read as one table
---@field files FrameCsvReport[]  without `types`
---@field rows integer
---@field quarantined integer
---@field types table<string, string>
---@field cached? boolean       true when the parsed form was opened instead of the file

--- Read a CSV or TSV file (RFC 4180 and its relatives: see docs/data.md).
--- Malformed rows are left out, counted in the report and written to `quarantine`; a share of them over
--- `bad_limit` refuses the file with code "format".
--- Files that begin as gzip or zstd do are decompressed while they are read. Several files, or a pattern with `*`, `?`
--- or `[`, make one table: the first gives the columns, the others must have them too, in any order; a column that is a
--- number in one and text in another is text in all.
---@param path string|string[]
---@param options? FrameCsvOptions
---@return Frame? frame  nil, message, code on refusal: "io", "format", "memory"
---@return FrameCsvReport|FrameCsvReports|string report  the latter for several files or a pattern
---@return string? code
function frame.read_csv(path, options) end

---@class FrameJsonlOptions
---@field columns? string[]  the fields to keep, in this order; default all, in order of first appearance
---@field types? table<string, string|table>  as of read_csv; a field declared "string" whose value is an
---  object or array holds its JSON text
---@field bad_limit? number   the share of malformed lines from which the file is refused, default 0.01
---@field quarantine? string  a path: malformed lines are written there as CSV file,line,reason,text
---@field expand_limit? integer  bytes of text that a compressed file may hold, default 64 GiB
---@field block? integer      bytes that a thread reads at a time, default 262144; nothing else depends on it

--- Read JSON Lines: an object a line, its fields the columns; those of an object within are `outer.inner`.
--- Numbers and booleans (1 and 0) are numbers, ISO 8601 strings times, arrays of scalars lists, all else strings; a
--- field of several kinds is a string, and so is one with integers beyond 2^53. Absent fields, null and "" are missing.
--- Lines that are no strict JSON, or have a key twice, are malformed. Compressed and several files as in read_csv.
---@param path string|string[]
---@param options? FrameJsonlOptions
---@return Frame? frame  nil, message, code on refusal: "io", "format", "memory"
---@return FrameCsvReport|FrameCsvReports|string report  without separator, quote, escape, header and torn
---@return string? code
function frame.read_jsonl(path, options) end

--- The files whose paths fit a pattern of the shell (`*`, `?`, `[a-z]`), in order; none is an empty table.
---@param pattern string
---@return string[]? paths  nil, message, code when the folders cannot be read
---@return string? message
---@return string? code
function frame.glob(pattern) end

---@class FrameWriteOptions
---@field separator? string  default ","
---@field header? boolean    default true
---@field escape? "doubled"|"backslash"  default "doubled" (RFC 4180); "backslash" writes as Spark does
---@field times? "iso"|"ms"|"s"  how times are written; default "iso" (2024-01-31T12:00:00.000Z)
---@field list? string       separator inside list cells, default "|"; a member that holds it is refused, "format"
---@field null? string       the word for missing, default ""

--- Write a frame as CSV, atomically. Numbers are written so that they read back exactly.
---@param path string
---@param f Frame
---@param options? FrameWriteOptions
---@return boolean? done  true; nil, message, code on refusal
---@return string? message
---@return string? code
function frame.write_csv(path, f, options) end

--- A frame from columns in memory: `frame.from{ {"user", "string", {"a", "b"}}, {"time", "time", tensor} }`.
--- Numbers take a float or integer tensor or a table, times an i64 tensor or a table of integers, strings a table of
--- strings, or { codes = i32 Tensor, strings = string[] }, lists a table of tables. `false` is missing.
---@param columns { [1]: string, [2]: string, [3]: Tensor|table }[]
---@return Frame
function frame.from(columns) end

--- The rows of all frames, one frame after another. All must have the same columns and types.
---@param frames Frame[]
---@return Frame
function frame.concat(frames) end

--- One operation of an expression over whole columns; frame.col and its methods are the form for people.
---@param op string     a name of the table in runtime/frame/expression.c
---@param rows integer  of the result, and of all operands that are frames
---@param operands (Frame|number|string|{ [1]: "number"|"time"|"string", [2]: integer? })[]  frames stand for their
---  first column; { "time", ms } for a constant time, { type } for a missing value of a type
---@return Frame value  of one column, "value"
function frame.apply(op, rows, operands) end

---@class FrameNegatives
---@field users Tensor        i64 [rows]: whom to draw for, 0-based rows of the users
---@field known_users Tensor  i64 [m]
---@field known_items Tensor  i64 [m]: what known_users[i] is not to be given
---@field weights? Tensor     f64 [n_items]: how often each item is drawn; default all alike
---@field n_users integer
---@field n_items integer
---@field n integer           draws a row
---@field seed? integer       default 0
---@field epoch? integer      another one gives other draws; default 0

--- Items that users do not know, drawn with replacement; recsys.data.negatives is the form for datasets. A draw is a
--- function of (seed, epoch, row, column): the same for any number of threads.
---@param options FrameNegatives
---@return Tensor items  i64 [rows, n], 0-based; -1 where a user knows every item that has a weight
function frame.negatives(options) end

--- The rows whose user and whose item have at least `k` rows among the rows that remain, found by repetition.
---@param f Frame
---@param user string  a column
---@param item string  a column
---@param k integer
---@return Frame
function frame.k_core(f, user, item, k) end

--- Put a frame together again from `f:tensors()` and `f:schema()`, as they were stored. Checks everything.
---@param tensors table<string, Tensor>
---@param schema { name: string, type: string }[]
---@return Frame? f  nil, message, "format" when they do not fit
---@return string? message
---@return string? code
function frame.from_tensors(tensors, schema) end

--- Milliseconds since 1970 UTC of an ISO 8601 text.
---@param text string
---@return integer? ms  nil when it is no time
function frame.parse_time(text) end

--- ISO 8601 text in UTC with milliseconds: 2024-01-31T12:00:00.000Z.
---@param ms integer
---@return string
function frame.format_time(ms) end

--- A non-secret 128-bit hash (XXH3) of a file's bytes, as hex.
---@param path string
---@return string? hash  nil, message, code when the file cannot be read
---@return string? message
---@return string? code
function frame.hash_file(path) end

--- Hash of a string, or of a tensor's numbers in row-major order, as `frame.hash_file`.
---@param what string|Tensor
---@return string
function frame.hash(what) end

---@class Frame
local Frame = {}

---@return integer
function Frame:rows() end

--- Names of the columns, in order.
---@return string[]
function Frame:names() end

---@param name string
---@return boolean
function Frame:has(name) end

--- "number", "time", "string" or "list".
---@param name string
---@return string
function Frame:type(name) end

--- Name and type of each column, as plain data.
---@return { name: string, type: string }[]
function Frame:schema() end

--- The values of a column, shared with the frame: do not change them.
---@param name string
---@return Tensor values  f64 numbers, i64 times, i32 codes; of a list the codes of all rows
---@return Tensor? starts   list only: i64 [rows]
---@return Tensor? lengths  list only: i32 [rows]
function Frame:column(name) end

--- The distinct texts of a string or list column: code c is the c-th. Selected rows share the dictionary of the frame
--- that they came from, so some texts may not occur.
---@param name string
---@return string[]
function Frame:strings(name) end

--- The code of a text in a string or list column; 0 when it has none.
---@param name string
---@param text string
---@return integer
function Frame:code(name, text) end

--- The text of a string column at a row, nil when missing; of a list column the texts.
---@param name string
---@param row integer  from 1
---@return string|string[]|nil
function Frame:text(name, row) end

--- The value of any column at a row, nil when missing.
---@param name string
---@param row integer  from 1
---@return number|integer|string|string[]|nil
function Frame:value(name, row) end

--- The 0-based rows where a comparison holds; missing values compare with nothing.
--- Strings know "==", "~=", "in" and "not in"; "missing" and "present" take no value.
---@param name string
---@param op "=="|"~="|"<"|"<="|">"|">="|"in"|"not in"|"missing"|"present"
---@param value? number|string|string[]
---@return Tensor rows  i64
function Frame:where(name, op, value) end

--- The 0-based rows where an expression is a number other than 0, missing not among them.
---@param condition Expression
---@return Tensor rows  i64
function Frame:where(condition) end

---@param names string[]
---@return Frame
function Frame:select(names) end

--- With columns worked out from expressions, added in order of their names or replaced; all see the frame as it was.
--- `f:derive { age = frame.col "time":since(frame.col "created", "d"), loud = frame.col "title":upper() }`
---@param columns table<string, Expression|number|string>
---@return Frame
function Frame:derive(columns) end

--- With a column that a Lua function works out row by row: for the odd case, as it is some hundred times slower than
--- an expression. `f:map_rows("initial", "string", function(row) return row.name:sub(1, 1) end)`
---@param name string
---@param kind "number"|"time"|"string"|"list"
---@param fn fun(row: table, i: integer): any  row.name is the value of a column, nil when missing; nil is missing
---@return Frame
function Frame:map_rows(name, kind, fn) end

--- The rows where a u8 mask [rows] is not 0, or the rows at i64 0-based positions (in their order, repeats allowed;
--- -1 gives a row of missing values).
--- Or the rows where an expression holds: `f:filter(frame.col "strength":ge(0.5))`.
---@param rows Tensor|Expression
---@return Frame
function Frame:filter(rows) end

--- Stable sort by one or more columns; "-name" sorts descending; missing values come last; strings by their bytes.
---@param ... string
---@return Frame sorted
---@return Tensor rows  i64 [rows]: the 0-based row that each row came from
function Frame:sort(...) end

--- Join on equal keys. Rows come in the left frame's order, matches in the right frame's order; strings match by
--- text; missing keys match nothing. Other columns of the right frame are appended ("semi" and "anti": none); a
--- name that both have raises. "left" keeps rows without a match, with missing values.
---@param other Frame
---@param keys string|string[]  of both frames; { user = "id" } where the names differ
---@param how? "inner"|"left"|"semi"|"anti"  default "inner"
---@return Frame
function Frame:join(other, keys, how) end

---@class FrameAsofOptions
---@field on string|table<string, string>  a time or number column of both frames; { time = "at" } where names differ
---@field by? string|string[]|table<string, string>  keys that must be equal, as `f:join` takes them
---@field direction? "backward"|"forward"|"nearest"  default "backward": at or before the row's own `on`
---@field strict? boolean         true: an equal `on` is no match. Default false
---@field tolerance? number|string  how far off a match may be, "30m" or ms, or in the numbers' own unit; default any

--- Join every row with the row of `other` that stood at its time: the last at or before it ("backward"), the first at
--- or after it, or the nearest. Each row comes once, in order; without a match its new columns are missing, as they are
--- where a key or `on` is missing. Of several rows of `other` at one moment the last counts backwards and the first
--- forwards; of two equally near the earlier. The other columns of `other` are appended; its `on` too where it has
--- another name.
---@param other Frame
---@param options FrameAsofOptions
---@return Frame
function Frame:asof(other, options) end

--- For each row the 0-based row of `other` with the same key, -1 when there is none (the first when several).
---@param other Frame
---@param keys string|string[]|table
---@return Tensor rows  i64 [rows]
function Frame:lookup(other, keys) end

--- One row for each distinct combination of keys, in order of first appearance (missing is a value of its own).
--- `f:group_by("user", { {"n", "count"}, {"last", "max", "time"} })`
---@param keys string|string[]
--- What there is, of a column (`c`) and a second one (`by`); missing values are left out unless said otherwise:
---  "count" of rows, or of the present values of c | "sum" "mean" "std" "var" (by n - 1) "median" "weighted_sum"
---  "weighted_mean" (by weights) of numbers | {"q90", "quantile", c, 0.9} between the two nearest ranks | "any" "all",
---  whether numbers are other than 0 | "min" "max" of numbers and times | "first" "last": c of the first and last row,
---  missing or not; with `by` (a number or time) of the row with the least and the greatest | "arg_min" "arg_max": c
---  where `by` is least and greatest, of equal ones the first | "mode": the most frequent value, of equally frequent
---  ones the one met first | "n_distinct" | "list" of all texts of a string or list column.
---  Of no values "count", "sum", "weighted_sum" and "n_distinct" are 0, "list" is empty, all others are missing.
---@param aggregations { [1]: string, [2]: string, [3]: string?, [4]: string|number? }[]  {name, what, c, by or share}
---@return Frame
function Frame:group_by(keys, aggregations) end

--- The group of each row: 0-based, numbered by first appearance.
---@param keys string|string[]
---@return Tensor groups  i64 [rows]
---@return integer n      how many groups
function Frame:groups(keys) end

--- One row of each combination of keys, in row order: the first, the last, or the best by one or more columns as
--- `f:sort` takes them, `{ best = "-strength" }`: of equally good rows the first; one that misses the value is worst.
---@param keys string|string[]
---@param keep? "first"|"last"|{ best: string|string[] }  default "first"
---@return Frame
function Frame:distinct(keys, keep) end

--- With columns worked out within groups, in an order:
--- `f:window("user", "time", { {"n", "row_number"}, {"before", "lag", "item"}, {"so_far", "cum_sum", "strength"} })`.
--- Each window is {name, what, column, offset}:
---  "row_number" 1, 2, ... | "rank" "dense_rank": rows that are equal in the order share one, with and without gaps |
---  "count" of the group's rows | "cum_count" of rows, or of a column's present values, up to and with the row |
---  "cum_sum" "cum_min" "cum_max" of numbers, missing where the row's own is | "share" of the group's sum |
---  "lag" "lead": any column `offset` (1) rows before or after, missing where there is none | "session": `f:sessions`.
---@param keys string|string[]|nil   nil: all rows are one group
---@param order string|string[]|nil  as `f:sort` takes them; nil: row order
---@param windows { [1]: string, [2]: string, [3]: string?, [4]: integer? }[]
---@return Frame  rows as they were
function Frame:window(keys, order, windows) end

--- With the number of each row's session within its keys: 1, 2, ... in order of time, a new one where a row comes more
--- than the gap after the one before. Missing where the time is.
---@param keys string|string[]
---@param time string  a time column
---@param gap string|integer  "30m", or ms
---@param name? string  of the new column; default "session"
---@return Frame
function Frame:sessions(keys, time, gap, name) end

---@param names table<string, string>  old -> new
---@return Frame
function Frame:rename(names) end

--- With a column added or replaced: values as in `frame.from`, or the column `values` of another frame.
---@param name string
---@param type string|Frame      a type, or the frame to take a column from
---@param values Tensor|table|string
---@return Frame
function Frame:with(name, type, values) end

---@param names string[]
---@return Frame
function Frame:without(names) end

--- The first n rows as a text table.
---@param n? integer  default 10
---@return string
function Frame:head(n) end

--- All columns as tensors by name, to be stored: "user.values", "user.bytes", "user.offsets", ...
---@return table<string, Tensor>
function Frame:tensors() end

--- Free the columns now; later use raises.
function Frame:close() end

return frame

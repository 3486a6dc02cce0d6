---@meta

--- The C part of features: counting and statistics for fitting, programs for encoding, features and histories.
--- `require "recsys.feature"` composes these into declarations and encoders (docs/features.md); recipes use that.
--- Rows are i64 tensors, 0-based, contiguous, as everywhere where one function makes them for another.
local feature = {}

--- A vocabulary from its tensors, which are checked.
---@param bytes Tensor    u8 [total]: the strings one after another
---@param offsets Tensor  i64 [n + 1]: string c is bytes[offsets[c-1] .. offsets[c])
---@return Vocabulary? v  nil, message, "format" when they make no vocabulary
---@return string? message
---@return string? code
function feature.vocabulary(bytes, offsets) end

--- The index of a table: code = row + 1. Raises when a value is missing or occurs twice.
---@param f Frame
---@param column string  strings, or numbers in their decimal form
---@return Vocabulary
function feature.index(f, column) end

--- The 0-based row that each value names in a table: its code in the table's index, less one.
---@param f Frame
---@param column string  strings, or numbers in their decimal form
---@param index Vocabulary
---@param rows? Tensor   i64; default all rows
---@return Tensor positions  i64, one each of `rows`; raises, naming the row, for a value without a position
function feature.positions(f, column, index, rows) end

--- The distinct rows among `rows`, rising.
---@param rows Tensor  i64 in 0 .. n-1, else raises
---@param n integer
---@return Tensor  i64
function feature.distinct(rows, n) end

--- 0, 1, .. n-1.
---@param n integer
---@return Tensor  i64 [n]
function feature.range(n) end

--- An empty counter of strings.
---@return Counter
function feature.counter() end

--- Words of documents weighed by TF-IDF with the formulas of scikit-learn's TfidfVectorizer: tf idf with idf = ln((1 +
--- n) / (1 + df)) + 1, each text of length 1. A document of several texts is the sum of theirs times `weights`, once
--- more of length 1. Codes 1, 2, ... are the words in byte order.
---@param f Frame
---@param columns string[]  1 to 16 columns of strings: the texts of each document; a missing one has no words
---@param rows? Tensor      i64; default all rows
---@param options { tokens: "words"|"sklearn"|nil, max: integer?, stop_words: Vocabulary?, low: integer?,
---  high: integer?, min_df: number?, max_df: number?, max_features: integer?, sublinear: boolean?, weights: number[]? }
---  tokens: default "words" (docs/features.md); max: words of a text that count, default 1048576; stop_words: left out
---  first; low, high: lengths of the n-grams of words, default 1; min_df, max_df: documents that have a word, whole
---  numbers or, as floats, shares of them, default 1 and 1.0; max_features: the words that occur most often so many, of
---  equals those first in byte order; sublinear: 1 + ln tf for tf; weights: one a column, default all 1
---@return { bytes: Tensor, offsets: Tensor, counts: Tensor, idf: Tensor, matrix: Csr } fit
---  bytes, offsets, counts: as `counter:vocabulary` gives them; idf: f64 [words]; matrix: f64 [rows, words]
function feature.tfidf(f, columns, rows, options) end

--- Mean and standard deviation (dividing by the number) of the finite values of a number or time column.
---@param f Frame
---@param column string
---@param rows? Tensor   i64; default all rows
---@param log? boolean   of sign(x) log(1 + |x|) instead
---@return number mean       0 when there is no value
---@return number deviation  0 below two values
---@return integer missing
---@return integer rows
function feature.moments(f, column, rows, log) end

--- Edges between quantiles: the order statistic at floor(k m / buckets) of m values, k = 1 .. buckets-1, without
--- repeats and without an edge that has no value below it.
---@param f Frame
---@param column string  numbers or times
---@param rows? Tensor   i64; default all rows
---@param buckets integer  1 or more
---@return Tensor edges  f64, rising, at most buckets - 1
---@return integer missing
function feature.quantiles(f, column, rows, buckets) end

--- The values below which given shares of the finite values lie, linear between order statistics.
---@param f Frame
---@param column string    numbers or times
---@param rows? Tensor     i64; default all rows
---@param shares number[]  in 0 .. 1, at most 32
---@param log? boolean     of sign(x) log(1 + |x|) instead
---@return number ...      one a share; nan when there is no value
function feature.percentiles(f, column, rows, shares, log) end

--- Per-user sequences of item rows, oldest first; at equal times in the order of the interactions.
---@param users integer      rows of the table of users
---@param items integer      rows of the catalogue
---@param user_rows Tensor   i64 [n]: the user of each interaction
---@param item_rows Tensor   i64 [n]
---@param times Tensor       i64 [n], ms
---@param log? Tensor        i64 rows of the interactions that count as known, without repeats; default all
---@param weights? Tensor    f32 [n]; one that is not finite becomes 1
---@param marks? Tensor      i32 [n], from `program:marks`
---@return History
function feature.new_history(users, items, user_rows, item_rows, times, log, weights, marks) end

--- A history that events advance. It keeps every event, or of an advanced user what reads at his newest time or later
--- need: his last `events` before it and those at most `span` ms older than it.
---@param history History  shared, not changed
---@param events? integer  default -1: all
---@param span? integer    default 0
---@return Accumulator
function feature.accumulator(history, events, span) end

--- A history from `history:tensors()`, which are checked.
---@param tensors table<string, Tensor>
---@param n_items integer  rows of the catalogue
---@return History? h  nil, message, "format" when they make no history
---@return string? message
---@return string? code
function feature.load_history(tensors, n_items) end

--- The batches of an epoch, gathered one ahead by a thread of its own while the caller trains on the last: batch i has
--- the rows of all parts at positions order[bounds[i] + 1] .. order[bounds[i + 1]]. What it reads must not change until
--- it is closed: use `local batches <close> = feature.batches(...)`.
---@param parts table[]   { Features } with a row a position, or { Features, rows }: rows i64 [positions]
---@param order Tensor    i64, 0-based positions
---@param bounds Tensor   i64 [batches + 1], rising from 0 or more to at most #order
---@return Batches        raises for positions outside a part and for bounds that fall
function feature.batches(parts, order, bounds) end

--- Features from `features:tensors()`, which are checked.
---@param tensors table<string, Tensor>
---@return Features? f  nil, message, "format" when they make no features
---@return string? message
---@return string? code
function feature.load_features(tensors) end

--- A program from the JSON and tensors of an encoder, which are checked (docs/features.md, "The program").
---@param json string
---@param tensors table<string, Tensor>  those the program does not name are ignored
---@return Program? p  nil, message, "format" when something is wrong, with the side and the step
---@return string? message
---@return string? code
function feature.program(json, tensors) end

--- Strings and their codes; 0 is "unknown or missing". `#v` is the number of strings.
---@class Vocabulary
local Vocabulary = {}

---@param text string
---@return integer code  0 when it is not there
function Vocabulary:code(text) end

---@param code integer  0 .. #v, else raises
---@return string? text  nil for 0
function Vocabulary:text(code) end

---@return { bytes: Tensor, offsets: Tensor }
function Vocabulary:tensors() end

--- Give the memory back now; the vocabulary is unusable afterwards.
function Vocabulary:close() end

--- How often strings occur.
---@class Counter
local Counter = {}

--- Count the values of a column at `rows`, each repeat again; first cut by "prefix" (code points), "split" (separator)
--- or "tokenise" (most words).
---@param f Frame
---@param column string   strings, lists, or numbers in their decimal form
---@param rows? Tensor    i64; default all rows
--- "join" counts the combinations of the columns that the list names instead.
---@param cut? "prefix"|"split"|"tokenise"|"join"
---@param argument? integer|string|string[]
function Counter:add(f, column, rows, cut, argument) end

--- What was counted as a vocabulary, in byte order.
---@param min_count? integer  default 1
---@param max_size? integer   the most frequent so many; at equal counts those first in byte order
---@param max_count? integer  values that occur more often are left out
---@return Tensor bytes    u8
---@return Tensor offsets  i64 [n + 1]
---@return Tensor counts   i64 [n + 1]: by code; at 0 what was left out or missing
function Counter:vocabulary(min_count, max_size, max_count) end

---@return integer rows     looked at
---@return integer missing  of them without a value
function Counter:rows() end

--- Give the memory back now; the counter is empty afterwards.
function Counter:close() end

--- Named outputs over the same rows. `#features` is the number of rows.
---@class Features
local Features = {}

--- The outputs at `rows` as a batch: a dense output x as "x", a list as "x" (i32 [total]) and "x.offsets" (i64
--- [n + 1]).
---@param rows Tensor  i64, 0-based, repeats allowed; raises for a row outside
---@return table<string, Tensor>
function Features:gather(rows) end

---@return integer
function Features:rows() end

---@return string[]
function Features:names() end

--- One output: codes i32 [n], numbers f32 [n, width], or a bag: row i is lengths[i] values from starts[i] on;
--- weights are f32 in the same way.
---@param name string
---@return { kind: "codes"|"numbers"|"bag"|"weights", values: Tensor, starts: Tensor?, lengths: Tensor? }?
function Features:output(name) end

--- The first row that differs from other features of as many rows and the same outputs, bit by bit.
---@param other Features  raises when it is of another shape
---@return integer? row   0-based; nothing when they are the same
---@return string? name   the first output that differs there
function Features:difference(other) end

--- All tensors by name, for storing; `feature.load_features` is the reverse.
---@return table<string, Tensor>
function Features:tensors() end

--- Give the memory back now; the features are empty afterwards.
function Features:close() end

---@class Batches
local Batches = {}

--- The next batch, waiting for it where need be: what gather() of each part gives, in one table. Raises what went wrong
--- with it, such as a name that two parts have.
---@return table<string, Tensor>?  nil behind the last one
function Batches:next() end

--- Stop gathering and give the memory back, at any moment.
function Batches:close() end

--- Per-user sequences of item rows.
---@class History
local History = {}

--- For storing; `feature.load_history` is the reverse.
---@return { starts: Tensor, items: Tensor, times: Tensor, orders: Tensor, weights: Tensor?, marks: Tensor? }
function History:tensors() end

---@return integer
function History:users() end

--- A user's item rows, newest last: a view.
---@param user_row integer  0-based, as in `feature.rows`
---@return Tensor  i32 [events]
function History:events(user_row) end

--- Give the memory back now; the history is unusable afterwards.
function History:close() end

--- A history and what was posted since. The caller sees to it that none reads while it is advanced.
---@class Accumulator
local Accumulator = {}

--- Put an event behind the user's events of the same or an earlier time.
---@param user_row integer  0-based; a row beyond the last makes all users up to it
---@param item_row integer  0-based
---@param time integer      ms
---@param weight? number    default 1
---@param marks? integer    default 0
function Accumulator:advance(user_row, item_row, time, weight, marks) end

--- Copies of a user's events strictly before a time, oldest first; of none for a row outside.
---@param user_row integer  0-based
---@param time integer      ms
---@return { items: Tensor, times: Tensor, weights: Tensor?, marks: Tensor? }
function Accumulator:before(user_row, time) end

---@return integer
function Accumulator:users() end

--- All that is kept, as of the last event.
---@return History
function Accumulator:history() end

--- Give the memory back now; the accumulator is unusable afterwards.
function Accumulator:close() end

--- A fitted program: what an Encoder runs.
---@class Program
local Program = {}

--- Run one side over a frame. A column that the frame lacks is missing in every row. The last five are for histories on
--- the event side; without them there are no events.
---@param side "user"|"event"|"item"
---@param f Frame
---@param items? Features    the item side of the catalogue
---@param history? History
---@param users? Tensor      i64: the user row of each row of the frame
---@param times? Tensor      i64, ms: events before count
---@param orders? Tensor     i64: rows of the interactions, which then decide between equal times
---@return Features  raises when a column has the wrong type
function Program:run(side, f, items, history, users, times, orders) end

--- Run one side over one row, whose fields are a table or a JSON object: numbers, strings and lists of strings; nil and
--- null are missing.
---@param side "user"|"event"|"item"
---@param fields table|string
---@param items? Features  the item side of the catalogue
---@param rows? Tensor     i32: the item rows of the events, newest last; -1 for an item that the catalogue lacks
---@param times? Tensor    i64, ms, of the events; without them none lies within a window
---@param weights? Tensor  f32, of the events; default all 1
---@param marks? Tensor    i32, of the events; default none
---@param now? integer     the moment, ms; without it counts are missing
---@return Features? f  nil, message, "argument" for a field of the wrong type, "format" for broken JSON
---@return string? message
---@return string? code
function Program:request(side, fields, items, rows, times, weights, marks, now) end

--- The columns that a side reads, each once. On the event side "user.x" is the column x of the moment's user.
---@param side "user"|"event"|"item"
---@return { name: string, type: "string"|"strings"|"number" }[]
function Program:columns(side) end

--- The item outputs that count events, for items at moments; nothing else of the item side is run.
---@param history History  of the items: its "users" are rows of the catalogue
---@param rows Tensor      i64 [n]: rows of the catalogue
---@param times Tensor     i64 [n], ms: events before count
---@return Features        n rows
function Program:moving(history, rows, times) end

--- Which filters hold for each event: bit k is filter k.
---@param events Frame  rows of interactions
---@return Tensor  i32
function Program:marks(events) end

--- Weight and marks of one event from its fields, a JSON object.
---@param json string
---@return number? weight  nil, message, "argument" for a field of the wrong type, "format" for broken JSON
---@return integer|string marks
---@return string? code
function Program:event(json) end

--- What features of the past read: how many filters, the column of the weight, how many of the last events, how many
--- ms.
---@return { filters: integer, weight: string?, events: integer, span: integer }
function Program:past() end

--- What a side puts out: `rows` bounds codes (0 .. rows-1), `width` is of numbers.
---@param side "user"|"event"|"item"
---@return { name: string, kind: "codes"|"numbers"|"bag"|"weights", table: string?, rows: integer, width: integer,
---  moving: true? }[]  moving: it counts events, so that its value depends on the moment
function Program:outputs(side) end

---@param table string
---@return Vocabulary?  nil when there is no such vocabulary
function Program:vocabulary(table) end

--- The two parts that `feature.program` takes.
---@return string json
---@return table<string, Tensor> tensors
function Program:save() end

--- Give the memory back now; the program is unusable afterwards.
function Program:close() end

return feature

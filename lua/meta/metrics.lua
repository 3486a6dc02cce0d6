---@meta

--- recsys.metrics: full ranking, means over queries, bootstrap intervals, trailing counts, users' sequences.
--- Definitions and sources are in docs/evaluation.md. Item and query rows inside tensors are data: they count from 0.

---@class Metrics
local metrics = {}

--- Short lists in one array: list i is `values[starts[i]] ..`, `lengths[i]` of them. Lists may overlap.
---@class Lists
---@field starts Tensor   i64 [n]
---@field lengths Tensor  i32 [n]
---@field values Tensor   i32, 0-based item rows

---@class RankingQuestion
---@field items integer       how many items the catalogue has
---@field relevant Lists      a list a query, without repetition; a query with an empty one has NaN metrics
---@field k integer[]         cut-offs, 1 or more, at most 32
---@field gains? Tensor       f32 beside relevant.values, > 0: adds graded_ndcg
---@field excluded? Lists     a list a query: items that are no candidates
---@field candidates? Lists   a list a query: only these items are candidates; default all
---@field item_time? Tensor   i64 [items]; with `from` and `to`: only items with from <= time < to are candidates
---@field from? Tensor        i64 [queries]
---@field to? Tensor          i64 [queries]
---@field coverage? boolean   default true; costs a second pass over the scores

--- Prepare a question that scorers are then asked, one after another. Raises where the question makes no sense.
---@param question RankingQuestion
---@return Ranking
function metrics.ranking(question) end

--- The mean of each metric over the queries `rows` (default all). NaN values are left out; NaN when none is left.
---@param values Tensor  f64 [metrics, queries]
---@param rows? Tensor   i64, 0-based queries
---@return number[]
function metrics.means(values, rows) end

--- Means in resamples of the users (cluster bootstrap). Sample s depends on seed, s and the number of users alone, so
--- systems that are measured on the same queries are paired.
---@param values Tensor  f64 [metrics, queries]
---@param users Tensor   i64 [queries], any codes
---@param options? { samples?: integer, seed?: integer, rows?: Tensor }  default 1000 samples, seed 1, all queries
---@return Tensor resamples  f64 [metrics, samples]
function metrics.bootstrap(values, users, options) end

--- Percentile intervals of each row of resamples.
---@param resamples Tensor  f64 [metrics, samples]
---@param level? number     default 0.95
---@return number[][]       { low, high } a metric
function metrics.intervals(resamples, level) end

--- Percentile intervals of row a minus row b and of row a over row b, resample by resample.
---@param resamples Tensor  f64 [metrics, samples]
---@param a integer         a row, from 1
---@param b integer         a row, from 1
---@param level? number     default 0.95
---@return { difference: number[], ratio: number[] }
function metrics.paired(resamples, a, b, level) end

---@class WindowSpec
---@field time Tensor      i64 [events], never falling
---@field item Tensor      i32 [events], 0-based item rows
---@field items integer
---@field group? Tensor    i32 [events], 0 .. groups - 1
---@field groups? integer  default 1
---@field length? integer  ms; default 0: everything before the query's time

--- Counts of items over a trailing window.
---@param spec WindowSpec
---@return WindowCounts
function metrics.window(spec) end

--- Each user's events as one run, in the order given.
---@param user Tensor    i64 [events], 0-based user rows
---@param item Tensor    i64 [events], 0-based item rows
---@param users integer  how many users there are
---@param rows? Tensor   i64: only these events, in this order
---@return UserSequences
function metrics.sequences(user, item, users, rows) end

---@class Ranking
local Ranking = {}

--- Names of the metrics: "hit_10", "recall_10", "precision_10", "ndcg_10", "map_10" (and "graded_ndcg_10") at each k,
--- then "mrr", "auc", "tie_share".
---@return string[]
function Ranking:names() end

---@return integer
function Ranking:queries() end

---@return integer
function Ranking:items() end

--- How many items are a candidate of some query: what coverage is a share of. nil without coverage.
---@return integer?
function Ranking:candidates() end

--- An answer sheet for one scorer.
---@return Ranked
function Ranking:ranked() end

--- Free it now; later use raises.
function Ranking:close() end

---@class Ranked
local Ranked = {}

--- Rank queries first .. first + n - 1 (from 1). Raises, with query and item, when a candidate's score is NaN or
--- infinite; items that are no candidates may have any score.
---@param first integer
---@param scores Tensor    f32 [n, items]; with columns f32 [n, width]
---@param columns? Tensor  i32 [items], each in 0 .. width - 1, else raises: item i's score stands in column columns[i]
function Ranked:rows(first, scores, columns) end

--- Rank every query by the same scores.
---@param scores Tensor  f32 [items]
function Ranked:constant(scores) end

--- Rank query q by the products of row q of `users` with all rows of `items`, tile by tile.
---@param users Tensor  f32 [queries, d], or [queries, vectors, d]: an item's score is then the best of the products
---@param items Tensor  f32 [items, d]
function Ranked:factors(users, items) end

--- What was reached; raises unless every query was scored. metrics is f64 [names, queries]; candidates i64 [queries];
--- greater and equal (itself included) are i64 by relevant item in order of the queries, -1 where it is no candidate.
---@return { metrics: Tensor, candidates: Tensor, greater: Tensor, equal: Tensor, coverage: table<integer, number>? }
function Ranked:finish() end

--- Free it now; later use raises. Tensors given out stay.
function Ranked:close() end

---@class WindowCounts
local WindowCounts = {}

--- How many events each item had in [time - length, time), of the query's group or of all. Queries in order of time are
--- fast, any order works.
---@param time Tensor    i64 [n]
---@param group? Tensor  i32 [n]
---@return Tensor        f32 [n, items]
function WindowCounts:counts(time, group) end

--- Free it now; later use raises.
function WindowCounts:close() end

---@class UserSequences
local UserSequences = {}

--- A list of item rows a user; `rows` tells which event each was.
---@return { starts: Tensor, lengths: Tensor, values: Tensor, rows: Tensor }
function UserSequences:lists() end

--- What each query's user did strictly before the query's time. Raises when a user's times fall.
---@param time Tensor  i64 [events], of the events that the sequences were made from
---@param user Tensor  i64 [queries]
---@param at Tensor    i64 [queries]
---@return Lists
function UserSequences:before(time, user, at) end

--- Free it now; later use raises. Tensors given out stay.
function UserSequences:close() end

return metrics

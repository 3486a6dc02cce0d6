---@meta

--- What looking at frames finds, over all rows: values, repeated rows, keys that do not match, who interacts.
--- `recsys.describe` and `recsys.expect` stand on it. Results are plain tables, the same for any number of threads.

---@class Profile
local profile = {}

---@class Spread             absent fields: no value at all
---@field min? number
---@field max? number
---@field mean? number
---@field deviation? number  standard deviation, dividing by the number of values
---@field q01? number        quantiles: 1 %, 25 %, 50 %, 75 %, 99 %, linear between two values as pandas' default
---@field q25? number
---@field q50? number
---@field q75? number
---@field q99? number

---@class ColumnProfile: Spread  of numbers, times (ms), characters of strings, members of lists; of present values
---@field name string
---@field type "number"|"time"|"string"|"list"
---@field rows integer
---@field missing integer
---@field distinct integer   present values; of a list column members
---@field whole? boolean     number columns: all values are whole numbers
---@field top { value: number|integer|string, count: integer }[]  the most frequent values (members of lists), at equal
---  counts the least number or the text that came first
---@field histogram? { from: number, to: number, counts: integer[] }  bins of equal width between the 1 % and the 99 %
---  quantile, what lies outside in the outer ones; whole numbers that are few have a bin each, n - 1/2 to n + 1/2

--- Each column's profile, in order.
---@param f Frame
---@param top? integer   0 .. 32, default 10
---@param bins? integer  1 .. 64, default 24
---@return ColumnProfile[]
function profile.columns(f, top, bins) end

--- Rows whose values stand in an earlier row.
---@param f Frame
---@param names? string|string[]  the columns compared; default all
---@param options? { missing: "value"|"skip"?, limit: integer? }  missing: whether it is a value like others (default)
---  or leaves its row out; limit: rows shown, default 10
---@return { rows: integer, incomplete: integer, distinct: integer, repeated: integer, repeats: Tensor,
---  firsts: Tensor }  incomplete: rows left out; distinct: combinations; repeats, firsts: i64, 0-based, the first
---  repeated rows and where the values of each stand first
function profile.repeats(f, names, options) end

---@class Overlap
---@field rows integer
---@field missing integer         rows without a key
---@field keys integer            distinct
---@field unmatched_rows integer  with a key that the other column does not hold
---@field unmatched_keys integer
---@field examples { key: string, rows: integer }[]  at most 8 keys without a partner, most rows first

--- Compare two columns as keys: strings by text, numbers by value, a number with its decimal form. Raises for times
--- and lists.
---@param f Frame
---@param name string
---@param g Frame
---@param other string
---@return Overlap of_f
---@return Overlap of_g
function profile.overlap(f, name, g, other) end

---@class Skew: Spread       of how many interactions each has
---@field n integer          users, or items
---@field total integer      interactions
---@field once integer       those with one interaction
---@field gini number        0: all alike, towards 1: one has all
---@field top_1 number       the share of all interactions that the busiest 1 % have (rounded up)
---@field top_10 number
---@field rank integer[]     the long tail: some ranks, about 8 a decade,
---@field count integer[]    and the interactions of who has that rank

---@class Cold               the last interactions in time against all before them; moments are not divided
---@field share number
---@field from? integer      ms, when the part begins; nil when there are no interactions
---@field events integer     in the part
---@field users integer
---@field items integer
---@field new_users integer  of them without an interaction before the part
---@field new_items integer
---@field user_events integer   events of new users
---@field item_events integer   events of new items
---@field either_events integer

--- Who interacts with what. Rows that miss user, item or time are `incomplete` and count nowhere else.
---@param f Frame
---@param user string
---@param item string
---@param time? string      a time column
---@param shares? number[]  of the interactions, for `cold`; they need a time
---@return { rows: integer, incomplete: integer, pairs: integer, repeated: integer, users: Skew, items: Skew,
---  cold: Cold[] }  pairs: distinct ones of user and item; repeated: further rows of such a pair
function profile.interactions(f, user, item, time, shares) end

return profile

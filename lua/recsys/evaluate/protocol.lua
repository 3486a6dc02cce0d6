--- What is asked of a scorer: queries, their candidates and their relevant items, from a dataset and its split.
---
--- Four protocols, each for validation rows (during training) and test rows (once, at the end):
---   by_time         a query is one held-out event at time t; candidates are the items created before t and at most
---                   `window` old, minus what the user engaged with strictly before t
---   leave_last_out  a query is a user's held-out event; candidates are all items minus the user's earlier ones
---   per_user        a query is a user with all his held-out items; candidates are all items minus his known ones
---   per_event       a query is one held-out event; candidates are all items, or those that a list names
--- Definitions are in docs/evaluation.md.

local core = require "recsys.core"
local json = require "recsys.json"
local metrics = require "recsys.metrics"
local tensor = require "recsys.tensor"
local text = require "recsys.text"

local protocol = {}

--- One value a list.
local function singletons(values)
  local n = #values
  return { starts = tensor.arange(n), lengths = tensor.full(1, n, "i32"), values = values:to "i32" }
end

--- The lists with these numbers (i64, from 0).
local function pick(lists, numbers)
  return { starts = lists.starts:index_select(numbers), lengths = lists.lengths:index_select(numbers),
    values = lists.values }
end

---@class Queries
---@field name "valid"|"test"
---@field protocol Protocol
---@field n integer
---@field items integer        how many items the catalogue has
---@field user_rows Tensor     i64 [n], 0-based rows of data.users
---@field rows Tensor?         i64 [n], 0-based interactions; nil where a query is a user
---@field item_rows Tensor?    i64 [n], 0-based catalogue rows; nil where a query is a user
---@field times Tensor?        i64 [n], ms; nil where a query is a user and where the data have no times
---@field known Tensor         i64, 0-based interactions that are not held out when this is asked
---@field relevant Lists
---@field excluded Lists?
---@field candidates Lists?    the only candidates of each query; nil: all items
---@field gains Tensor?        f32, beside relevant.values: strengths, where a query has several relevant items
---@field item_time Tensor?    i64 [items] and the window of each query, from <= item_time < to
---@field from Tensor?
---@field to Tensor?
local Queries = {}
Queries.__index = Queries

--- The question that scorers are asked, prepared once for each set of cut-offs.
---@param k integer[]
---@param coverage boolean
---@return Ranking
function Queries:ranking(k, coverage)
  local key = table.concat(k, ",") .. tostring(coverage)
  if not self.prepared[key] then
    self.prepared[key] = metrics.ranking { items = self.items, relevant = self.relevant, gains = self.gains,
      excluded = self.excluded, candidates = self.candidates, item_time = self.item_time, from = self.from,
      to = self.to, k = k, coverage = coverage }
  end
  return self.prepared[key]
end

--- Tells these questions from any others: a hash of the data, of who is asked and when, of what is relevant and of what
--- is a candidate. Metrics of equal fingerprints can be compared.
---@return string
function Queries:fingerprint()
  local parts = { tostring(self.protocol.data.fingerprint), json.encode(self.protocol:describe()),
    tostring(self.items) }
  local function add(name, part)
    if part then parts[#parts + 1] = name .. " " .. core.frame.hash(part) end
  end
  local function add_lists(name, lists)
    for _, field in ipairs(lists and { "starts", "lengths", "values" } or {}) do add(name .. field, lists[field]) end
  end
  for _, field in ipairs { "user_rows", "times", "gains", "item_time", "from", "to" } do add(field, self[field]) end
  for _, field in ipairs { "relevant", "excluded", "candidates" } do add_lists(field, self[field]) end
  return core.frame.hash(table.concat(parts, "\n"))
end

---@class Protocol
---@field kind "by_time"|"leave_last_out"|"per_user"|"per_event"
---@field data Dataset
---@field split Split
---@field user_rows Tensor  i64 [interactions]
---@field item_rows Tensor  i64 [interactions]
---@field window integer?   ms
---@field item_time Tensor? i64 [items]
---@field seen integer|boolean|nil  leave_last_out: how many of the user's latest known items are left out; nil: all
---@field candidates_of? fun(name: "valid"|"test", rows: Tensor): Lists  per_event
local Protocol = {}
Protocol.__index = Protocol

local function new(kind, data, split)
  return setmetatable({ kind = kind, data = data, split = split, made = {},
    user_rows = data.interactions:lookup(data.users, "user"),
    item_rows = data.interactions:lookup(data.items, "item") }, Protocol)
end

--- What is public about the protocol, for reports.
function Protocol:describe()
  return { kind = self.kind, window_ms = self.window, item_time = self.item_time_name, seen = self.seen,
    candidates = self.candidates_of and "listed" or nil }
end

function Protocol:column(name)
  return (self.data.interactions:column(name))
end

--- The held-out interactions; "test" opens the test split, which is logged and allowed once the model is final.
local function held_out(self, name)
  if name == "valid" then return self.split.valid end
  if name == "test" then return self.split:open_test() end
  error(("bad argument #1 to 'queries' ('valid' or 'test' expected, got %s)"):format(tostring(name)), 3)
end

--- The rows that are known when 'name' is asked: training rows, and for the test the validation rows too.
local function known(self, name)
  if name == "valid" or not self.split.valid or #self.split.valid == 0 then return self.split.train end
  return tensor.concat({ self.split.train, self.split.valid }):sort()
end

local makers = {}

function makers.by_time(self, name, q)
  q.rows = held_out(self, name)
  q.user_rows, q.item_rows = self.user_rows:index_select(q.rows), self.item_rows:index_select(q.rows)
  q.times = self:column("time"):index_select(q.rows)
  q.relevant = singletons(q.item_rows)
  local sequences <close> = metrics.sequences(self.user_rows, self.item_rows, self.data.users:rows())
  q.excluded = sequences:before(self:column "time", q.user_rows, q.times)
  if self.item_time then
    q.item_time, q.to = self.item_time, q.times
    q.from = self.window and q.times - self.window or tensor.full(math.mininteger + 1, #q.times, "i64")
  end
end

--- Data without times have one and the same everywhere.
local function has_times(interactions)
  if not interactions:has "time" or interactions:rows() == 0 then return false end
  local times = interactions:column "time"
  return times:min() < times:max()
end

--- Queries that are held-out events: who asks, when, and for which item.
local function ask_events(self, name, q)
  q.rows = held_out(self, name)
  q.user_rows, q.item_rows = self.user_rows:index_select(q.rows), self.item_rows:index_select(q.rows)
  q.times = has_times(self.data.interactions) and self:column("time"):index_select(q.rows) or nil
  q.relevant = singletons(q.item_rows)
end

--- The last n of each list.
local function last_of(lists, n)
  local kept = lists.lengths:clamp(0, n)
  return { starts = lists.starts + (lists.lengths - kept):to "i64", lengths = kept, values = lists.values }
end

function makers.leave_last_out(self, name, q)
  ask_events(self, name, q)
  if self.seen == false then return end
  local sequences <close> = metrics.sequences(self.user_rows, self.item_rows, self.data.users:rows(),
    q.known)
  q.excluded = pick(sequences:lists(), q.user_rows)
  if self.seen then q.excluded = last_of(q.excluded, self.seen) end
end

function makers.per_event(self, name, q)
  ask_events(self, name, q)
  q.candidates = self.candidates_of and self.candidates_of(name, q.rows)
end

function makers.per_user(self, name, q)
  local rows = held_out(self, name)
  local held = self.data.interactions:filter(rows):distinct { "user", "item" }
  local users = self.data.users:rows()
  local answers <close> = metrics.sequences(held:lookup(self.data.users, "user"),
    held:lookup(self.data.items, "item"), users)
  local lists = answers:lists()
  q.user_rows = lists.lengths:gt(0):nonzero()
  q.relevant = pick(lists, q.user_rows)
  if self.graded and held:has "strength" then
    q.gains = held:column("strength"):index_select(lists.rows):to "f32"
  end
  local sequences <close> = metrics.sequences(self.user_rows, self.item_rows, users, q.known)
  q.excluded = pick(sequences:lists(), q.user_rows)
end

--- The queries of the held-out rows; made once. "valid" serves early stopping; "test" opens the test split.
---@param name "valid"|"test"
---@return Queries
function Protocol:queries(name)
  if not self.made[name] then
    local q = setmetatable({ name = name, protocol = self, items = self.data.items:rows(), prepared = {},
      known = known(self, name) }, Queries)
    makers[self.kind](self, name, q)
    q.n = #q.user_rows
    self.made[name] = q
  end
  return self.made[name]
end

--- One query an event of the held-out period.
---@param data Dataset
---@param split Split
---@param options? { window?: string|number, item_time?: string }  an item's age limit at the time of the query, and the
---  column of data.items that says since when there is the item (default "created" where it exists)
---@return Protocol
function protocol.by_time(data, split, options)
  options = options or {}
  local self = new("by_time", data, split)
  local name = options.item_time or (data.items:has "created" and "created" or nil)
  self.item_time_name = name
  self.item_time = name and data.items:column(name)
  self.window = options.window and text.milliseconds(options.window)
  if self.window and not self.item_time then
    error("a window needs a column that tells when items were created: the items have none called 'created'. Where "
      .. "they do not go stale, leave the window out (in a job --set eval.window=)", 2)
  end
  return self
end

--- One query a user: the last event (test) or the one before it (valid).
---@param data Dataset
---@param split Split
---@param options? { seen: integer|false|nil }  how many of the user's latest known items are no candidates; default
---  all, false: none
---@return Protocol
function protocol.leave_last_out(data, split, options)
  local self = new("leave_last_out", data, split)
  self.seen = options and options.seen
  return self
end

--- One query a user with all held-out items: splits at random and splits as given.
---@param data Dataset
---@param split Split
---@param options? { graded?: boolean }  whether the column `strength` gives graded NDCG beside the binary one
---@return Protocol
function protocol.per_user(data, split, options)
  local self = new("per_user", data, split)
  self.graded = options and options.graded
  return self
end

--- One query an event, as published protocols ask that leave out nothing that the user knows, or name the candidates.
---@param data Dataset
---@param split Split
---@param options? { candidates: fun(name: "valid"|"test", rows: Tensor): Lists }  the only candidates of each of these
---  rows of the interactions, its own item among them; default all items
---@return Protocol
function protocol.per_event(data, split, options)
  local self = new("per_event", data, split)
  self.candidates_of = options and options.candidates
  return self
end

return protocol

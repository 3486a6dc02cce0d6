--- What came before: what counts and histories declare, the history that training reads, and the state that a service
--- advances event by event.

local core = require("recsys.core").feature
local json = require "recsys.json"
local program = require "recsys.feature.program"
local text = require "recsys.text"

local past = {}

-- Declarations ------------------------------------------------------------------------------------------------------

--- Kinds whose output is codes that events can be told apart by.
local codes = { id = true, category = true, categories = true, hashed = true, buckets = true, tokens = true,
  cross = true }

--- The item-side declaration that 'of' means: a feature's name, its output or its column.
function past.item_feature(d, of, source)
  for _, how in ipairs { "output", "name", "column" } do
    for _, item in ipairs(source.declarations.item) do
      if item[how] == of and codes[item.kind] then return item end
    end
  end
  error(("%s '%s' is of '%s', which is no item feature with codes"):format(d.kind, d.name, of), 0)
end

--- Whose events a declaration is of, and the item feature that tells them apart, if any.
---@return string subject, string? of
function past.subject(d)
  if type(d.of) == "table" then return d.of[1], d.of[2] end
  return d.of, nil
end

--- Settle whose events a declaration counts by the side that it stands on, and its name, which 'word' begins.
function past.settle(d, word)
  local own = d.side == "item" and "item" or "user"
  local subject, of = past.subject(d)
  if (subject or own) ~= own then
    error(("%s of = \"%s\" belongs to the %s side: an event knows its user before it, a catalogue its items"):format(
      d.kind, subject, subject == "item" and "item" or "event"), 0)
  end
  d.of = d.of or own
  d.name = d.name or ("%s%s_%s"):format(word, of and "_" .. of or "", (d.window:gsub("%W", "_")))
end

--- Settle the period at whose start the counts of a declaration on the item side are read.
function past.settle_period(d, source)
  if d.side == "item" then source.program:every(text.span(d.period)) end
end

--- The columns of the interactions that the filters of a declaration read.
function past.columns(d)
  local places = {}
  for _, conditions in ipairs { d.where or {}, d.among or {} } do
    for _, condition in ipairs(conditions) do places[#places + 1] = { "event", condition.column } end
  end
  return places
end

--- A filter in words: "event = shared or saved, stars = 5"; nil for none.
function past.words(conditions)
  local parts = {}
  for i, condition in ipairs(conditions or {}) do
    parts[i] = ("%s = %s"):format(condition.column, table.concat(condition.values, " or "))
  end
  return conditions and table.concat(parts, ", ")
end

--- A program of filters alone: bit 0 for `where` and `among` together, bit 1 for `among`.
function past.probe(d)
  local probe = program.new()
  local both = { table.unpack(d.where) }
  for _, condition in ipairs(d.among or {}) do both[#both + 1] = condition end
  probe:filter(both)
  probe:filter(d.among)
  return probe
end

-- Histories ---------------------------------------------------------------------------------------------------------

--- Per-user sequences of item rows, oldest first, with what an encoder's counts and histories read of each event.
---@param rows { users: Tensor, items: Tensor }  of all interactions
---@param options? { log: Tensor?, program: Program? }  log: i64 rows of the interactions that count; default all
---@return History
function past.sequences(dataset, rows, options)
  local log, of, weights, marks = options and options.log, options and options.program, nil, nil
  local reads = of and of:past() or { filters = 0 }
  if reads.weight and dataset.interactions:has(reads.weight) then
    weights = dataset.interactions:column(reads.weight):to "f32"
  end
  if reads.filters > 0 then marks = of:marks(dataset.interactions) end
  return core.new_history(dataset.users:rows(), dataset.items:rows(), rows.users, rows.items,
    (dataset.interactions:column "time"), log, weights, marks)
end

--- The events of each item, in the same form: its "users" are rows of the catalogue.
---@return History
function past.item_sequences(dataset, rows, options)
  local marks = options.program:past().filters > 0 and options.program:marks(dataset.interactions) or nil
  return core.new_history(dataset.items:rows(), dataset.items:rows(), rows.items, rows.items,
    (dataset.interactions:column "time"), options.log, nil, marks)
end

-- State -------------------------------------------------------------------------------------------------------------

---@class State
local State = {}
State.__index = State

--- The state of an encoder's features of the past, as of a history's last event.
---@param of Program
---@param history History        made with `program = of`
---@param users Vocabulary       rows by id
---@param catalogue { index: Vocabulary, features: Features }
---@param keep_all? boolean      keep every event, not only what the longest window needs
---@return State
function past.state(of, history, users, catalogue, keep_all)
  local reads = of:past()
  local accumulator = core.accumulator(history, keep_all and -1 or reads.events, reads.span)
  return setmetatable({ program = of, accumulator = accumulator, known = users, catalogue = catalogue, new = {} },
    State)
end

--- The row of a user, known or one whose events came since; nil for a stranger.
function State:row(user)
  local code = self.known:code(user)
  return code > 0 and code - 1 or self.new[user]
end

--- Take an event in. 'event' has user, item, time (ms) and, by column name, what filters and weights read.
---@param event table
---@return true? done  nil, message, "argument" for an item that the catalogue lacks or a field of the wrong type
---@return string? message
---@return string? code
function State:advance(event)
  local item = self.catalogue.index:code(event.item) - 1
  if item < 0 then return nil, ("there is no item '%s' in the catalogue"):format(event.item), "argument" end
  local weight, marks, code = self.program:event(json.encode(event))
  if not weight then return nil, marks, code end
  local row = self:row(event.user)
  if not row then
    row = self.accumulator:users()
    self.new[event.user] = row
  end
  self.accumulator:advance(row, item, event.time, weight, marks)
  return true
end

--- Event features of a user at a time, strictly after what is known; 'fields' are further columns of the moment.
---@param user string
---@param time integer  ms
---@param fields? table
---@return Features? features  one row; nil, message, code
---@return string? message
---@return string? code
function State:encode(user, time, fields)
  local before = self.accumulator:before(self:row(user) or -1, time)
  local moment = { time = time }
  for name, value in pairs(fields or {}) do moment[name] = value end
  return self.program:request("event", moment, self.catalogue.features, before.items, before.times,
    before.weights, before.marks, time)
end

--- All that is known, as a history to store.
---@return History
function State:history()
  return self.accumulator:history()
end

return past

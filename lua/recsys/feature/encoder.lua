--- The encoder: a fitted program, applied to tables, to interactions and to requests.

local core = require("recsys.core").feature
local describe = require "recsys.feature.describe"
local fit = require "recsys.feature.fit"
local frame = require "recsys.frame"
local json = require "recsys.json"
local moving = require "recsys.feature.moving"
local past = require "recsys.feature.past"
local store = require "recsys.store"
local tensor = require "recsys.tensor"

local encoder = {}

---@class Encoder
---@field program Program
local Encoder = {}
Encoder.__index = Encoder

--- An encoder from the two parts that save() gives; it trusts neither.
---@param text_of_program string
---@param tensors table<string, Tensor>  those the program does not name are ignored
---@return Encoder? encoder  nil, message, "format" when they are damaged or do not fit each other
---@return string? message
---@return string? code
function encoder.load(text_of_program, tensors)
  local program, message, code = core.program(text_of_program, tensors)
  if not program then return nil, message, code end
  return setmetatable({ program = program }, Encoder)
end

--- What load() takes; the tensors are shared, not copied.
---@return { json: string, tensors: table<string, Tensor> }
function Encoder:save()
  local text_of_program, tensors = self.program:save()
  return { json = text_of_program, tensors = tensors }
end

--- Give the memory back now; the encoder is unusable afterwards.
function Encoder:close()
  self.program:close()
end

Encoder.__close = Encoder.close

function Encoder:__tostring()
  local function n(side) return #self.program:outputs(side) end
  return ("Encoder [%d user, %d event, %d item outputs]"):format(n "user", n "event", n "item")
end

-- Whole tables and interactions -------------------------------------------------------------------------------------

--- User features of a whole table, or of any rows of one. An absent column is missing; one of the wrong type raises.
---@param users Frame
---@return Features  a row a row
function Encoder:encode_users(users)
  return self.program:run("user", users)
end

--- Item features, as encode_users. Those that count events know none here: encode_items_at does.
---@param items Frame
---@return Features
function Encoder:encode_items(items)
  return self.program:run("item", items)
end

local function check_options(options, name)
  for key in pairs(options) do
    if key ~= "ties" and key ~= "log" and key ~= "items" and key ~= "history" then
      error(("bad argument to '%s' (unknown option '%s'; there are ties, log, items, history)"):format(name, key), 3)
    end
  end
  local ties = options.ties or "strict"
  if ties ~= "strict" and ties ~= "order" then
    error(("bad argument to '%s' (ties must be strict or order, not '%s')"):format(name, tostring(ties)), 3)
  end
  return ties
end

--- A millisecond after the last interaction that has a time; interactions are in order of time.
local function after_all(interactions)
  local times = interactions:column "time"
  for i = interactions:rows(), 1, -1 do
    local time = times:get(i)
    if time ~= frame.TIME_MISSING then return time + 1 end
  end
  return 0
end

--- Per-user sequences of item rows, oldest first.
---@param dataset Dataset
---@param options? { log: Tensor? }  i64 rows of the interactions that count as known; default all
---@return History
function encoder.sequences(dataset, options)
  return past.sequences(dataset, fit.rows(dataset), { log = options and options.log })
end

--- The same with what this encoder's counts and histories read of each event: what they are made from.
---@param dataset Dataset
---@param options? { log: Tensor? }
---@return History
function Encoder:sequences(dataset, options)
  return past.sequences(dataset, fit.rows(dataset), { log = options and options.log, program = self.program })
end

--- The catalogue over time, for an encoder whose item side counts events; nil for others.
---@param dataset Dataset
---@param options? { log: Tensor?, items: Features? }  as in encode_events
---@return ItemsOverTime?
function Encoder:items_over_time(dataset, options)
  local period = json.decode((self.program:save())).period
  if not period then return nil end
  local log = options and options.log
  return moving.new(self.program, math.tointeger(period), options and options.items or self:encode_items(dataset.items),
    past.item_sequences(dataset, fit.rows(dataset), { log = log, program = self.program }))
end

--- The catalogue as of the period of a time: what item vectors are made of.
---@param dataset Dataset
---@param time? integer  ms; default a millisecond after the last interaction
---@param options? { log: Tensor?, items: Features? }
---@return Features
function Encoder:encode_items_at(dataset, time, options)
  local over_time = self:items_over_time(dataset, options)
  if not over_time then return options and options.items or self:encode_items(dataset.items) end
  return over_time:at(time or after_all(dataset.interactions))
end

--- The state of the features of the past as of the last interaction, to be advanced by further events.
---@param dataset Dataset
---@param options? { log: Tensor?, keep_all: boolean? }  keep_all: every event, not only what the longest window needs
---@return State
function Encoder:state(dataset, options)
  options = options or {}
  return past.state(self.program, self:sequences(dataset, options), core.index(dataset.users, "user"),
    self:catalogue(dataset.items), options.keep_all)
end

--- Columns of the moments' users that event features read, under "user." and their name.
local function with_users(self, moments, dataset, users)
  for _, column in ipairs(self.program:columns "event") do
    local name = column.name:match "^user%.(.+)$"
    if name and not moments:has(column.name) and dataset.users:has(name) then
      local theirs = dataset.users:select { name }:filter(users):rename { [name] = column.name }
      moments = moments:with(column.name, theirs, column.name)
    end
  end
  return moments
end

--- The columns of the interactions that event features read, at some rows.
local function moments_at(self, interactions, rows)
  local names, seen = { "time" }, { time = true }
  for _, column in ipairs(self.program:columns "event") do
    if not seen[column.name] and interactions:has(column.name) then names[#names + 1] = column.name end
    seen[column.name] = true
  end
  local moments = interactions:select(names)
  return rows and moments:filter(rows) or moments
end

--- The event side over a frame of moments of users; 'orders' settles ties. Without event features there is nothing that
--- would read a history.
local function encode_moments(self, dataset, moments, users, orders, options)
  if #self.program:outputs "event" == 0 then return self.program:run("event", moments) end
  local items = options.items or self:encode_items(dataset.items)
  local history = options.history or self:sequences(dataset, options)
  moments = with_users(self, moments, dataset, users)
  local features = self.program:run("event", moments, items, history, users, (moments:column "time"), orders)
  if not options.history then history:close() end
  return features
end

--- Event features of interactions: each sees what its user did before it.
---@param dataset Dataset
---@param rows? Tensor   i64, 0-based interactions; default all
---@param options? { ties: "strict"|"order"|nil, log: Tensor?, items: Features?, history: History? }
---  ties: "strict" (default) takes earlier times, "order" also equal times earlier in the interactions;
---  log: i64 interactions that count as known, default all; items, history: computed before, else made here
---@return Features  a row for each of `rows`
function Encoder:encode_events(dataset, rows, options)
  options = options or {}
  local ties = check_options(options, "encode_events")
  local moments = moments_at(self, dataset.interactions, rows)
  local orders = ties == "order" and (rows or core.range(dataset.interactions:rows())) or nil
  return encode_moments(self, dataset, moments, fit.rows(dataset, rows).users, orders, options)
end

--- One time, or a tensor of them, for n users.
local function times_for(dataset, n, time)
  if type(time) == "userdata" then return time end
  time = time or after_all(dataset.interactions)
  return tensor.from_string(string.pack("=i8", time):rep(n), "i64", n)
end

--- Event features of users at a time: what a batch of recommendations is made from.
---@param dataset Dataset
---@param user_rows? Tensor     i64, 0-based rows of dataset.users; default all
---@param time? integer|Tensor  ms, one for all or i64 one each; default a millisecond after the last interaction
---@param options? { log: Tensor?, items: Features?, history: History? }  as in encode_events
---@return Features  a row for each of `user_rows`
function Encoder:encode_users_at(dataset, user_rows, time, options)
  options = options or {}
  check_options(options, "encode_users_at")
  user_rows = user_rows or core.range(dataset.users:rows())
  local times = times_for(dataset, #user_rows, time)
  local moments = frame.from { { "time", "time", times } }
  return encode_moments(self, dataset, moments, user_rows, nil, options)
end

-- Requests ----------------------------------------------------------------------------------------------------------

--- What a request needs of a catalogue: rows by item id, and the items' features.
---@param items Frame
---@return { index: Vocabulary, features: Features }
function Encoder:catalogue(items)
  return { index = core.index(items, "item"), features = self:encode_items(items) }
end

--- The row of an item's id, -1 when the catalogue lacks it; nil, message, code when it is no id. JSON libraries give
--- whole numbers as floats.
local function row_of(i, id, index)
  if type(id) ~= "string" and type(id) ~= "number" then
    return nil, ("item %d of the request is a %s, not an id"):format(i, type(id)), "argument"
  end
  return index:code(tostring(math.tointeger(id) or id)) - 1
end

local function vector(values, dtype)
  return #values > 0 and tensor.new(values, dtype) or tensor.zeros(0, dtype)
end

--- What is known of the events of a request: an id, or a table with `item`, `time` and the fields that filters and
--- weights read.
---@return { rows: Tensor, times: Tensor, weights: Tensor, marks: Tensor }?
local function events_of(self, items, index)
  local rows, times, weights, marks = {}, {}, {}, {}
  for i, event in ipairs(items) do
    local whole = type(event) == "table" and event.item ~= nil
    local row, message, code = row_of(i, whole and event.item or event, index)
    if not row then return nil, message, code end
    local weight, mark = 1, 0
    if whole then weight, mark, code = self.program:event(json.encode(event)) end
    if not weight then return nil, mark, code end
    rows[i], weights[i], marks[i] = row, weight, mark
    times[i] = whole and math.tointeger(event.time) or frame.TIME_MISSING
  end
  return { rows = vector(rows, "i32"), times = vector(times, "i64"), weights = vector(weights, "f32"),
    marks = vector(marks, "i32") }
end

--- The fields of a request's moment: its own, and those of the user that event features read.
local function moment_of(self, request)
  local moment = { time = request.time }
  for _, column in ipairs(self.program:columns "event") do
    local name = column.name:match "^user%.(.+)$"
    if name then moment[column.name] = (request.user or {})[name] end
  end
  for key, value in pairs(request.event or {}) do moment[key] = value end
  return moment
end

--- User and event features of one request, with the bits that the same user has in a table.
---@param request { user: table?, event: table?, items: (string|table)[]?, time: integer? }
--- user, event: fields by column name, absent ones are missing; items: what the user engaged with, newest last: ids, or
---  tables with `item`, `time` (ms) and the fields that filters and weights read, which counts need; time: ms
---@param catalogue { index: Vocabulary, features: Features }
---@return Features? user   one row; nil, message, "argument" when a field has the wrong type
---@return Features|string event
---@return string? code
function Encoder:encode_request(request, catalogue)
  local user, message, code = self.program:request("user", request.user or {})
  if not user then return nil, message, code end
  local events, moment
  events, message, code = events_of(self, request.items or {}, catalogue.index)
  if not events then return nil, message, code end
  moment, message, code = self.program:request("event", moment_of(self, request), catalogue.features,
    events.rows, events.times, events.weights, events.marks, math.tointeger(request.time))
  if not moment then return nil, message, code end
  return user, moment
end

-- What it is --------------------------------------------------------------------------------------------------------

--- What the program's JSON says of each output, by name.
local function facts_of(self)
  local facts, decoded = {}, json.decode((self.program:save()))
  for _, side in pairs(decoded.sides) do
    for _, output in ipairs(side.outputs) do facts[output.name] = output end
  end
  return facts
end

--- What a side puts out, for a model to build its layers by: codes i32 [n] below `rows`, bags of them, numbers f32 [n,
--- width]. Inputs of one table are meant to share an embedding; `pair` is the other side of a relative time, `of` the
--- output that weights and gaps stand beside, `length` of a history the number of events that it reads.
---@param side "user"|"event"|"item"
---@return { name: string, kind: "codes"|"bag"|"numbers"|"weights", feature: string, table: string?, rows: integer?,
---  width: integer?, pair: string?, of: string?, length: integer? }[]
function Encoder:inputs(side)
  local facts, list = facts_of(self), {}
  for i, output in ipairs(self.program:outputs(side)) do
    local fact = facts[output.name]
    local input = { name = output.name, kind = output.kind, feature = fact.feature, pair = fact.pair }
    if output.kind == "numbers" then
      input.width = output.width
    elseif output.kind ~= "weights" then
      input.rows, input.table = output.rows, fact.table or output.table or output.name
    end
    input.length = fact.learned and math.tointeger(fact.learned.length)
    input.each = fact.learned and math.tointeger(fact.learned.each)
    if fact.of and fact.of:find(side .. ".", 1, true) == 1 then input.of = fact.of end
    list[i] = input
  end
  return list
end

---@param name string  a table
---@return Vocabulary?  nil for tables of hashes, buckets and time parts, which hold no strings
function Encoder:vocabulary(name)
  return self.program:vocabulary(name)
end

--- Occurrences in training by code: at 0 (the first element) those left out or missing.
---@param name string  a table with a vocabulary, else nil
---@return Tensor?  i64 [1 + n]
function Encoder:counts(name)
  local _, tensors = self.program:save()
  return tensors["table." .. name .. ".counts"]
end

--- What each feature became: as data and as aligned text. `missing` is the share of training rows without a value,
--- `unknown` that of occurrences with code 0, `top` the most frequent values, `learned` what else the fit found out.
---@return { name: string, feature: string, kind: string, table: string?, size: integer, missing: number?,
---  unknown: number?, top: { value: string, count: integer }[]?, learned: table<string, number|string>? }[]
---@return string
function Encoder:describe()
  local facts, list = facts_of(self), {}
  for _, side in ipairs { "user", "event", "item" } do
    for _, input in ipairs(self:inputs(side)) do
      list[#list + 1] = describe.entry(self, input, facts[input.name])
    end
  end
  return list, describe.text(list)
end

store.class("recsys.feature.encoder", Encoder, function(self) return self:save() end,
  function(saved) return assert(encoder.load(saved.json, saved.tensors)) end)

return encoder

--- The encoder: a fitted program, applied to tables, to interactions and to requests.

local core = require("recsys.core").feature
local fit = require "recsys.feature.fit"
local frame = require "recsys.frame"
local json = require "recsys.json"
local tensor = require "recsys.tensor"
local text = require "recsys.text"

local encoder = {}

local Encoder = {}
Encoder.__index = Encoder

--- An encoder from the two parts that save() gives; nil, message, code when they are damaged.
function encoder.load(text_of_program, tensors)
  local program, message, code = core.program(text_of_program, tensors)
  if not program then return nil, message, code end
  return setmetatable({ program = program }, Encoder)
end

function Encoder:save()
  local text_of_program, tensors = self.program:save()
  return { json = text_of_program, tensors = tensors }
end

function Encoder:close()
  self.program:close()
end

Encoder.__close = Encoder.close

function Encoder:__tostring()
  local function n(side) return #self.program:outputs(side) end
  return ("Encoder [%d user, %d event, %d item outputs]"):format(n "user", n "event", n "item")
end

-- Whole tables and interactions -------------------------------------------------------------------------------------

function Encoder:encode_users(users)
  return self.program:run("user", users)
end

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

--- Per-user sequences of item rows over the interactions at 'log' (nil: all), oldest first.
function encoder.sequences(dataset, options)
  local at = fit.rows(dataset)
  return core.new_history(dataset.users:rows(), dataset.items:rows(), at.users, at.items,
    (dataset.interactions:column "time"), options and options.log)
end

--- The event side over a frame of moments of users; 'orders' settles ties.
local function encode_moments(self, dataset, moments, users, orders, options)
  local items = options.items or self:encode_items(dataset.items)
  local history = options.history or encoder.sequences(dataset, options)
  return self.program:run("event", moments, items, history, users, (moments:column "time"), orders)
end

function Encoder:encode_events(dataset, rows, options)
  options = options or {}
  local ties = check_options(options, "encode_events")
  local moments = rows and dataset.interactions:filter(rows) or dataset.interactions
  local orders = ties == "order" and (rows or core.range(dataset.interactions:rows())) or nil
  return encode_moments(self, dataset, moments, fit.rows(dataset, rows).users, orders, options)
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

--- One time, or a tensor of them, for n users.
local function times_for(dataset, n, time)
  if type(time) == "userdata" then return time end
  time = time or after_all(dataset.interactions)
  return tensor.from_string(string.pack("=i8", time):rep(n), "i64", n)
end

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
function Encoder:catalogue(items)
  return { index = core.index(items, "item"), features = self:encode_items(items) }
end

local function rows_of(ids, index)
  if #ids == 0 then return tensor.zeros(0, "i32") end
  local rows = {}
  for i, id in ipairs(ids) do rows[i] = index:code(id) - 1 end
  return tensor.new(rows, "i32")
end

function Encoder:encode_request(request, catalogue)
  local event = { time = request.time }
  for key, value in pairs(request.event or {}) do event[key] = value end
  local user, message, code = self.program:request("user", json.encode(request.user or {}))
  if not user then return nil, message, code end
  local rows = rows_of(request.items or {}, catalogue.index)
  local moment
  moment, message, code = self.program:request("event", json.encode(event), catalogue.features, rows)
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

function Encoder:inputs(side)
  local facts, list = facts_of(self), {}
  for i, output in ipairs(self.program:outputs(side)) do
    local fact = facts[output.name]
    local input = { name = output.name, kind = output.kind, feature = fact.feature, pair = fact.pair }
    if output.kind == "numbers" then
      input.width = output.width
    else
      input.rows, input.table = output.rows, fact.table or output.table or output.name
    end
    list[i] = input
  end
  return list
end

function Encoder:vocabulary(name)
  return self.program:vocabulary(name)
end

function Encoder:counts(name)
  local _, tensors = self.program:save()
  return tensors["table." .. name .. ".counts"]
end

--- The share of a table's occurrences in training that its vocabulary left out or that had no value.
local function unknown_share(counts)
  if not counts then return nil end
  local all, list = 0, counts:tolist()
  for _, n in ipairs(list) do all = all + n end
  return all > 0 and list[1] / all or 0
end

local function percent(x)
  return x and ("%.1f %%"):format(100 * x) or ""
end

local function as_text(list)
  local rows = { { "feature", "is", "codes or width", "missing", "code 0" } }
  for _, entry in ipairs(list) do
    rows[#rows + 1] = { entry.name, entry.feature or entry.kind, text.count(entry.size), percent(entry.missing),
      percent(entry.unknown) }
  end
  return text.columns(rows)
end

function Encoder:describe()
  local facts, list = facts_of(self), {}
  for _, side in ipairs { "user", "event", "item" } do
    for _, input in ipairs(self:inputs(side)) do
      list[#list + 1] = { name = input.name, feature = input.feature, kind = input.kind, table = input.table,
        size = input.rows or input.width, missing = facts[input.name].missing,
        unknown = input.table and unknown_share(self:counts(input.table)) }
    end
  end
  return list, as_text(list)
end

return encoder

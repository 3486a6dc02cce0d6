--- One row a user and item out of a log of events: how much each says, combined, with what was taken back left out.

local frame = require "recsys.frame"
local tensor = require "recsys.tensor"
local to_ms = require("recsys.text").span

local col = frame.col

local DEFAULTS = { combine = "max" }
local KNOWN = { strengths = true, takes_back = true, combine = true, half_life = true, at = true, keep = true }
local COMBINES = { max = true, sum = true, last = true }

local function refuse(...) error("bad argument #2 to 'engagements' (" .. (...):format(select(2, ...)) .. ")", 3) end

local function check(options)
  for name in pairs(options) do
    if not KNOWN[name] then refuse("there is no option '%s'", tostring(name)) end
  end
  if type(options.strengths) ~= "table" or not next(options.strengths) then
    refuse "strengths must map event types to numbers"
  end
  for name, strength in pairs(options.strengths) do
    if type(name) ~= "string" or type(strength) ~= "number" then refuse "strengths must map event types to numbers" end
  end
  if options.combine and not COMBINES[options.combine] then
    refuse("combine must be \"max\", \"sum\" or \"last\", not '%s'", tostring(options.combine))
  end
  if options.half_life and (to_ms(options.half_life) or 0) <= 0 then
    refuse("half_life must be a span of time such as \"14d\", not '%s'", tostring(options.half_life))
  end
  if options.half_life and not options.at then
    refuse "half_life needs at, the time from which strengths are seen: it is never the clock's"
  end
end

--- The moment from which decay is seen: ISO 8601 text, ms, or "last", that of the last event.
local function moment(at, events)
  if at == "last" then return events:rows() > 0 and events:value("time", events:rows()) or 0 end
  local ms = math.type(at) == "integer" and at or type(at) == "string" and frame.parse_time(at)
  if not ms then refuse("at must be a time or \"last\", not '%s'", tostring(at)) end
  return ms
end

--- Without the events that a later one of the same user and item takes back. Events are in order, column "number".
local function without_taken_back(events, takes_back)
  local undone = {}
  for undo in pairs(takes_back or {}) do undone[#undone + 1] = undo end
  table.sort(undone)
  for _, undo in ipairs(undone) do
    local undos = events:filter(events:where("event", "==", undo)):select { "user", "item", "number" }
    if undos:rows() > 0 then
      local done = takes_back[undo]
      local candidates = events:filter(events:where("event", "in", type(done) == "table" and done or { done }))
      local taken = candidates:asof(undos:rename { number = "undone_by" },
        { on = { number = "undone_by" }, by = { "user", "item" }, direction = "forward" })
      events = events:join(taken:filter(col "undone_by":present()), "number", "anti")
    end
  end
  return events
end

local function aggregations(events, options)
  local list = { { "time", "first", "time" }, { "event", "first", "event" },
    { "strength", options.combine or DEFAULTS.combine, "strength" } }
  for _, name in ipairs(options.keep or {}) do
    events:type(name)
    list[#list + 1] = { name, "first", name }
  end
  list[#list + 1] = { "events", "count" }
  return list
end

---@class EngagementOptions
---@field strengths table<string, number>  event type -> what one such event says; other types say nothing
---@field takes_back? table<string, string|string[]>  an event type -> those of the same user and item before it that
---  it takes back; those after it count
---@field combine? "max"|"sum"|"last"  of a user's events with an item; default "max"
---@field half_life? string|integer    an event's strength halves in this time before `at`; later events count whole
---@field at? string|integer           a time, or "last": that of the last event; needed with half_life
---@field keep? string[]               columns to keep as they were at the first engagement

--- One row for each user and item that engaged, in order of time: `user`, `item`, `time` and `event` of the first
--- engagement, `strength`, the columns of `keep`, and `events`, how many were combined.
---@param events Frame  user, item, event (strings), time; rows that miss one are left out
---@param options EngagementOptions
---@return Frame
---@return { taken_back: integer, other_events: integer } counts  events taken back; events that say nothing
return function(events, options)
  check(options)
  local types, silent = {}, {}
  for name in pairs(options.strengths) do types[#types + 1] = name end
  table.sort(types)
  for i, name in ipairs(types) do silent[i] = name end
  for undo in pairs(options.takes_back or {}) do silent[#silent + 1] = undo end
  local ordered = events:filter(events:where("time", "present")):sort "time"
  ordered = ordered:with("number", "number", tensor.arange(ordered:rows()))
  local counts = { other_events = #ordered:where("event", "not in", silent) }
  local known = without_taken_back(ordered, options.takes_back)
  known = known:filter(known:where("event", "in", types))
  counts.taken_back = #ordered:where("event", "in", types) - known:rows()
  local strength = col "event":map_texts(function(name) return options.strengths[name] end, "number")
  if options.half_life then
    local age = frame.greatest(frame.time(moment(options.at, ordered)) - col "time", 0)
    strength = strength * frame.lit(0.5) ^ (age / to_ms(options.half_life))
  end
  known = known:filter(col "user":present() & col "item":present()):derive { strength = strength }
  return known:group_by({ "user", "item" }, aggregations(known, options)), counts
end

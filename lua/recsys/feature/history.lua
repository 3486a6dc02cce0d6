--- The user's last events before this one, newest first, as a bag of codes of an item-side feature; beside each code,
--- where asked for, the event's weight, how long after the user's event before it it came, and of which kind it was.

local json = require "recsys.json"
local past = require "recsys.feature.past"
local tensor = require "recsys.tensor"
local text = require "recsys.text"

local function edges_of(spans)
  local edges = {}
  for i, span in ipairs(spans) do edges[i] = text.span(span) end
  return tensor.new(edges, "f64")
end

--- The filters of the kinds of events, one a value.
local function filters_of(kinds, program)
  local filters = {}
  for i, value in ipairs(kinds.values) do
    filters[i] = program:filter { { column = kinds.column, values = { value } } }
  end
  return json.list(filters)
end

--- Kinds as codes to learn from, or as what each counts where that is given.
local function put_kinds(d, side, slices, program)
  local given = d.kinds.weights
  local name = d.name .. (given and "_weight" or "_kind")
  local step = side:step(given and "window_kind_weights" or "window_kinds", nil, { of = slices.of,
    length = slices.length, unknown = slices.unknown, each = slices.each, filters = filters_of(d.kinds, program),
    weights = given and json.list(given) })
  side:output(name, step, { feature = d.kind, of = "event." .. d.name,
    table = not given and "event." .. name or nil,
    learned = { kinds = table.concat(d.kinds.values, " ") } })
end

return {
  side = "event",
  reads = "events strictly before",
  stateful = true,
  options = { of = "text", length = "positive", unknown = { "keep", "drop" }, weight = "text", gaps = "spans",
    kinds = "kinds", each = "positive" },
  defaults = { name = "history", length = 50, unknown = "drop" },
  required = { "of" },
  check = function(given)
    if given.each and (given.each > 64 or given.unknown ~= "keep") then
      return "option 'each' is at most 64, with unknown = \"keep\": so many codes of each event"
    end
    local _, kinds = next(given.kinds or {})
    if given.weight and kinds and #kinds == 0 then
      return "option 'kinds' has numbers and 'weight' names a column: an event can have one weight"
    end
  end,
  columns = function(d)
    local list = {}
    if d.weight then list[#list + 1] = { "event", d.weight } end
    if d.kinds then list[#list + 1] = { "event", d.kinds.column } end
    return list
  end,
  build = function(d, sides, source)
    local item, side = past.item_feature(d, d.of, source), sides.event
    local slices = { of = item.output, length = d.length, unknown = d.unknown, each = d.each }
    side:output(d.name, side:step("window", nil, slices), { feature = d.kind, table = item.table, of = item.output,
      learned = { length = d.length, each = d.each } })
    if d.weight then
      source.program:weigh(d.weight)
      side:output(d.name .. "_weight", side:step("window_weights", nil, slices),
        { feature = d.kind, of = "event." .. d.name })
    end
    if d.gaps then
      slices.edges = "edges.event." .. d.name .. "_gap"
      source.program.tensors[slices.edges] = edges_of(d.gaps)
      side:output(d.name .. "_gap", side:step("window_gaps", nil, slices),
        { feature = d.kind, table = "event." .. d.name .. "_gap", of = "event." .. d.name })
    end
    if d.kinds then put_kinds(d, side, slices, source.program) end
  end,
}

--- The user's last events before this one, newest first, as a bag of codes of an item-side feature; beside each code,
--- where asked for, the event's weight and how long after the user's event before it it came.

local past = require "recsys.feature.past"
local tensor = require "recsys.tensor"
local text = require "recsys.text"

local function edges_of(spans)
  local edges = {}
  for i, span in ipairs(spans) do edges[i] = text.span(span) end
  return tensor.new(edges, "f64")
end

return {
  side = "event",
  reads = "events strictly before",
  stateful = true,
  options = { of = "text", length = "positive", unknown = { "keep", "drop" }, weight = "text", gaps = "spans" },
  defaults = { name = "history", length = 50, unknown = "drop" },
  required = { "of" },
  columns = function(d)
    return d.weight and { { "event", d.weight } } or {}
  end,
  build = function(d, sides, source)
    local item, side = past.item_feature(d, d.of, source), sides.event
    local slices = { of = item.output, length = d.length, unknown = d.unknown }
    side:output(d.name, side:step("window", nil, slices), { feature = d.kind, table = item.table, of = item.output,
      learned = { length = d.length } })
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
  end,
}

--- The share of a user's (on the item side: an item's) events in a trailing window that are of a kind, drawn towards
--- the share among all training events: (n + prior p) / (m + prior), n of the m events. A user without events has p.

local core = require("recsys.core").feature
local past = require "recsys.feature.past"
local program = require "recsys.feature.program"
local text = require "recsys.text"

--- Training events that pass the filter of both, and of `among` alone.
local function training_share(d, frame, rows)
  local probe <close> = assert(core.program(program.encode(past.probe(d)), {}))
  local marks = probe:marks(rows and frame:filter(rows) or frame)
  local both, among = 0, #marks
  if d.among then
    local bits = marks:tolist()
    among = 0
    for _, mark in ipairs(bits) do
      both, among = both + (mark & 1), among + (mark >> 1 & 1)
    end
  else
    both = marks:sum()
  end
  return among > 0 and both / among or 0
end

--- What `where` and `among` say together.
local function both(d)
  local conditions = {}
  for _, list in ipairs { d.where, d.among } do
    for _, condition in ipairs(list or {}) do conditions[#conditions + 1] = condition end
  end
  return conditions
end

return {
  sides = { "event", "item" },
  reads = "events strictly before, and training rows for the prior",
  stateful = true,
  options = { of = { "user", "item" }, window = "span", where = "where", among = "where", prior = "above",
    period = "span" },
  defaults = { window = "7d", prior = 10, period = "1d" },
  required = { "where" },
  settle = function(d)
    past.settle(d, "rate")
  end,
  columns = past.columns,
  build = function(d, sides, source)
    local side, frame, rows = sides[d.side], source.dataset.interactions, source.training.event.occurrences
    past.settle_period(d, source)
    local span, share = text.span(d.window), training_share(d, frame, rows)
    local n = side:step("count", nil, { span = span, filter = source.program:filter(both(d)) })
    local m = side:step("count", nil, { span = span, filter = source.program:filter(d.among) })
    local ratio = side:step("ratio", { n, m }, { prior = share, weight = d.prior })
    side:output(d.name, side:step("stack", side:step("impute", ratio, { value = share })), { feature = d.kind,
      learned = { window = d.window, where = past.words(d.where), among = past.words(d.among), share = share } })
  end,
}

--- How long ago an item was made, in a form that a dot product can read: waves of the item's time on the item side and
--- of the event's time on the event side, period twice the window.

local text = require "recsys.text"

return {
  reads = "the row itself",
  options = { item = "text", event = "text", window = "text", harmonics = "positive" },
  defaults = { name = "relative_time", item = "created", event = "time", window = "7d", harmonics = 8 },
  check = function(given)
    if given.window and (text.span(given.window) or 0) <= 0 then
      return ("option 'window' is '%s', not a number and s, m, h, d or w, like 7d"):format(given.window)
    end
    if given.harmonics and given.harmonics > 256 then return "at most 256 harmonics are served" end
  end,
  columns = function(d)
    return { { "item", d.item }, { "event", d.event } }
  end,
  build = function(d, sides)
    local period = 2 * text.span(d.window)
    local other = { item = "event", event = "item" }
    for name, pair in pairs(other) do
      local side = sides[name]
      side:output(d.name, side:step("fourier", side:read(d[name], "number"),
        { period = period, harmonics = d.harmonics }), { feature = d.kind, pair = pair .. "." .. d.name,
        learned = { window = d.window } })
    end
  end,
}

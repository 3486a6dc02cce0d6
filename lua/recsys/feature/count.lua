--- How many events came in a trailing window: of the user before the moment, or for each code of an item feature ("of
--- what he read how much"); on the item side of the item, before the start of the moment's period.

local past = require "recsys.feature.past"
local text = require "recsys.text"

local scales = { log = "log", none = "none", share = "share" }

--- One number a moment, or one for each code of the item feature that `of` names behind "user".
local function step_of(d, side, source)
  local parameters = { span = text.span(d.window), filter = source.program:filter(d.where) }
  local _, of = past.subject(d)
  if not of then return side:step("count", nil, parameters) end
  local item = past.item_feature(d, of, source)
  parameters.of, parameters.scale = item.output, scales[d.transform]
  return side:step("profile", nil, parameters), item.output
end

return {
  sides = { "event", "item" },
  reads = "events strictly before",
  stateful = true,
  options = { of = "subject", window = "span", where = "where", transform = { "log", "none", "share" },
    period = "span" },
  defaults = { window = "7d", transform = "log", period = "1d" },
  check = function(given)
    local _, of = past.subject(given)
    if given.transform == "share" and not of then return "transform = \"share\" is for of = { \"user\", feature }" end
  end,
  settle = function(d)
    past.settle(d, "count")
  end,
  columns = past.columns,
  build = function(d, sides, source)
    local side = sides[d.side]
    past.settle_period(d, source)
    local step, of = step_of(d, side, source)
    if not of then
      if d.transform == "log" then step = side:step("log", step) end
      step = side:step("stack", side:step("impute", step, { value = 0 }))
    end
    side:output(d.name, step, { feature = d.kind, of = of,
      learned = { window = d.window, where = past.words(d.where),
        period = d.side == "item" and d.period or nil } })
  end,
}

--- How many events came in a trailing window before the moment: of the user, or for each code of an item feature ("of
--- whom he read what").

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
  side = "event",
  reads = "events strictly before",
  stateful = true,
  options = { of = "subject", window = "span", where = "where", transform = { "log", "none", "share" } },
  defaults = { of = "user", window = "7d", transform = "log" },
  check = function(given)
    local _, of = past.subject(given)
    if given.transform == "share" and not of then return "transform = \"share\" is for of = { \"user\", feature }" end
  end,
  settle = function(d)
    local _, of = past.subject(d)
    d.name = d.name or ("count%s_%s"):format(of and "_" .. of or "", d.window)
  end,
  columns = past.columns,
  build = function(d, sides, source)
    local side = sides[d.side]
    local step, of = step_of(d, side, source)
    if not of then
      if d.transform == "log" then step = side:step("log", step) end
      step = side:step("stack", side:step("impute", step, { value = 0 }))
    end
    side:output(d.name, step, { feature = d.kind, of = of,
      learned = { window = d.window, where = past.words(d.where) } })
  end,
}

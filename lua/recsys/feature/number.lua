--- A quantity, standardised by the mean and deviation of training rows; a missing one becomes the mean, and where
--- training saw missing values a second column says so. Standardised values are clamped: one absurd value in a
--- request must not drown a model.
local core = require("recsys.core").feature

local LIMIT = 10

return {
  column = true,
  options = { transform = { "standard", "log", "none" } },
  defaults = { transform = "standard" },
  build = function(d, sides, source)
    local side, frame, rows = sides[d.side], source:rows(d)
    local mean, deviation, missing, n = core.moments(frame, d.column, rows, d.transform == "log")
    local raw = side:read(d.column, "number")
    local value = d.transform == "log" and side:step("log", raw) or raw
    if d.transform == "none" then
      value = side:step("clamp", side:step("impute", value, { value = mean }), { low = -1e30, high = 1e30 })
    else
      local scale = deviation > 0 and 1 / deviation or 1
      value = side:step("affine", value, { scale = scale, shift = -mean * scale })
      value = side:step("clamp", side:step("impute", value, { value = 0 }), { low = -LIMIT, high = LIMIT })
    end
    local columns = missing > 0 and { value, side:step("missing", raw) } or { value }
    side:output(d.name, side:step("stack", columns), { feature = d.kind, missing = n > 0 and missing / n or 0 })
  end,
}

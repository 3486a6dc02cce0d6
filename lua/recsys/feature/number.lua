--- A quantity, scaled by what training rows hold: mean and deviation, or median and quartiles. A missing one becomes
--- the mean, the median or a constant, and where training saw missing values a second column says so. Scaled values are
--- clamped: one absurd value in a request must not drown a model.
local core = require("recsys.core").feature

local LIMIT = 10

local function signed_log(x)
  return (x < 0 and -1 or 1) * math.log(1 + math.abs(x))
end

--- Centre and scale of the values (after the logarithm, if any) at the training rows; 0 and 1 for "none".
local function scaling(d, frame, rows, log)
  local mean, deviation, missing, n = core.moments(frame, d.column, rows, log)
  local middle, low, high = 0, 0, 0
  if d.transform == "robust" or d.impute == "median" then
    middle, low, high = core.percentiles(frame, d.column, rows, { 0.5, 0.25, 0.75 }, log)
    if middle ~= middle then middle, low, high = 0, 0, 0 end
  end
  local robust = d.transform == "robust"
  local spread = robust and high - low or deviation
  return { centre = robust and middle or mean, scale = spread > 0 and 1 / spread or 1, mean = mean, median = middle,
    missing = n > 0 and missing / n or 0 }
end

--- What a missing value becomes before it is scaled.
local function filling(d, learned, log)
  if type(d.impute) == "number" then return log and signed_log(d.impute) or d.impute end
  return learned[d.impute or d.transform == "robust" and "median" or "mean"]
end

return {
  column = true,
  reads = "training rows",
  options = { transform = { "standard", "robust", "log", "none" }, impute = "filling" },
  defaults = { transform = "standard" },
  build = function(d, sides, source)
    local side, frame, rows = sides[d.side], source:rows(d)
    local log = d.transform == "log"
    local learned = scaling(d, frame, rows, log)
    local raw = side:read(d.column, "number")
    local value = log and side:step("log", raw) or raw
    if d.transform == "none" then
      value = side:step("impute", value, { value = filling(d, learned, log) })
      value = side:step("clamp", value, { low = -1e30, high = 1e30 })
    else
      local scale, shift = learned.scale, -learned.centre * learned.scale
      value = side:step("affine", value, { scale = scale, shift = shift })
      value = side:step("impute", value, { value = filling(d, learned, log) * scale + shift })
      value = side:step("clamp", value, { low = -LIMIT, high = LIMIT })
    end
    local columns = learned.missing > 0 and { value, side:step("missing", raw) } or { value }
    side:output(d.name, side:step("stack", columns), { feature = d.kind, missing = learned.missing,
      learned = { centre = learned.centre, spread = 1 / learned.scale } })
  end,
}

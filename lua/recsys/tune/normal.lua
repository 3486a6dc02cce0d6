--- The standard normal distribution, as Parzen estimators need it.

local exp, log, sqrt = math.exp, math.log, math.sqrt

local normal = {}

local LOG_ROOT_2_PI <const> = 0.5 * log(2 * math.pi)
local NARROW <const> = 1e-2 -- widths below are taken as flat: differences of areas would lose their digits

--- 1 - erf(x) for x >= 0 with a relative error below 1.2e-7 everywhere (Press et al., Numerical Recipes, 6.2).
local function erfc(x)
  local t = 1 / (1 + 0.5 * x)
  return t * exp(-x * x - 1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418 + t * (-0.18628806
    + t * (0.27886807 + t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277)))))))))
end

--- The area above x.
local function above(x)
  local area = 0.5 * erfc(math.abs(x) / sqrt(2))
  return x >= 0 and area or 1 - area
end

--- The logarithm of the density at x.
function normal.log_density(x) return -0.5 * x * x - LOG_ROOT_2_PI end

--- The logarithm of the area between a and b, a < b.
function normal.log_area(a, b)
  if a + b < 0 then a, b = -b, -a end -- above 0 areas keep their digits
  if b - a < NARROW then return normal.log_density((a + b) / 2) + log(b - a) end
  local area = a >= 0 and above(a) - above(b) or 1 - above(-a) - above(b)
  return area > 0 and log(area) or normal.log_density(a) - log(math.max(a, 1))
end

return normal

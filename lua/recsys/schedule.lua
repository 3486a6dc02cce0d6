--- Learning rates by step. A schedule is a function: the step (from 1) -> the rate for it.
---
---     local rate = schedule.warmup_cosine { peak = 1e-3, warmup = 100, total = 2000 }
---     opt:set_learning_rate(rate(step))
local schedule = {}

--- The same rate at every step.
---@param rate number 0 or more
---@return fun(step: integer): number
function schedule.constant(rate)
  assert(type(rate) == "number" and rate >= 0, "constant: the rate must be a number, 0 or more")
  return function() return rate end
end

local function check_count(name, value, least)
  if math.type(value) ~= "integer" or value < least then
    error(("warmup_cosine: %s must be an integer, %d or more"):format(name, least), 3)
  end
end

--- Linear from peak / warmup at step 1 to peak at step `warmup`, then half a cosine down to `floor` at step `total`,
--- and `floor` from there on. Loshchilov & Hutter 2017, arXiv:1608.03983, without restarts.
---@param options { peak: number, warmup?: integer, total: integer, floor?: number }
---   peak: the highest rate; warmup: steps of the rise, default 0; total: steps in all; floor: default 0
---@return fun(step: integer): number
function schedule.warmup_cosine(options)
  local peak, warmup, total, floor = options.peak, options.warmup or 0, options.total, options.floor or 0
  if type(peak) ~= "number" or peak < 0 then error("warmup_cosine: peak must be a number, 0 or more", 2) end
  check_count("warmup", warmup, 0)
  check_count("total", total, 1)
  if warmup >= total then error("warmup_cosine: warmup must be less than total", 2) end
  return function(step)
    if step <= warmup then return peak * step / warmup end
    if step >= total then return floor end
    local progress = (step - warmup) / (total - warmup)
    return floor + (peak - floor) * (1 + math.cos(math.pi * progress)) / 2
  end
end

return schedule

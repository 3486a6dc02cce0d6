--- The learning-rate range test of Smith 2017 (arXiv:1506.01186): some steps with a rate that grows from step to step
--- by the same factor; where the loss falls fastest is a good peak for a schedule, where it turns up is too much.

local text = require "recsys.text"

local finder = {}

local DECAY <const> = 0.9    -- of the moving average that tells when the loss diverges
local DIVERGED <const> = 4   -- times the least of it so far at which the sweep ends
local LEAST_STEPS <const> = 20

--- The slope of y over log10 of the rates around i, by least squares over 2 w + 1 points.
local function slope_at(rates, y, i, w)
  local n, sx, sy, sxx, sxy = 0, 0, 0, 0, 0
  for k = math.max(1, i - w), math.min(#y, i + w) do
    local x = math.log(rates[k], 10)
    n, sx, sy, sxx, sxy = n + 1, sx + x, sy + y[k], sxx + x * x, sxy + x * y[k]
  end
  return (n * sxy - sx * sy) / (n * sxx - sx * sx)
end

--- Averages of the losses around each step, nearer ones counting more: unlike a moving one it lags behind nothing.
local function smoothed(losses, w)
  local smooth = {}
  for i = 1, #losses do
    local sum, weights = 0, 0
    for k = math.max(1, i - w), math.min(#losses, i + w) do
      local weight = w + 1 - math.abs(k - i)
      sum, weights = sum + weight * losses[k], weights + weight
    end
    smooth[i] = sum / weights
  end
  return smooth
end

--- Where the smoothed loss falls fastest, and where it is least.
local function read(swept)
  local rates = swept.rates
  local w = math.max(2, #rates // 20)
  local smooth = smoothed(swept.losses, w)
  swept.smooth = smooth
  local least = 1
  for i = 1, #smooth do
    if smooth[i] < smooth[least] then least = i end
  end
  local best, steepest
  for i = LEAST_STEPS // 2, least do
    local slope = slope_at(rates, smooth, i, w)
    if slope < (best or 0) then best, steepest = slope, i end
  end
  swept.least = rates[least]
  swept.suggestion = steepest and rates[steepest] or nil
  return swept
end

--- Sweep. The first steps have too small a rate to matter: they show the level of the beginning.
---@param take fun(step: integer, rate: number): number?  takes a step, gives the loss before it; nil: it is no number
---@param options? { from?: number, to?: number, steps?: integer }  default 1e-6, 10, 120
---@return { rates: number[], losses: number[], smooth: number[], least: number, suggestion: number?,
---   diverged: boolean }
---   suggestion: where the smoothed loss falls fastest; nil when it does not fall; least: where it is least
function finder.sweep(take, options)
  options = options or {}
  local from, to, steps = options.from or 1e-6, options.to or 10, options.steps or 120
  if not (from > 0 and to > from and steps >= LEAST_STEPS) then
    error(("bad argument #2 to 'sweep' (0 < from < to and at least %d steps are needed)"):format(LEAST_STEPS), 2)
  end
  local swept = { rates = {}, losses = {}, diverged = false }
  local average, least, first = 0, math.huge, nil
  for i = 1, steps do
    local rate = from * (to / from) ^ ((i - 1) / (steps - 1))
    local loss = take(i, rate)
    if not loss or loss - loss ~= 0 then swept.diverged = true break end
    swept.rates[i], swept.losses[i] = rate, loss
    average = DECAY * average + (1 - DECAY) * loss
    local now = average / (1 - DECAY ^ i)
    first, least = first or now, math.min(least, now)
    -- Losses below 0 exist (a logarithm of a density): measured from the level of the beginning, then.
    local level = least > 0 and DIVERGED * least or first + math.abs(first - least)
    if i > LEAST_STEPS // 2 and now > level then swept.diverged = true break end
  end
  if #swept.rates < LEAST_STEPS // 2 then
    error({ code = "numeric", message = ("the loss diverges at once, with a learning rate of %g"):format(from) }, 0)
  end
  return read(swept)
end

-- For people ---------------------------------------------------------------------------------------------------------

local function shown(rate) return ("%.1e"):format(rate) end

--- About 'count' of the sweep's steps, evenly spaced, as a table.
local function lines_of(swept, count)
  local lines, n = { ("  %-10s %10s %10s"):format("rate", "loss", "smoothed") }, #swept.rates
  local last = 0
  for k = 1, count do
    local i = math.max(1, math.floor(n * k / count + 0.5))
    if i > last then
      lines[#lines + 1] = ("  %-10s %10.4f %10.4f"):format(shown(swept.rates[i]), swept.losses[i], swept.smooth[i])
    end
    last = i
  end
  return lines
end

--- The loss over the logarithm of the rate, in letters: 'o' marks the suggestion.
local function chart_of(swept, width, height)
  local low = math.huge
  for _, y in ipairs(swept.smooth) do low = math.min(low, y) end
  local high = swept.smooth[1] + 0.25 * math.max(swept.smooth[1] - low, 1e-9) -- what lies above is the divergence
  local rows, n = {}, #swept.smooth
  for r = 1, height do rows[r] = (" "):rep(width) end
  for c = 1, width do
    local i = 1 + math.floor((c - 1) / (width - 1) * (n - 1) + 0.5)
    local share = (swept.smooth[i] - low) / math.max(high - low, 1e-300)
    local r = height - math.floor(math.max(0, math.min(1, share)) * (height - 1) + 0.5)
    local marked = swept.suggestion and math.abs(math.log(swept.rates[i] / swept.suggestion))
      <= 0.5 * math.log(swept.rates[n] / swept.rates[1]) / (width - 1)
    rows[r] = rows[r]:sub(1, c - 1) .. (marked and "o" or "*") .. rows[r]:sub(c + 1)
  end
  local lines = {}
  for r = 1, height do
    local y = r == 1 and high or r == height and low
    lines[r] = ("  %8s |%s"):format(y and ("%.4g"):format(y) or "", rows[r]:gsub("%s+$", ""))
  end
  lines[#lines + 1] = ("  %8s +%s"):format("", ("-"):rep(width))
  lines[#lines + 1] = ("  %8s  %s%s%s"):format("", shown(swept.rates[1]),
    (" "):rep(math.max(1, width - #shown(swept.rates[1]) - #shown(swept.rates[n]))), shown(swept.rates[n]))
  return lines
end

--- What was found, in a sentence.
---@return string
function finder.verdict(swept)
  if not swept.suggestion then
    return "The loss does not fall at any of these rates: more steps are needed, or another range."
  end
  local beyond = swept.diverged and ("; beyond %.2g it diverges"):format(swept.rates[#swept.rates]) or ""
  return ("The loss falls fastest at %.2g and is least at %.2g%s. Suggested: train.learning_rate=%.2g"):format(
    swept.suggestion, swept.least, beyond, swept.suggestion)
end

--- Chart, table and verdict for a terminal.
---@return string
function finder.text(swept)
  local lines = chart_of(swept, 60, 12)
  lines[#lines + 1] = ""
  table.move(lines_of(swept, 12), 1, 13, #lines + 1, lines)
  lines[#lines + 1] = ""
  lines[#lines + 1] = finder.verdict(swept)
  return table.concat(lines, "\n")
end

--- The steps as CSV.
---@return string
function finder.csv(swept)
  local lines = { "rate,loss,smoothed" }
  for i, rate in ipairs(swept.rates) do
    lines[i + 1] = ("%.9g,%.9g,%.9g"):format(rate, swept.losses[i], swept.smooth[i])
  end
  return table.concat(lines, "\n") .. "\n"
end

--- A page with the curve, which fetches nothing; narrow, as a chart's letters grow with it.
---@param about string  what was trained
---@return string
function finder.page(swept, about)
  local chart, html = require "recsys.describe.chart", require "recsys.report.html"
  local out = {}
  html.writer(out)([[<h1>Learning rates</h1><p class="soft">%s, %s steps</p>
<section class="card"><figure>%S<figcaption>
<i class="key users"></i>loss of a step &ensp;<i class="key items"></i>smoothed
<p>%s</p></figcaption></figure></section>
]], about, text.count(#swept.rates), chart.rates(swept), finder.verdict(swept))
  return html.document("Learning rates", out[1], "main { max-width: 720px; } figcaption p { margin: 6px 0 0; }")
end

return finder

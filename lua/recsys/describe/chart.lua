--- Charts as inline SVG, without a script: their colours are classes of the page, so that they follow light and dark.
---
--- Sizes are those of a narrow column, so that letters stay legible on a phone; a wide screen shows them larger.

local draw = require "recsys.report.draw"
local words = require "recsys.describe.words"

local chart = { escape = draw.escape }

local escape, open, rect, text_at = draw.escape, draw.open, draw.rect, draw.text

--- A histogram, bars alone: bin i of counts is described by title(i).
---@param counts number[]
---@param class string
---@param title fun(i: integer): string
---@param label string
---@return string
function chart.histogram(counts, class, title, label)
  local width, height, most = 240, 64, 0
  for _, count in ipairs(counts) do most = math.max(most, count) end
  local out, step = { open(width, height, label) }, width / #counts
  local gap = #counts > 40 and 0.5 or 1.5
  for i, count in ipairs(counts) do
    local tall = most > 0 and count > 0 and math.max(1.2, count / most * (height - 2)) or 0
    out[#out + 1] = rect((i - 1) * step + gap / 2, height - tall, step - gap, tall, class, title(i))
  end
  out[#out + 1] = "</svg>"
  return table.concat(out)
end

-- The long tail -----------------------------------------------------------------------------------------------------

local plot = { width = 440, height = 280, left = 52, right = 14, top = 14, bottom = 38 }

local function power(k)
  local names = { [0] = "1", "10", "100", "1,000", "10,000", "100,000" }
  return names[k] or ("10^%d"):format(k)
end

--- Axes of two log scales with lines at powers of ten, as far as there are points.
local function log_axes(out, ranks, counts, x_at, y_at, x_name, y_name)
  for k = 0, math.floor(math.log(ranks, 10) + 1e-9) do
    local x = x_at(10 ^ k)
    out[#out + 1] = ('<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" class="grid"/>'):format(x, x, plot.top,
      plot.height - plot.bottom)
    out[#out + 1] = text_at(x, plot.height - plot.bottom + 15, power(k), "middle")
  end
  for k = 0, math.floor(math.log(counts, 10) + 1e-9) do
    local y = y_at(10 ^ k)
    out[#out + 1] = ('<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" class="grid"/>'):format(plot.left,
      plot.width - plot.right, y, y)
    out[#out + 1] = text_at(plot.left - 6, y + 4, power(k), "end")
  end
  out[#out + 1] = text_at((plot.left + plot.width - plot.right) / 2, plot.height - 6, x_name, "middle", "name")
  out[#out + 1] = draw.upwards(12, (plot.top + plot.height - plot.bottom) / 2, y_name, "name")
end

local function curve(out, series, x_at, y_at)
  local points, dots = {}, {}
  for i, rank in ipairs(series.rank) do
    local x, y = x_at(rank), y_at(series.count[i])
    points[i] = ("%.1f,%.1f"):format(x, y)
    dots[i] = ('<circle cx="%.1f" cy="%.1f" r="2.6" class="%s"><title>%s</title></circle>'):format(x, y, series.class,
      escape(("%s number %s has %s"):format(series.one, words.number(rank),
        words.count(series.count[i], "interaction"))))
  end
  out[#out + 1] = ('<polyline points="%s" class="line %s"/>'):format(table.concat(points, " "), series.class)
  out[#out + 1] = table.concat(dots)
end

--- Interactions by rank, both on log scales.
---@param all { one: string, class: string, rank: integer[], count: integer[] }[]
---@return string
function chart.long_tail(all)
  local ranks, counts = 10, 10
  for _, series in ipairs(all) do
    ranks = math.max(ranks, series.rank[#series.rank] or 1)
    counts = math.max(counts, series.count[1] or 1)
  end
  local function x_at(rank)
    return plot.left + math.log(rank, ranks) * (plot.width - plot.left - plot.right)
  end
  local function y_at(count)
    local bottom = plot.height - plot.bottom
    return bottom - math.log(count, counts) * (bottom - plot.top)
  end
  local out = { open(plot.width, plot.height, "interactions of users and items by their rank, on log scales") }
  log_axes(out, ranks, counts, x_at, y_at, "rank, the busiest first", "interactions")
  for _, series in ipairs(all) do curve(out, series, x_at, y_at) end
  out[#out + 1] = "</svg>"
  return table.concat(out)
end

-- The range test of learning rates ----------------------------------------------------------------------------------

--- Polyline of y over the rates; what lies above the plot is cut off at its top.
local function rates_line(rates, y, class, x_at, y_at)
  local points = {}
  for i, rate in ipairs(rates) do points[i] = ("%.1f,%.1f"):format(x_at(rate), y_at(y[i])) end
  return ('<polyline points="%s" class="line %s"/>'):format(table.concat(points, " "), class)
end

--- Losses, as they were and smoothed, over the logarithm of the learning rate.
---@param swept table  of recsys.train.rate_finder
---@return string
function chart.rates(swept)
  local rates, low = swept.rates, math.huge
  for _, y in ipairs(swept.smooth) do low = math.min(low, y) end
  local high = swept.smooth[1] + 0.25 * math.max(swept.smooth[1] - low, 1e-9)
  low = low - 0.1 * (high - low)
  local right, bottom = plot.width - plot.right, plot.height - plot.bottom
  local function x_at(rate)
    return plot.left + math.log(rate / rates[1]) / math.log(rates[#rates] / rates[1]) * (right - plot.left)
  end
  local function y_at(y)
    return bottom - math.max(0, math.min(1, (y - low) / (high - low))) * (bottom - plot.top)
  end
  local out = { open(plot.width, plot.height, "loss over learning rate, on a log scale") }
  for k = math.ceil(math.log(rates[1], 10) - 1e-9), math.floor(math.log(rates[#rates], 10) + 1e-9) do
    local x = x_at(10.0 ^ k)
    out[#out + 1] = ('<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" class="grid"/>'):format(x, x, plot.top, bottom)
    out[#out + 1] = text_at(x, bottom + 17, ("1e%d"):format(k), "middle")
  end
  for _, y in ipairs { low, (low + high) / 2, high } do
    local under = y == low and 0 or 4 -- the lowest stands clear of the first rate
    out[#out + 1] = text_at(plot.left - 6, y_at(y) + under, ("%.3g"):format(y), "end")
  end
  out[#out + 1] = rates_line(rates, swept.losses, "users", x_at, y_at)
  out[#out + 1] = rates_line(rates, swept.smooth, "items", x_at, y_at)
  if swept.suggestion then
    local x = x_at(swept.suggestion)
    out[#out + 1] = ('<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" class="line items"/>'):format(x, x, plot.top, bottom)
    out[#out + 1] = text_at(x - 4, plot.top + 10, ("%.2g"):format(swept.suggestion), "end", "name")
  end
  out[#out + 1] = text_at((plot.left + right) / 2, plot.height - 6, "learning rate", "middle", "name")
  out[#out + 1] = "</svg>"
  return table.concat(out)
end

-- Bars over time ----------------------------------------------------------------------------------------------------

--- A round number of at least 'most', whose quarter is round, too.
local function ceiling(most)
  local power_of_ten = 10 ^ math.floor(math.log(math.max(1, most), 10))
  for _, step in ipairs { 1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10 } do
    if step * power_of_ten >= most then return step * power_of_ten end
  end
end

--- Counts by unit of time.
---@param activity table  facts.interactions.activity
---@return string
function chart.activity(activity)
  local counts, most = activity.counts, 0
  for _, count in ipairs(counts) do most = math.max(most, count) end
  local top = ceiling(most)
  local inner, bottom = plot.width - plot.left - plot.right, plot.height - plot.bottom
  local out = { open(plot.width, plot.height, "interactions over time") }
  for k = 0, 4 do
    local y = bottom - k / 4 * (bottom - plot.top)
    if k % 2 == 0 or top >= 4 then
      out[#out + 1] = ('<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" class="grid"/>'):format(plot.left,
        plot.width - plot.right, y, y)
      out[#out + 1] = text_at(plot.left - 6, y + 4, words.short(top * k / 4), "end")
    end
  end
  local step = inner / #counts
  for i, count in ipairs(counts) do
    local tall = count / top * (bottom - plot.top)
    out[#out + 1] = rect(plot.left + (i - 1) * step + step * 0.08, bottom - tall, step * 0.84, tall, "events",
      ("%s: %s"):format(words.time(activity.from_ms + (i - 1) * activity.unit_ms), words.count(count, "interaction")))
  end
  for k = 0, 3 do
    local i = math.floor(k / 3 * (#counts - 1) + 0.5)
    if k == 0 or #counts > 3 then
      local anchor = k == 0 and "start" or k == 3 and "end" or "middle"
      out[#out + 1] = text_at(plot.left + (i + (k == 3 and 1 or 0)) * step, bottom + 15,
        words.time(activity.from_ms + i * activity.unit_ms):sub(1, 10), anchor)
    end
  end
  out[#out + 1] = text_at((plot.left + plot.width - plot.right) / 2, plot.height - 6, "by " .. activity.unit, "middle",
    "name")
  out[#out + 1] = "</svg>"
  return table.concat(out)
end

return chart

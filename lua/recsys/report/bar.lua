--- Bars that lie, their names at the left where a phone has room for them, with intervals; and histograms.

local draw = require "recsys.report.draw"
local plot = require "recsys.report.plot"
local scale = require "recsys.report.scale"
local series = require "recsys.report.series"
local tensor = require "recsys.tensor"
local words = require "recsys.describe.words"

local bar = {}

local finite, number = series.finite, words.number
local THICK <const>, GAP <const> = 13, 9 -- of a bar, and between groups
local LETTER <const> = 6.6

-- Bars --------------------------------------------------------------------------------------------------------------

local function ends_of(list)
  local lists = { { 0 } }
  for _, one in ipairs(list) do
    lists[#lists + 1] = one.numbers
    if one.lows then lists[#lists + 1], lists[#lists + 2] = one.lows, one.highs end
  end
  return series.ends(lists)
end

local function read_bars(asked, list)
  if type(asked.names) ~= "table" or #asked.names == 0 then
    series.refuse("bar", "names: a list of at least one is expected")
  end
  for _, one in ipairs(list) do
    one.numbers = series.alike("bar", one.label .. "values", one.values, "names", asked.names)
    if one.low or one.high then
      one.lows = series.alike("bar", one.label .. "low", one.low, "names", asked.names)
      one.highs = series.alike("bar", one.label .. "high", one.high, "names", asked.names)
    end
  end
end

local function draw_bar(out, box, one, i, y, name)
  local value, zero = one.numbers[i], box.x(0)
  local title = ("%s, %s: %s"):format(name, one.name, finite(value) and number(value) or "none")
  if not finite(value) then
    out[#out + 1] = draw.text(zero + 4, y + THICK - 3, "-", "start", "value")
    return
  end
  local low, high = one.lows and one.lows[i], one.highs and one.highs[i]
  local interval = finite(low) and finite(high)
  if interval then title = ("%s [%s, %s]"):format(title, number(low), number(high)) end
  out[#out + 1] = draw.rect(math.min(zero, box.x(value)), y, math.max(0.6, math.abs(box.x(value) - zero)), THICK,
    one.class, title)
  local tip = math.max(zero, box.x(value))
  if interval then
    local middle = y + THICK / 2
    out[#out + 1] = draw.line(box.x(low), middle, box.x(high), middle, "whisker")
    for _, x in ipairs { box.x(low), box.x(high) } do
      out[#out + 1] = draw.line(x, middle - 3, x, middle + 3, "whisker")
    end
    tip = math.max(tip, box.x(high))
  end
  out[#out + 1] = draw.text(tip + 5, y + THICK - 3, number(value), "start", "value")
end

--- Bars; see recsys.report.
function bar.bar(asked)
  local list = series.of("bar", asked)
  read_bars(asked, list)
  local low, high = ends_of(list)
  if low > high then low, high = 0, 1 end
  local widest, each = 0, #list * (THICK + 1) + GAP
  for _, name in ipairs(asked.names) do widest = math.max(widest, words.cells(words.plain(name))) end
  local left = math.min(170, widest * LETTER + 8)
  local x = scale.linear(low, high + 0.16 * (high - low), 4) -- room for the figures behind the bars
  return plot.new { title = asked.title, label = "bars", legend = series.legend(list), x = x, left = left,
    x_name = asked.x_name, height = 8 + each * #asked.names + (asked.x_name and 40 or 22),
    draws = function(out, box)
      for i, name in ipairs(asked.names) do
        local top = box.top + (i - 1) * each + GAP / 2
        out[#out + 1] = draw.text(box.left - 6, top + #list * (THICK + 1) / 2 + 4,
          words.cut(words.plain(name), math.floor(left / LETTER)), "end", "value")
        for s, one in ipairs(list) do draw_bar(out, box, one, i, top + (s - 1) * (THICK + 1), tostring(name)) end
      end
      out[#out + 1] = draw.line(box.x(0), box.top, box.x(0), box.bottom, "axis")
    end }
end

-- Histograms --------------------------------------------------------------------------------------------------------

--- The values as an f64 tensor of the finite ones, and how many are not.
local function finite_values(one)
  local given = one.values
  if not tensor.is(given) then
    local list = series.values("histogram", one.label .. "values", given)
    for i = 1, #list do list[i] = list[i] or 0 / 0 end
    given = #list > 0 and tensor.new(list, "f64") or tensor.zeros(0, "f64")
  elseif given:dim() ~= 1 then
    series.refuse("histogram", "%svalues: a tensor of one dimension is expected", one.label)
  end
  given = given:to "f64"
  local keep = given:abs():lt(math.huge):nonzero() -- what is no number is not less than anything
  return given:index_select(keep), #given - #keep
end

local function quantile(sorted, p) return sorted:get(math.max(1, math.ceil(p * #sorted))) end

--- Bins of round width over all values: Freedman & Diaconis' width, 8 to 60 bins; whole numbers that are few have a bin
--- each.
local function bins_of(asked, all)
  local n = #all
  if n == 0 then return 0, 1, 10 end
  local sorted = all:sort()
  local low, high = asked.from or sorted:get(1), asked.to or sorted:get(n)
  if low > high then series.refuse("histogram", "from must not be above to") end
  local whole = not asked.bins and high - low <= 40 and all:sub(all:floor()):abs():max() == 0
  if whole then return low - 0.5, 1, math.tointeger(math.floor(high - low)) + 1 end
  if high == low then
    local around = math.max(math.abs(low) * 0.1, low == 0 and 1 or 0)
    return low - around, 2 * around / 9, 9
  end
  local count = asked.bins
  if not count then
    local width = 2 * (quantile(sorted, 0.75) - quantile(sorted, 0.25)) / n ^ (1 / 3)
    count = width > 0 and math.ceil((high - low) / width) or 30
    count = math.max(8, math.min(60, count))
  end
  return low, (high - low) / count, count
end

local function count_into(values, from, width, count)
  if #values == 0 then
    local none = {}
    for i = 1, count do none[i] = 0 end
    return none, 0
  end
  local at = ((values - from) / width):floor()
  local inside = values:ge(from):mul(values:le(from + width * count * (1 + 1e-12))):nonzero()
  local bins = at:index_select(inside):clamp(0, count - 1):to "i64"
  return bins:bincount(count):tolist(), #values - #inside
end

local function draw_bins(out, box, one, from, width, gap, share)
  local bottom = box.bottom
  for i, n in ipairs(one.counts) do
    local value = share and n / math.max(1, one.n) or n
    if n > 0 and (not one.is_log or value > 0) then
      local x1, x2 = box.x(from + (i - 1) * width), box.x(from + i * width)
      local top = math.min(bottom - 0.8, box.y(value))
      out[#out + 1] = draw.rect(x1 + gap / 2, top, math.max(0.5, x2 - x1 - gap), bottom - top,
        one.class .. (share and " over" or ""), ("%s%s to %s: %s"):format(share and one.name .. ", " or "",
          number(from + (i - 1) * width), number(from + i * width),
          share and words.share(value) .. " (" .. number(n) .. ")" or words.count(n, "value")))
    end
  end
end

--- Histograms; see recsys.report. Several series are drawn over each other as shares.
function bar.histogram(asked)
  local list, parts, lost = series.of("histogram", asked), {}, 0
  if asked.bins and not (math.type(asked.bins) == "integer" and asked.bins >= 1 and asked.bins <= 400) then
    series.refuse("histogram", "bins: a whole number from 1 to 400 is expected")
  end
  for i, one in ipairs(list) do
    local missing
    one.numbers, missing = finite_values(one)
    parts[i], lost = one.numbers, lost + missing
  end
  local from, width, count = bins_of(asked, #parts > 1 and tensor.concat(parts) or parts[1])
  local most, least, shares = 0, math.huge, #list > 1
  for _, one in ipairs(list) do
    local outside
    one.counts, outside = count_into(one.numbers, from, width, count)
    one.n, lost = #one.numbers, lost + outside
    for _, n in ipairs(one.counts) do
      local value = shares and n / math.max(1, one.n) or n
      most = math.max(most, value)
      if n > 0 then least = math.min(least, value) end
    end
  end
  local y = asked.log_y and scale.log(least * 0.7, most) or scale.linear(0, most, 4)
  return plot.new { title = asked.title, label = "histogram", legend = series.legend(list),
    x = scale.linear(from, from + width * count, 6, true), y = y,
    x_name = asked.x_name, y_name = asked.y_name or (shares and "share" or nil),
    height = asked.height, facts = { from = from, width = width, counts = list[1].counts },
    note = lost > 0 and words.count(lost, "value") .. " not drawn" or nil,
    draws = function(out, box)
      local gap = count > 40 and 0.4 or 1.2
      for _, one in ipairs(list) do draw_bins(out, box, one, from, width, gap, shares) end
    end }
end

return bar

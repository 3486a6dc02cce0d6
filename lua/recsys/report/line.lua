--- Curves and clouds of points over two axes, each linear or logarithmic.

local draw = require "recsys.report.draw"
local plot = require "recsys.report.plot"
local scale = require "recsys.report.scale"
local series = require "recsys.report.series"
local words = require "recsys.describe.words"

local line = {}

local finite, number = series.finite, words.number
local DOTS <const> = 40        -- points of a curve, up to which each has a dot
local COLUMNS <const> = 400    -- of a curve with more points than twice as many, each keeps its extremes
local MOST_POINTS <const> = 4000

--- The points of a series: x, y, and low and high where they were given.
local function read(name, one)
  local field = one.label
  local y = series.values(name, field .. "y", one.y)
  local x = {}
  if one.x then
    x = series.alike(name, field .. "x", one.x, "y", y)
  else
    for i = 1, #y do x[i] = i end
  end
  one.xs, one.ys = x, y
  if one.low or one.high then
    one.lows = series.alike(name, field .. "low", one.low, "y", y)
    one.highs = series.alike(name, field .. "high", one.high, "y", y)
  end
end

local function can_draw(value, is_log) return finite(value) and (not is_log or value > 0) end

local function are_whole(lists)
  for _, list in ipairs(lists) do
    for _, value in ipairs(list) do
      if value and value % 1 ~= 0 then return false end
    end
  end
  return true
end

local function axes_of(asked, list)
  local xs, ys = {}, {}
  for _, one in ipairs(list) do
    xs[#xs + 1], ys[#ys + 1] = one.xs, one.ys
    if one.lows then ys[#ys + 1], ys[#ys + 2] = one.lows, one.highs end
  end
  for _, mark in ipairs(asked.marks or {}) do
    xs[#xs + 1], ys[#ys + 1] = mark.x and { mark.x } or nil, mark.y and { mark.y } or nil
  end
  local x_low, x_high = series.ends(xs, asked.log_x)
  local y_low, y_high = series.ends(ys, asked.log_y)
  if asked.from_zero and not asked.log_y and y_low <= y_high then
    y_low, y_high = math.min(0, y_low), math.max(0, y_high)
  end
  return asked.log_x and scale.log(x_low, x_high)
      or scale.linear(x_low, x_high, 6, asked.tight_x ~= false, are_whole(xs)),
    asked.log_y and scale.log(y_low, y_high) or scale.linear(y_low, y_high, 5)
end

--- Runs of neighbouring points that can be drawn, in the box: { { { x, y, i }, ... }, ... }, and how many cannot.
local function stretches(asked, one, box)
  local list, current, lost = {}, nil, 0
  for i, y in ipairs(one.ys) do
    if can_draw(one.xs[i], asked.log_x) and can_draw(y, asked.log_y) then
      if not current then
        current = {}
        list[#list + 1] = current
      end
      current[#current + 1] = { box.x(one.xs[i]), box.y(y), i }
    else
      current, lost = nil, lost + 1
    end
  end
  return list, lost
end

--- Of many points in order of x those that a curve of this width can show: first, least, greatest and last of each
--- column. Curves that turn back are left as they are.
local function thinned(points)
  if #points <= 2 * COLUMNS then return points end
  for i = 2, #points do
    if points[i][1] < points[i - 1][1] then return points end
  end
  local kept, first = {}, 1
  local from, width = points[1][1], math.max(1e-9, (points[#points][1] - points[1][1]) / COLUMNS)
  while first <= #points do
    local column, last = math.floor((points[first][1] - from) / width), first
    local low, high = first, first
    while last < #points and math.floor((points[last + 1][1] - from) / width) == column do
      last = last + 1
      if points[last][2] < points[low][2] then low = last end
      if points[last][2] > points[high][2] then high = last end
    end
    local before = 0
    local chosen = { first, low, high, last }
    table.sort(chosen)
    for _, i in ipairs(chosen) do
      if i > before then kept[#kept + 1], before = points[i], i end
    end
    first = last + 1
  end
  return kept
end

local function draw_band(asked, one, box, out)
  if not one.lows then return end
  local there, back = {}, {}
  for i = 1, #one.ys do
    local low, high = one.lows[i], one.highs[i]
    if can_draw(one.xs[i], asked.log_x) and can_draw(low, asked.log_y) and can_draw(high, asked.log_y) then
      there[#there + 1] = { box.x(one.xs[i]), box.y(high) }
      table.insert(back, 1, { box.x(one.xs[i]), box.y(low) })
    end
  end
  if #there > 1 then
    out[#out + 1] = draw.through("polygon", table.move(back, 1, #back, #there + 1, there), "band " .. one.class)
  end
end

local function title_of(asked, one, i)
  local label = one.labels and one.labels[i]
  return ("%s%s: %s %s, %s %s"):format(one.name, label and " (" .. tostring(label) .. ")" or "", asked.x_name or "x",
    number(one.xs[i]), asked.y_name or "y", number(one.ys[i]))
end

local function draw_curve(asked, one, box, out)
  local runs = stretches(asked, one, box)
  for _, points in ipairs(runs) do
    if #points > 1 then
      out[#out + 1] = draw.through("polyline", thinned(points),
        ("curve %s%s"):format(one.class, one.dashed and " dashed" or ""))
    end
    for _, point in ipairs((#one.ys <= DOTS or #points == 1) and points or {}) do
      out[#out + 1] = draw.dot(point[1], point[2], 2.6, one.class, title_of(asked, one, point[3]))
    end
  end
end

local function draw_cloud(asked, one, box, out)
  local points = {}
  for _, run in ipairs((stretches(asked, one, box))) do table.move(run, 1, #run, #points + 1, points) end
  local step = math.max(1, #points / MOST_POINTS)
  local radius = #points > 500 and 1.6 or 2.6
  for at = 1, #points, step do
    local point = points[math.floor(at)]
    out[#out + 1] = draw.dot(point[1], point[2], radius, one.class .. (#points > 100 and " over" or ""),
      title_of(asked, one, point[3]))
  end
end

local HIGH <const> = 11 -- of a name's line

local FAR <const> = 6 -- lines that a name is moved at the most

--- Whether a name may begin at 'from' and stand at height 'at'.
local function is_free(taken, box, from, width, at)
  if at < box.top + 4 or at > box.bottom or from < box.left or from + width > box.right + 14 then return false end
  for _, other in ipairs(taken) do
    local apart = math.abs(other.at - at) >= HIGH or other.from + other.width < from or from + width < other.from
    if not apart then return false end
  end
  return true
end

--- Where a name stands beside its point: to the right or the left, moved up or down by whole lines from names that
--- stand there; nil where there is no room nearby.
local function place_of(taken, box, x, y, label)
  local width = 6.7 * words.cells(label)
  for step = 0, FAR do
    local at = y + 4 + (step % 2 == 0 and -1 or 1) * ((step + 1) // 2) * HIGH
    for _, from in ipairs { x + 6, x - 6 - width } do
      if is_free(taken, box, from, width, at) then
        taken[#taken + 1] = { at = at, from = from, width = width }
        return from, at
      end
    end
  end
end

--- The points' names beside them, as far as there is room: the first ones come first, all show when pointed at.
local function draw_names(list, box, out)
  local taken = {}
  for _, one in ipairs(list) do
    for i, label in ipairs(one.labels or {}) do
      local x, y = one.xs[i], one.ys[i]
      if finite(x) and finite(y) then
        local shown = words.plain(tostring(label))
        local from, at = place_of(taken, box, box.x(x), box.y(y), shown)
        if from then out[#out + 1] = draw.text(from, at, shown, "start", "name") end
      end
    end
  end
end

--- A line across the plot at a value of x or y, with its name.
local function draw_marks(asked, box, out)
  for _, mark in ipairs(asked.marks or {}) do
    if mark.x and can_draw(mark.x, asked.log_x) then
      local x = box.x(mark.x)
      local late = x > (box.left + box.right) / 2
      out[#out + 1] = draw.line(x, box.top, x, box.bottom, "mark")
      if mark.name then
        out[#out + 1] = draw.text(x + (late and -4 or 4), box.top + 10, mark.name, late and "end" or "start")
      end
    elseif mark.y and can_draw(mark.y, asked.log_y) then
      out[#out + 1] = draw.line(box.left, box.y(mark.y), box.right, box.y(mark.y), "mark")
      if mark.name then out[#out + 1] = draw.text(box.right, box.y(mark.y) - 4, mark.name, "end") end
    end
  end
end

--- What the chart does not show, in words.
local function note_of(asked, list, cloud)
  local lost, points = 0, 0
  for _, one in ipairs(list) do
    for i, y in ipairs(one.ys) do
      if can_draw(one.xs[i], asked.log_x) and can_draw(y, asked.log_y) then
        points = points + 1
      else
        lost = lost + 1
      end
    end
  end
  local parts = {}
  if cloud and points > MOST_POINTS * #list then parts[1] = words.count(points, "point") .. ", some of them drawn" end
  if lost > 0 then
    parts[#parts + 1] = ("%s not drawn: %s"):format(words.count(lost, "value is", "values are"),
      (asked.log_x or asked.log_y) and "no numbers above 0" or "no finite numbers")
  end
  return #parts > 0 and table.concat(parts, "; ") or nil
end

local function make(name, asked, cloud)
  local list = series.of(name, asked)
  for _, one in ipairs(list) do read(name, one) end
  local x, y = axes_of(asked, list)
  return plot.new { title = asked.title, label = cloud and "points" or "curves", legend = series.legend(list), x = x,
    y = y, x_name = asked.x_name, y_name = asked.y_name, height = asked.height, note = note_of(asked, list, cloud),
    facts = asked.facts, draws = function(out, box)
      draw_marks(asked, box, out)
      for _, one in ipairs(list) do
        draw_band(asked, one, box, out)
        if cloud then draw_cloud(asked, one, box, out) else draw_curve(asked, one, box, out) end
      end
      if cloud and asked.named then draw_names(list, box, out) end
    end }
end

--- Curves; see recsys.report.
function line.line(asked) return make("line", asked, false) end

--- Points; see recsys.report.
function line.scatter(asked) return make("scatter", asked, true) end

return line

--- Radar charts: several qualities of one thing or a few, each a direction, the rim the best.

local draw = require "recsys.report.draw"
local plot = require "recsys.report.plot"
local series = require "recsys.report.series"
local words = require "recsys.describe.words"

local radar = {}

local finite = series.finite
local RINGS <const> = { 0.25, 0.5, 0.75, 1 }
local ROOM <const> = 30 -- above and below, for the names

--- Where a share of the way to the rim lies in direction i of n, the first upwards.
local function at(middle, radius, i, n, share)
  local angle = 2 * math.pi * (i - 1) / n - math.pi / 2
  return middle[1] + radius * share * math.cos(angle), middle[2] + radius * share * math.sin(angle)
end

local function ring(middle, radius, n, share, class)
  local points = {}
  for i = 1, n do points[i] = { at(middle, radius, i, n, share) } end
  return draw.through("polygon", points, class)
end

local function draw_web(out, middle, radius, names)
  for _, share in ipairs(RINGS) do out[#out + 1] = ring(middle, radius, #names, share, "web") end
  for i, name in ipairs(names) do
    local x, y = at(middle, radius, i, #names, 1)
    out[#out + 1] = draw.line(middle[1], middle[2], x, y, "grid")
    local far = { at(middle, radius + 10, i, #names, 1) }
    local side = far[1] > middle[1] + 4 and "start" or far[1] < middle[1] - 4 and "end" or "middle"
    local below = far[2] > middle[2] + radius * 0.5 and 9 or far[2] < middle[2] - radius * 0.5 and -1 or 4
    out[#out + 1] = draw.text(far[1], far[2] + below, words.cut(words.plain(name), 16), side)
  end
end

local function draw_one(out, middle, radius, names, one)
  local points = {}
  for i in ipairs(names) do
    local value = one.numbers[i]
    points[i] = { at(middle, radius, i, #names, finite(value) and math.max(0, math.min(1, value)) or 0) }
  end
  out[#out + 1] = draw.through("polygon", points, "band " .. one.class)
  points[#points + 1] = points[1]
  out[#out + 1] = draw.through("polyline", points, "curve " .. one.class)
  for i, name in ipairs(names) do
    local value = one.numbers[i]
    out[#out + 1] = draw.dot(points[i][1], points[i][2], 2.6, one.class, ("%s, %s: %s"):format(one.name, name,
      one.labels and one.labels[i] or finite(value) and words.share(value) .. " of the best" or "none"))
  end
end

--- A radar chart; see recsys.report.
function radar.radar(asked)
  local list = series.of("radar", asked)
  if type(asked.names) ~= "table" or #asked.names < 3 then
    series.refuse("radar", "names: a list of at least three is expected")
  end
  for _, one in ipairs(list) do
    one.numbers = series.alike("radar", one.label .. "values", one.values, "names", asked.names)
  end
  return plot.new { title = asked.title, label = "radar", legend = series.legend(list), bare = true,
    height = asked.height or 250, draws = function(out, box)
      local middle = { (box.left + box.right) / 2, (box.top + box.bottom) / 2 + 4 }
      local radius = (box.bottom - box.top) / 2 - ROOM
      draw_web(out, middle, radius, asked.names)
      for _, one in ipairs(list) do draw_one(out, middle, radius, asked.names, one) end
    end }
end

return radar

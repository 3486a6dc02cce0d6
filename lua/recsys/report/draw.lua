--- Shapes of SVG as text. All words go through `escape`; classes are ours.

local words = require "recsys.describe.words"

local draw = {}

local escapes = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;" }

--- A text of strangers for HTML and SVG, in elements and in quoted attributes: one line, nothing of it is markup.
---@param s any
---@return string
function draw.escape(s)
  return (words.plain(s):gsub("[&<>\"']", escapes))
end

local escape = draw.escape

local function titled(title) return title and ("<title>%s</title>"):format(escape(title)) or "" end

--- The beginning of a picture.
---@param class? string
function draw.open(width, height, label, class)
  return ('<svg viewBox="0 0 %d %d" role="img" aria-label="%s"%s>'):format(width, height, escape(label),
    class and (' class="%s"'):format(class) or "")
end

---@param anchor? "start"|"middle"|"end"
function draw.text(x, y, s, anchor, class)
  return ('<text x="%.1f" y="%.1f" text-anchor="%s"%s>%s</text>'):format(x, y, anchor or "start",
    class and (' class="%s"'):format(class) or "", escape(s))
end

--- Text that reads upwards, its middle at (x, y).
function draw.upwards(x, y, s, class)
  return ('<text transform="translate(%.1f %.1f) rotate(-90)" text-anchor="middle"%s>%s</text>'):format(x, y,
    class and (' class="%s"'):format(class) or "", escape(s))
end

function draw.rect(x, y, width, height, class, title)
  return ('<rect x="%.2f" y="%.2f" width="%.2f" height="%.2f" class="%s">%s</rect>'):format(x, y, width, height, class,
    titled(title))
end

function draw.line(x1, y1, x2, y2, class)
  return ('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>'):format(x1, y1, x2, y2, class)
end

function draw.dot(x, y, radius, class, title)
  return ('<circle cx="%.1f" cy="%.1f" r="%.1f" class="%s">%s</circle>'):format(x, y, radius, class, titled(title))
end

--- A line through points { { x, y }, ... }, or the area within them.
---@param shape "polyline"|"polygon"
function draw.through(shape, points, class)
  local list = {}
  for i, point in ipairs(points) do list[i] = ("%.1f,%.1f"):format(point[1], point[2]) end
  return ('<%s points="%s" class="%s"/>'):format(shape, table.concat(list, " "), class)
end

return draw

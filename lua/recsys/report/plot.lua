--- A plot: title, legend, two axes with marks, and what a kind of chart draws between them.
---
--- Sizes are those of a narrow column, so that letters stay legible on a phone; a wide screen shows them larger.

local draw = require "recsys.report.draw"
local files = require "recsys.files"
local log = require "recsys.log"
local style = require "recsys.report.style"
local words = require "recsys.describe.words"
local uv = require "luv"

local plot = {}

local WIDTH <const>, HEIGHT <const> = 440, 250 -- of all but title and legend
local LETTER <const> = 6.6                     -- an average one's width
local ROW <const> = 17

local function width_of(s) return LETTER * words.cells(words.plain(s)) end

--- What of a text fits. It is veiled as a whole: the begin of a secret would not be known as one.
local function cut(s, room) return words.cut(log.veiled(words.plain(s)), math.max(1, math.floor(room / LETTER))) end

---@class Chart
---@field title? string
---@field facts? table  figures that the chart is about, such as ece
local Chart = {}
Chart.__index = Chart

--- A chart that `draws(out, box)` fills in; what it shows is described by the fields.
---@param fields { title?: string, label: string, note?: string, legend: { name: string, class: string }[],
---  bare?: boolean, x?: table, y?: table, x_name?: string, y_name?: string, height?: number, left?: number,
---  draws: fun(out: string[], box: table), facts?: table }
---  bare: no axes; x, y: scales (recsys.report.scale); left: room for names at the left, else as much as y's marks take
---@return Chart
function plot.new(fields) return setmetatable(fields, Chart) end

--- What recsys.track keeps of a chart.
function Chart.__artifact(chart) return chart:svg(), "svg" end

--- Whether a value is a chart.
function plot.is(value) return getmetatable(value) == Chart end

--- The legend's names, in rows of what fits.
local function legend_rows(legend)
  local rows, x = {}, WIDTH
  for _, entry in ipairs(#legend > 1 and legend or {}) do
    local name = cut(entry.name, WIDTH / 2 - 30)
    local wide = width_of(name) + 30
    if x + wide > WIDTH then
      rows[#rows + 1] = {}
      x = 8
    end
    table.insert(rows[#rows], { x = x, name = name, class = entry.class, full = entry.name })
    x = x + wide
  end
  return rows
end

local function draw_legend(out, rows, top)
  for r, row in ipairs(rows) do
    local y = top + (r - 1) * ROW
    for _, entry in ipairs(row) do
      out[#out + 1] = draw.rect(entry.x, y + 3, 10, 10, entry.class:gsub("curve ", ""), entry.full)
      out[#out + 1] = draw.text(entry.x + 15, y + 12, entry.name, "start", "legend")
    end
  end
end

--- Marks that do not run into each other.
local function sparse(marks, room)
  local widest = 0
  for _, mark in ipairs(marks) do widest = math.max(widest, width_of(mark.label)) end
  local every = math.max(1, math.ceil(#marks * (widest + 10) / room))
  local kept = {}
  for i = 1, #marks, every do kept[#kept + 1] = marks[i] end
  return kept
end

local function draw_axes(out, chart, box)
  if chart.bare then return end
  for _, mark in ipairs(chart.y and chart.y.marks or {}) do
    local y = box.y(mark.value)
    out[#out + 1] = draw.line(box.left, y, box.right, y, "grid")
    out[#out + 1] = draw.text(box.left - 6, y + 4, mark.label, "end")
  end
  for _, mark in ipairs(chart.x and sparse(chart.x.marks, box.right - box.left) or {}) do
    local x = box.x(mark.value)
    out[#out + 1] = draw.line(x, box.bottom, x, box.bottom + 4, "axis")
    if chart.x.log or not chart.y then out[#out + 1] = draw.line(x, box.top, x, box.bottom, "grid") end
    out[#out + 1] = draw.text(x, box.bottom + 16, mark.label, "middle")
  end
  out[#out + 1] = draw.line(box.left, box.bottom, box.right, box.bottom, "axis")
  if chart.x_name then
    out[#out + 1] = draw.text((box.left + box.right) / 2, box.bottom + 32, cut(chart.x_name, box.right - box.left),
      "middle")
  end
  if chart.y_name then
    out[#out + 1] = draw.upwards(12, (box.top + box.bottom) / 2, cut(chart.y_name, box.bottom - box.top))
  end
end

local function box_of(chart, top)
  local left = chart.left or 0
  for _, mark in ipairs(not chart.left and chart.y and chart.y.marks or {}) do
    left = math.max(left, width_of(mark.label) + 10)
  end
  local box = { left = left + (chart.y_name and 20 or 4), right = WIDTH - 16, top = top + 8 }
  box.bottom = top + (chart.height or HEIGHT) - (chart.x_name and 40 or 22)
  if chart.x then
    function box.x(value) return box.left + chart.x.at(value) * (box.right - box.left) end
  end
  if chart.y then
    function box.y(value) return box.bottom - chart.y.at(value) * (box.bottom - box.top) end
  end
  return box
end

--- The chart as SVG. Alone it brings its colours, which follow the reader's light or dark theme, and its title;
--- `inside` a page (recsys.report.page) it leaves both to it.
---@param options? { inside?: boolean, theme?: "auto"|"light"|"dark" }
---@return string
function Chart:svg(options)
  local inside, theme = options and options.inside, options and options.theme or "auto"
  local top, out, rows = 0, {}, legend_rows(self.legend)
  if not inside and self.title then
    out[1] = draw.text(8, 20, cut(self.title, (WIDTH - 16) * 0.8), "start", "title")
    top = 28
  end
  draw_legend(out, rows, top + 4)
  top = top + #rows * ROW + (#rows > 0 and 6 or 0)
  local box = box_of(self, top)
  draw_axes(out, self, box)
  self.draws(out, box)
  local height = top + (self.height or HEIGHT) + (self.note and 14 or 0)
  if self.note then out[#out + 1] = draw.text(box.right, height - 5, self.note, "end") end
  local label = self.title and self.label .. ": " .. self.title or self.label
  if inside then return draw.open(WIDTH, height, label, "plot") .. table.concat(out) .. "</svg>" end
  local opening = draw.open(WIDTH, height, label, "plot"):gsub("^<svg ",
    ('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" '):format(WIDTH, height))
  return ("%s<style>%s</style>%s%s</svg>\n"):format(opening, style.alone(theme),
    draw.rect(0, 0, WIDTH, height, "ground"), table.concat(out))
end

--- Run a program to its end: its exit code and what it said, or nil and why it did not start.
local function run(program, arguments)
  local err, said, code = uv.new_pipe(), {}, nil
  local handle, why = uv.spawn(program, { args = arguments, stdio = { nil, nil, err } }, function(status, signal)
    code = signal ~= 0 and 128 + signal or status
  end)
  if not handle then
    err:close()
    uv.run "nowait" -- a pipe that is still closing when the program ends would crash it
    return nil, why
  end
  err:read_start(function(_, chunk) said[#said + 1] = chunk end)
  while not code do uv.run "once" end
  handle:close()
  uv.run "nowait"
  err:close()
  uv.run "nowait"
  return code, table.concat(said)
end

--- Write the chart as a PNG, drawn by librsvg from the same SVG, so that the two never differ.
local function write_png(chart, path, options)
  local scale = options.scale or 2
  if type(scale) ~= "number" or not (scale > 0 and scale <= 16) then
    error("bad argument #2 to 'save' (scale must be above 0 and at most 16)", 3)
  end
  local source = ("%s.%d.svg"):format(path, uv.os_getpid())
  local drawn = ("%s.%d.tmp"):format(path, uv.os_getpid())
  files.write(source, chart:svg { theme = options.theme or "light" }, true)
  local code, said = run("rsvg-convert", { "--format", "png", "--zoom", tostring(scale), "--output", drawn, source })
  os.remove(source)
  if code ~= 0 then
    os.remove(drawn)
    error({ code = "io", message = code
      and ("cannot draw %s: rsvg-convert ended with code %d: %s"):format(path, code, said)
      or ("cannot draw %s: PNG pictures are drawn by rsvg-convert, of Debian's package librsvg2-bin, which is not "
        .. "installed (%s); .svg needs nothing"):format(path, said) }, 0)
  end
  files.sync(drawn)
  assert(os.rename(drawn, path))
end

--- Write the chart to a file, by its name's end: .svg or .png.
---@param path string
---@param options? { theme?: "auto"|"light"|"dark", scale?: number }  theme: default auto for SVG, light for PNG;
---  scale: of a PNG, pixels of a unit, default 2: 880 pixels across
---@return string path
function Chart:save(path, options)
  options = options or {}
  local kind = tostring(path):match "%.(%a+)$"
  if kind == "svg" then
    files.write(path, self:svg { theme = options.theme })
  elseif kind == "png" then
    write_png(self, path, options)
  else
    error(("bad argument #1 to 'save' ('%s' ends neither in .svg nor in .png)"):format(tostring(path)), 2)
  end
  return path
end

return plot

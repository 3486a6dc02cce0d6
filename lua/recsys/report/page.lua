--- A report as one HTML page, part by part, in the order in which they are added.

local draw = require "recsys.report.draw"
local files = require "recsys.files"
local html = require "recsys.report.html"
local plot = require "recsys.report.plot"
local style = require "recsys.report.style"

local escape = draw.escape

-- A card that is alone in its row is no wider than others: letters grow with charts.
local STYLE <const> = [[
.tight th, .tight td { white-space: nowrap; padding-right: 14px; }
.tight th:first-child, .tight td:first-child { position: sticky; left: 0; background: var(--card); }
pre { margin: 0; } pre code { overflow-wrap: normal; white-space: pre; }
.two { margin-bottom: 14px; grid-template-columns: repeat(auto-fill, minmax(min(100%, 420px), 1fr)); }
]]

---@class Page
local Page = {}
Page.__index = Page

--- What comes next does not stand in the grid of cards.
local function leave_grid(page)
  if page.in_grid then page.put "</div>" end
  page.in_grid = false
end

local function enter_grid(page)
  if not page.in_grid then page.put '<div class="two">' end
  page.in_grid = true
end

--- A heading. Returns the page, as all of these do.
---@param title string
function Page:section(title)
  leave_grid(self)
  self.put("<h2>%s</h2>", title)
  return self
end

--- A paragraph.
---@param text string
function Page:text(text)
  leave_grid(self)
  self.put("<p>%s</p>", text)
  return self
end

--- Figures that are seen first: { { value, label }, ... }.
---@param tiles { [1]: any, [2]: any }[]
function Page:tiles(tiles)
  leave_grid(self)
  self.put '<section class="tiles">'
  for _, tile in ipairs(tiles) do self.put('<div class="tile"><b>%s</b><span>%s</span></div>', tile[1], tile[2]) end
  self.put "</section>"
  return self
end

--- A chart, beside the one before where the screen is wide enough.
---@param chart Chart
---@param caption? string
function Page:chart(chart, caption)
  if not plot.is(chart) then error("bad argument #1 to 'chart' (a chart of recsys.report is expected)", 2) end
  enter_grid(self)
  self.put('<div class="card"><figure>%S%S%S</figure></div>', chart.title and "<h3>" .. escape(chart.title) .. "</h3>"
    or "", chart:svg { inside = true }, caption and "<figcaption>" .. escape(caption) .. "</figcaption>" or "")
  return self
end

--- A table: rows of cells, the first row the headings; the first column stands left, the others right.
---@param rows any[][]
---@param options? { title?: string, caption?: string, wide?: boolean, tight?: boolean }  wide: over the whole width;
---  tight: a cell is one line, and the table scrolls within its card where it is wider
function Page:table(rows, options)
  options = options or {}
  if type(rows) ~= "table" or type(rows[1]) ~= "table" then
    error("bad argument #1 to 'table' (a list of rows, each a list, is expected)", 2)
  end
  if options.wide then leave_grid(self) else enter_grid(self) end
  self.put('<div class="card">%S<div class="scroll%S"><table>', options.title
    and "<h3>" .. escape(options.title) .. "</h3>" or "", options.tight and " tight" or "")
  for r, row in ipairs(rows) do
    local cells = {}
    for c = 1, #rows[1] do
      local kind = r == 1 and "th" or "td"
      cells[c] = ("<%s>%s</%s>"):format(kind, escape(row[c] == nil and "" or row[c]), kind)
    end
    self.put("<tr>%S</tr>", table.concat(cells))
  end
  self.put("</table></div>%S</div>", options.caption and '<p class="soft">' .. escape(options.caption) .. "</p>" or "")
  return self
end

--- Text of a fixed width, as it stands.
---@param text string
function Page:code(text)
  leave_grid(self)
  local lines = {}
  for line in (tostring(text) .. "\n"):gmatch "([^\n]*)\n" do lines[#lines + 1] = escape(line) end
  self.put('<div class="card scroll"><pre><code>%S</code></pre></div>', table.concat(lines, "\n"))
  return self
end

--- The page, whole.
---@return string html
function Page:render()
  leave_grid(self)
  return html.document(self.title, table.concat(self.out), style.page() .. STYLE)
end

--- Write the page to a file; a killed process leaves the old one or the new one.
---@param path string  ends in .html
---@return string path
function Page:save(path)
  if not tostring(path):find "%.html?$" then
    error(("bad argument #1 to 'save' ('%s' does not end in .html)"):format(tostring(path)), 2)
  end
  files.write(path, self:render())
  return path
end

--- What recsys.track keeps of a page.
function Page.__artifact(page) return page:render(), "html" end

--- A page that begins with its title and what it is about.
---@param asked { title: string, about?: string }
---@return Page
return function(asked)
  if type(asked) ~= "table" or type(asked.title) ~= "string" then
    error("bad argument #1 to 'page' (a table with a title is expected)", 2)
  end
  local out = {}
  local page = setmetatable({ title = asked.title, out = out, put = html.writer(out), in_grid = false }, Page)
  page.put("<header><h1>%s</h1>%S</header>", asked.title,
    asked.about and '<p class="soft">' .. escape(asked.about) .. "</p>" or "")
  return page
end

--- The colours of charts, light and dark, as style sheets: of a page, whose variables they use, and of a picture that
--- stands alone.

local style = {}

-- In the order of series; the first three, and `bad`, are those of recsys.describe.style.
local light = { ink = "#1c2230", soft = "#616b7c", line = "#d5d5cf", card = "#ffffff",
  "#2f6bd8", "#d06a0b", "#4a7d63", "#8a4fbf", "#c0362c", "#0d8296", "#8a6d1f", "#a8457e" }
local dark = { ink = "#e7e9ed", soft = "#9aa4b4", line = "#363c46", card = "#1c1f25",
  "#6ea3ff", "#f0a052", "#79b797", "#bb8df0", "#ff7d73", "#4fc3d6", "#cfb05c", "#e58cbd" }

--- How many series have a colour of their own; the next ones begin again.
style.COLOURS = #light

-- What a name stands for: a variable of the page, or a colour.
local function rules(of)
  local list = {}
  local function rule(...) list[#list + 1] = string.format(...) end
  rule("svg.plot text { font-size: 11.5px; fill: %s; }", of "soft")
  rule("svg.plot .title { font-size: 14px; font-weight: 600; fill: %s; }", of "ink")
  rule("svg.plot .value, svg.plot .legend { fill: %s; }", of "ink")
  rule("svg.plot .grid { stroke: %s; stroke-width: 1; }", of "line")
  rule("svg.plot .web { stroke: %s; stroke-width: 1; fill: none; }", of "line")
  rule("svg.plot .axis { stroke: %s; stroke-width: 1; }", of "soft")
  rule("svg.plot .mark { stroke: %s; stroke-width: 1.2; stroke-dasharray: 4 3; fill: none; }", of "soft")
  rule("svg.plot .curve { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }")
  rule("svg.plot .dashed { stroke-dasharray: 6 4; }")
  rule("svg.plot .band { stroke: none; fill-opacity: .18; }")
  rule("svg.plot .over { fill-opacity: .55; }")
  rule("svg.plot .whisker { stroke: %s; stroke-width: 1.4; fill: none; }", of "ink")
  for i = 1, #light do
    rule("svg.plot .c%d { fill: %s; } svg.plot .curve.c%d { fill: none; stroke: %s; }", i, of(i), i, of(i))
  end
  return table.concat(list, "\n")
end

local function variable(name) return ("var(--chart-%s)"):format(name) end

local function variables(colours)
  local list = {}
  for _, name in ipairs { "ink", "soft", "line", "card" } do
    list[#list + 1] = ("--chart-%s: %s;"):format(name, colours[name])
  end
  for i, colour in ipairs(colours) do list[#list + 1] = ("--chart-%d: %s;"):format(i, colour) end
  return table.concat(list, " ")
end

local font = [[svg.plot { font-family: system-ui, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; }
]]

--- The rules for charts in a page. The page's reader chooses light or dark.
function style.page()
  return (":root { %s }\n@media (prefers-color-scheme: dark) { :root { %s } }\n%s\n%s\n"):format(variables(light),
    variables(dark), rules(variable), "@media (max-width: 420px) { svg.plot text { font-size: 12.5px; } }")
end

--- The rules within a picture of its own.
---@param theme "auto"|"light"|"dark"  auto: as the reader's
function style.alone(theme)
  if theme ~= "auto" then -- colours by value: renderers other than browsers know no variables
    local colours = theme == "dark" and dark or light
    return font .. ("svg.plot .ground { fill: %s; }\n"):format(colours.card)
      .. rules(function(name) return colours[name] end)
  end
  return font .. style.page() .. ("\nsvg.plot .ground { fill: %s; }"):format(variable "card")
end

return style

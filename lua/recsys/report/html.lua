--- The frame of the pages that we write: one file, the style of recsys.describe.style, charts inside, no script,
--- nothing fetched.

local draw = require "recsys.report.draw"

local html = {}

--- A function that appends to a list: values for %s are escaped, those for %S are HTML already.
---@param out string[]
---@return fun(format: string, ...)
function html.writer(out)
  return function(format, ...)
    local values, at = { ... }, 0
    out[#out + 1] = (format:gsub("%%([sS%%])", function(kind)
      if kind == "%" then return "%" end
      at = at + 1
      return kind == "s" and draw.escape(values[at]) or tostring(values[at])
    end))
  end
end

--- A whole document.
---@param title string
---@param body string  HTML
---@param more_style? string
---@return string
function html.document(title, body, more_style)
  return ('<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>%s</title>'
    .. '<meta name="viewport" content="width=device-width, initial-scale=1">'
    .. '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src \'unsafe-inline\'">'
    .. "<style>%s%s</style></head><body><main>\n%s</main></body></html>\n"):format(draw.escape(title),
    require "recsys.describe.style", more_style or "", body)
end

return html

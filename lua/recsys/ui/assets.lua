--- The page: its files in ui/page/, and Chart.js from the system's package libjs-chart.js. Nothing else of the disk.
--- better.js is made here: of which metrics less is better, as the gate of promotions has it.

local better = require "recsys.track.better"
local files = require "recsys.files"
local guard = require "recsys.ui.guard"
local host = require "recsys.host"
local json = require "recsys.json"
local media = require "recsys.ui.media"

local assets = { folder = host.root .. "/lua/recsys/ui/page",
  charts = { "/usr/share/javascript/chart.js", "/usr/share/nodejs/chart.js/dist" } }

--- Scripts that are no files, by their path.
assets.made = { ["/better.js"] = ("export const LESS = new Set(%s);\n"):format(json.encode(better.less)) }

--- The file of a path; nil when there is none.
local function find(path)
  if path == "/" then path = "/index.html" end
  local chart = path:match "^/chart%.js/([%w_%-][%w._%-]*)$"
  if chart then
    for _, folder in ipairs(assets.charts) do
      if files.exists(folder .. "/" .. chart) then return folder .. "/" .. chart end
    end
    return nil
  end
  local name = path:match "^/([%w_%-][%w._%-]*)$"
  local file = name and assets.folder .. "/" .. name
  return file and files.exists(file) and file or nil
end

--- The answer to a request for a file of the page; nil when it is none.
---@param request HttpRequest
---@return HttpResponse?
function assets.answer(request)
  if request.method ~= "GET" and request.method ~= "HEAD" then return nil end
  local made = assets.made[request.path]
  local path = not made and find(request.path) or nil
  if not made and not path then return nil end
  return guard.secure({ body = made, file = path,
    headers = { ["Content-Type"] = media.type(path or request.path) } }, "page")
end

return assets

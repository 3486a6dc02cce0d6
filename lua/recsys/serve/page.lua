--- The page at / of a server: its files in serve/page/, and of the tracking page the sheet and the mark.

local files = require "recsys.files"
local host = require "recsys.host"
local media = require "recsys.ui.media"

local page = {}

local own, shared = host.root .. "/lua/recsys/serve/page/", host.root .. "/lua/recsys/ui/page/"

page.files = { { "/", own .. "index.html" }, { "/serve.js", own .. "serve.js" }, { "/ask.js", own .. "ask.js" },
  { "/made.js", own .. "made.js" }, { "/serve.css", own .. "serve.css" }, { "/page.css", shared .. "page.css" },
  { "/icon.svg", shared .. "icon.svg" } }

--- Give a server its page.
---@param server Server
function page.put(server)
  for _, file in ipairs(page.files) do
    assert(server:page(file[1], media.type(file[2]), assert(files.read(file[2]))))
  end
end

return page

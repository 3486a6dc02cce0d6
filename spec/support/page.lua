--- `recsys-run ui` over a folder with a headless browser before it, for specs of the page. One at a time: what it is at
--- stands in the fields `folder`, `base` and `view`.

local browser = require "spec.support.browser"
local command = require "spec.support.command"
local json = require "recsys.json"
local uv = require "luv"

local page = {}

local server

--- Serve the store artifacts/ of page.folder, which is a new one where there is none yet.
---@param token? string
function page.serve(token)
  page.folder = page.folder or command.temporary()
  local output, line = uv.new_pipe(), ""
  server = assert(uv.spawn(command.program, { args = { "ui", "--port", "0", "--store", page.folder .. "/artifacts",
    token and "--token", token }, stdio = { nil, output, 2 } }, function() end))
  output:read_start(function(_, data) line = line .. (data or "") end)
  while not line:find "\n" do uv.run "once" end
  page.base = assert(line:match "(http://%S-/) ")
end

--- Open a browser before it.
function page.look()
  assert(browser.program(), "this spec needs the Debian package chromium")
  page.view = browser.open {}
  return page.view
end

--- For after each test: the browser has met no problem.
function page.check()
  local problems = page.view.problems
  page.view.problems = {}
  require("luassert").same({}, problems)
end

--- End all, and remove the folder.
function page.stop()
  if page.view then page.view:close() end
  if server then server:kill "sigterm" end
  if page.folder then command.remove(page.folder) end
  page.view, page.folder, page.base, server = nil, nil, nil, nil
end

--- What an element shows; nil when there is none.
---@param selector string
---@return string?
function page.text(selector)
  return page.view:eval(("document.querySelector(%s)?.innerText"):format(json.encode(selector)))
end

--- Open a view and wait until the expression is true.
---@param address string
---@param ready string
function page.open(address, ready)
  page.view:go "about:blank"
  page.view:go(page.base .. address)
  return page.view:wait(ready)
end

--- An expression: how many elements a selector finds.
---@param selector string
---@return string
function page.count(selector)
  return ("document.querySelectorAll(%s).length"):format(json.encode(selector))
end

--- The id of an experiment.
---@param name string
---@return string
function page.experiment(name)
  return page.view:eval(([[fetch('ajax-api/2.0/mlflow/experiments/get-by-name?experiment_name='
    + encodeURIComponent(%s)).then(r => r.json()).then(r => r.experiment.experiment_id)]]):format(json.encode(name)))
end

--- What a module of the page computes, as JSON: `m` is the module in the expression.
---@param module string
---@param expression string
---@return string
function page.of(module, expression)
  return page.view:eval(("import('./%s.js').then(m => JSON.stringify(%s))"):format(module, expression))
end

return page

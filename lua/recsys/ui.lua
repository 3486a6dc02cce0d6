--- The server behind the page: MLflow's REST API and our own over one store, and the page's files.
---
--- One thread, one request at a time: an answer takes a millisecond or so, and large files are sent by the HTTP server
--- while others are served. docs/tracking.md is the manual.

local assets = require "recsys.ui.assets"
local bests = require "recsys.ui.bests"
local exit = require "recsys.exit"
local files = require "recsys.files"
local guard = require "recsys.ui.guard"
local http = require "recsys.http"
local lfs = require "lfs"
local rest = require "recsys.ui.rest"
local signals = require "recsys.signals"
local track = require "recsys.track.store"

local ui = {}

local Ui = {}
Ui.__index = Ui

local STALE <const> = 3600 -- seconds
local IDLE <const> = 10 -- ms without a question, after which best values are read on: who asks does not wait for that
local limits = { json = 16 << 20, upload = 64 << 30 } -- bytes in memory, bytes of a file

--- Remove uploads and answers that a server left in its spool when it was killed: nothing has come to them for long.
local function clear(spool)
  for _, name in ipairs(files.names(spool)) do
    local path = spool .. "/" .. name
    local written = (name:find "^answer%-" or name:find "^upload%-") and lfs.attributes(path, "modification")
    if written and os.time() - written > STALE then os.remove(path) end
  end
end

--- Open the store and begin to listen.
---@param options? { store?: string, address?: string, port?: integer, token?: string, names?: string[] }
---   store: a folder, default "artifacts"; address: default "127.0.0.1"; port: default 5000, 0 for any; names: what
---   else the server is called, in Host headers
---@return recsys.Ui  raises { code, message }
function ui.open(options)
  options = options or {}
  local store = track.open(options.store)
  local spool = files.make_folder(store.folder .. "/cache/uploads")
  local server, message, code = http.server { address = options.address or "127.0.0.1", port = options.port or 5000,
    max_memory = limits.json, max_body = limits.upload, spool = spool,
    announce = true }
  if not server then
    store:close()
    error({ code = code, message = message }, 0)
  end
  local self = setmetatable({ store = store, server = server, guard = guard.new(options), spooled = {},
    spool = spool, cleared = 0, context = { store = store, bests = bests.open(store) } }, Ui)
  function self.context.spooled()
    local path = ("%s/answer-%s"):format(spool, track.new_id())
    table.insert(self.spooled, path)
    return path
  end
  self.handler = function(request) return self:answer(request) end
  return self
end

local function text(status, body)
  return guard.secure({ status = status, body = body,
    headers = { ["Content-Type"] = "text/plain; charset=utf-8" } }, "data")
end

local function answer(self, request)
  local path, is_api = request.path, rest.is_api(request.path)
  self.guard:check(request, not is_api)
  if request.announced then return rest.expect(request, limits.json) end
  if is_api then return rest.answer(self.context, request) end
  if path == "/health" then return text(200, "OK") end
  if path == "/version" then return text(200, require("recsys.core").version) end
  return assets.answer(request) or text(404, "There is no such page.\n")
end

--- The answer to a request; nil to one that is announced and may come.
---@param request HttpRequest
---@return HttpResponse?
function Ui:answer(request)
  local ok, result = xpcall(answer, exit.traced, self, request)
  if ok then return result end
  return rest.refusal(result)
end

--- Serve for up to timeout_ms; how many requests were.
---@return integer
function Ui:step(timeout_ms)
  if os.time() - self.cleared > STALE then
    self.cleared = os.time()
    clear(self.spool)
  end
  local handled = self.server:step(timeout_ms, self.handler)
  while #self.spooled > 0 do os.remove(table.remove(self.spooled)) end -- which the server has open
  return handled
end

--- Serve until a signal comes, and give its number.
---@return integer signal
function Ui:run()
  signals.hold()
  local left = 0
  while not signals.stopped() do
    local asked = self:step(left == 0 and 500 or IDLE)
    if asked == 0 then left = self.context.bests and self.context.bests:advance() or 0 end
  end
  return signals.stopped()
end

--- The address to open, for people.
---@return string
function Ui:url(address)
  address = address or "127.0.0.1"
  if address == "*" or address == "0.0.0.0" or address == "::" or address == "" then address = "localhost" end
  return ("http://%s:%d/"):format(address:find(":", 1, true) and "[" .. address .. "]" or address, self.server:port())
end

function Ui:close()
  self.server:close()
  if self.context.bests then self.context.bests:close() end
  self.store:close()
end
Ui.__close = Ui.close

return ui

--- A server that people run: which versions it serves, when it loads others, and how it ends.
---
--- The main thread stays out of every request. It looks for what is to be loaded (SIGHUP, POST /admin/reload, an alias
--- that has moved), loads and asks a version beside the one that answers, and changes their places; what cannot be
--- loaded changes nothing but the log, /version and /metrics. docs/serving.md is the manual.

local core = require "recsys.core"
local exit = require "recsys.exit"
local files = require "recsys.files"
local host = require "recsys.host"
local log = require "recsys.log"
local loop = require "recsys.loop"
local page = require "recsys.serve.page"
local server = require "recsys.server"
local signals = require "recsys.signals"
local uv = require "luv"
local versions = require "recsys.serve.versions"

local operation = {}

local Operation = {}
Operation.__index = Operation

local REST <const> = 50 -- ms between looks at signals and calls

local function refuse(message, ...)
  error({ code = "failed", message = message:format(...) }, 0)
end

--- What is to be in each slot.
local function slots_of(options)
  local list = { options.word and { name = "live", word = options.word } }
  if options.split then
    list[#list + 1] = { name = "candidate", word = options.split.word, share = options.split.share }
  end
  if options.shadow then list[#list + 1] = { name = "shadow", word = options.shadow } end
  return list
end

--- Load and place what a slot's word stands for now.
---@return true?
---@return string? message
local function fill(self, slot, found, later)
  local tried, loaded, message = exit.try(versions.load, found, later) -- whatever a bundle does, the server goes on
  if not tried then return nil, exit.message_of(loaded) end
  if not loaded then return nil, message end
  local placed, refusal = self.server:put(slot.name, loaded.model, loaded.name, slot.share)
  if not placed then return nil, refusal end
  slot.stamp, slot.version, slot.digest = found.stamp, loaded.name, loaded.digest
  return true
end

--- What a server has beside its versions: where it keeps events, its page, the handlers of a recipe.
local function furnish(self, options)
  if options.events then
    files.make_folder(options.events:match "^(.+)/[^/]*$" or ".")
    local kept, message = self.server:keep(options.events, options.keep_days)
    if not kept then refuse("%s", message) end
  end
  page.put(self.server)
  if not options.recipe then return end
  local limits = options.recipe.limits
  local made, message = self.server:recipe { path = options.recipe.path, workers = options.workers,
    time_ms = math.max(1, math.floor(limits.time * 1000)), memory = math.floor(limits.memory * (1 << 20)) }
  if not made then error({ code = "usage", message = message }, 0) end
end

--- What the service is told of all that a server is.
local function service_options(options)
  local told = {}
  for _, name in ipairs { "host", "port", "workers", "connections", "per_address", "proxies", "rate", "burst", "tokens",
    "token_text", "certificate", "key", "access_log", "log_addresses", "max_body", "head_ms", "idle_ms", "body_rate",
    "write_rate" } do
    told[name] = options[name]
  end
  told.names = table.concat(options.names or {}, " ")
  return told
end

--- Load all versions and listen. The bundles' bytes are verified by run(), while the server answers.
---@param options { word?: string, host?: string, port?: integer, workers: integer, models?: string, poll?: number,
---   split?: { word: string, share: integer }, shadow?: string, execution?: string, accept?: string,
---   models_root?: string, models_room?: integer, events?: string, keep_days?: number, names?: string[],
---   recipe?: { path: string, limits: { time: number, memory: number } } }  and what ServiceOptions has
---   word: as recsys.serve.versions.find has it, like those of split and shadow; share: of 10,000 users; poll: seconds
---   between looks at the registry, 0: none; execution to models_room: of recsys.server; events: the database in which
---   posted events and items are kept, nil: none are taken; keep_days: 0 for ever, nil: as long as they matter;
---   names: what Host may name besides; recipe: a serve recipe and its path
---@return recsys.serve.Operation  raises { code, message }
function operation.open(options)
  local self = setmetatable({ options = options, slots = slots_of(options), polled = uv.hrtime() }, Operation)
  self.server = server.new { workers = options.workers, runtime = core.version, commit = core.commit,
    openapi = files.read(host.root .. "/lua/recsys/serve/openapi.json"), execution = options.execution,
    accept = options.accept, models_root = options.models_root, models_room = options.models_room }
  furnish(self, options)
  for _, slot in ipairs(self.slots) do
    local found, missing = versions.find(slot.word, options.models)
    if not found then error({ code = "usage", message = missing }, 0) end
    local fine, message = fill(self, slot, found, true)
    if not fine then refuse("%s", message) end
  end
  local listens, message, code = self.server:start(service_options(options))
  if not listens then error({ code = code == "argument" and "usage" or "failed", message = message }, 0) end
  return self
end

--- The address to ask, for people.
---@return string
function Operation:url()
  local address = self.options.host or "127.0.0.1"
  if address == "*" or address == "0.0.0.0" or address == "::" or address == "" then address = "localhost" end
  local scheme = self.options.certificate and "https" or "http"
  if address:find(":", 1, true) then address = "[" .. address .. "]" end
  return ("%s://%s:%d"):format(scheme, address, self.server:port())
end

--- Verify what was mapped. A damaged bundle ends the server (raises): what it has answered may be wrong.
function Operation:verify()
  for _, slot in ipairs(self.slots) do
    local fine, message = self.server:verify(slot.name)
    if not fine then refuse("%s: %s", slot.version, message) end
  end
  self.server:state "ready"
end

--- Load what a slot's word stands for now, unless it is there already ('anew': even then).
---@return boolean? loaded  false: there is nothing new
---@return string? failure
local function renew(self, slot, anew)
  local tried, found, message = exit.try(versions.find, slot.word, self.options.models)
  if not tried then return nil, exit.message_of(found) end
  if not found then return nil, message end
  if not anew and (found.stamp == slot.stamp or found.stamp == slot.refused) then return false end
  local before = slot.version
  local fine, refusal = fill(self, slot, found)
  slot.refused = not fine and found.stamp or nil
  if not fine then return nil, refusal end
  log.info("%s: %s in place of %s", slot.name, slot.version, before)
  return true
end

--- Look for other versions; what cannot be loaded is told, and the one that answers stays.
local function reload(self, anew)
  local asked, failures, loaded = self.server:asked(), {}, false
  for _, slot in ipairs(self.slots) do
    local done, failure = renew(self, slot, anew)
    loaded = loaded or done
    if failure and (anew or failure ~= slot.told) then
      failures[#failures + 1] = ("%s stays %s: %s"):format(slot.name, slot.version, failure)
      log.warn("%s", failures[#failures])
    end
    slot.told = failure
  end
  self.answered, self.polled = asked, uv.hrtime()
  if loaded or #failures > 0 then
    self.server:reloaded(asked, #failures > 0 and table.concat(failures, "; ") or nil)
  end
end

--- Callers hear that nothing is kept, and who runs the server why.
local function tell_trouble(self)
  local trouble = self.server:trouble()
  if trouble == self.trouble then return end
  if trouble then
    log.warn("posted events and items: %s", trouble)
  else
    log.info("posted events and items are written again")
  end
  self.trouble = trouble
end

--- Do what is due.
function Operation:step()
  tell_trouble(self)
  local poll = self.options.poll or 2
  if self.hung_up or self.server:asked() ~= (self.answered or 0) then
    if self.hung_up and self.options.access_log then self.server:reopen_log() end
    self.hung_up = nil
    reload(self, true)
  elseif poll > 0 and uv.hrtime() - self.polled >= poll * 1e9 then
    reload(self, false)
  end
end

--- From here on SIGHUP loads versions anew, and a signal that asks to stop waits for run() to obey. That nobody reads
--- stderr any more is no reason to end.
function Operation:watch()
  signals.hold()
  self.unheard = uv.new_signal()
  self.unheard:start("sigpipe", function() end)
  self.hang_up = uv.new_signal()
  self.hang_up:start("sighup", function() self.hung_up = true end)
end

--- Write what still waits for the database; what is lost is told.
---@return string? message
local function finish(self, patience_ms)
  self.finished = true
  local lost, message = self.server:finish(patience_ms)
  if lost == 0 then return end
  return ("what was answered by 202 is lost, %d events, items, removals or erasures: %s"):format(lost, message)
end

--- Serve until a signal asks to stop; then answer what has come, write what was posted, and end. watch() was called
--- before.
---@param patience_ms? integer  that all of this has then, default 25,000
---@return integer signal  which is taken as obeyed: the program may end with 0; raises where posts are lost
function Operation:run(patience_ms)
  self:verify()
  while not signals.stopped() do
    self:step()
    loop.rest(REST)
  end
  patience_ms = patience_ms or 25000
  local begun = uv.hrtime()
  self.server:state "draining"
  self.server:drain(patience_ms)
  local loss = finish(self, math.max(0, patience_ms - (uv.hrtime() - begun) // 1000000))
  local signal = signals.obeyed()
  if loss then refuse("%s", loss) end
  return signal
end

function Operation:close()
  for _, name in ipairs { "hang_up", "unheard" } do
    if self[name] then self[name]:close() end
    self[name] = nil
  end
  uv.run "nowait"
  local loss = not self.finished and finish(self, 0)
  if loss then log.warn("%s", loss) end
  self.server:close()
end
Operation.__close = Operation.close

return operation

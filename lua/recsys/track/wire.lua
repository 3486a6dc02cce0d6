--- Requests to an MLflow server: its REST API 2.0, with the client's variables for the address and who we are.
---
--- An answer that says no is nil, message, code with MLflow's error code. Three codes are ours: "away", when there is
--- no answer or one of those that a later attempt may get the better of (408, 429, 502, 503, 504), "broken" (500), when
--- it is the server's fault, be it for now or with this request for ever, and "denied" (401, 403).
---
--- What a coroutine of wire:beside asks, it waits for while the program goes on: wire:step() looks after it.

local exit = require "recsys.exit"
local files = require "recsys.files"
local http = require "recsys.http"
local json = require "recsys.json"
local uv = require "luv"

local wire = {}

local Wire = { __name = "recsys.Wire" }
Wire.__index = Wire

local own_codes = { [401] = "denied", [403] = "denied", [408] = "away", [429] = "away", [500] = "broken",
  [502] = "away", [503] = "away", [504] = "away" }

--- The address of the tracking server that the environment names; nil when it names none that is reached by HTTP.
---@return string?
function wire.address()
  local uri = os.getenv "MLFLOW_TRACKING_URI"
  return uri and uri:find "^https?://[^/]" and (uri:gsub("/+$", "")) or nil
end

--- User and password of ~/.mlflow/credentials, which MLflow's client reads, too.
local function stored_credentials()
  local text = files.read((os.getenv "HOME" or "") .. "/.mlflow/credentials")
  if not text then return nil end
  return text:match "mlflow_tracking_username%s*=%s*([^\r\n]*)", text:match "mlflow_tracking_password%s*=%s*([^\r\n]*)"
end

--- Who we are, from the environment; a user wins over a token.
local function client_options(options)
  local user, password = os.getenv "MLFLOW_TRACKING_USERNAME", os.getenv "MLFLOW_TRACKING_PASSWORD"
  local token = os.getenv "MLFLOW_TRACKING_TOKEN"
  if not user and not token then user, password = stored_credentials() end
  return { user = user, password = user and password or nil, token = not user and token or nil,
    ca = os.getenv "MLFLOW_TRACKING_SERVER_CERT_PATH", insecure = os.getenv "MLFLOW_TRACKING_INSECURE_TLS" == "true",
    timeout_ms = options and options.timeout_ms or 10000 }
end

--- A connection to a server, which is kept open. Nothing is sent yet.
---@param address string   "http://host:5000"
---@param options? { timeout_ms?: integer }  for an answer, default 10000; where a file is carried, for a silence
---@return Wire
function wire.open(address, options)
  local function client()
    local made, message, code = http.client(client_options(options))
    return made or error({ code = code, message = message }, 0)
  end
  return setmetatable({ address = (address:gsub("/+$", "")), client = client(), second = client() }, Wire)
end

--- Let fn(...) run beside the program: it goes on in wire:step(), from request to request.
function Wire:beside(fn, ...)
  local arguments = table.pack(...)
  self.work = coroutine.create(function() return fn(table.unpack(arguments, 1, arguments.n)) end)
end

--- Whether something runs beside the program.
function Wire:is_busy() return self.work ~= nil end

--- Go on with what runs beside.
---@param ms integer  how long to wait for an answer
---@return boolean done  true: it has ended, and gave what follows; what it raises is raised
function Wire:step(ms)
  local work = self.work
  local results = table.pack(coroutine.resume(work, ms))
  if coroutine.status(work) ~= "dead" then return false end
  self.work = nil
  if not results[1] then
    coroutine.close(work) -- what it was at is over
    error(results[2], 0)
  end
  return true, table.unpack(results, 2, results.n)
end

--- Let go of what runs beside, wherever it is.
function Wire:abandon()
  if self.work then coroutine.close(self.work) end
  self.work = nil
end

function Wire:close()
  self:abandon()
  self.client:close()
  self.second:close()
end

--- A text as a part of an address; '/' stays where 'keep' says so.
local function escaped(text, keep)
  return (tostring(text):gsub(keep and "[^%w%-%._~/]" or "[^%w%-%._~]", function(c)
    return ("%%%02X"):format(c:byte())
  end))
end

local function query_of(fields)
  local list = {}
  for name, value in pairs(fields) do
    for _, one in ipairs(type(value) == "table" and value or { value }) do
      list[#list + 1] = escaped(name) .. "=" .. escaped(one)
    end
  end
  table.sort(list)
  return #list > 0 and "?" .. table.concat(list, "&") or ""
end

--- nil, message, code of an answer that is none.
local function refusal(answer, what)
  local told = json.decode(answer.body or "")
  told = type(told) == "table" and told or {}
  local message = type(told.message) == "string" and told.message or answer.body or ""
  message = message:match("^[^\r\n]*"):sub(1, 300)
  local code = type(told.error_code) == "string" and told.error_code or "HTTP " .. answer.status
  return nil, ("%s: %d %s"):format(what, answer.status, message), own_codes[answer.status] or code
end

--- Wait for the answer; in the coroutine of self:beside by yielding, over a connection of its own.
local function ask(self, request)
  if not self.work or coroutine.running() ~= self.work then return self.client:request(request) end
  request.wait = coroutine.yield -- until step() is called with the ms of its next wait
  return self.second:request(request)
end

local function send(self, request, what)
  local answer, message, code = ask(self, request)
  if not answer then return nil, message, code == "argument" and "argument" or "away" end
  if answer.status < 200 or answer.status > 299 then return refusal(answer, what) end
  return answer
end

--- Call the API: self:call("POST", "runs/create", { ... }).
---@param method string
---@param endpoint string  what follows /api/2.0/mlflow/
---@param fields? table    the body, or of a GET the query
---@return table? answer
---@return string? message
---@return string? code
function Wire:call(method, endpoint, fields)
  local url = self.address .. "/api/2.0/mlflow/" .. endpoint
  local request = { method = method, url = url }
  if method == "GET" then
    request.url = url .. query_of(fields or {})
  else
    request.body, request.headers = json.encode(fields or {}), { ["Content-Type"] = "application/json" }
  end
  local answer, message, code = send(self, request, endpoint)
  if not answer then return nil, message, code end
  local decoded = json.decode(answer.body)
  if type(decoded) ~= "table" then return nil, endpoint .. ": the answer is no JSON object", "format" end
  return decoded
end

--- Where artifacts of an address are sent to and fetched from; nil, message when this server does not carry them.
function Wire:artifact_url(uri)
  local host, path = uri:match "^mlflow%-artifacts://([^/]*)/(.*)$"
  path = path or uri:match "^mlflow%-artifacts:/([^/].*)$"
  if not path then return nil, ("artifacts at %s do not pass through the server"):format(uri), "artifacts" end
  local base = self.address
  if host and host ~= "" then base = (self.address:match "^%a+://") .. host end
  return base .. "/api/2.0/mlflow-artifacts/artifacts/" .. escaped(path, true)
end

--- Put a file into a folder of this machine.
local function put_here(place, path)
  local ok, problem = pcall(function()
    files.make_folder((place:match "^(.*)/[^/]+$"))
    assert(uv.fs_copyfile(path, place))
  end)
  return ok or nil, ok or exit.message_of(problem), "artifacts"
end

--- Put a file at an artifact's address: through the server, or where one on this machine leaves its files to its
--- clients, into its folder.
---@param uri string   "mlflow-artifacts:/1/RUN/artifacts/name"
---@param path string  of the file
function Wire:put_file(uri, path)
  local place = uri:match "^file://(/.*)$" or uri:match "^(/.*)$"
  if place then return put_here(place, path) end
  local url, message, code = self:artifact_url(uri)
  if not url then return nil, message, code end
  return send(self, { method = "PUT", url = url, file = path,
    headers = { ["Content-Type"] = "application/octet-stream" } }, uri)
end

--- Fetch an artifact into a file.
function Wire:get_file(uri, path)
  local url, message, code = self:artifact_url(uri)
  if not url then return nil, message, code end
  return send(self, { method = "GET", url = url, into = path }, uri)
end

return wire

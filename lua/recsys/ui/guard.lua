--- Who may ask the page's server what.
---
--- It listens on this machine's loopback and serves whoever is on it; what it must keep out is a web page of somebody
--- else's in the browser of that person. Such a page can reach the loopback, so:
--- * the Host header must be a name of ours (a foreign name that resolves to 127.0.0.1 is refused: DNS rebinding;
---   runtime/http/head.c holds a server of models to the same);
--- * what changes something must not come from another origin (Origin, Sec-Fetch-Site), and must be JSON, which a form
---   cannot send and a script only after it has asked, which is never granted;
--- * answers may not be read, framed or embedded from elsewhere, and files that people logged run no script.
--- With a token every call must bring it, as `Authorization: Bearer TOKEN` or as the password of Basic authorization.

local guard = {}

local Guard = {}
Guard.__index = Guard

--- The name of a Host header without its port, in lower case; nil when it is none.
---@param host? string
---@return string?
function guard.host_name(host)
  if not host then return nil end
  local name = host:match "^%[([%x:.]+)%]$" or host:match "^%[([%x:.]+)%]:%d+$" or host:match "^([%w._%-]+)$"
    or host:match "^([%w._%-]+):%d+$"
  return name and name:lower():gsub("%.$", "") or nil
end

--- Whether an address is reached from this machine alone.
---@param address string
function guard.is_loopback(address)
  return address == "localhost" or address == "::1" or address:find "^127%." ~= nil
end

local function is_number(name)
  return name:find "^%d+%.%d+%.%d+%.%d+$" ~= nil or name:find(":", 1, true) ~= nil
end

--- A guard.
---@param options { address?: string, names?: string[], token?: string }
---   names: what else the server is called, in Host headers
function guard.new(options)
  local self = setmetatable({ names = { ["localhost"] = true, ["127.0.0.1"] = true, ["::1"] = true },
    token = options.token }, Guard)
  local address = options.address or "127.0.0.1"
  self.any_number = not guard.is_loopback(address) -- a number cannot be made to point elsewhere, as a name can
  self.names[address:lower()] = true
  for _, name in ipairs(options.names or {}) do self.names[name:lower()] = true end
  return self
end

--- Whether two texts are equal, in a time that tells nothing of where they differ.
local function same(a, b)
  local difference = #a ~ #b
  for i = 1, #a do difference = difference | (a:byte(i) ~ (b:byte((i - 1) % math.max(#b, 1) + 1) or 0)) end
  return difference == 0
end

--- The token that a request brings.
local function brought(headers)
  local authorization = headers.authorization or ""
  local token = authorization:match "^[Bb]earer +(.+)$"
  if token then return token end
  local basic = authorization:match "^[Bb]asic +(.+)$"
  local pair = basic and require("recsys.base64").decode(basic)
  return pair and pair:match "^[^:]*:(.*)$"
end

--- Who asks, for the record: the user of Basic authorization where one is named, the program by its own word, and from
--- where; "ann by mlflow-python-client/3.17.2 at 127.0.0.1".
---@param request HttpRequest
---@return string
function guard.client(request)
  local basic = (request.headers.authorization or ""):match "^[Bb]asic +(.+)$"
  local pair = basic and require("recsys.base64").decode(basic)
  local user = pair and pair:match "^([^:]+):"
  local program = (request.headers["user-agent"] or ""):match "^%S+" or "a client"
  local function plain(text) return (text:sub(1, 60):gsub("[^%w%._%-/@ ]", "?")) end
  return ("%s%s at %s"):format(user and plain(user) .. " by " or "", plain(program), request.address or "?")
end

local writes = { POST = true, PUT = true, PATCH = true, DELETE = true }

local function refuse(code, message) error({ code = code, message = message }, 0) end

local function check_host(self, headers)
  local name = guard.host_name(headers.host)
  if name and (self.names[name] or is_number(name) and (self.any_number or guard.is_loopback(name))) then return end
  refuse("PERMISSION_DENIED", ("The Host header '%s' is none of this server's names. If it is one, start the server "
    .. "with --allow-host."):format((headers.host or ""):sub(1, 100)))
end

--- A browser says where a request comes from; other clients say nothing.
local function check_origin(headers)
  local site, origin = headers["sec-fetch-site"], headers.origin
  local foreign = site and site ~= "same-origin" and site ~= "none"
  if origin then
    local authority = origin:match "^https?://(.+)$"
    foreign = foreign or not authority or authority:lower() ~= (headers.host or ""):lower()
  end
  if foreign then refuse("PERMISSION_DENIED", "Nothing is changed here from pages of other sites.") end
end

--- Raise { code, message } unless the request may be answered.
---@param request HttpRequest
---@param is_open boolean  what is asked for needs no token: the page itself, which holds no data
function Guard:check(request, is_open)
  local headers = request.headers
  check_host(self, headers)
  if writes[request.method] then check_origin(headers) end
  if self.token and not is_open and not same(brought(headers) or "", self.token) then
    refuse("UNAUTHENTICATED", "This server asks for a token: Authorization: Bearer TOKEN.")
  end
end

--- Raise unless a body is said to be JSON.
---@param headers table<string, string>
function guard.check_json(headers)
  local kind = (headers["content-type"] or ""):match "^%s*([^;%s]*)"
  if kind:lower() ~= "application/json" then
    refuse("INVALID_PARAMETER_VALUE", "Bad Request. Content-Type must be one of ['application/json'].")
  end
end

local everywhere = { ["X-Content-Type-Options"] = "nosniff", ["Referrer-Policy"] = "same-origin",
  ["Cross-Origin-Resource-Policy"] = "same-origin", ["Cross-Origin-Opener-Policy"] = "same-origin" }

-- Inline styles are for the sandboxed frames in which reports are shown, which inherit the page's policy.
local policies = {
  page = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; "
    .. "font-src 'self'; connect-src 'self'; media-src 'self' blob:; frame-src 'self' blob:; object-src 'none'; "
    .. "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  data = "default-src 'none'; frame-ancestors 'none'",
  artifact = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
    .. "frame-ancestors 'self'",
}

--- Add what keeps an answer where it belongs.
---@param response HttpResponse
---@param kind "page"|"data"|"artifact"
---@return HttpResponse response
function guard.secure(response, kind)
  local headers = response.headers or {}
  response.headers = headers
  for name, value in pairs(everywhere) do headers[name] = value end
  headers["Content-Security-Policy"] = policies[kind]
  headers["X-Frame-Options"] = kind == "artifact" and "SAMEORIGIN" or "DENY"
  headers["Cache-Control"] = headers["Cache-Control"] or (kind == "page" and "no-cache" or "no-store")
  return response
end

return guard

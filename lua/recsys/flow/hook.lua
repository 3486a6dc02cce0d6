--- The other side of recsys.flow.hooks: `recsys-run --hook` runs one hook, which the variable RECSYS_HOOK describes.
---
--- A command gets the event as JSON on its stdin, and as variables RECSYS_EVENT, RECSYS_RUN, ...; a webhook gets it as
--- the body of a POST. That JSON is UTF-8 whatever a path holds. What goes wrong is a line on stderr, which is the
--- run's hooks.txt.

local json = require "recsys.json"
local text = require "recsys.text"
local uv = require "luv"

local hook = {}

local ATTEMPTS <const> = 3 -- of a webhook that answers nothing, or 500 and more

local function say(what, format, ...)
  io.stderr:write(os.date "!%Y-%m-%dT%H:%M:%SZ ", what, ": ", format:format(...), "\n")
end

--- Run a shell command to its end, at most so many seconds; what is wrong with that, or nil.
local function run_command(command, body, timeout)
  local input, deaf = uv.new_pipe(false), uv.new_signal()
  deaf:start("sigpipe", function() end) -- a command need not read what it is told
  local code, signal, late
  local handle, pid = uv.spawn("/bin/sh", { args = { "-c", command }, stdio = { input, 1, 2 }, detached = true },
    function(c, s) code, signal = c, s end)
  if not handle then return ("cannot be started: %s"):format(pid) end
  local timer = uv.new_timer()
  timer:start(math.ceil(timeout * 1000), 0, function()
    late = true
    uv.kill(-pid, "sigkill")
  end)
  input:write(body .. "\n", function() if not input:is_closing() then input:close() end end)
  while code == nil do uv.run "once" end
  for _, one in ipairs { timer, handle, input, deaf } do
    if not one:is_closing() then one:close() end
  end
  uv.run "nowait"
  if late then return ("was stopped after its timeout of %g s"):format(timeout) end
  if signal ~= 0 then return ("ended by signal %d"):format(signal) end
  return code ~= 0 and ("ended with code %d"):format(code) or nil
end

--- Post to an address; what is wrong with the answer, or nil.
local function post(url, body, timeout)
  local client = assert(require("recsys.http").client { timeout_ms = math.max(1, math.floor(timeout * 1000)) })
  local answer, message = client:request { method = "POST", url = url, body = body,
    headers = { ["Content-Type"] = "application/json" } }
  client:close()
  if not answer then return message, true end
  if answer.status >= 300 then return ("answered %d"):format(answer.status), answer.status >= 500 end
end

local function call(url, body, timeout)
  local ends = uv.hrtime() + timeout * 1e9
  for n = 1, ATTEMPTS do
    local left = (ends - uv.hrtime()) / 1e9
    local problem, passes = post(url, body, math.max(left, 0.001))
    if not problem or not passes or n == ATTEMPTS or left < 1 then return problem end
    uv.sleep(200 * n)
  end
end

--- An address as it is told: who may read a run's folder need not know what lets him post there, which is in the
--- path, the query or before the host.
---@param url string
---@return string
function hook.shown(url)
  local scheme, host, rest = url:match "^(%a+://)([^/?#]*)(.*)$"
  return scheme .. host:gsub("^.*@", "") .. ((rest == "" or rest == "/") and rest or "/...")
end

--- The same within a message, in which the address may stand.
local function without(message, url)
  local from, to = message:find(url, 1, true)
  return from and message:sub(1, from - 1) .. hook.shown(url) .. message:sub(to + 1) or message
end

--- Run the hook that the environment describes.
---@return integer exit code
function hook.main()
  local said = json.decode(os.getenv "RECSYS_HOOK" or "")
  if type(said) ~= "table" then return 1 end
  uv.os_unsetenv "RECSYS_HOOK"
  local it, event = said.hook, said.event
  local body = text.readable(json.encode(event))
  local problem
  if it.command then
    problem = run_command(it.command, body, it.timeout)
  else
    problem = call(it.url, body, it.timeout)
    problem = problem and without(problem, it.url)
  end
  local what = ("%s of %s%s, %s"):format(event.event, event.task and "task " .. event.task or "the run",
    event.state and " (" .. event.state .. ")" or "", it.command or hook.shown(it.url))
  if problem then say(what, "%s", problem) end
  return problem and 1 or 0
end

return hook

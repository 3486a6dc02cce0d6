--- `recsys-run serve` as a program, for specs: started, asked, killed.

local command = require "spec.support.command"
local http = require "recsys.http"
local json = require "recsys.json"
local uv = require "luv"

local program = {}

--- Our environment, and more.
local function environment_with(settings)
  local all = table.move(settings, 1, #settings, 1, {})
  for name, value in pairs(uv.os_environ()) do all[#all + 1] = name .. "=" .. value end
  return all
end

--- Start it with words, at any port unless they name one; { pid, url, out, err, errors, code } once it has told its
--- address, or ended. 'errors' is the pipe that is its stderr.
---@param words string[]
---@param path? string  a program of another build
---@param settings? string[]  NAME=VALUE, of the environment beside ours
function program.start(words, path, settings)
  local out, err = uv.new_pipe(), uv.new_pipe()
  local one = { out = "", err = "", errors = err }
  local named = (" " .. table.concat(words, " ")):find(" --port ", 1, true)
  local args = { "serve", table.unpack(words) }
  if not named then table.move({ "--port", "0" }, 1, 2, #args + 1, args) end
  one.handle = assert(uv.spawn(path or command.program, { args = args, env = settings and environment_with(settings),
    stdio = { nil, out, err } },
    function(code, signal) one.code, one.signal = code, signal end))
  one.pid = one.handle:get_pid()
  local function take(pipe, name)
    pipe:read_start(function(_, data)
      if data then one[name] = one[name] .. data else pipe:close() end
    end)
  end
  take(out, "out")
  take(err, "err")
  while not one.code and not one.out:find "\n" do uv.run "once" end
  one.url = one.out:match "(https?://%S+)"
  return one
end

--- Wait for its end, after a signal where one is given; its exit code.
function program.stop(one, signal)
  if signal and not one.code then one.handle:kill(signal) end
  while not one.code do uv.run "once" end
  if not one.handle:is_closing() then one.handle:close() end
  uv.run "nowait"
  return one.code
end

--- Read what it has written on stderr until it has 'text', as a plain text, in it.
function program.wait_for(one, text)
  local deadline = uv.hrtime() + 60e9
  local timer = uv.new_timer()
  timer:start(20, 20, function() end)
  while not one.err:find(text, 1, true) and uv.hrtime() < deadline do uv.run "once" end
  timer:close()
  uv.run "nowait"
  return one.err:find(text, 1, true) ~= nil
end

--- Ask; the reply, and its body as a value where it is JSON.
function program.ask(one, method, path, body, headers)
  local client <close> = assert(http.client { timeout_ms = 20000 })
  headers = headers or {}
  if type(body) == "table" then
    body, headers["Content-Type"] = json.encode(body), "application/json"
  end
  local reply, message = client:request { method = method, url = one.url .. path, body = body, headers = headers }
  if not reply then return nil, message end
  local is_json = (reply.headers["content-type"] or ""):find "^application/json"
  return reply, is_json and json.decode(reply.body) or nil
end

return program

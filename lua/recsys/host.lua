--- Where the runtime lives: the folder of lua/, recipes/ and models/, and the program that runs us.

local uv = require "luv"

local host = {}

local function realpath(path)
  return uv.fs_realpath(path) or path
end

--- The folder that holds lua/, recipes/ and models/: the source tree, or PREFIX/share/recsys-run.
host.root = realpath(debug.getinfo(1, "S").source:sub(2)):gsub("/lua/recsys/host%.lua$", "")

--- The recsys-run program that runs this state; nil under another interpreter.
host.executable = realpath "/proc/self/exe"
if not host.executable:match "/recsys%-run$" then host.executable = nil end

--- The program as it was called, for commands that people can copy: ./recsys-run in a checkout.
host.called = host.executable and arg and arg[0] or "recsys-run"

return host

--- What specs need to run programs: the build under test, temporary folders, and a shell command's outcome.

local uv = require "luv"

local command = {}

--- The build folder under test, absolute, and its host program.
command.build = assert(uv.fs_realpath(os.getenv "RECSYS_BUILD" or "build/release"))
command.program = command.build .. "/recsys-run"

--- The repository's root: specs run from there.
command.root = uv.cwd()

--- Whether the build is instrumented by a sanitizer: then its core.so does not load into a stock lua5.4.
command.sanitized = require("recsys.core").doctor.build().sanitize ~= ""

function command.read(path)
  local file = assert(io.open(path, "rb"))
  local bytes = file:read "a"
  file:close()
  return bytes
end

function command.write(path, bytes, mode)
  local file = assert(io.open(path, "wb"))
  file:write(bytes)
  file:close()
  if mode then assert(uv.fs_chmod(path, tonumber(mode, 8))) end
  return path
end

--- A new empty folder; the caller removes it (`command.remove`), usually in `finally` or `teardown`.
function command.temporary()
  return assert(uv.fs_mkdtemp((os.getenv "TMPDIR" or "/tmp") .. "/recsys-spec-XXXXXX"))
end

function command.remove(folder)
  assert(folder:match "recsys%-spec%-")
  os.execute(("rm -rf '%s'"):format(folder))
end

--- A new empty folder that goes with the running test, whose 'finally' this is.
function command.scratch(finally)
  local folder = command.temporary()
  finally(function() command.remove(folder) end)
  return folder
end

--- Run a shell command to its end.
---@return { code: integer, out: string, err: string }  the exit code as a shell sees it
function command.run(line)
  local folder = command.temporary()
  local _, kind, code = os.execute(("{ %s\n} >%s/out 2>%s/err </dev/null"):format(line, folder, folder))
  local result = { code = kind == "signal" and 128 + code or code, out = command.read(folder .. "/out"),
    err = command.read(folder .. "/err") }
  command.remove(folder)
  return result
end

return command

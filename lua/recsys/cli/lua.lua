--- `recsys-run lua FILE [ARGUMENT]...`: a plain Lua program in the runtime, with `recsys` at hand.

local exit = require "recsys.exit"

local command = { about = "Run a Lua program with the library at hand", raw = true }

function command.run(words)
  local path = words[1]
  if not path or path:match "^%-" then
    io.stdout:write "Usage: recsys-run lua FILE [ARGUMENT]...\n\nRun a Lua program with the library at hand.\n"
    return (path == "-h" or path == "--help") and exit.done or exit.usage
  end
  local chunk, message = loadfile(path)
  if not chunk then exit.usage_error("%s", message) end
  _G.arg = table.move(words, 1, #words, 0, {})
  chunk(table.unpack(words, 2))
  return exit.done
end

return command

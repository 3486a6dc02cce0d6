--- A published model that answers requests in C, without the Lua model (docs/bundle.md).

local core = require("recsys.core").serve
local registry = require "recsys.registry"

local serve = { map = core.map }

function serve.open(word, dir)
  local path, message = registry.resolve(word, dir)
  if not path then return nil, message, "io" end
  return core.open(path)
end

return serve

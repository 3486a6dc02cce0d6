--- A published model that answers requests in C, without the Lua model (docs/bundle.md).

local core = require("recsys.core").serve
local json = require "recsys.json"
local registry = require "recsys.registry"

local serve = {}

--- Open a bundle by path, NAME-VERSION or NAME.
function serve.open(word, dir)
  local path, message = registry.resolve(word, dir)
  if not path then return nil, message, "io" end
  return core.open(path)
end

--- A user's fields, as `recommend` takes them.
function serve.fields(fields)
  return json.encode(fields)
end

return serve

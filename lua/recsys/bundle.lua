--- Bundles: one file that holds a model as data, with a manifest that vouches for every byte (docs/bundle.md).

local core = require("recsys.core").bundle
local json = require "recsys.json"

local bundle = { write_safetensors = core.write_safetensors, read_safetensors = core.read_safetensors }

function bundle.write(path, contents)
  if type(contents) ~= "table" or type(contents.manifest) ~= "table" or type(contents.members) ~= "table" then
    error("bad argument #2 to 'write' (a table with manifest and members is expected)", 2)
  end
  return core.write(path, json.pretty(contents.manifest), contents.members)
end

function bundle.open(path, options)
  return core.open(path, not options or options.verify ~= false)
end

return bundle

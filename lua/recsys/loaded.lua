--- Lua files that a recipe loads by dofile and loadfile, as they were then. `require` knows its modules; of these
--- nobody else does.

local host = require "recsys.host"

local loaded = {}

local LIBRARY <const> = host.root .. "/lua/recsys/"
local load_file, run_file = loadfile, dofile

local found, own = {}, nil -- path -> hash; the run's folder

local function note(path)
  if type(path) ~= "string" or path:sub(1, #LIBRARY) == LIBRARY then return end
  if own and path:sub(1, #own + 1) == own .. "/" then return end -- what the run itself has made
  local hash = require("recsys.core").frame.hash_file(path)
  if hash then found[path] = (found[path] or hash) == hash and hash or "changed meanwhile" end
end

--- Note from here on which files are loaded; forget those of before.
function loaded.begin()
  found, own = {}, nil
  rawset(_G, "loadfile", function(...)
    note((...))
    return load_file(...)
  end)
  rawset(_G, "dofile", function(...)
    note((...))
    return run_file(...)
  end)
end

--- Files in this folder are the run's own, and not noted.
---@param folder string
function loaded.inside(folder) own = folder end

--- What was loaded so far: path -> hash.
---@return table<string, string>
function loaded.files() return found end

return loaded

--- Whether a step may reuse what an earlier run made, such as the news sample or a parsed file, and where such things
--- lie. The command line's `--no-cache` forbids reuse for the rest of the process.

local cache = {}

local allowed = true

--- Whether reuse is allowed; true until it is forbidden.
---@return boolean
function cache.allowed()
  return allowed
end

--- Allow or forbid reuse from here on.
---@param yes boolean
function cache.allow(yes)
  if type(yes) ~= "boolean" then error("bad argument #1 to 'allow' (true or false expected)", 2) end
  allowed = yes
end

--- The folder for what can always be made again: parsed files, memory beyond the limit. The variable RECSYS_CACHE
--- names another one than artifacts/cache.
---@param place? string  another folder than artifacts
---@return string
function cache.folder(place)
  local named = os.getenv "RECSYS_CACHE"
  return named and named ~= "" and named or (place or "artifacts") .. "/cache"
end

return cache

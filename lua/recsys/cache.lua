--- Whether a step may reuse what an earlier run made, such as the news sample. The command line's `--no-cache`
--- forbids it for the rest of the process.

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

return cache

--- A module that is loaded when something of it is first asked for: what a program never uses costs its start nothing.
--- For modules that a task's own process (recsys.flow.inside) does not need.
---
---@param name string  "recsys.flow.record"
---@return table       stands for the module: it has its fields, and none of its own
return function(name)
  return setmetatable({}, { __index = function(_, field) return require(name)[field] end })
end

--- The tracked run that what happens here belongs to, for those who log into it and have not begun it; nil without one.
--- The process of a task (recsys.flow.inside) joins its run only now: most tasks log nothing.

---@return Run?
return function()
  local begun = package.loaded["recsys.track"] or package.preload["recsys.track"]
  return begun and require("recsys.track").current() or nil
end

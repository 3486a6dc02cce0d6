--- recsys: a machine-learning runtime for recommender systems.
--- `require "recsys"` gives a table whose fields are the library's modules, each loaded when it is first used:
--- `recsys.tensor` is `require "recsys.tensor"`.
return setmetatable({}, {
  __index = function(recsys, name)
    if type(name) ~= "string" then return nil end
    local module = require("recsys." .. name)
    rawset(recsys, name, module)
    return module
  end,
})

--- The same through the endpoint that SageMaker calls.

local served = require "recsys.bench.served"
local serving = require "recsys.bench.serving"

return serving.row("invocations", {
  about = "POST /invocations with application/json, for users that the bundle knows",
  path = "/invocations", body = function(i) return { user = served.user(i), k = 50 } end,
})

--- encode_one without the JSON: the fields are a Lua table already.
local inputs = require "recsys.bench.inputs"

local REQUESTS = 200000

return {
  about = "one row of twelve features from fields",
  unit = "row", per = function() return REQUESTS end,
  prepare = function() return { users = 1000 } end,
  setup = function(p)
    local users, fields = inputs.users(p.users // 1)
    return { encoder = inputs.encoder(users), requests = fields }
  end,
  run = function(state)
    local program, requests, rows = state.encoder.program, state.requests, 0
    for i = 1, REQUESTS do
      local one = program:request("user", requests[1 + i % #requests])
      rows = rows + one:rows()
      one:close()
    end
    return { rows = rows }
  end,
  target = { seconds = REQUESTS * 20e-6 },
}

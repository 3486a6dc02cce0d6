--- A dozen features of one user, from a JSON object of a request to a batch's tensors, again and again: what a service
--- does. 200,000 requests a call, of 1,000 different users, a tenth of them new and each field missing in a seventh.
local inputs = require "recsys.bench.inputs"
local json = require "recsys.json"

local REQUESTS = 200000

return {
  about = "one row of twelve features from JSON",
  unit = "row", per = function() return REQUESTS end,
  prepare = function() return { users = 1000 } end,
  setup = function(p)
    local users, fields = inputs.users(p.users // 1)
    local requests = {}
    for i = 1, #fields do requests[i] = json.encode(fields[i]) end
    return { encoder = inputs.encoder(users), requests = requests }
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

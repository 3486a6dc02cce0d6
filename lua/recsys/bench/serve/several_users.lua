--- Ten users in one call.

local served = require "recsys.bench.served"
local serving = require "recsys.bench.serving"

local USERS <const> = 10

return serving.row("several_users", {
  about = "POST /recommend for ten known users in one call", each = USERS,
  body = function(i, size)
    local users = {}
    for n = 1, USERS do users[n] = served.user((i * 13 + n * 101) % size.users + 1) end
    return { users = users, k = 50 }
  end,
})

--- The twelve features of encode_one over a table of a million users.
local inputs = require "recsys.bench.inputs"

return {
  about = "a table of a million rows to twelve features",
  unit = "row", per = function(p) return p.users end,
  prepare = function(_, options)
    return { users = math.ceil(1e6 * options.scale) }
  end,
  setup = function(p)
    local users = inputs.users(p.users // 1)
    return { encoder = inputs.encoder(users), users = users }
  end,
  run = function(state)
    local features <close> = state.encoder:encode_users(state.users)
    return { rows = features:rows() }
  end,
}

--- Users that the bundle does not know, told by the fields that training had: the same encoder, for one row.

local serving = require "recsys.bench.serving"

return serving.row("raw_features", {
  about = "POST /recommend for an unknown user with raw features and a session of ten articles",
  body = function(i, size)
    local history = {}
    for n = 1, 10 do history[n] = ("h%08x"):format((i * 31 + n * n * 7) % size.items + 1) end
    return { user = "stranger-" .. i, k = 50, history = history, fields = { platform = "platform-" .. i % 3 + 1,
      os_version = "os_version-" .. i % 40 + 1, model = "model-" .. i % 400 + 1, network = "network-" .. i % 5 + 1,
      district = "district-" .. i % 75 + 1, language = "language-" .. i % 2 + 1 } }
  end,
  goal = 8000,
})

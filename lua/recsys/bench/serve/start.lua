--- From the start of the program to its first answer, with a catalogue of a million articles: the bundle is mapped. And
--- what two workers take of memory beside one, both after they have answered.

local served = require "recsys.bench.served"
local serving = require "recsys.bench.serving"
local uv = require "luv"

local SECONDS <const>, SHARE <const>, ASKED <const> = 0.3, 1.1, 200

local body = ('{"user":"%s","k":50}'):format(served.user(7))

--- Memory with so many workers, when all have answered.
local function memory(bundle, workers)
  local server <close> = serving.start(bundle, { "--workers", tostring(workers), "--poll", "0" }):wait()
  for i = 1, ASKED do
    if i % 10 == 0 then server.client = nil end -- another connection, perhaps of another worker
    server:ask("/recommend", body)
  end
  return server:memory()
end

return {
  about = "from the program's start to its first answer, of a million articles", same = false,
  prepare = function(folder, options)
    local arguments = served.make(folder, served.large, options.scale)
    arguments.bundle = uv.fs_realpath(arguments.bundle)
    return arguments
  end,
  run = function(arguments)
    local began = uv.hrtime()
    local server <close> = serving.start(arguments.bundle, { "--poll", "0" })
    server:ask("/recommend", body)
    return nil, (uv.hrtime() - began) / 1e9
  end,
  facts = function(arguments)
    local resident_1, proportional_1 = memory(arguments.bundle, 1)
    local resident_2, proportional_2 = memory(arguments.bundle, 2)
    return { resident_mib = { resident_1, resident_2 }, proportional_mib = { proportional_1, proportional_2 } }
  end,
  judge = function(sides)
    local mib = sides.recsys.facts.proportional_mib
    local reached = mib[2] / mib[1]
    return { { what = ("times the memory of one worker in two, %.0f and %.0f MiB"):format(mib[1], mib[2]),
      reached = reached, wanted = SHARE, holds = reached <= SHARE } }
  end,
  target = { seconds = SECONDS },
}

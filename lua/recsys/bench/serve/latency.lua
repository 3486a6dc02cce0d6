--- Latency at a fixed rate. wrk has none: it asks again when it was answered, so that a stall of the server spares it
--- the requests that would have come meanwhile. Ours asks when a request is due, and counts from then
--- (runtime/http/load.h).

local base = require("recsys.core").base
local http = require "recsys.http"
local served = require "recsys.bench.served"
local serving = require "recsys.bench.serving"

local RATE <const>, SECONDS <const>, CONNECTIONS <const> = 2000, 5, 16
local P99 <const> = 2e-3 -- seconds

local prepare = serving.prepare("known_user", { body = function(i) return { user = served.user(i), k = 50 } end })

return {
  about = ("the 99th percentile at %d requests a second, from when each was due"):format(RATE), same = false,
  prepare = function(folder, options)
    local arguments = prepare(folder, options)
    arguments.seconds = math.max(1, SECONDS * options.scale)
    return arguments
  end,
  setup = function(arguments)
    return { requests = serving.requests(arguments), seconds = arguments.seconds, p99 = {},
      server = serving.start(arguments.bundle, { "--workers", tostring(base.threads()), "--poll", "0" }):wait() }
  end,
  run = function(state)
    local load <close> = assert(http.load { port = state.server.port, rate = RATE, seconds = state.seconds,
      connections = CONNECTIONS, requests = state.requests })
    load:run()
    local summary = load:summary()
    if summary.fine < summary.due then
      error(("%d of %d answered: %s"):format(summary.fine, summary.due, summary.why))
    end
    state.facts = { p50_ms = load:percentile(0.5) * 1e3, p90_ms = load:percentile(0.9) * 1e3,
      p99_ms = load:percentile(0.99) * 1e3, p999_ms = load:percentile(0.999) * 1e3, most_ms = load:percentile(1) * 1e3,
      waited = summary.waited, requests = summary.fine, rate = RATE }
    return nil, load:percentile(0.99)
  end,
  facts = function(state)
    state.server:stop()
    return state.facts
  end,
  target = { seconds = P99 },
}

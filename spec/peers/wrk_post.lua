-- wrk -s wrk_post.lua URL -- FILE: POST the bodies of FILE, one a line, drawn uniformly, and print one JSON line of
-- what came of it. The script runs inside wrk, for each server alike; its cost is a draw and an index a request.
-- luacheck: globals wrk setup init request done, no unused args

local threads, requests = 0, {}

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(arguments)
  wrk.headers["Content-Type"] = "application/json"
  for body in io.lines(arguments[1]) do requests[#requests + 1] = wrk.format("POST", nil, nil, body) end
  math.randomseed(1 + wrk.thread:get "number")
end

function request() return requests[math.random(#requests)] end

function done(summary, latency)
  local errors = summary.errors
  local lost = errors.connect + errors.read + errors.write + errors.timeout
  io.write(("\n{\"requests\": %d, \"seconds\": %.6f, \"bytes\": %d, "):format(summary.requests, summary.duration / 1e6,
    summary.bytes))
  io.write(("\"p50\": %.6f, \"p99\": %.6f, \"lost\": %d, \"refused\": %d}\n"):format(latency:percentile(50) / 1e6,
    latency:percentile(99) / 1e6, lost, errors.status))
end

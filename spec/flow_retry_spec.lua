--- What is tried again, how often, and after how long.

local retry = require "recsys.flow.retry"
local uv = require "luv"

local function failed(problem) return type(problem) == "table" and problem or { code = "failed", message = problem } end

--- Run something that fails the first n times; how often it was called, the delays, what came of it.
local function run(policy, fails, failure)
  local calls, delays = 0, {}
  local ok, value = pcall(retry.run, retry.read(policy, "t"), function()
    calls = calls + 1
    if calls <= fails then error(failure or { code = "failed", message = "no luck" }, 0) end
    return "value"
  end, failed, function(_, _, delay) delays[#delays + 1] = delay end)
  return calls, delays, ok, value
end

describe("retry", function()
  it("calls once without a policy, and again as often as it says", function()
    assert.same({ 1, {}, false, { code = "failed", message = "no luck" } }, { run(nil, 1) })
    assert.same({ 3, { 0, 0 }, true, "value" }, { run(3, 2) })
    local calls, _, ok, value = run({ times = 2 }, 9)
    assert.same({ 3, false, "no luck" }, { calls, ok, value.message })
  end)

  it("waits longer each time, up to the most, or by a list", function()
    local policy = retry.read({ times = 9, delay = 1, backoff = 2, most = 5 }, "t")
    local delays = {}
    for n = 1, 5 do delays[n] = retry.delay(policy, n) end
    assert.same({ 1, 2, 4, 5, 5 }, delays)
    policy = retry.read({ times = 9, delay = { 1, 10 } }, "t")
    assert.same({ 1, 10, 10 }, { retry.delay(policy, 1), retry.delay(policy, 2), retry.delay(policy, 3) })
  end)

  it("spreads delays by the jitter", function()
    local policy = retry.read({ times = 9, delay = 10, jitter = 0.2 }, "t")
    assert.equal(8, retry.delay(policy, 1, 0))
    assert.equal(10, retry.delay(policy, 1, 0.5))
    for _ = 1, 100 do
      local delay = retry.delay(policy, 1)
      assert.is_true(8 <= delay and delay <= 12)
    end
  end)

  it("really waits", function()
    local began = uv.hrtime()
    run({ times = 1, delay = 0.12 }, 1)
    assert.is_true(uv.hrtime() - began >= 0.12e9)
  end)

  it("asks the condition, and \"busy\" means what exit code 75 means", function()
    local policy = { times = 5, when = function(failure) return failure.message == "soon" end }
    assert.equal(3, (run(policy, 2, { code = "io", message = "soon" })))
    assert.equal(1, (run(policy, 2, { code = "io", message = "never" })))
    assert.equal(3, (run({ times = 5, when = "busy" }, 2, { code = "busy", message = "locked" })))
    assert.equal(1, (run({ times = 5, when = "busy" }, 2, { code = "io", message = "no disk" })))
  end)

  it("tries nothing again that would fail in the same way: usage, gates, leaks, signals", function()
    for _, code in ipairs { "usage", "config", "quality", "leak", "interrupted", "end", "plan" } do
      assert.equal(1, (run(3, 2, { code = code, message = "no" })), code)
    end
    assert.equal(1, (run(3, 2, { code = "failed", message = "no", signal = 15 })))
  end)

  it("refuses what makes no sense, by its name", function()
    local cases = { { -1, "times must be a whole number" }, { 1.5, "times must be a whole number" },
      { "3", "retries must be a number or a table, not a string" }, { {}, "retries.times must be given" },
      { { times = 1, delay = -1 }, "retries.delay must be a number of 0 or more" },
      { { times = 1, delay = {} }, "retries.delay is an empty list" },
      { { times = 1, delay = { 1, "x" } }, "retries.delay must be a number" },
      { { times = 1, backoff = 0.5 }, "retries.backoff must be 1 or more" },
      { { times = 1, jitter = 2 }, "retries.jitter must be a share" },
      { { times = 1, when = "always" }, "retries.when must be a function or \"busy\"" },
      { { times = 1, dely = 2 }, "retries.dely is not known" } }
    for _, case in ipairs(cases) do
      local ok, problem = pcall(retry.read, case[1], "train")
      assert.is_false(ok)
      assert.equal("usage", problem.code)
      assert.matches("^task 'train': .*" .. case[2]:gsub("[%.%%]", "%%%0"), problem.message)
    end
  end)
end)

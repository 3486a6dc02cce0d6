--- `recsys-run RECIPE --profile`: the table accounts for a step, the trace nests, and without it nothing is watched.
local command = require "spec.support.command"
local core = require "recsys.core"
local files = require "recsys.files"
local json = require "recsys.json"
local profile = require "recsys.train.profile"

describe("trace", function()
  it("refuses to close what is not open", function()
    assert.has_error(function() core.trace.new():close() end, "trace: no span is open")
  end)

  it("keeps as many spans as it was told, and sums up all", function()
    local trace = core.trace.new(3)
    for _ = 1, 5 do trace:open "a":close(2, 8) end
    assert.equal(3, #trace:events())
    local row = trace:rows()[1]
    assert.same({ "a", "span", 5, 10, 40 }, { row.name, row.kind, row.calls, row.flops, row.bytes })
  end)

  it("lives as long as the tape that it watches", function()
    local tape <close> = core.autograd.tape { train = true }
    core.trace.new():watch(tape)
    collectgarbage()
    collectgarbage()
    local x = tape:input("x", core.tensor.new { 1, 2 }, true)
    tape:backward(core.autograd.sum(core.autograd.relu(x)))
  end)
end)

describe("train.profile", function()
  it("does nothing unless it was asked for", function()
    local none = profile.begin({}, nil)
    assert.is_nil(none:begin_step())
    assert.is_nil(none:enter "forward")
    assert.is_nil(none:finish())
  end)

  if command.sanitized then pending "a sanitized build times nothing" return end

  --- The trace of a small job of models/two_tower.lua, and what it printed.
  local function run(words)
    local folder = command.scratch(finally)
    local ended = command.run(("'%s' recipes/two_tower.lua --threads 1 --set data.scale=0.003 --set data.dir='%s/news' "
      .. "--set train.epochs=2 --set train.batch=1024 --set model.hidden=64 --set eval.samples=20 --set runs='%s/runs' "
      .. "--set publish.dir='%s/models' %s"):format(command.program, folder, folder, folder, words))
    assert.equal(0, ended.code, ended.err)
    return ended.out .. ended.err, folder
  end

  it("accounts for 95 % of the time of the retrieval job's steps", function()
    local printed, folder, named
    for _ = 1, 3 do -- another process may take the processor between two operations
      printed, folder = run "--profile"
      named = tonumber(printed:match "([%d.]+) %% of a step's time is in named work")
      if named >= 95 then break end
    end
    assert.is_true(named >= 95 and named <= 100, printed)
    assert.match("in_batch_softmax +1 +[%d.]+ +[%d.]+ %% +[%d.]+ +[%d.]+ +%d+ %%", printed)
    assert.match("update +1 +[%d.]+ +[%d.]+ %% +[%d.]+ +%d+ %%", printed)
    local path = printed:match "trace: (%S+)"
    assert.equal(folder, path:sub(1, #folder))
    local events = assert(json.decode(files.read(path))).traceEvents
    local steps, inside, open = 0, 0, {}
    table.sort(events, function(a, b) return a.ts < b.ts or a.ts == b.ts and a.dur > b.dur end)
    for _, event in ipairs(events) do
      assert.equal("X", event.ph)
      while #open > 0 and event.ts >= open[#open].ts + open[#open].dur do open[#open] = nil end
      local parent = open[#open]
      if parent then assert.is_true(event.ts + event.dur <= parent.ts + parent.dur + 0.01) end
      if event.name == "step" then steps = steps + event.dur else assert.truthy(parent, event.name) end
      if parent and parent.name == "step" then inside = inside + event.dur end
      open[#open + 1] = event
    end
    assert.is_true(inside / steps > 0.95 and inside <= steps)
  end)

  it("is not made without --profile", function()
    local printed = run ""
    assert.is_nil(printed:find("profile of", 1, true))
  end)
end)

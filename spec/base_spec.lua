--- Random streams, threads and counted memory.

local base = require "recsys.base"

describe("base", function()
  it("draws the numbers of a stream by position, in any order", function()
    local stream = base.stream(42, "shuffle", 3, 7)
    local all = stream:uniforms(1000)
    assert.equal(all:get(11), stream:uniform(10))
    assert.equal(stream:normals(5, 100):get(2), stream:normal(101))
    assert.equal(stream:integers(5, 9, 20):get(5), stream:below(24, 9))
    assert.is_true(all:min() >= 0 and all:max() < 1)
    assert.is_true(math.abs(all:mean() - 0.5) < 0.05)
  end)

  it("gives other numbers to another seed, purpose, epoch or step", function()
    local first = base.stream(1, "user", 0, 0):uniform(0)
    assert.are_not.equal(first, base.stream(2, "user", 0, 0):uniform(0))
    assert.are_not.equal(first, base.stream(1, "split", 0, 0):uniform(0))
    assert.are_not.equal(first, base.stream(1, "user", 1, 0):uniform(0))
    assert.are_not.equal(first, base.stream(1, "user", 0, 1):uniform(0))
    assert.equal(first, base.stream(1, "user"):uniform(0))
    assert.has_error(function() base.stream(1, "play") end, "bad argument #2 to 'stream' (invalid option 'play')")
  end)

  it("permutes 0 .. n-1", function()
    local order = base.stream(9, "shuffle"):permutation(500)
    local seen = order:bincount(500)
    assert.equal(1, seen:min())
    assert.equal(1, seen:max())
    assert.are_not.same(order:tolist(), base.stream(10, "shuffle"):permutation(500):tolist())
  end)

  it("tells memory, time and threads", function()
    local peak, resident = base.memory()
    assert.is_true(peak >= resident and resident > 1 << 20)
    local before = base.clock()
    assert.is_true(base.clock() >= before)
    local threads = base.threads()
    assert.equal(3, base.threads(3))
    assert.equal(threads, base.threads(threads))
  end)

  it("lets the collector know of tensors that nobody closed", function()
    local tensor = require "recsys.tensor"
    -- Lua's own rates, also where specs run under a stressed collector.
    local pause, step = collectgarbage("setpause", 200), collectgarbage("setstepmul", 100)
    finally(function() collectgarbage("setpause", pause) collectgarbage("setstepmul", step) end)
    base.release() -- counts growth from here
    local _, before = base.alloc_counts()
    local most = 0
    for _ = 1, 600 do
      tensor.zeros(1 << 18)
      most = math.max(most, select(2, base.alloc_counts()) - before)
    end
    assert.is_true(most < 160 << 20 and most > 32 << 20, most)
  end)

  it("leaves the garbage of a small process alone when told from which size on to release", function()
    local kept = setmetatable({ {} }, { __mode = "v" })
    collectgarbage "stop"
    finally(function() collectgarbage "restart" end)
    base.release(1 << 50)
    assert.is_table(kept[1])
    base.release(1)
    assert.is_nil(kept[1])
  end)

  it("refuses memory when told to", function()
    local tensor = require "recsys.tensor"
    base.alloc_fault(0)
    local ok, message = pcall(tensor.zeros, 10, 10)
    base.alloc_fault(-1)
    assert.is_false(ok)
    assert.truthy(message:find("out of memory", 1, true))
    local _, before = base.alloc_counts()
    local t <close> = tensor.zeros(1000, "f64")
    local _, after = base.alloc_counts()
    assert.is_true(after - before >= 8000 and t:count() == 1000)
  end)
end)

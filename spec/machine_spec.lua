--- Rates of the machine from Lua; what they are measured with is in runtime/tensor/machine_test.c.

local base = require "recsys.base"
local machine = require "recsys.machine"

describe("recsys.machine", function()
  it("gives rates that a machine can have", function()
    local threads = base.threads()
    finally(function() base.threads(threads) end)
    for n = 1, 2 do
      base.threads(n)
      local rates = { machine.sgemm(64, 64, 64), machine.sgemm(33, 65, 7, true, 1), machine.copy(2 ^ 20 // 1) }
      for _, rate in ipairs(rates) do
        assert.is_true(rate > 1e6 and rate < 1e15)
      end
    end
  end)

  it("refuses sizes below the least", function()
    assert.has_error(function() machine.sgemm(0, 1, 1) end, "machine: sizes and rounds must be 1 or more")
    assert.has_error(function() machine.copy(1) end, "machine: 64 bytes or more and a round are needed")
  end)
end)

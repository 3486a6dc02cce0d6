--- Learning rates by step.

local schedule = require "recsys.schedule"

describe("schedule", function()
  it("keeps a constant", function() assert.equal(0.5, schedule.constant(0.5)(17)) end)

  it("warms up linearly and comes down along half a cosine", function()
    local rate = schedule.warmup_cosine { peak = 2, warmup = 4, total = 12, floor = 0.5 }
    assert.equal(0.5, rate(1))
    assert.equal(1.5, rate(3))
    assert.equal(2, rate(4))
    assert.is_true(math.abs(rate(8) - 1.25) < 1e-15)
    assert.is_true(math.abs(rate(6) - (0.5 + 1.5 * (1 + math.sqrt(0.5)) / 2)) < 1e-15)
    assert.equal(0.5, rate(12))
    assert.equal(0.5, rate(100))
    assert.is_true(math.abs(schedule.warmup_cosine { peak = 3, total = 2 }(1) - 1.5) < 1e-15)
  end)

  it("refuses what makes no schedule", function()
    assert.has_error(function() schedule.warmup_cosine { peak = 1, warmup = 5, total = 5 } end,
      "warmup_cosine: warmup must be less than total")
    assert.has_error(function() schedule.warmup_cosine { peak = 1 } end,
      "warmup_cosine: total must be an integer, 1 or more")
  end)
end)

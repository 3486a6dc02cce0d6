--- What the machine is doing, as metrics of a run.

local command = require "spec.support.command"
local system = require "recsys.track.system"
local track = require "recsys.track"
local uv = require "luv"

describe("system metrics", function()
  it("are shares and megabytes that the machine could have", function()
    local sampler = system.sampler(0.02)
    assert.is_nil(sampler:sample())
    local ends = uv.hrtime() + 60e6
    while uv.hrtime() < ends do end
    local values, step = sampler:sample()
    assert.equal(0, step)
    local total = uv.get_total_memory() / 1e6
    local memory = values["system/system_memory_usage_megabytes"]
    local share = values["system/system_memory_usage_percentage"]
    assert.is_true(memory > 0 and memory < total)
    assert.is_near(100 * memory / total, share, 0.5)
    local own = values["system/process_memory_usage_megabytes"]
    assert.is_true(own > 1 and own < total)
    assert.is_near(uv.resident_set_memory() / 1e6, own, own / 2)
    local cpu = values["system/process_cpu_utilization_percentage"]
    assert.is_true(cpu > 0 and cpu < 100.0 * #uv.cpu_info() + 50, tostring(cpu))
    local all = values["system/cpu_utilization_percentage"]
    assert.is_true(all == nil or all >= 0 and all <= 100)
    assert.is_nil(sampler:sample())
  end)

  it("count the work that this process does", function()
    local sampler = system.sampler(0)
    local began = os.clock()
    while os.clock() - began < 0.2 do end
    local wall = uv.hrtime() - sampler.at
    local cpu = sampler:sample()["system/process_cpu_utilization_percentage"]
    assert.is_near(100 * 0.2e9 / wall, cpu, 12)
  end)

  it("are logged while a run is at work, at most once a second by default", function()
    local folder = command.scratch(finally)
    local run <close> = track.start { store = folder }
    run:system(0.01)
    for _ = 1, 3 do
      uv.sleep(15)
      run:tick()
    end
    run:tick()
    run:finish()
    local store <close> = track.open(folder)
    local rows = store.db:rows("SELECT step FROM metrics WHERE key = 'system/process_memory_usage_megabytes' "
      .. "AND run_uuid = ? ORDER BY step", { run.id })
    assert.same({ { step = 0 }, { step = 1 }, { step = 2 } }, rows)
    local quiet <close> = track.start { store = folder }
    quiet:system()
    quiet:tick()
    quiet:finish()
    assert.same({}, store.db:rows("SELECT * FROM metrics WHERE run_uuid = ?", { quiet.id }))
  end)
end)

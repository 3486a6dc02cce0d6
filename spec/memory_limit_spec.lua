--- Memory beyond a limit lies in files, and nothing else changes: docs/data.md, "Memory and cache".

local base = require "recsys.base"
local command = require "spec.support.command"
local lfs = require "lfs"
local memory_limit = require "recsys.memory_limit"
local model_inputs = require "spec.support.model_inputs"
local sample = require "recsys.sample.news"
local tensor = require "recsys.tensor"
local text = require "recsys.text"

--- How many files lie in the folder itself; parsed files are kept in one below.
--- How many files lie in a folder, but that which counts what results of tasks take.
local function files_in(folder)
  local n = 0
  for name in lfs.dir(folder) do
    if name ~= "tasks.room" and lfs.attributes(folder .. "/" .. name, "mode") == "file" then n = n + 1 end
  end
  return n
end

describe("the memory limit", function()
  local folder

  setup(function()
    folder = command.temporary()
    assert(sample.generate { dir = folder .. "/news", scale = 0.01 })
    lfs.mkdir(folder .. "/cache")
  end)
  teardown(function()
    command.remove(folder)
  end)
  after_each(function() memory_limit(nil) end)

  it("leaves encoder and model inputs as they are, to the bit", function()
    local expected = model_inputs.of(folder .. "/news")
    collectgarbage()
    memory_limit("1M", folder .. "/cache")
    local _, before = base.memory_limit()
    local limited = model_inputs.of(folder .. "/news")
    local _, _, most = base.memory_limit()
    assert.is_true(most > before + (2 << 20), ("%d bytes were spilled at the most"):format(most))
    assert.same(expected, limited)
    assert.is_truthy(expected["train event.topics.values"], "the names of what is compared have changed")
    assert.equal(0, files_in(folder .. "/cache"))
  end)

  it("counts what lies in files, and takes it back when it is freed", function()
    collectgarbage()
    assert.equal(1 << 20, memory_limit("1M", folder .. "/cache"))
    local _, before = base.memory_limit()
    do
      local large <close> = tensor.full(7, 1 << 20, "f32")
      local limit, spilled = base.memory_limit()
      assert.equal(1 << 20, limit)
      assert.is_true(spilled - before >= 4 << 20)
      assert.equal(7 * 2^20, large:sum())
    end
    assert.equal(before, (select(2, base.memory_limit())))
    assert.equal(0, memory_limit(nil))
  end)

  it("reads sizes as people write them", function()
    assert.equal(256 << 20, text.bytes "256M")
    assert.equal(3 << 29, text.bytes "1.5 GiB")
    assert.equal(64 << 10, text.bytes "64kb")
    assert.equal(1000, text.bytes(1000))
    for _, wrong in ipairs { "", "M", "-1M", "12X", "1.2.3M", "9999999T" } do
      assert.is_nil(text.bytes(wrong), wrong)
    end
    assert.has_error(function() memory_limit "some" end,
      "bad argument #1 to 'memory_limit' (a size such as 256M, 64K or 2G expected, got 'some')")
  end)

  it("refuses a folder in which nothing can be written, and says what to do", function()
    command.write(folder .. "/in-the-way", "")
    local ok, problem = pcall(memory_limit, "1M", folder .. "/in-the-way")
    assert.is_false(ok)
    assert.equal("io", problem.code)
    ok, problem = pcall(memory_limit, "1M", "/proc")
    assert.is_false(ok)
    assert.matches("^cannot keep memory in the folder /proc: .*; make room there, name another folder in RECSYS_CACHE, "
      .. "or raise the limit %(data.memory%)$", problem.message)
    assert.equal(0, (base.memory_limit()))
  end)

  describe("on the command line", function()
    --- A whole job on a sample of the folder; `memory` its limit, `before` shell words in front.
    local function job(memory, before)
      return command.run(("cd %s && %s RECSYS_CACHE=%s/cache %s two_tower --threads 1 --set data.dir=news %s "
        .. "--set train.epochs=1 --set eval.samples=10 --set runs=runs --set publish.dir=models --json %s")
        :format(folder, before or "", folder, command.program, memory and "--set data.memory=" .. memory or "",
          "--set data.scale=0.01 --set train.rows_per_epoch=1024 --refresh all"))
    end

    it("changes no number of a whole job", function()
      local json = require "recsys.json"
      local free, limited = job(), job "1M"
      assert.equal(0, free.code, free.err)
      assert.equal(0, limited.code, limited.err)
      free, limited = json.decode(free.out), json.decode(limited.out)
      assert.same(free.metrics, limited.metrics)
      assert.same(free.baselines, limited.baselines)
      assert.equal(0, free.memory_spilled_mib)
      assert.is_true(limited.memory_spilled_mib >= 2)
      assert.equal(0, files_in(folder .. "/cache"))
    end)

    it("takes the limit of all commands from RECSYS_MEMORY", function()
      local ran = job(nil, "RECSYS_MEMORY=1M")
      assert.equal(0, ran.code, ran.err)
      assert.is_true(require("recsys.json").decode(ran.out).memory_spilled_mib >= 2)
      ran = job(nil, "RECSYS_MEMORY=plenty")
      assert.equal(2, ran.code)
      assert.matches("RECSYS_MEMORY must be a size such as 256M or 2G, not 'plenty'", ran.err)
      ran = job "much"
      assert.equal(2, ran.code)
      assert.matches("data.memory must be a size such as 256M, 64K or 2G, not 'much'", ran.err)
    end)

    it("names the folder when its disk is full", function()
      local ran = job("1M", "trap '' XFSZ && ulimit -f 64 &&") -- files beyond 32 or 64 KiB, as the shell counts
      assert.equal(1, ran.code, ran.err)
      assert.matches(("bytes are beyond the memory limit, and the folder %s/cache does not take them: File too large; "
        .. "make room there"):format(folder):gsub("%-", "%%-"), ran.err)
    end)

    it("leaves nothing in the folder when it is killed", function()
      local ran = command.run(([[cd %s && RECSYS_CACHE=%s/cache %s two_tower --threads 1 --set data.dir=news \
        --refresh all --set data.scale=0.01 --set data.memory=1M --set train.epochs=100000 --set train.patience=100000 \
        --set runs=runs 2>log & until grep -q 'epoch  1' %s/log; do sleep 0.05; done
        grep -c '%s/cache.*deleted' /proc/$!/maps; kill -KILL $!; wait $!]]):format(folder, folder, command.program,
        folder, folder))
      assert.equal(137, ran.code, ran.err)
      assert.is_true(tonumber(ran.out) > 0, ran.out) -- there were blocks in files
      assert.equal(0, files_in(folder .. "/cache"))
    end)
  end)
end)

--- A training run that is killed at any moment and resumed ends with the bits of one that was left alone.
---
--- RECSYS_KILLS says how many random kills there are (3 without it); RECSYS_KILL_SEED repeats the moments of a run.

local checkpoint = require "recsys.train.checkpoint"
local command = require "spec.support.command"
local frame = require "recsys.frame"
local lfs = require "lfs"
local log = require "recsys.log"
local small = require "spec.support.small_training"
local store = require "recsys.store"
local train = require "recsys.train"
local uv = require "luv"

local RECIPE = [[
local recsys = require "recsys"
local job = recsys.job
return recsys.recipe {
  name = "resumable", about = "Only train",
  params = {
    data = { source = "news", dir = "news", scale = 0.001 },
    split = { kind = "time", valid = 0.1, test = 0.1 },
    model = { kind = "two_tower", dim = 48, hidden = { 24 }, dropout = 0.3, temperature = 0.2, log_q = true,
      bias = true, id_dropout = 0.5 },
    train = { epochs = 10, batch = 64, learning_rate = 0.01, patience = 10, checkpoint = 0.03, optimizer = "adam" },
    eval = { window = "7d" },
  },
  run = function(flow, p)
    local data = flow:task("load", job.load, p.data)
    local split = flow:task("split", job.split, data, p.split, p.seed)
    local encoder = flow:task("features", recsys.feature.fit, data, split.train, require "recipes.features.news")
    flow:task("train", job.train, p, encoder, data, split)
    return {}
  end,
}]]

local folder

local function path(name) return folder .. "/" .. name end

--- Begin `recsys-run WORDS` in the folder; done(code, signal) is called at its end, when the loop runs.
local function start(words, done, threads)
  local out = assert(uv.fs_open(path "err", "a", 420))
  local args = { "recipe.lua", "--refresh", "all", "--threads", tostring(threads or 1), table.unpack(words) }
  local handle, pid = uv.spawn(command.program, { args = args, cwd = folder, stdio = { nil, out, out } }, done)
  uv.fs_close(out)
  return assert(handle, pid)
end

--- Run to the end, or kill with `signal` after so many milliseconds or as soon as ready() says so.
---@return integer code, integer signal
local function run(words, options)
  options = options or {}
  os.remove(path "err")
  local code, signal
  local handle = start(words, function(c, s) code, signal = c, s end, options.threads)
  local began = uv.hrtime()
  while not code do
    local late = options.after and (uv.hrtime() - began) / 1e6 >= options.after
    local looked, ready = pcall(options.ready or function() end)
    if not options.killed and (late or looked and ready) then -- what is looked for may go meanwhile
      options.killed = true
      handle:kill(options.signal or "sigkill")
    end
    uv.run "nowait"
    if not options.ready then uv.sleep(1) end
  end
  handle:close()
  uv.run "nowait"
  return code, signal
end

local function runs()
  local found = {}
  if not lfs.attributes(path "runs") then return found end
  for name in lfs.dir(path "runs") do
    if not name:find "^%." then found[#found + 1] = path("runs/" .. name) end
  end
  table.sort(found)
  return found
end

local function forget_runs() os.execute(("rm -rf '%s'"):format(path "runs")) end

--- The weights, bit for bit, and what was measured, but for times and memory.
local function outcome(run_folder)
  local trained = store.load(run_folder .. "/tasks/04-train")
  local found = { epoch = trained.epoch, weights = {}, curves = {} }
  for name, weight in pairs(trained.weights) do found.weights[name] = frame.hash(weight) end
  for i, row in ipairs(trained.curves) do
    found.curves[i] = {}
    for name, value in pairs(row) do found.curves[i][name] = value end
    found.curves[i].seconds, found.curves[i].memory_mib = nil, nil
  end
  return found
end

--- All runs that got as far as to begin are done, most times one (one that is killed at its very end is done, too):
--- their outcome, which is the same, and nothing is left of checkpoints.
local function only_outcome()
  local found
  for _, run_folder in ipairs(runs()) do
    if lfs.attributes(run_folder .. "/params.json") then
      assert.is_nil(lfs.attributes(run_folder .. "/unfinished/run/value.lua"), run_folder)
      if lfs.attributes(run_folder .. "/result.json") then
        assert.is_nil(lfs.attributes(run_folder .. "/unfinished"))
        local one = outcome(run_folder)
        assert.same(found or one, one)
        found = one
      end
    end
  end
  return assert(found, "no run is done")
end

local function kept() return runs()[1] and runs()[1] .. "/unfinished/04-train" end

local function has_checkpoint() return kept() and lfs.attributes(kept() .. "/current.lua") ~= nil end

local SETTINGS = { "--set", "runs=runs" }
local function words(...) return { "--set", "runs=runs", ... } end

describe("a training run", function()
  local expected, seconds

  setup(function()
    folder = command.temporary()
    command.write(path "recipe.lua", RECIPE)
    assert.equal(0, (run(SETTINGS)), command.read(path "err")) -- makes the sample
    forget_runs()
    local began = uv.hrtime()
    assert.equal(0, (run(SETTINGS)), command.read(path "err"))
    seconds = (uv.hrtime() - began) / 1e9
    expected = only_outcome()
    assert.equal(10, #expected.curves)
  end)

  teardown(function() command.remove(folder) end)

  before_each(forget_runs)

  it("killed again and again at random moments ends with the same bits", function()
    local kills, done, killed = tonumber(os.getenv "RECSYS_KILLS" or 3), 0, 0
    local seed = tonumber(os.getenv "RECSYS_KILL_SEED") or os.time()
    math.randomseed(seed)
    while killed < kills do
      local code, signal = run(words "--resume", { after = math.random() * seconds * 1000 })
      assert.is_true(signal == 9 or code == 0, ("code %d, seed %d\n%s"):format(code, seed, command.read(path "err")))
      killed = killed + (signal == 9 and 1 or 0)
      if code == 0 and signal == 0 then
        assert.same(expected, only_outcome())
        forget_runs()
        done = done + 1
      end
    end
    assert.equal(0, (run(words "--resume")), command.read(path "err"))
    assert.same(expected, only_outcome())
    print(("    %d kills at random moments of runs of %.1f s (seed %d): %d runs ended, all with the same bits"):format(
      killed, seconds, seed, done + 1))
  end)

  it("killed while a checkpoint is being written goes on from the one before", function()
    local function begun(name) -- a file or folder of a checkpoint that is not in place yet
      local place = kept()
      if not place or not lfs.attributes(place) then return end
      for entry in lfs.dir(place) do
        if entry:find(name) then return true end
        if entry:find "^%a+%-%d" and lfs.attributes(place .. "/" .. entry, "mode") == "directory" then
          for inner in lfs.dir(place .. "/" .. entry) do
            if inner:find(name) then return true end
          end
        end
      end
    end
    local parts = { "^value%.safetensors%.%w+$", "^value%.lua%..*tmp$", "^current%.lua%..*tmp$", "^point%-2" }
    for _, name in ipairs(parts) do
      forget_runs()
      local caught = false
      for _ = 1, 100 do
        local _, signal = run(words "--resume", { ready = function() return begun(name) end })
        if signal ~= 9 then forget_runs() elseif begun(name) then caught = true break end
      end
      assert.is_true(caught, name)
      assert.equal(0, (run(words "--resume")), command.read(path "err"))
      assert.same(expected, only_outcome())
    end
  end)

  for name, code in pairs { sigterm = 143, sigint = 130 } do
    it(("finishes its step and writes a checkpoint on %s, and ends with %d"):format(name, code), function()
      local ended = run(SETTINGS, { signal = name, ready = has_checkpoint })
      assert.equal(code, ended)
      local said = command.read(path "err")
      assert.matches("stopped by signal %d+ behind step %d+ of epoch %d+; a checkpoint is written, go on by "
        .. "%-%-resume resumable%-", said)
      local epoch, step = said:match "behind step (%d+) of epoch (%d+)"
      assert.equal(0, (run(words("--resume", runs()[1]:match "[^/]+$"))), command.read(path "err"))
      assert.matches(("resumed behind step %s of epoch %s"):format(epoch, step), command.read(path "err"))
      assert.same(expected, only_outcome())
    end)
  end

  it("goes on with another number of threads", function()
    assert.equal(9, select(2, run(SETTINGS, { ready = has_checkpoint })))
    assert.equal(0, (run(words "--resume", { threads = 3 })), command.read(path "err"))
    assert.matches("resumed behind step", command.read(path "err"))
    assert.same(expected, only_outcome())
  end)

  it("keeps one checkpoint at a time", function()
    local most = 0
    local _, signal = run(words("--set", "train.epochs=1000", "--set", "train.patience=1000"), { ready = function()
      local place, found = kept(), {}
      if not place or not lfs.attributes(place) then return false end
      for entry in lfs.dir(place) do found[#found + 1] = entry end
      most = math.max(most, #found - 2)
      return lfs.attributes(place .. "/point-6") ~= nil
    end })
    assert.equal(9, signal)
    assert.is_true(most <= 6, tostring(most)) -- two points, two best ones, the head and its successor
  end)

  it("leaves the old checkpoint and says why when the disk is full", function()
    local wide = words("--resume", "--set", "model.dim=2048")
    run(wide, { ready = has_checkpoint })
    -- A file of more than 1 MiB is refused, as a full disk would.
    local ran = command.run(("cd %s && trap '' XFSZ && ulimit -f 2048 && %s recipe.lua %s"):format(folder,
      command.program, table.concat(wide, " ")))
    assert.equal(1, ran.code, ran.err)
    assert.matches("the checkpoint cannot be written: .*Make room there and go on by %-%-resume resumable%-", ran.err)
    local head = load(command.read(kept() .. "/current.lua"))()
    assert.is_truthy(lfs.attributes(("%s/%s/value.lua"):format(kept(), head.point)))
    assert.equal(0, (run(wide)), command.read(path "err"))
    assert.matches("resumed behind step", command.read(path "err"))
  end)
end)

describe("--resume", function()
  setup(function()
    folder = command.temporary()
    command.write(path "recipe.lua", RECIPE)
    run(SETTINGS, { ready = has_checkpoint })
    assert.is_truthy(lfs.attributes(kept() .. "/current.lua"))
  end)

  teardown(function() command.remove(folder) end)

  local function refused(code, pattern, ...)
    assert.equal(code, (run { ... }))
    assert.matches(pattern, command.read(path "err"))
  end

  it("refuses a run that is not there, of another recipe, or with other parameters", function()
    refused(2, "there is no run 'nowhere', neither a folder of that name nor one in runs", "--resume", "nowhere",
      "--set", "runs=runs")
    refused(2, "was begun with other values of train.batch, train.epochs; without %-%-set", "--resume", runs()[1],
      "--set", "runs=runs", "--set", "train.epochs=3", "--set", "train.batch=32")
    refused(2, "is no unfinished run", "--resume", ".")
    command.write(path "other.lua", (RECIPE:gsub("resumable", "other")))
    local ran = command.run(("cd %s && %s other.lua --resume %s"):format(folder, command.program, runs()[1]))
    assert.equal(2, ran.code)
    assert.matches("is a run of the recipe 'resumable', not of 'other'", ran.err)
  end)

  it("begins anew, and says so, where there is no run of these parameters", function()
    local before = #runs()
    assert.equal(0, (run(words("--resume", "--set", "train.epochs=1"))))
    assert.matches("no unfinished run of resumable with these parameters; a new one begins", command.read(path "err"))
    assert.equal(before + 1, #runs())
    refused(2, "is done, there is nothing to resume", "--resume", runs()[before + 1])
  end)

  it("leaves alone a run that a process is at work on", function()
    local target, code = runs()[1], nil
    local handle = start({ "--resume", target }, function(c) code = c end)
    while not (lfs.attributes(path "err") and command.read(path "err"):find "resumed") do uv.sleep(5) end
    local ran = command.run(("cd %s && %s recipe.lua --resume %s"):format(folder, command.program, target))
    handle:kill "sigkill"
    while not code do uv.run "once" end
    assert.equal(75, ran.code, ran.err)
    assert.matches("process %d+ on .*, since .* UTC, is at work on", ran.err)
  end)

  it("refuses a checkpoint that does not fit where the run was named, and leaves it out else", function()
    local changed = RECIPE:gsub("split.train, require", "split.valid, require") -- other features, equal parameters
    command.write(path "recipe.lua", changed)
    refused(2, "the checkpoint in .* does not fit: it was written with another state of the features and ",
      "--resume", runs()[1])
    assert.equal(0, (run(words "--resume")))
    assert.matches("warning: the checkpoint in .* is left out: .* the features", command.read(path "err"))
  end)
end)

-- Every optimiser, and what models keep beside their parameters, in this process: interrupted at each step in turn.

describe("train.fit", function()
  local level, new = log.level, checkpoint.new

  setup(function()
    log.level = "quiet"
    checkpoint.new = function(...) -- one after every step
      local made = new(...)
      made.is_due = function() return true end
      return made
    end
  end)

  teardown(function() log.level, checkpoint.new = level, new end)

  local function request(settings, place) return small.request(settings, { checkpoint = place }) end

  --- A definition whose network raises when it is to compute loss number `at`, and keeps a number of its own.
  local function interrupted(at)
    local definition = require "models.two_tower"
    return function(...)
      local made, calls = definition(...), 0
      local made_loss = made.loss
      local counted = setmetatable({ kept = 0, parameters = made.parameters }, { __index = made })
      function counted.loss(_, tape, step)
        if tape:training() then
          calls = calls + 1
          if calls == at then error "interrupted" end
          counted.kept = counted.kept + #step.item_rows
        end
        return made_loss(made, tape, step) * (1 + counted.kept / 1e4)
      end
      function counted.state() return { kept = counted.kept } end
      function counted.load_state(_, state) counted.kept = state.kept end
      return counted
    end
  end

  local function hashes(trained)
    local found = {}
    for name, weight in pairs(trained.weights) do found[name] = frame.hash(weight) end
    return found
  end

  for _, optimizer in ipairs { "sgd", "adagrad", "adam", "adamw" } do
    it(("goes on with the same bits behind any step with %s"):format(optimizer), function()
      local place = command.scratch(finally)
      local settings = { epochs = 3, batch = 16, optimizer = optimizer, learning_rate = 0.05, weight_decay = 0.01,
        patience = 3 }
      local whole = train.fit(interrupted(0), request(settings))
      for at = 1, 9 do
        local kept_in = { folder = place .. "/" .. at, resumed = true, named = true }
        assert.has_error(function() train.fit(interrupted(at), request(settings, kept_in)) end)
        local resumed = train.fit(interrupted(0), request(settings, kept_in))
        assert.same(hashes(whole), hashes(resumed))
        assert.equal(whole.curves[3]["train/loss"], resumed.curves[3]["train/loss"])
      end
    end)
  end

  it("takes up a training that had ended as it was", function()
    local place = command.scratch(finally)
    local settings = { epochs = 2, batch = 16, learning_rate = 0.05 }
    local whole = train.fit(interrupted(0), request(settings, { folder = place }))
    local again = train.fit(interrupted(1), request(settings, { folder = place, resumed = true })) -- no step is left
    assert.same(hashes(whole), hashes(again))
    assert.same(whole.curves, again.curves)
  end)

  it("tells of an epoch before a checkpoint lies behind it, and of none again that it has kept", function()
    local place = command.scratch(finally)
    local settings, told = { epochs = 3, batch = 16, learning_rate = 0.05, patience = 3 }, {}
    local function fit(problem)
      local asked = request(settings, { folder = place, resumed = true })
      function asked.report(epoch)
        told[#told + 1] = epoch
        if epoch == 2 and problem then error(problem, 0) end
      end
      return train.fit(interrupted(0), asked)
    end
    assert.has_error(function() fit "killed before it is told" end)
    assert.has_error(function() fit { code = "end", paused = true } end)
    local resumed = fit()
    assert.same({ 1, 2, 2, 3 }, told)
    assert.same(hashes(train.fit(interrupted(0), request(settings))), hashes(resumed))
  end)

  it("keeps none where none are wanted", function()
    local place = command.scratch(finally)
    train.fit(interrupted(0), request({ epochs = 1, batch = 16, checkpoint = 0 }, { folder = place .. "/none" }))
    assert.is_nil(lfs.attributes(place .. "/none"))
  end)
end)

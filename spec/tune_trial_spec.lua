--- Trials from outside: what may not be done with their runs, how they and their studies are told apart, and trainings
--- of one's own in them.

local command = require "spec.support.command"
local files = require "recsys.files"
local json = require "recsys.json"
local sql = require "recsys.sql"
local studied = require "spec.support.studied"
local uv = require "luv"

local RECIPE <const> = [[
local recsys = require "recsys"
local current = require "recsys.tune.current"
local function train(x, finished)
  local loss
  for epoch = 1, 4 do
    loss = (x - 2) ^ 2 + 1 / epoch
    current.report(epoch, { ["valid/loss"] = loss }, epoch == 4)
  end
  if finished then current.finish { ["valid/loss"] = loss } end
  return { loss = loss }
end
return recsys.recipe { name = "own", about = "A valley", params = { x = 0.0, finished = true, way = "",
    train = { metric = "loss" } },
  search = { x = recsys.tune.quantised(-5, 5, 1) },
  run = function(flow, p)
    local how = p.way == "process" and { process = true } or {}
    local trained
    if p.way == "map" then
      trained = flow:map("train", train, { p.x }, p.finished)[1]
    else
      trained = flow:task("train", how, train, p.x, p.finished)
    end
    flow:task("asked", { cache = false }, function() assert(io.open("asked.txt", "a")):write "asked\n" end)
    return { metrics = { loss = trained.loss } }
  end }]]

local place, folder

local function tune(words, options) return place:tune(words, options or { recipe = "own.lua" }) end

local function recsys_run(words)
  return command.run(("cd '%s' && '%s' %s"):format(folder, command.program, words))
end

local function state_of(run)
  local db <close> = assert(sql.open(folder .. "/artifacts/flow.db", { read_only = true }))
  return db:row("SELECT state FROM runs WHERE folder LIKE ?", { "%/" .. run }).state
end

describe("a study's trial", function()
  setup(function()
    place = studied.place()
    folder = place.folder
    command.write(folder .. "/own.lua", RECIPE)
    for _, name in ipairs { "night", "day" } do
      local code, _, said = tune { "--study", name, "--trials", "6", "--no-retrain", "--sampler", "random",
        "--pruner", "asha,eta=2" }
      assert.equal(0, code, said)
    end
  end)
  teardown(function() place:remove() end)

  it("is gone on with by its study alone: not by retry, nor by --resume", function()
    local pruned
    for _, trial in ipairs(place:trials_of "night") do pruned = trial.state == "pruned" and trial.name or pruned end
    local run = "artifacts/runs/night/" .. pruned
    local before = command.read(("%s/%s/log.txt"):format(folder, run))
    for _, words in ipairs { "flows retry night/" .. pruned, "flows retry " .. run, "own.lua --resume " .. run,
      "own.lua --resume night/" .. pruned } do
      local said = recsys_run(words)
      assert.equal(2, said.code, words)
      assert.matches(pruned .. " of the study 'night', which alone goes on with it, and asks it no test rows: "
        .. "recsys%-run tune own.lua %-%-study night %-%-trials N", said.err)
    end
    assert.equal(before, command.read(("%s/%s/log.txt"):format(folder, run)))
    assert.equal("completed", state_of("night/" .. pruned))
    assert.is_false(files.exists(folder .. "/asked.txt"))
    local code, _, said = tune { "--study", "night", "--trials", "9", "--no-retrain", "--sampler", "random",
      "--pruner", "asha,eta=2" } -- which does
    assert.equal(0, code, said)
  end)

  it("is named with its study where several have one of its name", function()
    for _, words in ipairs { "show", "retry", "cancel" } do
      local said = recsys_run(("flows %s trial_1"):format(words))
      assert.equal(2, said.code)
      assert.matches("there are 2 runs 'trial_1': which one%? day/trial_1, night/trial_1", said.err)
    end
    local shown = recsys_run "flows show night/trial_1"
    assert.equal(0, shown.code, shown.err)
    assert.matches("/artifacts/runs/night/trial_1\n", shown.out)
    assert.matches("\ntrial   of the study night, %l+\n", shown.out)
    local listed, pruned = recsys_run("flows list --max 1000").out, 0
    local tracked = recsys_run("runs list --max 1000").out
    for _, trial in ipairs(place:trials_of "night") do
      local state = trial.state == "pruned" and "pruned" or "completed"
      pruned = pruned + (state == "pruned" and 1 or 0)
      assert.matches(("\nnight/%s +%s "):format(trial.name, state), listed)
      assert.matches((" night/%s +FINISHED%s "):format(trial.name, state == "pruned" and ", pruned" or ""), tracked)
    end
    assert.is_true(pruned > 0)
    assert.matches("there is no run 'ight/trial_1'", recsys_run("flows show ight/trial_1").err)
  end)

  it("is not reproduced, which its values are as a run", function()
    local said = recsys_run "reproduce night/trial_0"
    assert.equal(2, said.code)
    assert.matches("is a trial of the study 'night': .*recsys%-run own.lua %-%-config artifacts/runs/night/trial_0/"
      .. "params.json makes a run", said.err)
    assert.equal(0, recsys_run("reproduce --check night/trial_0").code)
    assert.is_false(files.exists(folder .. "/asked.txt"))
    said = recsys_run "own.lua --json --config artifacts/runs/night/trial_0/params.json"
    assert.equal(0, said.code, said.err)
    assert.equal(place:trials_of("night")[1].params.x, json.decode(command.read(("%s/params.json"):format(folder .. "/"
      .. json.decode(said.out).paths.run))).x)
    os.remove(folder .. "/asked.txt")
  end)

  it("trains by means of its own also where an earlier run has kept what comes of it", function()
    for _, way in ipairs { "", "process", "map" } do
      local set = ("--set way=%s "):format(way)
      assert.equal(0, recsys_run("own.lua --set x=2 " .. set).code)
      assert.matches("train +cached", recsys_run("own.lua --set x=2 " .. set).err)
      local code, _, said = tune { "--study", "kept" .. way, "--trials", "1", "--no-retrain", "--set", "way=" .. way,
        "--sampler", "grid", "--search", "x=choice { 2, 3 }" }
      assert.equal(0, code, said)
      local trial = place:trials_of("kept" .. way)[1]
      assert.same({ "complete", { 0.25 }, 4 }, { trial.state, trial.values, trial.last_step })
    end
  end)

  it("has a study whose name nothing else has", function()
    local begun = {}
    for i = 1, 3 do
      begun[i] = assert(io.popen(("cd '%s' && '%s' %s 2>&1"):format(folder, command.program, i == 3 and "own.lua --json"
        or "tune own.lua --trials 2 --no-retrain --json --threads 1")))
    end
    local names, runs = {}, 0
    for i = 1, 3 do
      local said = begun[i]:read "a"
      assert.is_true(begun[i]:close(), said)
      local told = json.decode(said:match "\n(%b{})\n" or said:match "^(%b{})\n")
      local name = told.study or told.run
      assert.is_nil(names[name], name)
      names[name] = told.study and 2 or 0
    end
    for name, trials in pairs(names) do
      runs = runs + 1
      for number = 0, 1 do
        assert.equal(trials > number, files.exists(("%s/artifacts/runs/%s/trial_%d"):format(folder, name, number)))
      end
      if trials > 0 then assert.equal(2, #place:trials_of(name)) end
    end
    assert.equal(3, runs)
  end)

  it("has a study that takes no run's name, and leaves nothing where it is refused", function()
    local ran = recsys_run "own.lua --json"
    local name = json.decode(ran.out).run
    local code, _, said = tune { "--study", name, "--trials", "1" }
    assert.equal(2, code, said)
    assert.matches("%-%-study " .. name:gsub("%-", "%%-") .. ": artifacts/runs/.* is the folder of a run", said)
    local before = files.names(folder .. "/artifacts/runs")
    code, _, said = tune { "--trials", "1", "--sampler", "tpi" }
    assert.equal(2, code, said)
    assert.same(before, files.names(folder .. "/artifacts/runs"))
    assert.truthy(uv.fs_stat(folder .. "/artifacts/runs/" .. name))
  end)
end)

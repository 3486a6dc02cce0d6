--- A study that is killed at any moment and gone on with ends as one that was left alone: no completed trial is lost,
--- none is repeated, no process and no half-written file is left.
---
--- RECSYS_KILLS says how many random kills there are (3 without it); RECSYS_KILL_SEED repeats the moments of a run.

local files = require "recsys.files"
local lfs = require "lfs"
local sql = require "recsys.sql"
local studied = require "spec.support.studied"
local uv = require "luv"

local TRIALS <const> = 6
local WORDS <const> = { "--no-retrain", "--trials", tostring(TRIALS), "--sampler", "random" }

local place, folder

local function words(name, workers, pruner)
  return { "--study", name, "--workers", tostring(workers), "--pruner", pruner, table.unpack(WORDS) }
end

local function each(list) for _, pid in ipairs(list) do uv.kill(pid, "sigkill") end end

--- Who is killed: the coordinator, whose workers end with it; one worker; all of them at once.
local kills = {
  function(_, pid) uv.kill(pid, "sigkill") end,
  function(name) each { place:workers(name)[1] } end,
  function(name, pid)
    local workers = place:workers(name)
    uv.kill(pid, "sigkill")
    each(workers)
  end,
}

--- Files below a folder that were left half-written, and folders of runs that say that they are unfinished.
local function leftovers(path, paused, list)
  list = list or {}
  for name in lfs.dir(path) do
    if not name:find "^%.%.?$" then
      local inner = path .. "/" .. name
      local is_folder = lfs.symlinkattributes(inner, "mode") == "directory"
      local is_left = name == "finished" or name == "unfinished" and not paused[path]
      if files.is_unfinished(name) or is_folder and is_left then
        list[#list + 1] = inner
      elseif is_folder then
        leftovers(inner, paused, list)
      end
    end
  end
  return list
end

--- A trial's run of the store: of all that there are, one has come to its end.
local function check_run(trial, runs, said)
  local finished = 0
  for _, run in ipairs(runs) do
    if run.info.status == "FINISHED" then
      finished = finished + 1
      assert.equal(trial.values[1], studied.by_key(run.data.metrics)["objective/valid/ndcg_10"], said)
      assert.equal(trial.state, studied.by_key(run.data.tags)["recsys.trial.state"], said)
    end
    assert.not_equal("RUNNING", run.info.status, said)
  end
  assert.equal(1, finished, said)
end

--- Whether each trial is what it is in a study of one worker without kills, or its beginning. Gives the folders of
--- those that wait.
local function check_trials(name, whole, seed)
  local trials, runs, paused = place:trials_of(name), place:runs_of(name), {}
  assert.equal(TRIALS, #trials)
  for i, trial in ipairs(trials) do
    local said = ("%s of %s, seed %d: %s"):format(trial.name, name, seed, trial.message or "")
    assert.equal(i - 1, trial.number)
    assert.same(whole[i].params, trial.params, said)
    for step = 1, trial.last_step do assert.equal(whole[i].intermediate[step], trial.intermediate[step], said) end
    if trial.state == "complete" then
      assert.same(whole[i].values, trial.values, said)
      assert.equal(whole[i].last_step, trial.last_step, said)
    else
      assert.equal("pruned", trial.state, said)
      paused[("%s/artifacts/runs/%s/%s"):format(folder, name, trial.name)] = true
    end
    check_run(trial, runs[trial.name], said)
  end
  return paused
end

--- Kill studies with a pruner until there were so many kills, and look at each that came to its end.
local function check(pruner, count, whole)
  local seed = tonumber(os.getenv "RECSYS_KILL_SEED") or os.time()
  local killed, round, known, paused = 0, 0, {}, {}
  math.randomseed(seed)
  while killed < count or known do
    local name, kill = ("%s%d"):format(pruner:match "^%a+", round), killed < count and kills[math.random(#kills)]
    local struck
    local code, signal, said = place:tune(words(name, 2, pruner), kill and { after = 50 + math.random() * 2000,
      kill = function(pid)
        struck = true
        kill(name, pid)
      end })
    assert.is_true(signal == 9 or code == 0, ("code %d, seed %d\n%s"):format(code, seed, said))
    assert.is_true(place:are_gone(name), ("orphans, seed %d"):format(seed))
    local now = place:ended(name)
    for number, one in pairs(known or {}) do
      if one:find '"complete"' then assert.equal(one, now[number], ("seed %d"):format(seed)) end
    end
    known = now
    if struck then killed = killed + 1 end
    if signal ~= 9 then
      for path in pairs(check_trials(name, whole, seed)) do paused[path] = true end
      round, known = round + 1, killed < count and {} or nil
    end
  end
  return paused
end

describe("a study killed at random moments", function()
  local whole

  setup(function()
    place = studied.place()
    folder = place.folder
    local code, _, said = place:tune(words("whole", 1, "none"))
    assert.equal(0, code, said)
    whole = place:trials_of "whole"
  end)
  teardown(function() place:remove() end)

  --- Nothing is half-written, but what the trials that wait have kept.
  local function check_store(paused)
    assert.same({}, leftovers(folder .. "/artifacts", paused))
    for _, name in ipairs { "flow.db", "mlflow.db" } do
      local db <close> = assert(sql.open(("%s/artifacts/%s"):format(folder, name)))
      assert.equal("ok", db:row "PRAGMA integrity_check".integrity_check)
    end
  end

  local count = tonumber(os.getenv "RECSYS_KILLS" or 3)

  it("loses no completed trial, repeats none, and comes to the same values", function()
    local paused = check("none", count, whole)
    assert.same({}, paused)
    check_store(paused)
  end)

  it("by ASHA, too, whose trials wait and go on", function()
    check_store(check("asha,eta=2", count // 3, whole))
  end)
end)

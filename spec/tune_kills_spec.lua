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

local function words(name, workers)
  return { "--study", name, "--workers", tostring(workers), table.unpack(WORDS) }
end

local function each(list) for _, pid in ipairs(list) do uv.kill(pid, "sigkill") end end

--- Who is killed: the coordinator, whose workers end with it; one worker; all of them at once.
local kills = {
  function(_, pid) uv.kill(pid, "sigkill") end,
  function(name) each { studied.workers(name)[1] } end,
  function(name, pid)
    local workers = studied.workers(name)
    uv.kill(pid, "sigkill")
    each(workers)
  end,
}

--- Files below a folder that were left half-written, and folders of runs that say that they are unfinished.
local function leftovers(path, list)
  list = list or {}
  for name in lfs.dir(path) do
    if not name:find "^%.%.?$" then
      local inner = path .. "/" .. name
      local is_folder = lfs.symlinkattributes(inner, "mode") == "directory"
      if files.is_unfinished(name) or is_folder and (name == "unfinished" or name == "finished") then
        list[#list + 1] = inner
      elseif is_folder then
        leftovers(inner, list)
      end
    end
  end
  return list
end

local function check_whole(name, whole, seed)
  local trials, runs = place:trials_of(name), place:runs_of(name)
  assert.equal(TRIALS, #trials)
  for i, trial in ipairs(trials) do
    local said = ("%s of %s, seed %d: %s"):format(trial.name, name, seed, trial.message or "")
    assert.equal(i - 1, trial.number)
    assert.equal("complete", trial.state, said)
    assert.same(whole[i].params, trial.params, said)
    assert.same(whole[i].values, trial.values, said)
    assert.same(whole[i].intermediate, trial.intermediate, said)
    local finished = 0
    for _, run in ipairs(runs[trial.name]) do
      if run.info.status == "FINISHED" then
        finished = finished + 1
        assert.equal(trial.values[1], studied.by_key(run.data.metrics)["objective/valid/ndcg_10"], said)
        assert.equal("complete", studied.by_key(run.data.tags)["recsys.trial.state"], said)
      end
      assert.not_equal("RUNNING", run.info.status, said)
    end
    assert.equal(1, finished, said)
  end
end

describe("a study killed at random moments", function()
  setup(function()
    place = studied.place()
    folder = place.folder
  end)
  teardown(function() place:remove() end)

  it("loses no completed trial, repeats none, and comes to the same values", function()
    local count, seed = tonumber(os.getenv "RECSYS_KILLS" or 3), tonumber(os.getenv "RECSYS_KILL_SEED") or os.time()
    local code, _, said = place:tune(words("whole", 1))
    assert.equal(0, code, said)
    local whole, killed, round, known = place:trials_of "whole", 0, 0, {}
    math.randomseed(seed)
    while killed < count or known do
      local name, kill = "killed" .. round, killed < count and kills[math.random(#kills)]
      local signal, struck
      code, signal, said = place:tune(words(name, 2), kill and { after = 50 + math.random() * 2000,
        kill = function(pid)
          struck = true
          kill(name, pid)
        end })
      assert.is_true(signal == 9 or code == 0, ("code %d, seed %d\n%s"):format(code, seed, said))
      assert.is_true(studied.are_gone(name), ("orphans, seed %d"):format(seed))
      local now = place:ended(name)
      for number, one in pairs(known or {}) do assert.equal(one, now[number], ("seed %d"):format(seed)) end
      known = now
      if struck then killed = killed + 1 end
      if signal ~= 9 then
        check_whole(name, whole, seed)
        round, known = round + 1, killed < count and {} or nil
      end
    end
    assert.same({}, leftovers(folder .. "/artifacts"))
    for _, name in ipairs { "flow.db", "mlflow.db" } do
      local db <close> = assert(sql.open(("%s/artifacts/%s"):format(folder, name)))
      assert.equal("ok", db:row "PRAGMA integrity_check".integrity_check)
    end
  end)
end)

--- Runs to look at, for specs of the page.

local command = require "spec.support.command"
local json = require "recsys.json"
local track = require "recsys.track"

local data = {}

data.HOSTILE = [[<img src=x onerror="document.title='pwned'"><script>alert(1)</script>]]

--- A trial of the recipe, which publishes a version of the model two_tower.
---@param folder string
function data.train(folder, seed, rate)
  local ran = command.run(("cd %s && %s recipes/two_tower.lua --threads 1 --seed %d --set data.scale=0.002 "
    .. "--set model.dim=16 --set train.epochs=4 --set train.learning_rate=%s")
    :format(folder, command.program, seed, rate))
  assert(ran.code == 0, ran.err)
end

--- A study of eight trials with curves of 60 steps, and a run whose every field is hostile.
---@param folder string
---@return { study: string, last: string, hostile: string } ids
function data.by_hand(folder)
  local store, last = track.open(folder .. "/artifacts"), nil
  local parent = track.start { experiment = "by hand", name = "the study", store = store }
  for i = 1, 8 do
    local trial = parent:child { name = "trial " .. i }
    trial:params { dim = 8 * i, rate = 0.01 / i, kind = i % 2 == 0 and "a" or "b" }
    for step = 1, 60 do
      trial:metric("train/loss", 2 / step + i / 10 + (step % 2) / 10, step)
      trial:metric("valid/ndcg_10", 0.1 + i / 100 - 1 / (step + 10), step)
    end
    trial:metrics { ["test/ndcg_10"] = 0.1 + i / 100, ["test/ndcg_10_low"] = 0.09 + i / 100,
      ["test/ndcg_10_high"] = 0.115 + i / 100 }
    last = trial.id
    if i == 8 then
      trial:text("report.html", "<h1>A report</h1><script>parent.document.title = 'pwned'</script>")
      trial:text("tables/top.csv", 'item,title,score\n1,"A, b",0.5\n2,<b>x</b>,0.25\n')
      trial:text("notes.md", "# Notes\n\n- one\n- **two**\n\n[here](javascript:alert(1))\n")
      trial:text("config.json", '{ "model": { "dim": 64 } }')
      trial:text("curve.svg", [[<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><circle r="9"/></svg>]])
    end
    trial:finish()
  end
  parent:note "# Why\n\nTo *see*."
  parent:finish()
  local bad = track.start { experiment = data.HOSTILE, name = data.HOSTILE, store = store }
  bad:param("p", data.HOSTILE)
  bad:tag("t", "javascript:alert(1)")
  bad:note(data.HOSTILE)
  bad:metric("m", 1, 1)
  bad:text("page.html", data.HOSTILE)
  bad:text("table.csv", "a,b\n" .. data.HOSTILE .. ",2\n")
  bad:text("tasks.json", json.encode { { name = data.HOSTILE, state = data.HOSTILE, after = { data.HOSTILE },
    seconds = 1 },
    { name = 7, started = data.HOSTILE, after = data.HOSTILE } })
  bad:finish()
  store:close()
  return { study = parent.id, last = last, hostile = bad.id }
end

--- A run with 1,020 trials, each better than those before by its score, and one whose parent is deleted.
---@param folder string
---@return string id
function data.many(folder)
  local store = track.open(folder .. "/artifacts")
  local experiment = store:create_experiment { name = "many" }
  local function new(name, started, parent, score)
    local run = store:create_run { experiment_id = experiment, run_name = name, start_time = started,
      tags = parent and { { key = "mlflow.parentRunId", value = parent } } or nil }
    store:log_batch { run_id = run.info.run_id, metrics = score and { { key = "score", value = score, step = 1,
      timestamp = started } } or nil, params = { { key = "depth", value = tostring(started % 7) } } }
    store:update_run { run_id = run.info.run_id, status = "FINISHED", end_time = started + 1 }
    return run.info.run_id
  end
  local large
  store.db:transaction(function()
    large = new("large", 1000)
    for i = 1, 1020 do new("trial " .. i, 1000 + i, large, i / 1000) end
    local gone = new("gone", 3000)
    new("the deepest", 3003, new("below", 3002, new("left behind", 3001, gone, 0.5)))
    store:delete_run(gone)
  end)
  store:close()
  return large
end

return data

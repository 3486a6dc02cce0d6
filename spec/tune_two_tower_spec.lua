--- recipes/tune_two_tower.lua, run whole on a tiny sample: its search space, its trials, and what it publishes.

local command = require "spec.support.command"
local json = require "recsys.json"
local space_of = require "recsys.tune.space"
local sql = require "recsys.sql"
local studied = require "spec.support.studied"
local track = require "recsys.track"

local SETTINGS <const> = { "data.scale=0.003", "train.epochs=2", "tune.workers=2", "tune.study=ten", "eval.samples=50" }

local folder

--- Run the recipe: its result, and what it said.
local function run()
  local line = ("cd %s && %s %s/recipes/tune_two_tower.lua --json --threads 1"):format(folder, command.program,
    command.root)
  for _, setting in ipairs(SETTINGS) do line = line .. " --set " .. setting end
  local ran = command.run(line)
  assert.equal(0, ran.code, ran.err)
  return json.decode(ran.out), ran.err
end

--- The runs whose parent is this one: by name.
local function below(store, parent)
  local list = {}
  for _, row in ipairs(store.db:rows([[SELECT run_uuid AS id FROM tags WHERE key = 'mlflow.parentRunId'
      AND value = ?]], { parent })) do
    local one = store:run(row.id)
    assert.is_nil(list[one.info.run_name])
    list[one.info.run_name] = one
  end
  return list
end

local function tracked_id(result)
  return json.decode(command.read(("%s/%s/track.json"):format(folder, result.paths.run))).run_id
end

describe("recipes/tune_two_tower.lua", function()
  local first, said

  setup(function()
    folder = command.temporary()
    first, said = run()
  end)
  teardown(function() command.remove(folder) end)

  it("searches the sizes, dropout, rates and batches that it says", function()
    local db <close> = assert(sql.open(folder .. "/artifacts/flow.db"))
    local space = space_of.read(db:row "SELECT space FROM studies WHERE name = 'ten'".space)
    assert.same({ "model.dim", "model.dropout", "train.batch", "train.learning_rate" }, space.names)
    assert.same({ 32, 64, 96 }, space.dimensions["model.dim"]:examples())
    assert.same({ 1024, 2048 }, space.dimensions["train.batch"]:examples())
    assert.same({ "0.1 to 0.3", "0.0001 to 0.01, logarithmic" }, { tostring(space.dimensions["model.dropout"]),
      tostring(space.dimensions["train.learning_rate"]) })
    assert.is_true(math.abs(space.dimensions["train.learning_rate"]:at(0.5) - 1e-3) < 1e-9)
    assert.is_true(math.abs(space.dimensions["model.dropout"]:at(0.5) - 0.2) < 1e-9)
  end)

  it("has ten trials, each a tracked run below its own", function()
    local store <close> = track.open(folder .. "/artifacts")
    local runs, count = below(store, tracked_id(first)), 0
    for number = 0, 9 do
      local one = assert(runs["trial_" .. number], said)
      assert.equal("FINISHED", one.info.status)
      local tags, params = studied.by_key(one.data.tags), studied.by_key(one.data.params)
      assert.equal(tostring(number), tags["recsys.trial.number"])
      assert.is_true(({ ["32"] = true, ["64"] = true, ["96"] = true })[params["model.dim"]])
      assert.equal("[64]", params["model.hidden"])
      for name in pairs(studied.by_key(one.data.metrics)) do assert.is_nil(name:find "^test/") end
    end
    for _ in pairs(runs) do count = count + 1 end
    assert.equal(10, count)
    assert.equal(10, first.study.trials)
  end)

  it("trains the best one as a whole, asks its test rows, and publishes it", function()
    local best = first.study.best
    assert.equal("number", type(first.metrics.ndcg_10))
    local manifest = command.run(("%s inspect %s/%s --json"):format(command.program, folder, first.paths.bundle))
    assert.equal(0, manifest.code, manifest.err)
    local given = json.decode(command.read(("%s/%s/params.json"):format(folder, first.paths.run)))
    assert.equal("two_tower", given.publish and given.publish.name)
    assert.matches(("task train .*model two_tower"), command.read(("%s/%s/log.txt"):format(folder, first.paths.run)))
    local kept = first.curves[first.epoch]["valid/ndcg_10"]
    assert.equal(best.values[1], kept) -- it is the model that the trial has seen
  end)

  it("run again with the same study tries nothing again, and takes every step's result from the last run", function()
    local again, err = run()
    assert.same(first.study, again.study)
    assert.same(first.metrics, again.metrics)
    local store <close> = track.open(folder .. "/artifacts")
    assert.same({}, below(store, tracked_id(again)))
    for _, task in ipairs(json.decode(command.read(("%s/%s/tasks.json"):format(folder, again.paths.run)))) do
      assert.equal(task.name == "tune" and "completed" or "cached", task.state, task.name .. "\n" .. err)
    end
  end)
end)

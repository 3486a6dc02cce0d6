--- What the page is told of a study: the values that its trials have, and the importance of parameters.

local space = require "recsys.tune.space"
local studies = require "recsys.ui.studies"
local study_of = require "recsys.tune.study"

local function valley(trial) return (trial.params.x - 2) ^ 2 + (trial.params.y or 1) end

describe("what the page is told of a study", function()
  local study
  before_each(function()
    study = study_of.open { name = "valley", store = ":memory:", sampler = "random",
      settings = { metrics = { "loss" } }, search = { x = space.uniform(-5, 5), kind = space.choice { "a", "b" },
        y = space.when("kind", "b", space.log_uniform(1e-3, 1)) } }
    study.db:run "UPDATE studies SET run_id = 'one'"
  end)
  after_each(function() study:close() end)

  it("is the values that trials have, and nothing where it is no study", function()
    assert.is_nil(studies.of(study.db, "other"))
    study:optimize(valley, { trials = 10 })
    local told = studies.of(study.db, "one")
    for _, trial in ipairs(study:trials()) do
      assert.equal(trial.params.y ~= nil, told.trials[trial.name].y ~= nil)
      assert.equal(trial.params.x, tonumber(told.trials[trial.name].x))
    end
  end)

  it("is the importance that the study tells, of many trials at work not at each anew", function()
    assert.same({}, studies.of(study.db, "one").importance.loss)
    study:optimize(valley, { trials = 30 })
    local at_30 = study:importance()
    assert.same(at_30, studies.of(study.db, "one").importance.loss)
    local running = study:ask()
    study:optimize(valley, { trials = 33 })
    assert.same(at_30, studies.of(study.db, "one").importance.loss)
    study:optimize(valley, { trials = 36 })
    local at_35 = study:importance()
    assert.not_same(at_30, at_35)
    assert.same(at_35, studies.of(study.db, "one").importance.loss)
    running:complete(valley(running))
    assert.same(study:importance(), studies.of(study.db, "one").importance.loss)
  end)
end)

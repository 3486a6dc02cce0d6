--- Search spaces, samplers, pruners and studies, on functions that need no training.

local command = require "spec.support.command"
local front = require "recsys.tune.front"
local json = require "recsys.json"
local normal = require "recsys.tune.normal"
local parzen = require "recsys.tune.parzen"
local pruners = require "recsys.tune.pruners"
local random = require "recsys.tune.random"
local samplers = require "recsys.tune.samplers"
local searched = require "recsys.bench.searched"
local space = require "recsys.tune.space"
local sql = require "recsys.sql"
local tune = require "recsys.tune"

local function new(request)
  request.name, request.store = request.name or "s", request.store or ":memory:"
  return tune.study(request)
end

local function refusal(fn, ...)
  local ok, problem = pcall(fn, ...)
  assert.is_false(ok)
  return type(problem) == "table" and problem.message or problem
end

describe("a search space", function()
  it("has the values that its dimensions say", function()
    assert.equal("b", tune.choice { "a", "b", "c" }:at(0.5))
    assert.equal(4, tune.integer(1, 8):at(0.4999))
    assert.equal("integer", math.type(tune.integer(1, 8):at(0.2)))
    assert.equal(16, tune.integer(4, 64, { log = true }):value(math.log(16)))
    assert.equal(1e-3, tonumber(("%.9g"):format(tune.log_uniform(1e-4, 1e-2):at(0.5))))
    assert.equal(0.3, tune.quantised(0, 1, 0.1):value(0.31))
    assert.same({ 0.1, 0.15, 0.2, 0.25, 0.3 }, tune.quantised(0.1, 0.3, 0.05):grid(3))
    assert.equal(9, tune.integer(1, 10, { step = 4 }).high)
  end)

  it("keeps every draw within its limits, each stepped value equally likely", function()
    local counts, draw = {}, random.new(1, 0)
    for _ = 1, 8000 do
      local value = tune.integer(1, 8):at(draw:uniform())
      counts[value] = (counts[value] or 0) + 1
    end
    assert.equal(8, #counts)
    for _, count in ipairs(counts) do assert.is_true(count > 850 and count < 1150, tostring(count)) end
  end)

  it("gives a conditional dimension a value only where its condition holds", function()
    local s = space.new { a = tune.when("b", { true }, tune.integer(1, 8)), b = tune.choice { true, false } }
    assert.same({ "b", "a" }, s.names)
    local draw, with, without = random.new(3, 0), 0, 0
    for _ = 1, 100 do
      local values = s:fill(function(dimension) return dimension:at(draw:uniform()) end)
      if values.b then with = with + 1 else without = without + 1 end
      assert.equal(values.b, values.a ~= nil)
    end
    assert.is_true(with > 30 and without > 30)
  end)

  it("reads back what was written, to the last bit and with its type", function()
    local dimension = tune.uniform(0, 1)
    for _, value in ipairs { 0.1, 1 / 3, 1.0 } do assert.equal(value, dimension:read(json.encode(value))) end
    assert.equal("float", math.type(dimension:read "1"))
    assert.same({ 64, 32 }, tune.choice { { 64, 32 }, { 8 } }:read "[64,32]")
    assert.is_nil(tune.choice { 1, 2 }:read "3")
    assert.is_nil(dimension:read "1.5")
  end)

  it("is the same when it is read from its text", function()
    local s = space.new { a = tune.choice { 8, 0.5, "x", { 64, 32 }, true }, b = tune.uniform(0, 1),
      c = tune.integer(1, 9, { step = 2 }), d = tune.integer(1, 64, { log = true }), e = tune.log_uniform(1e-4, 1),
      f = tune.when("a", { "x", 8 }, tune.quantised(0, 1, 0.25)) }
    local again = space.read(s:text())
    assert.equal(s:text(), again:text())
    assert.equal(s:describe(), again:describe())
    for seed = 1, 20 do
      local one, other = random.new(seed, 0), random.new(seed, 0)
      assert.same(s:fill(function(dimension) return dimension:at(one:uniform()) end),
        again:fill(function(dimension) return dimension:at(other:uniform()) end))
    end
    assert.equal("integer", math.type(again.dimensions.a.values[1]))
  end)

  it("refuses what is none, and says which", function()
    assert.matches("bad argument #1 to 'choice' %(a list of two or more values", refusal(tune.choice, { 1 }))
    assert.matches("bad argument #1 to 'choice' %(1 stands there twice%)", refusal(tune.choice, { 1, 1 }))
    assert.matches("bad argument #2 to 'uniform' %(1 is not above 2%)", refusal(tune.uniform, 2, 1))
    assert.matches("bad argument #2 to 'uniform' %(the range is wider than numbers go%)",
      refusal(tune.uniform, -1e308, 1e308))
    assert.matches("bad argument #2 to 'integer' %(the range is wider", refusal(tune.integer, math.mininteger, 5))
    assert.matches("bad argument #2 to 'quantised' %(the range is wider", refusal(tune.quantised, -1e308, 1e308, 1))
    assert.matches("bad argument #1 to 'log_uniform' %(it must be above 0%)", refusal(tune.log_uniform, 0, 1))
    assert.matches("bad argument #1 to 'integer' %(a whole number", refusal(tune.integer, 0.5, 3))
    assert.matches("bad argument #3 to 'quantised'", refusal(tune.quantised, 0, 1, 2))
    assert.matches("bad argument #3 to 'when'", refusal(tune.when, "a", 1, 5))
    assert.matches("a hangs on b, which is not searched",
      refusal(space.new, { a = tune.when("b", 1, tune.uniform(0, 1)) }))
    assert.matches("a hangs on b = 3, which never is",
      refusal(space.new, { a = tune.when("b", 3, tune.uniform(0, 1)), b = tune.choice { 1, 2 } }))
    assert.matches("hangs on itself", refusal(space.new, { a = tune.when("b", 1, tune.choice { 1, 2 }),
      b = tune.when("a", 1, tune.choice { 1, 2 }) }))
    assert.matches("x must be a dimension", refusal(space.new, { x = { 1, 2 } }))
  end)
end)

describe("a Parzen estimator", function()
  it("has the normal distribution's areas", function()
    assert.is_true(math.abs(math.exp(normal.log_area(-1.96, 1.96)) - 0.9500042) < 1e-6)
    assert.is_true(math.abs(normal.log_area(5, 6) - math.log(2.856649e-7)) < 1e-5)
    assert.is_true(math.abs(normal.log_area(-6, -5) - normal.log_area(5, 6)) < 1e-12)
    assert.is_true(math.abs(normal.log_area(0.3, 0.3001) - math.log(3.8137e-5)) < 1e-3)
    assert.is_true(normal.log_area(60, 61) < -1000)
  end)

  it("is a density: over the range it adds up to 1", function()
    local dimension = tune.uniform(-5, 10)
    local estimator, sum, n = parzen.new({ dimension }, { { -5.0 }, { 3.0 }, { 3.5 }, { 9.9 } }), 0, 20000
    for i = 1, n do sum = sum + math.exp(estimator:log_density { -5 + 15 * (i - 0.5) / n }) * 15 / n end
    assert.is_true(math.abs(sum - 1) < 1e-4, tostring(sum))
    local stepped = tune.integer(1, 64, { log = true })
    estimator, sum = parzen.new({ stepped, tune.choice { "a", "b" } }, { { 4, "a" }, { 64, "b" }, { 5, "a" } }), 0
    for value = 1, 64 do
      for _, choice in ipairs { "a", "b" } do sum = sum + math.exp(estimator:log_density { value, choice }) end
    end
    assert.is_true(math.abs(sum - 1) < 1e-5, tostring(sum))
  end)

  it("draws by its density", function()
    local dimension = tune.uniform(0, 1)
    local estimator, draw, below = parzen.new({ dimension }, { { 0.2 }, { 0.25 }, { 0.21 } }), random.new(1, 1), 0
    for _ = 1, 2000 do
      local x = estimator:sample(draw)[1]
      assert.is_true(x >= 0 and x <= 1)
      if x < 0.5 then below = below + 1 end
    end
    local area, n = 0, 2000
    for i = 1, n do area = area + math.exp(estimator:log_density { 0.5 * (i - 0.5) / n }) * 0.5 / n end
    assert.is_true(math.abs(below / 2000 - area) < 0.03, ("%g %g"):format(below / 2000, area))
  end)
end)

describe("a sampler", function()
  it("of a grid tries each point once and then ends", function()
    local s = new { search = { a = tune.choice { 1, 2 }, b = tune.quantised(0, 1, 0.5),
      c = tune.when("a", 1, tune.uniform(0, 1)) }, sampler = "grid", sampler_options = { points = 4 } }
    assert.equal("all is tried", s:optimize(function() return 0 end, { trials = 100 }))
    local seen = {}
    for _, trial in ipairs(s:trials()) do seen[json.encode(trial.params)] = true end
    local count = 0
    for _ in pairs(seen) do count = count + 1 end
    assert.equal(3 * 4 + 3, count)
    assert.equal(count, #s:trials())
  end)

  it("of Halton's points leaves no gap: each eighth of a side has its share of 64", function()
    local s = new { search = { a = tune.uniform(0, 1), b = tune.uniform(0, 1) }, sampler = "halton" }
    s:optimize(function() return 0 end, { trials = 64 })
    for _, name in ipairs { "a", "b" } do
      local counts = { 0, 0, 0, 0, 0, 0, 0, 0 }
      for _, trial in ipairs(s:trials()) do
        local cell = math.floor(trial.params[name] * 8) + 1
        counts[cell] = counts[cell] + 1
      end
      for _, count in ipairs(counts) do assert.is_true(count >= 6 and count <= 10, json.encode(counts)) end
    end
  end)

  it("gives the same trials for the same seed, others for another", function()
    local function params(seed)
      local s = new { search = { x = tune.uniform(-1, 1), c = tune.choice { "a", "b" } }, seed = seed }
      s:optimize(function(trial) return trial.params.x ^ 2 end, { trials = 20 })
      local list = {}
      for i, trial in ipairs(s:trials()) do list[i] = trial.params end
      return list
    end
    assert.same(params(7), params(7))
    assert.is_not.same(params(7), params(8))
  end)

  it("of TPE, univariate or not, comes nearer than random draws", function()
    local function best(sampler, options)
      local sum = 0
      for seed = 1, 6 do
        local s = new { search = { x = tune.uniform(-10, 10), y = tune.log_uniform(1e-5, 1),
          c = tune.choice { 0, 1, 2 }, k = tune.integer(1, 40) }, seed = seed, sampler = sampler,
          sampler_options = options }
        s:optimize(function(trial)
          local p = trial.params
          return (p.x - 2) ^ 2 + (math.log(p.y, 10) + 3) ^ 2 + 3 * p.c + math.abs(p.k - 30) / 4
        end, { trials = 60 })
        sum = sum + s:best().values[1]
      end
      return sum / 6
    end
    local drawn = best "random"
    assert.is_true(best "tpe" < 0.6 * drawn)
    assert.is_true(best("tpe", { multivariate = false }) < 0.6 * drawn)
  end)

  it("of TPE does not give workers side by side the same", function()
    local s, sampler = space.new { c = tune.uniform(0, 1) }, samplers.new "tpe"
    local function near(running) -- how often of 60 times the next one is beside 0.5
      local trials, count = {}, 0
      for i = 0, 14 do
        local c = (i * 0.618) % 1
        trials[#trials + 1] = { number = i, state = "complete", params = { c = c }, values = { (c - 0.5) ^ 2 } }
      end
      for i = 1, running do
        trials[#trials + 1] = { number = 14 + i, state = "running", params = { c = 0.49 + i / 500 }, values = {} }
      end
      for seed = 1, 60 do
        local values = sampler { space = s, number = #trials, seed = seed, directions = { "minimize" },
          random = random.new(seed, #trials), trials = trials }
        if math.abs(values.c - 0.5) < 0.1 then count = count + 1 end
      end
      return count
    end
    local alone, beside = near(0), near(10)
    assert.is_true(alone > 2 * beside, ("%d %d"):format(alone, beside))
  end)

  it("of a wrong name is refused with the nearest", function()
    assert.matches("there is no sampler 'tpee'; there are .*did you mean 'tpe'", refusal(samplers.new, "tpee"))
  end)
end)

describe("a pruner", function()
  local function trial(number, values, state)
    return { number = number, intermediate = values, last_step = #values, state = state or "complete" }
  end
  local others = { trial(0, { 1, 2, 3 }), trial(1, { 2, 3, 4 }), trial(2, { 3, 4, 5 }), trial(3, { 4, 5, 6 }) }

  it("by the median prunes what is worse, at its best, than half were after the step", function()
    local prune = pruners.new("median", { startup = 4 })
    assert.is_true(prune(trial(9, { 1, 3.4 }, "running"), others, -1))
    assert.is_false(prune(trial(9, { 1, 3.6 }, "running"), others, -1))
    assert.is_false(prune(trial(9, { 3.6, 1 }, "running"), others, -1))
    assert.is_true(prune(trial(9, { 9, 3.6 }, "running"), others, 1))
    assert.is_false(pruners.new("median", { startup = 5 })(trial(9, { 0, 0 }, "running"), others, -1))
    assert.is_false(pruners.new("median", { startup = 1, warmup = 2 })(trial(9, { 0, 0 }, "running"), others, -1))
  end)

  it("by ASHA keeps the best 1/eta at each rung, and decides at rungs alone", function()
    local prune = pruners.new("asha", { eta = 2, promote = false })
    assert.is_false(prune(trial(9, { 0 }, "running"), {}, -1))
    assert.is_true(prune(trial(9, { 2.5 }, "running"), others, -1))
    assert.is_false(prune(trial(9, { 3.5 }, "running"), others, -1))
    assert.is_true(prune(trial(9, { 9, 3.5 }, "running"), others, -1))
    assert.is_false(prune(trial(9, { 9, 9, 0 }, "running"), others, -1))
  end)

  it("by ASHA lets a trial wait, and takes it up again when others have made it one of the best", function()
    local prune, promote = pruners.new("asha", { eta = 2 })
    local first, second = trial(0, { 5 }, "running"), trial(1, { 4 }, "running")
    assert.is_true(prune(first, { first }, -1)) -- half of one is none
    first.state = "pruned"
    assert.is_true(prune(second, { first, second }, -1))
    second.state = "pruned"
    assert.equal(0, promote({ first, second }, -1).number)
    first.intermediate[2], first.last_step, first.state = 6, 2, "complete"
    assert.is_nil(promote({ first, second }, -1))
    local list = { first, second, trial(2, { 1 }, "pruned"), trial(3, { 3 }, "pruned") }
    assert.equal(1, promote(list, -1).number)
    assert.equal(2, promote(list, 1).number)
    second.promoted = 1
    assert.is_false(prune(second, { trial(2, { 8 }), trial(3, { 8 }), second }, -1)) -- behind step 1 it was promoted
    second.intermediate[2], second.last_step = 3, 2
    assert.is_true(prune(second, list, -1))
    assert.equal(2, select("#", pruners.new("hyperband", { eta = 2, most = 4 })))
    assert.is_nil((select(2, pruners.new("asha", { promote = false }))))
    assert.matches("promote is true or false", refusal(pruners.new, "asha", { promote = 1 }))
  end)

  it("by ASHA decides at the first report at or behind each rung", function()
    local function reported(number, values, state)
      local one = { number = number, state = state or "running", intermediate = values, last_step = 0 }
      for step in pairs(values) do one.last_step = math.max(one.last_step, step) end
      return one
    end
    local prune = pruners.new("asha", { eta = 4, promote = false })
    local good = { reported(0, { [3] = 5, [6] = 5, [9] = 5 }, "complete") }
    assert.is_true(prune(reported(1, { [3] = 1 }), good, -1)) -- rung 1
    assert.is_true(prune(reported(1, { [3] = 9, [6] = 1 }), good, -1)) -- rung 4
    assert.is_false(prune(reported(1, { [3] = 9, [6] = 9, [9] = 1 }), good, -1)) -- which it has passed
    assert.is_true(prune(reported(1, { [3] = 9, [6] = 9, [9] = 9, [40] = 1 }), { reported(0, { [17] = 5 }) }, -1))
    assert.is_false(prune(reported(1, { [4] = 6 }), good, -1)) -- with another stride, by the values at the rung
    local by_bracket = pruners.new("hyperband", { eta = 4, most = 3, promote = false }) -- which has but one
    assert.is_true(by_bracket(reported(1, { [3] = 1 }), good, -1, 1))
    local _, promote = pruners.new("asha", { eta = 2 })
    local list = { reported(0, { [3] = 1 }, "pruned"), reported(1, { [3] = 4 }, "pruned"),
      reported(2, { [2] = 3, [3] = 0 }, "complete"), reported(3, { [1] = 2 }, "complete") }
    assert.equal(1, promote(list, -1).number)
  end)

  it("by Hyperband prunes as its bracket does", function()
    local prune, pruned = pruners.new("hyperband", { eta = 2, most = 4 }), { 0, 0, 0, 0 }
    for number = 100, 199 do
      local list = table.move(others, 1, 4, 1, {})
      for other = 0, 99 do list[#list + 1] = trial(other, { 5, 5, 5, 5 }) end
      for step = 1, 4 do
        local values = {}
        for i = 1, step do values[i] = 0 end
        if prune(trial(number, values, "running"), list, -1, 1) then pruned[step] = pruned[step] + 1 end
      end
    end
    assert.is_true(pruned[1] > 20 and pruned[1] < 100, json.encode(pruned))
    assert.is_true(pruned[2] > pruned[1] and pruned[4] == 100 and pruned[3] == 0, json.encode(pruned))
    assert.matches("needs the last step", refusal(pruners.new, "hyperband"))
  end)

  it("by patience ends what gets no better", function()
    local prune = pruners.new("patience", { steps = 2 })
    assert.is_false(prune(trial(1, { 1, 2, 1 }), {}, -1))
    assert.is_true(prune(trial(1, { 1, 2, 1, 2 }), {}, -1))
    assert.is_true(prune(trial(1, { 1, 2, 1, 1 }), {}, -1))
    assert.is_false(prune(trial(1, { 1, 2, 1, 3 }), {}, -1))
  end)

  it("refuses options that it has not", function()
    assert.matches("has no option 'etaa'; it has eta, least, promote", refusal(pruners.new, "asha", { etaa = 3 }))
    assert.matches("eta = 1 is too small", refusal(pruners.new, "asha", { eta = 1 }))
    assert.matches("did you mean 'asha'", refusal(pruners.new, "asah"))
  end)
end)

describe("several objectives", function()
  it("have a front of what nothing beats", function()
    assert.same({ { 1, 3 }, { 2 }, { 4 } }, front.ranks { { 1, 2 }, { 2, 2 }, { 0, 3 }, { 3, 3 } })
    local s = new { search = { x = tune.uniform(-2, 2) }, directions = { "minimize", "maximize" } }
    s:optimize(function(trial) return { trial.params.x ^ 2, -(trial.params.x - 1) ^ 2 } end, { trials = 60 })
    assert.is_true(#s:front() >= 5)
    local within = 0
    for _, trial in ipairs(s:trials()) do
      if trial.params.x >= -0.05 and trial.params.x <= 1.05 then within = within + 1 end
    end
    for _, trial in ipairs(s:front()) do assert.is_true(trial.params.x > -0.3 and trial.params.x < 1.3) end
    assert.is_true(within > 30, tostring(within)) -- of 60 draws by chance 16
  end)

  it("are flat when the front has not grown for so long, whichever of them it grew by", function()
    local s = new { search = { x = tune.uniform(0, 1) }, directions = { "minimize", "maximize" }, sampler = "random" }
    assert.equal("trials", s:optimize(function(trial) return { 1, trial.number } end, { trials = 30, plateau = 4 }))
    local function worse(trial) return { 1 + trial.number, 29 } end
    assert.equal("plateau", s:optimize(worse, { trials = 60, plateau = 4 }))
    assert.equal(34, #s:trials())
  end)

  it("are as many as directions, or the trial has failed", function()
    local s = new { search = { x = tune.uniform(0, 1) }, directions = { "minimize", "maximize" } }
    s:optimize(function() return 1 end, { trials = 1 })
    assert.equal("the objective gave 1 values, not 2", s:trials()[1].message)
    assert.matches("a pruner goes by one objective", refusal(new, { search = { x = tune.uniform(0, 1) },
      directions = { "minimize", "maximize" }, pruner = "median" }))
  end)
end)

describe("a study", function()
  local SEARCH = { x = tune.uniform(0, 1) }

  it("records a trial that fails, and goes on", function()
    local s = new { search = SEARCH }
    s:optimize(function(trial)
      if trial.number == 1 then error "no luck" end
      if trial.number == 2 then return 0 / 0 end
      return trial.params.x
    end, { trials = 4 })
    local states, messages = {}, {}
    for i, trial in ipairs(s:trials()) do states[i], messages[i] = trial.state, trial.message end
    assert.same({ "complete", "failed", "failed", "complete" }, states)
    assert.matches("no luck", messages[2])
    assert.matches("the objective gave %-?nan", messages[3])
    assert.equal("trial_3", s:trials()[4].name)
  end)

  it("cuts short what its pruner gives up, and keeps what was reported", function()
    local s = new { search = SEARCH, pruner = "asha", pruner_options = { eta = 2 }, directions = { "maximize" } }
    local steps = 0
    s:optimize(function(trial)
      for step = 1, 8 do
        steps = steps + 1
        trial:report(step, trial.params.x * step)
      end
      return trial.params.x * 8
    end, { trials = 30 })
    local pruned = 0
    for _, trial in ipairs(s:trials()) do
      if trial.state == "pruned" then
        pruned = pruned + 1
        assert.equal(("pruned behind step %d"):format(trial.last_step), trial.message)
        assert.equal(trial.params.x, trial.intermediate[1])
      end
    end
    assert.is_true(pruned > 10 and steps < 30 * 8 * 0.7, ("%d %d"):format(pruned, steps))
    assert.is_true(s:best().values[1] > 7)
  end)

  it("takes pruned trials up again before it makes new ones, and the best come to their ends", function()
    local function whole(x, step) return 10 * x - 3 * math.abs(math.sin(50 * x)) / step end -- rankings change late
    local steps, s = 0, new { search = SEARCH, pruner = "asha", sampler = "random", directions = { "maximize" } }
    local function objective(trial)
      for step = (trial.promoted or 0) + 1, 20 do
        steps = steps + 1
        trial:report(step, whole(trial.params.x, step), step == 20)
      end
      return whole(trial.params.x, 20)
    end
    assert.equal("trials", s:optimize(objective, { trials = 3 }))
    local states = {}
    for _, trial in ipairs(s:trials()) do states[trial.state] = (states[trial.state] or 0) + 1 end
    assert.same({ complete = 1, pruned = 2 }, states) -- three are none's quarter, but one is to be complete
    assert.equal("trials", s:optimize(objective, { trials = 48 }))
    assert.is_true(steps < 0.2 * 48 * 20, tostring(steps))
    local order = s:trials()
    table.sort(order, function(a, b) return a.intermediate[1] > b.intermediate[1] end)
    for rank, trial in ipairs(order) do
      if rank <= 12 then assert.is_true(trial.last_step >= 4) end
      if trial.promoted then assert.is_true(trial.last_step > trial.promoted) end
      assert.equal(trial.last_step == 20, trial.state == "complete")
    end
    assert.equal("trials", s:optimize(error, { trials = 48 })) -- nothing is left to take up
  end)

  it("knows of no step that was not judged, and judges each once", function()
    local s = new { search = SEARCH, pruner = "asha", pruner_options = { eta = 2 }, directions = { "maximize" } }
    local first, prune, judged = s:ask(), s.pruner, {}
    s.pruner = function() error "killed" end
    assert.is_false(pcall(first.report, first, 1, 0.5))
    assert.same({}, s:trials()[1].intermediate)
    s.pruner = function(trial, ...)
      judged[#judged + 1] = trial.last_step
      return prune(trial, ...)
    end
    first = s:trial(first.id) -- by another worker
    assert.is_false(pcall(first.report, first, 1, 0.5))
    assert.same({ "pruned", 1 }, { s:trials()[1].state, s:trials()[1].last_step })
    s.db:run "UPDATE trials SET state = 'running'"
    first = s:trial(first.id)
    first:report(1, 0.5)
    assert.is_false(pcall(first.report, first, 2, 0.5))
    assert.same({ 1, 2 }, judged)
  end)

  it("leaves a pruned trial alone while its worker is still at its end", function()
    local s = new { search = SEARCH, pruner = "asha", sampler = "random" }
    local first = s:ask()
    pcall(first.report, first, 1, 0.5)
    local alive = s.process:gsub("^%S+", "elsewhere"):gsub("%S+$", "elsewhere")
    s.db:run("UPDATE trials SET process = ?", { alive })
    assert.same({ nil, "trials" }, { s:ask { trials = 1 } })
    s.db:run("UPDATE trials SET process = ?", { (s.process:gsub("^(%S+ %S+) %d+ %d+", "%1 999999999 1")) })
    s.ended = {} -- a study remembers trials that are over
    assert.same({ nil, "trials" }, { s:ask { trials = 1, held = { [first.id] = true } } })
    local again = s:ask { trials = 1 }
    assert.same({ 0, 1, "running" }, { again.number, again.promoted, again.state })
  end)

  it("gives out no trial whose worker has died while who asks holds it", function()
    local s = new { search = SEARCH }
    local first = s:ask()
    s.db:run("UPDATE trials SET process = ?", { (s.process:gsub("^(%S+ %S+) %d+ %d+", "%1 999999999 1")) })
    assert.equal(1, s:ask { held = { [first.id] = true } }.number)
    assert.equal(0, s:ask().number)
  end)

  it("whose time is over lets one trial come to its end, if none has", function()
    local s = new { search = SEARCH, pruner = "asha", sampler = "random" }
    for _ = 1, 3 do
      local trial = s:ask()
      pcall(trial.report, trial, 1, trial.params.x)
    end
    assert.equal("seconds", s:optimize(function(trial) return trial.params.x end, { seconds = 0 }))
    local complete, best = {}, s:trials()
    for _, trial in ipairs(s:trials()) do
      if trial.state == "complete" then table.insert(complete, trial.params.x) end
    end
    table.sort(best, function(a, b) return a.params.x < b.params.x end)
    assert.same({ best[1].params.x }, complete)
    assert.same({ nil, "seconds" }, { s:ask { is_over = true } })
  end)

  it("ends by its budget: trials, seconds or a plateau", function()
    local s = new { search = SEARCH }
    assert.equal("plateau", s:optimize(function(trial) return trial.number < 3 and -trial.number or 0 end,
      { plateau = 4, trials = 50 }))
    assert.equal(7, #s:trials())
    assert.equal("seconds", s:optimize(function() return 1 end, { seconds = 0 }))
    assert.equal("trials", s:optimize(function() return 1 end, { trials = 9 }))
    assert.equal(9, #s:trials())
    assert.matches("needs a budget", refusal(s.optimize, s, function() end, {}))
  end)

  it("whose trials all fail or are pruned comes to an end by a plateau or by time, too", function()
    local s = new { search = SEARCH }
    assert.equal("plateau", s:optimize(error, { plateau = 5 }))
    assert.equal(5, #s:trials())
    assert.equal("failures", s:optimize(error, { seconds = 600 }))
    assert.equal(20, #s:trials())
    assert.equal("trials", s:optimize(error, { trials = 25 }))
    local pruned = new { search = SEARCH, pruner = "patience", pruner_options = { steps = 1 } }
    assert.equal("plateau", pruned:optimize(function(trial)
      for step = 1, 9 do trial:report(step, step) end
    end, { plateau = 4 }))
    assert.equal(4, #pruned:trials())
  end)

  it("fails a trial that reports what is no number, or ends with it", function()
    local s = new { search = SEARCH }
    s:optimize(function(trial)
      if trial.number == 0 then trial:report(3, 0 / 0) end
      return trial.number == 1 and math.huge or -math.huge
    end, { trials = 3 })
    for i, said in ipairs { "^step 3: the objective is %-?nan$", "^the objective gave inf$",
      "^the objective gave %-inf$" } do
      assert.equal("failed", s:trials()[i].state)
      assert.matches(said, s:trials()[i].message)
    end
    assert.is_nil(s:best())
  end)

  it("has values under conditions in those trials alone where they hold, by TPE too", function()
    for _, multivariate in ipairs { true, false } do
      local s = new { sampler_options = { multivariate = multivariate }, search = { q = tune.choice { "a", "b", "c" },
        x = tune.when("q", { "a", "b" }, tune.uniform(0, 1)), k = tune.when("q", "c", tune.integer(1, 9)),
        y = tune.when("k", { 1, 2, 3 }, tune.log_uniform(1e-3, 1)) } }
      s:optimize(function(trial)
        local p = trial.params
        assert((p.x ~= nil) == (p.q ~= "c") and (p.k ~= nil) == (p.q == "c"))
        assert((p.y ~= nil) == (p.k ~= nil and p.k <= 3))
        return p.x and 0.3 + p.x or p.y and math.abs(math.log(p.y, 10) + 2) / 10 or 0.5 + p.k / 10
      end, { trials = 60 })
      for _, trial in ipairs(s:trials()) do assert.equal("complete", trial.state, trial.message) end
      assert.is_true(s:best().values[1] < 0.1) -- where two conditions hold
    end
  end)

  it("is shared by processes with different samplers", function()
    local folder, list = command.scratch(finally), {}
    for i, sampler in ipairs { "tpe", "grid", "halton" } do
      list[i] = new { store = folder, search = SEARCH, sampler = sampler }
    end
    for _ = 1, 12 do
      for _, s in ipairs(list) do
        local trial = s:ask()
        if trial then trial:complete(trial.params.x) end
      end
    end
    assert.equal(12 + 5 + 12, #list[1]:trials()) -- a grid has five
    for i, trial in ipairs(list[2]:trials()) do assert.equal(i - 1, trial.number) end
    for _, s in ipairs(list) do s:close() end
  end)

  it("is gone on with by its name, and refused under other conditions", function()
    local folder = command.scratch(finally)
    do
      local s <close> = new { store = folder, search = SEARCH }
      s:optimize(function(trial) return trial.params.x end, { trials = 3 })
    end
    local again <close> = new { store = folder, search = SEARCH }
    again:optimize(function(trial) return trial.params.x end, { trials = 5 })
    assert.equal(5, #again:trials())
    assert.matches("another search space %(x was 0 to 1, not 0 to 2, y is new%)", refusal(new, { store = folder,
      search = { x = tune.uniform(0, 2), y = tune.uniform(0, 1) } }))
    assert.matches("x is missing, y is new", refusal(new, { store = folder, search = { y = tune.uniform(0, 1) } }))
    assert.matches("other objectives", refusal(new, { store = folder, search = SEARCH, directions = { "maximize" } }))
    assert.matches("another seed", refusal(new, { store = folder, search = SEARCH, seed = 2 }))
    assert.matches("other settings", refusal(new, { store = folder, search = SEARCH, settings = { a = 1 } }))
    assert.matches("the name of a study", refusal(new, { name = "a/b", search = SEARCH }))
  end)

  it("tries the trial of a dead worker again with the same values, 20 times at the most", function()
    local s = new { search = SEARCH }
    local first = s:ask()
    local other = s:ask()
    local gone = s.process:gsub("^(%S+ %S+) %d+ %d+", "%1 999999999 1")
    for attempt = 2, 20 do
      s.db:run("UPDATE trials SET process = ? WHERE trial_id = ?", { gone, first.id })
      local again = s:ask()
      assert.equal(first.number, again.number)
      assert.same(first.params, again.params)
      assert.equal(attempt, again.attempts)
    end
    s.db:run("UPDATE trials SET process = ? WHERE trial_id = ?", { gone, first.id })
    assert.equal(2, s:ask().number)
    assert.equal("failed", s:trials()[1].state)
    assert.equal("its worker died, 20 times", s:trials()[1].message)
    assert.equal("running", s:trials()[other.number + 1].state)
  end)

  it("lets nobody end a trial that is another's", function()
    local s = new { search = SEARCH }
    local trial = s:ask()
    s.db:run("UPDATE trials SET process = 'another'")
    assert.matches("is not this process's any more", refusal(trial.complete, trial, 1))
    assert.equal("running", s:trials()[1].state)
    assert.same({}, s:trials()[1].values)
  end)

  it("gives a trial back when a signal ends it", function()
    local s = new { search = SEARCH }
    local ok, problem = pcall(s.optimize, s, function() error({ code = "interrupted", signal = 15 }, 0) end,
      { trials = 3 })
    assert.is_false(ok)
    assert.equal(15, problem.signal)
    assert.equal("waiting", s:trials()[1].state)
  end)

  it("tells how much of the variance each parameter accounts for", function()
    local s = new { search = { a = tune.uniform(0, 1), b = tune.uniform(0, 1), c = tune.choice { "u", "v" } },
      sampler = "random" }
    s:optimize(function(trial) return 3 * trial.params.a + trial.params.b end, { trials = 7 })
    assert.same({ nil, "importance needs 8 completed trials, there are 7" }, { s:importance() })
    s:optimize(function(trial) return 3 * trial.params.a + trial.params.b end, { trials = 100 })
    local shares = s:importance() -- of a the truth is 0.9, of b 0.1
    assert.equal("a", shares[1].name)
    assert.equal("b", shares[2].name)
    assert.is_true(shares[1].share > 0.75 and shares[1].share < 0.97, json.encode(shares))
    assert.is_true(shares[2].share > 0.04 and shares[2].share < 0.2, json.encode(shares))
    assert.is_true(shares[3].share < 0.02)
  end)

  it("tells the shares of choices and whole numbers as they are", function()
    local function shares_of(dimension, worth, n)
      local s = new { search = { c = dimension, x = tune.uniform(0, 1), none = tune.choice { 1, 2, 3, 4, 5, 6 } },
        sampler = "random" }
      local values, mean, variance = dimension:grid(100), 0, 0
      for _, value in ipairs(values) do mean = mean + worth(value) / #values end
      for _, value in ipairs(values) do variance = variance + (worth(value) - mean) ^ 2 / #values end
      s:optimize(function(trial) return worth(trial.params.c) + math.sqrt(12 * variance) * trial.params.x end,
        { trials = n }) -- to which both do half
      local found = {}
      for _, share in ipairs(s:importance()) do found[share.name] = share.share end
      return found
    end
    local function is_b(value) return value == "b" and 1 or 0 end
    for _, case in ipairs { { tune.choice { "a", "b" }, is_b }, { tune.choice { "a", "b", "c" }, is_b },
      { tune.choice { "a", "c", "d", "b", "e", "f" }, is_b },
      { tune.choice { 1, 2, 3, 4, 5, 6 }, function(value) return value % 2 end },
      { tune.integer(1, 2), tonumber }, { tune.integer(1, 4), tonumber },
      { tune.quantised(0, 0.5, 0.25), tonumber } } do
      local found = shares_of(case[1], case[2], 300)
      for _, name in ipairs { "c", "x" } do
        assert.is_true(math.abs(found[name] - 0.5) < 0.06, tostring(case[1]) .. ": " .. json.encode(found))
      end
      assert.is_true(found.none < 0.02, json.encode(found))
    end
  end)

  it("is not opened in a database of a later version", function()
    local folder = command.scratch(finally)
    local db = assert(sql.open(folder .. "/flow.db"))
    db:execute "PRAGMA user_version = 1000"
    db:close()
    assert.matches("made by a newer recsys%-run", refusal(new, { store = folder, search = SEARCH }))
  end)
end)

describe("a recipe's parameters as a study's task sets them", function()
  it("are all but the text of secrets, and the tracking that is not said", function()
    local config = require "recsys.config"
    local declared = { x = 1.5, list = { 1, 2 },
      none = config.param(nil, "no default", { type = "string", optional = true }),
      token = config.secret("of a shop", { optional = true }),
      group = { word = "a b", flag = false }, track = require "recsys.track.parameters" }
    local file = command.scratch(finally) .. "/token"
    command.write(file, "hunter2")
    local values = config.resolve(declared, { set = { "token=@" .. file } })
    assert.equal("hunter2", values.token:reveal())
    assert.same({ "group.flag=false", "group.word=a b", "list=[1,2]", "none=", "token=@" .. file, "x=1.5" },
      tune.settings(declared, { x = values.x, list = values.list, token = values.token,
        group = values.group }))
  end)
end)

describe("Wilcoxon's test", function()
  it("is that of the books", function() -- scipy.stats.wilcoxon(a, b, correction=False, method="asymptotic")
    local a = { 125, 115, 130, 140, 140, 115, 140, 125, 140, 135 }
    local b = { 110, 122, 125, 120, 140, 124, 123, 137, 135, 145 }
    local p, balance = searched.wilcoxon(a, b)
    assert.is_true(math.abs(p - 0.5936305914425295) < 1e-6, tostring(p))
    assert.is_true(balance > 0)
  end)
end)

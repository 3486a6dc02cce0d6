--- Wrong evaluations, planted: test rows in training, a feature that knows the answer, sampled metrics passed as full
--- ones, tuning on test data. Each must fail, and say what is wrong.

local audit = require "recsys.data.audit"
local base = require "recsys.base"
local current = require "recsys.tune.current"
local data = require "recsys.data"
local evaluate = require "recsys.evaluate"
local feature = require "recsys.feature"
local frame = require "recsys.frame"
local job = require "recsys.job"
local lists = require "recsys.compare.lists"
local log = require "recsys.log"
local significance = require "recsys.evaluate.significance"
local tensor = require "recsys.tensor"
local testing = require "recsys.compare.testing"
local train = require "recsys.train"
local tune = require "recsys.tune"
local tuning = require "recsys.compare.tuning"

local USERS <const>, ITEMS <const>, EACH <const> = 30, 25, 12
local ids = { user = { feature.id { "user" } }, item = { feature.id { "item" } } }
local level = log.level

--- 30 users with 12 of 25 items each, a minute apart, and further columns of the interactions by their row.
---@param columns? table<string, fun(item: integer, row: integer): any>
local function dataset(columns)
  local given = { user = {}, item = {}, time = {} }
  for name in pairs(columns or {}) do given[name] = {} end
  for u = 1, USERS do
    local order = base.stream(u, "user"):permutation(ITEMS)
    for k = 1, EACH do
      local row, item = #given.user + 1, order:get(k)
      given.user[row], given.item[row], given.time[row] = "u" .. u, "i" .. item, 1.7e12 // 1 + (k * USERS + u) * 60000
      for name, fn in pairs(columns or {}) do given[name][row] = fn(item, row) end
    end
  end
  local parts = {}
  for name, values in pairs(given) do
    local kind = name == "time" and "time" or type(values[1]) == "number" and "number" or "string"
    parts[#parts + 1] = { name, kind, values }
  end
  return (data.new { name = "planted", interactions = frame.from(parts) })
end

--- What a function raises: its message and code.
local function refusal(fn, ...)
  local ok, problem = pcall(fn, ...)
  assert.is_false(ok, "it is not refused")
  if type(problem) == "table" then return problem.message, problem.code end
  return problem
end

--- The parameters of a study of one family, mf.
local function study(changes)
  local p = { data = { source = "planted" }, eval = { k = { 5 }, samples = 20 }, seed = 1,
    budget = { trials = 2, minutes = 1 }, tuning = { metric = "ndcg_5", sampler = "random" },
    cold = { users = 3, items = 2 } }
  for name, value in pairs(changes or {}) do p[name] = value end
  return p
end

local function tuned(d, split, p)
  return tuning.run(p or study(), "mf", feature.fit(d, split.train, ids), d, split)
end

describe("a wrong evaluation", function()
  setup(function() log.level = "quiet" end)
  teardown(function() log.level = level end)

  describe("with test rows in training", function()
    it("is refused by the parts of a split", function()
      local d = dataset()
      local whole = d.interactions
      local message = refusal(data.split_given, d, { train = whole, test = whole:filter(tensor.arange(0, 9, "i64")) })
      assert.equal("an interaction is in two parts of the given split", message)
    end)

    it("is refused when the test rows are opened of a split that was changed by hand", function()
      for _, part in ipairs { "train", "valid" } do
        local d = dataset()
        local split = data.split_leave_last_out(d)
        local last = tensor.new({ d.interactions:rows() - 1 }, "i64") -- of u30, who comes last each time
        split[part] = tensor.concat { split[part], last }
        split:end_selection "planted"
        local message, code = refusal(job.queries, d, split, { k = { 5 } }, "test")
        assert.equal("leak", code)
        assert.matches(("row 360 of the interactions is a test row and among the split's %s rows, too"):format(
          part == "train" and "training" or "validation"), message, 1, true)
      end
    end)

    it("is found by the audit where the same event stands in both", function()
      local d = dataset()
      local twice = frame.concat { d.interactions, d.interactions:filter(tensor.arange(0, 20, "i64")) }
      d = data.new { name = "twice", interactions = twice }
      local split = data.split_random(d, { valid = 0.1, test = 0.2, seed = 2 })
      local found, message, code = audit.check(d, split, feature.fit(d, split.train, ids), ids)
      assert.is_nil(found)
      assert.equal("leak", code)
      assert.matches("is held out, and training has it already", message)
    end)

    it("is refused to a model that was trained on other rows than the split's, in a study and in a job", function()
      local d = dataset()
      local split = data.split_leave_last_out(d)
      local wider = split:selection()
      wider.train = tensor.arange(0, d.interactions:rows(), "i64") -- all there are, the test rows among them
      local found = tuned(d, wider)
      local message, code = refusal(testing.run, study(), { found }, d, split)
      assert.equal("leak", code)
      assert.matches("mf was not trained on the training rows of this split", message)
      assert.equal("selection", split.state)
      local function report(model)
        return job.evaluate({ eval = { k = { 5 }, samples = 20 }, seed = 1 }, model, d, split)
      end
      message, code = refusal(report, found.model)
      assert.equal("leak", code)
      assert.matches("mf was not trained on the training rows of this split", message)
      local both = split:selection()
      both.train = tensor.concat({ split.train, split.valid }):sort() -- trained again on all but the test rows
      assert.equal(USERS, report(tuned(d, both).model).queries)
      local sound = testing.run(study(), { tuned(d, split) }, d, split)
      assert.equal("mf", sound.systems[1].name)
    end)
  end)

  describe("with a feature that knows the target", function()
    local function checked(columns, declared, options)
      local d = dataset(columns)
      local split = data.split_leave_last_out(d)
      local all = { user = ids.user, item = ids.item, event = declared }
      return audit.check(d, split, feature.fit(d, split.train, all), all, options)
    end

    it("is found by the audit: a column of the event that names its item, plainly or in other words", function()
      for name, fn in pairs { answer = function(item) return "i" .. item end,
        code = function(item) return item * 7.5 end,
        noisy = function(item, row) return row % 5 == 0 and "elsewhere" .. row % 7 or "page " .. item end } do
        local kind = name == "code" and feature.number { name } or feature.category { name }
        local report, message, code = checked({ [name] = fn }, { kind })
        assert.is_nil(report, name)
        assert.equal("leak", code)
        assert.matches(("column '%s' of the interactions, read by a feature of the event, knows the item"):format(name),
          message, 1, true)
      end
    end)

    it("is found also where the recipe has said how its columns are made", function()
      local _, message = checked({ answer = function(item) return "i" .. item end },
        { feature.category { "answer" } }, { derive = function(raw) return raw end })
      assert.matches("column 'answer' .- knows the item", message)
    end)

    it("is not seen in columns that say where and when", function()
      local sound, message = checked({ place = function(_, row) return "place " .. row % 4 end,
        seconds = function(_, row) return row * 1.25 end, session = function(_, row) return "s" .. row // 3 end },
        { feature.category { "place" }, feature.number { "seconds" },
          feature.category { "session" } })
      assert.is_table(sound, message)
    end)
  end)

  describe("with sampled metrics passed as full ones", function()
    local d, split, full, sampled, scorer

    --- Each query's item and four others.
    local function five(_, rows)
      local values, n, items = {}, #rows, d:item_rows()
      for q = 1, n do
        local own = items:get(rows:get(q) + 1)
        for i = 0, 4 do values[#values + 1] = (own + i * 5) % ITEMS end
      end
      return { starts = tensor.arange(n) * 5, lengths = tensor.full(5, n, "i32"), values = tensor.new(values, "i32") }
    end

    setup(function()
      d = dataset()
      split = data.split_leave_last_out(d)
      full = evaluate.protocol_leave_last_out(d, split):queries "valid"
      sampled = evaluate.protocol_per_event(d, split, { candidates = five }):queries "valid"
      scorer = tensor.arange(ITEMS, "f32")
    end)

    local function report(queries)
      return (evaluate.ranking { queries = queries, scorers = { model = scorer }, k = { 5 }, samples = 20 })
    end

    it("is labelled by its report", function()
      local of_all, of_few = report(full), report(sampled)
      assert.equal("all", of_all.ranked)
      assert.equal("listed", of_few.ranked)
      assert.equal(1, of_few.metrics.hit_5) -- each item is among the first five of five: that is how wrong it is
      assert.is_true(of_all.metrics.hit_5 < 0.5)
      assert.matches("SAMPLED: only the candidates that the protocol lists are ranked", evaluate.table(of_few))
      assert.is_nil(evaluate.table(of_all):find "SAMPLED")
    end)

    it("never stands in one table with full ones", function()
      local message, code = refusal(evaluate.beside, { { "ours", report(full) }, { "theirs", report(sampled) } })
      assert.equal("argument", code)
      assert.matches("theirs ranks 5 listed candidates a query, ours all 25 items", message, 1, true)
      assert.matches("Krichene & Rendle 2020", message, 1, true)
      message = refusal(evaluate.beside, { { "theirs", report(sampled) }, { "ours", report(full) } })
      assert.matches("ours ranks all 25 items, theirs 5 listed", message, 1, true)
      local same = evaluate.beside { { "a", report(sampled) }, { "b", report(sampled) } }
      assert.matches("SAMPLED: 5 listed candidates a query are ranked", same, 1, true)
    end)

    it("is compared with nothing that was asked otherwise: other rows, candidates, data", function()
      local first = { "a", report(full) }
      local unseen = evaluate.protocol_leave_last_out(d, split, { seen = false }):queries "valid"
      local drawn = data.split_random(d, { valid = 0.1, test = 0.1 })
      local other = evaluate.protocol_leave_last_out(d, drawn):queries "valid"
      local wide = evaluate.protocol_per_event(d, split):queries "valid"
      for words, queries in pairs { ["other questions"] = unseen, ["were asked other"] = other,
        ["per_event"] = wide } do
        assert.matches(words, refusal(evaluate.beside, { first, { "b", report(queries) } }), 1, true)
      end
      local nameless = report(full)
      nameless.fingerprint = nil
      assert.matches("b does not say which questions it answers",
        refusal(evaluate.beside, { first, { "b", nameless } }), 1, true)
    end)

    it("is not paired with full ones for significance, and gives no lists of the best", function()
      local answers = { evaluate.answer(full, scorer, { 5 }), evaluate.answer(sampled, scorer, { 5 }) }
      assert.matches("answer 2 is to other questions than the first",
        refusal(significance.stack, answers, "ndcg_5"), 1, true)
      assert.matches("these queries name their candidates", refusal(lists.top, sampled, scorer, 5), 1, true)
    end)

    it("does not come about by scores that leave items out", function()
      local few = function(first, n)
        local scores = tensor.full(-math.huge, n, ITEMS)
        local own = full.item_rows:narrow(1, first, n)
        local flat = scores:reshape(n * ITEMS)
        return flat:index_copy_(tensor.arange(n) * ITEMS + own, tensor.full(1, n)):reshape(n, ITEMS)
      end
      assert.matches("score of item row %d+ for query 0 is not a finite number",
        refusal(evaluate.answer, full, few, { 5 }))
    end)
  end)

  describe("by tuning on test data", function()
    it("is refused while a model is being selected", function()
      local d = dataset()
      local split = data.split_leave_last_out(d)
      assert.matches("Selection code cannot open the test split",
        refusal(job.queries, d, split, { k = { 5 } }, "test"))
      assert.matches("the test rows are sealed", refusal(function() return split.test end))
      assert.matches("made for selection", refusal(function() split:selection():end_selection "so" end))
    end)

    it("is refused to the trials of a search, and ends it", function()
      local d = dataset()
      local opened = data.split_leave_last_out(d)
      opened:end_selection "by an earlier model"
      for _, split in ipairs { opened, data.split_leave_last_out(d) } do
        local search <close> = tune.study { name = "s", store = ":memory:", search = { x = tune.uniform(0, 1) } }
        local message, code = refusal(search.optimize, search, function()
          if split.state == "selection" then split:end_selection "to look at the test rows" end
          return #split:open_test()
        end, { trials = 3 })
        assert.equal("objective", code)
        assert.matches("a model is being chosen, which must not depend on test rows", message, 1, true)
        local trials = search:trials()
        assert.equal(1, #trials)
        assert.equal("failed", trials[1].state)
      end
      assert.equal(USERS, #opened:open_test "when the search is over")
    end)

    it("is refused to the training of a study's trial", function()
      local d = dataset()
      local split = data.split_leave_last_out(d)
      split:end_selection "too early"
      local fit = train.fit
      train.fit = function(...)
        split:open_test "to choose the epoch"
        return fit(...)
      end
      local message, code = refusal(tuned, d, split)
      train.fit = fit
      assert.equal("objective", code)
      assert.matches("must not depend on test rows", message, 1, true)
    end)

    it("gives trials a split that has no test rows, nor validation rows to train on", function()
      local d = dataset()
      local split, given = data.split_leave_last_out(d), nil
      local fit = train.fit
      train.fit = function(definition, request)
        given = request.split
        return fit(definition, request)
      end
      tuned(d, split)
      train.fit = fit
      assert.same(split.train:tolist(), given.train:tolist())
      assert.equal(0, #given.valid)
      assert.matches("made for selection", refusal(function() given:end_selection "so" end))
    end)

    it("counts as choosing only as long as it is at work, whatever it raises", function()
      local ok, problem = current.selecting(function() error("wrong", 0) end)
      assert.is_false(ok)
      assert.matches("wrong", tostring(type(problem) == "table" and problem.message or problem))
      current.forbid "asks its test rows" -- nothing is being chosen
    end)
  end)
end)

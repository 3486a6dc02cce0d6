--- Results of tasks that are taken from earlier runs: when, when not, and that all is there as if they had run.

local command = require "spec.support.command"
local files = require "recsys.files"
local flow = require "recsys.flow"
local frame = require "recsys.frame"
local json = require "recsys.json"
local kept = require "recsys.flow.cache"
local kept_flow = require "spec.support.kept_flow"
local recsys_cache = require "recsys.cache"
local tensor = require "recsys.tensor"
local uv = require "luv"

describe("a task's result", function()
  local folder
  local new_flow = kept_flow.new
  before_each(function() folder = kept_flow.begin() end)
  after_each(function()
    recsys_cache.allow(true)
    kept_flow.finish()
  end)

  --- Whether a task that is given some arguments takes the result of one that was given others.
  local function taken(first, second)
    local steps
    kept.prune { bytes = 0 }
    for _, arguments in ipairs { first, second } do
      steps = new_flow()
      steps:task("work", function() return 1 end, table.unpack(arguments, 1, arguments.n or #arguments))
    end
    return steps.tasks[1].state == "cached"
  end

  -- A counter that a task has captured would be part of its key: this one is out of reach.
  local function add(a, b)
    local registry = debug.getregistry()
    registry.recsys_flow_spec_calls = (registry.recsys_flow_spec_calls or 0) + 1
    return { sum = a + b }
  end
  local function many(sum)
    local value = add(sum, 0)
    for i = 1, 2000 do value[i] = i end
    return value
  end
  local function added()
    local registry = debug.getregistry()
    local n = registry.recsys_flow_spec_calls or 0
    registry.recsys_flow_spec_calls = nil
    return n
  end

  --- Where the result of the task of this name is kept.
  local function path_of(name)
    for _, entry in ipairs(kept.list()) do
      if entry.task == name then return entry.path end
    end
  end

  it("is taken by a later run, through handles and fields, and not by one with other arguments", function()
    local function run(last)
      local steps = new_flow()
      local first = steps:task("first", add, 1, 2)
      return steps:task("second", add, first.sum, last):value().sum, steps
    end
    assert.equal(13, (run(10)))
    assert.equal(2, added())
    local sum, steps = run(10)
    assert.equal(13, sum)
    assert.equal(0, added())
    assert.same({ "cached", "cached" }, { steps.tasks[1].state, steps.tasks[2].state })
    assert.equal(14, (run(11)))
    assert.equal(1, added())
  end)

  it("goes by what a task gave, not by whether it ran", function()
    local function run(n)
      local steps = new_flow()
      local parity = steps:task("parity", function(x) return x % 2 end, n)
      return steps:task("second", add, parity, 1)
    end
    run(2)
    added()
    run(4) -- parity runs and gives the same
    assert.equal(0, added())
    run(3)
    assert.equal(1, added())
  end)

  it("depends on the content of tensors, frames and tables, to the last bit", function()
    local function same(a, b) return taken({ a }, { b }) end
    local t = tensor.new { 1, 2, 3 }
    assert.is_true(same(t, tensor.new { 1, 2, 3 }))
    assert.is_false(same(t, tensor.new { 1, 2, 4 }))
    assert.is_false(same(t, tensor.new({ 1, 2, 3 }, "i64")))
    assert.is_false(same(t, t:reshape(3, 1)))
    assert.is_true(same({ a = 1, b = { 2 } }, { b = { 2 }, a = 1 }))
    assert.is_false(same({ 0.1 + 0.2 }, { 0.3 }))
    assert.is_false(same({ 1 }, { 1.0 }))
    assert.is_false(same({ "1" }, { 1 }))
    assert.is_false(same({ {}, 1 }, { { 1 } }))
    command.write(folder .. "/a.csv", "x,y\n1,a\n")
    command.write(folder .. "/b.csv", "x,y\n1,b\n")
    local a, b = assert(frame.read_csv(folder .. "/a.csv")), assert(frame.read_csv(folder .. "/b.csv"))
    assert.is_true(same(a, assert(frame.read_csv(folder .. "/a.csv"))))
    assert.is_false(same(a, b))
    assert.is_false(taken({ 7, nil, n = 2 }, { 7, n = 1 }))
    assert.is_true(taken({ 8, nil, 9, n = 3 }, { 8, nil, 9, n = 3 }))
  end)

  it("depends on what the function has captured, also inside of tables and other functions", function()
    local function run(by)
      local inner = { by = by }
      local function times(x) return x * inner.by end
      return new_flow():task("scale", function(x) return times(x) end, 2):value()
    end
    assert.equal(6, run(3))
    assert.equal(8, run(4))
    assert.equal(6, run(3))
    local steps = new_flow()
    local first = steps:task("first", add, 1, 2)
    assert.equal(30, steps:task("tenfold", function() return first:value().sum * 10 end):value())
    steps = new_flow()
    first = steps:task("first", add, 2, 2)
    assert.equal(40, steps:task("tenfold", function() return first:value().sum * 10 end):value())
    added()
  end)

  it("depends on the function's code, name and file", function()
    local function run(code)
      return new_flow():task("made", load(code, "=made"), 2):value()
    end
    assert.equal(4, run "return ... * 2")
    assert.equal(6, run "return ... * 3")
    local path = folder .. "/step.lua"
    command.write(path, "return function(x) return x end")
    new_flow():task("filed", dofile(path), 1)
    command.write(path, "-- other bytes, same code\nreturn function(x) return x end")
    local steps = new_flow()
    steps:task("filed", dofile(path), 1)
    assert.equal("completed", steps.tasks[1].state)
  end)

  it("depends on the files that the function says it reads", function()
    local path = command.write(folder .. "/in.txt", "one")
    local function read(from)
      local bytes = command.read(from)
      return { bytes = bytes }
    end
    flow.reads(read, function(from) return { from } end)
    local function run()
      local steps = new_flow()
      return steps:task("read", read, path):value().bytes, steps.tasks[1].state
    end
    assert.same({ "one", "completed" }, { run() })
    assert.same({ "one", "cached" }, { run() })
    command.write(path, "two")
    assert.same({ "two", "completed" }, { run() })
    command.write(path, "one")
    assert.same({ "one", "cached" }, { run() })
    os.remove(path)
    assert.has_error(run)
  end)

  it("lets later tasks be taken when another file gave the same numbers, but not the same text or object", function()
    local path = folder .. "/in.txt"
    for state, made in pairs {
      cached = { 3, { 3, rows = { true } }, tensor.arange(3), frame.from { { "n", "number", { 1, 2 } } } },
      completed = { path, { path }, { [true] = 1 } },
    } do
      for _, value in ipairs(made) do
        local function read() return value end
        flow.reads(read, function(from) return { from } end)
        local steps
        for _, bytes in ipairs { "one", "two" } do
          command.write(path, bytes)
          steps = new_flow()
          steps:task("after", function(x) return x ~= nil end, steps:task("read", read, path))
        end
        assert.same({ "completed", state }, { steps.tasks[1].state, steps.tasks[2].state })
        kept.prune { bytes = 0 }
      end
    end
  end)

  it("is not kept when a file that is read changed meanwhile", function()
    local path = command.write(folder .. "/in.txt", "one")
    local function read(from)
      local bytes = command.read(from)
      command.write(from, bytes .. "+")
      return bytes
    end
    flow.reads(read, function(from) return { from } end)
    new_flow():task("read", read, path)
    assert.same({}, kept.list())
  end)

  it("brings the files that the task left, and paths of the run that takes it", function()
    local function write(one, into)
      files.write(one, "a,b\n")
      files.write(files.make_folder(into .. "/deep") .. "/x.csv", "1\n")
      return { csv = one, folder = into, elsewhere = "/etc" }
    end
    local function run()
      local steps = new_flow()
      local left = steps:task("write", write, steps:path "curves.csv", steps:path "lists"):value()
      local late = steps:task("late", function()
        files.write(steps:path "late.txt", "late")
        return true
      end)
      return steps, left, late
    end
    run()
    local steps, left = run()
    assert.same({ "cached", "cached" }, { steps.tasks[1].state, steps.tasks[2].state })
    assert.same({ csv = steps.folder .. "/curves.csv", folder = steps.folder .. "/lists", elsewhere = "/etc" }, left)
    assert.equal("a,b\n", command.read(left.csv))
    assert.equal("1\n", command.read(left.folder .. "/deep/x.csv"))
    assert.equal("late", command.read(steps.folder .. "/late.txt"))
    assert.same(left, require("recsys.store").load(steps.folder .. "/tasks/01-write"))
  end)

  it("lies on the disk once, and is mapped", function()
    local function run()
      local steps = new_flow()
      return steps, steps:task("big", function() return tensor.arange(0, 1e6, "f64") end)
    end
    local first = run()
    local second, handle = run()
    local one = uv.fs_stat(first.folder .. "/tasks/01-big/value.safetensors")
    local two = uv.fs_stat(second.folder .. "/tasks/01-big/value.safetensors")
    assert.equal(one.ino, two.ino)
    local held = select(2, require("recsys.base").alloc_counts())
    assert.equal(999999, handle:value():get(1000000))
    assert.is_true(select(2, require("recsys.base").alloc_counts()) - held < 1e6)
  end)

  it("is not taken when it is damaged", function()
    for _, spoil in ipairs {
      function(path) command.write(path, "") end,
      function(path) command.write(path, (command.read(path):gsub("3", "4"))) end,
      function(path) os.remove(path) end,
    } do
      new_flow():task("first", add, 1, 2)
      spoil(path_of "first") -- one file, as it is small
      added()
      assert.equal(3, new_flow():task("first", add, 1, 2):value().sum)
      assert.equal(1, added())
      new_flow():task("large", many, 3)
      spoil(path_of "large" .. "/value.lua")
      added()
      assert.equal(3, new_flow():task("large", many, 3):value().sum)
      assert.equal(1, added())
      command.write(path_of "large" .. "/entry.lua", "return {")
      assert.equal(3, new_flow():task("large", many, 3):value().sum)
      assert.equal(1, added())
    end
  end)

  it("is made anew when others remove it, or put another in its place, while it is taken", function()
    local function big(path)
      files.make_folder(path)
      files.write(path .. "/left.txt", "left", true)
      return { t = tensor.arange(0, 2000, "f64"), n = add(1, 2).sum }
    end
    local meanwhile
    flow.valid(big, function() return not meanwhile or meanwhile() or true end)
    local function run()
      local steps = new_flow()
      local value = steps:task("big", big, steps:path "out"):value()
      assert.equal(1999 * 1000, value.t:sum())
      assert.equal("left", command.read(steps.folder .. "/out/left.txt"))
      return steps.tasks[1].state
    end
    assert.equal("completed", run())
    assert.equal("cached", run())
    meanwhile = function() kept.prune { bytes = 0 } end
    assert.equal("completed", run())
    meanwhile = function() -- what links there are is not of the entry that was looked at
      local path = path_of "big" .. "/entry.lua"
      command.write(path, (command.read(path):gsub("(made%W+)%d+", "%17")))
    end
    assert.equal("completed", run())
    meanwhile = function() os.remove(path_of "big" .. "/out/out/left.txt") end
    assert.equal("completed", run())
    meanwhile = nil
    assert.equal("cached", run())
    assert.equal(4, added())
  end)

  it("of an element is made anew when others remove it while it is taken", function()
    local function big(n)
      add(n, 0)
      return { t = tensor.arange(0, 1000 + n, "f64") }
    end
    local gone = false
    flow.valid(big, function()
      if gone then kept.prune { bytes = 0 } end
      return true
    end)
    local function run(...)
      local list = new_flow():map("list", { process = false }, big, { ... }):value()
      return #list[1].t + #list[2].t
    end
    assert.equal(2003, run(1, 2))
    gone = true
    assert.equal(2004, run(1, 3))
    assert.equal(4, added())
  end)

  it("is one file when it is small, a folder when it is not or left files, and the last one counts", function()
    local function kinds()
      local list = {}
      for i, entry in ipairs(kept.list()) do list[i] = entry.path:find "%.lua$" and "file" or "folder" end
      table.sort(list)
      return list
    end
    new_flow():task("first", add, 1, 2)
    new_flow():task("large", many, 3)
    local steps = new_flow()
    steps:task("left", function(path) files.write(path, "x", true) end, steps:path "left.txt")
    assert.same({ "file", "folder", "folder" }, kinds())
    finally(function() debug.getregistry().recsys_flow_spec_size = nil end)
    local function sized()
      local n = debug.getregistry().recsys_flow_spec_size
      return { n = n, ("x"):rep(n) }
    end
    for _, now in ipairs { 1, 9000, 2 } do
      debug.getregistry().recsys_flow_spec_size = now
      new_flow({ refresh = { "all" } }):task("sized", sized)
      assert.equal(now, new_flow():task("sized", sized):value().n)
      assert.equal(4, #kept.list())
      assert.equal(4, #files.names(kept.folder()))
    end
    assert.same({ "file", "file", "folder", "folder" }, kinds())
    assert.equal(4, (kept.prune { bytes = 0 }))
    assert.same({}, files.names(kept.folder()))
  end)

  it("is taken or not as options say", function()
    local function ran(options, of_flow)
      added()
      new_flow(of_flow):task("first", options, add, 1, 2)
      return added() == 1
    end
    assert.is_true(ran {})
    assert.is_false(ran {})
    assert.is_true(ran { cache = false })
    assert.is_true(ran { save = false })
    assert.is_false(ran { cache = "1h" })
    uv.sleep(5)
    assert.is_true(ran { cache = "1ms" })
    assert.is_true(ran({}, { refresh = { "first" } }))
    assert.is_true(ran({}, { refresh = { "all" } }))
    assert.is_false(ran({}, { refresh = { "other" } }))
    recsys_cache.allow(false)
    assert.is_true(ran {})
    recsys_cache.allow(true)
    assert.is_false(ran {})
    local _, problem = pcall(ran, { cache = "soon" })
    assert.equal("usage", problem.code)
    _, problem = pcall(ran, { cash = true })
    assert.matches("task 'first' has no option 'cash'", problem.message)
  end)

  it("of what has no content to go by is made each time, and the plan says why", function()
    local function run(options)
      local steps = options and flow.new(options) or new_flow()
      steps:task("odd", function() return 1 end, coroutine.create(print))
      return steps
    end
    run()
    assert.equal("completed", run().tasks[1].state)
    assert.equal("  1  odd          would run   (it is given a thread)", run({ plan = true, caches = true }):plan())
  end)

  it("is foretold by a plan, which goes on behind values that are kept", function()
    local function go(steps, last)
      local first = steps:task("first", add, 1, 2)
      steps:task("second", add, first:value().sum, last)
      steps:task("third", add, 1, steps.tasks[2] and 1)
      return steps
    end
    local function planned(last) return flow.new { plan = true, caches = true }, last end
    assert.has_error(function() go(planned(1)) end, { code = "plan", message = "first" })
    go(new_flow(), 1)
    local before = #kept.list()
    assert.equal("  1  first        cached\n  2  second       cached\n  3  third        cached",
      go(planned(1)):plan())
    assert.equal("  1  first        cached\n  2  second       would run   (no result is kept)\n"
      .. "  3  third        cached", go(planned(2)):plan())
    assert.equal(before, #kept.list())
    added()
  end)

  it("that failed is not kept", function()
    for _ = 1, 2 do
      assert.has_error(function() new_flow():task("fails", function() error "no luck" end) end)
      assert.has_error(function() new_flow():task("refuses", function() return nil, "no", "io" end) end)
    end
    assert.same({}, kept.list())
  end)

  it("goes when it was not used for long or takes too much room, and runs keep theirs", function()
    local places = {}
    for i = 1, 4 do
      local steps = new_flow()
      steps:task("big", function(n) return tensor.full(n, 25000, "f32") end, i)
      places[i] = steps.folder .. "/tasks/01-big"
      uv.fs_utime(("%s/%s/entry.lua"):format(kept.folder(), kept.list()[1].key), 1e9 + i * 1000, 1e9 + i * 1000)
      assert.equal(i, #kept.list())
    end
    assert.same({ 0, 0 }, { kept.prune {} })
    assert.equal(2, (kept.prune { bytes = 250000 }))
    assert.same({ 1e9 + 4000, 1e9 + 3000 }, { kept.list()[1].used, kept.list()[2].used })
    assert.equal(1, (kept.prune { age = os.time() - 1e9 - 3500 }))
    assert.equal(1, #kept.list())
    for i, place in ipairs(places) do assert.equal(i, require("recsys.store").load(place):get(1)) end
  end)
end)

local RECIPE <const> = [[
local recsys = require "recsys"
local feature, job = recsys.feature, recsys.job
local extra = require "extra"
return recsys.recipe {
  name = "kept", about = "Train",
  params = { data = { source = "news", dir = "news", scale = 0.001 },
    split = { kind = "time", valid = 0.1, test = 0.1 }, model = { kind = "own", dim = 8 },
    train = { epochs = 2, batch = 256, learning_rate = 0.02, checkpoint = 60.0 }, eval = { k = { 10 }, window = "7d" },
    recommend = { k = 5, exclude_seen = true }, publish = { name = "kept", dir = "models" } },
  run = function(flow, p)
    local data = flow:task("load", job.load, p.data, flow:path "quarantine")
    local split = flow:task("split", job.split, data, p.split, p.seed)
    local ids = { user = { feature.id { "user" } }, item = { feature.id { "item" } } }
    local encoder = flow:task("features", feature.fit, data, split.train, ids)
    local model = flow:task("train", job.train, p, encoder, data, split, flow:path "curves.csv")
    local report = flow:task("evaluate", job.evaluate, p, model, data, split)
    local written = flow:task("recommend", job.recommend, p, model, data, flow:path "recommendations")
    local bundle = flow:task("publish", job.publish, p, model, data, report, flow.name, split)
    local more = flow:task("extra", extra, report.queries)
    return flow:task("report", function(r, m) r.more = m return r end,
      flow:task("result", job.result, report, model, written, bundle), more)
  end,
}]]

describe("a task in a process of its own", function()
  it("depends on the modules that it loads there alone", function()
    local folder = command.scratch(finally)
    command.write(folder .. "/late.lua", "return 1")
    command.write(folder .. "/r.lua", [[return require("recsys").recipe { name = "r", about = "One task",
      run = function(flow)
        local t = flow:task("t", { process = true }, function() return { n = require "late" } end)
        return { n = t.n }
      end }]])
    local function run()
      local ran = command.run(("cd '%s' && LUA_PATH='./?.lua;;' '%s' r.lua --json --set track.enabled=false"):format(
        folder, command.program))
      assert.equal(0, ran.code, ran.err)
      return json.decode(ran.out).n, ran.err:find("t +cached") ~= nil
    end
    assert.same({ 1, false }, { run() })
    assert.same({ 1, true }, { run() })
    command.write(folder .. "/late.lua", "return 2")
    assert.same({ 2, false }, { run() })
    assert.same({ 2, true }, { run() })
  end)
end)

describe("an unchanged recipe", function()
  local folder
  setup(function()
    folder = command.temporary()
    files.make_folder(folder .. "/models")
    command.write(folder .. "/kept.lua", RECIPE)
    command.write(folder .. "/extra.lua", "return function(n) return n + 1 end")
    command.write(folder .. "/models/own.lua", command.read "models/mf.lua")
  end)
  teardown(function() command.remove(folder) end)

  --- Run the recipe: its result, and the states of its tasks by name, "cached" or "completed".
  local function run(words)
    local ran = command.run(("cd '%s' && LUA_PATH='./?.lua;;' '%s' kept.lua --threads 1 --json --set runs=art/runs %s")
      :format(folder, command.program, words or ""))
    assert.equal(0, ran.code, ran.err)
    local result = json.decode(ran.out)
    local states, n = {}, 0
    for _, task in ipairs(json.decode(command.read(("%s/%s/tasks.json"):format(folder, result.paths.run)))) do
      states[task.name], n = task.state, n + 1
    end
    assert.equal(10, n)
    return result, states
  end

  local names = { "load", "split", "features", "train", "evaluate", "recommend", "publish", "extra", "result",
    "report" }

  --- The tasks that ran, in order.
  local function ran(words)
    local _, states = run(words)
    local list = {}
    for _, name in ipairs(names) do
      if states[name] ~= "cached" then list[#list + 1] = name end
    end
    return list
  end

  it("is all cached, and leaves what a run leaves", function()
    local first, states = run()
    for _, name in ipairs(names) do assert.equal("completed", states[name], name) end
    local again
    again, states = run()
    for _, name in ipairs(names) do assert.equal("cached", states[name], name) end
    for _, field in ipairs { "metrics", "intervals", "baselines", "curves", "epoch", "more" } do
      assert.same(first[field], again[field])
    end
    assert.equal(first.paths.bundle, again.paths.bundle)
    assert.same({ "kept-1.tar" }, { table.unpack(files.names(folder .. "/models"), 1, 1) })
    assert.equal(again.paths.run .. "/recommendations/recommendations.csv", again.paths.recommendations)
    for _, name in ipairs { "curves.csv", "recommendations/recommendations.csv", "quarantine" } do
      local one, two = folder .. "/" .. first.paths.run .. "/" .. name, folder .. "/" .. again.paths.run .. "/" .. name
      if files.exists(one .. "/.") then
        assert.same(files.names(one), files.names(two))
      else
        assert.equal(command.read(one), command.read(two), name)
      end
    end
  end)

  it("is tracked with the losses, metrics and data of what it took", function()
    local result = run()
    local store <close> = require("recsys.track.store").open(folder .. "/art")
    local row = store.db:row("SELECT run_uuid FROM runs WHERE name = ?", { result.run })
    local tracked = store:runs({ row.run_uuid })[1]
    local metrics = {}
    for _, metric in ipairs(tracked.data.metrics) do metrics[metric.key] = metric.value end
    assert.equal(result.metrics.ndcg_10, metrics["test/ndcg_10"])
    assert.equal(result.curves[#result.curves]["train/loss"], metrics["train/loss"])
    assert.equal(2, #store:metric_history { run_id = row.run_uuid, metric_key = "train/loss" })
    assert.equal("news", tracked.inputs.dataset_inputs[1].dataset.name)
  end)

  it("runs again what depends on what was changed, and nothing before", function()
    run()
    assert.same({ "train", "evaluate", "recommend", "publish", "extra", "result", "report" },
      ran "--set train.learning_rate=0.01")
    assert.same({ "publish", "result", "report" }, -- the bundle says what it was made with
      ran "--set train.learning_rate=0.01 --set train.checkpoint=1.0")
    assert.same({ "evaluate", "publish", "extra", "result", "report" }, ran "--set eval.k=10,20")
    assert.same({ "publish", "extra", "result", "report" }, ran "--refresh extra") -- others were published since
    assert.same({}, ran())
    assert.same({ "recommend", "publish", "result", "report" }, ran "--set recommend.k=6 --set publish.name=kept")
    assert.same({ "publish", "result", "report" }, ran "--set publish.name=other")
    assert.same(names, ran "--refresh all")
    assert.same({}, ran("--plan >plan.txt; '" .. command.program .. "' kept.lua --json --set runs=art/runs"))
    assert.matches("  4  train        cached     after features, load, split", command.read(folder .. "/plan.txt"))
  end)

  it("runs again with other files of the model, the recipe's modules, or the data", function()
    run()
    command.write(folder .. "/models/own.lua", "-- mine\n" .. command.read "models/mf.lua")
    assert.equal("train", ran()[1])
    command.write(folder .. "/extra.lua", "return function(n) return n + 2 end")
    assert.same(names, ran())
    assert.same({}, ran())
    command.write(folder .. "/news/contents.csv", command.read(folder .. "/news/contents.csv") .. "\n")
    assert.equal("load", ran()[1])
    os.execute(("rm -f '%s'/models/kept-*.tar"):format(folder))
    assert.same({ "publish", "result", "report" }, ran())
    local refused = command.run(("cd '%s' && '%s' kept.lua --refresh trian"):format(folder, command.program))
    assert.equal(2, refused.code)
    assert.matches("no task 'trian'; there are: load, split", refused.err)
  end)

  it("trains to find a learning rate, and under --profile, whatever is kept", function()
    run()
    local found = command.run(("cd '%s' && '%s' kept.lua --find-learning-rate --set train.epochs=40")
      :format(folder, command.program))
    assert.matches("falls fastest", found.out .. found.err)
    assert.equal("train", ran("--profile")[1])
  end)
end)

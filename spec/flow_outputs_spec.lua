--- Files that tasks leave in the run's folder: they are part of what a task gave, of what a task depends on that is
--- given their path, and each is the task's that made it.

local command = require "spec.support.command"
local files = require "recsys.files"
local kept = require "recsys.flow.cache"
local kept_flow = require "spec.support.kept_flow"
local uv = require "luv"

describe("files that a task leaves in the run's folder", function()
  local new_flow = kept_flow.new
  before_each(kept_flow.begin)
  after_each(kept_flow.finish)

  local function states(steps)
    local list = {}
    for i, task in ipairs(steps.tasks) do list[i] = task.state end
    return table.concat(list, " ")
  end

  local function write(path, bytes)
    files.make_folder(path:match "^(.*)/")
    command.write(path, bytes)
    return path
  end

  it("are part of what it gave: who is handed their path sees what they hold", function()
    local function run(bytes)
      local steps = new_flow()
      local path = steps:task("export", write, steps:path "x.csv", bytes)
      return steps:task("score", command.read, path):value(), states(steps)
    end
    assert.same({ "old", "completed completed" }, { run "old" })
    assert.same({ "new", "completed completed" }, { run "new" })
    assert.same({ "old", "cached cached" }, { run "old" })
    assert.same({ "new", "cached cached" }, { run "new" })
  end)

  it("are part of what it gave also where they are asked for while it runs", function()
    local function run(bytes)
      local steps = new_flow()
      local done = steps:task("export", { cache = false }, function()
        write(steps:path "deep/x.csv", bytes)
        return { at = steps:path "deep" }
      end)
      return steps:task("score", function(at) return command.read(at .. "/x.csv") end, done.at):value()
    end
    assert.equal("old", run "old")
    assert.equal("new", run "new")
  end)

  it("come with links and empty folders, and a link inside of the run leads into the run that has it", function()
    local function make(path, target)
      files.make_folder(path .. "/empty/deep")
      write(path .. "/f", "held")
      assert(uv.fs_symlink(target, path .. "/latest"))
      assert(uv.fs_symlink(assert(uv.fs_realpath(path)) .. "/f", path .. "/whole"))
      assert(uv.fs_symlink("nowhere", path .. "/dangling"))
      return path
    end
    local function run(target, options)
      local steps = new_flow()
      local path = steps:task("make", options or {}, make, steps:path "out", target)
      steps:task("look", function(at) return uv.fs_readlink(at .. "/latest") end, path)
      return path:value(), states(steps)
    end
    assert.equal("completed completed", select(2, run "f"))
    local path, said = run "f"
    assert.equal("cached cached", said)
    assert.same({ "dangling", "empty", "f", "latest", "whole" }, files.names(path))
    assert.same({ "deep" }, files.names(path .. "/empty"))
    assert.same({ "f", "nowhere", uv.fs_realpath(path) .. "/f" }, { uv.fs_readlink(path .. "/latest"),
      uv.fs_readlink(path .. "/dangling"), uv.fs_readlink(path .. "/whole") })
    assert.equal("held", command.read(path .. "/latest"))
    assert.equal("completed completed", select(2, run "./f")) -- a link is part of what its task gave
    assert.equal("cached cached", select(2, run "./f"))
    assert.equal("completed cached", select(2, run("f", { cache = false })))
  end)

  it("count for who is given the same path, whoever made them", function()
    local function run(bytes, options)
      local steps = new_flow()
      if options then
        steps:task("export", options, write, steps:path "x.csv", bytes)
      else
        write(steps:path "x.csv", bytes)
      end
      return steps:task("score", command.read, steps:path "x.csv"):value(), steps.tasks[#steps.tasks].state
    end
    for _, options in ipairs { {}, { cache = false }, { save = false }, false } do
      kept.prune { bytes = 0 }
      assert.same({ "one", "completed" }, { run("one", options) })
      assert.same({ "one", "cached" }, { run("one", options) })
      assert.same({ "two", "completed" }, { run("two", options) })
    end
  end)

  it("are not overwritten by the result of another task that was made beside them", function()
    local function run(bytes, late)
      local steps = new_flow()
      local out = steps:path "out"
      steps:task("a", function(at, text)
        write(at .. "/a.txt", text)
        return 1
      end, out, bytes)
      steps:task("b", function(at)
        write((at or steps:path "out") .. "/b.txt", "same")
        return 2
      end, not late and out or nil)
      assert.equal("same", command.read(out .. "/b.txt"))
      return command.read(out .. "/a.txt"), states(steps)
    end
    for _, late in ipairs { false, true } do
      kept.prune { bytes = 0 }
      assert.equal("old", (run("old", late)))
      assert.same({ "old", "cached cached" }, { run("old", late) })
      assert.equal("new", (run("new", late)))
      assert.same({ "new", "cached cached" }, { run("new", late) })
      for _, entry in ipairs(kept.list()) do
        local own = files.names(entry.path .. "/out/out")
        assert.equal(1, #own)
        assert.equal(entry.task, own[1]:sub(1, 1))
      end
    end
  end)

  it("that a task adds to come as it left them, when what it found is there again", function()
    local function run(first, more)
      local steps = new_flow()
      local out = steps:path "out.csv"
      local made = steps:task("make", write, out, first)
      steps:task("add", function(_, path, text)
        local file <close> = assert(io.open(path, "a"))
        file:write(text)
        return true
      end, made, out, more)
      return command.read(out), states(steps)
    end
    assert.equal("ab", (run("a", "b")))
    run("a", "b") -- the first result of "make" was added to
    assert.same({ "ab", "cached cached" }, { run("a", "b") })
    assert.equal("ac", (run("a", "c")))
    assert.equal("xc", (run("x", "c")))
    assert.equal("ab", (run("a", "b")))
  end)

  it("are found to be others when they were changed at once, in place, to the same size", function()
    local steps = new_flow()
    local out = steps:path "x"
    steps:task("a", write, out, "old")
    steps:task("b", function(path) return write(path, "new") end, out)
    for i = 1, 2 do
      steps = new_flow()
      steps:task("a", write, steps:path "x", "old")
      steps:task("b", function(path) return write(path, "new") end, steps:path "x")
      assert.equal("new", command.read(steps:path "x"), i)
    end
    assert.equal("cached cached", states(steps))
  end)

  it("do not come to where something else lies now", function()
    local function run(body)
      local steps = new_flow()
      if body then body(steps.folder .. "/out/x") end
      steps:task("a", function()
        local path = steps:path "out" .. "/x"
        return files.exists(path) or files.exists(write(path, "1"))
      end)
      return states(steps)
    end
    assert.equal("completed", run())
    assert.equal("cached", run())
    assert.equal("completed", run(files.make_folder))
    assert.equal("completed", run(function(path) write(path, "2") end))
  end)

  it("are not those of the run itself where it is given the whole folder", function()
    local function run()
      local steps = new_flow()
      command.write(steps.folder .. "/log.txt", steps.name)
      steps:task("all", function(at) return write(at .. "/x", "1") end, steps.folder)
      return states(steps), command.read(steps.folder .. "/log.txt") == steps.name, command.read(steps.folder .. "/x")
    end
    run()
    assert.same({ "cached", true, "1" }, { run() })
  end)
end)

describe("files that elements of a list leave", function()
  local recipe_run = require "spec.support.recipe_run"
  local runs
  after_each(function() runs:remove() end)

  --- How many elements of each run were taken, with what lies in its folder.
  local function states(n)
    local state, record = require "recsys.flow.state", require "recsys.flow.record"
    local db <close> = state.open(runs:path "artifacts")
    local list = {}
    for _, task in ipairs(record.run(db, runs:run_folder(n)).tasks) do
      for i, one in ipairs(task.elements or {}) do list[i] = one.state end
    end
    return table.concat(list, " ")
  end

  local function run(n, words)
    local code, err = runs:run("lists", words)
    assert.equal(0, code, err)
    local found = {}
    for _, name in ipairs(files.names(runs:run_folder(n) .. "/left")) do
      if files.exists(("%s/left/%s/."):format(runs:run_folder(n), name)) then
        for _, below in ipairs(files.names(("%s/left/%s"):format(runs:run_folder(n), name))) do
          found[#found + 1] = below
        end
      else
        found[#found + 1] = name
      end
    end
    table.sort(found)
    return states(n), table.concat(found, " ")
  end

  --- A recipe whose elements call `body` with i and the folder.
  local function with(body)
    runs = recipe_run(([[
      local recsys = require "recsys"
      local files = require "recsys.files"
      return recsys.recipe { name = "map", about = "Lists", params = { what = "", list = { 1, 2, 3 } },
        run = function(flow, p)
          return { n = flow:map("each", { concurrency = 3 }, function(i, folder)
            files.make_folder(folder)
            %s
          end, p.list, flow:path "left"):value() and 1 }
        end }]]):format(body))
  end

  it("are theirs that say so in what they return, though others work at the same time", function()
    with [[files.write(("%s/%d.txt"):format(folder, i), tostring(i), true)
      require("luv").sleep(100)
      return { at = ("%s/%d.txt"):format(folder, i) }]]
    assert.same({ "completed completed completed", "1.txt 2.txt 3.txt" }, { run(1) })
    assert.same({ "cached completed cached", "1.txt 3.txt 4.txt" }, { run(2, { "--set", "list=1,4,3" }) })
  end)

  it("are theirs that lie in a folder that nobody else has asked for", function()
    with [[local own = flow:path("left/" .. i)
      files.write(("%s/%d.txt"):format(files.make_folder(own), i), tostring(i), true)
      require("luv").sleep(100)
      return i]]
    assert.same({ "completed completed completed", "1.txt 2.txt 3.txt" }, { run(1) })
    assert.same({ "cached completed cached", "1.txt 3.txt 4.txt" }, { run(2, { "--set", "list=1,4,3" }) })
  end)

  it("are nobody's where that cannot be told, and such elements run again", function()
    with [[files.write(("%s/%d.txt"):format(folder, i), tostring(i), true)
      require("luv").sleep(300)
      return i]]
    assert.same({ "completed completed completed", "1.txt 2.txt 3.txt" }, { run(1) })
    assert.same({ "completed completed completed", "1.txt 3.txt 4.txt" }, { run(2, { "--set", "list=1,4,3" }) })
    assert.equal(0, (runs:run("lists", { "--set", "list=1,4,3" })))
    assert.equal("cached", runs:tasks(3).each.state) -- the whole list has them all
    assert.same({ "1.txt", "3.txt", "4.txt" }, (function(list) table.sort(list) return list end)(
      files.names(runs:run_folder(3) .. "/left")))
  end)
end)

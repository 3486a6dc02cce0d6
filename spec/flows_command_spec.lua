--- `recsys-run flows`: runs and tasks for people and programs, and what is cleared away.

local command = require "spec.support.command"
local files = require "recsys.files"
local json = require "recsys.json"

local RECIPE <const> = [[
local recsys = require "recsys"
return recsys.recipe {
  name = "count", about = "Count", params = { to = 3, fails = false },
  run = function(flow, p)
    local sum = flow:task("sum", function(n) return { n = n * (n + 1) // 2 } end, p.to)
    if p.fails then flow:task("fails", function() error("no \27[31mluck\nat all", 0) end) end
    flow:gate("enough", { metric = "n", value = sum.n, at_least = 3 })
    return { n = sum.n }
  end,
}]]

describe("recsys-run flows", function()
  local folder
  setup(function()
    folder = command.temporary()
    command.write(folder .. "/count.lua", RECIPE)
  end)
  teardown(function() command.remove(folder) end)

  local function recsys_run(words)
    return command.run(("cd '%s' && '%s' %s"):format(folder, command.program, words))
  end

  local function decoded(words)
    local ran = recsys_run(words .. " --json")
    assert.equal(0, ran.code, ran.err)
    return json.decode(ran.out)
  end

  local untracked = " --set track.enabled=false"

  it("says so where there is nothing, and makes nothing", function()
    assert.equal("no run in artifacts/flow.db\n", recsys_run "flows list".out)
    assert.equal(2, recsys_run "flows show any".code)
    assert.equal("0 runs forgotten, 0 results removed, 0.0 MiB\n", recsys_run "flows prune".out)
    assert.is_false(files.exists(folder .. "/artifacts/flow.db"))
    for _, words in ipairs { "list", "show any", "prune --size 0" } do
      local refused = recsys_run(("flows %s --place nowhere"):format(words))
      assert.equal(2, refused.code)
      assert.matches("%-%-place: there is no folder nowhere", refused.err)
    end
  end)

  it("lists runs, the youngest first, by recipe and state", function()
    assert.equal(0, recsys_run("count.lua" .. untracked).code)
    assert.equal(0, recsys_run("count.lua" .. untracked).code)
    assert.equal(1, recsys_run("count.lua --set fails=true" .. untracked).code)
    assert.equal(3, recsys_run("count.lua --set to=1" .. untracked).code)
    local states, tasks = {}, {}
    for i, run in ipairs(decoded "flows list") do
      states[i], tasks[i] = run.state, run.tasks
      assert.equal("count", run.recipe)
    end
    assert.same({ "refused", "failed", "completed", "completed" }, states)
    assert.same({ { completed = 1, failed = 1 }, { cached = 1, failed = 1, pending = 1 }, { cached = 1, completed = 1 },
      { completed = 2 } }, tasks)
    assert.equal(1, #decoded "flows list --state failed")
    assert.equal(2, #decoded "flows list --max 2")
    assert.equal(0, #decoded "flows list --recipe other")
    local misspelt = recsys_run "flows list --state fialed"
    assert.equal(2, misspelt.code)
    assert.matches("'running', 'completed', 'failed', 'refused', 'cancelled', 'crashed'", misspelt.err)
    local out = recsys_run "flows list".out
    assert.matches("1 completed, 1 cached\n", out)
    assert.equal(5, select(2, out:gsub("\n", "")))
  end)

  it("shows a run's tasks, why one failed and who held it, without what a terminal would act on", function()
    local name = decoded("flows list --state failed")[1].name
    local out = recsys_run("flows show " .. name .. " --transitions").out
    assert.truthy(out:find(name .. ": failed, task 'fails'", 1, true))
    assert.matches("holder  process %d+ on ", out)
    assert.matches("2 +fails +failed .*no  %[31mluck\n", out)
    assert.matches("fails +log +logs/02%-fails.txt\n", out)
    assert.is_nil(out:find("\27", 1, true))
    local shown = decoded("flows show artifacts/runs/" .. name)
    assert.equal(name, shown.name)
    local states = {}
    for i, task in ipairs(shown.tasks) do states[i] = task.state end
    assert.same({ "cached", "failed", "pending" }, states)
    assert.same({ {}, { 0 }, {} }, { shown.tasks[1].logs, shown.tasks[2].logs, shown.tasks[3].logs })
    assert.equal("no \27[31mluck\nat all", shown.tasks[2].reason)
    assert.same({ "running", "failed" }, { shown.transitions[1].state, shown.transitions[#shown.transitions].state })
    local refused = recsys_run("flows show " .. name:gsub(".$", "x"))
    assert.equal(2, refused.code)
    assert.matches("there is no run '.*' in artifacts/flow.db; did you mean 'count%-", refused.err)
  end)

  it("forgets runs and removes results by age and size", function()
    assert.equal(2, recsys_run "flows prune --older soon".code)
    assert.equal(2, recsys_run "flows prune --size much".code)
    assert.same({ runs = 0, results = 0, bytes = 0 }, decoded "flows prune --older 1d --size 1G")
    local run = decoded("flows list --state refused")[1]
    os.execute(("rm -r '%s'"):format(run.folder))
    assert.equal(1, decoded("flows prune --dry-run").runs)
    local would = decoded "flows prune --dry-run --size 0"
    assert.same({ 1, #files.names(folder .. "/artifacts/cache/tasks") }, { would.runs, would.results })
    assert.matches("^1 runs would be forgotten, %d+ results removed, ", recsys_run("flows prune --dry-run").out)
    assert.equal(1, decoded("flows prune").runs)
    assert.equal(3, #decoded "flows list")
    local kept = #files.names(folder .. "/artifacts/cache/tasks")
    assert.is_true(kept >= 2)
    os.execute(("mkdir '%s/other'"):format(folder))
    assert.equal(0, decoded("flows prune --size 0 --place other").results) -- those of another place stay
    os.execute(("cp -r '%s/artifacts/cache' '%s/other'"):format(folder, folder))
    assert.equal(kept, decoded("flows prune --size 0 --place other").results)
    assert.equal(kept, decoded("flows prune --size 0").results)
    assert.equal(0, #files.names(folder .. "/artifacts/cache/tasks"))
    os.execute(("cd '%s/artifacts/cache' && mkdir -p reproduced/old reproduced/new"):format(folder))
    os.execute(("touch -d '3 days ago' '%s/artifacts/cache/reproduced/old'"):format(folder))
    decoded "flows prune"
    assert.same({ "new", "old" }, files.names(folder .. "/artifacts/cache/reproduced"))
    decoded "flows prune --older 2d"
    assert.same({ "new" }, files.names(folder .. "/artifacts/cache/reproduced"))
    require("luv").sleep(20)
    assert.equal(3, decoded("flows prune --older 1ms").runs)
    assert.equal(0, #decoded "flows list")
    assert.equal(3, #files.names(folder .. "/artifacts/runs")) -- folders are people's
  end)
end)

describe("bench flow", function()
  it("times tasks, here and in processes of their own, and tells what the rest costs", function()
    local place = command.scratch(finally)
    local ran = command.run(("'%s' bench flow --no-peers --rounds 1 --repeats 1 --scale 0.02 --json --folder '%s'")
      :format(command.program, place))
    assert.equal(0, ran.code, ran.err)
    local rows = json.decode(ran.out).rows
    local names = {}
    for _, row in ipairs(rows) do
      if row.unit == "s/task" then
        names[#names + 1] = row.name
        assert.is_true(row.ours > 0 and row.ours < (row.name == "child" and 2 or 0.5), row.name)
      end
    end
    assert.same({ "child", "in_process" }, names)
  end)
end)

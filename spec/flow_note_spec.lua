--- What tasks show of themselves: tables, links, pictures, texts and progress, wherever they run and whoever takes
--- their results.

local command = require "spec.support.command"
local files = require "recsys.files"
local json = require "recsys.json"
local note = require "recsys.flow.note"
local state = require "recsys.flow.state"

local RECIPE <const> = [[
local recsys = require "recsys"
local note, uv = require "recsys.flow.note", require "luv"

local function show(x)
  note.table("Worst users!", { { "user", "ndcg" }, { "a,b", 0.5 }, { "c", 0 / 0 }, { true } })
  note.link("the page", "https://example.org/x?y=1")
  note.picture("losses", recsys.report.line { title = "Loss", series = { { name = "train", y = { 3, 2, 1 } } } })
  note.text("why", "It is *so*.")
  for i = 1, 1000 do note.progress(i, 1000, "steps") end
  return x
end

local function week(x)
  note.text("week " .. x, "This is week " .. x)
  return x
end

local tries = 0
local function flaky(x)
  tries = tries + 1
  note.text("attempt " .. tries, "of " .. x)
  note.progress(tries)
  if tries < 3 then error("no luck", 0) end
  return x
end

return recsys.recipe { name = "showing", about = "Show", params = { n = 2, process = false, ends = true },
  run = function(flow, p)
    flow:task("show", { process = p.process }, show, 7)
    local weeks = {}
    for i = 1, p.n do weeks[i] = i end
    flow:map("weeks", { concurrency = 2 }, week, weeks)
    flow:task("flaky", { retries = 2, cache = false }, flaky, 1)
    if not p.ends then flow:task("breaks", function() error("no", 0) end) end
    return {}
  end }
]]

describe("recsys.flow.note", function()
  local folder
  setup(function()
    folder = command.temporary()
    command.write(folder .. "/showing.lua", RECIPE)
  end)
  teardown(function() command.remove(folder) end)

  local function run(words, code)
    local ran = command.run(("cd '%s' && '%s' showing.lua %s --json"):format(folder, command.program, words or ""))
    assert.equal(code or 0, ran.code, ran.err)
    local listed = command.run(("cd '%s' && '%s' flows list --max 1 --json"):format(folder, command.program))
    local name = json.decode(listed.out)[1].name
    local shown = command.run(("cd '%s' && '%s' flows show %s --json"):format(folder, command.program, name))
    return json.decode(shown.out)
  end

  --- "2 text week 1" of each note of a task: element, kind, title.
  local function notes_of(shown, number)
    local list = {}
    for _, one in ipairs(shown.notes) do
      if one.number == number then list[#list + 1] = ("%d %s %s"):format(one.element, one.kind, one.title) end
    end
    return list
  end

  local wanted = { "0 table Worst users!", "0 link the page", "0 picture losses", "0 markdown why" }

  local function check(shown)
    assert.same(wanted, notes_of(shown, 1))
    assert.same({ "1 markdown week 1", "2 markdown week 2" }, notes_of(shown, 2))
    local first = shown.notes[1]
    assert.same({ head = { "user", "ndcg" }, rows = { { "a,b", 0.5 }, { "c", "nan" }, { "true", "" } }, more = 0 },
      first.body)
    assert.equal("user,ndcg\n\"a,b\",0.5\nc,nan\ntrue,\n", command.read(shown.folder .. "/" .. first.file))
    assert.equal("https://example.org/x?y=1", shown.notes[2].body.url)
    assert.matches("^<svg", command.read(shown.folder .. "/" .. shown.notes[3].file))
    assert.equal("notes/show/4-why.md", shown.notes[4].file)
    assert.equal("This is week 2", command.read(shown.folder .. "/notes/weeks/e2-1-week-2.md"))
  end

  it("is seen in flow.db, the run's folder, tasks.json and the tracked run", function()
    local shown = run()
    check(shown)
    assert.same({ "0 markdown attempt 3" }, notes_of(shown, 3)) -- those of the attempts that failed are gone
    assert.same({ "1-attempt-3.md" }, files.names(shown.folder .. "/notes/flaky"))
    local progress = {}
    for _, one in ipairs(shown.progress) do progress[one.number] = one end
    assert.same({ 1000, 1000, "steps" }, { progress[1].done, progress[1].total, progress[1].word })
    assert.same({ 3, nil }, { progress[3].done, progress[3].total })
    local tasks = json.decode(command.read(shown.folder .. "/tasks.json"))
    assert.same({ "notes/show/1-worst-users.csv", "https://example.org/x?y=1" },
      { tasks[1].notes[1].file, tasks[1].notes[2].url })
    assert.equal(2, #tasks[2].notes)
    local found = command.run(("find '%s/artifacts/mlartifacts' -path '*notes*' -type f"):format(folder)).out
    for _, name in ipairs { "show/1-worst-users.csv", "show/3-losses.svg", "show/4-why.md", "weeks/e1-1-week-1.md" } do
      assert.truthy(found:find("artifacts/notes/" .. name, 1, true), name)
    end
    local out = command.run(("cd '%s' && '%s' flows show %s"):format(folder, command.program, shown.name)).out
    assert.matches("show +Worst users! +notes/show/1%-worst%-users.csv\n", out)
    assert.matches("show +the page +https://example.org/x%?y=1\n", out)
    assert.matches("weeks, element 2 +week 2 +notes/weeks/e2", out)
  end)

  it("comes with results that a later run takes, of elements one by one", function()
    local again = run()
    assert.same({ "cached", "cached", "completed" },
      { again.tasks[1].state, again.tasks[2].state, again.tasks[3].state })
    check(again)
    local more = run "--set n=3"
    assert.same({ "cached", "completed" }, { more.tasks[1].state, more.tasks[2].state })
    assert.same({ "1 markdown week 1", "2 markdown week 2", "3 markdown week 3" }, notes_of(more, 2))
    for i = 1, 3 do assert.is_true(files.exists(("%s/notes/weeks/e%d-1-week-%d.md"):format(more.folder, i, i))) end
    assert.same(notes_of(more, 2), notes_of(run "--set n=3", 2))
  end)

  it("comes from a process of its own, and is once there after a run was resumed", function()
    local failed = run("--refresh all --set process=true --set ends=false", 1)
    check(failed)
    local resumed = command.run(("cd '%s' && '%s' flows retry %s"):format(folder, command.program, failed.name))
    assert.equal(1, resumed.code)
    local db <close> = state.open(folder .. "/artifacts")
    local counts = {}
    for row in db:each("SELECT number, count(*) AS n FROM notes JOIN runs r ON r.id = run_id WHERE r.name = ? GROUP BY "
      .. "number", { failed.name }) do counts[row.number] = row.n end
    assert.same({ 4, 2, 1 }, counts)
  end)

  it("does nothing outside of tasks, and refuses what it cannot show", function()
    note.table("t", { { "a" }, { 1 } })
    note.progress(1, 2)
    for _, url in ipairs { "javascript:alert(1)", "ftp://x", "http://", "https://a b", "", 7, " http://x" } do
      assert.error_matches(function() note.link("t", url) end, "bad argument #2 to 'link'")
    end
    for _, rows in ipairs { 7, {}, { {} }, { { "a" }, 7 }, { { "a" }, { {} } } } do
      assert.error_matches(function() note.table("t", rows) end, "bad argument #2 to 'table'")
    end
    for _, title in ipairs { "", " ", ("x"):rep(201), 7 } do
      assert.error_matches(function() note.text(title, "x") end, "bad argument #1 to 'text'")
    end
    for _, what in ipairs { "x.svg", "x.html", 7, {} } do
      assert.error_matches(function() note.picture("t", what) end, "bad argument #2 to 'picture'")
    end
    for _, far in ipairs { -1, 0 / 0, math.huge, "1" } do
      assert.error_matches(function() note.progress(far) end, "bad argument #1 to 'progress'")
      assert.error_matches(function() note.progress(1, far) end, "bad argument #2 to 'progress'")
    end
  end)
end)

--- The page's views of flows in a real browser: runs of a recipe with retries, a map, a process, a gate and a mistake.

local audit = require "spec.support.audit"
local command = require "spec.support.command"
local json = require "recsys.json"
local page = require "spec.support.page"
local record = require "recsys.flow.record"
local state = require "recsys.flow.state"
local uv = require "luv"

local open, text, count = page.open, page.text, page.count
local view

local HOSTILE <const> = [[<img src=x onerror="document.title='pwned'"><script>alert(1)</script>]]

local RECIPE <const> = [[
local recsys, uv, note = require "recsys", require "luv", require "recsys.flow.note"
local tries = 0
local function flaky(x)
  tries = tries + 1
  uv.sleep(30)
  if tries < 3 then error { code = "io", message = "nobody answers" } end
  return x
end
local function same(x)
  print("the element", x)
  return x
end
local function tell(x)
  require("recsys.log").info("it cleans")
  return x
end
local function show(x)
  note.table("worst users", { { "user", "ndcg" }, { "<b>u7</b>", 0.25 } })
  note.link("the page", "https://example.org/x")
  note.picture("losses", recsys.report.line { title = "Loss", series = { { name = "train", y = { 3, 2, 1 } } } })
  note.text("what to look at", "It is *short*.")
  note.progress(7, 7, "days")
  return x
end
return recsys.recipe { name = "demo", about = "Demo", params = { fails = false, least = 0.5 },
  run = function(flow, p)
    local data = flow:task("fetch", { retries = { times = 2, delay = 0.05 } }, flaky, { 1, 2, 3 })
    local clean = flow:task("clean", tell, data)
    local weeks = flow:map("weeks", { concurrency = 2 }, same, { 1, 2, 3 }, data)
    local features = flow:task("features", { process = true }, same, clean)
    flow:task("drift", { when = false }, same, clean)
    local model = flow:task("train", { process = true }, show, { features, weeks, data })
    if p.fails then flow:task("breaks", function() error("no luck", 0) end, model) end
    flow:gate("good_enough", { metric = "ndcg_10", value = model[3][1], at_least = p.least })
    flow:task("publish", same, model)
    return {}
  end }
]]

local function run(words, code)
  local ran = command.run(("cd '%s' && '%s' demo.lua %s"):format(page.folder, command.program, words))
  assert.equal(code, ran.code, ran.err)
end

--- A run whose every word is hostile, in the database alone.
local function insert_hostile(db)
  db:run("INSERT INTO runs (name, folder, recipe, state, reason, started, ended, pid, host, since) VALUES (?1, '/x', "
    .. "?1, 'failed', ?1, 1000, 2000, 1, ?1, 1)", { HOSTILE })
  local id = db:last_id()
  for number, name in ipairs { HOSTILE, "javascript:alert(1)" } do
    db:run("INSERT INTO tasks (run_id, number, name, state, reason, started, key, after, origin) VALUES (?1, ?2, ?3, "
      .. "?4, ?4, 1, ?4, ?4, ?4)", { id, number, name, HOSTILE })
    db:run("INSERT INTO transitions (run_id, number, state, reason, at) VALUES (?1, ?2, 'running', ?3, 1000)",
      { id, number, HOSTILE })
    for _, note in ipairs { { "link", { url = "javascript:alert(1)" } }, { "markdown", { text = HOSTILE } },
      { "table", { head = { HOSTILE }, rows = { { HOSTILE } } } }, { HOSTILE, {} }, { "picture", {} } } do
      db:run("INSERT INTO notes (run_id, number, element, kind, title, body) VALUES (?1, ?2, 0, ?3, ?4, ?5)",
        { id, number, note[1], HOSTILE, json.encode(note[2]) })
    end
  end
  db:run("INSERT INTO schedules (name, recipe, cron, missed, code) VALUES (?1, ?1, ?1, 'skip', 1)", { HOSTILE })
  return id
end

describe("the page's flows in a browser", function()
  setup(function()
    page.serve()
    command.write(page.folder .. "/demo.lua", RECIPE)
    view = page.look()
  end)
  teardown(page.stop)
  after_each(page.check)

  it("says how to make one where there is none", function()
    open("#/flows", count ".empty code" .. " == 1")
    assert.matches("there is no flow.db.*recsys%-run recipes/two_tower.lua", text "#main")
    run("", 0)
    run("--set fails=true", 1)
    run("--set least=2", 3)
    view:wait(count "tr[data-flow]" .. " == 3") -- by itself
  end)

  it("lists them, also those that failed or were refused, by recipe and state", function()
    open("#/flows", count "tr[data-flow]" .. " == 3")
    local states = "[...document.querySelectorAll('tr[data-flow] td:nth-child(2)')].map(e => e.innerText).join()"
    assert.equal("✗ refused,✗ failed,✓ completed", view:eval(states))
    assert.matches("no luck", text "tr[data-flow='2']")
    open("#/flows?state=failed", count "tr[data-flow]" .. " == 1")
    assert.matches("^1 run$", text ".count")
    open("#/flows?recipe=other", count ".empty" .. " == 1")
    assert.matches("No run of that kind", text "#main")
    view:press "g"
    view:press "f"
    view:wait(count "tr[data-flow]" .. " == 3")
  end)

  it("draws a run's timeline, the graph and the table of its tasks", function()
    open("#/flow/1", count ".gantt li.step" .. " == 11")
    local bars = "[...document.querySelectorAll('.gantt li:first-child i')].map(e => e.className).join()"
    assert.equal("tried,retrying,tried,retrying,completed", view:eval(bars))
    assert.matches("3×.*ms.*✓", text ".gantt li:first-child")
    assert.equal(3, view:eval(count ".gantt li.element"))
    assert.matches("skipped", text ".gantt")
    assert.is_true(view:eval [[(() => { const at = (name) => [...document.querySelectorAll(".gantt li")].find((e) =>
      e.innerText.startsWith(name)).querySelector("i").getBoundingClientRect();
      return at("fetch").left < at("clean").left && at("clean").right <= at("features").left + 1
        && at("features").right <= at("train").left + 1; })()]])
    assert.equal(8, view:eval(count ".graph a"))
    local x = "Number(document.querySelector('.graph a[aria-label^=\"%s\"] rect').getAttribute('x'))"
    assert.is_true(view:eval(x:format "fetch" .. " < " .. x:format "clean" .. " && " .. x:format "clean" .. " < "
      .. x:format "features" .. " && " .. x:format "features" .. " < " .. x:format "train"))
    assert.equal(8, view:eval(count "tr[data-task]"))
    assert.matches("fetch%s+✓ completed 3 attempts", text "tr[data-task='1']")
    view:click "summary"
    assert.matches("retrying%s+nobody answers", text "details.changes")
    assert.matches("process %d+ on ", text "#main")
  end)

  it("links a cached result to the run that made it, and says why a run failed", function()
    open("#/flow/2", count "tr[data-task]" .. " > 5")
    assert.matches("cached", text ".gantt .legend")
    assert.matches("no luck", text ".complaint")
    assert.matches("recsys%-run flows retry demo%-", text "#main")
    view:click "tr[data-task='2'] a[href='#/flow/1']"
    view:wait "location.hash == '#/flow/1' && document.querySelector('.mark.completed')"
    open("#/flow/3", count "tr[data-task]" .. " > 5")
    assert.matches("ndcg_10 is 1, which must be at least 2", text ".complaint")
  end)

  it("shows a task and an element with their logs", function()
    open("#/flow/1/4", "document.querySelector('pre.tail')?.innerText.includes('the element')")
    assert.matches("state%s+✓ completed", text "#main")
    assert.matches("after%s+clean", text "#main")
    open("#/flow/1/3", count "tbody a[href='#/flow/1/3/2']" .. " == 1")
    view:click "tbody a[href='#/flow/1/3/2']"
    view:wait "document.querySelector('pre.tail')?.innerText.includes('the element\t2')"
    assert.matches("weeks, element 2", text "h1")
    open("#/flow/1/2", "document.querySelector('pre.tail')?.innerText.includes('it cleans')")
    assert.equal(1, select(2, text "pre.tail":gsub("Z ", "")))
    open("#/flow/1/99", count ".empty" .. " == 1")
  end)

  it("shows what a task shows: a table, a link, a picture, a text, how far it is", function()
    for _, run_id in ipairs { 1, 2 } do -- its own, and taken from another run
      open(("#/flow/%d/6"):format(run_id), count ".note-box" .. " == 4")
      local shown = "[...document.querySelectorAll('.note-box h2')].map(e => e.innerText).join()"
      assert.equal("worst users,the page,losses,what to look at", view:eval(shown))
      assert.matches("user%s+ndcg%s+<b>u7</b>%s+0.25", text ".note-box table")
      assert.equal("https://example.org/x noopener noreferrer",
        view:eval "(a => a.href + ' ' + a.rel)(document.querySelector('.note-box a'))")
      view:wait "document.querySelector('.note-box img')?.naturalWidth > 100"
      assert.equal("short", text ".note-box .markdown em")
    end
    open("#/flow/1", count "tr[data-task='6']" .. " == 1")
    assert.matches("4%s*$", text "tr[data-task='6']")
  end)

  it("goes from a run to its tracked one and back", function()
    open("#/flow/1", count ".gantt" .. " == 1")
    view:click "text=Tracked run"
    view:wait "[...document.querySelectorAll('a.button')].some(a => a.innerText == 'Flow')"
    view:click "text=Flow"
    view:wait("location.hash == '#/flow/1' && " .. count ".gantt" .. " == 1")
  end)

  it("follows a run as it goes, and leaves the focus where it was", function()
    local folder = page.folder .. "/artifacts/runs/live"
    uv.fs_mkdir(folder, tonumber("755", 8))
    local live = record.begin { folder = folder, runs = page.folder .. "/artifacts/runs", recipe = "live", path = "x" }
    local load = { number = 1, name = "load", state = "running", inputs = {}, started = os.time() * 1000 }
    local train = { number = 2, name = "train", after = { load = true } }
    live:expect { load, train }
    live:move(load)
    open("#/flow/" .. live.id, count ".gantt li i.running" .. " == 1")
    assert.matches("To end it: recsys%-run flows cancel live", text "#main")
    view:eval "document.querySelector('tr[data-task=\"1\"] a').focus()"
    load.state = "completed"
    live:move(load)
    view:wait(count ".gantt li i.completed" .. " == 1")
    assert.equal("load", view:eval "document.activeElement.innerText")
    live:finish "completed"
    view:wait "document.querySelector('.toolbar .mark').innerText == '✓ completed'"
  end)

  it("leaves out of the axis when nobody was at work", function()
    local shape = "m.stretches(%s, m.episodes({ transitions: %s, state: '%s', now: 9000 }))"
      .. ".map(({ kind, from, to }) => [kind, from, to])"
    local changes = "[{ state: 'running', at: 1000 }, { number: 1, state: 'running', at: 1100 }, "
      .. "{ state: 'crashed', at: 2000 }, { state: 'running', at: 8000 }, { number: 1, state: 'crashed', at: 8000 }, "
      .. "{ number: 1, state: 'running', reason: \"waits for a place of 'gpu', held by x\", at: 8100 }, "
      .. "{ number: 1, state: 'running', at: 8300 }]"
    local mine = changes .. ".filter(c => c.number == 1)"
    assert.equal('[["crashed",1100,2000],["waiting",8100,8300],["running",8300,9000]]',
      page.of("gantt", shape:format(mine, changes, "running")))
    assert.equal('[["crashed",1100,2000],["waiting",8100,8300],["crashed",8300,8300]]',
      page.of("gantt", shape:format(mine, changes, "failed")))
    local place = "(() => { const at = m.axisOf([{ from: 1000, to: 2000 }, { from: 8000, to: 9000 }]); return %s; })()"
    assert.equal("[2000,0,0.49,0.51,1,1]", page.of("gantt", place:format(
      "[at.whole, at(0), at(5000), at(8000), at(9000), at(9999)].map(x => Math.round(x * 1e6) / 1e6)")))
  end)

  it("draws few elements of very many, first those that are worth a look", function()
    local many = "Array.from({ length: 900 }, (_, i) => ({ element: i + 1, state: i == 700 ? 'failed' : 'completed' }))"
    assert.equal("[60,1,59,701]", page.of("gantt",
      ("(few => [few.length, few[0].element, few[58].element, few[59].element])(m.fewOf(%s))"):format(many)))
    assert.equal("3", page.of("gantt", ("m.fewOf(%s.slice(0, 3)).length"):format(many)))
  end)

  it("draws the graph without what follows from other edges, in layers", function()
    local tasks = "[['a', []], ['b', ['a']], ['c', ['a', 'b']], ['d', ['a', 'c', 'gone']], ['e', []]]"
      .. ".map(([name, after], i) => ({ name, number: i + 1, after }))"
    assert.equal('[["a",[]],["b",["a"]],["c",["b"]],["d",["c"]],["e",[]]]', page.of("graph",
      ("[...m.reduced(%s)]"):format(tasks)))
    local drawn = ("(() => { const g = m.layout(%s); return [g.edges.length, g.nodes.map(n => n.depth), "
      .. "g.nodes.every(n => n.x >= 0 && n.x + n.width <= g.width && n.y >= 0 && n.y <= g.height)]; })()"):format(tasks)
    assert.equal("[3,[0,1,2,3,0],true]", page.of("graph", drawn))
  end)

  it("shows what is hostile as text, and reaches no file by it", function()
    local db <close> = state.open(page.folder .. "/artifacts")
    local id = insert_hostile(db)
    for _, address in ipairs { "#/flows", "#/flow/" .. id, "#/flow/" .. id .. "/1", "#/flow/" .. id .. "/2",
      "#/flow/" .. view:eval(("encodeURIComponent(%s)"):format(json.encode(HOSTILE))) } do
      open(address, "document.querySelector('main').innerText.length > 25")
      uv.sleep(150)
      assert.not_equal("pwned", view:eval "document.title")
      assert.equal(0, view:eval(count "main img[src=x], main script, a[href^='javascript']"))
    end
    open("#/flow/" .. id, count ".gantt li" .. " == 2")
    assert.truthy(text("#main"):find(HOSTILE, 1, true))
    assert.truthy(text("tr[data-task='1']"):find(HOSTILE .. "; result of ", 1, true))
    db:run("DELETE FROM runs WHERE id = ?", { id })
    db:run "DELETE FROM schedules"
  end)

  it("pages through thousands", function()
    local db <close> = state.open(page.folder .. "/artifacts")
    db:transaction(function()
      for i = 1, 3000 do
        db:run("INSERT INTO runs (name, folder, recipe, state, started, ended, pid, host, since) VALUES (?1, ?1, "
          .. "'many', 'completed', ?2, ?2, 1, 'x', 1)", { "many-" .. i, i })
      end
    end)
    open("#/flows?recipe=many", count "tr[data-flow]" .. " == 50")
    assert.matches("3,000 runs", text ".count")
    view:click "text=Older"
    view:wait "document.querySelector('tr[data-flow] a').innerText == 'many-2950'"
    assert.matches("51 to 100 of 3,000", text ".pager")
    open("#/flows?recipe=many&from=2990", count "tr[data-flow]" .. " == 10")
    assert.is_true(view:eval "[...document.querySelectorAll('.pager button')].at(-1).disabled")
    db:run "DELETE FROM runs WHERE recipe = 'many'"
  end)

  it("has names, stands out light and dark, is reached by keys, and fits phones and wide screens", function()
    finally(function()
      view:size(1280, 900)
      view:dark(false)
    end)
    local db <close> = state.open(page.folder .. "/artifacts")
    db:run("INSERT INTO schedules (name, recipe, cron, zone, missed, holder, due, code) VALUES ('nightly', 'demo.lua', "
      .. "'0 2 * * *', 'Europe/Berlin', 'skip', 1, 1000, 0)")
    local views = { { "#/flows", count "tr[data-flow]" .. " > 2" }, { "#/flow/1", count ".gantt" .. " == 1" },
      { "#/flow/2", count ".gantt" .. " == 1" }, { "#/flow/1/3", count "pre.tail" .. " == 1" },
      { "#/flow/1/3/2", count "pre.tail" .. " == 1" }, { "#/flow/1/6", count ".note-box img" .. " == 1" } }
    for _, dark in ipairs { false, true } do
      view:dark(dark)
      for _, width in ipairs { 390, 1280, 1920 } do
        view:size(width, 900)
        for _, one in ipairs(views) do
          open(one[1], one[2])
          local where = ("%s, %d, %s: "):format(one[1], width, dark and "dark" or "light")
          assert.equal("", view:eval(audit), where)
          assert.is_true(view:eval "document.documentElement.scrollWidth" <= width, where .. "wider than the screen")
        end
      end
    end
    view:size(1280, 900)
    open("#/flow/1", count ".gantt" .. " == 1")
    local seen = {}
    for _ = 1, 45 do
      view:press "Tab"
      local here = view:eval [[(() => { const e = document.activeElement, s = getComputedStyle(e);
        const node = e.querySelector?.(".node"), line = node && parseFloat(getComputedStyle(node).strokeWidth);
        return [e.getAttribute("aria-label") || e.textContent.trim().slice(0, 20),
          s.outlineStyle != "none" && parseFloat(s.outlineWidth) >= 1 || line >= 3 || e == document.body]; })()]]
      assert.is_true(here[2], here[1] .. " shows no focus")
      seen[here[1]] = true
    end
    for _, name in ipairs { "Flows", "fetch", "fetch, completed", "Tracked run" } do
      assert.is_true(seen[name], name .. " is not reached")
    end
  end)

  it("asks no other server for anything", function()
    assert.is_true(#view.requests > 50)
    for _, url in ipairs(view.requests) do
      assert(url:sub(1, #page.base) == page.base or url:find "^about:" or url:find "^blob:", url)
    end
  end)
end)

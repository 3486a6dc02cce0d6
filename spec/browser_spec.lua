--- The page in a real browser (headless Chromium), over `recsys-run ui` on a study, many runs, and what is hostile.

local audit = require "spec.support.audit"
local data = require "spec.support.page_data"
local json = require "recsys.json"
local page = require "spec.support.page"
local track = require "recsys.track"
local uv = require "luv"

local open, text, count, experiment = page.open, page.text, page.count, page.experiment
local view, study, last, hostile, large

local HOSTILE <const> = data.HOSTILE

describe("the page in a browser", function()
  setup(function()
    page.serve()
    local ids = data.by_hand(page.folder)
    study, last, hostile = ids.study, ids.last, ids.hostile
    large = data.many(page.folder)
    view = page.look()
    open("", count "tbody tr" .. " > 0")
  end)
  teardown(page.stop)
  after_each(page.check)

  it("lists the experiments, and opens one", function()
    open("", count "tbody tr" .. " > 2")
    assert.matches("many", text "tbody")
    view:click "text=by hand"
    view:wait(count "table.grid tbody tr[data-key]" .. " == 1")
    assert.matches("the study", text "table.grid tbody")
    assert.matches("^1 run$", text ".count")
  end)

  it("sorts by a column, one way and the other, and keeps that in the address", function()
    local address = "#/runs?flat=1&e=" .. experiment "by hand"
    open(address .. "&filter=metrics.%60test/ndcg_10%60%20%3E%200", count "table.grid tbody tr[data-key]" .. " == 8")
    local first = "document.querySelector('table.grid tbody tr[data-key] td.name a').innerText"
    view:click "th[title='test/ndcg_10, the last value'] button"
    view:wait(first .. " == 'trial 8'")
    assert.equal("descending", view:eval "document.querySelector('th[aria-sort]').getAttribute('aria-sort')")
    view:click "th[title='test/ndcg_10, the last value'] button"
    view:wait(first .. " == 'trial 1'")
    assert.matches("order=", view:eval "location.hash")
    view:click "th[title='train/loss, the best value (min)'] button"
    view:wait(first .. " == 'trial 8'")
    view:eval "history.back()"
    view:wait(first .. " == 'trial 1'")
  end)

  it("filters by the grammar, completes names, and says what is wrong with a filter", function()
    open("#/runs?flat=1&e=" .. experiment "by hand", count "table.grid tbody tr[data-key]" .. " == 9")
    view:type("#filter", "ki")
    view:wait(count "#offers li" .. " > 0")
    assert.equal("params.kind", text "#offers li")
    view:press "Tab"
    view:wait "document.getElementById('filter').value == 'params.kind '"
    view:type("#filter", "params.kind = 'a' AND metrics.`test/ndcg_10` > 0.15", true)
    view:wait(count "table.grid tbody tr[data-key]" .. " == 2")
    view:type("#filter", "params.kind ==", true)
    view:wait "!document.querySelector('.complaint').hidden"
    assert.is_true(#text ".complaint" > 10)
  end)

  it("unfolds trials under their study, groups by a parameter, chooses columns", function()
    open("#/runs?e=" .. experiment "by hand", count "table.grid tbody tr[data-key]" .. " == 1")
    view:click "button.fold"
    view:wait(count "table.grid tbody tr[data-key]" .. " == 9")
    open("#/runs?group=params.kind&e=" .. experiment "by hand", count "tr.group" .. " == 2")
    assert.matches("4", text "tr.group td.name small")
    assert.matches("0.15.*0.12…0.18", text "table.grid tbody")
    assert.is_true(view:eval [[(() => { const edge = (e) => Math.round(e.getBoundingClientRect().right);
      return [...document.querySelectorAll("table.grid tr")].every((row, _, all) =>
        [...row.children].every((cell, i) => edge(cell) === edge(all[0].children[i]))); })()]])
    open("#/runs?flat=1&cols=%5B%22params.dim%22%5D&e=" .. experiment "by hand", count "table.grid thead th" .. " == 3")
    view:click "text=Columns"
    view:wait(count "dialog .choices input" .. " > 5")
    view:click "text=Defaults"
    view:wait(count "table.grid thead th" .. " > 6")
  end)

  it("shows runs whose parent is not shown, and says how many trials it leaves out", function()
    local rows = "Number(document.querySelector('table.grid').getAttribute('aria-rowcount')) - 1"
    open("#/runs?e=" .. experiment "many", rows .. " == 2")
    assert.matches("left behind", text "table.grid tbody")
    assert.matches("^2 runs$", text ".count")
    for n, name in ipairs { "left behind", "below" } do -- trials of a trial, too
      view:click "button.fold[aria-expanded=false]"
      view:wait(rows .. " == " .. 2 + n)
      assert.matches(name, text ".grid tbody")
    end
    local left = "[...document.querySelectorAll('.grid td.name a.cut')].map(a => a.innerText).join()"
    assert.equal("left behind,below,the deepest,large", view:eval(left))
    view:click "button.fold[aria-expanded=true]"
    view:wait(rows .. " == 2")
    view:eval "document.querySelectorAll('button.fold')[1].click()"
    view:wait(rows .. " == 503")
    local function to_end()
      view:eval "(() => { const rows = document.querySelector('.rows'); rows.scrollTop = rows.scrollHeight; })()"
    end
    to_end()
    view:click "text=… 520 more"
    view:wait(rows .. " == 1003")
    to_end()
    view:click "text=… 20 more"
    view:wait(rows .. " == 1022")
    to_end()
    view:wait "document.querySelector('table.grid tbody').innerText.includes('trial 1')"
    assert.is_nil(text "table.grid tbody":find " more")
  end)

  it("finds the best of more trials than it shows, and says so", function()
    local function best() return "document.querySelector('.top')?.innerText.split(',')[0]" end
    open("#/study/" .. large, best() .. " == 'Best: trial 1020 with 1.02'")
    assert.matches("1,020 trials, of which the best 1,000 are shown", text "#main")
    view:eval [[(() => { const way = document.querySelector('select[aria-label=direction]'); way.value = 'least';
      way.dispatchEvent(new Event('change')); })()]]
    view:wait(best() .. " == 'Best: trial 1 with 0.001'")
    view:wait "document.querySelector('.ranking tbody tr').innerText.includes('trial 1')"
    open("#/study/" .. study, count ".box" .. " > 6")
    assert.matches("8 trials ·", text "#main")
  end)

  it("selects by keys, compares, and shows only what differs, with what intervals say", function()
    open("#/runs?flat=1&order=attributes.run_name%20ASC&filter=params.dim%20LIKE%20'%25'&e=" .. experiment "by hand",
      count "table.grid tbody tr[data-key]" .. " == 8")
    for _, key in ipairs { "j", "x", "j", "x", "c" } do view:press(key) end
    view:wait(count "table.compare thead th" .. " == 3")
    local shown = text "table.compare"
    assert.matches("dim%s+8%s+16", shown)
    assert.matches("0.11 0.1…0.125%s+0.12 0.11…0.135 .0.01 %(.9.1 %%%) ≈", shown)
    view:wait(count ".card canvas" .. " >= 2")
    assert.is_nil(view:eval "location.hash":find "same")
    local chart = "Chart.getChart(document.querySelector(\".card[data-key='test/ndcg_10'] canvas\"))"
    local range = view:wait(chart .. "?.data.datasets[0].data[0].range") -- drawn as a whisker
    assert.is_near(0.1, range[1], 1e-12)
    assert.is_near(0.125, range[2], 1e-12)
  end)

  it("is reached by keys alone, and says where the focus is", function()
    open("#/runs?flat=1&e=" .. experiment "by hand", count "table.grid tbody tr[data-key]" .. " == 9")
    local seen = {}
    for _ = 1, 40 do
      view:press "Tab"
      local here = view:eval [[(() => { const e = document.activeElement, s = getComputedStyle(e);
        return [e.getAttribute("aria-label") || e.textContent.trim().slice(0, 20) || e.id,
          s.outlineStyle != "none" && parseFloat(s.outlineWidth) >= 1 || e == document.body]; })()]]
      assert.is_true(here[2], here[1] .. " shows no focus")
      seen[here[1]] = true
    end
    for _, name in ipairs { "Skip to content", "Experiments", "Models", "Charts", "Columns", "CSV", "select trial 8",
      "trial 8", "pin trial 8" } do
      assert.is_true(seen[name], name .. " is not reached")
    end
    view:click "text=Columns"
    view:wait(count "dialog .choices input" .. " > 5")
    for _ = 1, 5 do view:press "Tab" end
    assert.is_true(view:eval "!!document.activeElement.closest('dialog')")
    view:press "Escape"
    view:wait(count "dialog" .. " == 0")
    view:press "j"
    assert.matches("^trial 8, 1 of 9$", view:eval "document.getElementById('said').textContent")
    view:dark(false, true)
    local motion = [[(() => { const e = document.createElement("span"); e.className = "status running";
      document.body.append(e); const name = getComputedStyle(e, "::before").animationName; e.remove();
      return name; })()]]
    assert.equal("none", view:eval(motion))
    view:dark(false)
    assert.equal("pulse", view:eval(motion))
  end)

  it("has a name for all that can be used, and text that stands out, light and dark", function()
    finally(function() view:dark(false) end)
    open("", count "tbody tr" .. " > 2")
    view:eval [[document.querySelector("main").append(Object.assign(document.createElement("button"), { id: "bar" }),
      Object.assign(document.createElement("p"), { textContent: "faint", style: "color: #999" }))]]
    local found = view:eval(audit) -- it sees what is wrong
    for _, fault in ipairs { "has no name: <button", "the id bar is given twice", "stands out by only 2%.%d+: <p" } do
      assert.matches(fault, found)
    end
    local id = experiment "by hand"
    local rows = count "table.grid tbody tr[data-key]" .. " > 0"
    local cards = count ".card canvas" .. " > 0"
    local plots = view:eval(("encodeURIComponent(%s)"):format(json.encode('[{"kind":"box","x":"params.kind",'
      .. '"y":"metrics.test/ndcg_10"},{"kind":"parallel","y":"metrics.test/ndcg_10"}]')))
    local views = { { "", count "tbody tr" .. " > 2" }, { "#/runs?e=" .. id, rows },
      { "#/runs?flat=1&order=attributes.run_name%20ASC&e=" .. id, rows, "j", "x" },
      { "#/runs?group=params.kind&e=" .. id, count "tr.group" .. " == 2" }, { "#/runs?e=" .. id, rows, "?" },
      { "#/runs?filter=params.x+%3D%3D&e=" .. id, "!document.querySelector('.complaint').hidden" },
      { "#/runs?show=charts&flat=1&e=" .. id .. "&plots=" .. plots, count "svg" .. " > 1" },
      { "#/run/" .. study, count ".box" .. " > 2" }, { "#/study/" .. study, count ".box canvas" .. " > 1" },
      { "#/run/" .. last .. "?tab=metrics", cards }, { "#/run/" .. last .. "?tab=log", count "pre.log" .. " == 1" },
      { "#/run/" .. last .. "?tab=artifacts&file=config.json", count ".view details" .. " > 1" },
      { "#/run/" .. last .. "?tab=artifacts&file=tables/top.csv", count ".view table" .. " == 1" },
      { "#/compare?runs=" .. last .. "," .. study, count "table.compare" .. " == 1" },
      { "#/models", count ".empty" .. " == 1" }, { "#/run/nosuch", count "[role=alert]" .. " == 1" } }
    for _, dark in ipairs { false, true } do
      view:dark(dark)
      for _, one in ipairs(views) do
        open(one[1], one[2])
        for i = 3, #one do view:press(one[i]) end
        local faults = view:eval(audit)
        assert.equal("", faults, ("%s, %s: %s"):format(one[1], dark and "dark" or "light", faults))
      end
    end
  end)

  it("opens a run: metrics, curves, artifacts in their viewers, the log", function()
    open("#/study/" .. study, count ".box" .. " > 6")
    assert.matches("Best: trial 8", text "#main")
    assert.is_true(view:wait(count ".box canvas" .. " > 3"))
    view:click "text=trial 8"
    view:wait "document.querySelector('h1')?.innerText == 'trial 8'"
    view:click "text=Artifacts"
    view:wait(count "button.file" .. " > 2")
    view:click "button.file[data-path='report.html']"
    view:wait(count "iframe.report" .. " == 1")
    assert.equal("", view:eval "document.querySelector('iframe').getAttribute('sandbox')")
    assert.matches("trial 8", view:eval "document.title")
    view:click "button.file[data-path='config.json']"
    view:wait "document.querySelector('.view').innerText.includes('dim: 64')"
    view:click "button.file[data-path='notes.md']"
    view:wait "document.querySelector('.view .markdown strong')?.innerText == 'two'"
    assert.equal(0, view:eval(count ".view .markdown a"))
    view:click "button.file[data-path='curve.svg']"
    view:wait "document.querySelector('.view img')?.naturalWidth == 40"
    view:click "details[data-path='tables'] summary"
    view:click "button.file[data-path='tables/top.csv']"
    view:wait(count ".view table tbody tr" .. " == 2")
    assert.matches("A, b%s+0.5%s+2%s+<b>x</b>", text ".view table tbody")
  end)

  it("fetches no file that is too large to show", function()
    local run = json.decode(view:eval(("fetch('ajax-api/2.0/mlflow/runs/get?run_id=%s').then(r => r.text())")
      :format(hostile))).run
    local there = page.folder .. "/artifacts/mlartifacts/" .. run.info.artifact_uri:match ":/+(.*)$"
    assert(uv.fs_mkdir(there .. "/deep", tonumber("755", 8)))
    for path, size in pairs { ["large.json"] = 64e6 + 1, ["deep/large.csv"] = 1e9, ["deep/small.txt.tmp"] = 7 } do
      local file = assert(uv.fs_open(there .. "/" .. path, "w", tonumber("644", 8)))
      assert(uv.fs_ftruncate(file, math.tointeger(size)))
      uv.fs_close(file)
    end
    local refused = "document.querySelector('.view p')?.innerText.includes('too much to show')"
    view.requests = {}
    open("#/run/" .. hostile .. "?tab=artifacts", count "button.file" .. " > 2")
    view:click "button.file[data-path='large.json']"
    view:wait(refused)
    view:click "details[data-path='deep'] summary"
    view:click "button.file[data-path='deep/small.txt.tmp']"
    view:wait("!" .. refused)
    view:click "button.file[data-path='deep/large.csv']"
    view:wait(refused)
    open("#/run/" .. hostile .. "?tab=artifacts&file=deep%2Flarge.csv", refused) -- a link to it
    for _, url in ipairs(view.requests) do assert.is_nil(url:find "get%-artifact%?path=[%w%%]*large", url) end
  end)

  it("follows a run that runs, and leaves focus and scrolling alone", function()
    local store = track.open(page.folder .. "/artifacts")
    local run <close> = track.start { experiment = "live", name = "live", store = store }
    finally(function() store:close() end)
    local now = os.time() * 1000
    local function tell(state, loss)
      run:text("tasks.json", json.encode { { name = "load", state = "done", started = now - 9000, seconds = 3 },
        { name = "train", state = state, started = now - 6000, seconds = 6 } })
      for i = 1, 40 do run:metric("m/" .. i, loss, 1) end
      run:metric("loss", loss, 1)
      run:flush()
    end
    tell("running", 3)
    open("#/run/" .. run.id, count ".steps i.running" .. " == 1")
    view:eval "document.querySelector('.box > .scroll').scrollTop = 100; document.querySelectorAll('.box a')[5].focus()"
    local focused = view:eval "document.activeElement.textContent"
    tell("done", 2)
    view:wait(count ".steps i.done" .. " == 2 && !" .. count ".steps i.running")
    assert.equal(focused, view:eval "document.activeElement.textContent")
    assert.equal(100, view:eval "document.querySelector('.box > .scroll').scrollTop")
    assert.matches("loss%s+2%s", text "#main")
    run:finish()
  end)

  it("writes notes and tags of a run", function()
    open("#/run/" .. study, "document.querySelector('.markdown em')?.innerText == 'see'")
    view:click "text=Edit"
    view:type("dialog textarea", "Because **so**.")
    view:click "text=Save"
    view:wait "document.querySelector('.markdown strong')?.innerText == 'so'"
  end)

  it("exports all matching runs as CSV", function()
    open("#/runs?flat=1&e=" .. experiment "by hand", count "table.grid tbody tr[data-key]" .. " == 9")
    view:click "text=CSV"
    local lines = select(2, view:downloaded "runs.csv":gsub("\r\n", ""))
    assert.equal(10, lines)
  end)

  it("shows what is hostile as text", function()
    local id, word = experiment(HOSTILE), view:eval(("encodeURIComponent(%s)"):format(json.encode(HOSTILE)))
    local plots = view:eval(("encodeURIComponent(%s)"):format(json.encode('[{"kind":"box","x":"params.p",'
      .. '"y":"metrics.m"},{"kind":"scatter","x":"params.p","y":"metrics.m"},{"kind":"parallel","y":"metrics.m"}]')))
    local views = { "", "#/runs?e=" .. id, "#/runs?group=params.p&e=" .. id, "#/run/" .. hostile,
      "#/runs?show=charts&plots=" .. plots .. "&e=" .. id, "#/compare?same=1&runs=" .. hostile .. "," .. study,
      "#/run/" .. hostile .. "?tab=artifacts&file=table.csv", "#/run/" .. hostile .. "?tab=artifacts&file=page.html",
      "#/run/" .. hostile .. "?tab=" .. word, "#/runs?e=0&filter=" .. word .. "&order=" .. word,
      ("#/runs?show=charts&e=%s&x=metric.%s&find=%s&cards=%s&plots=%s"):format(id, word, word, word, word),
      "#/study/" .. hostile, "#/models/" .. word, "#/" .. word }
    for _, address in ipairs(views) do
      open(address, "document.querySelector('main').innerText.length > 25")
      uv.sleep(120)
      assert.not_equal("pwned", view:eval "document.title")
      assert.equal(0, view:eval(count "main img[src=x], main script"))
    end
    open("#/run/" .. hostile, count ".steps .step" .. " > 1")
    assert.truthy(text ".steps":find(HOSTILE, 1, true))
  end)

  it("asks no other server for anything", function()
    assert.is_true(#view.requests > 50)
    for _, url in ipairs(view.requests) do
      assert(url:sub(1, #page.base) == page.base or url:find "^about:" or url:find "^blob:" or url:find "^data:", url)
    end
  end)

  it("fits a phone, and is dark where that is preferred", function()
    finally(function()
      view:size(1280, 900)
      view:dark(false)
    end)
    view:size(390, 844)
    view:dark(true)
    local id = experiment "by hand"
    for _, address in ipairs { "", "#/runs?e=" .. id, "#/study/" .. study, "#/run/" .. study,
      "#/runs?show=charts&flat=1&e=" .. id } do
      open(address, "document.querySelector('main').innerText.length > 40")
      uv.sleep(300)
      assert.is_true(view:eval "document.documentElement.scrollWidth <= 390", address .. " is wider than the screen")
    end
    assert.equal("rgb(15, 19, 25)", view:eval "getComputedStyle(document.body).backgroundColor")
  end)
end)

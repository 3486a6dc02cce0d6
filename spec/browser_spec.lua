--- The page in a real browser (headless Chromium), over `recsys-run ui` on two real trials of a recipe and a study.

local audit = require "spec.support.audit"
local browser = require "spec.support.browser"
local command = require "spec.support.command"
local json = require "recsys.json"
local track = require "recsys.track"
local uv = require "luv"

local folder, server, base, view, study, last, hostile, large

local HOSTILE <const> = [[<img src=x onerror="document.title='pwned'"><script>alert(1)</script>]]

--- A trial of the recipe, which publishes a version of the model two_tower.
local function train(seed, rate)
  local ran = command.run(("cd %s && %s recipes/two_tower.lua --threads 1 --seed %d --set data.scale=0.002 "
    .. "--set model.dim=16 --set train.epochs=4 --set train.learning_rate=%s")
    :format(folder, command.program, seed, rate))
  assert(ran.code == 0, ran.err)
end

--- A study of eight trials with curves of 60 steps, and a run whose every field is hostile.
local function log_by_hand()
  local store = track.open(folder .. "/artifacts")
  local parent = track.start { experiment = "by hand", name = "the study", store = store }
  for i = 1, 8 do
    local trial = parent:child { name = "trial " .. i }
    trial:params { dim = 8 * i, rate = 0.01 / i, kind = i % 2 == 0 and "a" or "b" }
    for step = 1, 60 do
      trial:metric("train/loss", 2 / step + i / 10 + (step % 2) / 10, step)
      trial:metric("valid/ndcg_10", 0.1 + i / 100 - 1 / (step + 10), step)
    end
    trial:metrics { ["test/ndcg_10"] = 0.1 + i / 100, ["test/ndcg_10_low"] = 0.09 + i / 100,
      ["test/ndcg_10_high"] = 0.115 + i / 100 }
    last = trial.id
    if i == 8 then
      trial:text("report.html", "<h1>A report</h1><script>parent.document.title = 'pwned'</script>")
      trial:text("tables/top.csv", 'item,title,score\n1,"A, b",0.5\n2,<b>x</b>,0.25\n')
      trial:text("notes.md", "# Notes\n\n- one\n- **two**\n\n[here](javascript:alert(1))\n")
      trial:text("config.json", '{ "model": { "dim": 64 } }')
      trial:text("curve.svg", [[<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><circle r="9"/></svg>]])
    end
    trial:finish()
  end
  parent:note "# Why\n\nTo *see*."
  parent:finish()
  local bad = track.start { experiment = HOSTILE, name = HOSTILE, store = store }
  bad:param("p", HOSTILE)
  bad:tag("t", "javascript:alert(1)")
  bad:note(HOSTILE)
  bad:metric("m", 1, 1)
  bad:text("page.html", HOSTILE)
  bad:text("table.csv", "a,b\n" .. HOSTILE .. ",2\n")
  bad:text("tasks.json", json.encode { { name = HOSTILE, state = HOSTILE, after = { HOSTILE }, seconds = 1 },
    { name = 7, started = HOSTILE, after = HOSTILE } })
  bad:finish()
  study, hostile = parent.id, bad.id
  store:close()
end

--- A run with 1,020 trials, each better than those before by its score, and one whose parent is deleted.
local function log_many()
  local store = track.open(folder .. "/artifacts")
  local experiment = store:create_experiment { name = "many" }
  local function new(name, started, parent, score)
    local run = store:create_run { experiment_id = experiment, run_name = name, start_time = started,
      tags = parent and { { key = "mlflow.parentRunId", value = parent } } or nil }
    store:log_batch { run_id = run.info.run_id, metrics = score and { { key = "score", value = score, step = 1,
      timestamp = started } } or nil, params = { { key = "depth", value = tostring(started % 7) } } }
    store:update_run { run_id = run.info.run_id, status = "FINISHED", end_time = started + 1 }
    return run.info.run_id
  end
  store.db:transaction(function()
    large = new("large", 1000)
    for i = 1, 1020 do new("trial " .. i, 1000 + i, large, i / 1000) end
    local gone = new("gone", 3000)
    new("the deepest", 3003, new("below", 3002, new("left behind", 3001, gone, 0.5)))
    store:delete_run(gone)
  end)
  store:close()
end

local function serve(token)
  local output, line = uv.new_pipe(), ""
  server = assert(uv.spawn(command.program, { args = { "ui", "--port", "0", "--store", folder .. "/artifacts",
    token and "--token", token }, stdio = { nil, output, 2 } }, function() end))
  output:read_start(function(_, data) line = line .. (data or "") end)
  while not line:find "\n" do uv.run "once" end
  base = assert(line:match "(http://%S-/) ")
end

local function text(selector)
  return view:eval(("document.querySelector(%s)?.innerText"):format(json.encode(selector)))
end

--- Open a view and wait until the expression is true.
local function open(address, ready)
  view:go "about:blank"
  view:go(base .. address)
  return view:wait(ready)
end

local function count(selector)
  return ("document.querySelectorAll(%s).length"):format(json.encode(selector))
end

local function experiment(name)
  return view:eval(([[fetch('ajax-api/2.0/mlflow/experiments/get-by-name?experiment_name=' + encodeURIComponent(%s))
    .then(r => r.json()).then(r => r.experiment.experiment_id)]]):format(json.encode(name)))
end

describe("the page in a browser", function()
  setup(function()
    assert(browser.program(), "this spec needs the Debian package chromium")
    folder = command.temporary()
    for _, name in ipairs { "recipes", "models" } do
      uv.fs_symlink(command.root .. "/" .. name, folder .. "/" .. name)
    end
    train(1, 1e-4)
    train(2, 0.01) -- learns more in four epochs
    log_by_hand()
    log_many()
    serve()
    view = browser.open {}
    open("", count "tbody tr" .. " > 0")
  end)
  teardown(function()
    if view then view:close() end
    if server then server:kill "sigterm" end
    command.remove(folder)
  end)
  after_each(function()
    local problems = view.problems
    view.problems = {}
    assert.same({}, problems)
  end)

  it("lists the experiments, and opens one", function()
    open("", count "tbody tr" .. " > 2")
    assert.matches("two_tower", text "tbody")
    view:click "text=by hand"
    view:wait(count "table.grid tbody tr[data-key]" .. " == 1")
    assert.matches("the study", text "table.grid tbody")
    assert.matches("^1 run$", text ".count")
  end)

  it("shows both trials of the recipe with parameters, last and best values", function()
    open("#/runs?e=" .. experiment "two_tower", count "table.grid tbody tr[data-key]" .. " == 2")
    local heads = text "table.grid thead"
    for _, word in ipairs { "Status", "Started", "ndcg_10", "max" } do assert.matches(word, heads) end
    assert.matches("finished", text "table.grid tbody")
  end)

  it("sorts, filters, smooths, compares and exports the two trials", function()
    local id = experiment "two_tower"
    open("#/runs?cols=%5B%22params.train.learning_rate%22%2C%22metrics.test%2Fndcg_10%22%5D&e=" .. id,
      count "table.grid tbody tr[data-key]" .. " == 2")
    local rates = "[...document.querySelectorAll('table.grid tbody tr[data-key]')]"
      .. ".map(r => r.children[2].innerText).join()"
    view:click "th[title='test/ndcg_10, the last value'] button"
    view:wait(rates .. " == '0.01,0.0001'")
    view:click "th[title='test/ndcg_10, the last value'] button"
    view:wait(rates .. " == '0.0001,0.01'")
    view:type("#filter", "params.`train.learning_rate` = '0.01' AND metrics.`test/ndcg_10` > 0", true)
    view:wait(rates .. " == '0.01'")
    view:click "text=CSV"
    local csv = view:downloaded "runs.csv"
    assert.equal(2, select(2, csv:gsub("\r\n", "")))
    assert.matches("metrics%.test/ndcg_10", csv)
    view:type("#filter", "", true)
    view:wait(count "table.grid tbody tr[data-key]" .. " == 2")
    view:click "thead input[type=checkbox]"
    view:click "text=Compare"
    view:wait(count "table.compare thead th" .. " == 3")
    assert.matches("train%.learning_rate%s+0%.0001%s+0%.01", text "table.compare")
    assert.matches("test/ndcg_10%s+0%.%d+ 0%.%d+…0%.%d+%s+0%.%d+ 0%.%d+…0%.%d+ %+0%.%d+", text "table.compare")
    view:eval [[(() => { const slide = document.querySelector('input[type=range]'); slide.value = 0.6;
      slide.dispatchEvent(new Event('input')); })()]]
    view:wait "location.hash.includes('smooth=0.6')"
    view:eval "document.querySelector(\".card[data-key='train/loss']\").scrollIntoView()"
    local chart = "Chart.getChart(document.querySelector(\".card[data-key='train/loss'] canvas\"))"
    view:wait(chart .. "?.data.datasets.length == 4")
  end)

  it("draws the steps of a recipe's run", function()
    open("#/runs?e=" .. experiment "two_tower", count "table.grid tbody tr[data-key]" .. " == 2")
    view:click "table.grid td.name a"
    view:wait(count ".steps .step" .. " > 5")
    assert.matches("load.*train.*evaluate.*publish", text ".steps")
    assert.is_true(view:eval [[(() => { const bars = [...document.querySelectorAll('.steps i.done')];
      const lefts = bars.map(one => one.getBoundingClientRect().left);
      return bars.length > 5 && lefts.every((left, i) => i == 0 || left >= lefts[i - 1]); })()]])
    view:click "text=Log"
    view:wait "document.querySelector('pre.log')?.innerText.length > 200"
    view:click "text=Metrics"
    view:wait(count ".card canvas" .. " > 3")
    view:click "text=Artifacts"
    view:wait(count "iframe.report" .. " == 1")
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

  it("draws a card for each metric, smoothed with the raw curve behind, and plots of many runs", function()
    local plots = '[{"kind":"scatter","x":"params.dim","y":"best.valid/ndcg_10"},'
      .. '{"kind":"parallel","y":"metrics.test/ndcg_10"},{"kind":"bar","y":"metrics.test/ndcg_10"},'
      .. '{"kind":"contour","x":"params.dim","y":"params.rate","z":"metrics.test/ndcg_10"}]'
    open("#/runs?show=charts&flat=1&smooth=0.8&inner=1&filter=params.dim%20LIKE%20'%25'&e=" .. experiment "by hand"
      .. "&plots=" .. view:eval(("encodeURIComponent(%s)"):format(json.encode(plots))),
      count ".card[data-key]" .. " == 3")
    local chart = "Chart.getChart(document.querySelector(\".card[data-key='train/loss'] canvas\"))"
    -- what is drawn above it moves the card: it is brought into sight each time
    local sets = "(document.querySelector(\".card[data-key='train/loss']\").scrollIntoView(), " .. chart
      .. "?.data.datasets.length)"
    assert.equal(16, view:wait(sets))
    assert.equal(8, view:eval(count "svg .strand"))
    assert.equal(8, view:eval(count "svg .run"))
    view:eval [[(() => { const slide = document.querySelector('input[type=range]'); slide.value = 0;
      slide.dispatchEvent(new Event('input')); })()]]
    view:wait(sets .. " == 8")
    assert.is_nil(view:eval "location.hash":find "smooth")
    view:click "text=log y"
    view:wait("location.hash.includes('logy=1') && " .. sets .. " && " .. chart
      .. ".options.scales.y.type == 'logarithmic'")
  end)

  it("moves cards by keys and by the pointer, and keeps their order in the address", function()
    open("#/runs?show=charts&flat=1&e=" .. experiment "by hand", count ".card[data-key]" .. " == 3")
    local order = "[...document.querySelectorAll('.card[data-key]')].map(e => e.dataset.key).join()"
    assert.equal("test/ndcg_10,valid/ndcg_10,train/loss", view:eval(order))
    view:eval "document.querySelector(\".card[data-key='train/loss'] .grip\").focus()"
    view:press "ArrowLeft"
    assert.equal("test/ndcg_10,train/loss,valid/ndcg_10", view:eval(order))
    assert.equal("train/loss: 2 of 3", view:eval "document.getElementById('said').textContent")
    view:press "Home"
    assert.equal("train/loss", view:eval "document.activeElement.closest('.card').dataset.key")
    local function place(selector)
      return view:eval(("(() => { const b = document.querySelector(%s).getBoundingClientRect(); "
        .. "return [b.x + 8, b.y + 8]; })()"):format(json.encode(selector)))
    end
    view:drag(place ".card[data-key='train/loss'] .grip", place ".card[data-key='valid/ndcg_10']")
    assert.equal("test/ndcg_10,valid/ndcg_10,train/loss", view:eval(order))
    assert.is_nil(view:eval "location.hash":find "cards=")
    view:eval "document.querySelector(\".card[data-key='train/loss'] .grip\").focus()"
    view:press "Home"
    local address = view:eval "location.hash"
    assert.matches("cards=", address)
    open(address, count ".card[data-key]" .. " == 3")
    assert.equal("train/loss,test/ndcg_10,valid/ndcg_10", view:eval(order))
  end)

  it("draws curves over another metric, boxes of groups, and one card over the whole screen", function()
    local plots = '[{"kind":"box","x":"params.kind","y":"metrics.test/ndcg_10"}]'
    open("#/runs?show=charts&flat=1&x=metric.train/loss&e=" .. experiment "by hand" .. "&plots="
      .. view:eval(("encodeURIComponent(%s)"):format(json.encode(plots))), count ".card[data-key] canvas" .. " >= 2")
    assert.equal(2, view:eval(count "svg .quartiles"))
    assert.equal(8, view:eval(count "svg circle.dot"))
    local chart = "Chart.getChart(document.querySelector(\".card[data-key='valid/ndcg_10'] canvas\"))"
    view:wait(chart .. "?.options.scales.x.title.text == 'train/loss'")
    view:eval "document.querySelector(\".card[data-key='valid/ndcg_10'] [title='full screen']\").focus()"
    view:press "Enter"
    view:wait(count "dialog.full canvas" .. " == 1")
    assert.is_true(view:eval "document.querySelector('dialog.full canvas').clientWidth > 1000")
    assert.matches("trial 8", text "dialog.full .names")
    view:press "Escape"
    view:wait(count "dialog" .. " == 0")
    assert.equal("full screen", view:eval "document.activeElement.title")
  end)

  it("draws groups as their mean in a band, and hides one", function()
    open("#/runs?show=charts&flat=1&group=params.kind&e=" .. experiment "by hand", count ".card[data-key]" .. " == 3")
    assert.equal("a (4),b (4),not set (1)",
      view:eval "[...document.querySelectorAll('.chips .cut')].map(e => e.innerText).join()")
    local chart = "Chart.getChart(document.querySelector(\".card[data-key='valid/ndcg_10'] canvas\"))"
    local sets = chart .. "?.data.datasets"
    view:wait(sets .. "?.length == 6")
    local function final(i)
      return view:eval(("%s[%d].data.at(-1).y"):format(sets, i))
    end
    -- trials 2, 4, 6, 8 are of kind a: 0.1 + i / 100 - 1 / 70 at the last step
    for i, wanted in ipairs { 0.15, 0.12, 0.18 } do assert.is_near(wanted - 1 / 70, final(i - 1), 1e-9) end
    assert.equal("-1", view:eval(sets .. "[2].fill"))
    view:eval "[...document.querySelectorAll('.chips button')].find(b => b.innerText.startsWith('b')).click()"
    view:wait(sets .. "?.length == 3")
    view:eval "document.querySelector(\".card[data-key='valid/ndcg_10'] .menus button\").click()"
    view:click "text=Save as SVG"
    assert.matches("<polygon points=\"[%d.]+,[%d.]+ .*>a %(4%)<", view:downloaded "valid_ndcg_10.svg")
  end)

  it("saves a card as PNG, SVG and CSV, whatever draws it", function()
    local plots = '[{"kind":"contour","x":"params.dim","y":"params.rate","z":"metrics.test/ndcg_10"}]'
    open("#/runs?show=charts&flat=1&smooth=0.5&e=" .. experiment "by hand" .. "&plots="
      .. view:eval(("encodeURIComponent(%s)"):format(json.encode(plots))), count ".card[data-key] canvas" .. " >= 2")
    local function save(card, ending, name)
      view:click(card .. " .menus button")
      view:eval(("[...document.querySelectorAll('.menu:not([hidden]) button')].find(b => b.textContent == "
        .. "'Save as %s').click()"):format(ending:upper()))
      return view:downloaded(name .. "." .. ending)
    end
    local curve = ".card[data-key='train/loss']"
    view:eval(("document.querySelector(%s).scrollIntoView()"):format(json.encode(curve)))
    view:wait(("document.querySelector(%s)"):format(json.encode(curve .. " canvas")))
    uv.sleep(200)
    local svg = save(curve, "svg", "train_loss")
    assert.matches("^<svg [^>]*xmlns=", svg)
    assert.equal(16, select(2, svg:gsub("<path ", ""))) -- eight curves, smoothed and raw
    assert.matches(">train/loss<.*>trial 8<", svg)
    assert.equal("\137PNG\r\n\26\n", save(curve, "png", "train_loss"):sub(1, 8))
    assert.equal(1 + 8 * 60, select(2, save(curve, "csv", "train_loss"):gsub("\n", "")))
    local contour = save("[data-plot]", "svg", "test_ndcg_10_over_dim_and_rate")
    assert.matches("<image href=\"data:image/png.*<circle", contour)
    assert.matches("run,run_id,dim,rate,test/ndcg_10\n", save("[data-plot]", "csv", "test_ndcg_10_over_dim_and_rate"))
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
      { "#/models", count "tbody tr" .. " > 0" }, { "#/models/two_tower", count "tr[data-version]" .. " == 2" },
      { "#/run/nosuch", count "[role=alert]" .. " == 1" } }
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
    local there = folder .. "/artifacts/mlartifacts/" .. run.info.artifact_uri:match ":/+(.*)$"
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
    local store = track.open(folder .. "/artifacts")
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

  it("promotes a version with a reason, after it has shown what the gate says", function()
    open("#/models/two_tower", count "tr[data-version]" .. " == 2")
    view:click "tr[data-version='2'] .actions button"
    view:wait(count "dialog .gate tr.passed" .. " == 1")
    local verdict = text "dialog .gate"
    assert.matches("Metric%s+Verdict%s+version 2%s+champion %(1%)%s+Difference%s+Gate wants", verdict)
    assert.matches("ndcg_10%s+✓ passes.*%s0[%d.]+.*%+0[%d.]+%s+≥ 0[%d.]+", verdict)
    view:type("dialog textarea", "It was trained faster.")
    view:click "dialog button[type=submit]"
    view:wait "/champion/.test(document.querySelector('tr[data-version=\"2\"]').innerText)"
    assert.not_matches("champion", text "tr[data-version='1']")
    assert.matches("promote champion%s+1%s+2%s+It was trained faster%.%s+✓ ndcg_10", text "#main")
  end)

  it("says by how much a worse version fails, and promotes it only without a gate, on record", function()
    open("#/models/two_tower", count "tr[data-version]" .. " == 2")
    view:click "tr[data-version='1'] .actions button"
    view:wait(count "dialog .gate tr.failed" .. " == 1")
    assert.matches("✗ fails by 0[%d.]+", text "dialog .gate")
    local submit = "document.querySelector('dialog button[type=submit]')"
    assert.is_true(view:eval(submit .. ".disabled"))
    view:type("dialog input[name=gates]", "ndcg_10:much")
    view:wait "document.querySelector('dialog .found').innerText.includes('is no gate')"
    assert.is_true(view:eval(submit .. ".disabled"))
    view:type("dialog input[name=gates]", "ndcg_10:-99% hit_10")
    view:wait(count "dialog .gate tr.passed" .. " == 1 && " .. count "dialog .gate tr.failed" .. " == 1")
    view:click "dialog input[type=checkbox]"
    assert.equal("Promote without a gate", view:eval(submit .. ".textContent"))
    view:type("dialog textarea", "To see it fail.")
    view:click "dialog button[type=submit]"
    view:wait "/champion/.test(document.querySelector('tr[data-version=\"1\"]').innerText)"
    assert.matches("promote champion%s+2%s+1%s+To see it fail%.%s+not gated", text "#main")
  end)

  it("rolls back to the version before, with a reason", function()
    open("#/models/two_tower", count "tr[data-version]" .. " == 2")
    view:click "text=Roll back"
    view:wait "document.querySelector('dialog button[type=submit]').textContent == 'Roll back to version 2'"
    assert.matches("champion.*version 1.*version 2", text "dialog .move")
    view:click "dialog button[type=submit]" -- without a reason
    assert.equal(1, view:eval(count "dialog[open]"))
    view:type("dialog textarea", "It fails.")
    view:click "dialog button[type=submit]"
    view:wait "/champion/.test(document.querySelector('tr[data-version=\"2\"]').innerText)"
    assert.matches("rollback champion%s+1%s+2%s+It fails%.", text "#main")
  end)

  it("exports all matching runs as CSV", function()
    open("#/runs?flat=1&e=" .. experiment "by hand", count "table.grid tbody tr[data-key]" .. " == 9")
    view:click "text=CSV"
    local lines = select(2, view:downloaded "runs.csv":gsub("\r\n", ""))
    assert.equal(10, lines)
  end)

  it("shows what is hostile as text", function()
    view:eval(("fetch('api/recsys/promote', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: "
      .. "%s }).then(r => r.text())"):format(json.encode(json.encode { name = "two_tower", version = 1, no_gate = true,
      reason = HOSTILE, alias = "strange" })))
    local id, word = experiment(HOSTILE), view:eval(("encodeURIComponent(%s)"):format(json.encode(HOSTILE)))
    local plots = view:eval(("encodeURIComponent(%s)"):format(json.encode('[{"kind":"box","x":"params.p",'
      .. '"y":"metrics.m"},{"kind":"scatter","x":"params.p","y":"metrics.m"},{"kind":"parallel","y":"metrics.m"}]')))
    local views = { "", "#/runs?e=" .. id, "#/runs?group=params.p&e=" .. id, "#/run/" .. hostile,
      "#/runs?show=charts&plots=" .. plots .. "&e=" .. id, "#/compare?same=1&runs=" .. hostile .. "," .. study,
      "#/run/" .. hostile .. "?tab=artifacts&file=table.csv", "#/run/" .. hostile .. "?tab=artifacts&file=page.html",
      "#/run/" .. hostile .. "?tab=" .. word, "#/runs?e=0&filter=" .. word .. "&order=" .. word,
      ("#/runs?show=charts&e=%s&x=metric.%s&find=%s&cards=%s&plots=%s"):format(id, word, word, word, word),
      "#/study/" .. hostile, "#/models/two_tower", "#/models/" .. word, "#/" .. word }
    for _, address in ipairs(views) do
      open(address, "document.querySelector('main').innerText.length > 25")
      uv.sleep(120)
      assert.not_equal("pwned", view:eval "document.title")
      assert.equal(0, view:eval(count "main img[src=x], main script"))
      if address:find "#/models/two_tower" then assert.truthy(text "#main":find(HOSTILE, 1, true)) end
    end
    open("#/run/" .. hostile, count ".steps .step" .. " > 1")
    assert.truthy(text ".steps":find(HOSTILE, 1, true))
  end)

  it("saves what is hostile as text", function()
    open("#/runs?show=charts&e=" .. experiment(HOSTILE) .. "&plots=" .. view:eval(("encodeURIComponent(%s)"):format(
      json.encode '[{"kind":"box","x":"params.p","y":"metrics.m"}]')), count "svg .quartiles" .. " == 1")
    view:click "[data-plot] [title='full screen']"
    view:wait(count "dialog svg .quartiles" .. " == 1")
    assert.equal(0, view:eval(count "dialog img, dialog script"))
    view:press "Escape"
    view:click "[data-plot] .menus button"
    view:click "text=Save as SVG"
    local svg = view:downloaded "m_by_p.svg"
    assert.truthy(svg:find("&lt;img src=x", 1, true))
    assert.is_nil(svg:find "<img" or svg:find "<script")
  end)

  it("asks no other server for anything", function()
    assert.is_true(#view.requests > 50)
    for _, url in ipairs(view.requests) do
      assert(url:sub(1, #base) == base or url:find "^about:" or url:find "^blob:" or url:find "^data:", url)
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
    for _, address in ipairs { "", "#/runs?e=" .. id, "#/study/" .. study, "#/run/" .. study, "#/models/two_tower",
      "#/runs?show=charts&flat=1&e=" .. id } do
      open(address, "document.querySelector('main').innerText.length > 40")
      uv.sleep(300)
      assert.is_true(view:eval "document.documentElement.scrollWidth <= 390", address .. " is wider than the screen")
    end
    assert.equal("rgb(15, 19, 25)", view:eval "getComputedStyle(document.body).backgroundColor")
  end)
end)

describe("the page of a server with a token", function()
  setup(function()
    folder = command.temporary()
    track.open(folder .. "/artifacts"):ensure_experiment "guarded"
    serve "open sesame"
    view = browser.open {}
  end)
  teardown(function()
    if view then view:close() end
    if server then server:kill "sigterm" end
    command.remove(folder)
  end)

  it("asks for it until it is right, once for many calls, and keeps it for the tab", function()
    open("#/runs?e=0", count "dialog[open] input" .. " == 1")
    view:type("dialog input", "wrong", true)
    view:wait(count "dialog[open] input" .. " == 1 && document.querySelector('dialog input').value == ''")
    view:type("dialog input", "open sesame", true)
    view:wait "document.querySelector('h1')?.innerText == 'Default'"
    assert.equal(0, view:eval(count "dialog"))
    open("", "document.querySelector('tbody')?.innerText.includes('guarded')")
  end)

  it("takes it from the address, and out of that", function()
    view:eval "sessionStorage.clear()"
    open("?token=open%20sesame", "document.querySelector('tbody')?.innerText.includes('guarded')")
    assert.is_nil(view:eval "location.href":find "sesame")
  end)
end)

describe("what the page computes", function()
  local function of(module, expression)
    return view:eval(("import('./%s.js').then(m => JSON.stringify(%s))"):format(module, expression))
  end
  setup(function()
    folder = command.temporary()
    track.open(folder .. "/artifacts"):close()
    serve()
    view = browser.open {}
    open("", "document.querySelector('main h1')")
  end)
  teardown(function()
    if view then view:close() end
    if server then server:kill "sigterm" end
    command.remove(folder)
  end)

  it("smooths without the bias of the start, subtracts, and cuts outliers", function()
    assert.equal("[1,1,1]", of("series", "m.smooth([1, 2, 3].map(x => ({ x, y: 1 })), 0.9).map(p => p.y)"))
    assert.equal("[0,1.5,null,2.14]", of("series",
      "m.smooth([0, 2.25, NaN, 2.625].map((y, x) => ({ x, y })), 0.5).map(p => p.y && Math.round(p.y * 100) / 100)"))
    assert.equal('[{"x":1,"y":-1}]', of("series",
      "m.minus([{ x: 1, y: 2 }, { x: 9, y: 2 }], [{ x: 0, y: 2 }, { x: 2, y: 4 }])"))
    assert.equal('[[0,0,0,0],[1,2,1,3],[2,2,2,2]]', of("series", "m.pooled([[{ x: 0, y: 0 }, { x: 2, y: 2 }], "
      .. "[{ x: 1, y: 3 }]]).map(p => [p.x, p.y, p.low, p.high])"))
    assert.equal('[{"x":1,"y":1.5}]', of("series", "m.along([[5, 0, 1.5], [9, 0, 7]], 'metric.loss', "
      .. "[[4, 0, 0], [6, 0, 2]])"))
    assert.equal('[["1","2"],["10"]]', of("sets",
      "m.grouped([{ x: '2' }, { x: '10' }, { x: '1' }, {}]).map(g => g.name).reduce((a, x) => "
      .. "(x.length > 1 ? a[1].push(x) : a[0].push(x), a), [[], []])"))
    assert.equal("6", of("sets", "m.grouped(Array.from({ length: 40 }, (_, i) => ({ x: i / 7 }))).length"))
    assert.equal('{"low":1,"q1":2,"median":3,"q3":4,"high":5}', of("boxes", "m.summary([5, 1, 4, 2, 3])"))
    assert.equal("4", of("boxes", "m.summary([1, 2, 3, 4, 90]).high"))
    assert.equal('[["c","a","b"],["c"],[]]', of("sorting",
      "[m.arranged(['a', 'b', 'c'], ['c']), m.shortest(['a', 'b', 'c'], ['c', 'a', 'b']), m.shortest(['a'], ['a'])]"))
    assert.is_true(of("series", "m.inner([[...Array(99).keys(), 1e9].map(y => ({ x: y, y }))])[1] < 110") == "true")
    assert.equal("[1,-1]", of("series",
      "[m.rankCorrelation([1, 2, 3], [4, 5, 9]), m.rankCorrelation([1, 2, 3], [3, 2, 1])]"))
  end)

  it("completes filters", function()
    local keys = "{ metrics: ['valid/loss', 'loss'], params: ['dim'], tags: ['team'] }"
    local function complete(typed)
      return of("grammar", ("m.complete(%s, %d, %s).words.slice(0, 3)"):format(json.encode(typed), #typed, keys))
    end
    assert.equal('["metrics.`valid/loss`","metrics.loss"]', complete "loss")
    assert.equal('[">",">=","<"]', complete "metrics.loss ")
    assert.equal('["AND"]', complete "metrics.`valid/loss` < 0.5 ")
    assert.equal('["params.dim"]', complete "metrics.`valid/loss` < 0.5 AND di")
    assert.equal("[\"'RUNNING'\",\"'FINISHED'\",\"'FAILED'\"]", complete "attributes.status = ")
  end)

  it("lays steps out by when they began, side by side, running ones until now", function()
    local list = [[ [{ name: 'a', state: 'done', started: 1000, seconds: 2 }, { name: 'b', state: 'done', started: 2000,
      seconds: 5, after: ['a'] }, { name: 'c', state: 'running', started: 4000 }, { name: 'd', state: 'planned' }, 7] ]]
    local shape = ".map(s => [s.name, s.state, s.start, s.seconds])"
    assert.equal('[["a","done",0,2],["b","done",1,5],["c","running",3,6],["d","planned",9,0]]',
      of("steps", ("m.timeline(%s, { now: 10000, running: true })%s"):format(list, shape)))
    assert.equal('["c","killed",3,6]', of("steps", ("m.timeline(%s, { now: 10000 })%s[2]"):format(list, shape)))
    assert.equal('[["a","done",0,2],["b","done",2,1]]', of("steps",
      "m.timeline([{ name: 'a', state: 'done', seconds: 2 }, { name: 'b', state: 'done', seconds: 1 }])" .. shape))
    assert.equal("[null,[0,5,10],[0,0.1,0.2,0.3]]", of("steps",
      "[m.timeline({}), m.marks(14), m.marks(0.35).map(x => Math.round(x * 10) / 10)]"))
  end)

  it("reads CSV and tar", function()
    assert.equal('[["a","b"],["1","x\\"y, z\\nw"],["","2"]]', of("artifacts", [[m.csv('a,b\r\n1,"x""y, z\nw"\n,2')]]))
    command.write(folder .. "/one.txt", "hello")
    command.run(("cd %s && tar cf artifacts/t.tar one.txt"):format(folder))
    local bytes = { command.read(folder .. "/artifacts/t.tar"):byte(1, -1) }
    assert.equal('[["one.txt",5]]', of("artifacts", ("m.members(new Uint8Array(%s).buffer).map(f => [f.name, f.size])")
      :format(json.encode(bytes))))
  end)
end)

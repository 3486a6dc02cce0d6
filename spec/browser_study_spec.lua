--- The page's view of a study in a real browser: slices, trials that were cut short, several objectives.

local audit = require "spec.support.audit"
local json = require "recsys.json"
local page = require "spec.support.page"
local space = require "recsys.tune.space"
local state = require "recsys.flow.state"
local study_of = require "recsys.tune.study"
local track = require "recsys.track"
local uv = require "luv"

local open, text, count = page.open, page.text, page.count
local view, study, plain, searched, shares

local TRIALS <const> = 15 -- more than there are colours

local SPACE <const> = { { name = "rate", kind = "number", low = 1e-4, high = 1e-1, log = true },
  { name = "dim", kind = "integer", low = 8, high = 64 }, { name = "kind", kind = "choice", values = { "a", "b" } } }

--- A study of nine trials of which three were cut short; trial i beats those before it by the first objective, and is
--- beaten by them by the second, but for the last.
local function log_study(store, name, tags)
  local parent = track.start { experiment = "studies", name = name, store = store, tags = tags }
  for i = 1, 9 do
    local trial = parent:child { name = "trial_" .. i }
    local pruned = i % 3 == 0
    trial:params { rate = 0.1 / (i * i * i), dim = 64 - 7 * i, kind = i % 2 == 0 and "a" or "b" }
    for step = 1, pruned and 2 or 5 do trial:metric("valid/ndcg_10", i / 100 + step / 1000, step) end
    if not pruned then
      trial:metrics { ["objective/valid/ndcg_10"] = i / 100 + 0.005, ["objective/seconds"] = i == 8 and 20 or i }
    end
    trial:tag("recsys.trial.state", pruned and "pruned" or "complete")
    trial:finish()
    uv.sleep(2) -- they are told apart by when they began
  end
  parent:finish()
  return parent.id
end

--- A study as `recsys-run tune` makes it, and the run that trained its best trial again. Where "kind" is not "b" the
--- recipe has its own decay, which no trial of the study has chosen.
local function log_search(store)
  local parent = track.start { experiment = "searches", name = "searched", store = store, tags = {
    ["recsys.study"] = "searched", ["recsys.study.metric"] = "objective/valid/ndcg_10",
    ["recsys.study.direction"] = "maximize" } }
  local of <close> = study_of.open { name = "searched", store = page.folder .. "/artifacts", sampler = "random",
    directions = { "maximize" }, settings = { metrics = { "valid/ndcg_10" } }, search = {
      dim = space.integer(8, 64), kind = space.choice { "a", "b" },
      decay = space.when("kind", "b", space.log_uniform(1e-4, 1e-1)) } }
  of:optimize(function(trial)
    local score = trial.params.dim / 1000 + (trial.params.decay or 0)
    local run = parent:child { name = trial.name }
    run:params { dim = trial.params.dim, kind = trial.params.kind, decay = trial.params.decay or 0 }
    for step = 1, 3 do run:metric("valid/ndcg_10", score * step / 3, step) end
    run:metric("objective/valid/ndcg_10", score)
    run:tag("recsys.trial.state", "complete")
    run:finish()
    uv.sleep(2)
    return score
  end, { trials = TRIALS })
  local again = parent:child { name = "small-20260101-000000" }
  again:params { dim = 64, kind = "a", decay = 0 }
  again:metric("valid/ndcg_10", 0.1, 1)
  again:finish()
  parent:finish()
  of.db:run("UPDATE studies SET run_id = ? WHERE study_id = ?", { parent.id, of.id })
  return parent.id, of:importance(), of:trials()
end

describe("the page's study in a browser", function()
  setup(function()
    page.serve()
    local store = track.open(page.folder .. "/artifacts")
    study = log_study(store, "front", { ["recsys.study.metric"] = "objective/valid/ndcg_10",
      ["recsys.study.direction"] = "maximize" })
    plain = log_study(store, "by hand")
    local trials
    searched, shares, trials = log_search(store)
    for _, trial in ipairs(trials) do shares.with = (shares.with or 0) + (trial.params.decay and 1 or 0) end
    store:close()
    local db <close> = state.open(page.folder .. "/artifacts")
    db:run("INSERT INTO studies (name, directions, space, seed, settings, created, run_id) VALUES ('front', ?, ?, 1, "
      .. "?, 0, ?)", { json.encode { "maximize", "minimize" }, json.encode(SPACE),
      json.encode { metrics = { "valid/ndcg_10", "seconds" } }, study })
    view = page.look()
  end)
  teardown(page.stop)
  after_each(page.check)

  --- The chart of a card by its title, as an expression.
  local function chart(title)
    return ("Chart.getChart([...document.querySelectorAll('.card')].find(e => e.querySelector('h3').innerText == %s)"
      .. ".querySelector('canvas'))"):format(json.encode(title))
  end

  it("draws a slice for each parameter, logarithmic where the space is, with all trials on it", function()
    open("#/study/" .. study, count ".slices canvas" .. " == 3")
    assert.equal("logarithmic,linear,linear", view:wait(("window.Chart && ['rate', 'dim', 'kind'].map(name => %s)"
      .. ".every(Boolean) && ['rate', 'dim', 'kind'].map(name => %s.options.scales.x.type).join()"):format(
      chart("NAME"):gsub('"NAME"', "name"), (chart("NAME"):gsub('"NAME"', "name")))))
    assert.matches("rate %(logarithmic%)", view:eval(chart "rate" .. ".options.scales.x.title.text"))
    for _, name in ipairs { "rate", "dim" } do
      assert.is_true(view:eval(("(c => c.data.datasets[0].data.length == 9 && c.data.datasets[0].data.every(p => "
        .. "p.x >= c.scales.x.min && p.x <= c.scales.x.max))(%s)"):format(chart(name))), name)
    end
    open("#/study/" .. plain, count ".slices canvas" .. " == 3") -- of a study that nothing is known of
    view:wait(("window.Chart && %s?.options.scales.x.type == 'linear'"):format(chart "rate"))
  end)

  it("marks trials that were cut short: crosses at what they told last, grey and dashed curves, in words", function()
    open("#/study/" .. study, count ".slices canvas" .. " == 3")
    local points = view:wait(("window.Chart && %s?.data.datasets[0].pointStyle?.join()"):format(chart "History"))
    assert.equal(("circle,circle,crossRot,"):rep(3):sub(1, -2), points)
    assert.is_near(0.032, view:eval(chart "History" .. ".data.datasets[0].data[2].y"), 1e-9)
    assert.is_near(0.085, view:eval(chart "History" .. ".data.datasets[1].data[8].y"), 1e-9) -- the best so far
    assert.matches("to its end%s+pruned", text ".legend")
    view:eval "document.querySelector(\".card[data-key='valid/ndcg_10']\").scrollIntoView()"
    local curve = "Chart.getChart(document.querySelector(\".card[data-key='valid/ndcg_10'] canvas\"))"
    view:wait(("window.Chart && %s?.data.datasets.length == 9"):format(curve))
    assert.equal("trial_9 (pruned),trial_6 (pruned),trial_3 (pruned)", view:eval(curve
      .. ".data.datasets.filter(d => d.borderDash.length && d.borderColor == '#94a3b8').map(d => d.label)"
      .. ".sort().reverse().join()"))
    assert.equal(6, view:eval(curve .. ".data.datasets.filter(d => !d.borderDash.length).length"))
  end)

  it("shows what the study has chosen and what it says of it, and not the run that its best trial gave", function()
    open("#/study/" .. searched, count ".slices canvas" .. " == 3")
    assert.matches("15 trials", text ".toolbar")
    assert.is_nil(text("main"):find("small-20260101", 1, true))
    assert.is_true(shares.with > 2 and shares.with < TRIALS)
    local said = {}
    for i, share in ipairs(shares) do said[i] = ("%s %.2f"):format(share.name, share.share) end
    assert.equal(table.concat(said, ","), view:eval("[...document.querySelectorAll('.share')].map(e => "
      .. "e.querySelector('.cut').innerText + ' ' + e.querySelector('.number').innerText).join()"))
    local decay = chart "decay"
    assert.equal("logarithmic", view:wait(("window.Chart && %s && %s.options.scales.x.type"):format(decay, decay)))
    assert.equal(shares.with, view:eval(decay .. ".data.datasets[0].data.length"))
    local axes = "[...document.querySelectorAll('svg[aria-label^=parallel] text.tick')].map(e => e.textContent)"
    assert.is_false(view:eval(axes .. ".includes('0')")) -- where no logarithm leads
    view:eval "document.querySelector(\".card[data-key='valid/ndcg_10']\").scrollIntoView()"
    local curve = "Chart.getChart(document.querySelector(\".card[data-key='valid/ndcg_10'] canvas\"))"
    assert.equal(TRIALS, view:wait(("window.Chart && %s?.data.datasets.length"):format(curve)))
    assert.equal(0, view:eval(curve .. ".data.datasets.filter(d => d.borderDash.length).length"))
  end)

  it("draws the front of several objectives, and lists the trials that no other beats", function()
    open("#/study/" .. study, "window.Chart && !!" .. chart "Pareto front")
    -- trial 8 has the best score; 1, 2, 4, 5, 7 are each quicker than the next
    local front = "document.querySelectorAll('.box.second')[0].innerText"
    assert.matches("trial_8.*trial_7.*trial_5.*trial_4.*trial_2.*trial_1", view:eval(front))
    assert.not_matches("trial_[369]", view:eval(front))
    assert.equal(6, view:eval(chart "Pareto front" .. ".data.datasets[1].data.length"))
    local titles = chart "Pareto front" .. ".options.scales.%s.title.text"
    assert.equal("valid/ndcg_10 (more is better)", view:eval(titles:format "x"))
    assert.equal("seconds (less is better)", view:eval(titles:format "y"))
    assert.equal("[1,3]", page.of("front", "m.front([[1, 9], [2, 1], [2, 2], [3, 5], [NaN, 0], [1]]"
      .. ".map((values, i) => ({ i, values })), [false, true]).map(({ i }) => i)"))
    assert.equal("[0,1]", page.of("front", "m.front([[1], [1], [2]].map((values, i) => ({ i, values })), [true])"
      .. ".map(({ i }) => i)"))
  end)

  it("has names, stands out light and dark, and fits phones", function()
    finally(function()
      view:size(1280, 900)
      view:dark(false)
    end)
    for _, dark in ipairs { false, true } do
      view:dark(dark)
      for _, width in ipairs { 390, 1280, 1920 } do
        view:size(width, 900)
        open("#/study/" .. study, count ".slices canvas" .. " == 3")
        local where = ("%d, %s: "):format(width, dark and "dark" or "light")
        assert.equal("", view:eval(audit), where)
        assert.is_true(view:eval "document.documentElement.scrollWidth" <= width, where .. "wider than the screen")
      end
    end
  end)
end)

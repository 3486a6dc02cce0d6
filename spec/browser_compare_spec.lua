--- The report of a study in a real browser: at a desk and on a phone, in light and dark, without network or scripts.

local audit = require "spec.support.audit"
local browser = require "spec.support.browser"
local command = require "spec.support.command"
local report = require "recsys.compare.report"
local sections = require "recsys.compare.sections"
local uv = require "luv"

--- What a study of many families may have measured: made up, with gaps and long names.
local function made_up()
  local names, found, served, systems, pairs_of = { "two_tower", "mf", "catalogue_mf", "ultra_gcn", "light_gcn",
    "next_item", "factorisation_machine", "bpr", "warp" }, {}, {}, {}, {}
  local function metrics(i)
    return { ndcg_10 = 0.3 / i, hit_10 = 0.5 / i, recall_50 = 0.8 / i, mrr = 0.25 / i, auc = 0.9 - i / 100 }
  end
  for i, name in ipairs { "two_tower", "mf", "catalogue_mf", "ultra_gcn", "light_gcn", "next_item",
    "factorisation_machine", "bpr", "warp", "popularity", "popularity_language", "random" } do
    local m = metrics(i)
    local family = i <= #names
    systems[i] = { name = name, label = name, family = family, place = i, metrics = m,
      branch = family and require("recsys.compare.families").of(name).branch or nil,
      intervals = { ndcg_10 = { m.ndcg_10 * 0.9, m.ndcg_10 * 1.1 } },
      segments = { known_items = { metrics = m }, new_items = { metrics = { ndcg_10 = i == 3 and 0 / 0 or 0.1 / i } } },
      beyond = { novelty = 4 + i / 3, diversity = 0.5, popularity = 20.5, tail_share = 0.3,
        gini = i == 2 and 0 / 0 or 0.8, coverage = 0.2 } }
  end
  for i, name in ipairs(names) do
    found[i] = { family = name, seconds = 100.5 * i, memory = 1e8 * i, size = 123456 * i, best = 1, trials = {
      { number = 0, params = { ["model.dim"] = 64 }, state = "failed", message = "the loss is nan in epoch 1, step 2",
        seconds = 3, epochs = 0, planned = 4, cut = false },
      { number = 1, params = { ["model.dim"] = 32, ["train.learning_rate"] = 0.0123 }, state = "complete",
        value = 0.2 / i, seconds = 33.3, epochs = 3, planned = 4, cut = true, epoch = 2 } } }
    served[i] = { bytes = 1e6 * i, latency = { p50 = 1e-4 * i, p99 = 1e-3 * i, requests = 100, explained = 0.8 },
      batch = { seconds = 0.5, users = 1000 }, new_items = i == 4 and { refused = "a bundle without an item plan" }
        or { asked = 5, median = 2000, median_original = 3, among_first = 0.2, among_100 = 0.6, deepest = 1000 },
      cold_users = { { events = 0, ndcg = 0.01, hit = 0.1, popular = 1, asked = 20 },
        { events = 1, ndcg = 0.02 / i, hit = 0.1, popular = 0, asked = 20 },
        { events = 5, ndcg = 0.05 / i, hit = 0.1, popular = 0, asked = 20 } } }
    for j = i + 1, #names do
      pairs_of[#pairs_of + 1] = { a = i, b = j, difference = 0.3 / i - 0.3 / j, p = 0.001,
        adjusted = j == 9 and 0.5 or 0.01, interval = { 0, 1 } }
    end
  end
  return { found = found, served = served, left = { { name = "ease", why = "there are too many items" } },
    budget = { name = "full", trials = 8, minutes = 4.5 }, requests = 100, machine = "Threads: 2", about = "made up",
    test = { systems = systems, metric = "ndcg_10", k = { 10, 50 }, samples = 1000, queries = 100, items = 5000,
      segments = { { name = "new_items", queries = 10 }, { name = "known_items", queries = 90 } }, users = 100,
      asked_users = 90, rows = { train = 12345, valid = 100 }, described_by = "genres",
      protocol = { kind = "by_time" }, fingerprint = ("f"):rep(32),
      significance = { names = names, pairs = pairs_of, samples = 7200, metric = "ndcg_10" } } }
end

describe("a study's page", function()
  local folder, path, views

  setup(function()
    assert(browser.program(), "this spec needs the Debian package chromium")
    folder = command.temporary()
    local all = made_up()
    path = uv.fs_realpath(folder) .. "/comparison.html"
    report.page("Nine families", all, sections.of(all)):save(path)
    views = {}
    for _, width in ipairs { 1280, 400 } do
      local view = browser.open { width = width, height = 900 }
      views[width] = view
      view:go("file://" .. path)
      view:wait "document.readyState === 'complete'"
    end
  end)
  teardown(function()
    for _, view in pairs(views) do view:close() end
    command.remove(folder)
  end)

  it("is as wide as the screen, at a desk and on a phone: what is wider scrolls within its card", function()
    for width, view in pairs(views) do
      assert.equal(width, view:eval "document.documentElement.scrollWidth")
      assert.equal(0, view:eval [[(() => {
        const inside = (e) => e.closest('.scroll');
        return [...document.querySelectorAll('main *')].filter((e) => !inside(e)
          && !e.closest('svg') && e.getBoundingClientRect().right > innerWidth + 1).length;
      })()]])
    end
    assert.is_true(views[400]:eval "document.querySelectorAll('.scroll').length" > 8)
  end)

  it("asks for nothing but itself, and runs no script", function()
    for _, view in pairs(views) do
      assert.same({ "file://" .. path }, view.requests)
      assert.equal(0, view:eval "document.scripts.length")
      assert.same({}, view.problems)
    end
  end)

  it("shows each chart with its shapes, and words within its frame", function()
    for _, view in pairs(views) do
      local charts = view:eval "document.querySelectorAll('svg.plot').length"
      assert.is_true(charts >= 11, tostring(charts))
      assert.equal(charts, view:eval [[ [...document.querySelectorAll('svg.plot')].filter((e) =>
        e.getBoundingClientRect().height > 100 && e.querySelector('rect, polygon, circle, polyline')).length ]])
      assert.same({}, view:eval [[ [...document.querySelectorAll('svg.plot')].flatMap((svg) => {
        const frame = svg.getBoundingClientRect();
        return [...svg.querySelectorAll('text')].filter((t) => {
          const box = t.getBoundingClientRect();
          return box.left < frame.left - 2 || box.right > frame.right + 2 || box.bottom > frame.bottom + 2;
        }).map((t) => svg.getAttribute('aria-label') + ': ' + t.textContent);
      }) ]])
    end
  end)

  it("keeps the first column of a wide table in sight", function()
    local view = views[400]
    view:eval "[...document.querySelectorAll('.scroll')].forEach((e) => { e.scrollLeft = 200; })"
    assert.is_true(view:eval [[ [...document.querySelectorAll('.tight tr td:first-child')].every((e) =>
      e.getBoundingClientRect().left >= e.closest('.scroll').getBoundingClientRect().left - 1) ]])
  end)

  it("stands out in both themes", function()
    for _, dark in ipairs { false, true } do
      views[1280]:dark(dark)
      assert.equal("", views[1280]:eval(audit))
    end
  end)
end)

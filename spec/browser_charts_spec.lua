--- The page's charts in a real browser: cards, their order, groups, what is saved.

local data = require "spec.support.page_data"
local json = require "recsys.json"
local page = require "spec.support.page"
local uv = require "luv"

local open, text, count, experiment = page.open, page.text, page.count, page.experiment
local view

local HOSTILE <const> = data.HOSTILE

describe("the page's charts in a browser", function()
  setup(function()
    page.serve()
    data.by_hand(page.folder)
    view = page.look()
    open("", count "tbody tr" .. " > 0")
  end)
  teardown(page.stop)
  after_each(page.check)

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
      assert(url:sub(1, #page.base) == page.base or url:find "^about:" or url:find "^blob:" or url:find "^data:", url)
    end
  end)
end)

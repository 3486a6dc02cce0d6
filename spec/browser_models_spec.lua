--- The page in a real browser over two real trials of a recipe: its steps, and the versions of the model.

local audit = require "spec.support.audit"
local command = require "spec.support.command"
local data = require "spec.support.page_data"
local json = require "recsys.json"
local page = require "spec.support.page"
local uv = require "luv"

local open, text, count, experiment = page.open, page.text, page.count, page.experiment
local view

local HOSTILE <const> = data.HOSTILE

describe("the page's models in a browser", function()
  setup(function()
    page.folder = command.temporary()
    for _, name in ipairs { "recipes", "models" } do
      uv.fs_symlink(command.root .. "/" .. name, page.folder .. "/" .. name)
    end
    data.train(page.folder, 1, 1e-4)
    data.train(page.folder, 2, 0.01) -- learns more in four epochs
    page.serve()
    view = page.look()
    open("", count "tbody tr" .. " > 0")
  end)
  teardown(page.stop)
  after_each(page.check)

  it("shows both trials of the recipe with parameters, last and best values", function()
    open("", count "tbody tr" .. " > 1")
    assert.matches("two_tower", text "tbody")
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

  it("shows what is hostile as text", function()
    view:eval(("fetch('api/recsys/promote', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: "
      .. "%s }).then(r => r.text())"):format(json.encode(json.encode { name = "two_tower", version = 1, no_gate = true,
      reason = HOSTILE, alias = "strange" })))
    local word = view:eval(("encodeURIComponent(%s)"):format(json.encode(HOSTILE)))
    for _, address in ipairs { "#/models/two_tower", "#/models/" .. word } do
      open(address, "document.querySelector('main').innerText.length > 25")
      uv.sleep(120)
      assert.not_equal("pwned", view:eval "document.title")
      assert.equal(0, view:eval(count "main img[src=x], main script"))
      if address:find "#/models/two_tower" then assert.truthy(text "#main":find(HOSTILE, 1, true)) end
    end
  end)

  it("has a name for all that can be used, and text that stands out, light and dark, and fits a phone", function()
    finally(function()
      view:size(1280, 900)
      view:dark(false)
    end)
    for _, dark in ipairs { false, true } do
      view:dark(dark)
      for _, width in ipairs { 1280, 390 } do
        view:size(width, 900)
        for _, one in ipairs { { "#/models", count "tbody tr" .. " > 0" },
          { "#/models/two_tower", count "tr[data-version]" .. " == 2" } } do
          open(one[1], one[2])
          local where = ("%s, %d, %s: "):format(one[1], width, dark and "dark" or "light")
          assert.equal("", view:eval(audit), where)
          assert.is_true(view:eval "document.documentElement.scrollWidth" <= width, where .. "wider than the screen")
        end
      end
    end
  end)

  it("asks no other server for anything", function()
    assert.is_true(#view.requests > 20)
    for _, url in ipairs(view.requests) do
      assert(url:sub(1, #page.base) == page.base or url:find "^about:" or url:find "^blob:" or url:find "^data:", url)
    end
  end)
end)

--- The page that a run leaves: of whole results, of partial and of hostile ones.

local of_run = require "recsys.report.run"

local evil = '"><script>alert(1)</script>'

local function result(changes)
  local whole = { recipe = "two_tower", run = "two_tower-1", seed = 1, epoch = 2, queries = 4, candidates = 9.6,
    label = "causal", seconds = { total = 3, train = 2 }, memory_peak_mib = 77,
    curves = {
      { epoch = 1, ["train/loss"] = 3, ["valid/loss"] = 3.5, ["valid/ndcg_10"] = 0.1, ["monitor/grad_norm"] = 1 },
      { epoch = 2, ["train/loss"] = 2, ["valid/loss"] = 3.1, ["valid/ndcg_10"] = 0.2, ["monitor/grad_norm"] = 2 },
    },
    metrics = { ndcg_10 = 0.25, recall_10 = 0.3, recall_50 = 0.6, auc = 0.9 },
    intervals = { ndcg_10 = { 0.2, 0.3 }, recall_10 = { 0.2, 0.4 }, recall_50 = { 0.5, 0.7 } },
    baselines = { popularity = { ndcg_10 = 0.1, recall_10 = 0.1, recall_50 = 0.2, auc = 0.7 } },
    compared = { popularity = { name = "popularity", metric = "ndcg_10", value = 0.1 } },
    best_baseline = { name = "popularity", metric = "ndcg_10", ratio = 2.5 },
    segments = { new_users = { queries = 1, metrics = { ndcg_10 = 0.05 }, intervals = { ndcg_10 = { 0, 0.1 } },
      baseline = { ndcg_10 = 0.04 } } },
    long_tail = { users = { rank = { 1, 2 }, count = { 3, 1 } }, recommended = { rank = { 1 }, count = { 5 } } },
    importance = { metric = "ndcg_10", features = { { name = "user.id", drop = 0.1, least = 0.05, most = 0.2 } } } }
  for name, value in pairs(changes or {}) do whole[name] = value or nil end
  return whole
end

local params = { train = { epochs = 6, hidden = { 128, 64 } }, data = { dir = "artifacts/data/news" }, seed = 1 }

local function assert_has(html, ...)
  for _, part in ipairs { ... } do assert.truthy(html:find(part, 1, true), part) end
end

describe("the page of a run", function()
  it("shows how it trained, what it measured, for whom, and with which parameters", function()
    local html = of_run.page(result(), params):render()
    assert_has(html, "<h1>two_tower-1</h1>", "<b>0.2500</b><span>NDCG@10, 95 % from 0.2000 to 0.3000</span>",
      "<b>2.50 times</b><span>popularity, the best baseline</span>", "2 epochs, of which number 2 was kept",
      "train/loss: epoch 2, y 2", "NDCG@10 on validation events",
      "Gradient norm", "model, NDCG@10: 0.25 [0.2, 0.3]", "popularity, NDCG@10: 0.1",
      "new users (1), model: 0.05 [0, 0.1]", "new users (1), popularity: 0.04", "model: k 50, recall at k 0.6",
      "<td>AUC</td><td>0.9000</td><td></td><td></td><td>0.7000</td>",
      "items, recommended: rank, the busiest first 1, times 5", "user.id, drop: 0.1 [0.05, 0.2]",
      "<td>train.hidden</td><td>128, 64</td>", "<td>data.dir</td><td>artifacts/data/news</td>",
      "<td>train</td><td>2.0 s")
  end)

  it("shows what a partial result has", function()
    for _, missing in ipairs { "curves", "intervals", "baselines", "best_baseline", "segments", "long_tail",
      "importance", "compared", "epoch", "queries", "candidates", "label", "seconds", "seed" } do
      local html = of_run.page(result { [missing] = false }, params):render()
      assert_has(html, "<h1>two_tower-1</h1>", "0.2500", "train.hidden")
    end
    assert_has(of_run.page({ metrics = { total = 55 } }, {}):render(), "<td>total</td><td>55</td>")
    assert_has(of_run.page({ curves = { { epoch = 1, ["train/loss"] = 0 / 0 } } }, {}):render(), "1 epoch")
    assert.same({ true, true, false, false }, { of_run.has_page(result()), of_run.has_page { metrics = {} },
      of_run.has_page {}, of_run.has_page { curves = {} } })
  end)

  it("shows markup in names and values as text", function()
    local hostile = result { run = evil, recipe = evil, label = evil,
      metrics = { ndcg_10 = 0.1, [evil] = 3 }, compared = { [evil] = { metric = "ndcg_10", value = 0.1 } },
      best_baseline = { name = evil, metric = "ndcg_10", ratio = 1 }, baselines = { [evil] = { ndcg_10 = 0 } },
      importance = { metric = evil, features = { { name = evil, drop = 1, least = 1, most = 1 } } },
      curves = { { epoch = 1, ["valid/" .. evil] = 1 } }, seconds = { [evil] = 1, total = 1 } }
    local html = of_run.page(hostile, { [evil] = evil, list = { evil } }):render()
    assert.is_nil(html:find("<script", 1, true))
    assert_has(html, "&lt;script&gt;alert(1)&lt;/script&gt;")
  end)
end)

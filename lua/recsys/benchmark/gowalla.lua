--- Gowalla as LightGCN publishes it, or another set in its layout: all items ranked for each user, training items left
--- out; Recall@20 over |test items| and NDCG@20. Validation rows are tune_valid.txt, a part of train.txt.

local data = require "recsys.data"
local evaluate = require "recsys.evaluate"
local feature = require "recsys.feature"
local param = require("recsys.config").param
local recipe = require "recsys.benchmark.recipe"

local gowalla = {
  name = "gowalla",
  about = "Gowalla, LightGCN's split: Recall@20 and NDCG@20 beside the published figures",
  data = { source = param("lightgcn", "the layout of the files", { choices = { "lightgcn" } }),
    dir = param("artifacts/data/gowalla", "train.txt, test.txt and tune_*.txt", { form = "folder" }) },
  train = { weight_decay = 0.0, warmup = 0.0, metric = "recall_20" },
  features = { user = { feature.id { "user" } }, item = { feature.id { "item" } } },
}

gowalla.published = {
  { "MF-BPR", { .1627, .1378 }, "BARS leaderboard" },
  { "ItemCF", { .1570, .1214 }, "BARS leaderboard" },
  { "Mult-VAE", { .1641, .1335 }, "LightGCN paper, table 4" },
  { "NGCF", { .1570, .1327 }, "LightGCN paper" },
  { "LightGCN", { .1830, .1554 }, "LightGCN paper, table 4" },
  { "EASE, l2 80", { .1765, .1467 }, "BARS" },
  { "YouTubeNet, two towers", { .1754, .1473 }, "BARS" },
  { "MF-CCL", { .1837, .1493 }, "SimpleX README" },
  { "SimpleX", { .1872, .1557 }, "SimpleX README" },
  { "UltraGCN", { .1862, .1580 }, "UltraGCN README" },
  { "GF-CF", { .1849, .1518 }, "BARS" },
  { "MF + BSL, 64-d", { .1882, .1584 }, "BSL run logs" },
  { "LightGCN + BSL, 64-d", { .1892, .1590 }, "BSL run logs" },
}

--- Its splits, protocol and references.
function gowalla.study(flow, _, all)
  local tune = flow:task("tune_split", data.split_given, all, { train = "tune_train.txt", valid = "tune_valid.txt" })
  local final = flow:task("final_split", data.split_given, all, { train = "train.txt", test = "test.txt" })
  return { tune = tune, final = final, protocol = evaluate.protocol_per_user, k = 20,
    metrics = { "recall", "ndcg" }, references = { { "popularity", "popularity" }, { "GF-CF", "gf_cf" } } }
end

--- The recipe of a row of the table.
---@param row BenchmarkRow
function gowalla.recipe(row) return recipe(gowalla, row) end

return gowalla

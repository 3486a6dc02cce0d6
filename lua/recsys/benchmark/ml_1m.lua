--- MovieLens-1M as SASRec, BERT4Rec and gSASRec use it: each user's last movie among all 3,416 that he has not met
--- before; HR@10 and NDCG@10. His second-last movie validates and trains nothing, at the test too: what was tuned is
--- what is tested.

local data = require "recsys.data"
local evaluate = require "recsys.evaluate"
local feature = require "recsys.feature"
local param = require("recsys.config").param
local recipe = require "recsys.benchmark.recipe"

local ml_1m = {
  name = "ml_1m",
  about = "MovieLens-1M, leave-one-out, all items ranked: HR@10 and NDCG@10 beside the published figures",
  data = { source = param("sasrec", "the layout of the file", { choices = { "sasrec", "s3rec" } }),
    dir = param("artifacts/data/ml-1m-sasrec", "the folder with ml-1m.txt", { form = "folder" }),
    file = param(nil, "which file of the folder, where there are several", { type = "string", optional = true }) },
  train = { weight_decay = 0.0, metric = "ndcg_10" },
  features = {
    user = { feature.id { "user" } },
    event = { feature.history { of = "id", length = 50 } },
    item = { feature.id { "item" } },
  },
}

ml_1m.published = {
  { "SASRec, BCE, 1 negative", { .2500, .1341 }, "antklen/sasrec-bert4rec-recsys23" },
  { "SASRec, BCE", { .2392, .1259 }, "asash/gSASRec-pytorch" },
  { "BERT4Rec", { .2843, .1537 }, "antklen/sasrec-bert4rec-recsys23" },
  { "BERT4Rec, reproduced", { .2821, .1516 }, "asash/bert4rec_repro" },
  { "gSASRec, 256 negatives", { .3003, .1726 }, "asash/gSASRec-pytorch" },
  { "SASRec+, full softmax", { .3152, .1821 }, "antklen/sasrec-bert4rec-recsys23" },
}

--- Its split and protocol, and popularity as reference.
function ml_1m.study(flow, _, all)
  return { tune = flow:task("split", data.split_leave_last_out, all), protocol = evaluate.protocol_leave_last_out,
    k = 10, metrics = { "hit", "ndcg" }, references = { { "popularity", "popularity" } } }
end

--- The recipe of a row of the table.
---@param row BenchmarkRow
function ml_1m.recipe(row) return recipe(ml_1m, row) end

return ml_1m

--- MovieLens-1M as Neural Collaborative Filtering publishes it: each user's latest movie among 99 given ones he has not
--- rated; HR@10 and NDCG@10. Tuned on a second leave-one-out within the training file, with negatives drawn alike.

local data = require "recsys.data"
local evaluate = require "recsys.evaluate"
local feature = require "recsys.feature"
local ncf = require "recsys.data.ncf"
local param = require("recsys.config").param
local recipe = require "recsys.benchmark.recipe"

local ml_1m_ncf = {
  name = "ml_1m_ncf",
  about = "MovieLens-1M, leave-one-out with 99 given negatives: HR@10 and NDCG@10 beside the published figures",
  data = { source = param("ncf", "the layout of the files", { choices = { "ncf" } }),
    dir = param("artifacts/data/ml-1m-ncf", "NAME.train.tsv, .test.rating, .test.negative", { form = "folder" }) },
  train = { weight_decay = 0.0, warmup = 0.0, metric = "ndcg_10" },
  features = { user = { feature.id { "user" } }, item = { feature.id { "item" } } },
}

ml_1m_ncf.published = {
  { "Popularity", { .4535, .2543 }, "Rendle et al. 2020" },
  { "SLIM", { .7162, .4468 }, "Rendle et al. 2020" },
  { "iALS, previous", { .7111, .4383 }, "Rendle et al. 2020" },
  { "NeuMF", { .7093, .4349 }, "Rendle et al. 2020" },
  { "MF, d = 192", { .7294, .4523 }, "Rendle et al. 2020" },
  { "iALS, d = 64", { .722, .445 }, "Rendle et al. 2022" },
  { "EASE, l2 1000", { .7182, .4511 }, "measured apart on the same files" },
}

local function tune_split(all) return data.split_given(all, ncf.hold_out(all)) end
local function final_split(all) return data.split_given(all, ncf.parts(all)) end
local function protocol(all, split)
  return evaluate.protocol_per_event(all, split, { candidates = ncf.candidates(all, split, 1) })
end

--- Its splits, protocol and references.
function ml_1m_ncf.study(flow, _, all)
  return { tune = flow:task("tune_split", tune_split, all), final = flow:task("final_split", final_split, all),
    protocol = protocol, k = 10, metrics = { "hit", "ndcg" },
    references = { { "popularity", "popularity" }, { "EASE, l2 1000", "ease", { l2 = 1000 } },
      { "EASE, l2 500", "ease", { l2 = 500 } } } }
end

--- The recipe of a row of the table.
---@param row BenchmarkRow
function ml_1m_ncf.recipe(row) return recipe(ml_1m_ncf, row) end

return ml_1m_ncf

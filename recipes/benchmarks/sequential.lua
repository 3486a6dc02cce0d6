--- A sequential set in the layout of S3-Rec and P5 (Beauty, Sports, Toys, Yelp): each user's last item among all items,
--- the second-last validates; HR and NDCG at 10. Published rows rank the whole catalogue, seen items too;
--- `eval.exclude_seen` leaves them out, which moves NDCG@10 of Beauty by a third and is said in the table.
--- Of Beauty's users 43.5 % have validation and test on one day, and the old rows are under-trained: a better figure
--- than theirs is no progress by itself.
---
---     recsys-run recipes/benchmarks/sequential.lua --set data.dir=DIR --set data.file=Beauty.txt

local recsys = require "recsys"
local benchmark, data, evaluate, feature = recsys.benchmark, recsys.data, recsys.evaluate, recsys.feature
local job, param = recsys.job, recsys.config.param

--- HR@10 and NDCG@10 by set, as read in the P5, TIGER and indexing papers; the last row popularity on the same files,
--- seen items left out.
local published = {
  Beauty = { { "GRU4Rec", { .0283, .0137 }, "P5" }, { "BERT4Rec", { .0347, .0170 }, "P5" },
    { "SASRec", { .0605, .0318 }, "P5" }, { "S3-Rec", { .0647, .0327 }, "P5" }, { "TIGER", { .0648, .0384 }, "TIGER" },
    { "Popularity, unseen", { .0115, .0055 }, "measured apart" } },
  Sports_and_Outdoors = { { "GRU4Rec", { .0204, .0110 }, "P5" }, { "BERT4Rec", { .0191, .0099 }, "P5" },
    { "SASRec", { .0350, .0192 }, "P5" }, { "S3-Rec", { .0385, .0204 }, "P5" }, { "TIGER", { .0400, .0225 }, "TIGER" },
    { "Popularity, unseen", { .0091, .0052 }, "measured apart" } },
  Toys_and_Games = { { "GRU4Rec", { .0176, .0084 }, "P5" }, { "BERT4Rec", { .0203, .0099 }, "P5" },
    { "SASRec", { .0675, .0374 }, "P5" }, { "S3-Rec", { .0700, .0376 }, "P5" }, { "TIGER", { .0712, .0432 }, "TIGER" },
    { "Popularity, unseen", { .0090, .0049 }, "measured apart" } },
  Yelp = { { "SASRec", { .0284, .0147 }, "indexing paper" }, { "S3-Rec", { .0341, .0168 }, "indexing paper" },
    { "Popularity, unseen", { .0095, .0049 }, "measured apart" } },
}

local features = {
  user = { feature.id { "user" } },
  event = { feature.history { of = "id", length = 50, name = "history_50" },
    feature.history { of = "id", length = 1, name = "history_1" } },
  item = { feature.id { "item" } },
}

return recsys.recipe {
  name = "benchmark_sequential",
  about = "Beauty, Sports, Toys or Yelp, leave-one-out, all items ranked: HR@10 and NDCG@10 beside published figures",
  params = benchmark.params {
    data = { source = param("s3rec", "the layout of the file", { choices = { "s3rec", "sasrec" } }),
      dir = param("artifacts/data/s3rec", "the folder with Beauty.txt, ...", { form = "folder" }),
      file = param("Beauty.txt", "which file of the folder") },
    model = { kind = param("two_tower", "a file in models/"), dim = param(64, "width of the towers", { min = 1 }),
      hidden = param({ 128 }, "sizes of the hidden layers", { of = "integer", min = 1 }), dropout = 0.2,
      temperature = 0.07, bias = true, log_q = true, id_dropout = 0.0 },
    train = { epochs = 20, batch = 1024, learning_rate = 2e-3, weight_decay = 0.0, patience = 3, metric = "ndcg_10" },
    eval = { exclude_seen = param(false, "rank the items that the user does not know alone") },
  },
  run = function(flow, p)
    local all = flow:task("load", job.load, p.data, flow:path "quarantine")
    local split = flow:task("split", data.split_leave_last_out, all)
    local seen = nil -- all that the user knows is left out
    if not p.eval.exclude_seen then seen = false end
    local function protocol(d, part) return evaluate.protocol_leave_last_out(d, part, { seen = seen }) end
    return benchmark.run(flow, p, { data = all, tune = split, protocol = protocol, features = features, k = 10,
      metrics = { "hit", "ndcg" }, published = published[p.data.file:match "^(.-)%.txt$"] or {},
      note = p.eval.exclude_seen and "seen items left out" or "seen items are candidates",
      references = { { "popularity", "popularity" } } })
  end,
}

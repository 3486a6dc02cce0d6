--- The families of recommenders that the study compares (recipes/compare.lua): of each its model file, the features
--- that it reads, parameters for small and large data, what tuning tries, and what it can and cannot do.
---
--- An entry:
---   name, label    how tables call it, and in words
---   branch         a row of the trade-off's table: "baseline", "neighbours", "linear", "factorisation", "graph",
---                  "transformer", "two_tower", "hybrid"
---   kind           the file in models/
---   features       a set of recsys.compare.features: "ids", "known", "sequence", "all" or "both"
---   model, train   parameters of the groups `model` and `train` (docs/recipes.md)
---   sizes, sources what differs for data of a size ("small", "large") and of a source: { large = { train = {...} } }
---   search         what tuning tries: parameter -> dimension of recsys.tune; the first trial has the values of `model`
---                  and `train`, which must be among these
---   explains       what a recommendation can be explained by, in words
---   new_users      how it knows users that training has not met: false, or in words what by
---   new_items      the same of items
---   items          the most items that it can be trained for; nil: any number
--- Its figures are measured by the study; what stands here are claims that spec/families_spec.lua holds it to.

local exit = require "recsys.exit"
local text = require "recsys.text"
local tune = require "recsys.tune"

local families = {}

---@class Family

local LARGE <const> = 300000 -- training rows from which data are called large

families.list = {
  {
    name = "popularity", label = "popularity, of late or of all times", branch = "baseline", kind = "popularity",
    features = "ids", model = { window = "", half_life = "", segment = "", smoothing = 100 }, train = { epochs = 1 },
    search = { ["model.window"] = tune.choice { "", "1d", "7d", "30d" } },
    explains = "how many people took it", new_users = "as everybody else", new_items = false,
  },
  {
    name = "ease", label = "EASE, linear map in closed form", branch = "linear", kind = "ease", features = "known",
    model = { l2 = 300.0, precision = "f32", keep = 0 }, train = { epochs = 1 },
    search = { ["model.l2"] = tune.log_uniform(10, 5000) }, items = 15000,
    explains = "known items by what each adds to the score", new_users = "by what they know", new_items = false,
  },
  {
    name = "item_knn", label = "item-kNN, similarities to what is known", branch = "neighbours", kind = "item_knn",
    features = "known", model = { k = 100, weighting = "tfidf", alpha = 0.7, shrink = 0.0, normalize = true },
    train = { epochs = 1 },
    search = { ["model.k"] = tune.choice { 20, 50, 100, 200 }, ["model.alpha"] = tune.quantised(0.4, 0.9, 0.1),
      ["model.shrink"] = tune.choice { 0.0, 10.0, 100.0 }, ["model.normalize"] = tune.choice { false, true } },
    explains = "the known item that adds most", new_users = "by what they know", new_items = false,
  },
  {
    name = "user_knn", label = "user-kNN, votes of users alike", branch = "neighbours", kind = "user_knn",
    features = "known", model = { k = 100, weighting = "cosine", K1 = 1.2, B = 0.75 }, train = { epochs = 1 },
    search = { ["model.k"] = tune.choice { 20, 50, 100, 200, 400 },
      ["model.weighting"] = tune.choice { "cosine", "tfidf", "bm25" } },
    explains = "users alike", new_users = "by what they know", new_items = false,
  },
  {
    name = "mf", label = "matrix factorisation, in-batch softmax", branch = "factorisation", kind = "mf",
    features = "ids",
    model = { dim = 64 },
    train = { epochs = 12, batch = 1024, learning_rate = 1e-2, patience = 3 },
    sizes = { large = { train = { epochs = 10, batch = 4096, learning_rate = 5e-3 } } },
    search = { ["model.dim"] = tune.choice { 32, 64, 128 }, ["train.learning_rate"] = tune.log_uniform(2e-3, 4e-2) },
    explains = "items alike by their embeddings", new_users = false, new_items = false,
  },
  {
    name = "catalogue_mf", label = "matrix factorisation, softmax over all items", branch = "factorisation",
    kind = "catalogue_mf", features = "ids",
    model = { dim = 64, loss = "softmax", negatives = 0, temperature = 0.1, similarity = "cosine", bias = true,
      balance = 0.0 },
    train = { epochs = 20, batch = 256, by = "user", learning_rate = 1e-2, patience = 4 },
    search = { ["model.dim"] = tune.choice { 32, 64, 128 }, ["model.temperature"] = tune.log_uniform(0.05, 0.5),
      ["train.learning_rate"] = tune.log_uniform(2e-3, 6e-2) },
    explains = "items alike by their embeddings", new_users = false, new_items = false,
  },
  {
    name = "bpr", label = "matrix factorisation by pairs, BPR", branch = "factorisation", kind = "pairwise_mf",
    features = "ids",
    model = { dim = 64, loss = "bpr", among = 4, decay = 0.01 },
    train = { epochs = 20, batch = 1024, learning_rate = 2e-2, patience = 4 },
    sizes = { large = { train = { epochs = 12, batch = 4096 } } },
    search = { ["model.among"] = tune.choice { 1, 4, 16 }, ["model.decay"] = tune.log_uniform(1e-3, 1e-1),
      ["train.learning_rate"] = tune.log_uniform(3e-3, 6e-2) },
    explains = "items alike by their embeddings", new_users = false, new_items = false,
  },
  {
    name = "warp", label = "matrix factorisation by pairs, WARP", branch = "factorisation", kind = "pairwise_mf",
    features = "ids",
    model = { dim = 64, loss = "warp", decay = 0.01, margin = 1.0, tries = 50 },
    train = { epochs = 20, batch = 1024, learning_rate = 1e-2, patience = 4 },
    sizes = { large = { train = { epochs = 10, batch = 4096 } } },
    search = { ["model.decay"] = tune.log_uniform(1e-3, 1e-1), ["model.margin"] = tune.log_uniform(0.1, 3),
      ["train.learning_rate"] = tune.log_uniform(2e-3, 5e-2) },
    explains = "items alike by their embeddings", new_users = false, new_items = false,
  },
  {
    name = "ials", label = "implicit alternating least squares", branch = "factorisation", kind = "ials",
    features = "known",
    model = { dim = 64, unobserved = 0.1, regularization = 0.005, scaling = 1.0 },
    train = { epochs = 12, patience = 3 },
    search = { ["model.dim"] = tune.choice { 32, 64, 128 }, ["model.unobserved"] = tune.log_uniform(0.005, 1),
      ["model.regularization"] = tune.log_uniform(5e-4, 5e-2) },
    explains = "items known that pull the vector there, items alike by their factors", new_users = "by what they know",
    new_items = false,
  },
  {
    name = "slim", label = "SLIM, an elastic net for each item", branch = "linear", kind = "slim", features = "known",
    model = { l1 = 5.0, l2 = 300.0, neighbours = 200 }, train = { epochs = 1 },
    sizes = { small = { model = { l1 = 1.0, l2 = 20.0 } } },
    search = { ["model.l1"] = tune.log_uniform(0.2, 50), ["model.l2"] = tune.log_uniform(2, 2000),
      ["model.neighbours"] = tune.choice { 50, 100, 200 } },
    explains = "items known, each by its weight", new_users = "by what they know", new_items = false,
  },
  {
    name = "factorisation_machine", label = "factorisation machine over all features", branch = "factorisation",
    kind = "factorisation_machine", features = "all",
    model = { dim = 32, loss = "softmax", negatives = 4 },
    train = { epochs = 8, batch = 2048, learning_rate = 1e-2, patience = 2 },
    sizes = { large = { train = { epochs = 5, rows_per_epoch = 500000 } } },
    search = { ["model.dim"] = tune.choice { 16, 32, 64 }, ["train.learning_rate"] = tune.log_uniform(2e-3, 5e-2) },
    explains = "weights and pairs of features", new_users = "by their fields and history",
    new_items = "by their fields",
  },
  {
    name = "ultra_gcn", label = "UltraGCN's constraint loss", branch = "graph", kind = "ultra_gcn", features = "ids",
    model = { dim = 64, negatives = 300, emphasis = 100.0, decay = 0.1 },
    train = { epochs = 20, batch = 1024, learning_rate = 1e-2, patience = 4, warmup = 0.0 },
    sizes = { large = { model = { negatives = 500 }, train = { epochs = 12, batch = 2048 } } },
    search = { ["model.emphasis"] = tune.log_uniform(10, 1000), ["model.decay"] = tune.log_uniform(0.01, 1),
      ["train.learning_rate"] = tune.log_uniform(2e-3, 4e-2) },
    explains = "items alike by their embeddings", new_users = false, new_items = false,
  },
  {
    name = "light_gcn", label = "LightGCN, softmax over all items", branch = "graph", kind = "light_gcn",
    features = "ids",
    model = { dim = 64, layers = 2, spectral = true, loss = "softmax", negatives = 0, temperature = 0.15,
      balance = 0.0 },
    train = { epochs = 16, batch = 1024, by = "user", learning_rate = 3e-2, patience = 3, warmup = 0.2 },
    search = { ["model.layers"] = tune.choice { 1, 2, 3 }, ["model.temperature"] = tune.log_uniform(0.05, 0.5),
      ["train.learning_rate"] = tune.log_uniform(5e-3, 1e-1) },
    explains = "items alike by vectors averaged over the graph", new_users = false, new_items = false,
  },
  {
    name = "next_item", label = "pooled history, softmax over all items", branch = "sequence", kind = "next_item",
    features = "sequence",
    model = { dim = 64, heads = 6, queries = false, history_dropout = 0.2, hidden = { 256 }, dropout = 0.2 },
    train = { epochs = 8, batch = 1024, learning_rate = 2e-3, patience = 2 },
    sizes = { large = { train = { epochs = 4 } } },
    search = { ["model.dim"] = tune.choice { 32, 64, 96 }, ["model.dropout"] = tune.quantised(0, 0.5, 0.1),
      ["train.learning_rate"] = tune.log_uniform(5e-4, 1e-2) },
    explains = "weights of the history's places", new_users = "by their history", new_items = false,
  },
  {
    name = "sas_rec", label = "SASRec: causal transformer, softmax over all items", branch = "transformer",
    kind = "sas_rec", features = "sequence",
    model = { dim = 64, blocks = 2, heads = 1, dropout = 0.2, loss = "softmax", negatives = 0, temperature = 1.0,
      bias = false, balance = 0.0 },
    train = { epochs = 20, batch = 64, by = "user", learning_rate = 2e-3, patience = 4 },
    search = { ["model.dim"] = tune.choice { 32, 64, 96 }, ["model.dropout"] = tune.quantised(0, 0.5, 0.1),
      ["train.learning_rate"] = tune.log_uniform(5e-4, 1e-2) },
    explains = "attention to the history's events", new_users = "by their history", new_items = false,
  },
  {
    name = "gsas_rec", label = "gSASRec: causal transformer, gBCE as of 256 negatives", branch = "transformer",
    kind = "sas_rec", features = "sequence",
    model = { dim = 64, blocks = 2, heads = 1, dropout = 0.2, loss = "gbce", negatives = 256,
      sampling = "expected", calibration = 0.75, centred = true, temperature = 1.0, bias = false, balance = 0.0 },
    train = { epochs = 20, batch = 64, by = "user", learning_rate = 2e-3, patience = 4 },
    search = { ["model.dropout"] = tune.quantised(0, 0.5, 0.1), ["model.calibration"] = tune.uniform(0.5, 1),
      ["train.learning_rate"] = tune.log_uniform(5e-4, 1e-2) },
    explains = "attention to the history's events", new_users = "by their history", new_items = false,
  },
  {
    name = "two_tower", label = "two towers over all features", branch = "two_tower", kind = "two_tower",
    features = "all",
    model = { dim = 64, hidden = {}, dropout = 0.1, similarity = "cosine", temperature = 0.1,
      learn_temperature = false, heads = 0, queries = false, history_dropout = 0.0, interests = 0, log_q = true,
      drawn = 0, bias = true, policy = false, mask_seen = false, ignored_most = 10, ignored_weight = 1.0,
      hard_negatives = 0, hard_every = 1, id_dropout = 0.0, user_dropout = 0.0 },
    train = { epochs = 6, batch = 2048, learning_rate = 0.014, patience = 2, warmup = 0.2 },
    sizes = { large = { train = { epochs = 5, rows_per_epoch = 500000, learning_rate = 0.01 } } },
    sources = { news = { model = { temperature = 0.15, id_dropout = 0.5, user_dropout = 0.1, policy = true,
      mask_seen = true } } },
    search = { ["model.dim"] = tune.choice { 32, 64, 96 }, ["model.temperature"] = tune.log_uniform(0.05, 0.5),
      ["train.learning_rate"] = tune.log_uniform(3e-3, 5e-2) },
    explains = "features of both sides, items alike by their tower", new_users = "by their fields and history",
    new_items = "by their fields",
  },
  {
    name = "hybrid", label = "a transformer beside two towers", branch = "hybrid", kind = "hybrid", features = "both",
    model = { dim = 64, part = "both", share = 0.3, apart = 0.0, hidden = {}, dropout = 0.1, similarity = "cosine",
      temperature = 0.15, learn_temperature = false, blocks = 1, heads = 2, sequence_dim = 64,
      sequence_hidden = {}, sequence_dropout = 0.1, pool = "mean",
      catalogue = false, log_q = true, drawn = 0, policy = true, mask_seen = true, id_dropout = 0.5,
      user_dropout = 0.0 },
    train = { epochs = 6, batch = 2048, learning_rate = 0.014, patience = 2, warmup = 0.2 },
    sizes = { large = { train = { epochs = 5, rows_per_epoch = 500000, learning_rate = 0.01 } } },
    sources = { news = { model = { sequence_dim = 16, sequence_hidden = { 64 } } },
      movielens = { model = { pool = "last", temperature = 0.1, id_dropout = 0.0, policy = false,
        mask_seen = false } } },
    search = { ["model.share"] = tune.quantised(0.1, 0.5, 0.1), ["model.temperature"] = tune.log_uniform(0.05, 0.5),
      ["train.learning_rate"] = tune.log_uniform(2e-3, 2e-2) },
    explains = "attention to the history's events, features of both sides", new_users = "by their fields and history",
    new_items = "by their fields",
  },
}

--- The family of a name. Raises { code = "usage" } with the nearest name.
---@param name string
---@return Family
function families.of(name)
  local known = {}
  for i, family in ipairs(families.list) do
    if family.name == name then return family end
    known[i] = family.name
  end
  local near = text.nearest(tostring(name), known)
  exit.usage_error("there is no family '%s' to compare; there are %s%s", tostring(name), table.concat(known, ", "),
    near and ("; did you mean '%s'?"):format(near) or "")
end

--- "small" or "large", by the training rows.
---@param rows integer
---@return "small"|"large"
function families.size(rows) return rows < LARGE and "small" or "large" end

local function copy(into, from)
  for name, value in pairs(from or {}) do into[name] = value end
  return into
end

--- A family's parameters for some data: { model = { kind, ... }, train = { ... } }.
---@param family Family
---@param of { size: "small"|"large", source: string }
---@return { model: table, train: table }
function families.parameters(family, of)
  local size, source = (family.sizes or {})[of.size] or {}, (family.sources or {})[of.source] or {}
  local p = {}
  for _, group in ipairs { "model", "train" } do
    p[group] = copy(copy(copy({}, family[group]), size[group]), source[group])
  end
  p.model.kind = family.kind
  return p
end

--- Parameters with a trial's values: { ["model.dim"] = 32 } sets model.dim.
---@param p { model: table, train: table }
---@param values table<string, any>
---@return { model: table, train: table }
function families.with(p, values)
  local changed = { model = copy({}, p.model), train = copy({}, p.train) }
  for name, value in pairs(values) do
    local group, key = name:match "^(%w+)%.(.+)$"
    changed[group][key] = value
  end
  return changed
end

--- A family's values of what tuning tries: those of `model` and `train`.
---@param family Family
---@param p { model: table, train: table }
---@return table<string, any>
function families.defaults(family, p)
  local values = {}
  for name in pairs(family.search or {}) do
    local group, key = name:match "^(%w+)%.(.+)$"
    values[name] = p[group][key]
  end
  return values
end

--- Whether a family can be trained on some data; nil, and why not.
---@param family Family
---@param data { items: integer }
---@return true?
---@return string? why
function families.fits(family, data)
  if family.items and data.items > family.items then
    return nil, ("it holds a matrix of items by items, made for at most %s items; there are %s"):format(
      text.count(family.items), text.count(data.items))
  end
  return true
end

return families

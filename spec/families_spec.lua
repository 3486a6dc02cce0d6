--- What every model of models/ must do: train, be better than popularity where it can, be the same after it was
--- saved, be served with the scores that it was evaluated by, have something to say to somebody new or tell that it has
--- not, go on after a kill to the same bits, and give equal bits with one thread and two.
---
--- The sample is made here: films of six kinds, of which each user likes two, some films more than others; who watched
--- a film most often watches its sequel next. The news sample would not do for all: most of its items are new, of which
--- a model of ids knows nothing, and popularity by the hour is hard to beat without freshness.

local base = require "recsys.base"
local checkpoint = require "recsys.train.checkpoint"
local command = require "spec.support.command"
local data = require "recsys.data"
local evaluate = require "recsys.evaluate"
local feature = require "recsys.feature"
local frame = require "recsys.frame"
local http = require "recsys.http"
local job = require "recsys.job"
local json = require "recsys.json"
local lfs = require "lfs"
local log = require "recsys.log"
local lookup = require "recsys.lookup"
local operation = require "recsys.serve.operation"
local reference = require "recsys.evaluate.reference"
local registry = require "recsys.registry"
local store = require "recsys.store"
local tensor = require "recsys.tensor"
local train = require "recsys.train"

--- A family: `kind`, the file in models/; `label` where there are several of a kind; `features` of those below, `model`
--- and `train` as of a recipe; and
---   gain     its NDCG@10 is at least so many times popularity's; or
---   no_gain  why it cannot be better
---   new      who is new is answered by his "history", or by "popularity", which the answer says
local families = {
  { kind = "mf", features = "ids", model = { dim = 8 }, train = { learning_rate = 0.03 }, gain = 1.5,
    new = "popularity" },
  { kind = "catalogue_mf", features = "ids", model = { dim = 8, similarity = "cosine", temperature = 0.2, bias = true,
    loss = "softmax", negatives = 0 }, train = { by = "user", batch = 32, learning_rate = 0.1 }, gain = 1.5,
    new = "popularity" },
  { kind = "pairwise_mf", label = "BPR", features = "ids", model = { dim = 8, loss = "bpr", among = 4, decay = 0.01 },
    train = { learning_rate = 0.05 }, gain = 1.5, new = "popularity" },
  { kind = "pairwise_mf", label = "WARP", features = "ids", model = { dim = 8, loss = "warp", decay = 0.01 },
    train = { learning_rate = 0.03 }, gain = 1.5, new = "popularity" },
  { kind = "light_gcn", features = "ids", model = { dim = 8, layers = 2, temperature = 0.2, loss = "softmax",
    negatives = 0, spectral = true }, train = { by = "user", batch = 64, learning_rate = 0.05 }, gain = 1.5,
    new = "popularity" },
  { kind = "ultra_gcn", features = "ids", model = { dim = 8, negatives = 30, emphasis = 10.0, decay = 0.1 },
    train = { learning_rate = 0.05 }, gain = 1.5, new = "popularity" },
  { kind = "factorisation_machine", label = "softmax", features = "all", model = { dim = 8, loss = "softmax" },
    train = { learning_rate = 0.03 }, gain = 1.5, new = "history" },
  { kind = "factorisation_machine", label = "log loss", features = "all", model = { dim = 8, loss = "log",
    negatives = 4 }, train = { learning_rate = 0.03 }, gain = 1.5, new = "history" },
  { kind = "popularity", features = "ids", no_gain = "it is what the others are held against", new = "popularity" },
  { kind = "ease", features = "known", model = { l2 = 20.0, precision = "f32", keep = 0 }, gain = 1.5,
    new = "history" },
  { kind = "ease", label = "with few weights", features = "known", model = { l2 = 20.0, precision = "f64", keep = 20 },
    gain = 1.5, new = "history" },
  { kind = "ials", label = "exact", features = "known", model = { dim = 8, unobserved = 0.1, regularization = 0.01,
    scaling = 1 }, gain = 1.5, new = "history" },
  { kind = "ials", label = "conjugate gradients", features = "known", model = { dim = 8, unobserved = 0.1,
    regularization = 0.01, scaling = 1, steps = 2 }, gain = 1.5, new = "history" },
  { kind = "item_knn", label = "asymmetric cosine", features = "known", model = { k = 20, weighting = "tfidf",
    alpha = 0.7, shrink = 0.0, normalize = true }, gain = 1.5, new = "history" },
  { kind = "item_knn", label = "BM25", features = "known", model = { k = 20, weighting = "bm25", K1 = 1.2, B = 0.75 },
    gain = 1.5, new = "history" },
  { kind = "user_knn", features = "known", model = { k = 30, weighting = "tfidf" }, gain = 1.5, new = "history" },
  { kind = "slim", features = "known", model = { l1 = 0.5, l2 = 2, neighbours = 20 }, gain = 1.5, new = "history" },
  { kind = "next_item", features = "history", model = { dim = 16, hidden = { 32 }, heads = 2, dropout = 0.1 },
    train = { learning_rate = 0.01 }, gain = 1.5, new = "history" },
  { kind = "sas_rec", features = "history", model = { dim = 16, blocks = 1, heads = 2, dropout = 0.1,
    loss = "softmax", negatives = 0, temperature = 1, bias = true }, train = { by = "user", batch = 16,
    learning_rate = 0.02 }, gain = 1.5, new = "history" },
  { kind = "sas_rec", label = "gBCE", features = "history", model = { dim = 16, blocks = 1, heads = 2, dropout = 0.1,
    loss = "gbce", negatives = 20, sampling = "expected", calibration = 0.75, centred = true, temperature = 1,
    bias = true }, train = { by = "user", batch = 16, learning_rate = 0.02 }, gain = 1.5, new = "history" },
  { kind = "two_tower", features = "all", model = { dim = 16, hidden = { 32 }, dropout = 0.1, temperature = 0.2,
    bias = true, log_q = true, id_dropout = 0.1, user_dropout = 0.5 }, train = { learning_rate = 0.01 }, gain = 1.5,
    new = "history" },
  { kind = "hybrid", features = "both", model = { dim = 16, hidden = {}, dropout = 0.1, temperature = 0.2,
    share = 0.3, apart = 0.2, blocks = 1, heads = 2, sequence_dropout = 0.1, log_q = true, id_dropout = 0.1,
    user_dropout = 0.5 }, train = { by = "user", batch = 16, learning_rate = 0.01 }, gain = 1.5, new = "history" },
  { kind = "hybrid", label = "transformer alone", features = "both", model = { dim = 16, part = "transformer",
    dropout = 0.1, temperature = 0.2, blocks = 1, heads = 2, sequence_dropout = 0.1, pool = "mean", log_q = true },
    train = { learning_rate = 0.01 }, gain = 1.5, new = "history" },
  { kind = "multi_task", features = "all", model = { dim = 16, hidden = { 32 }, dropout = 0, temperature = 0.2,
    dwell = "seconds", dwell_weight = 0.1, rank_dwell = 0 }, train = { learning_rate = 0.01 }, gain = 1.5,
    new = "history" },
  { kind = "engagement", features = "all", model = { dim = 16, hidden = { 32 }, dropout = 0, negatives = 2 },
    train = { learning_rate = 0.01 }, no_gain = "it has one order of items for all users", new = "history" },
}

-- The sample --------------------------------------------------------------------------------------------------------

local USERS <const>, KINDS <const>, EACH <const>, EVENTS <const> = 160, 6, 10, 14
local ITEMS <const> = KINDS * EACH
local DAY <const> = 86400000

--- A film that a user has not watched: the sequel of his last one, or one of the two kinds he likes, by their order.
local function next_film(draw, watched, last, kinds)
  local sequel = last and (last % EACH < EACH - 1) and last + 1
  if sequel and not watched[sequel] and draw(10) < 6 then return sequel end
  for _ = 1, 200 do
    local kind = draw(10) == 0 and draw(KINDS) or kinds[1 + draw(2)]
    local film = kind * EACH + math.min(draw(EACH), draw(EACH))
    if not watched[film] then return film end
  end
end

local function films()
  local ids, genres = {}, {}
  for i = 0, ITEMS - 1 do ids[i + 1], genres[i + 1] = "i" .. i, "g" .. i // EACH end
  return frame.from { { "item", "string", ids }, { "genre", "string", genres } }
end

local function sample()
  local stream, at = base.stream(31, "user", 0, 1), 0
  local function draw(n)
    at = at + 1
    return stream:below(at, n)
  end
  local rows = {}
  for u = 0, USERS - 1 do
    local watched, last, kinds = {}, nil, { u % KINDS, (u // KINDS) % KINDS }
    for k = 1, EVENTS do
      last = next_film(draw, watched, last, kinds)
      watched[last] = true
      rows[#rows + 1] = { user = "u" .. u, item = "i" .. last, time = 400 * DAY + k * DAY + u * 60000 }
    end
  end
  table.sort(rows, function(a, b) return a.time < b.time end)
  local columns = { user = {}, item = {}, time = {}, strength = {}, seconds = {} }
  for i, row in ipairs(rows) do
    columns.user[i], columns.item[i], columns.time[i] = row.user, row.item, row.time
    columns.strength[i], columns.seconds[i] = 1 + i % 3, 10 + i % 100
  end
  return (data.new { name = "films", fingerprint = ("f"):rep(64), origin = {}, items = films(),
    interactions = frame.from { { "user", "string", columns.user }, { "item", "string", columns.item },
      { "time", "time", columns.time }, { "strength", "number", columns.strength },
      { "seconds", "number", columns.seconds } } })
end

local features = {
  ids = { user = { feature.id { "user" } }, item = { feature.id { "item" } } },
  history = { user = { feature.id { "user" } }, event = { feature.history { of = "id", length = 8 } },
    item = { feature.id { "item" } } },
  known = { user = { feature.id { "user" } }, event = { feature.history { of = "id", length = 30, name = "known" } },
    item = { feature.id { "item" } } },
  all = { user = { feature.id { "user" } }, event = { feature.history { of = "id", length = 8 } },
    item = { feature.id { "item" }, feature.category { "genre" } } },
  both = { user = { feature.id { "user" } }, event = { feature.history { of = "id", length = 8 },
    feature.history { of = "id", length = 8, name = "sequence_id", unknown = "keep" },
    feature.history { of = "genre", length = 8, name = "sequence_genre", unknown = "keep", each = 1 } },
    item = { feature.id { "item" }, feature.category { "genre" } } },
}

-- What all are asked ------------------------------------------------------------------------------------------------

local dataset, split, encoders, folder, client
local level, new_checkpoint = log.level, checkpoint.new

local function settings_of(family)
  local settings = { epochs = 12, batch = 128, patience = 12, warmup = 0.2, metric = "ndcg_10" }
  for name, value in pairs(family.train or {}) do settings[name] = value end
  return settings
end

local function config_of(family)
  local config = { kind = family.kind }
  for name, value in pairs(family.model or {}) do config[name] = value end
  return config
end

--- Train a family; options: checkpoint, report, epochs.
local function fit(family, options)
  options = options or {}
  local settings, definition = settings_of(family), (lookup.model(family.kind))
  settings.epochs = options.epochs or settings.epochs
  return train.fit(definition, { kind = family.kind, config = config_of(family), train = settings,
    encoder = encoders[family.features], data = dataset, split = split:selection(), metric = "ndcg_10", seed = 3,
    checkpoint = options.checkpoint, report = options.report })
end

local function bits(trained)
  local found = {}
  for name, weight in pairs(trained.weights) do found[name] = frame.hash(weight) end
  return found
end

--- Scores of some queries or of all users as of now, [n, items], as an evaluation takes them.
local function scores_of(scorer, n)
  if type(scorer) == "function" then return scorer(1, n) end
  if scorer.columns then
    return scorer.users(1, n):transpose(1, 2):index_select(scorer.columns):transpose(1, 2):contiguous()
  end
  return tensor.matmul(scorer.users, scorer.items, false, true)
end

local function queries() return evaluate.protocol_leave_last_out(dataset, split):queries "valid" end

local function scorer_for(trained, asked)
  return job.scorer(trained, job.inputs(trained.encoder, dataset, split:selection(), asked))
end

--- The scorer of all users just after the last event, as job.recommend has it; items: their features, default of all.
local function scorer_now(trained, items)
  local encoder, now = trained.encoder, dataset.interactions:column("time"):max() + 1
  items = items or encoder:encode_items_at(dataset, now)
  return job.scorer(trained, { users = encoder:encode_users(dataset.users), items = items,
    user_rows = tensor.arange(dataset.users:rows()),
    events = encoder:encode_users_at(dataset, nil, now, { items = items }) })
end

local function ndcg(scorer) return evaluate.metric(queries(), scorer, "ndcg_10") end

--- Serve a model while fn(post) asks it.
local function served(trained, fn)
  local path = assert(registry.publish { name = "family", dir = folder .. "/models", model = trained,
    dataset = dataset, history = trained.encoder:sequences(dataset),
    as_of = dataset.interactions:column("time"):max() + 1, metrics = {} })
  local opened = operation.open { word = path, port = 0, workers = 1, poll = 0 }
  local ok, problem = pcall(fn, function(request)
    local reply = assert(client:request { method = "POST", url = opened:url() .. "/recommend",
      body = json.encode(request), headers = { ["Content-Type"] = "application/json" } })
    assert.equal(200, reply.status, reply.body)
    return json.decode(reply.body)
  end)
  opened:close()
  if not ok then error(problem, 0) end
end

--- Item row from 1 of an id.
local function row_of(id) return tonumber(id:match "%d+") + 1 end

local function check_answers(family, trained, post)
  local expected = scores_of(scorer_now(trained), dataset.users:rows())
  for u = 1, dataset.users:rows(), 29 do
    local answer = post { user = dataset.users:text("user", u), k = ITEMS, exclude_seen = false }
    assert.equal(json.null, answer.fallback)
    assert.equal(ITEMS, #answer.items)
    for _, item in ipairs(answer.items) do
      local score = expected:get(u, row_of(item.id))
      assert.near(score, item.score, 1e-5 * math.max(1, math.abs(score)), family.kind)
    end
  end
end

--- Somebody new, with a session of the films that open the third kind.
local function check_new(family, post)
  local answer = post { user = "nobody", k = 10, history = json.list { "i20", "i21", "i22" } }
  assert.is_false(answer.known)
  assert.equal(10, #answer.items)
  if family.new == "popularity" then
    assert.equal("unknown_user", answer.fallback, "it must say that it does not know him")
    return
  end
  assert.equal(json.null, answer.fallback)
  if family.no_gain then return end
  local like = 0
  for rank = 1, 5 do
    if (row_of(answer.items[rank].id) - 1) // EACH == 2 then like = like + 1 end
  end
  assert.is_true(like >= 2, ("%d of 5 are like what he watched"):format(like))
end

describe("the families of models", function()
  setup(function()
    log.level = "quiet"
    folder, client = command.temporary(), assert(http.client { timeout_ms = 20000 })
    dataset = sample()
    split = data.split_leave_last_out(dataset)
    encoders = {}
    for name, declared in pairs(features) do encoders[name] = feature.fit(dataset, split.train, declared) end
    checkpoint.new = function(...) -- one after every step
      local made = new_checkpoint(...)
      made.is_due = function() return true end
      return made
    end
  end)

  teardown(function()
    log.level, checkpoint.new = level, new_checkpoint
    client:close()
    command.remove(folder)
  end)

  it("are all of models/", function()
    local named = {}
    for _, family in ipairs(families) do named[family.kind] = true end
    for file in lfs.dir "models" do
      local kind = file:match "^([%w_]+)%.lua$"
      assert.is_true(kind == nil or named[kind], tostring(kind) .. " has no entry in spec/families_spec.lua")
    end
  end)

  for i, family in ipairs(families) do
    local name = family.label and ("%s, %s,"):format(family.kind, family.label) or family.kind

    describe(name, function()
      local trained

      setup(function()
        base.threads(1)
        trained = fit(family)
      end)

      teardown(function() trained = nil end)

      it("trains, and is better than popularity where it can be", function()
        for _, row in ipairs(trained.curves) do
          assert.is_true(row["train/loss"] == nil or row["train/loss"] == row["train/loss"])
        end
        local own, popular = ndcg(scorer_for(trained, queries())), ndcg(reference.popularity(queries()))
        if family.no_gain then
          local first, last = trained.curves[1]["train/loss"], trained.curves[#trained.curves]["train/loss"]
          assert.is_true(first and last < first or own > 0.98 * popular, family.no_gain)
        else
          assert.is_true(own >= family.gain * popular, ("%.4f, popularity %.4f"):format(own, popular))
        end
      end)

      it("has the same scores when it was saved and loaded", function()
        local place = ("%s/saved-%d"):format(folder, i)
        store.save(place, trained)
        local again, asked = store.load(place), queries()
        assert.equal(scores_of(scorer_for(trained, asked), asked.n):to_string(),
          scores_of(scorer_for(again, asked), asked.n):to_string())
      end)

      it("is served with the scores of the evaluation, and answers who is new", function()
        served(trained, function(post)
          check_answers(family, trained, post)
          check_new(family, post)
        end)
      end)

      if family.features == "ids" then
        it("does not like by chance an item that it never met", function()
          local users, items = dataset.users, frame.from { { "item", "string", { "unheard of" } } }
          local met = scores_of(scorer_now(trained), users:rows())
          local unmet = scores_of(scorer_now(trained, trained.encoder:encode_items(items)), users:rows())
          local neutral = family.kind == "pairwise_mf" and met:mean(2) or tensor.zeros(users:rows())
          assert.is_true((unmet:reshape(-1) - neutral):abs():max() < 1e-4)
        end)
      end

      it("goes on behind a kill between epochs to the same bits", function()
        local place = ("%s/kept-%d"):format(folder, i)
        local last = #trained.curves
        assert.has_error(function()
          fit(family, { checkpoint = { folder = place, resumed = true },
            report = function(epoch) if epoch == math.min(3, last) then error("killed", 0) end end })
        end)
        local resumed = fit(family, { checkpoint = { folder = place, resumed = true, named = last > 2 } })
        assert.same(bits(trained), bits(resumed))
        assert.equal(last, #resumed.curves)
      end)

      it("has equal bits with two threads", function()
        base.threads(2)
        local two = fit(family)
        base.threads(1)
        assert.same(bits(trained), bits(two))
      end)
    end)
  end
end)

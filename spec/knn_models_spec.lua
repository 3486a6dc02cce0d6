--- models/item_knn.lua and models/user_knn.lua beside their formulas worked out with dense matrices.

local data = require "recsys.data"
local exit = require "recsys.exit"
local feature = require "recsys.feature"
local frame = require "recsys.frame"
local base = require "recsys.base"
local log = require "recsys.log"
local lookup = require "recsys.lookup"
local model = require "recsys.model"
local tensor = require "recsys.tensor"
local train = require "recsys.train"

local USERS <const>, ITEMS <const>, EVENTS <const> = 40, 25, 9
local level = log.level

--- Users who take some items, now and then one again.
local function dataset()
  local stream, columns = base.stream(8, "user", 1, 1), { user = {}, item = {}, time = {} }
  for k = 1, EVENTS do
    for u = 1, USERS do
      local at = #columns.user
      columns.user[at + 1] = "u" .. u
      columns.item[at + 1] = "i" .. math.min(stream:below(2 * at + 1, ITEMS), stream:below(2 * at + 2, ITEMS))
      columns.time[at + 1] = (k * USERS + u) * 1000
    end
  end
  return (data.new { name = "pairs", fingerprint = ("a"):rep(64), origin = {},
    interactions = frame.from { { "user", "string", columns.user }, { "item", "string", columns.item },
      { "time", "time", columns.time } } })
end

local function fit(kind, config, all, length)
  config.kind = kind
  local split = data.split_leave_last_out(all)
  local encoder = feature.fit(all, split.train, { user = { feature.id { "user" } }, item = { feature.id { "item" } },
    event = { feature.history { of = "id", length = length or 30, name = "known" } } })
  return train.fit(lookup.model(kind), { kind = kind, config = config, train = { epochs = 1 }, encoder = encoder,
    data = all, split = split:selection(), metric = "ndcg_10", seed = 1 }), split
end

--- What users know at the end of training, users x codes, dense f64, and their rows of scores.
local function known_and_scores(trained, all, split)
  local encoder = trained.encoder
  local at = feature.rows(all)
  local codes = encoder:encode_items(all.items):gather(at.items:index_select(split.train))["item.id"]:to "i64"
  local width = encoder:inputs "item"[1].rows
  local x = tensor.zeros(USERS, width, "f64")
  local user_rows = at.users:index_select(split.train)
  for i = 1, #codes do x:set(user_rows:get(i) + 1, codes:get(i) + 1, 1) end
  local times = all.interactions:column "time"
  local moment = times:index_select(split.train):max() + 1
  local events = encoder:encode_users_at(all, nil, moment, { log = split.train })
  return x, trained:user_vectors(encoder:encode_users(all.users), events, tensor.arange(0, USERS, "i64")):to "f64"
end

local function row(m, i) return m:narrow(1, i, 1) end

--- Rows of x weighed as recsys.solve says, in f64; also each column's idf, or 1.
local function weighed(x, weighting, K1, B)
  local n, d = x:size(1), x:size(2)
  local filled, df, out, part = 0, {}, x:clone(), {}
  for c = 1, d do df[c] = x:narrow(2, c, 1):sum() end
  for r = 1, n do if row(x, r):sum() > 0 then filled = filled + 1 end end
  local mean = x:sum() / filled
  for c = 1, d do
    part[c] = weighting == "cosine" and 1 or math.log(filled) - math.log(1 + df[c])
    for r = 1, n do
      local v = x:get(r, c)
      if v > 0 and weighting == "bm25" then
        v = v * (K1 + 1) / (v + K1 * (1 - B + B * row(x, r):sum() / mean))
      end
      out:set(r, c, v * part[c])
    end
  end
  return out, part
end

--- Keep the k largest above 0 of a list, the first of equal ones.
local function keep(values, k)
  local order = {}
  for i, value in ipairs(values) do if value > 0 then order[#order + 1] = i end end
  table.sort(order, function(a, b) return values[a] > values[b] or values[a] == values[b] and a < b end)
  local kept = {}
  for i = 1, #values do kept[i] = 0 end
  for i = 1, math.min(k, #order) do kept[order[i]] = values[order[i]] end
  return kept
end

local function similarities(w, norms, shrink)
  local s = w:matmul(w:transpose(1, 2))
  for a = 1, s:size(1) do
    for b = 1, s:size(2) do
      local length = norms and norms[a] * norms[b] + shrink or 1
      s:set(a, b, s:get(a, b) == 0 and 0 or s:get(a, b) / length)
    end
  end
  return s
end

local function lengths(w)
  local list = {}
  for r = 1, w:size(1) do list[r] = (row(w, r) * row(w, r)):sum() ^ 0.5 end
  return list
end

describe("models of neighbours", function()
  local all
  setup(function()
    log.level = "quiet"
    all = dataset()
  end)
  teardown(function() log.level = level end)

  for _, of in ipairs { { weighting = "cosine" }, { weighting = "cosine", shrink = 3 }, { weighting = "tfidf" },
    { weighting = "bm25", K1 = 1.5, B = 0.5 } } do
    it(("add the similarities of items known, %s, shrink %s"):format(of.weighting, of.shrink or 0), function()
      local k = 6
      local trained, split = fit("item_knn", { k = k, weighting = of.weighting, K1 = of.K1, B = of.B,
        shrink = of.shrink }, all)
      local x, scores = known_and_scores(trained, all, split)
      local w = weighed(x:transpose(1, 2):contiguous(), of.weighting, of.K1, of.B)
      local s = similarities(w, of.weighting ~= "bm25" and lengths(w), of.shrink or 0)
      local near = {}
      for i = 1, s:size(1) do
        s:set(i, i, 0)
        near[i] = keep(row(s, i):reshape(-1):tolist(), k)
      end
      local wanted = x:matmul(tensor.new(near, "f64"))
      assert.is_true((wanted - scores):abs():max() < 1e-4 * math.max(1, wanted:max()))
    end)
  end

  for _, of in ipairs { { weighting = "cosine" }, { weighting = "tfidf" },
    { weighting = "bm25", K1 = 1.5, B = 0.5 } } do
    it("let the most similar users vote, " .. of.weighting, function()
      local k = 7
      local trained, split = fit("user_knn", { k = k, weighting = of.weighting, K1 = of.K1, B = of.B }, all)
      local x, scores = known_and_scores(trained, all, split)
      local w, part = weighed(x, of.weighting, of.K1, of.B)
      local asked = x:clone()
      for c = 1, x:size(2) do
        for u = 1, USERS do asked:set(u, c, x:get(u, c) * part[c]) end
      end
      local alike = asked:matmul(w:transpose(1, 2))
      local norms, kept = lengths(w), {}
      for u = 1, USERS do
        local values = row(alike, u):reshape(-1):tolist()
        for v = 1, USERS do values[v] = of.weighting == "bm25" and values[v] or values[v] / norms[v] end
        kept[u] = keep(values, k)
      end
      -- of equally similar users the arithmetic may choose others: sums of the votes are compared where none are
      local wanted = tensor.new(kept, "f64"):matmul(x)
      local off = (wanted - scores):abs():gt(1e-4 * math.max(1, wanted:max())):to("f64"):sum(2):gt(0):to("f64"):sum()
      assert.is_true(off <= 2, ("%d of %d users have other scores"):format(off, USERS))
    end)
  end

  it("score an item that training has not met, and code 0, with 0", function()
    for _, kind in ipairs { "item_knn", "user_knn" } do
      local trained, split = fit(kind, { k = 5, weighting = "cosine" }, all)
      local _, scores = known_and_scores(trained, all, split)
      assert.equal(0, scores:narrow(2, 1, 1):abs():max(), kind)
      assert.is_true(getmetatable(trained) == model.Model)
    end
  end)

  it("say what they cannot do", function()
    local function said(kind, config)
      local ok, problem = pcall(fit, kind, config, all)
      assert.is_false(ok)
      return exit.message_of(problem)
    end
    assert.truthy(said("user_knn", { k = 5, weighting = "cosine", shrink = 2 }):find("has no shrink", 1, true))
    assert.truthy(said("item_knn", { k = 5, weighting = "jaccard" }):find("weighting", 1, true))
  end)
end)

--- Batches of users, the losses over a catalogue as models choose them, the graph, and the models that use these.

local autograd = require "recsys.autograd"
local base = require "recsys.base"
local by_user = require "recsys.train.by_user"
local data = require "recsys.data"
local feature = require "recsys.feature"
local frame = require "recsys.frame"
local graph = require "recsys.towers.graph"
local job = require "recsys.job"
local log = require "recsys.log"
local lookup = require "recsys.lookup"
local loss = require "recsys.loss"
local nn = require "recsys.nn"
local tensor = require "recsys.tensor"

local function i64(list) return tensor.new(list, "i64") end

--- 60 users and 30 items in three blocks: user u meets eight of the ten items of its block, in an order of its own.
local function blocks()
  local users, items, times = {}, {}, {}
  for u = 0, 59 do
    for k = 0, 7 do
      users[#users + 1], items[#items + 1] = "u" .. u, "i" .. (u % 3) * 10 + (u * 3 + k) % 10
      times[#times + 1] = #times * 1000
    end
  end
  return data.new { name = "blocks", fingerprint = ("0"):rep(64), origin = {},
    interactions = frame.from { { "user", "string", users }, { "item", "string", items }, { "time", "time", times } } }
end

local ids = { user = { feature.id { "user" } }, item = { feature.id { "item" } } }

describe("batches of users", function()
  it("hold all rows of some users, in order", function()
    local groups = by_user.groups { user_rows = i64 { 2, 0, 2, 5, 0, 2 } }
    assert.equal(3, groups.n)
    local last, starts, rows = by_user.pick(groups, i64 { 1, 0 })
    assert.same({ 5, 4 }, last:tolist())
    assert.same({ 0, 3, 5 }, starts:tolist())
    assert.same({ 0, 2, 5, 1, 4 }, rows:tolist())
  end)
end)

describe("a loss over the catalogue", function()
  local n, m, d = 3, 6, 4
  local users, items = base.stream(1, "user", 0, 0):normals(n * d), base.stream(2, "user", 0, 0):normals(m * d)
  users, items = users:to "f32":reshape(n, d), items:to "f32":reshape(m, d)
  local starts, positives = i64 { 0, 2, 3, 4 }, i64 { 5, 1, 1, 0 }
  local met = i64 { 1, 1, 0, 5, 5, 2 }

  local function of(config, run)
    local tape <close> = autograd.tape {}
    local step = { starts = starts, positives = positives, item_rows = i64 { 1, 1, 0 }, met = met,
      items = { rows = function() return m end }, pool = i64 { 0, 1, 2, 5 }, stream = base.stream(4, "negatives", 1, 1),
      log_shares = (met:bincount(m):to "f32":clamp(0.5, 9) / 6):log() }
    local u, v = tape:input("u", users), items
    local value = loss.catalogue(config, step, u, function(rows) return tape:input(nil, v:index_select(rows)) end)
    return run(tape, u, step, value:item())
  end

  it("of all items is that of recsys.nn", function()
    for name, options in pairs { softmax = { smoothing = 0.1 }, contrastive = { margin = 0.2, emphasis = 3 },
      bilateral = { emphasis = 1.2, positive_temperature = 0.25 }, gbce = { calibration = 0.5 } } do
      local config = { loss = name, negatives = 0, temperature = 0.5 }
      for key, value in pairs(options) do config[key] = value end
      of(config, function(tape, u, _, value)
        local op = ({ softmax = "catalogue_softmax", bilateral = "bilateral_softmax", gbce = "gbce",
          contrastive = "cosine_contrastive" })[name]
        local given = { users = u, items = tape:input(nil, items), starts = starts, positives = positives,
          smoothing = options.smoothing, margin = options.margin, emphasis = options.emphasis,
          positive_temperature = options.positive_temperature and options.positive_temperature / 0.5,
          beta = name == "gbce" and loss.gbce_beta(1, 0.5) or nil }
        assert.equal(nn[op](given):item(), value)
      end)
    end
  end)

  it("of a sample is against what was drawn, corrected by how often it is drawn", function()
    for sampling, log_q in pairs { uniform = function() return math.log(5 / 4) end,
      popularity = function(step, row) return math.log(5) + step.log_shares:get(row + 1) end } do
      of({ loss = "softmax", negatives = 5, temperature = 1, sampling = sampling }, function(_, _, step, value)
        local again = base.stream(4, "negatives", 1, 1)
        local pool = sampling == "uniform" and step.pool or met
        local drawn = pool:index_select(again:integers(5, #pool)):tolist()
        local scores, total = users:matmul(items, false, true), 0
        local own = { { 5, 1 }, { 1 }, { 0 } }
        for u, list in ipairs(own) do
          local sum = 0
          for _, row in ipairs(drawn) do
            local hit = row == list[1] or row == list[2]
            if not hit then sum = sum + math.exp(scores:get(u, row + 1) - log_q(step, row)) end
          end
          for _, p in ipairs(list) do
            local s = scores:get(u, p + 1)
            total = total + math.log(math.exp(s) + sum) - s
          end
        end
        assert.is_true(math.abs(value - total / 4) < 1e-5)
      end)
    end
  end)

  it("counts users alike when balanced", function()
    of({ loss = "softmax", negatives = 0, temperature = 1, balance = 1 }, function(tape, u, _, value)
      local given = { users = u, items = tape:input(nil, items), starts = starts, positives = positives,
        weights = tensor.new { 2 / 3, 2 / 3, 4 / 3, 4 / 3 } }
      assert.is_true(math.abs(nn.catalogue_softmax(given):item() - value) < 1e-6)
    end)
  end)

  it("counts late positives for more where it is told to", function()
    local config = { loss = "softmax", negatives = 0, temperature = 1, recency = { span = 2, floor = 0.25 } }
    of(config, function(tape, u, _, value)
      local early = 0.25 + 0.75 * math.exp(-1 / 2)
      local weights = tensor.new { early, 1, 1, 1 }
      local given = { users = u, items = tape:input(nil, items), starts = starts, positives = positives,
        weights = weights:mul_(4 / (early + 3)) }
      assert.is_true(math.abs(nn.catalogue_softmax(given):item() - value) < 1e-6)
    end)
  end)

  it("trains gBCE's scores less a constant where it is centred", function()
    of({ loss = "gbce", negatives = 0, temperature = 1, calibration = 1, centred = true }, function(tape, u, _, value)
      local given = { users = u, items = tape:input(nil, items), starts = starts, positives = positives, beta = 1,
        log_q = tensor.full(math.log(m), m) }
      assert.is_true(math.abs(nn.gbce(given):item() - value) < 1e-6)
    end)
  end)

  it("of gBCE has no noise of a draw where negatives are those expected", function()
    local k, t = 3, 0.5
    local share = k / (m - 1)
    of({ loss = "gbce", negatives = k, sampling = "expected", temperature = 1, calibration = t },
      function(tape, u, _, value)
        local given = { users = u, items = tape:input(nil, items), starts = starts, positives = positives }
        local scores, beta, total = users:matmul(items, false, true), loss.gbce_beta(share, t), 0
        for row, list in ipairs { { 5, 1 }, { 1 }, { 0 } } do
          local own, negatives = {}, m - #list
          for _, p in ipairs(list) do own[p] = true end
          for _, p in ipairs(list) do
            local sum = beta * math.log(1 + math.exp(-scores:get(row, p + 1)))
            for j = 0, m - 1 do
              if not own[j] then sum = sum + share * math.log(1 + math.exp(scores:get(row, j + 1))) end
            end
            total = total + sum / share / (negatives + 1)
          end
        end
        assert.is_true(math.abs(value - total / 4) < 1e-5)
        given.beta = beta / share
        assert.is_true(math.abs(nn.gbce(given):item() - value) < 1e-6)
      end)
  end)

  it("of the bilateral softmax counts items as often as training meets them where it is told to", function()
    for _, rivals in ipairs { "negatives", "all" } do
      of({ loss = "bilateral", negatives = 0, sampling = "popularity", temperature = 1, emphasis = 1.5,
        positive_temperature = 100, rivals = rivals }, function(_, _, step, value)
        local scores, total = users:matmul(items, false, true), 0
        for row, list in ipairs { { 5, 1 }, { 1 }, { 0 } } do
          local own, sum, mean = {}, 0, 0
          for _, p in ipairs(list) do own[p] = rivals == "negatives" end
          for j = 0, m - 1 do
            if not own[j] then
              sum = sum + math.exp(step.log_shares:get(j + 1)) * math.exp(scores:get(row, j + 1))
            end
          end
          for _, p in ipairs(list) do mean = mean + math.exp(scores:get(row, p + 1) / 100) / #list end
          total = total + #list * (1.5 * math.log(sum) - math.log(mean))
        end
        assert.is_true(math.abs(value - total / 4) < 1e-5)
      end)
    end
  end)

  it("calibrates as the paper's formula", function()
    assert.is_true(math.abs(loss.gbce_beta(0.1, 0) - 1) < 1e-12)
    assert.is_true(math.abs(loss.gbce_beta(0.1, 1) - 0.1) < 1e-12)
  end)

  it("that is not known is refused by name", function()
    local ok, problem = pcall(loss.catalogue, { loss = "softmx" }, {}, nil, nil)
    assert.is_false(ok)
    assert.equal("usage", problem.code)
    assert.equal("model.loss is 'softmx'; there are softmax, bilateral, contrastive, gbce", problem.message)
    ok, problem = pcall(loss.catalogue, { loss = "softmax", sampling = "expected", negatives = 9 }, {}, nil, nil)
    assert.is_false(ok)
    assert.equal("usage", problem.code)
    assert.matches("'expected', which is of model.loss 'gbce'", problem.message)
    for name, negatives in pairs { softmax = 0, bilateral = 9 } do
      ok, problem = pcall(loss.catalogue, { loss = name, rivals = "all", negatives = negatives }, {}, nil, nil)
      assert.is_false(ok)
      assert.equal("usage", problem.code)
      assert.matches("model.rivals is 'all'", problem.message)
    end
  end)
end)

describe("the graph of training rows", function()
  local user, item = { name = "user.id", rows = 4 }, { name = "item.id", rows = 3 }
  local function features(name, codes)
    local t = tensor.new(codes, "i32")
    return { rows = function() return #t end, gather = function(_, rows) return { [name] = t:index_select(rows) } end }
  end
  local training = { users = features("user.id", { 1, 2, 3 }), items = features("item.id", { 1, 2 }),
    user_rows = i64 { 0, 2, 0, 1 }, item_rows = i64 { 1, 0, 0, 1 } }
  local made = graph.new(training, user, item)

  it("weighs edges by the roots of both degrees, and averages over them", function()
    local dense = tensor.zeros(7, 7)
    for _, edge in ipairs { { 1, 2, 2, 2 }, { 3, 1, 1, 2 }, { 1, 1, 2, 2 }, { 2, 2, 1, 2 } } do
      local u, i, weight = edge[1] + 1, edge[2] + 5, 1 / math.sqrt(edge[3] * edge[4])
      dense:set(u, i, weight)
      dense:set(i, u, weight)
    end
    assert.is_true((made.matrix:dense() - dense):abs():max() < 1e-6)
    local tape <close> = autograd.tape {}
    local x = base.stream(3, "user", 0, 0):normals(14):to "f32":reshape(7, 2)
    local users, items = made:propagate(tape:input("x", x), 2)
    local once = dense:matmul(x)
    local mean = (x + once + dense:matmul(once)) / tensor.full(3, 1)
    assert.is_true((users:value() - mean:narrow(1, 1, 4)):abs():max() < 1e-6)
    assert.is_true((items:value() - mean:narrow(1, 5, 3)):abs():max() < 1e-6)
  end)

  it("begins at the singular vectors of its edges", function()
    local start = made:spectral(2, 0.1, 1)
    local edges = made.matrix:dense():narrow(1, 1, 4):narrow(2, 5, 3)
    local product = start:narrow(1, 1, 4):matmul(start:narrow(1, 5, 3), false, true)
    local scale = (product * edges):sum() / (product * product):sum()
    assert.is_true((product:mul_(scale) - edges):abs():max() < 1e-3) -- the edges have rank 2
    assert.is_true(math.abs(math.sqrt((start * start):mean()) - 0.1) < 1e-6)
  end)

  it("names an input that is not there", function()
    assert.has_error(function() graph.new(training, { name = "user.group", rows = 4 }, item) end,
      "the features have no 'user.group'; it is what the graph's nodes are")
  end)
end)

describe("the models over the catalogue", function()
  local dataset, split, encoder

  local level = log.level
  teardown(function() log.level = level end)

  setup(function()
    log.level = "quiet"
    dataset = blocks()
    split = data.split_leave_last_out(dataset)
    encoder = feature.fit(dataset, split.train, ids)
  end)

  local function train(model, more)
    local p = { model = model, eval = {}, seed = 3, train = { epochs = 25, batch = 16, by = "user",
      learning_rate = 0.1, warmup = 0, metric = "ndcg_10", patience = 25 } }
    for key, value in pairs(more or {}) do p.train[key] = value end
    return job.train(p, encoder, dataset, split)
  end

  local function best(trained)
    local value = 0
    for _, row in ipairs(trained.curves) do value = math.max(value, row["valid/ndcg_10"]) end
    return value
  end

  local function mf(more)
    local config = { kind = "catalogue_mf", dim = 8, similarity = "cosine", temperature = 0.2, bias = true,
      loss = "softmax", negatives = 0 }
    for key, value in pairs(more or {}) do config[key] = value end
    return config
  end

  it("learn which items belong to a user, by each loss, over all items and over samples", function()
    for _, name in ipairs(loss.names) do
      for _, negatives in ipairs { 0, 12 } do
        local config = mf { loss = name, negatives = negatives, emphasis = name == "contrastive" and 5 or nil,
          positive_temperature = name == "bilateral" and 2 or nil,
          temperature = name == "contrastive" and 1 or 0.2, sampling = negatives > 0 and "popularity" or nil }
        assert.is_true(best(train(config)) > 0.3, name) -- at random it is 0.19
      end
    end
  end)

  it("take batches of rows, too, and products that are no cosines", function()
    assert.is_true(best(train(mf { similarity = "dot", temperature = 1 }, { by = "row", batch = 64 })) > 0.5)
  end)

  it("may drop a share of the user's numbers in training, and none afterwards", function()
    local config = mf { dropout = 0.3 }
    local trained = train(config)
    assert.is_true(best(trained) > 0.3)
    local function users_of(drops)
      local model = lookup.model "catalogue_mf"(mf { dropout = drops }, encoder, { seed = 4 })
      local tape <close> = autograd.tape { train = true, seed = 1, epoch = 1, step = 1 }
      return model:user(tape, encoder:encode_users(dataset.users):gather(tensor.arange(0, 60, "i64"))):value()
    end
    local whole, dropped = users_of(0), users_of(0.3)
    local share = dropped:eq(0):to("f64"):mean()
    assert.is_true(math.abs(share * 9 / 8 - 0.3) < 0.08, tostring(share)) -- of nine columns one is the bias's
    local squares = (dropped:narrow(2, 1, 8) * dropped:narrow(2, 1, 8)):sum(2)
    assert.is_true((squares - (whole:narrow(2, 1, 8) * whole:narrow(2, 1, 8)):sum(2)):abs():max() < 1e-3)
  end)

  it("train to equal bits", function()
    local first, second = train(mf { negatives = 12 }), train(mf { negatives = 12 })
    for name, weight in pairs(first.weights) do
      assert.equal(weight:to_string(), second.weights[name]:to_string())
    end
  end)

  it("average over the graph, and look the averages up afterwards", function()
    local config = { kind = "light_gcn", dim = 8, layers = 2, temperature = 0.2, loss = "softmax", negatives = 0,
      spectral = true }
    local trained = train(config)
    assert.is_true(best(trained) > 0.5)
    local nodes, rows = trained.weights["nodes.table"], trained.weights["user.vectors"]:size(1)
    local source = { users = encoder:encode_users(dataset.users), items = encoder:encode_items(dataset.items),
      user_rows = dataset:user_rows():index_select(split.train),
      item_rows = dataset:item_rows():index_select(split.train) }
    local made = graph.new(source, { name = "user.id", rows = rows },
      { name = "item.id", rows = nodes:size(1) - rows })
    local tape <close> = autograd.tape {}
    local users = made:propagate(tape:input("x", nodes), 2)
    local expected = autograd.affine(users:l2_normalize(), 1 / 0.2):value()
    assert.is_true((expected - trained.weights["user.vectors"]):abs():max() < 1e-5)
    config.spectral = false
    local plain = train(config)
    assert.is_true(best(plain) > 0.5)
    config.dropout = 0.3
    local dropped = train(config)
    assert.is_true(best(dropped) > 0.5)
    assert.is_true((plain.weights["nodes.table"] - dropped.weights["nodes.table"]):abs():max() > 1e-3)
    config.dropout = nil
    config.score = "dot"
    local product = train(config)
    local again <close> = autograd.tape {}
    local averaged = select(2, made:propagate(again:input("x", product.weights["nodes.table"]), 2)):value()
    assert.equal(0, averaged:select(1, 1):abs():max(), "code 0 has no edge here")
    assert.is_true((averaged - product.weights["item.vectors"]):abs():max() < 1e-5)
  end)

  local ultra = { kind = "ultra_gcn", dim = 8, negatives = 20, emphasis = 6.0, decay = 0.3 }

  it("learn from pairs that degrees weigh", function()
    assert.is_true(best(train(ultra, { by = "row", batch = 32 })) > 0.5)
  end)

  it("have UltraGCN's constraint loss, and a decay that an epoch spreads over the steps", function()
    local source = { users = encoder:encode_users(dataset.users), items = encoder:encode_items(dataset.items),
      user_rows = dataset:user_rows():index_select(split.train),
      item_rows = dataset:item_rows():index_select(split.train) }
    local model = lookup.model "ultra_gcn"(ultra, encoder, { seed = 4, training = source })
    local at, pool = i64 { 3, 100, 7, 3 }, i64 { 0, 4, 9, 11, 20 }
    local user_codes = source.users:gather(source.user_rows:index_select(at))["user.id"]
    local item_codes = source.items:gather(tensor.arange(0, 30, "i64"))["item.id"]
    local tape <close> = autograd.tape {}
    local step = { item_rows = source.item_rows:index_select(at), pool = pool, items = source.items,
      batch = { ["user.id"] = user_codes }, stream = base.stream(5, "negatives", 1, 1) }
    local value = model:loss(tape, step):item()
    local drawn = pool:index_select(base.stream(5, "negatives", 1, 1):integers(20, #pool)):tolist()

    local tables = { user = model.users:parameter "user.id.table":value(),
      item = model.items:parameter "item.id.table":value() }
    local function vector(side, code) return tables[side]:select(1, code + 1) end
    local function degree(rows, row) return (rows:eq(row)):sum() end
    local function softplus(x) return math.log(1 + math.exp(x)) end
    local function squares(v) return (v * v):sum() / 2 end
    local users, positives = source.user_rows:index_select(at):tolist(), step.item_rows:tolist()
    local expected, own = 0, {}
    for r, user in ipairs(users) do
      local d_u, u = degree(source.user_rows, user), vector("user", user_codes:get(r))
      local function term(item, sign)
        local s = (u * vector("item", item_codes:get(item + 1))):sum() - math.log(6)
        return math.sqrt((d_u + 1) / (degree(source.item_rows, item) + 1)) / d_u * softplus(sign * s)
      end
      local sum, count = 0, 0
      for _, item in ipairs(drawn) do
        if item ~= positives[r] then sum, count = sum + term(item, 1), count + 1 end
      end
      expected = expected + ((6 * (20 / 6 * term(positives[r], -1) + sum)) / (count + 1) + 0.3 * squares(u) / d_u) / 4
      own[positives[r]] = true
    end
    for item in pairs(own) do drawn[#drawn + 1] = item end
    for _, item in ipairs(drawn) do
      local met = degree(source.item_rows, item) + #split.train / 4 * 20 / #pool
      expected = expected + 0.3 * squares(vector("item", item_codes:get(item + 1))) / met / 4
    end
    assert.is_true(math.abs(value / expected - 1) < 1e-5, ("%.9g for %.9g"):format(value, expected))
  end)
end)

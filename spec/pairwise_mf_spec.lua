--- models/pairwise_mf.lua, and the negatives that recsys.towers.pairs draws.

local autograd = require "recsys.autograd"
local base = require "recsys.base"
local feature = require "recsys.feature"
local lookup = require "recsys.lookup"
local pairs_of = require "recsys.towers.pairs"
local tensor = require "recsys.tensor"
local tiny = require "spec.support.tiny_model"
local towers = require "recsys.towers"

local function i64(list) return tensor.new(list, "i64") end

--- 200 events of 4 users among 50 items; user u took the items u, u + 4, ..., 40 of them but for user 3, who took all.
local function events()
  local users, items, taken, stream = {}, {}, {}, base.stream(7, "negatives", 1, 1)
  for n = 0, 199 do users[n + 1], items[n + 1] = n % 4, n % 50 end
  for u = 0, 3 do
    for i = 0, 49 do
      if u == 3 or i < 40 then taken[#taken + 1] = u * 50 + i end
    end
  end
  return { user_rows = i64(users), item_rows = i64(items), pool = tensor.arange(0, 50, "i64"), stream = stream,
    items = { rows = function() return 50 end }, taken = function() return i64(taken) end }
end

--- Scores of a row: the further from item 45 the less.
local function nearness(rows, each)
  return ((rows - 45):abs() * -1):to "f32":reshape(-1, each)
end

describe("negatives of pairs", function()
  it("are none that their user took, where a second drawing can tell", function()
    local given = events()
    local first = given.pool:index_select(given.stream:integers(400, 50)):tolist()
    local rows = pairs_of.negatives(given):tolist()
    for n, user in ipairs(given.user_rows:tolist()) do
      local one, two = first[2 * n - 1], first[2 * n]
      local expected = (user == 3 or one >= 40) and one or two >= 40 and two or one
      assert.equal(expected, rows[n])
    end
  end)

  it("are, of several drawn, the one of highest score that was not taken", function()
    local given = events()
    local first = given.pool:index_select(given.stream:integers(200 * 16, 50)):tolist()
    local rows = pairs_of.negatives(given, { among = 16, score = nearness }):tolist()
    for n, user in ipairs(given.user_rows:tolist()) do
      local best
      for at = 16 * n - 15, 16 * n do
        local row = first[at]
        if user ~= 3 and row >= 40 and (not best or math.abs(row - 45) < math.abs(best - 45)) then best = row end
      end
      assert.equal(best or first[16 * n - 15], rows[n])
    end
  end)

  it("are others at each turn", function()
    local given = events()
    assert.are_not.same(pairs_of.negatives(given, { turn = 1 }):tolist(),
      pairs_of.negatives(given, { turn = 2 }):tolist())
  end)
end)

describe("what was seen", function()
  it("is each pair of codes once, in order", function()
    local dataset = tiny.dataset()
    local encoder = tiny.encoder(dataset)
    local training = { users = encoder:encode_users(dataset.users), items = encoder:encode_items(dataset.items),
      user_rows = i64 { 2, 0, 2, 0, 2 }, item_rows = i64 { 4, 1, 0, 3, 4 } }
    local seen = pairs_of.seen(training, encoder)
    local function rows(name) return towers.input(encoder, name).rows end
    assert.same({ rows "user.id", rows "item.id" }, { seen:size() })
    local users = training.users:gather(tensor.arange(0, 6, "i64"))["user.id"]
    local items = training.items:gather(tensor.arange(0, 12, "i64"))["item.id"]
    local dense, expected = seen:dense(), tensor.zeros(seen:size())
    for _, pair in ipairs { { 2, 4 }, { 0, 1 }, { 2, 0 }, { 0, 3 } } do
      expected:set(users:get(pair[1] + 1) + 1, items:get(pair[2] + 1) + 1, 1)
    end
    assert.same(expected:tolist(), dense:tolist())
  end)
end)

describe("models/pairwise_mf.lua", function()
  local dataset = tiny.dataset()
  local encoder = tiny.encoder(dataset)
  local training = { users = encoder:encode_users(dataset.users), items = encoder:encode_items(dataset.items),
    user_rows = i64 { 0, 1, 0, 2 }, item_rows = i64 { 0, 2, 1, 4 } }

  local function made(config)
    for name, value in pairs { dim = 4, decay = 0.1 } do config[name] = value end
    return lookup.model "pairwise_mf"(config, encoder, { seed = 2, training = training })
  end

  local function step_of()
    return { batch = training.users:gather(training.user_rows), items = training.items,
      item_rows = training.item_rows, user_rows = training.user_rows, pool = i64 { 0, 1, 2, 4, 7 },
      stream = base.stream(7, "negatives", 1, 1), taken = function() return i64 { 0, 1, 14, 28 } end }
  end

  it("has BPR's loss of vectors, against the negatives that pairs draw", function()
    local model = made { loss = "bpr" }
    local tape <close> = autograd.tape {}
    local users, all = model:user(tape, step_of().batch):value(), tensor.arange(0, 12, "i64")
    local items = model:item(tape, training.items:gather(all)):value()
    local drawn, expected = pairs_of.negatives(step_of()):tolist(), 0
    for n, item in ipairs { 0, 2, 1, 4 } do
      local u, p, m = users:select(1, n), items:select(1, item + 1), items:select(1, drawn[n] + 1)
      local norms = (u * u):sum() + (p * p):sum() + (m * m):sum()
      expected = expected + math.log(1 + math.exp((u * m):sum() - (u * p):sum())) / 4 + 0.1 / 2 * norms / 4
    end
    assert.near(expected, model:loss(tape, step_of()):item(), 1e-6)
  end)

  it("takes the hardest of several by its own scores", function()
    local model = made { loss = "bpr", among = 64 }
    local hardest
    local step = step_of()
    local tape <close> = autograd.tape { train = true }
    local users, items = model:user(tape, step.batch):value(), model:item(tape, step.items:gather(step.pool)):value()
    model:loss(tape, step)
    local taken = { { 0, 1 }, { 2 }, { 0, 1 }, { 4 } }
    for n = 1, 4 do -- 64 drawn of 5: each is there
      for j, row in ipairs(step.pool:tolist()) do
        local own = row == taken[n][1] or row == taken[n][2]
        local score = (users:select(1, n) * items:select(1, j)):sum()
        if not own and (not hardest or n > hardest.n or score > hardest.score) then
          hardest = { n = n, score = score, row = row }
        end
      end
      local function score(rows, each)
        local codes = training.items:gather(rows)["item.id"]
        local all = model:item(tape, { ["item.id"] = codes }):value():reshape(4, each, 4)
        return (all * users:reshape(4, 1, 4)):sum(3)
      end
      assert.equal(hardest.row, pairs_of.negatives(step_of(), { among = 64, score = score }):get(n))
    end
  end)

  it("has WARP's loss, which leaves alone what the user took", function()
    local model = made { loss = "warp", margin = 1.0, tries = 8 }
    local tape <close> = autograd.tape { train = true, seed = 1, epoch = 1, step = 1 }
    assert.is_true(model:loss(tape, step_of()):item() > 0)
    local all = step_of()
    all.pool = i64 { 0, 1 }
    all.batch, all.user_rows, all.item_rows = training.users:gather(i64 { 0 }), i64 { 0 }, i64 { 0 }
    assert.equal(0, model:loss(tape, all):item(), "user 0 took both items that could be drawn")
  end)

  it("gives who and what nobody knows the mean of those known", function()
    local model = made { loss = "bpr" }
    model:settle()
    for _, side in ipairs { "user", "item" } do
      local rows = model.table[side]:value()
      assert.is_true((rows:select(1, 1) - rows:narrow(1, 2, #rows - 1):mean(1)):abs():max() < 1e-7, side)
    end
  end)

  it("leaves to rare users and items, which share code 0, what they were trained to", function()
    local rare = feature.fit(dataset, nil, { user = { feature.id { "user", min_count = 2 } },
      item = { feature.id { "item", min_count = 2 } } })
    local source = { users = rare:encode_users(dataset.users), items = rare:encode_items(dataset.items),
      user_rows = i64 { 0, 3 }, item_rows = i64 { 2, 0 } }
    local model = lookup.model "pairwise_mf"({ dim = 4, decay = 0, loss = "bpr" }, rare, { seed = 2,
      training = source })
    local before = { user = model.table.user:value():clone(), item = model.table.item:value():clone() }
    model:settle()
    for side, rows in pairs(before) do assert.equal(0, (rows - model.table[side]:value()):abs():max(), side) end
  end)

  it("refuses weights of rows and losses that are none of its own", function()
    local step = step_of()
    step.weights = tensor.new { 1, 1, 1, 1 }
    local tape <close> = autograd.tape {}
    local model = made { loss = "bpr" }
    local _, problem = pcall(model.loss, model, tape, step)
    assert.equal("train.weight: losses by pairs count all rows alike", problem.message)
    _, problem = pcall(made, { loss = "softmax" })
    assert.equal("model.loss is 'softmax'; there are bpr, warp", problem.message)
  end)
end)

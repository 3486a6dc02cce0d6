--- What was shown and left: which items count, the loss by hand, and that the model learns from it.

local autograd = require "recsys.autograd"
local base = require "recsys.base"
local data_sources = require "recsys.data"
local feature = require "recsys.feature"
local frame = require "recsys.frame"
local ignored = require "recsys.towers.ignored"
local lookup = require "recsys.lookup"
local nn = require "recsys.nn"
local step_of = require "recsys.train.step"
local tensor = require "recsys.tensor"
local tiny = require "spec.support.tiny_model"
local train = require "recsys.train"

-- Interactions by time: u1 i1, u2 i3, u1 i2, u3 i5, u,4 i6, u1 i3, u2 i4, u3 i5, u"5 i6.
local dataset = tiny.dataset()
dataset.interactions = dataset.interactions:with("beside", "list", {
  { "i4", "i2", "i1", "i9" }, -- to u1, who takes i2 elsewhere, i1 here
  {}, { "gone", "i7" }, false, { "i6" }, { "i8" }, { "i1", "i2" }, {}, { "i10", "i11", "i12" } })

local ids = { user = { feature.id { "user" } }, item = { feature.id { "item" } } }
local encoder = feature.fit(dataset, nil, ids)

--- A step of some rows, as recsys.train prepares it.
local function step_at(rows)
  local all, at = tensor.arange(dataset.interactions:rows()), feature.rows(dataset)
  local items = encoder:encode_items(dataset.items)
  local source = { data = dataset, rows = all, n = #all, users = encoder:encode_users(dataset.users), items = items,
    events = encoder:encode_events(dataset, all, { items = items }), user_rows = at.users, item_rows = at.items,
    times = dataset.interactions:column "time", log_q = tensor.full(math.log(0.1), tiny.n_items) }
  local step = step_of.new(source, tensor.new(rows, "i64"), { pool = at.items:unique(), train = source })
  step.stream = base.stream(1, "negatives", 1, 1)
  return step
end

local all = { 0, 1, 2, 3, 4, 5, 6, 7, 8 }

describe("what was shown and left", function()
  it("is the catalogue's part of each event's list, without the event's own item", function()
    local rows = ignored.new({ ignored = "beside", ignored_most = 3 }):rows(step_at(all))
    assert.same({ { 3, 1, -1 }, { -1, -1, -1 }, { -1, 6, -1 }, { -1, -1, -1 }, { -1, -1, -1 }, { 7, -1, -1 },
      { 0, 1, -1 }, { -1, -1, -1 }, { 9, 10, 11 } }, rows:tolist())
  end)

  it("is without what the user took elsewhere in training, where that is masked", function()
    local rows = ignored.new({ ignored = "beside", ignored_most = 3, mask_seen = true }):rows(step_at { 0, 6 })
    assert.same({ { 3, -1, -1 }, { 0, 1, -1 } }, rows:tolist())
  end)

  it("is refused without such a column, and with a weight that is none", function()
    local ok, problem = pcall(function() return ignored.new({ ignored = "user" }):rows(step_at(all)) end)
    assert.is_false(ok)
    assert.matches("no list column 'user' for the loss; they have user, item, time, beside", problem)
    ok, problem = pcall(ignored.new, { ignored = "beside", ignored_weight = 0 })
    assert.is_false(ok)
    assert.equal("model.ignored_weight is 0; a number above 0 is expected", problem.message)
    assert.is_nil(ignored.new {})
  end)

  it("joins the sum of its own event alone: by hand", function()
    -- Events 0 (u1 takes i1, left i4, i2) and 8 (u"5 takes i6, left i10, i11). Users are 1 and 2, item i is i / 10.
    local step = step_at { 0, 8 }
    step.items = { gather = function(_, rows) return { number = rows + 1 } end }
    local model = { item = function(_, tape, batch)
      return tape:input(nil, (batch.number:to "f32" / 10):reshape(-1, 1))
    end }
    local tape <close> = autograd.tape { train = true }
    local users = tape:input("users", tensor.new { { 1 }, { 2 } })
    local logits = ignored.new({ ignored = "beside", ignored_most = 2, ignored_weight = 3 }):logits(tape, step, model,
      users)
    local expected = { { 0.4 + math.log(3), 0.2 + math.log(3) }, { 2.0 + math.log(3), 2.2 + math.log(3) } }
    for t = 1, 2 do
      for h = 1, 2 do assert.near(expected[t][h], logits:value():get(t, h), 1e-6) end
    end
    local loss = nn.in_batch_softmax { users = users, items = tape:input("items", tensor.new { { 0.1 }, { 0.6 } }),
      beside = logits }:item()
    local first = math.log(math.exp(0.1) + math.exp(0.6) + 3 * math.exp(0.4) + 3 * math.exp(0.2)) - 0.1
    local second = math.log(math.exp(0.2) + math.exp(1.2) + 3 * math.exp(2.0) + 3 * math.exp(2.2)) - 1.2
    assert.near((first + second) / 2, loss, 1e-6)
  end)

  it("is as of the moment of its event where items count events", function()
    local counting = feature.fit(dataset, nil, { user = { feature.id { "user" } },
      item = { feature.id { "item" }, feature.count { window = "2d", transform = "none" } } })
    local step = step_at { 0, 2, 6, 8, 5 }
    local over = counting:items_over_time(dataset, { items = counting:encode_items(dataset.items) })
    step.source.over_time, step.items = over, over:during(step.times)
    local model = { item = function(_, tape, batch) return tape:input(nil, batch["item.count_2d"]) end }
    local tape <close> = autograd.tape {}
    local own = ignored.new { ignored = "beside", ignored_most = 2 }
    local users, rows = tape:input("users", tensor.full(1, 5, 1)), own:rows(step)
    local logits, starts, differ = own:logits(tape, step, model, users):value(), over:starts(step.times), 0
    for t = 1, 5 do
      for h = 1, 2 do
        local row = rows:get(t, h)
        local count = over:at(starts:get(t)):gather(tensor.new({ math.max(row, 0) }, "i64"))["item.count_2d"]:get(1, 1)
        assert.equal(row < 0 and -math.huge or count, logits:get(t, h))
        differ = differ + (row >= 0 and count > 0 and 1 or 0)
      end
    end
    assert.is_true(differ >= 2)
  end)

  it("counts as met once in the batch where columns are corrected by how often they are met", function()
    local step = step_at(all)
    local model = { item = function(_, tape, batch) return tape:input(nil, tensor.zeros(#batch["item.id"], 1)) end }
    local tape <close> = autograd.tape {}
    local users = tape:input("users", tensor.zeros(9, 1))
    local logits = ignored.new({ ignored = "beside", ignored_most = 3, log_q = true }):logits(tape, step, model, users)
    assert.near(math.log(9), logits:value():get(1, 1), 1e-6)
    assert.equal(-math.huge, logits:value():get(2, 1))
    logits = ignored.new({ ignored = "beside", log_q = true, drawn = 5 }):logits(tape, step, model, users)
    assert.near(0, logits:value():get(1, 1), 1e-6)
    assert.is_nil(ignored.new({ ignored = "beside" }):logits(tape, step_at { 1, 3, 7 }, model, users))
  end)
end)

describe("models/two_tower.lua with what was shown and left", function()
  -- Ten users take item a or b of pairs that are always shown together: the one with the lower number.
  local function pairs_data()
    local users, items, times, beside = {}, {}, {}, {}
    for i = 0, 199 do
      local pair = i * 7 % 10
      users[#users + 1], items[#items + 1] = "u" .. i % 20, "a" .. pair
      times[#times + 1], beside[#beside + 1] = i * 60000, { "b" .. pair }
      if i % 10 == 3 then -- b is taken as well, of nothing shown beside
        users[#users + 1], items[#items + 1] = "u" .. i % 20, "b" .. i % 10 * 3 % 10
        times[#times + 1], beside[#beside + 1] = i * 60000 + 1, {}
      end
    end
    local catalogue = {}
    for i = 0, 9 do catalogue[i + 1], catalogue[i + 11] = "a" .. i, "b" .. i end
    return data_sources.new { name = "pairs", items = frame.from { { "item", "string", catalogue } },
      interactions = frame.from { { "user", "string", users }, { "item", "string", items },
        { "time", "time", times }, { "beside", "list", beside } } }
  end

  local data = pairs_data()
  local made = feature.fit(data, nil, { user = ids.user, item = ids.item })

  local function margin(changes)
    local config = setmetatable(changes, { __index = { dim = 4, hidden = {}, dropout = 0, temperature = 0.3,
      log_q = true, bias = true } })
    local trained = train.fit(lookup.model "two_tower", { kind = "two_tower", config = config, encoder = made,
      data = data, split = data_sources.split_by_time(data, { valid = 0, test = 0 }):selection(), metric = "ndcg_10",
      seed = 4, train = { epochs = 12, batch = 32, learning_rate = 0.05 } })
    local items = trained:item_vectors(made:encode_items(data.items))
    local users = trained:user_vectors(made:encode_users(data.users), made:encode_users_at(data),
      tensor.arange(data.users:rows()))
    local scores = tensor.matmul(users, items, false, true):mean(1)
    local sum = 0
    for i = 1, 10 do sum = sum + scores:get(i) - scores:get(i + 10) end
    return sum / 10, trained
  end

  it("ranks what was left below what was taken, by more than without", function()
    local without, with = margin {}, margin { ignored = "beside" }
    assert.is_true(with > without + 1, ("%g against %g"):format(with, without))
  end)

  it("gives the same bits again, with all else that a recipe may ask for", function()
    local options = { ignored = "beside", ignored_most = 2, ignored_weight = 2, hidden = { 5 }, dropout = 0.1,
      mask_seen = true, id_dropout = 0.2, hard_negatives = 2, drawn = 3 }
    local _, one = margin(options)
    local _, other = margin(options)
    for name, weight in pairs(one.weights) do
      assert.equal(weight:to_string(), other.weights[name]:to_string(), name)
      assert.is_true(weight:abs():sum() < math.huge)
    end
  end)
end)

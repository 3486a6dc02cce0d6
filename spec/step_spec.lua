--- What a loss reads of a batch: distinct users and items where nothing of the moment tells equal ones apart.
local autograd = require "recsys.autograd"
local base = require "recsys.base"
local feature = require "recsys.feature"
local step_of = require "recsys.train.step"
local tensor = require "recsys.tensor"
local tiny = require "spec.support.tiny_model"

local dataset = tiny.dataset()
local at_row = feature.rows(dataset)
local n = dataset.interactions:rows()
local all = tensor.arange(0, n, "i64")

local ids = { user = { feature.id { "user" }, feature.category { "platform" } },
  item = { feature.id { "item" }, feature.category { "kind" } } }
local moments = { user = ids.user, item = ids.item, event = { feature.history { of = "id", length = 2 } } }

--- What recsys.train prepares, in short.
local function source_of(declared)
  local encoder = feature.fit(dataset, nil, declared)
  local items = encoder:encode_items(dataset.items)
  return { n = n, users = encoder:encode_users(dataset.users), items = items,
    events = encoder:encode_events(dataset, all, { items = items }), static_users = #encoder:inputs "event" == 0,
    log_q = tensor.arange(0, -tiny.n_items, -1):to "f32",
    user_rows = at_row.users, item_rows = at_row.items, times = dataset.interactions:column "time" }, encoder
end

local life = { from = dataset.items:column "created", to = dataset.items:column "created" + 20 * tiny.day }

local function stepped(source, shared)
  local step = step_of.new(source, all, shared or {})
  step.stream = base.stream(1, "negatives", 1, 1)
  return step
end

local function model_of(kind, config, encoder)
  return dofile(("models/%s.lua"):format(kind))(config, encoder, { seed = 3 })
end

describe("a step", function()
  it("gives each distinct user and item once, and whose each event is", function()
    local step = stepped(source_of(ids))
    local users, items = step:sides()
    assert.same(step.batch["user.id"]:tolist(), users.batch["user.id"]:index_select(users.of):tolist())
    assert.equal(5, #users.batch["user.id"]) -- u6 did nothing
    assert.same(step.item_rows:tolist(), items.rows:index_select(items.of):tolist())
    assert.same(step.log_q:tolist(), items.log_q:index_select(items.of):tolist())
    assert.same(items.batch["item.id"]:tolist(), step.items:gather(items.rows)["item.id"]:tolist())
    assert.equal(6, #items.rows)
    assert.is_nil(users.now or items.from or items.to)
  end)

  it("keeps users apart whose inputs are of the moment, and items together", function()
    local step = stepped(source_of(moments))
    local users, items = step:sides()
    assert.is_nil(users.of)
    assert.equal(step.batch, users.batch)
    assert.equal(6, #items.rows)
  end)

  it("keeps users apart where items age, with the moments beside them", function()
    local step = stepped(source_of(ids), { life = life })
    local users, items = step:sides()
    assert.is_nil(users.of)
    assert.equal(step.times, users.now)
    assert.same(step.from:tolist(), items.from:index_select(items.of):tolist())
    assert.same(step.to:tolist(), items.to:index_select(items.of):tolist())
  end)

  it("keeps items apart that count events", function()
    local source = source_of(ids)
    source.over_time = { during = function() return source.items end }
    local _, items = stepped(source):sides()
    assert.is_nil(items.of)
    assert.same(source.item_rows:tolist(), items.rows:tolist())
  end)

  it("adds items that are drawn, and corrects by how often an item is met either way", function()
    local pool = tensor.new({ 2, 5, 7, 8 }, "i64")
    local _, items = stepped(source_of(ids), { pool = pool }):sides(true, 3)
    assert.equal(9, #items.rows)
    assert.equal(9, #items.batch["item.id"])
    assert.equal(n, #items.of)
    local known = {}
    for _, row in ipairs(pool:tolist()) do known[row] = true end
    for j = 1, 9 do
      local row = items.rows:get(j)
      assert.is_true(j <= 6 or known[row])
      assert.is_true(math.abs(items.log_q:get(j) - math.log(n * math.exp(-row) + 3 / 4)) < 1e-6)
    end
    local source = source_of(ids)
    source.over_time = { during = function() return source.items end }
    _, items = stepped(source, { pool = pool }):sides(true, 3)
    assert.equal(2 * n, #items.rows)
  end)

  it("keeps everything apart when it is asked to", function()
    local users, items = stepped(source_of(ids), { life = life }):sides(false)
    assert.is_nil(users.of or items.of)
    assert.equal(n, #items.rows)
    assert.equal(n, #items.log_q)
    assert.equal(n, #users.now)
  end)
end)

describe("models over distinct users and items", function()
  --- Loss and gradients of a model, with a step as it is or one that keeps everything apart.
  local function run(kind, config, declared, apart, shared)
    local source, encoder = source_of(declared)
    local model, step = model_of(kind, config, encoder), stepped(source, shared)
    local sides = step.sides
    if apart then function step.sides(self) return sides(self, false) end end
    local tape <close> = autograd.tape { train = true, seed = 5, epoch = 1, step = 1 }
    local loss, gradients = model:loss(tape, step), {}
    tape:backward(loss)
    for i, parameter in ipairs(model.parameters) do gradients[i] = parameter:grad() end
    return loss:item(), gradients
  end

  local two_tower = { dim = 8, hidden = { 6 }, dropout = 0, id_dropout = 0, temperature = 0.2, log_q = true,
    bias = true }

  for name, case in pairs { mf = { "mf", { dim = 8 }, ids }, two_tower = { "two_tower", two_tower, ids },
    history = { "two_tower", two_tower, moments }, window = { "two_tower", two_tower, ids, { life = life } } } do
    it("have the loss and the gradients of every event by itself: " .. name, function()
      local loss, gradients = run(case[1], case[2], case[3], false, case[4])
      local plain, plain_gradients = run(case[1], case[2], case[3], true, case[4])
      assert.is_true(math.abs(loss - plain) < 4 * 2 ^ -23 * plain)
      for i, gradient in ipairs(gradients) do
        assert.is_true((gradient - plain_gradients[i]):abs():max() < 1e-6 * (1 + plain_gradients[i]:abs():max()))
      end
    end)
  end

  it("do not merge where a tower drops of each event anew", function()
    for _, config in ipairs { { id_dropout = 0.5 }, { dropout = 0.5 } } do
      for key, value in pairs(two_tower) do config[key] = config[key] or value end
      local loss, gradients = run("two_tower", config, ids, false)
      local plain, plain_gradients = run("two_tower", config, ids, true)
      assert.equal(plain, loss)
      for i, gradient in ipairs(gradients) do assert.equal(plain_gradients[i]:to_string(), gradient:to_string()) end
    end
  end)
end)

--- Towers, biases and their tables from an encoder's inputs, and what is said of wrong ones.

local autograd = require "recsys.autograd"
local base = require "recsys.base"
local feature = require "recsys.feature"
local gradcheck = require "spec.support.gradcheck"
local log = require "recsys.log"
local tensor = require "recsys.tensor"
local tiny = require "spec.support.tiny_model"
local towers = require "recsys.towers"

local settings = { seed = 1 }

describe("towers", function()
  local dataset, encoder, tables

  setup(function()
    dataset = tiny.dataset()
    encoder = tiny.encoder(dataset)
    tables = towers.tables(encoder, 4, settings)
  end)

  local function raises(message, fn, ...)
    local arguments = table.pack(...)
    local _, problem = pcall(function() fn(table.unpack(arguments, 1, arguments.n)) end)
    assert.equal(message, (tostring(problem):gsub("^[^:]+:%d+: ", "")))
    assert.matches("towers_spec.lua", problem)
  end

  it("are the concatenation of their inputs without a shape", function()
    local tape <close> = autograd.tape {}
    local batch = tiny.user_batch(encoder, dataset)
    local var = towers.tower("user", tables, { "user" }):forward(tape, batch)
    assert.same({ tiny.n_users, 8 }, var:size()) -- user.id and user.platform
  end)

  it("name a wrong side, table, list or field of the shape", function()
    raises("bad argument #3 to 'tower' (there is no side 'items'; there are user, event and item)", towers.tower,
      "item", tables, { "items" })
    raises("bad argument #3 to 'tower' (a list of sides is expected, as in { \"user\", \"event\" })", towers.tower,
      "item", tables, "item")
    raises("bad argument #2 to 'tower' (what towers.tables gives is expected)", towers.tower, "item", encoder,
      { "item" })
    raises("bad argument #4 to 'tower' (there is no field 'width'; there are dim, hidden, dropout, activation, norm, "
      .. "normalize, history, except and beside)", towers.tower, "item", tables, { "item" }, { width = 3 })
    raises("bad argument #3 to 'tower' (the recipe has no features of the side )", towers.tower, "item", tables, {})
  end)

  it("want a width and the settings", function()
    raises("bad argument #2 to 'tables' (a width of 1 or more is expected, not nil; does the recipe declare it in its "
      .. "group model?)", towers.tables, encoder, nil, settings)
    raises("bad argument #3 to 'tables' (the settings that the model's definition is given are expected, not nil)",
      towers.tables, encoder, 4)
    raises("bad argument #4 to 'tables' (options such as { shrink = true } are expected)", towers.tables, encoder, 4,
      { seed = 3 }, true)
    raises("bad argument #4 to 'tables' (there is no field 'small'; there are shrink, dtype, prefix, scale and unmet)",
      towers.tables, encoder, 4, { seed = 3 }, { small = true })
    raises("bad argument #3 to 'bias' (the settings that the model's definition is given are expected, not nil)",
      towers.bias, encoder, "item.id")
    raises("bad argument #2 to 'freshness' (the settings that the model's definition is given are expected, not nil)",
      towers.freshness, encoder)
  end)

  it("have a bias of an input of codes, and say which there are", function()
    assert.is_true(towers.has_codes(encoder, "item.id"))
    for _, name in ipairs { "item", "item.none", "event.history" } do
      assert.is_false(towers.has_codes(encoder, name))
    end
    assert.equal("item.id.bias", towers.bias(encoder, "item.id", settings):parameters()[1]:name())
    raises("bad argument #2 to 'bias' (there is no input of codes 'item.idd', did you mean 'item.id'?; there are: "
      .. "user.id, user.platform, event.time_weekday, item.id, item.kind)", towers.bias, encoder, "item.idd", settings)
    raises("bad argument #2 to 'bias' (there is no input of codes 'item'; there are: "
      .. "user.id, user.platform, event.time_weekday, item.id, item.kind)", towers.bias, encoder, "item", settings)
  end)

  it("leave inputs alone that they are to except", function()
    local made = towers.tower("user", tables, { "user" }, { except = { "user.platform" } })
    assert.equal("Tower user (user.id 4)", tostring(made))
    raises("bad argument #4 to 'tower' (there is no input 'user.name' to except)", towers.tower, "user", tables,
      { "user" }, { except = { "user.name" } })
  end)

  it("drop ids by a stream: the share asked for, others for other names, none at 0, all at 1", function()
    local function stream() return base.stream(1, "negatives", 1, 1) end
    local function dropped(name, rate)
      local batch = { [name] = tensor.full(7, 10000, "i32") }
      return towers.drop_ids(batch, name, rate, stream())[name]
    end
    local share = dropped("item.id", 0.3):eq(0):to("f64"):mean()
    assert.is_true(math.abs(share - 0.3) < 4 * math.sqrt(0.3 * 0.7 / 10000))
    assert.equal(dropped("item.id", 0.3):to_string(), dropped("item.id", 0.3):to_string())
    local both = (dropped("item.id", 0.5):eq(0) * dropped("user.id", 0.5):eq(0)):to("f64"):mean()
    assert.is_true(math.abs(both - 0.25) < 0.02)
    assert.equal(0, dropped("item.id", 0):eq(0):sum())
    assert.equal(10000, dropped("item.id", 1):eq(0):sum())
    local batch = { other = tensor.full(7, 3, "i32") }
    assert.equal(batch, towers.drop_ids(batch, "item.id", 0.5, stream()))
  end)
end)

describe("a similarity", function()
  local function scaled(config)
    local made = towers.similarity(config, settings)
    local tape <close> = autograd.tape {}
    return made:scaled(tape, tape:input("x", tensor.new { { 1, -2 } })):value():tolist(), made
  end

  it("divides by its temperature and says whether towers normalise", function()
    local value, made = scaled { similarity = "dot", temperature = 0.5 }
    assert.same({ { 2, -4 } }, value)
    assert.is_false(made.normalize)
    value, made = scaled {}
    assert.same({ { 1, -2 } }, value)
    assert.is_true(made.normalize)
    assert.same({}, made:parameters())
  end)

  it("learns a temperature from where it is set, with the gradient of central differences", function()
    local value, made = scaled { temperature = 0.25, learn_temperature = true }
    assert.near(4, value[1][1], 1e-6)
    assert.equal("similarity.log_scale", made:parameters()[1]:name())
    made = towers.similarity({ temperature = 0.25, learn_temperature = true }, { dtype = "f64" })
    local x = base.stream(3, "user", 0, 0):normals(6):reshape(3, 2)
    local worst = gradcheck(function(var) return made:scaled(var:tape(), var) end, { x, made:parameters()[1] })
    assert.is_true(worst < 1e-6, tostring(worst))
  end)

  it("refuses another kind and a temperature that is none", function()
    assert.has_error(function() towers.similarity({ similarity = "euclid" }, settings) end,
      "there is no similarity 'euclid'; there are cosine and dot")
    assert.has_error(function() towers.similarity({ temperature = 0 }, settings) end,
      "a temperature above 0 is expected, not 0")
  end)
end)

describe("what users know", function()
  local dataset, encoder = tiny.dataset(), nil

  local function fitted(declared)
    return feature.fit(dataset, nil, { user = { feature.id { "user" } }, event = declared, item = {
      feature.id { "item" }, feature.category { "kind" } } })
  end

  --- settings.training of some rows of the interactions.
  local function training(rows)
    local at = feature.rows(dataset)
    rows = rows and tensor.new(rows, "i64") or tensor.arange(#at.users)
    return { users = encoder:encode_users(dataset.users), items = encoder:encode_items(dataset.items),
      user_rows = at.users:index_select(rows), item_rows = at.items:index_select(rows) }
  end

  setup(function()
    encoder = fitted { feature.history { of = "id", length = 2, name = "short" },
      feature.history { of = "kind", length = 9, name = "kinds" },
      feature.history { of = "id", length = 4, name = "known" } }
  end)

  it("is a row of ones a user, an item once, and the longest history of ids", function()
    local matrix, input = towers.known(encoder, training())
    assert.equal("event.known", input.name)
    local code = {}
    for i = 1, 6 do code[i] = encoder:vocabulary("item.id"):code("i" .. i) end
    local expected = {}
    for user, items in ipairs { { 1, 2, 3 }, { 3, 4 }, { 5 }, { 6 }, { 6 }, {} } do
      expected[user] = {}
      for c = 1, input.rows do expected[user][c] = 0 end
      for _, item in ipairs(items) do expected[user][1 + code[item]] = 1 end
    end
    assert.same(expected, matrix:dense():tolist())
  end)

  it("says the same of a batch's users, repeats once", function()
    local matrix, input = towers.known(encoder, training())
    local all = tensor.arange(tiny.n_users)
    local batch = encoder:encode_users_at(dataset, all):gather(all)
    local tape <close> = autograd.tape {}
    local eye = tensor.zeros(input.rows, input.rows)
    eye:reshape(-1):index_copy_(tensor.arange(input.rows) * (input.rows + 1), tensor.full(1, input.rows))
    local codes, offsets, once = towers.known_bag(tape, batch, input)
    local found = autograd.embedding_bag(tape:input("eye", eye), codes, offsets, once):value():tolist()
    assert.same(matrix:dense():tolist(), found)
  end)

  it("leaves out items without a code", function()
    local other = feature.fit(dataset, tensor.new({ 0, 1 }, "i64"), { user = { feature.id { "user" } },
      event = { feature.history { of = "id", length = 3 } }, item = { feature.id { "item" } } })
    local at = feature.rows(dataset)
    local matrix = towers.known(other, { users = other:encode_users(dataset.users),
      items = other:encode_items(dataset.items), user_rows = at.users, item_rows = at.items })
    local dense = matrix:dense()
    assert.same({ 6, 3 }, dense:size())
    assert.equal(0, dense:narrow(2, 1, 1):sum())
    assert.equal(3, dense:sum()) -- u1 and u2 know i3, u1 knows i1
  end)

  it("warns of a history that does not hold all", function()
    local warn, said = log.warn, {}
    log.warn = function(...) said[#said + 1] = string.format(...) end
    finally(function() log.warn = warn end)
    towers.known(encoder, training())
    assert.same({}, said)
    local wide = encoder
    encoder = fitted { feature.history { of = "id", length = 2 } }
    towers.known(encoder, training())
    encoder = wide
    assert.same({ "event.history holds the last 2 events of a user, and some know 3 items: those are cut short when "
      .. "they are asked for; a longer `length` of the history takes all" }, said)
  end)

  it("is refused without a history of ids, with what to declare", function()
    local ok, problem = pcall(towers.known, fitted { feature.history { of = "kind", length = 2 } }, training())
    assert.is_false(ok)
    assert.equal("usage", problem.code)
    assert.matches("feature.history { of = \"id\", length = 1000, name = \"known\" }", problem.message, 1, true)
  end)
end)

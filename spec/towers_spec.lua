--- Towers, biases and their tables from an encoder's inputs, and what is said of wrong ones.

local autograd = require "recsys.autograd"
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
    raises("bad argument #4 to 'tower' (there is no field 'width'; there are dim, hidden, dropout, activation, norm "
      .. "and normalize)", towers.tower, "item", tables, { "item" }, { width = 3 })
    raises("bad argument #3 to 'tower' (the recipe has no features of the side )", towers.tower, "item", tables, {})
  end)

  it("want a width and the settings", function()
    raises("bad argument #2 to 'tables' (a width of 1 or more is expected, not nil; does the recipe declare it in its "
      .. "group model?)", towers.tables, encoder, nil, settings)
    raises("bad argument #3 to 'tables' (the settings that the model's definition is given are expected, not nil)",
      towers.tables, encoder, 4)
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
end)

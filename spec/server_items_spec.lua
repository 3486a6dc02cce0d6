--- Items that are posted to a server: recommended at once, and there again after a restart; what events change.

local json = require "recsys.json"
local serve = require "recsys.serve"
local serving = require "spec.support.serving"
local tiny = require "spec.support.tiny_model"

local ask, call, fresh, history = serving.ask, serving.call, serving.fresh, serving.history
local open = serving.open_kept
local day <const> = tiny.day

describe("posted items", function()
  setup(serving.start)
  teardown(serving.stop)

  local late = { id = "i13", title = "Later", created = 13 * day, attributes = { kind = "sport" } }

  local function found(user, body)
    body = body or {}
    body.user, body.k = user, body.k or 20
    local ids = {}
    for _, item in ipairs(call("POST", "/recommend", body).items) do ids[item.id] = item end
    return ids
  end

  it("are recommended at once, with the scores of a model that has them, and after a restart", function()
    fresh()
    assert.is_nil(found("u6").i13)
    assert.equal(1, call("POST", "/items", late).taken)
    local model <close> = assert(serve.open(serving.path))
    assert(model:put { item = "i13", title = "Later", created = 13 * day, fields = '{"kind":"sport"}' })
    local function same()
      for _, item in ipairs(model:recommend({ user = "u6", k = 20 }).items) do
        local served = assert(found("u6")[item.item], item.item)
        assert.equal(string.pack("f", item.score), string.pack("f", served.score))
        assert.equal(item.title, served.title)
      end
    end
    same()
    open()
    same()
    assert.equal("Later", found("u6").i13.title)
  end)

  it("can be read, and are then seen", function()
    fresh()
    call("POST", "/items", late)
    call("POST", "/events", { user = "u6", item = "i13", time = 14 * day })
    assert.is_nil(found("u6").i13)
    assert.is_table(found("u1").i13)
    open()
    assert.is_nil(found("u6").i13)
    assert.same({ "i13" }, history "u6")
  end)

  it("can be changed and removed", function()
    fresh()
    call("POST", "/items", late)
    call("POST", "/items", { id = "i13", title = "Changed", created = 13 * day, attributes = { kind = "city" } })
    assert.equal("Changed", found("u6").i13.title)
    local function like() return #call("POST", "/similar", { item = "i1", k = 20 }).items end
    assert.equal(12, like())
    call("DELETE", "/items/i13")
    call("DELETE", "/items/i2")
    assert.equal(10, like())
    assert.same({ nil, nil }, { found("u6").i13, found("u6").i2 })
    open()
    assert.same({ nil, nil }, { found("u6").i13, found("u6").i2 })
    assert.equal(404, ask("DELETE", "/items/gone").status)
    call("POST", "/items", { { id = "i13", title = "Back", created = 13 * day }, { id = "i2", removed = false,
      created = 2 * day, attributes = { kind = "city" } } })
    assert.equal("Back", found("u6").i13.title)
    assert.is_table(found("u6").i2)
    call("POST", "/items", { id = "i2", removed = true })
    assert.is_nil(found("u6").i2)
  end)

  it("pass the filters that their attributes pass", function()
    fresh()
    call("POST", "/items", { late, { id = "i14", created = 13 * day, attributes = { kind = "weather" } } })
    assert.is_table(found("u6", { filter = { kind = "sport" } }).i13)
    assert.is_nil(found("u6", { filter = { kind = "city" } }).i13)
    local weather = found("u6", { filter = { kind = "weather" } })
    assert.is_table(weather.i14)
    assert.is_nil(weather.i13)
    call("POST", "/items", { id = "i13", created = 13 * day, attributes = { kind = "weather" } })
    assert.is_table(found("u6", { filter = { kind = "weather" } }).i13)
    assert.is_nil(found("u6", { filter = { kind = "sport" } }).i13)
  end)

  it("are dropped by a version that has them, unless they came after it was made", function()
    local opened = fresh()
    call("POST", "/items", { id = "i2", title = "Two, changed", created = 2 * day, attributes = { kind = "city" } })
    call("POST", "/items", late)
    assert.equal("Two, changed", found("u6").i2.title)
    local path = tiny.publish(serving.built, serving.folder .. "/newer", { created = "2099-01-01T00:00:00Z" })
    assert(opened.server:put("live", assert(require("recsys.core").serve.open(path)), "tiny-2"))
    assert.equal("Title 2, \"quoted\"", found("u6").i2.title)
    assert.equal("Later", found("u6").i13.title)
  end)

  it("of a model of old data come at its last moment, where they tell no time", function()
    local path = tiny.publish(serving.built, serving.folder .. "/aging", { window = 5 * day })
    fresh { word = path }
    call("POST", "/items", { id = "i13", attributes = { kind = "sport" } })
    call("POST", "/events", { user = "u1", item = "i13" })
    local user = call("GET", "/users/u1")
    assert.same({ "i13", true }, { user.history[1].item, user.history[1].time < 14 * day })
    assert.is_table(found("u6").i13)
    assert.is_true(#call("POST", "/recommend", { user = "u6", k = 20 }).items > 3)
  end)

  it("are refused in place for a wrong attribute", function()
    fresh()
    local answer = call("POST", "/items", { late, { id = "i14", attributes = { kind = json.list { "a" } } } })
    assert.same({ 1, 1 }, { answer.taken, answer.refused })
    assert.matches("attribute 'kind' is not a string", answer.errors[1].message)
  end)
end)

describe("posted events", function()
  setup(serving.start)
  teardown(serving.stop)

  it("give the answers of the model that was advanced by them", function()
    fresh()
    local list = { { user = "u1", item = "i9", time = 14 * day }, { user = "u6", item = "i2", time = 14 * day },
      { user = "new", item = "i4", time = 15 * day } }
    call("POST", "/events", list)
    local model <close> = assert(serve.open(serving.path))
    for _, event in ipairs(list) do assert(model:advance(event)) end
    for _, user in ipairs { "u1", "u6", "new" } do
      local expected, found = {}, {}
      for i, item in ipairs(model:recommend({ user = user, k = 12 }).items) do
        expected[i] = { item.item, ("%.9g"):format(item.score) }
      end
      for i, item in ipairs(call("POST", "/recommend", { user = user, k = 12 }).items) do
        found[i] = { item.id, ("%.9g"):format(string.unpack("f", string.pack("f", item.score))) }
      end
      assert.same(expected, found)
    end
  end)
end)

--- Items that come while a model answers: the same answers, to the bit, as from a bundle that was published with them.

local command = require "spec.support.command"
local frame = require "recsys.frame"
local json = require "recsys.json"
local serve = require "recsys.serve"
local tiny = require "spec.support.tiny_model"

local built, folder, path

--- The items of the small model with more behind them, or others in their place.
local function catalogue(changed)
  local items, columns = built.dataset.items, {}
  for _, name in ipairs { "item", "title", "kind", "created" } do
    local values = {}
    for i = 1, items:rows() do values[i] = items:value(name, i) or false end
    columns[name] = values
  end
  for _, item in ipairs(changed) do
    local at = #columns.item + 1
    for i, id in ipairs(columns.item) do if id == item.item then at = i end end
    for name, values in pairs(columns) do values[at] = item[name] or false end
  end
  return frame.from { { "item", "string", columns.item }, { "title", "string", columns.title },
    { "kind", "string", columns.kind }, { "created", "time", columns.created } }
end

--- The bundle that publishing with such a catalogue gives, with the weights that it has.
local function published(changed, changes)
  local dataset = {}
  for key, value in pairs(built.dataset) do dataset[key] = value end
  dataset.items = catalogue(changed)
  local encoded = built.encoder:encode_items(dataset.items)
  local all = {}
  for i = 1, dataset.items:rows() do all[i] = i - 1 end
  local rows = require("recsys.tensor").new(all, "i64")
  local vectors = built.plans.item:run(built.weights, encoded:gather(rows)).item
  local request = { dataset = dataset, vectors = vectors }
  for key, value in pairs(changes or {}) do request[key] = value end
  local dir = command.temporary()
  local model = assert(serve.open(tiny.publish(built, dir, request)))
  command.remove(dir)
  return model
end

local function put(model, item)
  return model:put { item = item.item, title = item.title, created = item.created,
    fields = json.encode { kind = item.kind } }
end

local function all_of(model, n)
  local rows, scores = assert(model:recommend_users { k = n, now = 14 * tiny.day })
  return rows:tolist(), scores:to_string()
end

local late = { { item = "i13", title = "Later", kind = "sport", created = 13 * tiny.day },
  { item = "i14", kind = "city", created = 13 * tiny.day }, { item = "i15", title = "A new kind", kind = "weather" } }

describe("an item that is put into a served model", function()
  setup(function()
    folder = command.temporary()
    built = tiny.build()
    path = tiny.publish(built, folder)
  end)
  teardown(function() command.remove(folder) end)

  it("is recommended as by a bundle that has it, to the bit", function()
    local model <close> = assert(serve.open(path))
    for _, item in ipairs(late) do assert.is_true(put(model, item)) end
    local expected <close> = published(late)
    assert.equal(15, model:facts().items)
    local rows, scores = all_of(expected, 15)
    local own_rows, own_scores = all_of(model, 15)
    assert.same(rows, own_rows)
    assert.equal(scores, own_scores)
    for u = 1, tiny.n_users do
      local question = { user = model:user(u), k = 15 }
      assert.same(expected:recommend(question), model:recommend(question))
    end
    for _, filter in ipairs { '{"kind": "weather"}', '{"kind": ["sport", "weather"]}', '{"not": {"kind": "city"}}',
      ('{"created": {"gte": %d}}'):format(13 * tiny.day), '{"created": null}' } do
      local question = { user = "u6", k = 15, filter = filter }
      local answer = model:recommend(question)
      assert.is_true(#answer.items > 0)
      assert.same(expected:recommend(question), answer)
    end
    assert.same({ "i13", "Later" }, { model:item(13) })
    assert.equal("", select(2, model:item(14)))
  end)

  it("takes the place of one of its id", function()
    local changes = { { item = "i2", title = "Two, changed", kind = "sport", created = 5 * tiny.day }, late[1],
      { item = "i13", title = "Thirteen, changed", kind = "city", created = 12 * tiny.day } }
    local model <close> = assert(serve.open(path))
    for _, item in ipairs(changes) do assert.is_true(put(model, item)) end
    local expected <close> = published(changes)
    assert.equal(13, model:facts().items)
    assert.same({ all_of(expected, 13) }, { all_of(model, 13) })
    assert.same({ "i13", "Thirteen, changed" }, { model:item(13) })
    assert.same({ "i2", "Two, changed" }, { model:item(2) })
    assert.equal("Title 1, \"quoted\"", select(2, model:item(1)))
  end)

  it("counts in the histories of those who read it", function()
    local model <close> = assert(serve.open(path))
    assert.is_nil(model:advance { user = "u1", item = "i13", time = 13 * tiny.day })
    put(model, late[1])
    local before = model:recommend { user = "u1", k = 13, now = 20 * tiny.day }
    assert.is_true(model:advance { user = "u1", item = "i13", time = 13 * tiny.day })
    local after = model:recommend { user = "u1", k = 13, now = 20 * tiny.day }
    assert.equal(#before.items - 1, #after.items)
    for _, found in ipairs(after.items) do assert.not_equal("i13", found.item) end
    local expected <close> = published { late[1] }
    expected:advance { user = "u1", item = "i13", time = 13 * tiny.day }
    assert.same(expected:recommend { user = "u1", k = 13, now = 20 * tiny.day }, after)
  end)

  it("ages as others do", function()
    local dir = command.temporary()
    local model <close> = assert(serve.open(tiny.publish(built, dir, { window = 2 * tiny.day })))
    command.remove(dir)
    for _, item in ipairs(late) do put(model, item) end
    local function candidates(day)
      local ids = {}
      for i, found in ipairs(model:recommend({ user = "u6", k = 20, now = day * tiny.day }).items) do
        ids[i] = found.item
      end
      table.sort(ids)
      return ids
    end
    assert.same({ "i12", "i13", "i14" }, candidates(14))
    assert.same({ "i13", "i14" }, candidates(15))
    assert.same({}, candidates(16))
  end)

  it("joins a graph, too, and is found by it", function()
    local changes = { late[1], late[2], { item = "i2", title = "Two", kind = "sport", created = 5 * tiny.day } }
    for i = 15, 60 do changes[#changes + 1] = { item = "i" .. i, kind = i % 2 == 0 and "sport" or "city" } end
    local dir = command.temporary()
    local model <close> = assert(serve.open(tiny.publish(built, dir, { index = "hnsw" })))
    command.remove(dir)
    for _, item in ipairs(changes) do assert.is_true(put(model, item)) end
    local expected <close> = published(changes)
    for u = 1, tiny.n_users do
      local question = { user = model:user(u), k = 20, exclude_seen = true }
      assert.same(expected:recommend(question).items, model:recommend(question).items)
    end
  end)

  it("may come a thousand times", function()
    local model <close> = assert(serve.open(path))
    local many = {}
    for i = 13, 1000 do many[#many + 1] = { item = "i" .. i, kind = i % 2 == 0 and "sport" or "city" } end
    for _, item in ipairs(many) do assert.is_true(put(model, item)) end
    local expected <close> = published(many)
    assert.same({ all_of(expected, 40) }, { all_of(model, 40) })
    assert.same({ "i1000", "" }, { model:item(1000) })
  end)

  it("is refused for what cannot be, and the model is as before", function()
    local model <close> = assert(serve.open(path))
    local before = { all_of(model, 12) }
    assert.same({ nil, "attribute 'kind' is not a string", "argument" },
      { model:put { item = "i13", fields = '{"kind": ["a"]}' } })
    assert.same({ nil, "an item has an id that is not empty", "argument" }, { model:put { item = "" } })
    assert.has_error(function() model:put { title = "no id" } end, "bad argument #1 to 'put' (an item has an id)")
    assert.is_nil(model:put { item = "i\xff" })
    assert.same(before, { all_of(model, 12) })
    assert.equal(12, model:facts().items)
  end)

  it("keeps the graph that was asked for when items are counted anew", function()
    local answers = {}
    for _, engine in ipairs { "exact", "hnsw" } do
      local dir = command.temporary()
      local model <close> = assert(serve.open(tiny.publish_counting(dir, engine)))
      command.remove(dir)
      local function ask() return model:recommend({ user = "u2", k = 20, now = 16 * tiny.day }).items end
      local before = ask()
      assert.is_true(model:put { item = "i13" })
      assert.is_true(model:advance { user = "u1", item = "i13", time = 14 * tiny.day })
      assert.is_true(model:refresh(15 * tiny.day))
      local counted = ask()
      assert.not_same(before, counted)
      assert.is_true(model:put { item = "i14" })
      assert.is_true(model:refresh(15 * tiny.day))
      assert.equal(engine, model:facts().index)
      answers[engine] = { before, counted, ask() }
    end
    assert.same(answers.exact, answers.hnsw)
  end)

  it("knows no events where items count them, until they are counted anew", function()
    local dir = command.temporary()
    local model <close> = assert(serve.open(tiny.publish_counting(dir)))
    command.remove(dir)
    assert.is_true(model:put { item = "i13" })
    assert.is_true(model:advance { user = "u1", item = "i13", time = 14 * tiny.day })
    local function score()
      for _, found in ipairs(model:recommend({ user = "u2", k = 20, now = 16 * tiny.day }).items) do
        if found.item == "i13" then return found.score end
      end
    end
    local first = score()
    assert.is_true(model:refresh(15 * tiny.day))
    assert.not_equal(first, score())
    local counted = score()
    assert.is_true(model:put { item = "i13", title = "changed" })
    assert.equal(counted, score())
    assert.is_true(model:put { item = "i14" })
    assert.equal(14, model:facts().items)
    assert.is_true(model:refresh(15 * tiny.day))
    assert.equal(counted, score())
  end)
end)

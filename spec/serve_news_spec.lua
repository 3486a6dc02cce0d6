--- recipes/serve_news.lua over a small catalogue of articles with topics, and hooks around /recommend.

local command = require "spec.support.command"
local frame = require "recsys.frame"
local program = require "spec.support.serve_program"
local tiny = require "spec.support.tiny_model"

local folder, path, server

--- The small catalogue, whose articles have one or two topics: sport, or city and, of every fourth, weather.
local function with_topics(built)
  local items, columns = built.dataset.items, {}
  for _, name in ipairs { "item", "title", "kind", "created" } do
    columns[name] = {}
    for i = 1, items:rows() do columns[name][i] = items:value(name, i) or false end
  end
  columns.categories = {}
  for i = 1, items:rows() do
    columns.categories[i] = { columns.kind[i], i % 4 == 0 and "weather" or nil }
  end
  local dataset = {}
  for name, value in pairs(built.dataset) do dataset[name] = value end
  dataset.items = frame.from { { "item", "string", columns.item }, { "title", "string", columns.title },
    { "kind", "string", columns.kind }, { "created", "time", columns.created },
    { "categories", "list", columns.categories } }
  return dataset
end

local function ask(body)
  local reply, value = program.ask(server, "POST", "/frontpage", body)
  return reply.status, value
end

local function ids_of(items)
  local ids = {}
  for i, item in ipairs(items) do ids[i] = item.id end
  return ids
end

describe("recipes/serve_news.lua", function()
  setup(function()
    folder = command.temporary()
    local built = tiny.build()
    path = tiny.publish(built, folder .. "/models", { dataset = with_topics(built) })
    server = program.start { "recipes/serve_news.lua", "--bundle", path, "--workers", "1", "--no-events" }
    assert(server.url, server.err)
  end)
  teardown(function()
    program.stop(server, "sigterm")
    command.remove(folder)
  end)

  it("makes a front page on which each article stands once", function()
    local status, page = ask { user = "u1", lead = 3, pins = { "i7", "gone", "i5" }, sections = { "sport", "weather",
      "nothing" } }
    assert.equal(200, status)
    assert.same({ "i7", "i5" }, ids_of(page.pinned))
    assert.equal("editor", page.pinned[1].source)
    assert.equal(3, #page.lead)
    assert.equal("tiny-1", page.model_version)
    assert.same({ "sport", "weather", "nothing" }, { page.sections[1].topic, page.sections[2].topic,
      page.sections[3].topic })
    local had = {}
    for _, part in ipairs { page.pinned, page.lead, page.sections[1].items, page.sections[2].items } do
      for _, item in ipairs(part) do
        assert.is_nil(had[item.id], item.id)
        had[item.id] = true
      end
    end
    for _, item in ipairs(page.sections[1].items) do assert.equal(0, tonumber(item.id:sub(2)) % 3, item.id) end
    for _, item in ipairs(page.sections[2].items) do assert.equal(0, tonumber(item.id:sub(2)) % 4, item.id) end
    for _, id in ipairs { "i1", "i2", "i3" } do assert.is_nil(had[id]) end -- which u1 has seen
  end)

  it("gives lists where there is nothing", function()
    local reply = program.ask(server, "POST", "/frontpage", { user = "u1", sections = { "nothing" } })
    assert.truthy(reply.body:find('"pinned":[]', 1, true))
    assert.truthy(reply.body:find('"items":[]', 1, true))
  end)

  it("has at most two articles of a topic in the lead", function()
    local _, page = ask { user = "u6", lead = 6 }
    local sport = 0
    for _, item in ipairs(page.lead) do sport = sport + (tonumber(item.id:sub(2)) % 3 == 0 and 1 or 0) end
    assert.is_true(sport <= 2 and #page.lead > 2)
  end)

  it("puts its caps on /recommend, unless there are some", function()
    local function recommended(body)
      local _, answer = program.ask(server, "POST", "/recommend", body)
      return answer
    end
    local capped = recommended { user = "u6", k = 12 }
    assert.same({ 6, "caps" }, { #capped.items, capped.missing }) -- three of sport, three of the city
    assert.equal(12, #recommended({ user = "u6", k = 12, caps = { categories = 12 } }).items)
    local _, refusal = program.ask(server, "POST", "/recommend", { k = 0 })
    assert.matches("is 0; 1 to", refusal.error.message)
  end)

  it("tells what is wrong with a request", function()
    assert.equal(400, (ask {}))
    local status, body = ask { user = "u1", sections = "sport" }
    assert.same({ 400, "sections: a list of at most 12" }, { status, body.error.message })
    status, body = ask { user = "u1", pins = { 1 } }
    assert.same({ 400, "pins: a list of strings" }, { status, body.error.message })
  end)
end)

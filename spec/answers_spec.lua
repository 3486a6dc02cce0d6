--- What a request can ask of a served model, and what its answer tells: docs/serving.md.

local bundle = require "recsys.bundle"
local command = require "spec.support.command"
local json = require "recsys.json"
local serve = require "recsys.serve"
local tensor = require "recsys.tensor"
local tiny = require "spec.support.tiny_model"

local folder, built, path

--- What the examples of a block ask: the small model, published.
local function with_a_bundle()
  setup(function()
    folder = command.temporary()
    built = tiny.build()
    path = tiny.publish(built, folder)
  end)
  teardown(function() command.remove(folder) end)
end

local function open(changes)
  if not changes then return assert(serve.open(path)) end
  local dir = command.temporary()
  local model = assert(serve.open(tiny.publish(built, dir, changes)))
  command.remove(dir)
  return model
end

local function ids_of(answer)
  local ids = {}
  for n, found in ipairs(answer.items) do ids[n] = found.item end
  return ids
end

local function sorted(list)
  table.sort(list, function(a, b) return tonumber(a:sub(2)) < tonumber(b:sub(2)) end)
  return list
end

--- The ids that a filter lets pass, in order of the catalogue.
local function passing(model, filter, more)
  local request = { user = "u6", k = 12, filter = filter }
  for key, value in pairs(more or {}) do request[key] = value end
  return sorted(ids_of(assert(model:recommend(request))))
end

--- "i1" ... of numbers.
local function items(...)
  local ids = {}
  for n, i in ipairs { ... } do ids[n] = "i" .. i end
  return ids
end

describe("a request", function()
  with_a_bundle()

  it("excludes items by id, and counts those that there are not", function()
    local model <close> = open()
    local all = model:recommend { user = "u1", k = 12, exclude_seen = false }
    local answer = model:recommend { user = "u1", k = 12, exclude = { "i5", "gone", "i5", "i1" } }
    assert.equal(1, answer.unknown)
    assert.same({ seen = 2, rule = 2 }, answer.filtered) -- i1, which he has seen, is excluded first
    assert.equal("candidates", answer.missing)
    local expected = {}
    for _, found in ipairs(all.items) do
      local id = found.item
      if id ~= "i5" and id ~= "i1" and id ~= "i2" and id ~= "i3" then expected[#expected + 1] = id end
    end
    assert.same(expected, ids_of(answer))
  end)

  it("says of each item its rank and its source, and nothing is missing where there are k", function()
    local model <close> = open()
    local answer = model:recommend { user = "u1", k = 3 }
    assert.is_nil(answer.missing)
    assert.is_nil(answer.fallback)
    for rank, found in ipairs(answer.items) do
      assert.equal(rank, found.rank)
      assert.equal("model", found.source)
    end
  end)

  it("filters by attributes: equality, sets, ranges, dates, missing values, and all of that combined", function()
    local model <close> = open()
    local sport, city = items(3, 6, 9, 12), items(1, 2, 4, 5, 7, 8, 10, 11)
    assert.same(sport, passing(model, '{"kind": "sport"}'))
    assert.same(city, passing(model, '{"not": {"kind": "sport"}}'))
    assert.same(items(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12), passing(model, '{"kind": ["sport", "city", "none"]}'))
    assert.same({}, passing(model, '{"kind": "none"}'))
    assert.same({}, passing(model, '{"kind": null}'))
    assert.same(items(4, 5, 6), passing(model, '{"created": {"gte": "1970-01-05", "lt": "1970-01-08"}}'))
    assert.same(items(5, 6, 7), passing(model, ('{"created": {"gt": %d, "lte": %d}}'):format(4 * tiny.day,
      7 * tiny.day)))
    assert.same(items(6), passing(model, '{"kind": "sport", "created": {"gte": "1970-01-05", "lt": "1970-01-08"}}'))
    assert.same(items(2, 3, 6, 9, 12), passing(model, '{"or": [{"kind": "sport"}, {"item": ["i2", "gone"]}]}'))
    assert.same(items(9, 12), passing(model,
      '{"and": [{"kind": "sport"}, {"not": {"or": [{"item": "i3"}, {"item": "i6"}]}}]}'))
    local answer = model:recommend { user = "u1", k = 12, filter = '{"kind": "sport"}' }
    assert.same({ seen = 1, rule = 8 }, answer.filtered)
    assert.equal(3, #answer.items)
    assert.equal("candidates", answer.missing)
  end)

  it("filters numbers, lists and what is missing", function()
    local data = tiny.dataset()
    data.items = data.items:with("price", "number", { 1, 2, 3, 0 / 0, 5, 6, 7, 8, 9, 10, 11, 12.5 })
      :with("tags", "list", { { "a" }, { "a", "b" }, {}, { "b" }, { "c", "a" }, {}, {}, {}, {}, {}, {}, {} })
    local model <close> = open { dataset = data }
    assert.same(items(10, 11, 12), passing(model, '{"price": {"gte": 10}}'))
    assert.same(items(2, 7, 12), passing(model, '{"price": [12.5, 7, 2e0, 99, 7]}'))
    assert.same({}, passing(model, '{"price": []}'))
    assert.same(items(2, 9), passing(model, ('{"created": ["1970-01-10", %d, "1971-01-01"]}'):format(2 * tiny.day)))
    assert.same(items(3), passing(model, '{"price": 3.0}'))
    assert.same(items(4), passing(model, '{"price": null}'))
    assert.same(items(1, 2, 4), passing(model, '{"not": {"price": {"gt": 2}}}'))
    assert.same(items(1, 2, 5), passing(model, '{"tags": "a"}'))
    assert.same(items(1, 2, 4, 5), passing(model, '{"tags": ["a", "b"]}'))
    assert.same(items(2), passing(model, '{"and": [{"tags": "a"}, {"tags": "b"}]}'))
    assert.same(items(3, 6, 7, 8, 9, 10, 11, 12), passing(model, '{"tags": null}'))
    local capped = model:recommend { user = "u6", k = 12, caps = { tags = 1 }, filter = '{"not": {"tags": null}}' }
    local count = { a = 0, b = 0, c = 0 }
    local tags = { i1 = "a", i2 = "ab", i4 = "b", i5 = "ca" }
    for _, id in ipairs(ids_of(capped)) do
      for tag in tags[id]:gmatch "." do count[tag] = count[tag] + 1 end
    end
    assert.is_true(count.a <= 1 and count.b <= 1)
    assert.equal("caps", capped.missing)
  end)

  it("gives the same answers for a filter that it has seen before, also after a hundred others", function()
    local model <close> = open()
    local filter = '{"kind": "sport"}'
    local before = model:recommend { user = "u2", k = 12, filter = filter }
    assert.same(before, model:recommend { user = "u2", k = 12, filter = filter })
    for i = 1, 100 do
      assert.same(items(1 + i % 12), passing(model, ('{"item": "i%d", "not": {"item": "x%d"}}'):format(1 + i % 12, i)))
    end
    assert.same(before, model:recommend { user = "u2", k = 12, filter = filter })
  end)

  it("holds a filter and the window together", function()
    local model <close> = open { window = 4 * tiny.day }
    assert.same(items(4, 5, 6, 7), passing(model, nil, { now = 8 * tiny.day }))
    assert.same(items(6), passing(model, '{"kind": "sport"}', { now = 8 * tiny.day }))
    assert.same(items(4, 5, 7), passing(model, '{"kind": "city"}', { now = 8 * tiny.day }))
    assert.same(items(9), passing(model, '{"kind": "sport"}', { now = 12 * tiny.day }))
    local answer = model:recommend { user = "u6", k = 12, filter = '{"kind": "sport"}', now = 8 * tiny.day }
    assert.same({ seen = 0, rule = 11 }, answer.filtered)
  end)

  it("says where a filter is wrong", function()
    local model <close> = open()
    local function refused(filter, message)
      assert.has_error(function() model:recommend { user = "u1", filter = filter } end, message)
    end
    refused('{"colour": "red"}', "filter.colour: items have no attribute 'colour'; there are item, created, kind")
    refused('{"kind": {"gte": "a"}}', "filter.kind.gte: only numbers and times have ranges")
    refused('{"created": {"after": 1}}', "filter.created.after: there is no such field; there are gt, gte, lt, lte")
    refused('{"created": {"gt": 1, "gte": 2}}', "filter.created.gte: a range has one bound on each side")
    refused('{"created": "soon"}', "filter.created: is neither a date such as 2024-01-31T12:00 nor milliseconds")
    refused('{"and": []}', "filter.and: a list of conditions has one at least")
    refused('{"or": [{"kind": "a"}, {"kind": [true]}]}', "filter.or[1].kind[0]: a string is compared with a string")
    refused(('{"and": [%s{"kind": "a"}]}'):format(('{"kind": "a"}, '):rep(100)),
      "filter.and[99].kind: a filter of more than 100 conditions")
    refused('["kind"]', "filter: is a list, not an object")
    local answer, message, code = model:recommend { user = "u1", filter = '{"kind": "a",}' }
    assert.same({ nil, "filter: line 1, column 14: a key in quotes is expected", "format" }, { answer, message, code })
  end)

  it("says of a bundle without attributes which member it lacks", function()
    local model <close> = open { attributes = false }
    assert.has_error(function() model:recommend { user = "u1", filter = '{"kind": "city"}' } end,
      "filter.kind: the bundle has no member items.attributes.safetensors, which filters and caps read: publish the "
      .. "model anew")
    assert.same(items(2), passing(model, '{"item": "i2"}'))
    assert.has_error(function() model:recommend { user = "u1", caps = { kind = 2 } } end)
  end)

  it("caps how many items there are of a value, in order of score", function()
    local model <close> = open()
    local all = ids_of(model:recommend { user = "u6", k = 12 })
    local expected, taken = {}, { sport = 0, city = 0 }
    for _, id in ipairs(all) do
      local kind = tonumber(id:sub(2)) % 3 == 0 and "sport" or "city"
      taken[kind] = taken[kind] + 1
      if taken[kind] <= 2 then expected[#expected + 1] = id end
    end
    local answer = model:recommend { user = "u6", k = 12, caps = { kind = 2 } }
    assert.same(expected, ids_of(answer))
    assert.equal("caps", answer.missing)
    assert.is_nil(model:recommend({ user = "u6", k = 4, caps = { kind = 2 } }).missing)
    assert.has_error(function() model:recommend { user = "u6", caps = { kind = 0 } } end,
      "caps.kind: is 0; 1 or more is expected")
    assert.has_error(function() model:recommend { user = "u6", caps = { created = 1 } } end,
      "caps.created: holds times; a cap is of an attribute of strings")
    for _, name in ipairs { "item", "none" } do
      assert.has_error(function() model:recommend { user = "u6", caps = { [name] = 1 } } end,
        ("caps.%s: items have no attribute '%s' of strings; there are kind"):format(name, name))
    end
  end)

  it("boosts what is fresh, over all candidates, exactly", function()
    local model <close> = open()
    local now, half_life = 13 * tiny.day, 2 * tiny.day
    for _, boost in ipairs { 0.01, 0.5, 3, 100 } do
      local plain = model:recommend { user = "u2", k = 12, now = now }
      local expected = {}
      for i, found in ipairs(plain.items) do
        local age = now - tonumber(found.item:sub(2)) * tiny.day
        expected[i] = { item = found.item, score = found.score + boost * 2 ^ (-age / half_life), place = i }
      end
      table.sort(expected, function(a, b) return a.score > b.score end)
      for k = 1, 12 do
        local answer = model:recommend { user = "u2", k = k, now = now,
          freshness = { boost = boost, half_life = half_life } }
        for rank, found in ipairs(answer.items) do
          assert.equal(expected[rank].item, found.item)
          assert.near(expected[rank].score, found.score, 1e-5 * (1 + boost))
        end
      end
    end
    assert.has_error(function() model:recommend { user = "u2", freshness = { boost = 1 } } end,
      "the half-life of freshness is 0 ms; 1 or more is expected")
  end)

  it("chooses by maximal marginal relevance", function()
    local model <close> = open()
    local vectors, lambda = built.vectors:tolist(), 0.4
    local function cosine(a, b)
      local dot, x, y = 0, 0, 0
      for d = 1, #a do dot, x, y = dot + a[d] * b[d], x + a[d] * a[d], y + b[d] * b[d] end
      return dot / math.sqrt(x * y)
    end
    local plain = model:recommend { user = "u6", k = 12 }
    local pool, expected = plain.items, {}
    local high, low = pool[1].score, pool[12].score
    for _ = 1, 12 do
      local best, at = -math.huge, nil
      for i, found in ipairs(pool) do
        local likeness = -math.huge
        for _, taken in ipairs(expected) do
          likeness = math.max(likeness, cosine(vectors[tonumber(found.item:sub(2))], vectors[tonumber(taken:sub(2))]))
        end
        local value = lambda * (found.score - low) / (high - low) - (1 - lambda) * (#expected > 0 and likeness or 0)
        if value > best + 1e-9 then best, at = value, i end
      end
      expected[#expected + 1] = table.remove(pool, at).item
    end
    local answer = model:recommend { user = "u6", k = 12, diversity = { lambda = lambda } }
    assert.same(expected, ids_of(answer))
    assert.not_same(ids_of(model:recommend { user = "u6", k = 12 }), ids_of(answer))
    assert.same(ids_of(model:recommend { user = "u6", k = 12 }),
      ids_of(model:recommend { user = "u6", k = 12, diversity = { lambda = 1 } }))
    local best = ids_of(model:recommend { user = "u6", k = 5 })
    assert.same(sorted(best), sorted(ids_of(model:recommend { user = "u6", k = 5,
      diversity = { lambda = lambda, pool = 5 } })))
    assert.has_error(function() model:recommend { user = "u6", diversity = { lambda = 1.5 } } end,
      "the lambda of diversity is 1.5; it lies above 0, up to 1")
  end)

  it("gives reasons that are true", function()
    local model <close> = open()
    local vectors = built.vectors:tolist()
    local answer = model:recommend { user = "u1", k = 9 }
    local likes, popular = 0, 0
    for _, found in ipairs(answer.items) do
      local mine = vectors[tonumber(found.item:sub(2))]
      for _, reason in ipairs(found.reasons) do
        if reason.kind == "like" then
          likes = likes + 1
          local best, nearest = -1, nil
          for i = 1, 3 do
            local dot, x, y = 0, 0, 0
            for d = 1, #mine do
              dot, x, y = dot + mine[d] * vectors[i][d], x + mine[d] ^ 2, y + vectors[i][d] ^ 2
            end
            if dot / math.sqrt(x * y) > best then best, nearest = dot / math.sqrt(x * y), "i" .. i end
          end
          assert.equal(nearest, reason.item)
          assert.near(best, reason.cosine, 1e-5)
        elseif reason.kind == "popular" then
          popular = popular + 1
          assert.same({ platform = "android" }, reason.segment)
          assert.equal("i5", found.item) -- of those with android only u1 and u3 read: i1, i2, i3 and i5
        end
      end
    end
    assert.is_true(likes > 0)
    assert.equal(1, popular)
    local fresh = model:recommend { user = "u6", k = 12, now = 13 * tiny.day,
      freshness = { boost = 2, half_life = tiny.day } }
    for _, found in ipairs(fresh.items) do
      local i, said = tonumber(found.item:sub(2)), nil
      for _, reason in ipairs(found.reasons) do said = reason.kind == "fresh" and reason.boost or said end
      local added = 2 * 2 ^ -(13 - i)
      if added > 0.021 then
        assert.near(added, said, 1e-5)
      elseif added < 0.019 then
        assert.is_nil(said)
      end
    end
  end)

  it("falls back to what is popular where nothing is known of the user", function()
    local model <close> = open()
    local answer = model:recommend { user = "stranger", k = 12 }
    assert.equal("unknown_user", answer.fallback)
    -- two events each of i3, i5, i6; of equal weight are none: the later count more
    assert.same(items(6, 5, 3, 4, 2, 1, 7, 8, 9, 10, 11, 12), ids_of(answer))
    for _, found in ipairs(answer.items) do assert.equal("popular", found.source) end
    assert.same({ { kind = "popular", place = 1 } }, answer.items[1].reasons)
    assert.same(items(9, 12), { table.unpack(ids_of(model:recommend { k = 12, filter = '{"kind": "sport"}',
      exclude = { "i3" } }), 2) })
    local capped = model:recommend { k = 12, caps = { kind = 1 } }
    assert.same(items(6, 5), ids_of(capped))
    assert.equal("caps", capped.missing)
    assert.is_nil(model:recommend({ user = "stranger", k = 3, fields = '{"platform": "ios"}' }).fallback)
    local growing <close> = open()
    assert(growing:put { item = "i13", fields = '{"kind": "sport"}' })
    assert(growing:put { item = "i14" })
    local more = growing:recommend { k = 14 }
    assert.is_nil(more.missing)
    assert.same(items(12, 14, 13), { table.unpack(ids_of(more), 12) })
    assert.same(items(12, 13), { table.unpack(ids_of(growing:recommend { k = 14, filter = '{"kind": "sport"}' }), 4) })
    assert.is_nil(model:recommend({ user = "stranger", k = 3, history = { "i1" } }).fallback)
    assert.equal("unknown_user", model:recommend({ user = "x", k = 3, history = { "gone" } }).fallback)
    assert.equal("unknown_user", model:recommend({ user = "x", k = 3, fields = '{"shoe": 43}' }).fallback)
    assert.is_nil(model:recommend({ user = "stranger", k = 3, fallback = false }).fallback)
    local old <close> = open { popular = false }
    assert.is_nil(old:recommend({ user = "stranger", k = 3 }).fallback)
  end)

  it("falls back to the popularity of a segment that only the request tells", function()
    local data = tiny.dataset()
    data.users = data.users:with("country", "string", { "at", "at", "de", "de", "at", "de" })
    local model <close> = open { dataset = data, popular = { segments = { "country" } } }
    local answer = model:recommend { user = "x", k = 12, fields = '{"country": "de"}' }
    assert.equal("unknown_user", answer.fallback)
    assert.same(items(5, 6), { table.unpack(ids_of(answer), 1, 2) }) -- u3 and u,4
    assert.same({ { kind = "popular", place = 1, segment = { country = "de" } } }, answer.items[1].reasons)
    assert.equal(12, #answer.items)
    local seen = {}
    for _, id in ipairs(ids_of(answer)) do
      assert.is_nil(seen[id])
      seen[id] = true
    end
  end)

  it("reads fields as the encoder's side does, and refuses others' types", function()
    local model <close> = open()
    assert.has_error(function() model:recommend { user = "x", fields = '{"platform": true}' } end,
      "fields.platform: field 'platform' is true, not a string or a number")
    assert.has_error(function() model:recommend { user = "x", fields = '{"platform": "a", "platform": "b"}' } end,
      "fields.platform: stands there twice")
    local answer, message, code = model:recommend { user = "x", fields = '{"platform": "a"' }
    assert.same({ nil, "fields: line 1, column 17: ',' or '}' is expected", "format" }, { answer, message, code })
    local told = model:recommend { user = "x", fields = '{"shoe": [1, {"a": null}], "platform": "\\u0069os"}' }
    assert.same({ "shoe" }, told.ignored)
    told.ignored = nil
    assert.same(model:recommend { user = "x", fields = '{"platform": "ios"}' }, told)
  end)
end)

describe("a request as JSON", function()
  with_a_bundle()

  --- What the Lua answer is as JSON.
  local function as_json(answer, user)
    local list = json.list {}
    for i, found in ipairs(answer.items) do
      list[i] = { id = found.item, title = found.title, score = found.score, rank = found.rank, source = found.source,
        reasons = json.list(found.reasons) }
    end
    return { user = user or json.null, known = answer.known, now = answer.now, items = list,
      filtered = answer.filtered, fallback = answer.fallback or json.null, missing = answer.missing or json.null,
      foreign = answer.foreign, unknown = answer.unknown }
  end

  --- Numbers as f32: the text is the shortest that reads back as one.
  local function rounded(value)
    if type(value) == "number" and math.type(value) == "float" then return (("<f"):unpack(("<f"):pack(value))) end
    if type(value) ~= "table" then return value end
    local made = {}
    for key, part in pairs(value) do made[key] = rounded(part) end
    return made
  end

  it("has the answer that it has from Lua", function()
    local model <close> = open()
    for _, request in ipairs {
      { user = "u1", k = 5 }, { user = "u,4" }, { user = 'u"5', exclude = { "i1", "gone" } }, { k = 3 },
      { user = "x", fields = { platform = "ios" }, history = { "i1", { item = "i3", time = 5 } } },
      { user = "u2", filter = { kind = "sport" }, caps = { kind = 2 }, diversity = { lambda = 0.5 }, k = 7,
        freshness = { boost = 0.5, half_life = tiny.day } } } do
      local plain = {}
      for key, value in pairs(request) do plain[key] = value end
      if plain.fields then plain.fields = json.encode(plain.fields) end
      if plain.filter then plain.filter = json.encode(plain.filter) end
      local answer = assert(model:answer(json.encode(request)))
      assert.same(rounded(json.decode(json.encode(as_json(model:recommend(plain), request.user)))),
        rounded(json.decode(answer)))
      assert.equal(answer, model:answer(json.encode(request)))
    end
  end)

  it("looks like this", function()
    local model <close> = open()
    local one = model:answer '{"user": "u1", "k": 1}'
    assert.matches('^{"user":"u1","known":true,"now":1123200001,"items":%[{"id":"i%d+",'
      .. '"title":"Title %d+, \\"quoted\\"","score":[%d.-]+,"rank":1,"source":"model","reasons":'
      .. '%[.*%]}%],"filtered":{"seen":3,"rule":0},"fallback":null,'
      .. '"missing":null,"foreign":0,"unknown":0}$', one)
    assert.equal('{"answers":[' .. one .. ',{"user":"u2","error":{"code":"argument","message":"users[1].k: is 0; '
      .. '1 to 1000 items can be asked for"}},{"user":"u3","error":{"code":"argument","message":"'
      .. "users[2].filter.x: items have no attribute 'x'; there are item, created, kind\"}}]}", model:answer [[{"k": 1,
        "users": ["u1", {"user": "u2", "k": 0}, {"user": "u3", "filter": {"x": 1}}]}]])
    assert.equal('{"answers":[]}', model:answer '{"users": []}')
    assert.same({ nil, "filter.x: items have no attribute 'x'; there are item, created, kind", "argument" },
      { model:answer '{"user": "u3", "filter": {"x": 1}}' })
    assert.same({ nil, "line 1, column 2: a key in quotes is expected", "format" }, { model:answer "{" })
  end)
end)

describe("the other calls", function()
  with_a_bundle()

  local function ask(model, call, request)
    local answer, message, code = model:answer(json.encode(request), call)
    if not answer then return nil, message, code end
    return json.decode(answer)
  end

  it("find items that are like an item, by the cosine of their vectors", function()
    local model <close> = open()
    local vectors = built.vectors:tolist()
    for of = 1, 12 do
      local expected = {}
      for i = 1, 12 do
        local dot, x, y = 0, 0, 0
        for d = 1, #vectors[i] do
          dot, x, y = dot + vectors[of][d] * vectors[i][d], x + vectors[of][d] ^ 2, y + vectors[i][d] ^ 2
        end
        local cosine = dot / math.sqrt(x * y)
        if i ~= of and i ~= 4 then expected[#expected + 1] = { id = "i" .. i, row = i, score = cosine } end
      end
      table.sort(expected, function(a, b)
        if math.abs(a.score - b.score) > 1e-6 then return a.score > b.score end
        return a.row < b.row
      end)
      local answer = assert(ask(model, "similar", { item = "i" .. of, k = 20, exclude = { "i4", "gone" } }))
      assert.equal("candidates", answer.missing)
      assert.equal(1, answer.unknown)
      assert.equal(of == 4 and 11 or 10, #answer.items)
      for rank, found in ipairs(answer.items) do
        assert.equal(expected[rank].id, found.id)
        assert.equal(rank, found.rank)
        assert.near(expected[rank].score, found.score, 1e-5)
      end
    end
    local sport = ask(model, "similar", { item = "i3", k = 2, filter = { kind = "sport" } })
    assert.equal(2, #sport.items)
    for _, found in ipairs(sport.items) do assert.equal(0, tonumber(found.id:sub(2)) % 3) end
    local several = ask(model, "similar", { items = { "i3", "gone", "i5" }, k = 2, filter = { kind = "sport" } })
    assert.same(sport, several.answers[1])
    assert.same({ item = "gone", error = { code = "argument", message = "there is no item 'gone' in the catalogue" } },
      several.answers[2])
    assert.equal("i5", several.answers[3].item)
    assert.same({ nil, "there is no item 'gone' in the catalogue", "argument" },
      { ask(model, "similar", { item = "gone" }) })
    assert.same({ nil, "item: is missing; give an id, or a list of them as 'items'", "argument" },
      { ask(model, "similar", { k = 3 }) })
    assert.same({ nil, "caps: there is no such field; there are now, k, exclude, filter, item, items", "argument" },
      { ask(model, "similar", { item = "i1", caps = { kind = 1 } }) })
  end)

  it("score items with the bits of a recommendation, those that there are not in their place", function()
    local model <close> = open()
    for _, request in ipairs { { user = "u1" }, { user = "x", fields = { platform = "ios" }, history = { "i1" } },
      { user = "u2", now = 12 * tiny.day } } do
      local plain = { user = request.user, fields = request.fields and json.encode(request.fields),
        history = request.history, now = request.now, k = 12, exclude_seen = false }
      local best, scores = model:recommend(plain), {}
      for _, found in ipairs(best.items) do scores[found.item] = found.score end
      request.items = { "i7", "gone", "i2", "i7", "i12" }
      local answer = assert(ask(model, "score", request))
      assert.equal(best.known, answer.known)
      assert.equal(best.now, answer.now)
      for i, id in ipairs(request.items) do
        assert.equal(id, answer.items[i].id)
        if id == "gone" then
          assert.equal("there is no such item in the catalogue", answer.items[i].error)
        else
          assert.equal(("<f"):pack(scores[id]), ("<f"):pack(answer.items[i].score))
        end
      end
    end
    local several = ask(model, "score", { users = { "u1", { user = "u2", items = { "i1" } } }, items = { "i1", "i2" } })
    assert.equal(2, #several.answers[1].items)
    assert.equal(1, #several.answers[2].items)
    assert.same({ nil, "items: is missing; give a list of the ids to be scored", "argument" },
      { ask(model, "score", { user = "u1" }) })
    assert.same(json.list {}, ask(model, "score", { user = "u1", items = json.list {} }).items)
  end)

  it("embed users and items", function()
    local model <close> = open()
    local vectors = built.vectors:tolist()
    local found = ask(model, "embed", { items = { "i3", "gone" } }).items
    for d, value in ipairs(found[1].vector) do assert.equal(("<f"):pack(vectors[3][d]), ("<f"):pack(value)) end
    assert.equal("there is no such item in the catalogue", found[2].error)
    local user = ask(model, "embed", { user = "u1" })
    assert.equal(1, #user.vectors)
    local score = ask(model, "score", { user = "u1", items = { "i3" } }).items[1].score
    local dot = 0
    for d, value in ipairs(user.vectors[1]) do dot = dot + value * vectors[3][d] end
    assert.near(score, dot, 1e-5)
    local several = ask(model, "embed", { users = { "u1", { user = "x", history = { "i1" } }, { k = 3 } } }).answers
    assert.same(user, several[1])
    assert.is_false(several[2].known)
    assert.equal("users[2].k: there is no such field; there are user, fields, history, now, items",
      several[3].error.message)
    assert.same({ nil, "items: cannot stand beside a user; ask for the two in calls of their own", "argument" },
      { ask(model, "embed", { user = "u1", items = { "i1" } }) })
  end)

  it("name a call that there is not", function()
    local model <close> = open()
    assert.has_error(function() model:answer("{}", "guess") end)
  end)
end)

describe("a bundle's attributes and popularity", function()
  with_a_bundle()

  it("are stored by themselves, as chosen, or not", function()
    local b = assert(bundle.open(path))
    local attributes = b:tensors "items.attributes.safetensors"
    assert.truthy(attributes["kind.values"])
    assert.truthy(attributes["created.values"])
    assert.is_nil(attributes["title.values"])
    assert.is_nil(attributes["item.values"])
    local dir = command.scratch(finally)
    local other = assert(bundle.open(tiny.publish(built, dir, { attributes = { "created" }, popular = false })))
    assert.is_nil(other:tensors("items.attributes.safetensors")["kind.values"])
    local members = {}
    for _, member in ipairs(other:members()) do members[member.name] = true end
    assert.is_nil(members["popular.safetensors"])
    assert.has_error(function() tiny.publish(built, dir, { attributes = { "colour" } }) end,
      "attributes: items have no column 'colour'; there are item, title, kind, created")
  end)

  it("weigh an event by its age", function()
    local dir = command.scratch(finally)
    local b = assert(bundle.open(tiny.publish(built, dir, { popular = { half_life = tiny.day } })))
    local popular = b:tensors "popular.safetensors"
    local as_of, expected = 13 * tiny.day + 1, {}
    for _, event in ipairs { { 1, 10 }, { 3, 10 }, { 2, 11 }, { 5, 11 }, { 6, 11 }, { 3, 12 }, { 4, 12 }, { 5, 12 },
      { 6, 13 } } do
      expected[event[1]] = (expected[event[1]] or 0) + 2 ^ (-(as_of - event[2] * tiny.day) / tiny.day)
    end
    local rows, scores = popular.rows:tolist(), popular.scores:tolist()
    assert.equal(12, #rows)
    for i, row in ipairs(rows) do assert.near(expected[row + 1] or 0, scores[i], 1e-6) end
    assert.same({ 5, 4, 2, 3, 1, 0, 6, 7, 8, 9, 10, 11 }, rows)
  end)

  it("are refused when they do not fit", function()
    local function altered(name, changes)
      local b = assert(bundle.open(path))
      local members = {}
      for _, member in ipairs(b:members()) do
        local entry = { member.name, bytes = b:text(member.name) }
        if member.name == name then
          local tensors = b:tensors(name)
          for key, t in pairs(changes) do tensors[key] = t or nil end
          entry = { name, tensors = tensors }
        end
        members[#members + 1] = entry
      end
      local manifest = b:manifest()
      manifest.format, manifest.members = nil, nil
      assert(bundle.write(folder .. "/altered.tar", { manifest = manifest, members = members }))
      local model, message, code = serve.open(folder .. "/altered.tar")
      assert.is_nil(model)
      assert.equal("format", code)
      assert.truthy(message:find("altered.tar: member " .. name, 1, true), message)
    end
    altered("items.attributes.safetensors", { ["kind.values"] = tensor.zeros(11, "i32") })
    altered("items.attributes.safetensors", { ["kind.values"] = tensor.full(9, 12, "i32") })
    altered("items.attributes.safetensors", { ["kind.bytes"] = false })
    altered("popular.safetensors", { rows = tensor.zeros(12, "i32") })
    altered("popular.safetensors", { rows = tensor.full(12, 12, "i32") })
    altered("popular.safetensors", { scores = tensor.zeros(11) })
    altered("popular.safetensors", { ["users.segment"] = tensor.full(99, 6, "i32") })
    altered("popular.safetensors", { ["segments.rows"] = false })
    altered("popular.safetensors", { ["segments.starts"] = tensor.zeros(1, "i64") })
  end)
end)

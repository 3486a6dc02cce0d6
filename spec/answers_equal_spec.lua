--- However recommendations are asked for, they are the same to the bit: 1,000 users drawn at random, with filters and
--- exclusions, through the model in this process, over HTTP, as a batch of the command, and as a recipe's own batch.

local base = require "recsys.base"
local command = require "spec.support.command"
local files = require "recsys.files"
local http = require "recsys.http"
local json = require "recsys.json"
local log = require "recsys.log"
local operation = require "recsys.serve.operation"
local recommend = require "recsys.recommend"
local serve = require "recsys.serve"
local tensor = require "recsys.tensor"
local wide = require "spec.support.wide_model"

local N <const>, K <const> = 1000, 20

local folder, built, path

--- Filters, and the same as functions of an item's values.
local FILTERS <const> = {
  { nil, function() return true end },
  { '{"kind":"sport"}', function(i) return i.kind == "sport" end },
  { '{"kind":["city","world"],"price":{"gte":4,"lt":15.5}}',
    function(i) return (i.kind == "city" or i.kind == "world") and i.price and i.price >= 4 and i.price < 15.5 end },
  { '{"not":{"tags":"a"}}', function(i) return not table.concat(i.tags):find "a" end },
  { '{"or":[{"price":null},{"tags":["b","c"]}]}',
    function(i) return not i.price or table.concat(i.tags):find "[bc]" end },
  { '{"created":{"gt":"1970-01-20","lte":"1970-02-03T00:00:00Z"}}',
    function(i) return i.created > 19 * wide.day and i.created <= 33 * wide.day end },
  { '{"and":[{"kind":["sport","money"]},{"not":{"or":[{"tags":null},{"price":{"gt":12}}]}}]}', function(i)
    return (i.kind == "sport" or i.kind == "money") and #i.tags > 0 and not (i.price and i.price > 12)
  end },
  { '{"item":["i5","i77","i300"]}', nil },
}
FILTERS[8][2] = function(_, row) return row == 5 or row == 77 or row == 300 end

--- The requests: { user = number, filter = number, exclude = rows, text = JSON }.
local function draw_requests()
  local stream, at = base.stream(23, "user", 0, 4), 0
  local function draw(n)
    at = at + 1
    return stream:below(at, n)
  end
  local requests = {}
  for i = 1, N do
    local r = { user = 1 + draw(wide.n_users), filter = 1 + draw(#FILTERS), exclude = {} }
    local ids = json.list {}
    for _ = 1, draw(4) do
      r.exclude[#r.exclude + 1] = draw(wide.n_items)
      ids[#ids + 1] = "i" .. r.exclude[#r.exclude] + 1
    end
    local filter = FILTERS[r.filter][1]
    r.text = ('{"user":"u%d","k":%d,"exclude":%s%s}'):format(r.user, K, json.encode(ids),
      filter and ',"filter":' .. filter or "")
    requests[i] = r
  end
  return requests
end

--- Requests of all kinds, which only the server's code answers.
local function more_requests()
  local list = {}
  for i = 1, 200 do
    local user = ("u%d"):format(1 + i * 7 % wide.n_users)
    list[#list + 1] = { text = json.encode { user = user, k = K, caps = { kind = 1 + i % 5, tags = 9 },
      diversity = i % 2 == 0 and { lambda = 0.3 + i % 6 / 10 } or nil,
      freshness = i % 3 == 0 and { boost = 0.5, half_life = "5d" } or nil, exclude_seen = i % 4 > 0 } }
    list[#list + 1] = { text = json.encode { user = "new" .. i, k = 3, fields = { platform = "ios", age = 20 + i },
      history = i % 2 == 0 and { "i" .. i, "gone", "i" .. i + 1 } or nil } }
    list[#list + 1] = { text = json.encode { user = "nobody" .. i, k = 3, filter = { kind = "city" } } }
  end
  return list
end

--- An answer's text without what a service adds.
local function bare(text)
  return (text:gsub(',"model_version":"[^"]*","request_id":"[^"]*","latency_ms":[%d.]+}', "}"):gsub("\n$", ""))
end

local ways = {}

ways["the model in this process"] = function(requests)
  local model <close> = assert(serve.open(path))
  local answers = {}
  for i, r in ipairs(requests) do answers[i] = assert(model:answer(r.text)) end
  return answers
end

--- The lines of a request's file as answers.
local function lines_of(text)
  local lines = {}
  for line in text:gmatch "[^\n]+" do lines[#lines + 1] = bare(line) end
  return lines
end

local function texts_of(requests)
  local texts = {}
  for i, r in ipairs(requests) do texts[i] = r.text end
  return table.concat(texts, "\n") .. "\n"
end

ways["recommend BUNDLE --users"] = function(requests)
  local users, out = command.write(folder .. "/users.jsonl", texts_of(requests)), folder .. "/out.jsonl"
  local ran = command.run(("%s recommend %s --users %s --out %s"):format(command.program, path, users, out))
  assert.equal(0, ran.code, ran.err)
  return lines_of(files.read(out))
end

--- A server while 'fn' asks it; behind a recipe where its path is given.
local function served(fn, recipe)
  log.level = "quiet"
  local opened = operation.open { word = path, port = 0, workers = 2, poll = 0,
    recipe = recipe and { path = recipe, limits = { time = 1, memory = 64 } } }
  local client <close> = assert(http.client { timeout_ms = 20000 })
  local ok, result = pcall(fn, function(route, body, kind)
    local reply = assert(client:request { method = "POST", url = opened:url() .. route, body = body,
      headers = { ["Content-Type"] = kind or "application/json" } })
    assert(reply.status == 200, reply.body)
    return reply.body
  end)
  opened:close()
  log.level = "info"
  return assert(ok and result, result)
end

ways["POST /recommend"] = function(requests)
  return served(function(ask)
    local answers = {}
    for i, r in ipairs(requests) do answers[i] = bare(ask("/recommend", r.text)) end
    return answers
  end)
end

ways["POST /invocations, JSON Lines"] = function(requests)
  return served(function(ask) return lines_of(ask("/invocations", texts_of(requests), "application/jsonlines")) end)
end

ways["POST /invocations, behind a hook that changes nothing"] = function(requests)
  local recipe = command.write(folder .. "/recipe.lua",
    "return require('recsys').serve_recipe { before = function(asked) assert(asked.user) end }")
  return served(function(ask) return lines_of(ask("/invocations", texts_of(requests), "application/jsonlines")) end,
    recipe)
end

--- Of each answer the items and the texts of their scores.
local function items_of(answers)
  local lists = {}
  for i, text in ipairs(answers) do
    local list = {}
    for id, score in text:gmatch '{"id":"([^"]+)","score":([^,]+),"rank"' do list[#list + 1] = id .. " " .. score end
    lists[i] = list
  end
  return lists
end

--- What a request leaves out, as rows: what was seen, what is excluded, what the filter does not let pass.
local function excluded_of(requests)
  local history = built.encoder:sequences(built.dataset):tensors()
  local starts, seen, values, begins, lengths = history.starts:tolist(), history.items:tolist(), {}, {}, {}
  for i, r in ipairs(requests) do
    begins[i] = #values
    for at = starts[r.user] + 1, starts[r.user + 1] do values[#values + 1] = seen[at] end
    for _, row in ipairs(r.exclude) do values[#values + 1] = row end
    for row, item in ipairs(built.values) do
      if not FILTERS[r.filter][2](item, row) then values[#values + 1] = row - 1 end
    end
    lengths[i] = #values - begins[i]
  end
  return { starts = tensor.new(begins, "i64"), lengths = tensor.new(lengths, "i32"),
    values = tensor.new(values, "i32") }
end

--- As a recipe does it: vectors by the plans, top-K from Lua.
local function by_recipe(requests)
  local rows, names, item_ids = {}, {}, {}
  for i, r in ipairs(requests) do rows[i], names[i] = r.user - 1, tostring(i) end
  for i = 1, wide.n_items do item_ids[i] = "i" .. i end
  rows = tensor.new(rows, "i64")
  local encoder, data = built.encoder, built.dataset
  local users = built.model:user_vectors(encoder:encode_users(data.users), encoder:encode_users_at(data, rows), rows)
  local items = built.model:item_vectors(encoder:encode_items(data.items))
  local written = assert(recommend.batch { users = users, items = items, user_ids = names, item_ids = item_ids,
    k = K, excluded = excluded_of(requests), dir = folder })
  local lists = {}
  for i = 1, #requests do lists[i] = {} end
  for i, id, score in files.read(written.jsonl):gmatch '{"user":"(%d+)","rank":%d+,"item":"([^"]+)","score":([^,}]+)' do
    local list = lists[tonumber(i)]
    list[#list + 1] = id .. " " .. score
  end
  return lists
end

describe("recommendations", function()
  setup(function()
    folder = command.temporary()
    built = wide.build()
    path = wide.publish(built, folder .. "/models")
  end)
  teardown(function() command.remove(folder) end)

  it("are the same bytes by every way of asking", function()
    local requests, first = draw_requests(), nil
    for _, r in ipairs(more_requests()) do requests[#requests + 1] = r end
    local expected = ways["the model in this process"](requests)
    assert.equal(N + 600, #expected)
    for name, ask in pairs(ways) do
      local answers = ask(requests)
      assert.equal(#expected, #answers, name)
      for i, answer in ipairs(answers) do
        if answer ~= expected[i] and not first then
          first = ("%s\n%s\n%s\n%s"):format(name, requests[i].text, expected[i], answer)
        end
      end
    end
    assert.is_nil(first)
  end)

  it("of a CSV are those of its lines as JSON, in a batch and by /invocations", function()
    local rows, requests = { "k,user,age,likes,exclude_seen,platform,now" }, {}
    for i = 1, 300 do
      local k, age, now = i % 3 > 0 and i % 5 + 1, i % 4 > 0 and 20 + i / 4, i % 6 == 0 and (60 + i) * wide.day
      local likes = ({ { "3" }, { "1", "6" }, { "5", "x y", "0" }, false })[1 + i % 4]
      local platform, seen = ({ "ios", "web", false })[1 + i % 3], i % 7 == 0
      local user = i % 2 == 0 and "new, " .. i or "u" .. i
      rows[i + 1] = ('%s,"%s",%s,%s,%s,%s,%s'):format(k or "", user, age or "",
        likes and table.concat(likes, "|") or "", seen and "false" or "", platform or "", now or "")
      requests[i] = { text = json.encode { user = user, k = k or nil, exclude_seen = not seen, now = now or nil,
        fields = { age = age or nil, likes = likes and json.list(likes) or nil, platform = platform or nil } } }
    end
    local text, out = table.concat(rows, "\n") .. "\n", folder .. "/csv.jsonl"
    local expected = ways["the model in this process"](requests)
    local ran = command.run(("%s recommend %s --users %s --out %s"):format(command.program, path,
      command.write(folder .. "/users.csv", text), out))
    assert.equal(0, ran.code, ran.err)
    assert.same(expected, lines_of(files.read(out)))
    assert.same(expected, lines_of(served(function(ask)
      return ask("/invocations", text, "text/csv; header=present")
    end)))
  end)

  it("are those of a recipe's own batch, rows and scores", function()
    local requests = draw_requests()
    local ours, theirs = items_of(ways["the model in this process"](requests)), by_recipe(requests)
    local filtered, items = {}, 0
    for i = 1, N do
      assert.same(theirs[i], ours[i], requests[i].text)
      items = items + #ours[i]
      filtered[requests[i].filter] = true
    end
    assert.equal(#FILTERS, #filtered)
    assert.is_true(items > 0.8 * N * K)
  end)
end)

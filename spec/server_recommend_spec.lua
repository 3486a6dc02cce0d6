--- POST /recommend and /invocations: what the model answers, in the forms that are asked for; a candidate beside the
--- live version, and a shadow.

local cjson = require "cjson.safe"
local openapi = require "spec.support.openapi"
local serve = require "recsys.serve"
local serving = require "spec.support.serving"
local tiny = require "spec.support.tiny_model"

local ask, call = serving.ask, serving.call

local function ids_of(answer)
  local ids = {}
  for i, item in ipairs(answer.items) do ids[i] = item.id or item.item end
  return ids
end

--- A body as it is, of a content type.
local function send(body, kind, headers)
  headers = headers or {}
  headers["Content-Type"] = kind
  return ask("POST", "/invocations", body, headers)
end

--- The lines of a reply.
local function lines_of(reply)
  assert.equal(200, reply.status, reply.body)
  local list = {}
  for line in reply.body:gmatch "([^\n]*)\n" do list[#list + 1] = line end
  return list
end

--- JSON Lines, each of which openapi.json describes.
local function answers_of(reply)
  local list = lines_of(reply)
  for i, line in ipairs(list) do
    list[i] = assert(cjson.decode(line))
    local schema = list[i].answers and "Answers" or list[i].error and "Refusal" or "Answer"
    assert.is_nil(openapi.wrong({ ["$ref"] = "#/components/schemas/" .. schema }, list[i]))
  end
  return list
end

describe("POST /recommend", function()
  local model
  setup(function()
    serving.start()
    serving.open()
    model = assert(serve.open(serving.path))
  end)
  teardown(function()
    model:close()
    serving.stop()
  end)

  it("answers as the model does, for known users, strangers and sessions", function()
    local requests = { { user = "u1" }, { user = "u1", k = 3, exclude_seen = false }, { user = "u\"5", k = 12 },
      { user = "new", fields = { platform = "ios" } }, { history = { "i9", "i2" }, k = 4 }, { user = "u2", now = 12 *
      tiny.day } }
    for _, request in ipairs(requests) do
      local answer = call("POST", "/recommend", request)
      local fields = request.fields
      request.fields = fields and cjson.encode(fields)
      local expected = assert(model:recommend(request))
      assert.same(ids_of(expected), ids_of(answer))
      for i, item in ipairs(answer.items) do
        assert.equal(i, item.rank)
        assert.is_true(math.abs(item.score - expected.items[i].score) <= 1e-6 * math.abs(item.score))
      end
      assert.equal("tiny-1", answer.model_version)
      assert.equal(expected.known, answer.known)
      assert.same(expected.filtered, answer.filtered)
    end
  end)

  it("gives the caller's request id back, in the answer as well", function()
    local reply, answer = ask("POST", "/recommend", { user = "u1" }, { ["X-Request-Id"] = "abc-1" })
    assert.equal("abc-1", answer.request_id)
    assert.equal("abc-1", reply.headers["x-request-id"])
  end)

  it("answers several users in one call, each as by itself, and a wrong one in its place", function()
    local body = { users = { "u1", { user = "u2", k = 2 }, { user = "u3", k = -1 }, "u6" }, k = 5 }
    local answers = call("POST", "/recommend", body).answers
    assert.equal(4, #answers)
    assert.same(ids_of(call("POST", "/recommend", { user = "u1", k = 5 })), ids_of(answers[1]))
    assert.equal(2, #answers[2].items)
    assert.equal("users[2].k", answers[3].error.path)
    assert.equal("u6", answers[4].user)
    assert.same({}, call("POST", "/recommend", '{"users":[]}', { ["Content-Type"] = "application/json" }).answers)
  end)

  it("names the fields that nothing reads", function()
    local fields = { platform = "ios", ["plat\"from"] = "ios", user = "u1" }
    for _, user in ipairs { "new", "u1" } do
      local answer = call("POST", "/recommend", { user = user, fields = fields })
      table.sort(answer.ignored)
      assert.same({ "plat\"from", "user" }, answer.ignored)
    end
    assert.is_nil(call("POST", "/recommend", { user = "new", fields = { platform = "ios" } }).ignored)
    assert.is_nil(call("POST", "/recommend", { user = "new" }).ignored)
    assert.same({ "age" }, call("POST", "/score", { fields = { age = 1 }, items = { "i1" } }).ignored)
    assert.same({ "age" }, call("POST", "/embed", { fields = { age = 1 } }).ignored)
    local lines = answers_of(send("user,platfrom,k\nnew,ios,2\nnew,,2\n", "text/csv;header=present"))
    assert.same({ "platfrom" }, lines[1].ignored)
    assert.is_nil(lines[2].ignored)
    local many = {}
    for i = 1, 30 do many["f" .. i] = i end
    assert.equal(20, #call("POST", "/recommend", { fields = many }).ignored)
  end)

  it("refuses what makes no sense, and says where it is", function()
    local cases = { { '{"user":"u1","k":0}', "bad_request", "k" }, { '{"user":"u1","x":1}', "bad_request", "x" },
      { '{"user":"u1","k":"five"}', "bad_request", "k" }, { '{"user":"u1"', "bad_json" }, { "", "bad_json" },
      { '{"user":"new","fields":{"platform":["a"]}}', "bad_request", "fields.platform" },
      { '{"fields":{"platform":{"a":1}}}', "bad_request", "fields.platform" },
      { '{"fields":{"platform":true}}', "bad_request", "fields.platform" },
      { '{"history":[{"item":"i1","time":2},{"item":"i2","time":1}]}', "bad_request", "history" },
      { '{"user":"u1","caps":{"nope":1}}', "bad_request", "caps.nope" },
      { '{"user":"u1","caps":{"item":1}}', "bad_request", "caps.item" },
      { '{"user":"u1","caps":{"created":1}}', "bad_request", "caps.created" },
      { '{"user":"u1","filter":{"nope":1}}', "bad_request", "filter.nope" },
      { '{"users":[{"user":"u1"}],"user":"u1"', "bad_json" }, { '{"user":"u1"} {}', "bad_json" },
      { "[1]", "bad_request" }, { '{"user":"u1","user":"u2"}', "bad_request", "user" } }
    for _, case in ipairs(cases) do
      local reply, body = ask("POST", "/recommend", case[1], { ["Content-Type"] = "application/json" })
      assert.equal(400, reply.status, case[1] .. reply.body)
      assert.same({ case[2], case[3] }, { body.error.code, body.error.path }, case[1] .. reply.body)
    end
    assert.equal(415, ask("POST", "/recommend", "user=u1",
      { ["Content-Type"] = "application/x-www-form-urlencoded" }).status)
    assert.equal(405, ask("GET", "/recommend").status)
  end)

  it("says whose it is that makes no sense, and what stands beside the list", function()
    local function paths(request)
      local found = {}
      for i, answer in ipairs(call("POST", "/recommend", request).answers) do
        found[i] = answer.error and answer.error.path or "fine"
      end
      return found
    end
    assert.same({ "fine", "users[1].fields.platform", "users[2].filter.nope", "users[3].caps.item",
      "users[4].history" }, paths { users = { "u1",
        { user = "new", fields = { platform = { "a" } } }, { user = "u2", filter = { nope = 1 } },
        { user = "u6", caps = { item = 1 } },
        { history = { { item = "i2", time = 5 }, { item = "i1", time = 4 } } } } })
    assert.same({ "filter.nope", "users[1].filter.none", "fine" }, paths { filter = { nope = 1 },
      users = { "u1", { user = "u2", filter = { none = 1 } }, { user = "u6", filter = { kind = "city" } } } })
    assert.same({ "caps.nope", "caps.nope" }, paths { caps = { nope = 1 }, users = { "u1", "u2" } })
  end)

  it("counts its answers", function()
    local before = serving.metric 'recsys_answers_total{slot="live"}'
    call("POST", "/recommend", { users = { "u1", "u2" } })
    assert.equal(before + 2, serving.metric 'recsys_answers_total{slot="live"}')
  end)
end)

describe("POST /similar, /score and /embed", function()
  setup(function()
    serving.start()
    serving.open()
  end)
  teardown(serving.stop)

  local function dot(a, b)
    local sum = 0
    for i = 1, #a do sum = sum + a[i] * b[i] end
    return sum
  end

  it("say what fits what the vectors say", function()
    local ids, vectors = {}, {}
    for i = 1, tiny.n_items do ids[i] = "i" .. i end
    for _, item in ipairs(call("POST", "/embed", { items = ids }).items) do vectors[item.id] = item.vector end
    local user = call("POST", "/embed", { user = "u1" }).vectors[1]
    local recommended = {}
    for _, item in ipairs(call("POST", "/recommend", { user = "u1", k = 12, exclude_seen = false }).items) do
      recommended[item.id] = item.score
    end
    local scores = call("POST", "/score", { user = "u1", items = ids })
    assert.equal(tiny.n_items, #scores.items)
    for i, item in ipairs(scores.items) do
      assert.equal("i" .. i, item.id)
      assert.equal(recommended[item.id], item.score)
      assert.is_true(math.abs(item.score - dot(user, vectors[item.id])) < 1e-5)
    end
    local alike = call("POST", "/similar", { item = "i3", k = 11 })
    assert.equal(11, #alike.items)
    for i, item in ipairs(alike.items) do
      local a, b = vectors.i3, vectors[item.id]
      assert.is_true(math.abs(item.score - dot(a, b) / math.sqrt(dot(a, a) * dot(b, b))) < 1e-5)
      assert.is_true(i == 1 or item.score <= alike.items[i - 1].score)
      assert.not_equal("i3", item.id)
    end
  end)

  it("tell what there is not in its place, and refuse what makes no sense", function()
    local answers = call("POST", "/similar", { items = { "i3", "gone" }, k = 1 }).answers
    assert.same({ "i3", "gone" }, { answers[1].item, answers[2].item })
    assert.equal("bad_request", answers[2].error.code)
    assert.is_string(call("POST", "/score", { user = "u1", items = { "gone" } }).items[1].error)
    assert.is_string(call("POST", "/embed", { items = { "gone" } }).items[1].error)
    for _, case in ipairs { { "/similar", {} }, { "/similar", { item = "gone" } }, { "/score", { user = "u1" } },
      { "/embed", { user = "u1", k = 3 } }, { "/similar", { item = "i1", user = "u1" } } } do
      assert.equal(400, ask("POST", case[1], case[2]).status, case[1])
    end
    assert.equal(415, ask("POST", "/score", "{}", { ["Content-Type"] = "text/csv" }).status)
  end)
end)

describe("POST /invocations", function()
  setup(function()
    serving.start()
    serving.open()
  end)
  teardown(serving.stop)

  local function recommended(request) return ids_of(call("POST", "/recommend", request)) end

  it("takes JSON as /recommend does", function()
    local _, one = send('{"user":"u1","k":3}', "application/json")
    assert.same(recommended { user = "u1", k = 3 }, ids_of(one))
    local _, several = send('{"users":["u1","u2"]}', nil)
    assert.equal(2, #several.answers)
    local reply = send('{"users":["u1","u2"]}', "application/json", { Accept = "application/jsonlines" })
    assert.equal("application/jsonlines", reply.headers["content-type"])
    assert.equal(2, #answers_of(reply))
    assert.equal(400, send("{", "application/json").status)
  end)

  it("answers JSON Lines line by line, a bad one in its place", function()
    for _, kind in ipairs { "application/jsonlines", "application/x-jsonlines", "application/jsonlines;charset=UTF-8",
      "application/x-ndjson" } do
      local reply = send('{"user":"u1","k":3}\r\n{bad\n\n{"users":["u2","u3"],"k":1}\n{"user":"u2","k":2,"z":0}\n' ..
        '{"user":"u6","k":1}', kind)
      assert.equal("application/jsonlines", reply.headers["content-type"])
      local answers = answers_of(reply)
      assert.equal(6, #answers)
      assert.same(recommended { user = "u1", k = 3 }, ids_of(answers[1]))
      assert.equal("bad_json", answers[2].error.code)
      assert.equal("bad_json", answers[3].error.code)
      assert.equal("u3", answers[4].answers[2].user)
      assert.same({ "z", "u2" }, { answers[5].error.path, answers[5].user })
      assert.equal("u6", answers[6].user)
    end
    assert.equal("", send("", "application/jsonlines").body)
    local _, together = send('{"user":"u1"}\n{', "application/jsonlines", { Accept = "application/json" })
    assert.equal(2, #together.answers)
  end)

  it("answers text/csv without and with a line of names", function()
    local answers = answers_of(send('u1,3\n"u,4"\n"u""5",1\nu1,3,4\nu1,x\n"u1\n\n,2\n', "text/csv"))
    assert.equal(8, #answers)
    assert.same(recommended { user = "u1", k = 3 }, ids_of(answers[1]))
    assert.equal("u,4", answers[2].user)
    assert.equal("u\"5", answers[3].user)
    assert.equal(1, #answers[3].items)
    assert.matches("more than 2 fields", answers[4].error.message)
    assert.same({ "k", "u1" }, { answers[5].error.path, answers[5].user })
    assert.same({ nil, nil, nil }, { answers[4].user, answers[6].user, answers[7].user })
    assert.matches("does not end in its line", answers[6].error.message)
    assert.equal("the line is empty", answers[7].error.message)
    assert.equal(cjson.null, answers[8].user)
    answers = answers_of(send('user,platform,k,exclude_seen\r\nnew,ios,2,\nu1,,12,false\nu1,ios\n',
      "text/csv; header=present"))
    assert.equal(3, #answers)
    assert.same(recommended { user = "new", fields = { platform = "ios" }, k = 2 }, ids_of(answers[1]))
    assert.same(recommended { user = "u1", k = 12, exclude_seen = false }, ids_of(answers[2]))
    assert.matches("2 fields where the first one has 4", answers[3].error.message)
    for _, kind in ipairs { "text/csv; header=present", "text/csv" } do -- Excel's begin with a byte order mark
      local names = kind:find "header" and "user,k\n" or ""
      local plain, marked = send(names .. "u1,3\n", kind), send("\u{FEFF}" .. names .. "u1,3\n", kind)
      assert.same({ 200, 200 }, { plain.status, marked.status })
      assert.same(ids_of(answers_of(plain)[1]), ids_of(answers_of(marked)[1]))
    end
    assert.equal(400, send("platform,k\nios,3", "text/csv; header=present").status)
    assert.equal(400, send("user,user\nu1,u2", "text/csv; header=present").status)
  end)

  it("answers by ids alone where text/csv is wanted", function()
    local list = lines_of(send('u1,2\n{\n"u""5",x\n', "text/csv", { Accept = "text/csv" }))
    assert.equal(3, #list)
    assert.equal(table.concat(recommended { user = "u1", k = 2 }, ","), list[1])
    assert.matches("^#error,", list[3])
    list = lines_of(send('{"users":["u1"]}\n{"user":"u1","k":1}', "application/jsonlines", { Accept = "text/csv" }))
    assert.matches("^#error,users: a line of text/csv is the answer to one user$", list[1])
  end)

  it("refuses other kinds, asked or wanted", function()
    assert.equal(415, send("x", "application/x-npy").status)
    assert.equal(415, send("{}", "application/json; charset=latin1").status)
    local reply, body = send('{"user":"u1"}', "application/json", { Accept = "image/png" })
    assert.equal(406, reply.status)
    assert.equal("not_acceptable", body.error.code)
  end)

  it("sends custom attributes back", function()
    local name = "X-Amzn-SageMaker-Custom-Attributes"
    local reply = send('{"user":"u1"}', "application/json", { [name] = "trace=7, a" })
    assert.equal("trace=7, a", reply.headers[name:lower()])
    assert.equal("trace=7", send("x", "image/png", { [name] = "trace=7" }).headers[name:lower()])
    assert.equal(400, send('{"user":"u1"}', "application/json", { [name] = ("x"):rep(1025) }).status)
  end)

  it("answers many lines without keeping others waiting", function()
    local many = {}
    for i = 1, 3000 do many[i] = ('{"user":"u%d","k":1}'):format(1 + i % 3) end
    local answers = answers_of(send(table.concat(many, "\n"), "application/jsonlines"))
    assert.equal(3000, #answers)
    for i = 1, 3000, 617 do assert.equal("u" .. 1 + i % 3, answers[i].user) end
  end)
end)

describe("a candidate", function()
  before_each(function() serving.start() end)
  after_each(serving.stop)

  local function versions_of(users)
    local list = {}
    for i, answer in ipairs(call("POST", "/recommend", { users = users, k = 1 }).answers) do
      list[i] = answer.model_version
    end
    return list
  end

  it("answers its share of the users, the same ones each time, and none without an id", function()
    local second = tiny.publish(serving.built, serving.models, { created = "2024-02-01T00:00:00Z" })
    local users, shares = {}, {}
    for i = 1, 800 do users[i] = "user-" .. i end
    for _, share in ipairs { 1000, 3000, 10000, 0 } do
      serving.open { split = { word = second, share = share } }
      local his, before = versions_of(users), shares[#shares]
      assert.same(his, versions_of(users))
      local n = 0
      for i, version in ipairs(his) do
        assert.is_true(version == "tiny-1" or version == "tiny-2")
        n = n + (version == "tiny-2" and 1 or 0)
        if before and share > 1000 and before[i] == "tiny-2" then assert.equal("tiny-2", version) end
      end
      assert.is_true(math.abs(n - 800 * share / 10000) <= 40, n .. " of " .. share)
      shares[#shares + 1] = his
      local nobody = call("POST", "/recommend", { history = { "i9" } })
      assert.equal("tiny-1", nobody.model_version)
      assert.equal(share / 10000, call("GET", "/version").candidate.share or 0)
      assert.equal(2 * n, serving.metric 'recsys_answers_total{slot="candidate"}')
    end
  end)
end)

describe("a shadow", function()
  before_each(function() serving.start() end)
  after_each(serving.stop)

  --- Wait until the shadow has answered, or was passed over, n times.
  local function until_compared(n)
    for _ = 1, 400 do
      local seen = serving.metric "recsys_shadow_overlap_count" + serving.metric "recsys_shadow_skipped_total"
        + serving.metric "recsys_shadow_failed_total"
      if seen >= n then return seen end
      require("luv").sleep(10)
    end
    error "the shadow does not answer"
  end

  it("is asked what the live version is asked, and compared with it", function()
    serving.open { shadow = serving.path }
    for i = 1, 20 do
      call("POST", "/recommend", { user = "u" .. 1 + i % 3, k = 4, exclude = { "i1" }, history = i % 2 == 0 and { "i9" }
        or nil, filter = nil })
    end
    until_compared(20)
    assert.equal(20, serving.metric "recsys_shadow_overlap_count")
    assert.equal(20, serving.metric "recsys_shadow_overlap_sum")
    assert.equal(0, serving.metric 'recsys_shadow_overlap_bucket{le="0.9"}')
    assert.equal(20, serving.metric "recsys_shadow_duration_seconds_count")
    assert.equal("tiny-1", call("POST", "/recommend", { user = "u1" }).model_version)
  end)

  it("may answer otherwise, and its queue is bounded", function()
    local other = tiny.build()
    other.vectors:copy_(other.vectors * -1)
    local path = tiny.publish(other, serving.models, { created = "2024-02-01T00:00:00Z" })
    serving.open { shadow = path }
    for _ = 1, 10 do call("POST", "/recommend", { user = "u1", k = 4 }) end
    until_compared(10)
    assert.is_true(serving.metric "recsys_shadow_overlap_sum" < 10)
    local users = {}
    for i = 1, 900 do users[i] = "user-" .. i end
    call("POST", "/recommend", { users = users, k = 5 })
    assert.equal(910, until_compared(910))
  end)
end)

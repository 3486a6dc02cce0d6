--- A published model answers as the model on its tape does, and refuses broken bundles.

local bundle = require "recsys.bundle"
local command = require "spec.support.command"
local json = require "recsys.json"
local retrieval = require "recsys.retrieval"
local serve = require "recsys.serve"
local base = require "recsys.base"
local tensor = require "recsys.tensor"
local tiny = require "spec.support.tiny_model"

local folder, built, path

--- Items of user 'u' (1 ..) by falling score, without those of 'excluded'.
local function ranked(scores, u, excluded)
  local order = {}
  for i = 1, tiny.n_items do
    if not (excluded and excluded["i" .. i]) then order[#order + 1] = i end
  end
  table.sort(order, function(a, b)
    local difference = scores[u][a] - scores[u][b]
    if math.abs(difference) > 1e-5 then return difference > 0 end
    return a < b
  end)
  local ids = {}
  for n, i in ipairs(order) do ids[n] = "i" .. i end
  return ids
end

local function ids_of(answer)
  local ids = {}
  for n, found in ipairs(answer.items) do ids[n] = found.item end
  return ids
end

local function set(...)
  local names = {}
  for _, name in ipairs { ... } do names[name] = true end
  return names
end

local function open(changes)
  if not changes then return assert(serve.open(path)) end
  local dir = command.temporary()
  local model, message, code = serve.open(tiny.publish(built, dir, changes))
  command.remove(dir)
  return model, message, code
end

local function with_a_bundle()
  setup(function()
    folder = command.temporary()
    built = tiny.build()
    path = tiny.publish(built, folder)
  end)
  teardown(function() command.remove(folder) end)
end

describe("a mapped model", function()
  with_a_bundle()

  it("answers as one that was opened, and is verified later", function()
    local mapped <close> = assert(serve.map(path))
    local opened <close> = assert(serve.open(path))
    assert.same(opened:recommend { user = "u1" }, mapped:recommend { user = "u1" })
    assert.equal(opened:digest(), mapped:digest())
    assert.is_true(mapped:verify())
  end)

  it("tells which member does not have its hash", function()
    local text = command.read(path)
    local at = text:find("Title 3", 1, true)
    local damaged = folder .. "/damaged.tar"
    command.write(damaged, text:sub(1, at - 1) .. "X" .. text:sub(at + 1))
    assert.falsy(serve.open(damaged))
    local mapped <close> = assert(serve.map(damaged))
    local fine, message, code = mapped:verify()
    assert.is_nil(fine)
    assert.matches("damaged%.tar is damaged: member 'items.safetensors' does not have its SHA%-256", message)
    assert.equal("format", code)
  end)
end)

describe("a served model", function()
  with_a_bundle()

  it("tells what it knows", function()
    local model <close> = open()
    assert.same({ users = 6, items = 12, events = 9, width = 5, likeness = 5, index = "exact",
      as_of = 13 * tiny.day + 1 }, model:facts())
    assert.equal("u\"5", model:user(5))
    assert.same({ "i2", "Title 2, \"quoted\"" }, { model:item(2) })
    assert.equal("", select(2, model:item(4)))
    assert.equal("ServedModel of 6 users x 12 items", tostring(model))
  end)

  it("ranks as the model on its tape does", function()
    local model <close> = open()
    local scores = tiny.scores(built)
    for u = 1, tiny.n_users do
      local answer = assert(model:recommend { user = model:user(u), k = 12, exclude_seen = false })
      assert.is_true(answer.known)
      assert.same(ranked(scores, u), ids_of(answer))
      for _, found in ipairs(answer.items) do
        local i = tonumber(found.item:sub(2))
        assert.near(scores[u][i], found.score, 1e-5 * (1 + math.abs(scores[u][i])))
      end
    end
  end)

  it("leaves out what the user has seen, unless told otherwise", function()
    local model <close> = open()
    local scores = tiny.scores(built)
    assert.same(ranked(scores, 1, set("i1", "i2", "i3")), ids_of(model:recommend { user = "u1", k = 12 }))
    assert.equal(12, #model:recommend({ user = "u1", k = 50, exclude_seen = false }).items)
    assert.equal(3, #model:recommend({ user = "u1", k = 3 }).items)
  end)

  it("gives one user the bits that all users get together", function()
    local model <close> = open()
    local rows, scores = model:recommend_users { k = 12 }
    assert.equal("Tensor i64 [6, 12]", tostring(rows))
    for u = 1, tiny.n_users do
      local answer = model:recommend { user = model:user(u), k = 12 }
      for n, found in ipairs(answer.items) do
        assert.equal(found.item, (model:item(rows:get(u, n) + 1)))
        assert.equal(scores:get(u, n), found.score)
      end
      for n = #answer.items + 1, 12 do
        assert.equal(-1, rows:get(u, n))
        assert.equal(-math.huge, scores:get(u, n))
      end
    end
    local some = model:recommend_users { k = 12, first = 3, n = 2 }
    assert.same({ rows:tolist()[3], rows:tolist()[4] }, some:tolist())
  end)

  it("gives the bits of plans and top-K run from Lua, as batch recommendations are", function()
    local model <close> = open()
    local vectors = built.plans.user:run(built.weights, tiny.user_batch(built.encoder, built.dataset)).user
    local rows, scores = retrieval.topk { users = vectors, items = built.vectors, k = 12 }
    local served_rows, served_scores = model:recommend_users { k = 12, exclude_seen = false }
    assert.same(rows:tolist(), served_rows:tolist())
    assert.equal(scores:to_string(), served_scores:to_string())
  end)

  it("knows only what came before the moment asked about", function()
    local model <close> = open()
    local scores = tiny.scores(built, 12 * tiny.day)
    local answer = model:recommend { user = "u1", k = 12, now = 12 * tiny.day }
    assert.equal(12 * tiny.day, answer.now)
    assert.same(ranked(scores, 1, set("i1", "i2")), ids_of(answer))
  end)

  it("scores an unknown user by the unknown row, and says so", function()
    local model <close> = open()
    local answer = assert(model:recommend { user = "stranger", k = 12 })
    assert.is_false(answer.known)
    assert.equal(12, #answer.items)
    assert.same(answer, model:recommend { user = "another", k = 12 })
    assert.same(answer, model:recommend { k = 12 })
    -- u6 has no events either: the difference lies in id and platform alone
    local like_u6 = model:recommend { user = "stranger", fields = '{"platform": "ios"}', k = 12 }
    assert.not_same(answer.items, like_u6.items)
  end)

  it("takes a history in place of the user's own", function()
    local model <close> = open()
    local own = model:recommend { user = "u1", k = 12 }
    local same = model:recommend { user = "u1", history = { "i1", "i2", "i3" }, k = 12 }
    assert.same(own, same)
    local other = model:recommend { user = "u1", history = { "i9", "gone", "i5" }, k = 12 }
    assert.equal(1, other.foreign)
    assert.is_true(other.known)
    assert.not_same(own.items, other.items)
    assert.equal(10, #other.items)
    assert.equal(12, #model:recommend({ user = "u1", history = {}, k = 12 }).items)
  end)

  it("recommends only what is young enough when items age", function()
    local model <close> = open { window = 2 * tiny.day }
    local function candidates(day, k)
      local ids = ids_of(model:recommend { user = "u6", k = k or 12, now = day * tiny.day })
      table.sort(ids)
      return ids
    end
    assert.same({ "i5", "i6" }, candidates(7))
    assert.same({ "i1" }, candidates(2))
    assert.same({}, candidates(1))
    assert.same({}, candidates(-100))
    assert.same({}, candidates(1000))
    assert.same({ "i10", "i9" }, candidates(11))
  end)

  it("orders equal scores by the catalogue", function()
    local model <close> = open { vectors = tensor.zeros(12, 5) }
    assert.same({ "i1", "i2", "i3", "i4" }, ids_of(model:recommend { user = "u6", k = 4 }))
  end)

  it("answers without the Lua model or the data", function()
    local script = command.write(folder .. "/ask.lua", [[
      local model = assert(require("recsys.serve").open((...)))
      for _, found in ipairs(model:recommend({ user = "u1", k = 3 }).items) do print(found.item) end
      for _, name in ipairs { "recsys.feature", "recsys.autograd", "recsys.nn", "recsys.frame" } do
        assert(not package.loaded[name], name)
      end
    ]])
    local ran = command.run(("%s lua %s %s"):format(command.program, script, path))
    assert.equal(0, ran.code, ran.err)
    local model <close> = open()
    assert.equal(table.concat(ids_of(model:recommend { user = "u1", k = 3 }), "\n") .. "\n", ran.out)
  end)

  it("names a wrong argument", function()
    local model <close> = open()
    assert.has_error(function() model:recommend { user = "u1", k = 0 } end,
      "k is 0; 1 or more results can be asked for")
    assert.has_error(function() model:recommend { user = 7 } end,
      "bad argument #1 to 'recommend' (field 'user' must be a string)")
    assert.has_error(function() model:recommend { k = 1.5 } end,
      "bad argument #1 to 'recommend' (field 'k' must be a whole number)")
    assert.has_error(function() model:recommend { history = { 1 } } end,
      "bad argument #1 to 'recommend' (field 'history' must be a list of item ids, or of { item, time, fields })")
    assert.has_error(function() model:recommend { id = "u1" } end,
      "bad argument #1 to 'recommend' (there is no option 'id')")
    assert.has_error(function() model:recommend_users { first = 8 } end)
    assert.has_error(function() model:recommend_users { count = 8 } end,
      "bad argument #1 to 'recommend_users' (there is no option 'count')")
    assert.has_error(function() model:item(13) end, "bad argument #1 to 'item' (index 13 out of range 1..12)")
    model:close()
    assert.has_error(function() model:facts() end, "calling 'facts' on bad self (model is closed)")
  end)

  describe("is refused", function()
    --- The bundle (or that at 'from') with one member replaced by 'change' (nil: left out).
    local function altered(name, change, from)
      local b = assert(bundle.open(from or path))
      local members = {}
      for _, member in ipairs(b:members()) do
        local entry = { member.name, bytes = b:text(member.name) }
        if member.name == name then entry = change and change(b, entry) end
        members[#members + 1] = entry
      end
      local manifest = b:manifest()
      manifest.format, manifest.members = nil, nil
      if name == "manifest.json" then manifest = change(manifest) end
      assert(bundle.write(folder .. "/altered.tar", { manifest = manifest, members = members }))
      local model, message, code = serve.open(folder .. "/altered.tar")
      assert.is_nil(model)
      assert.equal("format", code, message)
      assert.truthy(message:find("altered.tar", 1, true), message)
      return message
    end

    --- Replace tensors of a safetensors member.
    local function with(changes)
      return function(b, entry)
        local tensors = b:tensors(entry[1])
        for name, t in pairs(changes) do tensors[name] = t or nil end
        return { entry[1], tensors = tensors }
      end
    end

    it("when a member is missing", function()
      for _, name in ipairs { "features.json", "vocabularies.safetensors", "plan.user.json", "weights.safetensors",
        "items.safetensors", "items.features.safetensors", "users.safetensors", "users.features.safetensors",
        "history.safetensors" } do
        assert.truthy(altered(name):find(name, 1, true))
      end
    end)

    it("when its manifest does not say how to serve it", function()
      assert.matches("does not say how to serve it", altered("manifest.json", function() return {} end))
      assert.matches("serving.window is not a whole number of 0 or more", altered("manifest.json", function(manifest)
        manifest.serving.window = -5
        return manifest
      end))
    end)

    it("when its likeness goes by dimensions that there are not", function()
      for likeness, said in pairs { [6] = "model.likeness is 6, but vectors have 5 dimensions",
        [0] = "model.likeness is not a whole number of 1 or more",
        ["5"] = "model.likeness is not a whole number of 1 or more" } do
        assert.truthy(altered("manifest.json", function(manifest)
          manifest.model.likeness = likeness
          return manifest
        end):find("manifest.json: " .. said, 1, true))
      end
    end)

    it("when a member is of another model", function()
      assert.matches("items.safetensors has no vector for each item",
        altered("items.safetensors", with { vectors = tensor.zeros(11, 5) }))
      assert.matches("fit the items", altered("items.safetensors", with { vectors = tensor.zeros(12, 4) }))
      assert.matches("users.safetensors", altered("users.safetensors", with { ["ids.bytes"] = tensor.zeros(3, "u8") }))
      assert.matches("item.id.table", altered("weights.safetensors", with { ["item.id.table"] = false }))
      assert.matches("titles", altered("items.safetensors", with { ["titles.offsets"] = tensor.zeros(12, "i64") }))
      assert.matches("creation time", altered("items.safetensors", with { created = tensor.zeros(3, "i64") }))
      assert.matches("history.safetensors", altered("history.safetensors",
        with { starts = tensor.new({ 0, 1, 2, 3, 4, 5, 99 }, "i64") }))
      assert.matches("users.features.safetensors", altered("users.features.safetensors",
        with { ["user.id"] = tensor.zeros(5, "i32"), ["user.platform"] = tensor.zeros(5, "i32") }))
    end)

    it("when the item vectors are of another training than the user tower", function()
      local said = "items.safetensors has vectors of another item tower than belongs to the user tower"
      local other = tensor.from_string(("0"):rep(32), "u8")
      assert.truthy(altered("items.safetensors", with { ["tower.version"] = other }):find(said, 1, true))
      assert.truthy(altered("weights.safetensors", with { ["tower.version"] = other }):find(said, 1, true))
      assert.truthy(altered("items.safetensors", with { ["tower.version"] = false }):find(said, 1, true))
      assert.truthy(altered("weights.safetensors",
        with { ["tower.version"] = tensor.zeros(3, 2) }):find(said, 1, true))
    end)

    it("when the vectors' codes are not of these vectors", function()
      local dir = command.scratch(finally)
      local from = tiny.publish(built, dir, { codes = true })
      assert(serve.open(from)):close()
      local function coded(changes) return altered("items.int8.safetensors", with(changes), from) end
      assert.matches("items.int8.safetensors lacks values, scales or bounds", coded { scales = false })
      assert.matches("items.int8.safetensors: codes are u8 %[1, 2, 64, 4%], .* do not fit 12 items of 5 dimensions",
        coded { scales = tensor.zeros(2, 64) })
      assert.matches("items.int8.safetensors holds codes of other vectors", coded { scales = tensor.zeros(1, 64) })
      assert.matches("items.int8.safetensors has vectors of another item tower",
        coded { ["tower.version"] = tensor.from_string(("0"):rep(32), "u8") })
    end)

    it("when a vector is not finite", function()
      local vectors = built.vectors:clone()
      vectors:set(3, 2, 0 / 0)
      assert.matches("NaN or an infinity", altered("items.safetensors", with { vectors = vectors }))
    end)

    -- A publisher can seal anything: each member is changed at random and sealed anew. What opens must answer, or
    -- refuse in words.
    it("or answers, whatever a member holds", function()
      local stream, drawn = base.stream(11, "user"), 0
      local function draw(n)
        drawn = drawn + 1
        return stream:below(drawn, n)
      end
      local function mutated(bytes, first)
        for _ = 0, draw(3) do
          local at = first + draw(#bytes - first)
          local byte = draw(2) == 0 and draw(256) or 48 + draw(10)
          bytes = bytes:sub(1, at) .. string.char(byte) .. bytes:sub(at + 2)
        end
        return bytes
      end
      local b = assert(bundle.open(path))
      local manifest, outcomes = b:manifest(), { opened = 0, refused = 0 }
      manifest.format, manifest.members = nil, nil
      for round = 1, 60 do
        local members = {}
        for n, member in ipairs(b:members()) do
          local bytes = b:text(member.name)
          local head = member.name:match "safetensors$" and round % 4 > 0 and 8 + ("<I8"):unpack(bytes) or 0
          if n == 1 + round % #b:members() then bytes = mutated(bytes, head) end
          members[n] = { member.name, bytes = bytes }
        end
        assert(bundle.write(folder .. "/mutated.tar", { manifest = manifest, members = members }))
        local model, message, code = serve.open(folder .. "/mutated.tar")
        if model then
          outcomes.opened = outcomes.opened + 1
          for u = 1, model:facts().users, 3 do
            local answer, refusal = model:recommend { user = model:user(u), history = u > 3 and { "i1" } or nil }
            assert(answer or refusal)
          end
          model:close()
        else
          outcomes.refused = outcomes.refused + 1
          assert.equal("format", code, message)
        end
      end
      assert.is_true(outcomes.opened > 5 and outcomes.refused > 5)
    end)

    it("when its JSON is broken", function()
      local function text(bytes)
        return function(_, entry) return { entry[1], bytes = bytes } end
      end
      assert.matches("features.json", altered("features.json", text "{}"))
      assert.matches("plan.user.json", altered("plan.user.json", text "[1, 2"))
    end)
  end)
end)

describe("recsys-run recommend", function()
  with_a_bundle()

  local function recommend(...)
    return command.run(command.program .. " recommend " .. table.concat({ ... }, " "))
  end

  it("prints rank, item, score and title", function()
    local ran = recommend(path, "--user u1 -k 3")
    assert.equal(0, ran.code, ran.err)
    local model <close> = open()
    local lines = {}
    for line in ran.out:gmatch "[^\n]+" do lines[#lines + 1] = line end
    assert.matches("^rank +item +score +title$", lines[1])
    for rank, found in ipairs(model:recommend({ user = "u1", k = 3 }).items) do
      assert.truthy(lines[rank + 1]:find(found.item, 1, true))
      assert.truthy(lines[rank + 1]:find(found.title, 1, true))
    end
    assert.equal(4, #lines)
  end)

  it("finds a published model by its name", function()
    local ran = recommend("tiny --models", folder, "--user u1 --json")
    assert.equal(0, ran.code, ran.err)
    local answer = json.decode(ran.out)
    assert.equal("u1", answer.user)
    assert.is_true(answer.known)
    assert.equal(9, #answer.items)
    assert.equal(1, answer.items[1].rank)
    assert.equal(12, #json.decode(recommend(path, "--user u1 --json --include-seen -k 20").out).items)
  end)

  it("says that a user is unknown", function()
    local ran = recommend(path, "--user nobody -k 2 --history i1,zz")
    assert.equal(0, ran.code)
    assert.matches("user 'nobody' is not known to this model: scored as a new user with the given history", ran.err)
    assert.matches("1 of the 2 items in the history are not in the catalogue", ran.err)
  end)

  it("ends with 1 for a damaged bundle and 2 for a wrong command", function()
    command.write(folder .. "/cut.tar", command.read(path):sub(1, 3000))
    local ran = recommend(folder .. "/cut.tar --user u1")
    assert.equal(1, ran.code)
    assert.matches("truncated or damaged", ran.err)
    assert.equal("", ran.out)
    assert.equal(2, recommend(path).code)
    assert.equal(2, recommend().code)
    assert.equal(2, recommend(path, "--user u1 -k 0").code)
    assert.equal(2, recommend(path, "--user u1 --now yesterday").code)
    assert.equal(2, recommend("tinny --models", folder, "--user u1").code)
  end)

  it("is of a piece with inspect", function()
    local ran = command.run(("%s inspect %s --verify"):format(command.program, path))
    assert.equal(0, ran.code, ran.err)
    for _, part in ipairs { "tiny, version 1", "the model loads and answers", "plan of the user tower", "ndcg_10",
      "user.platform", "fingerprint", "vectors" } do
      assert.truthy(ran.out:find(part, 1, true), part)
    end
  end)
end)

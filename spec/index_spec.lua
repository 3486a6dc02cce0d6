--- Approximate indexes from Lua, in bundles and on the command line; runtime/retrieval/hnsw_test.c has their graphs.

local base = require "recsys.base"
local bundle = require "recsys.bundle"
local command = require "spec.support.command"
local json = require "recsys.json"
local retrieval = require "recsys.retrieval"
local serve = require "recsys.serve"
local tensor = require "recsys.tensor"
local tiny = require "spec.support.tiny_model"

local WIDTH = 16

local function normals(n, step)
  return tensor.new(base.stream(5, "init", 0, step):normals(n * WIDTH):tolist(), "f32"):reshape(n, WIDTH)
end

local function recall(index, exact, users)
  local found, best = index:search { users = users, k = 10, ef = 80 }, exact:search { users = users, k = 10 }
  local hits = 0
  for q, rows in ipairs(found:tolist()) do
    local wanted = {}
    for _, row in ipairs(best:tolist()[q]) do wanted[row] = true end
    for _, row in ipairs(rows) do hits = hits + (wanted[row] and 1 or 0) end
  end
  return hits / users:size(1) / 10
end

describe("an approximate index", function()
  local items, users = normals(3000, 1), normals(40, 2)
  local exact = retrieval.exact(items)

  it("finds nearly what the exact one does, and says what it is", function()
    local index = retrieval.hnsw(items, { m = 12, ef_construction = 60, seed = 7 })
    assert.same({ "hnsw", 3000, WIDTH }, { index:engine(), index:items(), index:width() })
    assert.is_true(recall(index, exact, users) > 0.95)
    local facts = index:facts()
    assert.same({ 12, 60, 7, true, false, 0 }, { facts.m, facts.ef_construction, facts.seed, facts.codes, facts.direct,
      facts.deleted })
    assert.is_true(facts.bytes < 3000 * (24 * 4 + WIDTH + 4 + 20))
    local _, _, stats = index:search { users = users, k = 10, ef = 80 }
    assert.is_true(stats.looked < 40 * 2000 and stats.scored == 40 * 80)
    assert.is_nil(exact:save())
    assert.is_nil(exact:facts())
  end)

  it("is kept as tensors and used where they lie", function()
    local folder = command.scratch(finally)
    local index = retrieval.hnsw(items, { codes = false })
    assert(bundle.write_safetensors(folder .. "/index.safetensors", index:save()))
    local again = assert(retrieval.load(assert(bundle.read_safetensors(folder .. "/index.safetensors")), items))
    local request = { users = users, k = 20 }
    assert.same({ index:search(request):tolist() }, { again:search(request):tolist() })
    assert.same(index:facts(), again:facts())
  end)

  it("is refused by name where it is of other items, or none", function()
    local saved = retrieval.hnsw(items):save()
    local index, message, code = retrieval.load(saved, normals(2999, 1))
    assert.same({ "the index is of 3000 vectors of 16 numbers, not of [2999, 16]: build it anew", "format" },
      { message, code })
    assert.is_nil(index)
    saved.links = nil
    assert.match("has no 'links' of the right shape", select(2, retrieval.load(saved, items)))
    assert.match("has no parameters", select(2, retrieval.load({}, items)))
    assert.has_error(function() retrieval.hnsw(items, { M = 4 }) end,
      "bad argument #2 to 'hnsw' (there is no option 'M')")
    assert.has_error(function() retrieval.hnsw(items, { m = 200 }) end, "index: M is 200; 2 to 128 are served")
    assert.has_error(function() retrieval.hnsw(tensor.zeros(3, 3, "f64")) end, "index: items are f64; f32 expected")
  end)
end)

describe("a bundle with an index", function()
  local choose = require("recsys.registry.index").choose

  it("has the one that its size asks for", function()
    assert.same({ "exact", "99999 items, fewer than 100000" }, { choose { items = 99999 } })
    assert.same({ "hnsw", "100000 items, 100000 or more" }, { choose { items = 100000 } })
    assert.same({ "exact", "the item vectors change while the model serves" },
      { choose { items = 1e6, counts_events = true } })
    assert.same({ "hnsw", "asked for" }, { choose({ items = 3 }, "hnsw") })
    assert.same({ "exact", "asked for" }, { choose({ items = 1e6 }, { engine = "exact" }) })
    assert.has_error(function() choose({ items = 3 }, "ivf") end, "there is no index 'ivf'; there are: exact, hnsw")
  end)

  local function answers(path)
    local model <close> = assert(serve.open(path))
    local lists = {}
    for i = 1, tiny.n_users do lists[i] = assert(model:recommend { user = model:user(i), k = 8 }).items end
    local rows = assert(model:recommend_users { k = 8 })
    return lists, model:facts().index, rows:tolist()
  end

  it("answers by it, alone and in batch alike", function()
    local folder, built = command.scratch(finally), tiny.build()
    local plain = tiny.publish(built, folder)
    local graph = tiny.publish(built, folder, { index = { engine = "hnsw", m = 2, ef_construction = 4 } })
    local expected, exact, rows = answers(plain)
    local found, engine, graph_rows = answers(graph)
    assert.same({ "exact", "hnsw" }, { exact, engine })
    assert.same(expected, found) -- of twelve items all are looked at
    assert.same(rows, graph_rows)
  end)

  it("takes in items that are posted", function()
    local folder, built, lists = command.scratch(finally), tiny.build(), {}
    for _, engine in ipairs { "exact", "hnsw" } do
      local model <close> = assert(serve.open(tiny.publish(built, folder, { index = engine })))
      for i = 1, 300 do
        assert(model:put { item = "new" .. i, title = "Later", created = 13 * tiny.day, fields = '{"kind":"sport"}' })
      end
      assert(model:put { item = "i3", title = "Changed", created = 3 * tiny.day, fields = '{"kind":"city"}' })
      assert.same({ 312, engine }, { model:facts().items, model:facts().index })
      lists[engine] = assert(model:recommend { user = "u1", k = 200, now = 14 * tiny.day, exclude_seen = false }).items
      assert.equal(200, #lists[engine])
    end
    assert.same(lists.exact, lists.hnsw)
  end)

  it("is another version, made by recsys-run index", function()
    local folder = command.scratch(finally)
    local path = tiny.publish(tiny.build(), folder)
    local function index(words)
      return command.run(("'%s' index --models '%s' %s"):format(command.program, folder, words))
    end
    local ended = index "tiny --engine hnsw --m 4 --json"
    assert.equal(0, ended.code, ended.err)
    local made = json.decode(ended.out)
    assert.match("tiny%-2%.tar$", made.path)
    assert.same({ "hnsw", "asked for", 4 }, { made.index.engine, made.index.reason, made.index.m })
    assert.match("index: hnsw %(asked for%)", ended.err)
    local _, engine = answers(made.path)
    assert.equal("hnsw", engine)
    local shown = command.run(("'%s' inspect '%s'"):format(command.program, made.path))
    assert.match("index.engine%s+hnsw", shown.out)
    assert.match("index.hnsw.links%s+i32 %[12, 8%]", shown.out)

    ended = index(("'%s' --out '%s/plain.tar'"):format(made.path, folder))
    assert.equal(0, ended.code, ended.err)
    assert.match("index: exact %(12 items, fewer than 100000%)", ended.err)
    assert.same({ (answers(path)) }, { (answers(folder .. "/plain.tar")) })
    local opened <close> = assert(bundle.open(folder .. "/plain.tar"))
    assert.is_nil(opened:text "index.hnsw.safetensors")
    assert.is_string(opened:text "expectations.json")

    assert.equal(2, index("nobody").code)
    assert.equal(2, index("tiny --engine ivf").code)
    ended = index(("'%s/mlflow.db'"):format(folder))
    assert.equal(1, ended.code)
  end)

  it("is refused when its index is of another training or damaged", function()
    local folder = command.scratch(finally)
    local path = tiny.publish(tiny.build(), folder, { index = "hnsw" })
    local function damaged(change)
      local request = assert(require("recsys.registry").reopen(path))
      for _, member in ipairs(request.members) do
        if member[1] == "index.hnsw.safetensors" then change(member.tensors) end
      end
      local manifest = request.manifest
      assert(bundle.write(folder .. "/other.tar", { manifest = manifest, members = request.members }))
      return select(2, serve.open(folder .. "/other.tar"))
    end
    assert.match("member index.hnsw.safetensors has vectors of another item tower",
      damaged(function(t) t["tower.version"] = tensor.zeros(32, "u8") end))
    assert.match("member index.hnsw.safetensors: the index has no 'codes' of the right shape",
      damaged(function(t) t.codes = nil end))
    local newer = damaged(function(t)
      local numbers = t.parameters:tolist()
      numbers[1] = 2
      t.parameters = tensor.new(numbers, "i64")
    end)
    assert.match("index.hnsw.safetensors: the index has format 2; this recsys%-run reads format 1: build it", newer)
  end)
end)

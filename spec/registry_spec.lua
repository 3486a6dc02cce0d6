--- Published models: versions, manifests, and what half a publication leaves.

local bundle = require "recsys.bundle"
local command = require "spec.support.command"
local registry = require "recsys.registry"

local function add(dir, name, manifest)
  return assert(registry.add { name = name, dir = dir, manifest = manifest or {},
    members = { { "note.txt", bytes = "hello" } } })
end

describe("registry", function()
  local dir

  before_each(function() dir = command.temporary() end)
  after_each(function() command.remove(dir) end)

  it("counts versions of each name from 1", function()
    assert.equal(dir .. "/mf-1.tar", add(dir, "mf"))
    assert.equal(dir .. "/mf-2.tar", add(dir, "mf"))
    assert.equal(dir .. "/two_tower-1.tar", add(dir, "two_tower"))
    local names = {}
    for i, found in ipairs(registry.list(nil, dir)) do names[i] = found.name .. " " .. found.version end
    assert.same({ "mf 1", "mf 2", "two_tower 1" }, names)
    assert.equal(2, #registry.list("mf", dir))
  end)

  it("orders versions as numbers and goes on after the highest", function()
    add(dir, "mf")
    os.rename(dir .. "/mf-1.tar", dir .. "/mf-10.tar")
    command.write(dir .. "/mf-9.tar", "")
    assert.equal(dir .. "/mf-11.tar", add(dir, "mf"))
    assert.equal(11, registry.list("mf", dir)[3].version)
  end)

  it("writes name and version into the manifest, beside what it is given", function()
    local b = assert(bundle.open(add(dir, "mf", { model = { kind = "mf" } })))
    assert.equal("mf", b:manifest().name)
    assert.equal(1, b:manifest().version)
    assert.equal("mf", b:manifest().model.kind)
  end)

  it("gives two publishers of the same moment two versions", function()
    local script = command.write(dir .. "/publish.lua", [[
      local registry = require "recsys.registry"
      for _ = 1, 5 do
        assert(registry.add { name = "mf", dir = ..., manifest = { by = tostring({}) },
          members = { { "note.txt", bytes = ("x"):rep(1000) } } })
      end]])
    local publish = ("%s lua %s %s"):format(command.program, script, dir)
    assert.equal(0, command.run(("%s & one=$!; %s || exit 1; wait $one"):format(publish, publish)).code)
    local list = registry.list("mf", dir)
    assert.equal(10, #list)
    for version, found in ipairs(list) do
      assert.equal(version, found.version)
      assert.equal(version, assert(bundle.open(found.path)):manifest().version)
    end
  end)

  it("shows whole bundles only, whenever a publisher is killed", function()
    local script = command.write(dir .. "/publish.lua", [[
      local dir = ...
      local registry, tensor = require "recsys.registry", require "recsys.tensor"
      local members = { { "w.safetensors", tensors = { w = tensor.zeros(300000) } } }
      while true do assert(registry.add { name = "mf", dir = dir, manifest = {}, members = members }) end]])
    local published = 0
    for round = 1, 6 do
      local folder = dir .. "/" .. round
      local ran = command.run(("timeout -s KILL %.2f %s lua %s %s"):format(0.15 + 0.07 * round, command.program,
        script, folder))
      assert.equal(137, ran.code, ran.err)
      for version, found in ipairs(registry.list("mf", folder)) do
        assert.equal(version, found.version)
        assert(assert(bundle.open(found.path)):verify())
        published = published + 1
      end
    end
    assert.is_true(published > 0)
  end)

  it("sweeps away what a killed publisher left a day ago, and only that", function()
    add(dir, "mf")
    command.write(dir .. "/.mf-123", "half")
    command.write(dir .. "/.mf-124", "half")
    command.run(("touch -d '2 days ago' %s/.mf-123 %s/mf-1.tar"):format(dir, dir))
    add(dir, "mf")
    assert.equal(".mf-124\nmf-1.tar\nmf-2.tar\n", command.run("LC_ALL=C ls -A " .. dir).out)
  end)

  it("leaves nothing but versions in the folder", function()
    add(dir, "mf")
    assert.equal("mf-1.tar\n", command.run("ls -A " .. dir).out)
  end)

  it("makes the folder", function()
    assert.equal(dir .. "/deep/er/mf-1.tar", add(dir .. "/deep/er", "mf"))
  end)

  it("resolves a path, a version and a name", function()
    add(dir, "mf")
    add(dir, "mf")
    assert.equal(dir .. "/mf-2.tar", registry.resolve("mf", dir))
    assert.equal(dir .. "/mf-1.tar", registry.resolve("mf-1", dir))
    assert.equal(dir .. "/mf-1.tar", registry.resolve(dir .. "/mf-1.tar", "elsewhere"))
  end)

  it("says what there is when a name is not", function()
    add(dir, "two_tower")
    local path, message = registry.resolve("two_towr", dir)
    assert.is_nil(path)
    assert.equal(("there is no bundle 'two_towr', neither as a file nor in %s; did you mean 'two_tower'?"):format(dir),
      message)
    assert.matches("; there are: two_tower$", select(2, registry.resolve("x.tar", dir)))
    assert.matches("nor in /no/where$", select(2, registry.resolve("mf", "/no/where")))
    assert.is_nil(registry.resolve("../mf", dir))
  end)

  it("refuses names that a file or a version could not have", function()
    for _, name in ipairs { "", "A", "a/b", "../a", "mf-2", "1x" } do
      assert.has_error(function() registry.add { name = name, dir = dir, manifest = {}, members = {} } end,
        "bad argument #1 to 'add' (field 'name' must be of a-z, 0-9, _ and -, without a number at its end)")
    end
  end)

  it("names the field that publishing lacks", function()
    local function refuses(request, field)
      assert.has_error(function() registry.publish(request) end,
        ("bad argument #1 to 'publish' (field '%s)"):format(field))
    end
    refuses({ name = "mf", model = {} }, "dataset' must be a table")
    refuses({ name = "mf", model = {}, dataset = {} }, "kind' must be a string")
    refuses({ name = "mf", dataset = {}, kind = "mf", plans = {} }, "weights' must be a table")
    refuses({ name = "mf", dataset = {}, kind = "mf", plans = {}, weights = {}, encoder = {} },
      "vectors' must be a Tensor")
  end)

  it("does not publish a model that would not answer", function()
    local tensor = require "recsys.tensor"
    local tiny = require "spec.support.tiny_model"
    local built = tiny.build()
    local path, message, code = registry.publish { name = "tiny", model = tiny.model(built), dir = dir,
      dataset = built.dataset, vectors = tensor.zeros(12, tiny.width + 1) }
    assert.is_nil(path)
    assert.equal("format", code)
    assert.matches("^the model cannot be published: .*fit the items", message)
    assert.equal("", command.run("ls -A " .. dir).out)
  end)

  it("takes a model as one thing or as its fields", function()
    local tiny = require "spec.support.tiny_model"
    local built = tiny.build()
    local one = assert(bundle.open(tiny.publish(built, dir)))
    local flat = { name = "tiny", dataset = built.dataset, dir = dir, vectors = built.vectors,
      created = "2024-01-31T00:00:00Z", metrics = { ndcg_10 = 0.25 }, parameters = { train = { epochs = 3 } },
      seed = 7 }
    for key, value in pairs(tiny.model(built)) do flat[key] = value end
    local other = assert(bundle.open(assert(registry.publish(flat))))
    assert.same(one:members(), other:members())
    assert.equal(2, other:manifest().version)
    assert.equal("sum", other:manifest().model.kind)
    assert.equal(140, other:manifest().model.weights)
  end)
end)

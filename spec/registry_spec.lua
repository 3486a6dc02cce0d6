--- Published models: versions, manifests, and what half a publication leaves.

local bundle = require "recsys.bundle"
local cjson = require "cjson"
local command = require "spec.support.command"
local lfs = require "lfs"
local registry = require "recsys.registry"

local function add(dir, name, manifest)
  return assert(registry.add { name = name, dir = dir, manifest = manifest or {},
    members = { { "note.txt", bytes = "hello" } } })
end

--- Whether two paths are names of one file.
local function same_file(a, b)
  local one, other = assert(lfs.attributes(a)), assert(lfs.attributes(b))
  return one.dev == other.dev and one.ino == other.ino
end

describe("registry", function()
  local folder, dir

  before_each(function()
    folder = command.temporary()
    dir = folder .. "/models"
  end)
  after_each(function() command.remove(folder) end)

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
    local numbers = {}
    for i, found in ipairs(registry.list("mf", dir)) do numbers[i] = found.version end
    assert.same({ 1, 9, 10, 11 }, numbers)
  end)

  it("writes name and version into the manifest, beside what it is given", function()
    local b = assert(bundle.open(add(dir, "mf", { model = { kind = "mf" } })))
    assert.equal("mf", b:manifest().name)
    assert.equal(1, b:manifest().version)
    assert.equal("mf", b:manifest().model.kind)
  end)

  it("gives two publishers of the same moment two versions", function()
    local script = command.write(folder .. "/publish.lua", [[
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
    local script = command.write(folder .. "/publish.lua", [[
      local dir = ...
      local registry, tensor = require "recsys.registry", require "recsys.tensor"
      local members = { { "w.safetensors", tensors = { w = tensor.zeros(300000) } } }
      while true do assert(registry.add { name = "mf", dir = dir, manifest = {}, members = members }) end]])
    local published = 0
    for round = 1, 6 do
      local models = ("%s/%d/models"):format(folder, round)
      local ran = command.run(("timeout -s KILL %.2f %s lua %s %s"):format(0.15 + 0.07 * round, command.program,
        script, models))
      assert.equal(137, ran.code, ran.err)
      for version, found in ipairs(registry.list("mf", models)) do
        assert.equal(version, found.version)
        assert(assert(bundle.open(found.path)):verify())
        published = published + 1
      end
    end
    assert.is_true(published > 0)
  end)

  it("sweeps away what a killed publisher left a day ago, and only that", function()
    add(dir, "mf")
    local hidden = folder .. "/mlartifacts/models"
    command.write(hidden .. "/.123-1", "half")
    command.write(hidden .. "/.124-1", "half")
    command.run(("touch -d '2 days ago' %s/.123-1 %s/mf-1.tar"):format(hidden, dir))
    add(dir, "mf")
    assert.equal(".124-1\n", command.run(("ls -A %s | grep '^[.]'"):format(hidden)).out)
    assert.equal("mf-1.tar\nmf-2.tar\n", command.run("ls -A " .. dir).out)
  end)

  it("leaves nothing but versions in the folder", function()
    add(dir, "mf")
    assert.equal("mf-1.tar\n", command.run("ls -A " .. dir).out)
  end)

  it("makes the folder", function()
    assert.equal(dir .. "/deep/er/mf-1.tar", add(dir .. "/deep/er", "mf"))
  end)

  it("keeps a bundle under its hash, of which the name in the folder is another name", function()
    local path = add(dir, "mf")
    local digest = assert(bundle.open(path)):digest()
    local kept = ("%s/mlartifacts/models/%s/bundle.tar"):format(folder, digest)
    assert.is_true(same_file(path, kept))
    assert.matches('digest: "' .. digest .. '"', command.read((kept:gsub("bundle.tar", "MLmodel"))))
  end)

  it("makes a name again that is missing", function()
    local path = add(dir, "mf")
    os.remove(path)
    local kept = registry.resolve("mf-1", dir)
    assert.matches("/mlartifacts/models/%x+/bundle.tar$", kept)
    registry.open(dir):close()
    assert.equal(path, registry.resolve("mf-1", dir))
  end)

  it("makes versions of files that were published before there was a database", function()
    for version = 1, 2 do add(dir, "mf", { run = "run " .. version }) end
    for name in pairs { ["mlflow.db"] = 1, ["mlflow.db-wal"] = 1, ["mlflow.db-shm"] = 1 } do
      os.remove(folder .. "/" .. name)
    end
    os.execute("rm -rf " .. folder .. "/mlartifacts")
    assert.equal(dir .. "/mf-2.tar", registry.resolve("mf", dir))
    local opened <close> = registry.open(dir)
    local rows = opened.db:rows "SELECT name, version FROM model_versions ORDER BY version"
    assert.same({ { name = "mf", version = 1 }, { name = "mf", version = 2 } }, rows)
    assert.same({}, opened.db:rows "SELECT * FROM registered_model_aliases")
    assert.equal(dir .. "/mf-3.tar", add(dir, "mf"))
  end)

  it("does not bring back a deleted version or model from a file that is still there", function()
    add(dir, "mf")
    add(dir, "mf")
    local opened <close> = registry.open(dir)
    require("recsys.registry.versions").delete(opened.db, { name = "mf", version = "2" })
    assert.equal(dir .. "/mf-1.tar", registry.resolve("mf", dir))
    assert.is_nil(registry.resolve("mf-2", dir))
    assert.equal(dir .. "/mf-3.tar", add(dir, "mf"))
    for _, of in ipairs { "registered_model_aliases", "model_version_tags", "registered_model_tags", "model_versions",
      "registered_models" } do opened.db:run("DELETE FROM " .. of) end -- as an MLflow of its own deletes a model
    registry.open(dir):close()
    assert.same({}, opened.db:rows "SELECT * FROM model_versions")
  end)

  it("makes a version the model of the run that is being tracked, as MLflow has models of runs", function()
    local track = require "recsys.track"
    local run <close> = track.start { store = folder, experiment = "news" }
    local path = add(dir, "mf", { model = { kind = "two_tower" } })
    add(dir, "other")
    run:finish()
    local opened <close> = registry.open(dir)
    local row = opened.db:row "SELECT run_id, source FROM model_versions WHERE name = 'mf'"
    assert.same({ run_id = run.id, source = run.artifact_uri .. "/model" }, row)
    local artifacts = folder .. "/mlartifacts" .. run.artifact_uri:match "^mlflow%-artifacts:(.+)$"
    assert.is_true(same_file(path, artifacts .. "/model/mf-1.tar"))
    assert.matches("run_id: \"" .. run.id .. '"', command.read(artifacts .. "/model/MLmodel"))
    assert.matches('artifact_path: "other-1"', command.read(artifacts .. "/other-1/MLmodel"), 1, true)
    local history = cjson.decode(opened.db:row("SELECT value FROM tags WHERE key = 'mlflow.log-model.history'").value)
    assert.same({ "model", "other-1" }, { history[1].artifact_path, history[2].artifact_path })
    assert.equal("two_tower", history[1].flavors.recsys_run.kind)
    assert.equal(assert(bundle.open(path)):digest(), history[1].flavors.recsys_run.digest)
  end)

  it("leaves a run of another database or of a server alone", function()
    local open = require("recsys.track.run").open
    local run <close> = require("recsys.track").start { store = folder .. "/elsewhere" }
    add(dir, "mf")
    open[#open + 1] = { id = "r", artifact_uri = "mlflow-artifacts:/1/r/artifacts", store = { folder = folder } }
    add(dir, "mf")
    open[#open] = nil
    local opened <close> = registry.open(dir)
    assert.same({ { run_id = "" }, { run_id = "" } }, opened.db:rows "SELECT run_id FROM model_versions")
    assert.same({}, opened.db:rows "SELECT * FROM tags")
    run:finish()
  end)

  it("resolves an alias", function()
    add(dir, "mf")
    add(dir, "mf")
    assert.equal(dir .. "/mf-1.tar", registry.resolve("mf@champion", dir))
    assert.equal(dir .. "/mf-1.tar", registry.resolve("models:/mf@champion", dir))
    assert.equal(dir .. "/mf-2.tar", registry.resolve("models:/mf/2", dir))
    local path, message = registry.resolve("mf@challenger", dir)
    assert.is_nil(path)
    assert.equal("mf has no version with the alias 'challenger'", message)
    assert.matches("; did you mean 'mf'?", select(2, registry.resolve("mg@champion", dir)), 1, true)
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
    assert.equal("", command.run(("ls -A %s; ls -A %s/mlartifacts/models"):format(dir, folder)).out)
    assert.same({}, registry.list(nil, dir))
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

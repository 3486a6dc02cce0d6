--- Registered models that go along with runs: to a server as they are published, and from place to place.

local command = require "spec.support.command"
local json = require "recsys.json"
local models = require "recsys.registry.models"
local names = require "recsys.track.names"
local promotion = require "recsys.registry.promotion"
local registry = require "recsys.registry"
local remote = require "recsys.track.remote"
local report = require "recsys.registry.report"
local track = require "recsys.track"
local tracking_server = require "spec.support.tracking_server"
local trail = require "recsys.registry.trail"
local upkeep = require "recsys.registry.upkeep"
local versions = require "recsys.registry.versions"

local folder, server
before_each(function() folder, server = tracking_server.begin() end)
after_each(function() tracking_server.finish(folder, server) end)

--- Publish a version, of a tracked run where one is begun.
local function publish(store, ndcg, name)
  return assert(registry.add { name = name or "mf", dir = folder .. "/" .. store .. "/models",
    manifest = { metrics = { ndcg_10 = ndcg }, test = { fingerprint = "t" }, data = { name = "news" } },
    members = { { "note.txt", bytes = tostring(ndcg) } } })
end

--- A store with a model of three versions, the first of a run, the second deleted.
local function fill(store)
  local run = track.start { store = folder .. "/" .. store, experiment = "far", name = "one" }
  publish(store, 0.1)
  run:finish()
  publish(store, 0.2)
  publish(store, 0.3)
  local opened <close> = registry.open(folder .. "/" .. store .. "/models")
  versions.delete(opened.db, { name = "mf", version = 2 })
  assert(promotion.promote(opened, { name = "mf", version = 3, reason = "better", by = "ann" }))
  promotion.set_alias(opened, { name = "mf", alias = "old", version = 1, reason = "kept", by = "ann" })
  models.update(opened.db, { name = "mf", description = "the front page" })
  models.set_tag(opened.db, { name = "mf", key = "team", value = "news" })
  models.set_tag(opened.db, { name = "mf", key = "recsys.gates", value = "ndcg_10" })
  versions.set_tag(opened.db, { name = "mf", version = 3, key = "reviewed", value = "yes" })
  models.create(opened.db, { name = "Other's model" })
  versions.create(opened.db, { name = "Other's model", source = "s3://bucket/model", description = "elsewhere" })
  return run.id
end

local function runs(words)
  local ran = command.run(("cd %s && %s runs %s"):format(folder, command.program, words))
  return ran
end

local function done(words)
  local ran = runs(words)
  assert.same({ 0, "" }, { ran.code, ran.err })
  return ran.out
end

--- What a store's registry tells of a model, without what differs from one place to the other.
local function told(store, name)
  local opened <close> = registry.open(folder .. "/" .. store .. "/models")
  local model = report.model(opened.db, name)
  local list, aliases = {}, {}
  for i, version in ipairs(model.versions) do
    local tags = {}
    for _, tag in ipairs(version.tags) do
      if tag.key ~= "recsys.carried_from" then tags[tag.key] = tag.value end
    end
    list[i] = { digest = version.digest or false, tags = tags, description = version.description }
  end
  for _, alias in ipairs(model.aliases) do
    aliases[alias.alias] = report.version(opened.db, name, math.tointeger(tonumber(alias.version))).digest
  end
  for _, version in ipairs(upkeep.verify(opened)) do assert.same({}, version.problems) end
  assert.same({}, opened.db:rows "PRAGMA foreign_key_check")
  local team
  for _, tag in ipairs(model.tags) do team = tag.key == "team" and tag.value or team end
  return { versions = list, aliases = aliases, description = model.description, team = team }
end

local function same(store, other)
  for _, name in ipairs { "mf", "Other's model" } do assert.same(told(store, name), told(other, name)) end
end

local function open(store) return registry.open(folder .. "/" .. store .. "/models") end

--- Give a run a list of models that is longer than a tag of others may be: the list, as text.
local function log_many(store, run)
  local list = {}
  for i = 1, 12 do
    list[i] = { artifact_path = ("x"):rep(1000) .. i, run_id = run, utc_time_created = "2026-11-26 10:00:00.000000",
      flavors = { recsys_run = { kind = "mf" } } }
  end
  local opened <close> = require("recsys.track.store").open(folder .. "/" .. store)
  opened:set_tag { run_id = run, key = names.models, value = json.encode(list) }
  return list
end

--- The list of the models of the run 'one' in a store.
local function logged_models(store)
  local opened <close> = open(store)
  return json.decode(opened.db:row("SELECT t.value FROM tags AS t JOIN runs AS r ON r.run_uuid = t.run_uuid "
    .. "WHERE r.name = 'one' AND t.key = ?", { names.models }).value)
end

describe("registered models", function()
  it("are exported and imported with their numbers and all that is on record", function()
    fill "here"
    assert.matches("model mf  2 versions, 2 new; champion = 3, old = 1", done "export out --all --store here", 1, true)
    done "import out --store copy"
    same("here", "copy")
    assert.matches("model mf  2 versions, 0 new; champion = 3, old = 1", done "import out --store copy", 1, true)
    same("here", "copy")
    local opened <close> = open "copy"
    local origin <close> = open "here"
    local here, there = trail.events(origin.db, "mf"), trail.events(opened.db, "mf")
    for i, event in ipairs(here) do
      if event.to ~= 2 then assert.same(event, there[i]) end
    end
    assert.equal("ann", there[2].by)
    assert.equal(1, promotion.rollback(opened, { name = "mf" }).to)
    assert.equal(report.version(origin.db, "mf", 1).run_id, report.version(opened.db, "mf", 1).run_id)
    assert.matches("^mlflow%-artifacts:/%d+/%x+/artifacts/model$", report.version(opened.db, "mf", 1).source)
    assert.equal("0.1", command.run(("tar -xOf %s/copy/models/mf-1.tar note.txt"):format(folder)).out)
  end)

  it("leave aliases and numbers of others as they are", function()
    fill "here"
    publish("copy", 0.5)
    done "export out --all --store here"
    local said = done "import out --store copy"
    assert.matches("model mf  2 versions, 2 new; champion stays 1, old = 2", said, 1, true)
    local opened <close> = open "copy"
    assert.equal(3, #report.versions(opened.db, "mf"))
    for _, one in ipairs(json.decode(done "import out --store copy --json")) do
      if one.model == "mf" then assert.same({ ["1"] = 2, ["3"] = 3 }, one.versions) end
    end
  end)

  it("go with the runs that are named, and no others", function()
    local run = fill "here"
    assert.matches("model mf  1 versions, 1 new; old = 1", done("export out --store here " .. run), 1, true)
    done "import out --store copy"
    assert.equal(1, #told("copy", "mf").versions)
    assert.equal(1, command.run(("test -e %s/out/bundles"):format(folder)).code) -- it lies among the run's files
  end)

  it("are refused where a bundle is not what it is said to be", function()
    fill "here"
    done "export out --all --store here"
    command.run(("cd %s/out/bundles && for f in *.tar; do cp ../*/artifacts/model/mf-1.tar $f; done"):format(folder))
    local refused = runs "import out --store copy"
    assert.equal(1, refused.code)
    assert.matches("is another bundle than %x+, which it is said to be", refused.err)
    local opened <close> = open "copy"
    assert.is_nil(opened.db:row "SELECT * FROM registered_models WHERE name = 'mf'")
    local text = command.read(folder .. "/out/registered_models.json")
    for _, bad in ipairs { "[", "{}x", "[1]", '[{"name": "a/b", "versions": []}]',
      '[{"name": "a", "versions": [{"version": "x", "source": "s3://a"}]}]',
      '[{"name": "a", "aliases": [{"alias": "v1", "version": "1"}], "versions": [{"version": 1, "source": "x"}]}]' } do
      command.write(folder .. "/out/registered_models.json", bad)
      refused = runs "import out --store other"
      assert.equal(1, refused.code, bad)
      assert.is_nil(refused.err:find "traceback", refused.err)
    end
    command.write(folder .. "/out/registered_models.json",
      (text:gsub('"recsys%.digest",%s*"value":%s*"%x+', "%0/../x")))
    runs "import out --store other"
    assert.equal("", command.run(("find %s -name x"):format(folder)).out)
  end)

  it("are pushed to a server, can be promoted there, and are pulled from it", function()
    local list = log_many("here", fill "here")
    server:start()
    for _, new in ipairs { 2, 0 } do
      assert.matches(("model mf  2 versions, %d new; champion = 2, old = 1"):format(new),
        done("push --all --store here --to " .. server.url), 1, true)
    end
    same("here", "there")
    local opened <close> = open "there"
    local events = trail.events(opened.db, "mf")
    assert.same({ "promote", 1, 2, true },
      { events[2].action, events[2].from, events[2].to, events[2].told })
    assert.matches("^ann, as told by recsys%-run[^ ]* at 127%.0%.0%.1$", events[2].by)
    assert.matches("^recsys%-run[^ ]* at 127%.0%.0%.1$", events[#events].by)
    assert.is_nil(opened.db:row "SELECT * FROM registered_model_tags WHERE key = 'recsys.gates'")
    assert.is_false(pcall(promotion.rollback, opened, { name = "mf" })) -- not by what a client tells
    assert(promotion.promote(opened, { name = "mf", version = 1, reason = "by hand", no_gate = true }))
    assert.equal(2, promotion.rollback(opened, { name = "mf" }).to)
    for _ = 1, 2 do done("pull --store back --from " .. server.url) end
    same("here", "back")
    for _, store in ipairs { "there", "back" } do assert.same(list, logged_models(store)) end
  end)
end)

--- Imports models in a process that kills itself after so many lines of Lua; prints how many there were.
local script = [[
local from, store, lines = ...
local carry, transfer, track = require "recsys.registry.carry", require "recsys.track.transfer", require "recsys.track"
local uv = require "luv"
local left, done = tonumber(lines), 0
debug.sethook(function()
  done = done + 1
  if done == left then uv.kill(uv.os_getpid(), "sigkill") end
end, "l")
local opened = track.open(store)
carry.copy(transfer.folder(from), transfer.store(opened), { runs = {} })
opened:close()
debug.sethook()
print(done)]]

describe("an import of models that is killed", function()
  it("has brought a model wholly or not at all, and is completed by the next one", function()
    fill "here"
    done "export out --all --store here"
    command.write(folder .. "/kill.lua", script)
    local function run(store, lines)
      return command.run(("%s lua %s/kill.lua %s/out %s/%s %d"):format(command.program, folder, folder, folder, store,
        lines))
    end
    local whole = run("whole", 0)
    local lines, outcomes = assert(tonumber(whole.out), whole.err), { [true] = 0, [false] = 0 }
    for at = lines // 3, lines, math.max(1, lines // 30) do
      local store = "at" .. at
      assert.equal(137, run(store, at).code)
      local opened = open(store)
      local there = opened.db:row "SELECT 1 FROM registered_models WHERE name = 'mf'" ~= nil
      local events = trail.events(opened.db, "mf")
      assert.equal(there and 2 or 0, #report.versions(opened.db, "mf"))
      assert.equal(there and events[#events].to, there and 1) -- the alias `old`
      assert.same({}, opened.db:rows "PRAGMA foreign_key_check")
      opened:close()
      outcomes[there] = outcomes[there] + 1
      assert.equal(0, run(store, 0).code)
      same("whole", store)
    end
    assert.is_true(outcomes[true] > 0 and outcomes[false] > 5, ("%d, %d"):format(outcomes[true], outcomes[false]))
  end)
end)

describe("a model that is published by a run which is logged to a server", function()
  local function train(ndcg, before_end)
    local of = remote.open(server.url, folder .. "/here")
    local run = track.start { store = of, experiment = "far" }
    publish("here", ndcg, "far")
    if before_end then before_end() end
    run:finish()
    of:close()
  end

  local function check(store)
    local opened <close> = open(store)
    local model = report.model(opened.db, "far")
    assert.equal(2, #model.versions)
    assert.same({ { alias = "champion", version = "1" } }, setmetatable(model.aliases, nil))
    for i, version in ipairs(model.versions) do
      local here <close> = open "here"
      assert.equal(report.version(here.db, "far", i).digest, version.digest)
      assert.equal(0.1 * i, version.metrics.ndcg_10)
      local run = opened.db:row("SELECT artifact_uri FROM runs WHERE run_uuid = ?", { version.run_id })
      assert.equal(run.artifact_uri .. "/model", version.source)
    end
    for _, version in ipairs(upkeep.verify(opened)) do assert.same({}, version.problems) end
    assert(promotion.promote(opened, { name = "far", version = 2, reason = "it is better" }))
  end

  it("is a version there, too, with its bundle as the run's artifact", function()
    server:start()
    train(0.1)
    train(0.2)
    check "there"
  end)

  it("is registered when the server is there again, once", function()
    train(0.1, function() server:start() end)
    train(0.2, function()
      server:stop()
      server:start()
    end)
    check "there"
    assert.equal("", command.run(("ls %s/here/spool"):format(folder)).out)
  end)

  it("is so on a real MLflow server, to which models are pushed and from which they are pulled", function()
    local python = os.getenv "RECSYS_PEER_MLFLOW"
    if not python then return pending "RECSYS_PEER_MLFLOW is not set" end
    local list = log_many("else", fill "else")
    remote.patience = 120 -- it is slow
    server = tracking_server.new(folder .. "/there", python)
    server:start()
    train(0.1)
    train(0.2)
    for _, new in ipairs { 2, 0 } do
      assert.matches(("model mf  2 versions, %d new; champion = 2, old = 1"):format(new),
        done("push --all --store else --to " .. server.url), 1, true)
    end
    done("pull --store back --from " .. server.url)
    server:stop()
    same("else", "back")
    assert.same(#list, #logged_models "back")
    assert.same(told("here", "far").versions, told("back", "far").versions)
    check "there"
  end)
end)

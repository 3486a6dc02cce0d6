--- Registered models as MLflow's REST API has them: what each operation answers and refuses.

local command = require "spec.support.command"
local models = require "recsys.registry.models"
local schema = require "recsys.track.schema"
local trail = require "recsys.registry.trail"
local versions = require "recsys.registry.versions"

--- The code of what a call raises, and its message.
local function refused(fn, ...)
  local ok, problem = pcall(fn, ...)
  assert.is_false(ok)
  return problem.code, problem.message
end

describe("registered models", function()
  local folder, db

  before_each(function()
    folder = command.temporary()
    db = schema.open(folder .. "/mlflow.db")
  end)
  after_each(function()
    db:close()
    command.remove(folder)
  end)

  local function version(name, changes)
    local request = { name = name, source = "runs:/0123/model", run_id = "0123" }
    for key, value in pairs(changes or {}) do request[key] = value end
    return versions.create(db, request).model_version
  end

  it("are created, and told as MLflow tells them", function()
    local made = models.create(db, { name = "rmA", description = "d", tags = { { key = "a", value = "b" } } })
      .registered_model
    assert.equal(made.creation_timestamp, made.last_updated_timestamp)
    assert.is_true(math.abs(made.creation_timestamp - os.time() * 1000) < 60000)
    made.creation_timestamp, made.last_updated_timestamp = nil, nil
    assert.same({ name = "rmA", description = "d", tags = { { key = "a", value = "b" } } }, made)
    assert.same({ "RESOURCE_ALREADY_EXISTS", "Registered Model (name=rmA) already exists." },
      { refused(models.create, db, { name = "rmA" }) })
  end)

  it("have versions numbered from 1, told as strings", function()
    models.create(db, { name = "rmA" })
    local made = version("rmA", { description = "dd", tags = { { key = "x", value = "y" } } })
    made.creation_timestamp, made.last_updated_timestamp = nil, nil
    local expected = { name = "rmA", version = "1", current_stage = "None", description = "dd",
      source = "runs:/0123/model", run_id = "0123", status = "READY", run_link = "",
      tags = { { key = "x", value = "y" } } }
    assert.same(expected, made)
    assert.equal("2", version("rmA").version)
    local latest = models.get(db, { name = "rmA" }).registered_model.latest_versions
    assert.equal(1, #latest)
    assert.equal("2", latest[1].version)
    assert.same({ artifact_uri = "runs:/0123/model" }, versions.get_download_uri(db, { name = "rmA", version = "1" }))
  end)

  it("have aliases, each of one version", function()
    models.create(db, { name = "rmA" })
    version "rmA"
    version "rmA"
    models.set_alias(db, { name = "rmA", alias = "champ", version = "1" })
    models.set_alias(db, { name = "rmA", alias = "champ", version = "2" })
    local found = models.get_version_by_alias(db, { name = "rmA", alias = "champ" }).model_version
    assert.equal("2", found.version)
    assert.same({ "champ" }, found.aliases)
    assert.same({ { alias = "champ", version = "2" } }, models.get(db, { name = "rmA" }).registered_model.aliases)
    assert.is_nil(versions.get(db, { name = "rmA", version = 1 }).model_version.aliases)
    models.delete_alias(db, { name = "rmA", alias = "champ" })
    assert.same({ "INVALID_PARAMETER_VALUE", "Registered model alias champ not found." },
      { refused(models.get_version_by_alias, db, { name = "rmA", alias = "champ" }) })
    for _, alias in ipairs { "latest", "v3", "V3", "a b", "a/b", "" } do
      local code = refused(models.set_alias, db, { name = "rmA", alias = alias, version = 1 })
      assert.equal("INVALID_PARAMETER_VALUE", code, alias)
    end
  end)

  it("have tags, as versions have", function()
    models.create(db, { name = "rmA" })
    version "rmA"
    for _, value in ipairs { "v", "w" } do
      models.set_tag(db, { name = "rmA", key = "k", value = value })
      versions.set_tag(db, { name = "rmA", version = "1", key = "k", value = value })
    end
    assert.same({ { key = "k", value = "w" } }, models.get(db, { name = "rmA" }).registered_model.tags)
    assert.same({ { key = "k", value = "w" } }, versions.get(db, { name = "rmA", version = 1 }).model_version.tags)
    models.delete_tag(db, { name = "rmA", key = "k" })
    versions.delete_tag(db, { name = "rmA", version = "1", key = "k" })
    assert.is_nil(models.get(db, { name = "rmA" }).registered_model.tags)
    assert.is_nil(versions.get(db, { name = "rmA", version = 1 }).model_version.tags)
    for _, key in ipairs { "../k", "/k", "a//b", "a@b", "<b>", "", ("k"):rep(251) } do
      local code = refused(models.set_tag, db, { name = "rmA", key = key, value = "v" })
      assert.equal("INVALID_PARAMETER_VALUE", code, key)
    end
    assert.equal("INVALID_PARAMETER_VALUE",
      (refused(models.set_tag, db, { name = "rmA", key = "k", value = ("v"):rep(100001) })))
  end)

  it("have no tags from others that decide, or are on record, in whatever case", function()
    models.create(db, { name = "rmA" })
    version "rmA"
    for _, key in ipairs { "recsys.audit.000001", "Recsys.Audit.7", "RECSYS.AUDIT.x", "recsys.digest" } do
      local said = ("The tag '%s' is"):format(key)
      for i, call in ipairs {
        function() models.set_tag(db, { name = "rmA", key = key, value = "{}" }) end,
        function() models.delete_tag(db, { name = "rmA", key = key }) end,
        function() versions.set_tag(db, { name = "rmA", version = 1, key = key, value = "{}" }) end,
        function() versions.delete_tag(db, { name = "rmA", version = 1, key = key }) end,
      } do
        local code, message = refused(call)
        assert.equal("PERMISSION_DENIED", code, key .. " " .. i)
        assert.equal(said, message:sub(1, #said))
      end
    end
    assert.same({}, db:rows "SELECT * FROM registered_model_tags UNION SELECT key, value, name FROM model_version_tags")
    assert.equal(1, #db:rows "SELECT * FROM registered_models")
    for _, fn in ipairs { models.set_tag, models.delete_tag } do
      assert.equal("PERMISSION_DENIED", (refused(fn, db, { name = "rmA", key = "recsys.gates", value = "x" }, "ann")))
    end
    assert.equal("PERMISSION_DENIED",
      (refused(models.create, db, { name = "rmB", tags = { { key = "recsys.gates", value = "x" } } }, "ann")))
    models.set_tag(db, { name = "rmA", key = "recsys.gates", value = "ndcg_10" }) -- by the command line
    local function made_with(key, value)
      return (refused(versions.create, db, { name = "rmA", source = "runs:/0123/model",
        tags = { { key = key, value = value } } }))
    end
    assert.equal("PERMISSION_DENIED", made_with("recsys.audit.000001", "{}"))
    assert.equal("INVALID_PARAMETER_VALUE", made_with("recsys.digest", "../x"))
  end)

  it("are made with what a client tells of aliases elsewhere, as its words", function()
    local event = '{"action":"promote","alias":"champion","from":1,"to":2,"at":5,"by":"ann","reason":"better","gate":7}'
    models.create(db, { name = "rmA", tags = { { key = "recsys.audit.000007", value = event },
      { key = "recsys.audit.000003", value = (event:gsub("better", "worse")) },
      { key = "Recsys.audit.1", value = event },
      { key = "recsys.audit.999999", value = "x" }, { key = "recsys.audit.000001", value = '{"alias":{}}' } } }, "page")
    local events = trail.events(db, "rmA")
    assert.equal(2, #events)
    assert.same({ action = "promote", alias = "champion", from = 1, to = 2, at = 5, reason = "better", told = true,
      by = "ann, as told by page" }, events[2])
    local many = {}
    for i = 1, 1200 do
      many[i] = { key = ("recsys.audit.%06d"):format(i), value = (event:gsub("better", tostring(i))) }
    end
    models.create(db, { name = "rmB", tags = many }, "page")
    local told = trail.events(db, "rmB")
    assert.same({ 1000, "201", "1200" }, { #told, told[1].reason, told[1000].reason })
    version "rmA"
    version "rmA"
    models.set_alias(db, { name = "rmA", alias = "champion", version = 2 })
    assert.same({ 2 }, trail.stack(db, "rmA", "champion"))
    assert.equal(3, #trail.events(db, "rmA"))
  end)

  it("are renamed with all that is said of them", function()
    models.create(db, { name = "rmA", tags = { { key = "a", value = "b" } } })
    version("rmA", { tags = { { key = "x", value = "y" } } })
    models.set_alias(db, { name = "rmA", alias = "champ", version = "1" })
    models.rename(db, { name = "rmA", new_name = "rm B" })
    local found = models.get(db, { name = "rm B" }).registered_model
    assert.same({ key = "a", value = "b" }, found.tags[1])
    assert.equal("recsys.audit.000001", found.tags[2].key) -- of the alias
    assert.same({ { alias = "champ", version = "1" } }, found.aliases)
    assert.same({ { key = "x", value = "y" } }, found.latest_versions[1].tags)
    assert.same({ "RESOURCE_DOES_NOT_EXIST", "Registered Model with name=rmA not found" },
      { refused(models.get, db, { name = "rmA" }) })
    models.create(db, { name = "rmC" })
    assert.equal("RESOURCE_ALREADY_EXISTS", (refused(models.rename, db, { name = "rm B", new_name = "rmC" })))
    assert.same({}, db:rows "PRAGMA foreign_key_check")
  end)

  it("keep the number of a deleted version, and nothing else of it", function()
    models.create(db, { name = "rmA" })
    version "rmA"
    version("rmA", { description = "secret" })
    models.set_alias(db, { name = "rmA", alias = "champ", version = "2" })
    versions.delete(db, { name = "rmA", version = "2" })
    assert.same({ "RESOURCE_DOES_NOT_EXIST", "Model Version (name=rmA, version=2) not found" },
      { refused(versions.get, db, { name = "rmA", version = "2" }) })
    local found = models.get(db, { name = "rmA" }).registered_model
    assert.equal("1", found.latest_versions[1].version)
    assert.is_nil(found.aliases)
    assert.equal("3", version("rmA").version)
    local row = db:row "SELECT * FROM model_versions WHERE version = 2"
    assert.equal("Deleted_Internal", row.current_stage)
    assert.equal("REDACTED-SOURCE-PATH", row.source)
    assert.is_nil(row.description)
  end)

  it("are deleted with their versions, tags and aliases", function()
    models.create(db, { name = "rmA", tags = { { key = "a", value = "b" } } })
    version("rmA", { tags = { { key = "x", value = "y" } } })
    models.set_alias(db, { name = "rmA", alias = "champ", version = "1" })
    assert.same({}, models.delete(db, { name = "rmA" }))
    for _, of in ipairs { "registered_models", "registered_model_tags", "registered_model_aliases", "model_versions",
      "model_version_tags" } do
      assert.same({}, db:rows("SELECT * FROM " .. of), of)
    end
    assert.equal("RESOURCE_DOES_NOT_EXIST", (refused(models.delete, db, { name = "rmA" })))
  end)

  it("go through MLflow's stages", function()
    models.create(db, { name = "rmA" })
    version "rmA"
    version "rmA"
    local function move(number, stage, archive)
      return versions.transition_stage(db, { name = "rmA", version = number, stage = stage,
        archive_existing_versions = archive }).model_version
    end
    assert.equal("Production", move("1", "production", false).current_stage)
    assert.equal("Production", move("2", "Production", true).current_stage)
    assert.equal("Archived", versions.get(db, { name = "rmA", version = "1" }).model_version.current_stage)
    local latest = models.get_latest_versions(db, { name = "rmA", stages = { "Production" } }).model_versions
    assert.equal(1, #latest)
    assert.equal("2", latest[1].version)
    assert.equal(2, #models.get_latest_versions(db, { name = "rmA" }).model_versions)
    assert.equal("INVALID_PARAMETER_VALUE", (refused(move, "1", "Canary")))
    assert.equal("INVALID_PARAMETER_VALUE", (refused(move, "1", "None", true)))
  end)

  it("are described anew, and are not when nothing is said", function()
    models.create(db, { name = "rmA", description = "d" })
    version "rmA"
    assert.equal("nd", models.update(db, { name = "rmA", description = "nd" }).registered_model.description)
    local version_of = versions.update(db, { name = "rmA", version = "1", description = "n2" }).model_version
    assert.equal("n2", version_of.description)
    assert.is_nil(models.update(db, { name = "rmA", description = "" }).registered_model.description)
  end)

  it("refuse sources that are files of the machine", function()
    models.create(db, { name = "rmA" })
    for _, source in ipairs { "/etc/passwd", "file:///etc", "FILE:/etc", "etc", "../x", "mlflow-artifacts:/a/../../etc",
      "mlflow-artifacts:/%2e%2e/etc", "mlflow-artifacts:/%252e%252e/etc", "runs:/a/b?x", "runs:/a\\b", "" } do
      assert.equal("INVALID_PARAMETER_VALUE", (refused(version, "rmA", { source = source })), source)
    end
    for _, source in ipairs { "runs:/a/b", "models:/rmA/1", "mlflow-artifacts:/1/a/artifacts/m", "s3://b/k" } do
      assert.equal(source, version("rmA", { source = source }).source)
    end
  end)

  it("refuse what a request must not hold, by MLflow's codes", function()
    for _, name in ipairs { "", "a/b", "a:b", "a\nb", ("n"):rep(257), "\xff", 7, {} } do
      assert.equal("INVALID_PARAMETER_VALUE", (refused(models.create, db, { name = name })))
    end
    assert.equal("INVALID_PARAMETER_VALUE", (refused(models.create, db, {})))
    assert.equal("INVALID_PARAMETER_VALUE", (refused(models.create, db, { name = "rmA", tags = "x" })))
    assert.equal("INVALID_PARAMETER_VALUE", (refused(models.create, db, { name = "rmA", tags = { "x" } })))
    models.create(db, { name = "<script>alert(1)<script>" })
    assert.equal("RESOURCE_DOES_NOT_EXIST", (refused(version, "rmA")))
    for _, number in ipairs { "", "x", "1.5", "-1", 0, {} } do
      assert.equal("INVALID_PARAMETER_VALUE",
        (refused(versions.get, db, { name = "<script>alert(1)<script>", version = number })))
    end
  end)
end)
